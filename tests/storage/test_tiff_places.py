"""Is the place of a TIFF file taken where it states one, and never where its numbers say nothing of the world?"""

import numpy as np
import pytest
from label_stores import SMALL, pillow_tiff

from inner_distance_gpu import open_labels

pytest.importorskip("tifffile", reason="tifffile is not installed (extra 'volumes')")
LABELS = SMALL[:3, :20, :24]
SIZES = 'PhysicalSizeX="4" PhysicalSizeXUnit="nm" PhysicalSizeY="4" PhysicalSizeYUnit="nm" PhysicalSizeZ="0.04"'


def ome(path, planes, sizes=SIZES):
    z, y, x = LABELS.shape
    text = (
        '<?xml version="1.0" encoding="UTF-8"?><OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06">'
        f'<Image ID="Image:0"><Pixels ID="Pixels:0" DimensionOrder="XYZCT" Type="uint16" SizeX="{x}" SizeY="{y}" '
        f'SizeZ="{z}" SizeC="1" SizeT="1" {sizes}><Channel ID="Channel:0:0" SamplesPerPixel="1"/><TiffData/>'
        f"{planes}</Pixels></Image></OME>"
    )
    return pillow_tiff(path, text, values=LABELS)


def plane(z, unit="", **positions):
    stated = " ".join(f'Position{name}="{value}"' for name, value in positions.items())
    units = " ".join(f'Position{name}Unit="{unit}"' for name in positions) if unit else ""
    return f'<Plane TheC="0" TheT="0" TheZ="{z}" {stated} {units}/>'


@pytest.mark.parametrize(
    ("planes", "translation"),
    [
        (plane(0, "nm", X=80, Y=84, Z=400), (400, 84, 80)),
        (plane(0, "&#181;m", X=0.08, Y=0.084, Z=0.4), (400, 84, 80)),
        (plane(2, "nm", X=80, Y=84, Z=480) + plane(0, "nm", X=80, Y=84, Z=400), (400, 84, 80)),
        (plane(2, "nm", X=80, Y=84, Z=480), None),
        (plane(0, "nm", X=80, Y=84), None),
        (plane(0, X=80, Y=84, Z=400), None),  # the schema's unit is the reference frame then
        (plane(0, "reference frame", X=80, Y=84, Z=400), None),
        (plane(0, "pixel", X=80, Y=84, Z=400), None),
        ("", None),
    ],
)
def test_ome_positions(tmp_path, planes, translation):
    labels = open_labels(ome(tmp_path / "l.ome.tif", planes))
    assert (labels.voxel_size, labels.unit, labels.stated_by) == ((40, 4, 4), "nm", "OME-TIFF")
    assert labels.translation == (None if translation is None else pytest.approx(translation))
    if translation is not None:
        assert open_labels(tmp_path / "l.ome.tif", unit="um").translation == pytest.approx(np.divide(translation, 1000))
        assert open_labels(tmp_path / "l.ome.tif", voxel_size=(30, 4, 4)).translation is None


def test_ome_sizes_of_which_only_some_have_a_unit(tmp_path):
    sizes = SIZES.replace('PhysicalSizeXUnit="nm"', 'PhysicalSizeXUnit="reference frame"')
    assert open_labels(ome(tmp_path / "l.ome.tif", "", sizes)).voxel_size is None


@pytest.mark.parametrize(
    ("origins", "translation"),
    [
        ("xorigin=-20\nyorigin=-21\nzorigin=-10\n", (400, 84, 80)),
        ("xorigin=-20.5\n", (0, 0, 82)),  # ImageJ leaves out an origin of 0
        ("", None),
    ],
)
def test_imagej_origins(tmp_path, origins, translation):
    text = f"ImageJ=1.54f\nimages=3\nslices=3\nunit=nm\nspacing=40\n{origins}"
    labels = open_labels(pillow_tiff(tmp_path / "l.tif", text, (1, 4), LABELS))
    assert (labels.voxel_size, labels.unit) == ((40, 4, 4), "nm")
    assert labels.translation == (None if translation is None else pytest.approx(translation))
