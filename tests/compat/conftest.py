import importlib.util

import pytest


@pytest.fixture(autouse=True)
def _no_threads_in_dask():
    # Sources read through Dask, and PreCache's forked workers wait forever for a thread pool of their parent.
    if importlib.util.find_spec("dask") is None:
        yield
        return
    import dask

    with dask.config.set(scheduler="synchronous"):
        yield
