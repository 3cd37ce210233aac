"""Does neuroglancer show labels and target of `volume` at the same place? Seen in a headless Chromium.

`PYTHONPATH=tests python tests/compat/test_neuroglancer.py docs/neuroglancer.png` draws the picture of docs/volumes.md.
"""

from __future__ import annotations

import contextlib
import functools
import io
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from compat.standins import real
from zarr_stores import ZARR_2, create

neuroglancer: Any = real("neuroglancer")
BROWSERS = ("chromium-headless-shell", "chromium", "google-chrome")
BROWSER = next((found for found in map(shutil.which, BROWSERS) if found), None)
SHAPE, VOXEL_SIZE = (48, 160, 240), (40, 8, 8)


class WithOrigin(SimpleHTTPRequestHandler):
    """Files, for pages of any origin."""

    def end_headers(self) -> None:
        self.send_header("Access-Control-Allow-Origin", "*")
        super().end_headers()

    def log_message(self, format: str, *arguments: Any) -> None:
        pass


@contextlib.contextmanager
def served(folder: Path) -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(WithOrigin, directory=str(folder)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()


def labels() -> np.ndarray[Any, Any]:
    """Touching cells of random points, and background above and to the right of them."""
    from scipy.ndimage import distance_transform_edt

    points = np.zeros(SHAPE, np.uint32)
    places = np.random.default_rng(0).choice(points.size, 40, replace=False)
    points.flat[places] = np.arange(1, 41)
    nearest = distance_transform_edt(points == 0, VOXEL_SIZE, return_distances=False, return_indices=True)
    cells = points[tuple(nearest)]
    cells[:, :, 200:] = 0
    return np.asarray(cells)


def write(folder: Path) -> None:
    """Labels and their target as OME-Zarr, and its levels, as the page writes them."""
    import zarr

    from inner_distance_gpu import blockwise

    described = {"axes": [{"name": name, "type": "space", "unit": "nanometer"} for name in "zyx"]}
    described["datasets"] = [{"path": "0", "coordinateTransformations": [{"type": "scale", "scale": VOXEL_SIZE}]}]
    group = zarr.open_group(str(folder / "labels.zarr"), mode="w", **({} if ZARR_2 else {"zarr_format": 2}))
    group.attrs["multiscales"] = [described | {"version": "0.4"}]
    create(folder / "labels.zarr" / "0", labels(), chunks=(48, 80, 80))
    blockwise.write(folder / "labels.zarr", folder / "target.zarr", scale=80, dtype="int8")
    blockwise.write_levels(folder / "target.zarr")


def show(viewer: Any, address: str) -> None:
    """What the page shows, one beside the other, and the position in the middle."""
    with viewer.txn() as state:
        state.layers["labels"] = neuroglancer.SegmentationLayer(source=f"zarr://{address}/labels.zarr")
        state.layers["target"] = neuroglancer.ImageLayer(
            source=f"zarr://{address}/target.zarr",
            shader="#uicontrol invlerp normalized(range=[0, 127])\nvoid main() { emitGrayscale(normalized()); }",
        )
        panels = (neuroglancer.LayerGroupViewer(layers=[name], layout="xy") for name in ("labels", "target"))
        state.layout = neuroglancer.row_layout(list(panels))
        state.dimensions = neuroglancer.CoordinateSpace(names=["z", "y", "x"], units="nm", scales=VOXEL_SIZE)
        state.display_dimensions = ["x", "y", "z"]
        state.position = [0.5 * extent for extent in SHAPE]
        state.cross_section_scale = 0.5
        state.show_axis_lines = False


def picture(folder: Path) -> np.ndarray[Any, Any]:
    """RGB of what the browser shows once everything is loaded."""
    from PIL import Image

    neuroglancer.set_server_bind_address("127.0.0.1")
    viewer = neuroglancer.Viewer()
    options = ["--no-sandbox", "--headless", "--window-size=1000,420"]
    options += ["--use-angle=swiftshader", "--enable-unsafe-swiftshader"]  # WebGL without a GPU
    with served(folder) as address, tempfile.TemporaryDirectory() as profile:
        show(viewer, address)
        command = [str(BROWSER), *options, "--remote-debugging-port=0", f"--user-data-dir={profile}"]
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "start_new_session": True}
        browser = subprocess.Popen([*command, viewer.get_viewer_url()], **quiet)
        try:
            for _ in range(60):  # it is asked again until the metadata of the layers have arrived
                taken = viewer.screenshot(size=(1000, 420)).screenshot
                image = np.asarray(Image.open(io.BytesIO(taken.image)).convert("RGB"))
                if colours(image) >= 10:
                    break
        finally:
            os.killpg(browser.pid, signal.SIGKILL)  # some packages start it by a script
            browser.wait()
    return image


def colours(image: np.ndarray[Any, Any]) -> int:
    return len(np.unique(image.reshape(-1, 3), axis=0))


@pytest.mark.skipif(BROWSER is None, reason=f"none of {', '.join(BROWSERS)} is installed")
def test_neuroglancer_shows_labels_and_target(tmp_path: Path) -> None:
    """The left half has many colours, the right half grey values that are dark along the boundaries of the left."""
    write(tmp_path)
    image = picture(tmp_path).astype(int)
    left, right = image[60:360, 40:440], image[60:360, 545:945]  # inside the yellow frames of the volume
    assert colours(left) >= 10
    assert np.abs(right - right[..., :1]).max() <= 8
    assert right.max() > 150
    edges = np.abs(np.diff(left, axis=1)).sum(axis=2) > 60
    assert right[:, 1:, 0][edges].mean() < 0.6 * right[..., 0].mean()


if __name__ == "__main__":
    from PIL import Image

    with tempfile.TemporaryDirectory() as made:
        write(Path(made))
        Image.fromarray(picture(Path(made)).astype(np.uint8)).save(sys.argv[1])
