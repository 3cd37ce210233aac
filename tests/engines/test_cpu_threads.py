"""Is engine `cpu` safe in workers and from several Python threads, and does it fail in Python?

test_cpu_pool.py has forks, and the threads that stay between calls."""

import concurrent.futures
import pickle
import re
import subprocess
import sys
import threading
import time

import numpy as np
import pytest
import torch

from inner_distance_gpu import InnerDistanceTransform, balanced_weights, engines, inner_distance
from inner_distance_gpu.engines import Arrays, cpu, native
from inner_distance_gpu.parameters import TargetParameters, Task

pytestmark = pytest.mark.skipif(engines.available()["cpu"] is not None, reason=str(engines.available()["cpu"]))
LABELS = (np.random.default_rng(0).random((6, 40, 50, 60)) < 0.9).astype(np.uint8)


def answer(i, threads=3):
    return inner_distance(LABELS[i], (8, 8, 8), scale=50, engine="cpu", threads=threads)


class Dataset(torch.utils.data.Dataset):
    transform = InnerDistanceTransform((8, 8, 8), 50, engine="cpu")

    def __len__(self):
        return len(LABELS)

    def __getitem__(self, i):
        return self.transform(torch.from_numpy(LABELS[i]))[0]


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_dataloader_workers(method):
    expected = [answer(i) for i in range(len(LABELS))]  # the parent has used the engine, threads and all
    loader = torch.utils.data.DataLoader(
        Dataset(), batch_size=None, num_workers=2, multiprocessing_context=method, timeout=120
    )
    for target, same in zip(loader, expected, strict=True):
        np.testing.assert_array_equal(target, same)


def test_several_python_threads():
    expected = [answer(i) for i in range(len(LABELS))]
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        for i, result in enumerate(pool.map(answer, list(range(len(LABELS))) * 8)):
            np.testing.assert_array_equal(result, expected[i % len(LABELS)])


def test_the_gil_is_free():
    labels = np.ones((160, 160, 160), np.uint8)
    labels[0, 0, 0] = 0
    ticks, done = [], threading.Event()

    def work():
        inner_distance(labels, (1, 1, 1), engine="cpu", threads=1)
        done.set()

    worker = threading.Thread(target=work)
    worker.start()
    while not done.is_set():
        ticks.append(time.perf_counter())
        time.sleep(0.001)
    worker.join()
    assert len(ticks) > 5


MEMORY = """
import resource
import numpy as np
from inner_distance_gpu import inner_distance
from inner_distance_gpu.engines import Arrays, cpu, native
from inner_distance_gpu.parameters import TargetParameters, Task

labels = np.broadcast_to(np.uint8(1), (1024, 1024, 1024))
out = np.lib.stride_tricks.as_strided(np.zeros(1, np.float32), labels.shape, (0, 0, 0))
parameters = TargetParameters.checked((1, 1, 1), 10, "zero", "extent", None, 0)
with open("/proc/self/statm") as file:  # a torch that is built with CUDA maps gigabytes by itself
    most = int(file.read().split()[0]) * resource.getpagesize() + (2 << 30)
resource.setrlimit(resource.RLIMIT_AS, (most, most))
try:
    cpu.run(Task(parameters), Arrays(labels, None, out, None), 2)
except MemoryError as error:
    print("MemoryError", error)
for engine in ("cpu", "reference"):
    try:
        inner_distance(labels, (1, 1, 1), engine=engine)
    except MemoryError as error:
        print(type(error).__name__, error)
print(inner_distance(np.array([[0, 1]]), (1, 1), engine="cpu").tolist())
"""


@pytest.mark.skipif(sys.platform != "linux", reason="limits memory as Linux does")
def test_memory_that_is_not_there_is_a_python_error():
    result = subprocess.run([sys.executable, "-c", MEMORY], capture_output=True, text=True, timeout=120)
    scratch, *public, after, _ = result.stdout.split("\n")
    assert re.fullmatch(r"MemoryError \d{10,} bytes of scratch memory were asked for", scratch), result.stderr
    for engine, line in zip(("cpu", "reference"), public, strict=True):
        assert line.startswith(f"MemoryError engine '{engine}' ran out of memory for labels of uint8 and shape (1024, ")
        assert f"{4 * 1024**3} bytes" in line
        assert "4.00 GiB" in line  # what NumPy was asked for
        assert "blockwise.write" in line
    assert "engine='cpu' takes less" in public[1]
    assert after == "[[0.0, 0.5]]"


@pytest.mark.parametrize("kind", [MemoryError, torch.cuda.OutOfMemoryError])
@pytest.mark.parametrize("function", ["inner_distance", "balanced_weights", "target_and_weights"])
def test_an_engine_without_memory_says_what_was_asked_of_it(monkeypatch, function, kind):
    def fail(*arguments):
        raise kind("CUDA out of memory. Tried to allocate 2.00 GiB")

    monkeypatch.setattr(cpu, "run", fail)
    labels, transform = np.eye(5), InnerDistanceTransform((1, 1), 1, engine="cpu")
    calls = {
        "inner_distance": lambda: inner_distance(labels, (1, 1), engine="cpu"),
        "balanced_weights": lambda: balanced_weights(labels, engine="cpu"),
        "target_and_weights": lambda: transform(labels),
    }
    with pytest.raises(kind, match=r"'cpu' .*float64 and shape \(5, 5\).* 100 bytes: CUDA out of memory\. .*2\.00 GiB"):
        calls[function]()
    assert transform.counts.denominators.tolist() == [[1, 1]]


def test_a_task_that_was_used_can_be_pickled():
    task = Task(TargetParameters.checked((1, 1), 1, "zero", "extent", None, 0))
    cpu.run(task, Arrays(np.eye(3, dtype=np.uint8), None, np.empty((3, 3), np.float32), None), 1)
    again = pickle.loads(pickle.dumps(task))
    assert again == task
    assert task.prepared
    assert not again.prepared


def test_the_binding_refuses_what_does_not_fit():
    """The engine is called with checked arrays; a mistake there must not become a crash."""
    parameters = TargetParameters.checked((1, 1), 1, "zero", "extent", None, 0)
    labels, out = np.zeros((3, 4), np.uint8), np.zeros((3, 4), np.float32)
    for wrong in (out[:, :3], out.astype(np.float64), out[0]):
        with pytest.raises(ValueError, match="out"):
            cpu.run(Task(parameters), Arrays(labels, None, wrong, None), 1)
    read_only = out.copy()
    read_only.flags.writeable = False
    for wrong in (read_only, bytes(48), np.float32(0), memoryview(b""), 3):
        with pytest.raises(TypeError, match=r"out is a \w+: expected an array that can be written"):
            cpu.run(Task(parameters), Arrays(labels, None, wrong, None), 1)
    element = native.element_format(labels.dtype)
    for wrong in (3, "labels"):
        with pytest.raises(TypeError, match=r"labels is a \w+: expected an array"):
            native.module.targets(cpu._task(parameters), wrong, element, out, 1)
    with pytest.raises(ValueError, match="fewer axes"):
        cpu.run(Task(parameters), Arrays(labels[0], None, out[0], None), 1)


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"voxel_size": (1.0, float("nan"))}, "voxel sizes"),
        ({"voxel_size": (1.0, 0.0)}, "voxel sizes"),
        ({"scale": float("inf")}, "scale"),
        ({"background": 3}, "background"),
    ],
)
def test_the_binding_refuses_tasks_that_are_none(changed, said):
    task = {"voxel_size": (1.0, 1.0), "scale": 1.0, "background": 0, "saturate": False, "fill": 0.0}
    native.module.Task(**task)
    with pytest.raises(ValueError, match=said):
        native.module.Task(**(task | changed))


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"mask_kind": "f"}, "floats of 2, 4 or 8 bytes"),  # would read beyond its end
        ({"kind": "f"}, "floats of 2, 4 or 8 bytes"),
        ({"foreground": True}, "2 classes"),  # would count beyond its end
        ({"slab": (2**63 - 1, 1)}, "slab"),
    ],
)
def test_the_binding_refuses_weights_that_do_not_fit(changed, said):
    labels, counts = np.zeros((3, 4), np.uint8), np.ones((12, 1))
    call = {"labels": labels, "kind": "u", "mask": labels, "mask_kind": "u"}
    call |= {"weights": np.empty((3, 4), np.float32), "numerators": counts, "denominators": counts.copy()}
    call |= {"classes": 1, "foreground": False, "slab": (1, 1), "clip": (0.1, 0.9), "threads": 1}

    def weigh(kind, mask_kind, **arguments):
        formats = (native.module.ElementFormat(letter, 1, False, False, 0) for letter in (kind, mask_kind))
        native.module.class_weights(**dict(zip(("format", "mask_format"), formats, strict=True)), **arguments)

    weigh(**call)
    with pytest.raises(ValueError, match=said):
        weigh(**(call | changed))


def test_everything_together():
    """Targets, weights and the fused call, each with threads of its own, from several Python threads at once."""
    mask = np.random.default_rng(1).random(LABELS.shape[1:]).astype(np.float32)

    def everything(i):
        transform = InnerDistanceTransform((8, 8, 8), 50, border="mask", engine="cpu", threads=4)
        fused = transform(LABELS, mask)
        weights, counts = balanced_weights(LABELS[i], mask=mask, slab=(7, -1, 9), engine="cpu", threads=4)
        return [answer(i, 4), *fused, transform.counts.state().numpy(), weights, counts.state().numpy()]

    expected = [everything(i) for i in range(len(LABELS))]
    with concurrent.futures.ThreadPoolExecutor(3) as pool:
        for i, results in enumerate(pool.map(everything, list(range(len(LABELS))) * 3)):
            for result, same in zip(results, expected[i % len(LABELS)], strict=True):
                np.testing.assert_array_equal(result, same)
