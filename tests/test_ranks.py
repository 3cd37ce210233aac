"""Do ranks that train one model end with the counts of one process over the same data, through DDP and checkpoints?"""

import copy
import warnings

import numpy as np
import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from torch.nn.parallel import DistributedDataParallel

from inner_distance_gpu import InnerDistanceTransform

VOXEL, RANKS = (4, 4), 2
LABELS = [torch.from_numpy(np.random.default_rng(i).random((1, 1, 6, 7)) < (i + 1) / 10) for i in range(8)]


class Model(torch.nn.Module):
    """With a buffer that DDP does broadcast, and the transform as a submodule."""

    def __init__(self):
        super().__init__()
        self.head = torch.nn.Sequential(torch.nn.Conv2d(1, 1, 3, padding=1), torch.nn.BatchNorm2d(1))
        self.targets = InnerDistanceTransform(VOXEL, 10)

    def forward(self, labels):
        target, weight = self.targets(labels)
        return ((self.head(labels.float()) - target) ** 2 * weight).mean()


def train(model, batches):
    optimizer = torch.optim.SGD(model.parameters(), 0.01)
    for labels in batches:
        optimizer.zero_grad()
        model(labels).backward()
        optimizer.step()


def _rank(rank, address, keywords, folder, results):
    warnings.filterwarnings("ignore", "`broadcast_buffers` is deprecated", FutureWarning)
    dist.init_process_group("gloo", init_method=address, rank=rank, world_size=RANKS)
    torch.manual_seed(0)
    model = DistributedDataParallel(Model(), **keywords)
    counts, seen = model.module.targets.counts, {}
    train(model, LABELS[rank:4:RANKS])
    seen["own"] = counts.to_dicts()
    counts.all_reduce()
    seen["first"] = counts.to_dicts()
    if rank == 0:
        torch.save(model.state_dict(), folder / "checkpoint.pt")
    dist.barrier()
    again = DistributedDataParallel(Model(), **keywords)
    again.load_state_dict(torch.load(folder / "checkpoint.pt", weights_only=True))
    seen["loaded"] = again.module.targets.counts.to_dicts()
    for other in (model, again):
        train(other, LABELS[4 + rank :: RANKS])
        other.module.targets.counts.all_reduce()
        other.module.targets.counts.all_reduce()  # nothing was counted in between
    seen["second"] = counts.to_dicts()
    seen["second after loading"] = again.module.targets.counts.to_dicts()
    seen["keys"] = sorted(key for key in model.state_dict() if "targets" in key)
    results[rank] = copy.deepcopy(seen)
    dist.destroy_process_group()


def alone(batches):
    model = Model()
    train(model, batches)
    return model.targets.counts.to_dicts()


@pytest.mark.parametrize("keywords", [{"broadcast_buffers": True}, {}])
def test_a_submodule_of_a_ddp_model(keywords, tmp_path):
    with mp.Manager() as manager:
        results = manager.dict()
        mp.spawn(_rank, args=(f"file://{tmp_path}/meet", keywords, tmp_path, results), nprocs=RANKS)
        first, second = dict(results)[0], dict(results)[1]
    assert first["own"] == alone(LABELS[0:4:2])
    assert second["own"] == alone(LABELS[1:4:2])
    assert first["own"] != second["own"], "else an overwritten count would not show"
    for seen in (first, second):
        assert seen["first"] == seen["loaded"] == alone(LABELS[:4])
        assert seen["second"] == seen["second after loading"] == alone(LABELS)
        assert seen["keys"] == ["module.targets._extra_state"]


def test_a_checkpoint_moves_between_ddp_and_plain_models(tmp_path):
    model = Model()
    train(model, LABELS[:2])
    wrapped = {f"module.{key}": value for key, value in model.state_dict().items()}
    torch.nn.modules.utils.consume_prefix_in_state_dict_if_present(wrapped, "module.")
    plain = Model()
    plain.load_state_dict(wrapped)
    assert plain.targets.counts.to_dicts() == model.targets.counts.to_dicts()
