"""`pytest --engines-on-host`: the suite as on a machine with a GPU, the kernels run on the host.

Engines `cuda` and `cucim` are there in the whole session and in the processes that tests start. A test that asks for
one of them has to run a kernel, there and wherever a test brings a launcher of its own.
"""

import os
from pathlib import Path

import pytest
from host_launcher import HostLauncher, kernels_run, library, stand_ins

from inner_distance_gpu import engines
from inner_distance_gpu.engines.cuda import launcher as launching

TESTS = Path(__file__).parent
DEVICE = {"cuda", "cucim"}
_originals = []  # of what is replaced for the session
_chosen = []  # device engines that were chosen in the test that runs


def pytest_addoption(parser):
    parser.addoption(
        "--engines-on-host",
        action="store_true",
        help="engines cuda and cucim are available, their kernels run on the host (cuCIM's EDT is SciPy's)",
    )


def pytest_configure(config):
    config.addinivalue_line("markers", "no_kernel: asks for a device engine, and rightly no kernel runs")
    if not config.getoption("--engines-on-host"):
        return
    _note_choices()
    if getattr(config.option, "numprocesses", None):
        return  # the processes of pytest-xdist run the tests
    library()  # compiled, or the run ends here
    for owner, name, value in stand_ins(HostLauncher()):
        _originals.append((owner, name, getattr(owner, name)))
        setattr(owner, name, value)
    paths = [str(TESTS / "child"), str(TESTS), *filter(None, [os.environ.get("PYTHONPATH")])]
    os.environ["PYTHONPATH"] = os.pathsep.join(paths)


def pytest_report_header(config):
    return "engines cuda and cucim: on the host" if config.getoption("--engines-on-host") else None


def _note_choices():
    choose = engines.choose

    def noted(engine, on_host, shape):
        name, module = choose(engine, on_host, shape)
        if name in DEVICE:
            _chosen.append(name)
        return name, module

    engines.choose = noted


@pytest.hookimpl(wrapper=True)
def pytest_pyfunc_call(pyfuncitem):
    """A test that asked for a device engine fails where no kernel ran."""
    before, named = kernels_run(), DEVICE & set(_parameters(pyfuncitem))
    _chosen.clear()
    result = yield
    asked = named or _chosen or "on_host" in pyfuncitem.fixturenames
    on_host = isinstance(launching.launcher, HostLauncher)
    other = not named and set(_parameters(pyfuncitem)) & {"cpu", "reference"}
    if asked and on_host and not other and not pyfuncitem.get_closest_marker("no_kernel"):
        assert kernels_run() > before, f"{pyfuncitem.name} asks for a device engine, and no kernel ran"
    return result


def _parameters(item):
    values = item.callspec.params.values() if hasattr(item, "callspec") else ()
    return [value for value in values if isinstance(value, str)]


@pytest.fixture
def own_driver(monkeypatch):
    """What the package itself finds on this machine, whatever stands in for it in this session."""
    for original in _originals:
        monkeypatch.setattr(*original)
