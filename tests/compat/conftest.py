import importlib.util
from importlib import metadata

import pytest

PACKAGES = ["dacapo-ml", "gunpowder", "dacapo-toolbox", "cellmap-data", "monai", "torch-em", "pytorch-lightning"]
PACKAGES += ["torchvision", "torch", "numpy"]


def pytest_report_header():
    return "with " + ", ".join(f"{name} {_version(name)}" for name in PACKAGES)


def _version(name):
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return "(not installed)"


@pytest.fixture(autouse=True)
def _no_threads_in_dask():
    # Sources read through Dask, and PreCache's forked workers wait forever for a thread pool of their parent.
    if importlib.util.find_spec("dask") is None:
        yield
        return
    import dask

    with dask.config.set(scheduler="synchronous"):
        yield
