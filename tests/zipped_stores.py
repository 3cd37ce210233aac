"""Zarr stores in zip files, which zarr-python reads: with chunks that another library wrote."""

import zipfile


def by_tensorstore(path):
    """The Zarr arrays below a folder, with chunks that tensorstore wrote: for those that zarr-python reads."""
    import tensorstore

    for name, driver in ((".zarray", "zarr"), ("zarr.json", "zarr3")):
        for metadata in path.rglob(name):
            if driver == "zarr3" and '"chunk_grid"' not in metadata.read_text():
                continue
            folder = metadata.parent
            store = {"driver": "file", "path": f"{folder}/"}
            array = tensorstore.open({"driver": driver, "kvstore": store}).result()
            values = array.read().result()
            for file in folder.rglob("*"):
                if file.is_file() and file.name not in (".zarray", ".zattrs", "zarr.json"):
                    file.unlink()
            array.write(values).result()
    return path


def zipped(source):
    archive = source.with_suffix(".zarr.zip")
    with zipfile.ZipFile(archive, "w") as packed:
        for path in by_tensorstore(source).rglob("*"):
            if path.is_file():
                packed.write(path, path.relative_to(source))
    return archive
