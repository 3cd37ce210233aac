"""Does the known-answer test see a wrong kernel and say what differs, and is what it compares with right?"""

import ctypes
import re
import shutil
import subprocess

import host_launcher
import numpy as np
import pytest
import record_known_answers
import torch
from host_launcher import HostLauncher

from inner_distance_gpu import InnerDistanceTransform, balanced_weights, inner_distance
from inner_distance_gpu.engines.cuda import compiler, self_test
from inner_distance_gpu.engines.cuda import run as cuda
from inner_distance_gpu.engines.cuda.compiler import Kernel

HOST = torch.device("cpu")


@pytest.fixture
def launcher(on_host):
    return on_host(HostLauncher())


@pytest.fixture
def recorded():
    with self_test.FILE.open("rb") as file, np.load(file) as arrays:
        return dict(arrays)


def test_the_file_is_what_the_kernels_give_on_a_host(launcher, recorded):
    made = record_known_answers.record(recorded["labels"], recorded["mask"])
    assert set(made) == set(recorded)
    for name, values in made.items():
        assert values.dtype == recorded[name].dtype, name
        np.testing.assert_array_equal(values.view(np.uint8), recorded[name].view(np.uint8), err_msg=name)
    assert len(self_test.FILE.read_bytes()) <= 64 << 10


def test_what_is_recorded_is_right(recorded):
    """The other engine's answer, so that a fault of the kernels is not recorded as the truth."""
    labels, mask = recorded["labels"], recorded["mask"]
    assert len(np.unique(labels[0])) == 4
    assert len(np.unique(labels[1])) == 1  # no site
    for case in self_test.CASES:
        p, w = case.parameters, case.weighing
        if p is None:
            keywords = {"slab": w.slab, "clip": w.clip, "ignore_label": w.ignore_label, "engine": "reference"}
            expected, counts = balanced_weights(labels[:1], w.num_classes, mask=mask[:1], **keywords)
            check_weights(recorded, case.name, expected, counts)
            continue
        keywords = {"background": p.background, "ignore_label": p.ignore_label, "fill": p.fill, "engine": "reference"}
        expected = inner_distance(labels[: case.volumes], p.voxel_size, scale=p.scale, classes=case.classes, **keywords)
        np.testing.assert_allclose(recorded[f"{case.name}/target"], expected, atol=1e-6)
        if w is not None:
            transform = InnerDistanceTransform(p.voxel_size, p.scale, border="mask", **keywords)
            check_weights(recorded, case.name, transform(labels, mask)[1], transform.counts)


def check_weights(recorded, name, expected, counts):
    np.testing.assert_allclose(recorded[f"{name}/weight"], expected, rtol=1e-6)
    assert recorded[f"{name}/numerators"].tolist() == counts.numerators.tolist()
    assert recorded[f"{name}/denominators"].tolist() == counts.denominators.tolist()


def base(kernel):
    """The name of a kernel without namespace and types."""
    return kernel.name.removeprefix("half_grid::").partition("<")[0]


def test_every_kernel_that_the_engine_can_launch_is_run(launcher):
    """All but those of engine `cucim`. Of a template one instance has to do: each takes a second or more to compile."""
    assert self_test.difference(HOST, cuda.start) is None
    expected = {base(kernel) for kernel in compiler.every_kernel() if kernel.file != "doubled.cu"}
    assert {base(launch.kernel) for launch in launcher.launches} == expected
    assert {base(planted) for planted in (Kernel(p[0], p[3]) for p in PLANTED)} == expected


PLANTED = [  # file, what stands there, what is planted; kernel that is wrong; what is said
    (
        "scan.cu",
        "lower < up[i] ? lower : up[i]",
        "up[i]",
        "scan<unsigned char, unsigned char>",
        "plane<.*'float', target",
    ),
    (
        "classify.cu",
        "transposed(members[group])",
        "members[group]",
        "classify<unsigned char>",
        "pairs, case 'classes', target",
    ),
    (
        "pairs.cu",
        "costs[away + 1].even, best[r]);",
        "costs[away].even, best[r]);",
        "pairs",
        "pairs, case 'packed', target",
    ),
    ("plane.cu", "w + ways.even[away]", "w + ways.odd[away]", "plane<unsigned char, false>", "plane<.*'float', target"),
    (
        "weights.cu",
        "length += counts;",
        "length += 1;",
        "count",
        r"count, .*numerators: 2 of 2 .*\(slab, class\) \(0, 0\)",
    ),
    (
        "weights.cu",
        "w.denominators[at] + total;",
        "w.denominators[at] + total + 1;",
        "settle",
        "settle, case 'masked', denominators",
    ),
    (
        "weights.cu",
        "slab += divided(at, w.slab[a]) * step;",
        "slab += 0;",
        "weigh",
        "weigh, case 'weights', weight",
    ),
]


@pytest.fixture(scope="module")
def faulty(tmp_path_factory):
    """All faults in one library of kernels; a test chooses which kernel runs from it."""
    folder = tmp_path_factory.mktemp("faulty")
    shutil.copytree(host_launcher.KERNELS, folder / "kernels")
    for _, source, fault, *_ in PLANTED:
        texts = {path: path.read_text() for path in (folder / "kernels/cuda").iterdir()}
        (path,) = (path for path, text in texts.items() if source in text)  # of `file`, or of what it includes
        assert texts[path].count(source) == 1, source
        path.write_text(texts[path].replace(source, fault))
    compiler_path = shutil.which("g++")
    if compiler_path is None:
        pytest.skip("needs g++ to run the CUDA kernels on the host")
    includes = [f"-I{path}" for path in (host_launcher.TESTS, folder / "kernels", folder / "kernels/cuda")]
    made, source = folder / "kernels.so", host_launcher.TESTS / "host_kernels.cpp"
    subprocess.run([compiler_path, *host_launcher.FLAGS, "-O1", "-w", *includes, "-o", made, source], check=True)
    loaded, healthy = ctypes.CDLL(str(made)), host_launcher.library()
    loaded.run_kernel.argtypes = healthy.run_kernel.argtypes
    return loaded


@pytest.mark.parametrize(("file", "source", "fault", "kernel", "said"), PLANTED, ids=[p[3] for p in PLANTED])
def test_a_wrong_kernel_is_seen(launcher, faulty, monkeypatch, file, source, fault, kernel, said):
    healthy = host_launcher.library()
    monkeypatch.setattr(
        host_launcher,
        "library",
        lambda: faulty if launcher.launches[-1].kernel.name == f"half_grid::{kernel}" else healthy,
    )
    found = self_test.difference(HOST, cuda.start)
    assert found is not None
    assert re.search(said, found), found
