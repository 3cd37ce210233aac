"""Empty modules for what other libraries import and no test touches: file formats, a model zoo, a logger."""

from __future__ import annotations

import functools
import importlib
import importlib.util
import sys
import warnings
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

import pytest

NAMES = ("fibsem_tools", "cellmap_models", "neuroglancer", "cellmap_schemas", "iohub", "bioimageio", "wandb", "napari")


class _Empty(ModuleType):
    """A module and package in which every public name is a class without members."""

    __path__: list[str] = []  # noqa: RUF012

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        value = type(name, (), {})
        setattr(self, name, value)
        return value


class _Finder(MetaPathFinder, Loader):
    def __init__(self, names: list[str]) -> None:
        self.names = names

    def find_spec(self, fullname: str, path: Any = None, target: Any = None) -> ModuleSpec | None:
        return ModuleSpec(fullname, self, is_package=True) if fullname.split(".")[0] in self.names else None

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        return _Empty(spec.name)

    def exec_module(self, module: ModuleType) -> None:
        pass


def install() -> None:
    """Stand in for those of `NAMES` that are not installed; they stay importable where they are."""
    missing = [name for name in NAMES if importlib.util.find_spec(name) is None]
    if missing:
        sys.meta_path.append(_Finder(missing))


@functools.cache
def declare_operators() -> Any:
    """The schemas that `import torchvision` asks for where its compiled part cannot load, as beside a torch without
    CUDA: the wheels on PyPI are built with it. Only boxes would use them."""
    import torch

    if importlib.util.find_spec("torchvision") is None or torch.version.cuda is not None:
        return None
    library = torch.library.Library("torchvision", "FRAGMENT")
    for name in ("nms", "qnms"):
        library.define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    return library  # kept, or the operators would go with it


def real(name: str) -> ModuleType:
    """The library, or a skip of the whole test module where it is not installed."""
    spec = importlib.util.find_spec(name.split(".")[0])
    if spec is None or isinstance(spec.loader, _Finder):
        pytest.skip(f"{name} is not installed; `make compat` makes an environment with it", allow_module_level=True)
    install()
    declare_operators()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what these libraries' own imports warn of is not ours to fail on
        return importlib.import_module(name)
