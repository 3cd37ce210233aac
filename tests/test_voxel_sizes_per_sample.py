"""Are targets with a voxel size per sample those of single calls, and weights and counts those of one call?"""

import numpy as np
import pytest
import torch
from host_launcher import HostLauncher
from torch.utils.data import default_collate

from inner_distance_gpu import InnerDistanceTransform, TargetLoader, engines
from inner_distance_gpu.engines import cpu

SIZES = [(40, 4, 4), (8, 8, 8), (40, 4, 4), (5.5, 2, 3), (8, 8, 8)]
ENGINES = [name for name in ("cpu", "reference") if engines.available()[name] is None]


def labels_of(samples, *shape, seed=0, ids=3):
    return torch.from_numpy(np.random.default_rng(seed).integers(0, ids, (samples, *shape)))


def equals_single_calls(labels, sizes, mask=None, **keywords):
    """Compare one call with a call per sample, and its weights and counts with a call with one voxel size."""
    made = InnerDistanceTransform((1,) * len(sizes[0]), 20, **keywords)
    target, weight = made(labels, mask, voxel_size=sizes)
    alone = InnerDistanceTransform((1,) * len(sizes[0]), 20, **keywords)
    for sample, size in enumerate(sizes):
        one = None if mask is None else mask[sample : sample + 1]
        expected, _ = alone(labels[sample : sample + 1], one, voxel_size=size)
        assert torch.equal(target[sample : sample + 1], expected), sample
    together = InnerDistanceTransform((1,) * len(sizes[0]), 20, **{**keywords, "border": "keep"})
    _, expected = together(labels, mask)
    if keywords.get("border") == "mask":
        keeping = InnerDistanceTransform((1,) * len(sizes[0]), 20, **{**keywords, "moving": False})
        near = torch.cat([keeping(labels[i : i + 1], voxel_size=size)[1] > 0 for i, size in enumerate(sizes)])
        assert 0 < near.double().mean() < 1
        expected = expected * near
    assert torch.equal(weight, expected)
    assert torch.equal(made.counts.state(), together.counts.state())


@pytest.mark.parametrize("border", ["keep", "mask"])
@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize(
    ("shape", "keywords"),
    [
        ((6, 9, 10), {}),
        ((1, 6, 9, 10), {"background": "signed"}),
        ((2, 6, 9, 10), {"channels": 2, "ignore_label": 2}),
        ((6, 9, 10), {"classes": [1, (1, 2), 7]}),
        ((1, 6, 9, 10), {"classes": {"a": 1, "b": 2}, "moving": False}),
    ],
)
def test_one_call_is_many(engine, shape, keywords, border):
    labels = labels_of(len(SIZES), *shape)
    equals_single_calls(labels, SIZES, engine=engine, border=border, **keywords)


def test_masks_enter_once():
    labels = labels_of(4, 2, 9, 10)
    mask = torch.rand(4, 2, 9, 10)
    equals_single_calls(labels, [(4, 4), (1, 4), (1, 4), (4, 4)], mask, channels=2)


@pytest.mark.parametrize("border", ["keep", "mask"])
def test_kernels_of_the_device(on_host, border):
    on_host(HostLauncher())
    labels, sizes = labels_of(3, 2, 5, 6, 7), [(8, 4, 4), (4, 4, 4), (8, 4, 4)]
    made = InnerDistanceTransform((1, 1, 1), [20, 30], channels=2, engine="cuda", border=border)
    expected = InnerDistanceTransform((1, 1, 1), [20, 30], channels=2, engine="reference", border=border)
    for found, wanted in zip(made(labels, voxel_size=sizes), expected(labels, voxel_size=sizes), strict=True):
        torch.testing.assert_close(found, wanted, rtol=1e-6, atol=1e-6)
    assert torch.equal(made.counts.state(), expected.counts.state())


def test_equal_sizes_go_to_the_engine_together(monkeypatch):
    calls, real = [], cpu.run
    monkeypatch.setattr(
        cpu, "run", lambda task, arrays, threads: (calls.append(len(arrays.labels)), real(task, arrays, threads))
    )
    transform = InnerDistanceTransform((1, 1, 1), 20, engine="cpu")
    transform(labels_of(5, 4, 5, 6), voxel_size=SIZES)
    assert calls == [2, 2, 1, 5], "a call per size, and one for all weights"
    calls.clear()
    transform(labels_of(5, 4, 5, 6), voxel_size=[(8, 4, 4)] * 5)
    assert calls == [5]
    calls.clear()
    InnerDistanceTransform((1, 1, 1), 20, engine="cpu", weights=False)(labels_of(5, 4, 5, 6), voxel_size=SIZES)
    assert calls == [2, 2, 1]


@pytest.mark.parametrize("order", [[0, 1, 1, 0, 1], [0, 0, 0, 1, 1], [0, 1, 0, 1, 0], [1, 0, 0, 1, 0]])
def test_samples_keep_their_order(order):
    sizes = [((4, 4), (1, 7))[i] for i in order]
    equals_single_calls(labels_of(5, 9, 10), sizes)
    labels = labels_of(5, 9, 10).numpy()
    target, _ = InnerDistanceTransform((1, 1), 20)(labels, voxel_size=sizes)
    assert type(target) is np.ndarray


ROWS = [(40, 4, 4), (8, 8, 1), (5, 6, 7)]


@pytest.mark.parametrize(
    "sizes",
    [
        ROWS,
        tuple(ROWS),
        [list(row) for row in ROWS],
        [np.array(row) for row in ROWS],
        np.array(ROWS),
        torch.tensor(ROWS),
        torch.tensor(ROWS, dtype=torch.float64),
        default_collate(ROWS),
        default_collate([list(map(float, row)) for row in ROWS]),
        default_collate([torch.tensor(row) for row in ROWS]),
        default_collate([np.array(row) for row in ROWS]),
    ],
)
def test_as_many_samples_as_axes(sizes):
    """B = dims = 3: rows are told from columns by type. A tuple per sample is collated into a tensor per axis."""
    labels = labels_of(3, 6, 7, 8)
    target, _ = InnerDistanceTransform((1, 1, 1), 20)(labels, voxel_size=sizes)
    for sample, row in enumerate(ROWS):
        expected, _ = InnerDistanceTransform(row, 20)(labels[sample])
        assert torch.equal(target[sample], expected)
    transposed, _ = InnerDistanceTransform((1, 1, 1), 20)(labels, voxel_size=np.transpose(ROWS))
    assert not torch.equal(target, transposed)


@pytest.mark.parametrize("size", [(8, 4, 4), [8, 4, 4], np.array([8, 4, 4]), torch.tensor([8.0, 4, 4])])
def test_one_size_for_all_samples_is_none_per_sample(size):
    labels = labels_of(3, 6, 7, 8)
    target, _ = InnerDistanceTransform((1, 1, 1), 20)(labels, voxel_size=size)
    assert torch.equal(target, InnerDistanceTransform((8, 4, 4), 20)(labels)[0])


@pytest.mark.parametrize(
    ("keywords", "shape", "sizes", "error", "message"),
    [
        ({}, (4, 6, 7, 8), ROWS, ValueError, r"voxel_size has 3 rows for labels of shape \(4, 6, 7, 8\)"),
        ({}, (6, 7, 8), ROWS, ValueError, "expected one per sample of the first axis"),
        ({}, (4, 6, 7, 8), [ROWS[0]] * 3, ValueError, "3 rows"),
        ({"channels": 3}, (3, 6, 7, 8), ROWS, ValueError, "channels=3"),
        ({"classes": [1, 2, 3]}, (2, 6, 7, 8), ROWS, ValueError, "3 rows"),
        ({}, (3, 6, 7, 8), [(4, 4)] * 3, ValueError, "expected 3 numbers"),
        ({}, (3, 6, 7, 8), [(4, 4, 4), (4, 4), (4, 4, 4)], ValueError, "expected 3 numbers"),
        ({}, (3, 6, 7, 8), [(4, 4, 4), (4, -4, 4), (4, 4, 4)], ValueError, "sample 1: voxel_size="),
        ({}, (3, 6, 7, 8), [(4, 4, 4), "444", (4, 4, 4)], TypeError, "sample 1: voxel_size='444'"),
        ({}, (3, 6, 7, 8), [(4, 4, 4), 4, (4, 4, 4)], TypeError, "sample 1: voxel_size=4"),
        ({}, (3, 6, 7, 8), torch.ones(3, 3, 1), TypeError, "voxel_size="),
        ({}, (3, 6, 7, 8), [torch.ones(3), torch.ones(2), torch.ones(3)], ValueError, "a tensor per spatial axis"),
        ({}, (3, 6, 7, 8), [torch.ones(3), (1, 1, 1), torch.ones(3)], ValueError, "a tensor per spatial axis"),
        ({}, (3, 6, 7, 8), [torch.ones(3)] * 2, ValueError, "expected 3 numbers"),
        ({}, (3, 6, 7, 8), torch.ones(3, 3, device="meta"), TypeError, "expected numbers on the host"),
        ({}, (3, 6, 7, 8), [torch.ones(3, device="meta")] * 3, TypeError, "expected numbers on the host"),
    ],
)
def test_sizes_that_do_not_fit(keywords, shape, sizes, error, message):
    transform = InnerDistanceTransform((1, 1, 1), 20, **keywords)
    before = transform.counts.state()
    with pytest.raises(error, match=message):
        transform(labels_of(*shape), voxel_size=sizes)
    assert torch.equal(transform.counts.state(), before)


def test_an_empty_batch():
    transform = InnerDistanceTransform((1, 1, 1), 20)
    target, weight = transform(torch.zeros(0, 6, 7, 8), voxel_size=torch.ones(0, 3))
    assert target.shape == weight.shape == (0, 6, 7, 8)


class Mixed(torch.utils.data.Dataset):
    def __len__(self):
        return 6

    def __getitem__(self, i):
        return {"labels": labels_of(1, 6, 7, 8, seed=i), "voxel_size": SIZES[i % 4], "nested": {"size": SIZES[i % 4]}}


@pytest.mark.parametrize("key", ["voxel_size", ("nested", "size")])
def test_sizes_from_the_batch(key):
    keyed = InnerDistanceTransform((1, 1, 1), 20).keyed(voxel_size=key)
    for start, batch in zip((0, 3), TargetLoader(torch.utils.data.DataLoader(Mixed(), 3), keyed), strict=True):
        for sample in range(3):
            alone = Mixed()[start + sample]
            expected, _ = InnerDistanceTransform(alone["voxel_size"], 20)(alone["labels"])
            assert torch.equal(batch["target"][sample], expected)
    sample = keyed(Mixed()[3])
    assert torch.equal(sample["target"], InnerDistanceTransform(SIZES[3], 20)(sample["labels"])[0])
    as_list = keyed([Mixed()[0], Mixed()[1]])
    assert torch.equal(as_list[1]["target"], InnerDistanceTransform(SIZES[1], 20)(as_list[1]["labels"])[0])
    assert f"voxel_size={key!r}" in repr(keyed)
    with pytest.raises(KeyError, match="'size' is not in the batch"):
        InnerDistanceTransform((1, 1, 1), 20).keyed(voxel_size="size")(Mixed()[0])
    with pytest.raises(TypeError, match=r"voxel_size=1\.5"):
        InnerDistanceTransform((1, 1, 1), 20).keyed(voxel_size=1.5)


def test_a_loader_leaves_sizes_on_the_host(monkeypatch):
    """Where tensors go to a device, the sizes stay: the meta device stands for one."""
    keyed = InnerDistanceTransform((1, 1, 1), 20).keyed(voxel_size="voxel_size")
    loader, seen = TargetLoader([], keyed), []
    loader.device = torch.device("meta")
    monkeypatch.setattr(TargetLoader, "_to_device", lambda self, tensor: tensor.to("meta"))
    monkeypatch.setattr(type(keyed), "__call__", lambda self, batch: seen.append(batch))
    samples = [{"labels": torch.ones(2, 3, 3), "voxel_size": torch.ones(2, 3)} for _ in range(2)]
    loader.prepared(samples[0])
    loader.prepared(samples)
    for batch in (seen[0], *seen[1]):
        assert batch["labels"].is_meta
        assert not batch["voxel_size"].is_meta


def test_in_a_compiled_graph():
    transform = InnerDistanceTransform((1, 1, 1), 20, engine="cpu", channels=2)
    plain = InnerDistanceTransform((1, 1, 1), 20, engine="cpu", channels=2)

    def step(labels, sizes):
        return transform(labels, voxel_size=sizes)

    compiled = torch.compile(step, backend="eager", fullgraph=True)
    labels = labels_of(3, 2, 6, 7, 8)
    for sizes in (torch.tensor(ROWS, dtype=torch.float64), ROWS, default_collate(ROWS)):
        for found, wanted in zip(compiled(labels, sizes), plain(labels, voxel_size=sizes), strict=True):
            assert torch.equal(found, wanted)
    assert torch.equal(transform.counts.state(), plain.counts.state())
    with pytest.raises(ValueError, match="per sample of the first axis"):
        compiled(labels[:2], torch.tensor(ROWS, dtype=torch.float64))
