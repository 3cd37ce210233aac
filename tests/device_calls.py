"""Labels and calls for the kernels of the device engines, on the host and on a device."""

import numpy as np
import torch
from hypothesis import strategies as st
from scipy.ndimage import gaussian_filter

ENGINES = ["cuda", "cucim"]
LAUNCHERS = {
    "as chosen": {},
    "one block of one warp": {"grid": 1, "block": 32},
    "backwards": {"grid": 3, "block": 64, "order": 1},
    "warps ahead": {"grid": 1, "block": 64, "order": 2},
    "no shared memory": {"shared_bytes": 0, "grid": 2},
}

TORCH = [torch.bool, torch.uint8, torch.uint16, torch.uint32, torch.uint64, torch.int8, torch.int16, torch.int32]
TORCH += [torch.int64, torch.float16, torch.bfloat16, torch.float32, torch.float64]
MASKS = [torch.bool, torch.uint8, torch.int64, torch.float16, torch.bfloat16, torch.float32, torch.float64]


def blobs(shape, seed=0, fraction=0.5, sigma=2):
    noise = np.random.default_rng(seed).standard_normal(shape)
    noise = gaussian_filter(noise, sigma, axes=range(len(shape) - 3, len(shape))) if sigma else noise
    return (noise > np.quantile(noise, 1 - fraction)).astype(np.uint8)


@st.composite
def calls(draw):
    dims = draw(st.sampled_from([2, 3]))
    leading = draw(st.lists(st.integers(1, 3), max_size=2))
    spatial = draw(st.lists(st.one_of(st.integers(1, 9), st.integers(30, 37)), min_size=dims, max_size=dims))
    while np.prod(leading + spatial) > 6000:
        spatial[spatial.index(max(spatial))] //= 3
    seed, fraction = draw(st.integers(0, 2**32 - 1)), draw(st.sampled_from([0.0, 0.02, 0.5, 0.98, 1.0]))
    generator = np.random.default_rng(seed)
    labels = (generator.random(leading + spatial) < fraction) * generator.integers(1, 4, leading + spatial)
    keywords = {
        "scale": draw(st.sampled_from([None, 0.7, 5, 60])),
        "background": draw(st.sampled_from(["zero", "signed", "times_label"])),
        "no_boundary": draw(st.sampled_from(["extent", "saturate"])),
        "ignore_label": draw(st.sampled_from([None, 0, 1, 3])),
        "fill": draw(st.sampled_from([0.0, -2.5])),
    }
    sizes = st.sampled_from([1, 2, 3.7, 4, 30, 40])
    return labels.astype(np.int16), draw(st.lists(sizes, min_size=dims, max_size=dims)), keywords


@st.composite
def packed_calls(draw):
    extents = st.one_of(st.integers(1, 12), st.integers(29, 40), st.integers(60, 70))
    spatial = [draw(extents), draw(extents), draw(st.one_of(extents, st.integers(1, 20).map(lambda n: 4 * n)))]
    leading = draw(st.sampled_from([[], [2], [2, 2]]))
    while np.prod(leading + spatial) > 30_000:
        spatial[spatial.index(max(spatial))] //= 2
    fraction, sigma = draw(st.sampled_from([0.001, 0.05, 0.5, 0.95, 0.999])), draw(st.sampled_from([0, 1, 4]))
    labels = blobs(leading + spatial, draw(st.integers(0, 2**32 - 1)), fraction, sigma)
    if draw(st.booleans()):
        labels = labels * np.random.default_rng(0).integers(1, 3, labels.shape, dtype=np.uint8)
    voxel_size = draw(st.sampled_from([(1, 1, 1), (8, 8, 8), (10, 1, 1), (1, 10, 2), (5, 4, 4), (1, 2, 3), (1, 1, 90)]))
    # Half the common divisor of the voxel sizes.
    unit = np.gcd.reduce(voxel_size) / 2
    keywords = {
        "scale": draw(st.sampled_from([0.1, 1, 4, 12, 20, 28.2])) * unit,  # 28.2: squares up to 64,706
        "background": draw(st.sampled_from(["zero", "signed", "times_label"])),
        "ignore_label": draw(st.sampled_from([None, None, 1, 2])),
        "fill": 0.25,
    }
    return labels, voxel_size, keywords


def views():
    """Bytes that lie in fours, and some that do not."""
    whole = torch.from_numpy(blobs((3, 35, 13, 44), 1, 0.5, 2))
    yield "contiguous", whole
    yield "planes apart", whole[:, ::2]
    yield "columns", whole[..., 4:40]
    yield "one further on", whole[..., 1:41]
    yield "an odd row", torch.nn.functional.pad(whole, (0, 1))[..., :-1]
    yield "every other voxel", whole[..., ::2]
    yield "turned", whole.transpose(-1, -2)
    yield "one label for all", whole[:1].expand(3, 35, 13, 44)
    yield "bool", whole.bool()
    yield "signed", -whole.char()
