"""Do kernels read labels of many classes once, and nothing but the bits that are made of them afterwards?"""

import ctypes

import numpy as np
import pytest
import torch
from device_calls import LAUNCHERS, blobs
from host_launcher import HostLauncher

from inner_distance_gpu import InnerDistanceTransform, inner_distance
from inner_distance_gpu.engines.cuda import plans
from inner_distance_gpu.engines.cuda import run as cuda

CLASSES = [(1, 2), 2, (1, 3), 3]


class Spoiling(HostLauncher):
    """Overwrites the labels once kernel `classify` has run: nothing that runs later may read them."""

    labels = None

    def run_one(self, launch, address):
        super().run_one(launch, address)
        if launch.kernel.file == "classify.cu":
            self.labels.fill_(0)


def labels_of(dtype=torch.uint8):
    labels = blobs((3, 33, 13, 70), 1, 0.5) + 2 * blobs((3, 33, 13, 70), 2, 0.3)
    return torch.from_numpy(labels).to(dtype)


@pytest.mark.parametrize("engine", ["cuda", "cucim"])
@pytest.mark.parametrize("voxel_size", [(4, 4, 4), (4.1, 4, 4)])
@pytest.mark.parametrize("dtype", [torch.uint8, torch.int64, torch.float32])
def test_only_one_kernel_reads_labels(on_host, engine, voxel_size, dtype):
    labels = labels_of(dtype)
    mask = torch.from_numpy(np.random.default_rng(0).random(labels.shape).astype(np.float32))
    keywords = {"classes": CLASSES, "background": "times_label", "border": "mask", "moving": False}
    expected = InnerDistanceTransform(voxel_size, 20, engine="reference", **keywords)(labels, mask)
    launcher = on_host(Spoiling())
    transform = InnerDistanceTransform(voxel_size, 20, engine=engine, **keywords)
    launcher.labels = labels.clone()
    if engine == "cucim":  # counts are made apart from targets
        launcher.labels = torch.empty(0)
        assert_close(transform(labels, mask), expected)
        transform = InnerDistanceTransform(voxel_size, 20, engine=engine, weights=False, **_targets(keywords))
        launcher.labels = labels.clone()
        assert_close([transform(launcher.labels)], expected[:1])
    else:
        assert_close(transform(launcher.labels, mask), expected)
    assert not launcher.labels.any()


def _targets(keywords):
    return {key: value for key, value in keywords.items() if key not in ("border", "moving")}


def assert_close(found, expected):
    for made, same in zip(found, expected, strict=True):
        torch.testing.assert_close(made, same, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("how", LAUNCHERS)
@pytest.mark.parametrize("packs", [True, False])
def test_every_geometry(on_host, how, packs):
    on_host(HostLauncher(**LAUNCHERS[how], packs=packs))
    labels = labels_of()[0]
    for ignored in (None, 0):
        keywords = {"scale": 20, "background": "signed", "ignore_label": ignored, "classes": CLASSES}
        expected = inner_distance(labels, (4, 4, 4), engine="reference", **keywords)
        assert_close([inner_distance(labels, (4, 4, 4), engine="cuda", **keywords)], [expected])


def test_labels_that_kernels_cannot_address_are_copied_once(on_host, monkeypatch):
    """More leading axes than a record holds: a copy of the labels, not one for each class."""
    on_host(HostLauncher())
    labels = torch.from_numpy(np.random.default_rng(0).integers(0, 4, (2, 3, 2, 3, 2, 3, 4, 5)))
    turned = labels.permute(5, 4, 3, 2, 1, 0, 6, 7)
    taken, take = [], torch.Tensor.contiguous
    monkeypatch.setattr(torch.Tensor, "contiguous", lambda t, *a, **k: taken.append(t.shape) or take(t, *a, **k))
    result = inner_distance(turned, (1, 1), scale=3, classes=CLASSES, engine="cuda")
    assert taken == [turned.shape]
    expected = inner_distance(turned, (1, 1), scale=3, classes=CLASSES, engine="reference")
    assert_close([result], [expected])


def test_scratch_memory_beside_that_of_channels(on_host):
    """No more than a bit for each label and class, where a mask for each class would be a byte."""
    launcher, taken = on_host(HostLauncher()), []
    take = cuda.take_scratch

    def noted(plan, device):
        taken.append(plan.scratch_bytes)
        return take(plan, device)

    labels = torch.zeros(32, 32, 32, dtype=torch.uint8)
    labels[8:20, 8:20, 8:20] = 1
    cuda.take_scratch = noted
    try:
        inner_distance(labels, (4, 4, 4), scale=20, engine="cuda", classes=[1] * 7)
        inner_distance(labels.expand(7, 32, 32, 32).contiguous(), (4, 4, 4), scale=20, engine="cuda")
    finally:
        cuda.take_scratch = take
    assert taken[0] == taken[1]
    assert [launch.kernel.file for launch in launcher.launches] == [
        "classify.cu",
        "scan.cu",
        "pairs.cu",
        "scan.cu",
        "pairs.cu",
    ]


def test_launches_and_labels_that_are_read_do_not_grow_with_the_classes(on_host):
    """A warp of `classify` reads 32 labels along x in turns: as many turns whatever the number of classes."""
    labels, calls = torch.ones(4, 9, 70, dtype=torch.uint8), []
    for count in (1, 7, 48):
        launcher = on_host(HostLauncher())
        inner_distance(labels, (4, 4, 4), scale=20, engine="cuda", classes=[1] * count)
        record = launcher.records[0]
        turns = record.volumes // record.table.classes * 4 * 9 * record.words
        calls.append(([launch.kernel.file for launch in launcher.launches], launcher.launches[0].grid, turns))
    assert calls == [(["classify.cu", "scan.cu", "pairs.cu"], calls[0][1], 4 * 9 * 3)] * 3


def test_the_table_is_on_the_device_once():
    device, classes = torch.device("cpu"), ((1, 2), (7,))
    first = plans.class_table(torch.int32, classes, device)
    assert plans.class_table(torch.int32, classes, device) is first
    words = np.frombuffer(ctypes.string_at(first.data_ptr(), first.nbytes), np.uint32)
    assert words.tolist() == [1, 0, 2, 0, 7, 0, 1, 1, 2, 0]  # three ids of 8 bytes, then their classes as bits
