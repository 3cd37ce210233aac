"""Small stores of the same labels in every format, each written by another library than the one that reads it.

The attributes in HDF5 are the exception: h5py is the only library for them. .npy, .npz, PNG, MetaImage and precomputed
are written by hand, and so are the metadata of Zarr that zarr-python reads.
"""

import json
import struct
import zipfile
import zlib
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from zipped_stores import zipped

SHAPE = (64, 128, 96)
CHUNK = (16, 32, 32)
LABELS = np.arange(np.prod(SHAPE)).reshape(SHAPE).astype(np.uint32) // 7 % 60000
SMALL = LABELS.astype(np.uint16)


@dataclass(frozen=True)
class Store:
    """What `write(folder)` writes and returns the place of, and what has to be read there."""

    name: str
    write: Any
    values: Any = field(default_factory=lambda: LABELS)
    key: str | None = None
    voxel_size: tuple[float, ...] | None = None
    unit: str = ""
    translation: tuple[float, ...] | None = None
    axes: tuple[str, ...] = ("z", "y", "x")
    in_parts: bool = True  # 1 % of the labels may be read without reading 5 % of the file
    remote: bool = False  # may be read at an address


def zarr_array(path, version=2, values=LABELS, chunks=CHUNK, attributes=None, **more):
    import zarr

    array = zarr.create_array(
        str(path), shape=values.shape, chunks=chunks, dtype=values.dtype, zarr_format=version, **more
    )
    array[...] = values
    array.attrs.update(attributes or {})
    return path


def ome(path, version=2, axes="zyx", scale=(40, 4, 4), translation=(400, 80, 80), values=LABELS, **more):
    import zarr

    group = zarr.open_group(str(path), mode="w", zarr_format=version)
    kinds = {"c": "channel", "t": "time"}
    named = [{"name": n, "type": kinds.get(n, "space")} | ({} if n in kinds else {"unit": "nanometer"}) for n in axes]
    steps = [{"type": "scale", "scale": [*scale]}, {"type": "translation", "translation": [*translation]}]
    half = [{"type": "scale", "scale": [2 * s for s in scale]}]
    described = {
        "axes": named,
        "datasets": [
            {"path": "s0", "coordinateTransformations": steps},
            {"path": "s1", "coordinateTransformations": half},
        ],
    }
    if version == 2:
        group.attrs["multiscales"] = [{"version": "0.4"} | described]
    else:
        group.attrs["ome"] = {"version": "0.5", "multiscales": [described]}
    chunks = (1,) * (values.ndim - 3) + CHUNK
    zarr_array(path / "s0", version, values, chunks, **more)
    zarr_array(path / "s1", version, values[..., ::2, ::2, ::2], chunks)
    return path


def cosem(folder):
    transform = {"axes": ["z", "y", "x"], "units": ["nm"] * 3, "scale": [40, 4, 4], "translate": [400, 80, 80]}
    return zarr_array(folder / "cosem.zarr", attributes={"transform": transform})


def lz4(folder):
    """Zarr 2 with a codec that numcodecs has and tensorstore has not; imagecodecs writes the same bytes."""
    import imagecodecs

    path = folder / "lz4.zarr"
    path.mkdir()
    described = {"zarr_format": 2, "shape": SHAPE, "chunks": CHUNK, "dtype": "<u4", "order": "C", "fill_value": 0}
    described |= {"compressor": {"id": "lz4", "acceleration": 1}, "filters": None, "dimension_separator": "."}
    (path / ".zarray").write_text(json.dumps(described))
    (path / ".zattrs").write_text(json.dumps(FUNLIB))
    for corner in np.ndindex(*(n // c for n, c in zip(SHAPE, CHUNK, strict=True))):
        part = LABELS[tuple(slice(i * c, (i + 1) * c) for i, c in zip(corner, CHUNK, strict=True))]
        data = imagecodecs.lz4_encode(np.ascontiguousarray(part).tobytes(), header=True)
        (path / ".".join(map(str, corner))).write_bytes(data)
    return path


def n5(folder, compression="gzip", **options):
    import z5py

    with z5py.File(str(folder / "labels.n5"), "w") as file:
        data = file.create_dataset("s0", shape=SHAPE, chunks=CHUNK, dtype="uint32", compression=compression, **options)
        data[...] = LABELS
        data.attrs["pixelResolution"] = {"dimensions": [4, 4, 40], "unit": "nm"}
    return folder / "labels.n5"


def precomputed(folder):
    root = folder / "precomputed"
    (root / "4_4_40").mkdir(parents=True)
    scale = {
        "key": "4_4_40", "size": SHAPE[::-1], "resolution": [4, 4, 40], "voxel_offset": [20, 20, 10],
        "chunk_sizes": [CHUNK[::-1]], "encoding": "raw",
    }  # fmt: skip
    info = {"type": "segmentation", "data_type": "uint32", "num_channels": 1, "scales": [scale]}
    (root / "info").write_text(json.dumps(info | {"@type": "neuroglancer_multiscale_volume"}))
    for corner in np.ndindex(*(-(-n // c) for n, c in zip(SHAPE, CHUNK, strict=True))):
        box = tuple(slice(i * c, min((i + 1) * c, n)) for i, c, n in zip(corner, CHUNK, SHAPE, strict=True))
        part = LABELS[box]
        spans = [f"{b.start + o}-{b.stop + o}" for b, o in zip(reversed(box), scale["voxel_offset"], strict=True)]
        (root / "4_4_40" / "_".join(spans)).write_bytes(np.ascontiguousarray(part).tobytes())
    return root


def hdf5(folder, chunks=CHUNK, **attributes):
    import h5py

    with h5py.File(folder / "labels.h5", "w") as file:
        data = file.create_dataset("volumes/labels/neuron_ids", data=LABELS, chunks=chunks)
        data.attrs.update(attributes)
        file.create_dataset("volumes/raw", data=LABELS[:4, :4, :4])
    return folder / "labels.h5"


def ilastik(folder):
    import h5py

    with h5py.File(folder / "ilastik.h5", "w") as file:
        data = file.create_dataset("exported_data", data=LABELS[..., None], chunks=(*CHUNK, 1))
        data.attrs["element_size_um"] = [0.04, 0.004, 0.004, 1]
        data.attrs["axistags"] = json.dumps({"axes": [{"key": name} for name in "zyxc"]})
    return folder / "ilastik.h5"


def pillow_tiff(path, description, resolution=None, values=SMALL, **options):
    from PIL import Image, TiffImagePlugin

    pictures = [Image.fromarray(plane) for plane in values]
    info = TiffImagePlugin.ImageFileDirectory_v2()
    info[270] = description
    if resolution is not None:
        info[282] = info[283] = TiffImagePlugin.IFDRational(*resolution)
        info[296] = 1
    pictures[0].save(path, save_all=True, append_images=pictures[1:], tiffinfo=info, **options)
    return path


def imagej(folder):
    depth = SHAPE[0]
    text = f"ImageJ=1.54f\nimages={depth}\nslices={depth}\nunit=\\u00B5m\nspacing=0.04\nloop=false\n"
    return pillow_tiff(folder / "imagej.tif", text, (250, 1))


def ome_tiff(folder, name="labels.ome.tif", **options):
    z, y, x = SHAPE
    text = (
        '<?xml version="1.0" encoding="UTF-8"?><OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06">'
        f'<Image ID="Image:0"><Pixels ID="Pixels:0" DimensionOrder="XYZCT" Type="uint16" SizeX="{x}" SizeY="{y}" '
        f'SizeZ="{z}" SizeC="1" SizeT="1" PhysicalSizeX="0.004" PhysicalSizeY="0.004" PhysicalSizeZ="40" '
        'PhysicalSizeZUnit="nm"><Channel ID="Channel:0:0" SamplesPerPixel="1"/><TiffData/></Pixels></Image></OME>'
    )
    return pillow_tiff(folder / name, text, compression="tiff_lzw", **options)


def tiff_slices(folder):
    from PIL import Image

    (folder / "slices").mkdir()
    for number, plane in enumerate(SMALL[:12]):
        Image.fromarray(plane).save(folder / "slices" / f"z{number}.tif", compression="tiff_deflate")
    return folder / "slices"


def simple_itk(path, compress=False):
    import SimpleITK

    image = SimpleITK.GetImageFromArray(SMALL)
    image.SetSpacing((4, 4, 40))
    image.SetOrigin((80, 80, 400) if path.suffix == ".nrrd" else (-80, -80, 400))  # NIfTI turns x and y around
    if path.suffix != ".nrrd":
        image.SetDirection((-1, 0, 0, 0, -1, 0, 0, 0, 1))
    SimpleITK.WriteImage(image, str(path), compress)
    return path


def nrrd(folder):
    """SimpleITK states no unit, so the line for it is written by hand."""
    path = simple_itk(folder / "labels.nrrd")
    stated = b'space units: "nm" "nm" "nm"\nspace origin:'
    path.write_bytes(path.read_bytes().replace(b"space origin:", stated, 1))
    return path


def metaimage(folder):
    header = (
        "ObjectType = Image\nNDims = 3\nBinaryData = True\nBinaryDataByteOrderMSB = False\nCompressedData = False\n"
        "TransformMatrix = 1 0 0 0 1 0 0 0 1\nOffset = 80 80 400\nElementSpacing = 4 4 40\n"
        f"DimSize = {SHAPE[2]} {SHAPE[1]} {SHAPE[0]}\nElementType = MET_USHORT\nElementDataFile = LOCAL\n"
    )
    (folder / "labels.mha").write_bytes(header.encode() + SMALL.tobytes())
    return folder / "labels.mha"


def palette_png(folder):
    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    values = (LABELS[0] % 200).astype(np.uint8)
    height, width = values.shape
    rows = b"".join(b"\0" + row.tobytes() for row in values)
    (folder / "labels.png").write_bytes(
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 3, 0, 0, 0))
        + chunk(b"PLTE", bytes(range(256)) * 3)
        + chunk(b"IDAT", zlib.compress(rows))
        + chunk(b"IEND", b"")
    )
    return folder / "labels.png"


def npy(folder, values=LABELS, name="labels.npy"):
    """Version 1.0 of the format: its length, then a dictionary that ends at a multiple of 64 bytes."""
    described = f"{{'descr': '>u4', 'fortran_order': False, 'shape': {values.shape}, }}"
    described += " " * (-(len(described) + 11) % 64) + "\n"
    (folder / name).write_bytes(
        b"\x93NUMPY\1\0" + struct.pack("<H", len(described)) + described.encode() + values.astype(">u4").tobytes()
    )
    return folder / name


def npz(folder):
    with zipfile.ZipFile(folder / "labels.npz", "w", zipfile.ZIP_DEFLATED) as archive:
        for name, values in (("ids.npy", LABELS), ("raw.npy", LABELS[0])):
            archive.write(npy(folder, values, name), name)
    return folder / "labels.npz"


def itk_hdf5(folder):
    import SimpleITK

    image = SimpleITK.GetImageFromArray(LABELS)
    SimpleITK.WriteImage(image, str(folder / "itk.h5"), True)
    return folder / "itk.h5"


NM = {"voxel_size": (40, 4, 4), "unit": "nm"}
UM = {"voxel_size": (0.04, 0.004, 0.004), "unit": "µm"}
SIZES = {"voxel_size": (40, 4, 4)}
CENTRE = {"translation": (400, 80, 80)}
CORNER = {"translation": (420, 82, 82)}
UNNAMED = {"axes": ("", "", "")}
FUNLIB = {"resolution": [40, 4, 4], "offset": [400, 80, 80]}
STORES = [
    Store("npy", npy, **UNNAMED),
    Store("npz", npz, key="ids", in_parts=False, **UNNAMED),
    Store("png", palette_png, (LABELS[0] % 200).astype(np.uint8), axes=("y", "x"), in_parts=False),
    Store("imagej", imagej, SMALL, **UM),
    Store("ome-tiff", ome_tiff, SMALL, **UM),
    Store("bigtiff", lambda f: ome_tiff(f, "big.ome.tif", big_tiff=True), SMALL, **UM),
    Store("slices", tiff_slices, SMALL[:12]),
    Store("hdf5", lambda f: hdf5(f, **FUNLIB), key="volumes/labels/neuron_ids", **SIZES, **CORNER, **UNNAMED),
    Store("hdf5-contiguous", lambda f: hdf5(f, None, voxel_size=[40, 4, 4], units=["nm"] * 3),
          key="volumes/labels/neuron_ids", **NM, **UNNAMED),
    Store("hdf5-itk", itk_hdf5, key="ITKImage/0/VoxelData", **UNNAMED),
    Store("ilastik", ilastik, LABELS[None], axes=("c", "z", "y", "x"), **UM),
    Store("nifti", lambda f: simple_itk(f / "labels.nii"), SMALL, voxel_size=(40, 4, 4), unit="mm", **CENTRE),
    Store("nifti-gz", lambda f: simple_itk(f / "labels.nii.gz"), SMALL, voxel_size=(40, 4, 4), unit="mm",
          in_parts=False, **CENTRE),
    Store("nrrd", nrrd, SMALL, **NM, **CENTRE),
    Store("nrrd-gz", lambda f: simple_itk(f / "labels.nrrd", True), SMALL, in_parts=False, **SIZES, **CENTRE),
    Store("mha", metaimage, SMALL, in_parts=False, **SIZES, **CENTRE),
    Store("zarr2", lambda f: zarr_array(f / "z.zarr"), remote=True, **UNNAMED),
    Store("funlib", lambda f: zarr_array(f / "f.zarr", attributes=FUNLIB), remote=True, **SIZES, **CORNER, **UNNAMED),
    Store("dacapo", lambda f: zarr_array(f / "d.zarr", attributes={
        "voxel_size": [40, 4, 4], "offset": [400, 80, 80], "units": ["nm"] * 3, "axis_names": ["z", "y", "x"]}),
        remote=True, **NM, **CORNER),
    Store("cosem", cosem, remote=True, **NM, **CENTRE),
    Store("ome-0.4", lambda f: ome(f / "o4.zarr"), remote=True, **NM, **CENTRE),
    Store("ome-0.5", lambda f: ome(f / "o5.zarr", 3), remote=True, **NM, **CENTRE),
    Store("ome-shards", lambda f: ome(f / "os.zarr", 3, shards=(32, 64, 96)), remote=True, **NM, **CENTRE),
    Store("zip", lambda f: zipped(ome(f / "labels.zarr")), **NM, **CENTRE),
    Store("lz4", lz4, **SIZES, **CORNER, **UNNAMED),
    Store("n5", n5, key="s0", remote=True, **NM, translation=(20, 2, 2), axes=("", "", "")),
    Store("n5-blosc", lambda f: n5(f, "blosc", codec="lz4"), key="s0", **NM, translation=(20, 2, 2), axes=("", "", "")),
    Store("precomputed", precomputed, remote=True, **NM, translation=(420, 82, 82)),
]  # fmt: skip
