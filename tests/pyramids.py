"""The levels of a pyramid straight from their definition, and OME-Zarr images to make them of."""

import numpy as np
from zarr_stores import ZARR_2, create, zarr


def averaged(values, factors):
    """The mean of every box of `factors` voxels in float64; integers rounded, halves to the even one."""
    shape = [-(-n // f) for n, f in zip(values.shape, factors, strict=True)]
    result = np.empty(shape, values.dtype)
    for index in np.ndindex(*shape):
        box = values[tuple(slice(i * f, (i + 1) * f) for i, f in zip(index, factors, strict=True))]
        mean = box.mean(dtype=np.float64)
        result[index] = np.rint(mean) if values.dtype.kind == "i" else mean
    return result


def image(path, data, version=2, sizes=(40, 4, 4), axes="zyx", place=None, name="0", **more):
    """An OME-Zarr image of one resolution, made by zarr-python alone."""
    group = zarr.open_group(str(path), mode="w", **({} if ZARR_2 else {"zarr_format": version}))
    kinds = {"c": "channel", "t": "time"}
    described = [
        {"name": axis, "type": kinds.get(axis, "space")} | ({"unit": "nanometer"} if axis in "zyx" else {})
        for axis in axes
    ]
    sizes = [1.0] * (len(axes) - len(sizes)) + list(map(float, sizes))
    steps = [{"type": "scale", "scale": sizes}]
    if place is not None:
        steps.append({"type": "translation", "translation": list(map(float, place))})
    multiscale = {"name": "image", "axes": described, "datasets": [{"path": name, "coordinateTransformations": steps}]}
    if version == 2:
        group.attrs.update({"multiscales": [{"version": "0.4"} | multiscale], "note": "stays"})
    else:
        group.attrs.update({"ome": {"version": "0.5", "multiscales": [multiscale]}, "note": "stays"})
    create(path / name, data, version, **more)
    return path


def multiscale(path):
    attributes = dict(zarr.open_group(str(path), mode="r", **({} if ZARR_2 else {"use_consolidated": False})).attrs)
    return attributes.get("ome", attributes)["multiscales"][0]


def places(path):
    """Scale and translation of each level, as the metadata say."""
    found = []
    for dataset in multiscale(path)["datasets"]:
        steps = {step["type"]: np.array(step[step["type"]]) for step in dataset["coordinateTransformations"]}
        found.append((steps["scale"], steps.get("translation", 0 * steps["scale"])))
    return found
