"""Are outputs that an earlier version finished complete, and those that it began gone on with?"""

import zipfile
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest
from outputs.make import OPTIONS
from zarr_stores import FORMATS, attributes, digests, values

from inner_distance_gpu import blockwise, inner_distance

EARLIER = sorted((Path(__file__).parents[1] / "outputs").glob("*.zip"))
assert EARLIER


@pytest.fixture(params=EARLIER, ids=lambda path: path.stem)
def folder(request, tmp_path):
    """What that version left, with the labels where they are now."""
    with zipfile.ZipFile(request.param) as stored:
        stored.extractall(tmp_path)
    for file in [*tmp_path.rglob(".zattrs"), *tmp_path.rglob("zarr.json")]:
        file.write_text(file.read_text().replace("/data/", f"{tmp_path}/"))
    return tmp_path


@pytest.mark.parametrize("version", FORMATS)
def test_a_finished_output_is_complete(folder, version):
    target = folder / f"finished-{version}.zarr"
    before = digests(target)
    written = blockwise.write(folder / f"labels-{version}.zarr", target, (2, 1, 1), **OPTIONS)
    assert (written.computed, written.resumed) == (0, 8)
    assert written.class_voxels == [[216, 40]]
    assert digests(target) == before


@pytest.mark.parametrize("version", FORMATS)
def test_an_output_that_was_begun_is_gone_on_with(folder, version, monkeypatch):
    target, labels = folder / f"begun-{version}.zarr", folder / f"labels-{version}.zarr"
    monkeypatch.setattr(import_module("inner_distance_gpu.blockwise.plan"), "__version__", "9.0.0")
    written = blockwise.write(labels, target, (2, 1, 1), **OPTIONS)
    assert (written.computed, written.resumed) == (5, 3)
    assert digests(target / "0") == digests(folder / f"finished-{version}.zarr" / "0")
    assert attributes(target / "0")["version"] == "0.1.0", "that of the version that began it"
    expected = np.rint(inner_distance(values(labels), (2, 1, 1), scale=2) * np.float32(127))
    np.testing.assert_array_equal(values(target / "0"), expected)
