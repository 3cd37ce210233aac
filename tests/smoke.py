"""What a fresh install can do, with nothing beside it: the whole package, or without torch the native engine alone."""

import importlib.util
import sys
from importlib import metadata


def native(name="_host"):
    """The extension module by its file: importing the package takes torch."""
    (file,) = (f for f in metadata.files("inner_distance_gpu") if f.name.startswith(f"{name}.") and f.suffix != ".pyi")
    specification = importlib.util.spec_from_file_location(name, file.locate())
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


def engine_alone():
    host = native()
    labels, out = memoryview(bytes([0, 1, 1, 1])).cast("B", (1, 4)), memoryview(bytearray(16)).cast("f", (1, 4))
    for level in host.levels():
        task = host.CpuTask(host.Task((4.0, 4.0), 0.0, 0, False, 0.0), level, False)
        host.targets(task, labels, host.ElementFormat("u", labels.itemsize, False, False, 0), out, 2)
        assert out.tolist() == [[0.0, 2.0, 6.0, 10.0]], (level, out.tolist())
    return f"the native engine alone ({', '.join(host.levels())})"


def whole_package():
    import numpy as np

    from inner_distance_gpu import InnerDistanceTransform, engines, inner_distance

    assert engines.available()["cpu"] is None, engines.available()
    assert inner_distance(np.array([[0, 1, 1, 1]]), (4, 4), engine="cpu").tolist() == [[0.0, 2.0, 6.0, 10.0]]
    target, weight = InnerDistanceTransform((40, 4, 4), 50)(np.eye(9, dtype=np.uint8)[None])
    assert target.shape == weight.shape == (1, 9, 9)
    return "the whole package"


if __name__ == "__main__":
    torch = importlib.util.find_spec("torch") is not None
    print(f"Python {sys.version.split()[0]}: {whole_package() if torch else engine_alone()} works")
