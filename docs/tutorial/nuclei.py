# %% [markdown]
# # Tutorial: separating touching nuclei
#
# A network learns how far each pixel is from the boundary of its nucleus. Its prediction then becomes objects: what is
# deep inside a nucleus is a seed, and a watershed grows the seeds. Two networks are trained, about half a minute each
# on one core of a CPU, and judged on a half of the image that neither has seen.
#
# The image is fluorescence microscopy from the 2018 Data Science Bowl
# ([Caicedo et al. 2019](https://doi.org/10.1038/s41592-019-0612-7)), as the stardist package ships it. Besides this
# package it takes:
#
# ```text
# pip install scikit-image matplotlib tifffile
# pip install --no-deps stardist
# ```

# %%
import time
from importlib.metadata import files

import matplotlib.pyplot as plt
import numpy as np
import tifffile
import torch
from scipy import ndimage
from skimage.color import label2rgb
from skimage.segmentation import watershed
from torch.nn import functional
from torch.optim.lr_scheduler import OneCycleLR
from torch.utils.data import DataLoader, Dataset

from inner_distance_gpu import InnerDistanceTransform, TargetLoader, inner_distance

torch.set_num_threads(1)
where = {file.name: file.locate() for file in files("stardist")}
# A few nuclei are very bright.
image = np.log1p(tifffile.imread(where["img2d.tif"]).astype(np.float32))
# 0 is background, each nucleus has an id.
labels = tifffile.imread(where["mask2d.tif"]).astype(np.int64)
image = (image - image.mean()) / image.std()

# %% [markdown]
# The right half is for training. The left half is held out: more nuclei touch there.

# %%
train_image, train_labels = image[:, 256:], labels[:, 256:]
test_image, test_labels = image[:, :256], labels[:, :256]


def count(objects):
    return len(np.unique(objects[objects > 0]))


for half, truth in (("training", train_labels), ("held out", test_labels)):
    parts = ndimage.label(truth > 0)[1]
    print(f"{half}: {count(truth)} nuclei, {parts} connected parts of the foreground")

# %% [markdown]
# ## Scale and depth
#
# Both come from the training half alone. The half-width of a nucleus is the largest distance in it. The scale is the
# median half-width over 1.5, as the command `inner-distance-gpu scale` suggests. The image states no pixel size, so a
# distance is in pixels; with 0.3 µm per pixel, `voxel_size=(0.3, 0.3)` makes all of them µm.

# %%
voxel_size = (1, 1)
distance = inner_distance(train_labels, voxel_size)
ids = np.unique(train_labels)[1:]
half_width = np.median(ndimage.maximum(distance, train_labels, ids))
scale = half_width / 1.5
print(f"median half-width {half_width:.1f}, scale {scale:.1f}")

# %% [markdown]
# A seed is what lies deeper than some depth. How deep? Take the perfect target of the training half, and count what
# comes back. At depth 0 nuclei that touch are one object: a perfect target is positive on both sides of the boundary
# between them. Too deep, small nuclei have no seed, and long ones have two.

# %%
target = inner_distance(train_labels, voxel_size, scale=scale, background="signed")


def objects_of(prediction, depth):
    """Seeds are deeper than `depth`; the watershed gives them the other foreground."""
    seeds, _ = ndimage.label(prediction > np.tanh(depth / scale))
    return watershed(-prediction, seeds, mask=prediction > 0)


def average_precision(truth, objects, overlap=0.5):
    """Matches over matches and objects without one.

    A match has more intersection over union than `overlap`, which is at least 0.5.
    """
    # A background pixel is added to both, so that number 0 is the background.
    true = np.unique(np.append(truth, 0), return_inverse=True)[1]
    found = np.unique(np.append(objects, 0), return_inverse=True)[1]
    rows, columns = true.max() + 1, found.max() + 1
    both = np.bincount(true * columns + found, minlength=rows * columns)
    both = both.reshape(rows, columns)
    union = both.sum(axis=0, keepdims=True) + both.sum(axis=1, keepdims=True) - both
    matched = int((both / union > overlap)[1:, 1:].sum())
    return matched / (sum(both.shape) - 2 - matched)


for depth in (0, 2, 3, 4, 5, 6):
    objects = objects_of(target, depth)
    threshold = np.tanh(depth / scale)
    found = f"{count(objects)} objects of {count(train_labels)}"
    precision = f"average precision {average_precision(train_labels, objects):.2f}"
    print(f"depth {depth}, threshold {threshold:.2f}: {found}, {precision}")

# %% [markdown]
# Three pixels, a third of the median half-width, is the deepest that loses next to nothing.

# %%
depth = 3

# %% [markdown]
# ## Patches, targets, network
#
# Patches are cut and turned first, and targets are made from the turned labels. `TargetLoader` makes them in a thread,
# ahead of the loop.
# %%
BATCH = 8
PATCH = 64


class Patches(Dataset):
    """Random patches of an image, turned, flipped, brighter or darker, with noise."""

    def __init__(self, image, labels, length, seed):
        self.image, self.labels = image, labels
        self.length, self.seed = length, seed

    def __len__(self):
        return self.length

    def __getitem__(self, i):
        random = np.random.default_rng((self.seed, i))
        y, x = (random.integers(n - PATCH + 1) for n in self.image.shape)
        turns, flip = random.integers(4), random.integers(2)

        def cut(array):
            patch = np.rot90(array[y : y + PATCH, x : x + PATCH], turns)
            return np.ascontiguousarray(patch[:, ::-1] if flip else patch)[None]

        raw = cut(self.image) * random.uniform(0.8, 1.25) + random.uniform(-0.3, 0.3)
        raw = raw + random.normal(0, 0.1, raw.shape)
        labels = torch.from_numpy(cut(self.labels))
        return {"raw": torch.from_numpy(raw).float(), "labels": labels}


def convolutions(channels_in, channels):
    layers = []
    for first in (channels_in, channels):
        layers += [
            torch.nn.Conv2d(first, channels, 3, padding=1),
            torch.nn.BatchNorm2d(channels),
            torch.nn.ReLU(),
        ]
    return torch.nn.Sequential(*layers)


class UNet(torch.nn.Module):
    """A small U-Net: one number per pixel."""

    def __init__(self, widths=(8, 16, 32, 64)):
        super().__init__()
        self.down = torch.nn.ModuleList(map(convolutions, (1, *widths), widths))
        pairs = zip(widths[:0:-1], widths[-2::-1], strict=True)
        ups = (convolutions(deep + shallow, shallow) for deep, shallow in pairs)
        self.up = torch.nn.ModuleList(ups)
        self.last = torch.nn.Conv2d(widths[0], 1, 1)

    def forward(self, x):
        kept = []
        for level, block in enumerate(self.down):
            x = block(functional.max_pool2d(x, 2) if level else x)
            kept.append(x)
        for block, skipped in zip(self.up, kept[-2::-1], strict=True):
            larger = functional.interpolate(x, scale_factor=2, mode="bilinear")
            x = block(torch.cat([larger, skipped], dim=1))
        return self.last(x)


# %% [markdown]
# ## Training
#
# The target is signed, between −1 and 1, so the last layer is a tanh and the loss a squared error with weights. For
# comparison the same network learns foreground or background from the same patches, with a cross-entropy. That has no
# weights: they would make its foreground larger.

# %%
STEPS = 500
SEED = 0


def squared_error(output, batch):
    error = torch.tanh(output) - batch["target"]
    return (batch["weight"] * error**2).mean()  # every pixel is annotated


def cross_entropy(output, batch):
    foreground = (batch["labels"] != 0).float()
    return functional.binary_cross_entropy_with_logits(output, foreground)


def train(image, labels, loss_of, seed, steps):
    """A network after so many steps, and the seconds of one core that they took."""
    torch.manual_seed(seed)
    start = time.process_time()
    network = UNet().to(memory_format=torch.channels_last)  # faster on a CPU
    optimiser = torch.optim.AdamW(network.parameters(), lr=1e-2)
    schedule = OneCycleLR(optimiser, max_lr=1e-2, total_steps=steps)
    transform = InnerDistanceTransform(voxel_size, scale, background="signed")
    patches = Patches(image, labels, steps * BATCH, seed)
    loader = DataLoader(patches, batch_size=BATCH)
    for batch in TargetLoader(loader, transform.keyed()):
        loss = loss_of(network(batch["raw"]), batch)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        schedule.step()
    return network.eval(), time.process_time() - start


network, seconds = train(train_image, train_labels, squared_error, SEED, STEPS)
plain, plain_seconds = train(train_image, train_labels, cross_entropy, SEED, STEPS)
print(f"{STEPS} steps each: {seconds:.0f} and {plain_seconds:.0f} s of one core")

# %% [markdown]
# ## Prediction and objects
#
# The half that was held out is predicted at once. Four ways lead from there to objects. The last is what is done
# without a distance in the network: a watershed on the distance in its mask, with seeds at the same depth.


# %%
def predict(network, image):
    with torch.no_grad():
        return network(torch.from_numpy(image)[None, None])[0, 0].numpy()


smallest = min(size for size in np.bincount(train_labels.ravel()) if size)


def without_specks(objects):
    """Nothing less than half as large as the smallest nucleus of the training half."""
    sizes = np.bincount(objects.ravel())
    return np.where(sizes[objects] < smallest / 2, 0, objects)


def all_ways(network, plain, image):
    prediction, mask = np.tanh(predict(network, image)), predict(plain, image) > 0
    inside = np.tanh(ndimage.distance_transform_edt(mask) / scale)
    ways = {
        "distance: seeds above the depth, watershed": objects_of(prediction, depth),
        "distance: threshold 0, connected parts": ndimage.label(prediction > 0)[0],
        "foreground: connected parts": ndimage.label(mask)[0],
        "foreground: seeds and watershed in its mask": objects_of(inside, depth),
    }
    return {way: without_specks(objects) for way, objects in ways.items()}


def scores(truth, objects):
    return [average_precision(truth, objects, overlap) for overlap in (0.5, 0.75)]


ways = all_ways(network, plain, test_image)
print(f"{count(test_labels)} nuclei; average precision at an overlap of 0.5 and 0.75")
for way, objects in ways.items():
    precisions = (f"{score:6.2f}" for score in scores(test_labels, objects))
    print(f"{way:45}{count(objects):4} objects", *precisions)

# %%
prediction = np.tanh(predict(network, test_image))
with_watershed, at_zero, *_ = ways.values()
colours = np.random.default_rng(1).uniform(0.25, 1, (200, 3))
figure, axes = plt.subplots(1, 5, figsize=(12.5, 5.4), layout="constrained")
axes[0].imshow(test_image, cmap="gray")
axes[1].imshow(prediction, cmap="RdBu_r", vmin=-1, vmax=1)
for axis, objects in zip(axes[2:], (test_labels, with_watershed, at_zero), strict=True):
    axis.imshow(label2rgb(objects, colors=colours, bg_label=0, bg_color=(0, 0, 0)))
titles = (
    "image, held out",
    "predicted distance",
    "annotated",
    "distance and watershed",
    "distance, threshold 0",
)
for axis, title in zip(axes, titles, strict=True):
    axis.set_title(title, fontsize=10)
    axis.set_axis_off()
plt.show()

# %% [markdown]
# How much of this is luck? [From prediction to objects](../objects.md#measured) has the scores of three seeds.
