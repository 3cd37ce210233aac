"""Do the blocks of the documentation that need other packages run with the real ones?"""

import importlib
import warnings
from types import SimpleNamespace

import pages
import pytest
from compat.standins import real

for package in pages.COMPAT:
    real(package)

import gunpowder as gp  # noqa: E402
from dacapo.experiments.tasks import InnerDistanceTask, InnerDistanceTaskConfig  # noqa: E402

from inner_distance_gpu import InnerDistancePredictor  # noqa: E402

PAGES = [page for page in pages.PAGES if any(block.compat for block in pages.blocks(page))]


@pytest.fixture
def started(monkeypatch):
    """A run whose config is in the store, as `dacapo train` finds it; holds what was trained."""
    config = InnerDistanceTaskConfig(name="inner", channels=["a"], clip_distance=80, tol_distance=8, scale_factor=50)
    run, trained = SimpleNamespace(task=InnerDistanceTask(config)), []
    store = SimpleNamespace(retrieve_run_config={"my_run": config}.__getitem__)
    for module, name, value in (
        ("dacapo.experiments", "Run", lambda stored: run),
        ("dacapo.store.create_store", "create_config_store", lambda: store),
        ("dacapo.train", "train_run", trained.append),
    ):
        assert callable(getattr(importlib.import_module(module), name))
        monkeypatch.setattr(importlib.import_module(module), name, value)
    return SimpleNamespace(run=run, trained=trained)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_pages(page, started, tmp_path, call, monkeypatch):
    """All Python of the page, in its order."""
    for name, value in pages.RANK.items():
        monkeypatch.setenv(name, value)
    names = {"__name__": page.stem, "run": started.run, "sources": gp.RandomProvider()}
    blocks = [block for block in pages.blocks(page) if block.language in ("python", "pycon")]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of these packages, about one another
        for block in blocks:
            pages.run(block, names, tmp_path, call)
    if page.name == "dacapo.md":
        assert started.trained == [started.run]
        assert isinstance(started.run.task.predictor, InnerDistancePredictor)
        assert isinstance(names["task"].predictor, InnerDistancePredictor)
        assert "AddInnerDistance -> PreCache" in str(names["pipeline"])
    if page.name == "README.md":
        assert isinstance(started.run.task.predictor, InnerDistancePredictor)


def test_every_package_has_its_page():
    needed = {package for page in PAGES for block in pages.blocks(page) for package in block.compat}
    assert needed - {""} == set(pages.COMPAT)
