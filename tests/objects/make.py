"""Writes pickles, a state and an exported program with the release that is installed: `python make.py FOLDER`."""

import pickle
import sys
from pathlib import Path

import numpy as np
import torch

from inner_distance_gpu import ClassCounts, InnerDistanceTransform


class Step(torch.nn.Module):
    """A step that exports: a target and a weight, and weights of classes."""

    def __init__(self):
        super().__init__()
        self.transform = InnerDistanceTransform((40, 4, 4), 50, background="signed", border="mask", ignore_label=3)

    def forward(self, labels, mask):
        return self.transform(labels, mask)


def main(folder):
    folder.mkdir(exist_ok=True)
    labels = torch.from_numpy(np.random.default_rng(0).integers(0, 4, (2, 5, 9, 11)).astype(np.uint8))
    mask = torch.ones(labels.shape[1:], dtype=torch.uint8)
    transform = InnerDistanceTransform((40, 4, 4), 50, channels=2, ignore_label=3, engine="reference")
    first = transform(labels)
    counts = ClassCounts.from_dicts([{0: (30, 101.0), 1: (70, 101.0)}])
    keyed = transform.keyed("gt", target="t", weight="w")
    program = torch.export.export(Step(), (labels, mask))
    for name, value in {"transform": transform, "keyed": keyed, "counts": counts}.items():
        (folder / f"{name}.pickle").write_bytes(pickle.dumps(value))
    torch.export.save(program, folder / "program.pt2")
    target, weight = transform(labels)  # what the pickled transform returns next
    exported = program.module()(labels, mask)
    np.savez_compressed(
        folder / "results.npz",
        labels=labels.numpy(),
        first=first[0].numpy(),
        target=target.numpy(),
        weight=weight.numpy(),
        state=transform.counts.state().numpy(),
        exported_target=exported[0].numpy(),
        exported_weight=exported[1].numpy(),
    )


if __name__ == "__main__":
    main(Path(sys.argv[1]))
