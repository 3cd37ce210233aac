import sys

import pytest
import torch

from inner_distance_gpu import cli, notices


def pytest_collection_modifyitems(items):
    if not torch.cuda.is_available():
        for item in items:
            if item.get_closest_marker("gpu"):
                item.add_marker(pytest.mark.skip(reason="needs a CUDA device, and torch sees none"))


@pytest.fixture(autouse=True)
def nothing_said_before():
    """What is said once per process may be said in every test."""
    notices.forget()


@pytest.fixture
def call(monkeypatch, capsys):
    """Run the program in this process; returns exit code, standard output and error output."""

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["inner-distance-gpu", *map(str, arguments)])
        with pytest.raises(SystemExit) as left:
            cli.main()
        printed = capsys.readouterr()
        return left.value.code, printed.out, printed.err

    return run
