"""Does importing the package stay light, and do optional packages stay optional?"""

import subprocess
import sys

import pytest

HEAVY = [
    *("cupy", "cucim", "dask", "scipy", "matplotlib", "stardist", "dacapo", "monai"),
    *("tifffile", "zarr", "numcodecs", "worldarray", "tensorstore", "h5py", "PIL", "nibabel", "nrrd", "SimpleITK"),
]


def python(code):
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


@pytest.mark.parametrize("module", ["inner_distance_gpu", "inner_distance_gpu.cli"])
def test_import_loads_no_heavy_library(module):
    loaded = python(f"import sys, {module}; print(*{{name.split('.')[0] for name in sys.modules}})")
    assert "torch" in loaded
    assert set(HEAVY) & set(loaded) == set()


def test_host_arrays_touch_no_device_library():
    loaded = python(
        "import sys, numpy, inner_distance_gpu as i; i.inner_distance(numpy.eye(3), (1, 1)); "
        "i.balanced_weights(numpy.eye(3)); i.engines.available(); print(*sys.modules)"
    )
    assert {"cupy", "cucim"} & {name.split(".")[0] for name in loaded} == set()


@pytest.mark.parametrize(
    ("blocked", "code", "said"),
    [
        ("tifffile", "inner_distance_gpu.open_labels(path)", "inner_distance_gpu[volumes]"),
        ("matplotlib", "figures.save(pathlib.Path(path), [])", "inner_distance_gpu[figures]"),
    ],
)
def test_missing_extras_are_named(tmp_path, blocked, code, said):
    path = tmp_path / "labels.tif"
    path.write_bytes(b"II*\x00")
    out = python(
        f"import sys, pathlib; sys.modules[{blocked!r}] = None; from inner_distance_gpu.cli import figures\n"
        "import inner_distance_gpu\n"
        f"path = {str(path)!r}\ntry: {code}\nexcept ValueError as error: print(error)"
    )
    assert said in " ".join(out)


def test_public_names():
    import inner_distance_gpu

    for name in inner_distance_gpu.__all__:
        assert getattr(inner_distance_gpu, name) is not None
