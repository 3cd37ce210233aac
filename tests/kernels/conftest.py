import pytest
from device_calls import LAUNCHERS
from host_launcher import HostLauncher
from race.launcher import under_detector

__all__ = ["under_detector"]


@pytest.fixture(params=LAUNCHERS.values(), ids=LAUNCHERS.keys())
def launcher(request, on_host):
    return on_host(HostLauncher(**request.param))


@pytest.fixture
def default(on_host):
    return on_host(HostLauncher())
