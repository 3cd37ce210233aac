"""Does `blockwise.write` store the targets of the whole volume, bit for bit, in every shape and kind of store?"""

import numpy as np
import pytest
from volumes import SCALE, VOLUMES, VOXEL
from zarr_stores import FORMATS, ZARR_2, attributes, create, digests, values, zarr

from inner_distance_gpu import __version__, blockwise, engines, inner_distance

KEYWORDS = {"scale": SCALE, "ignore_label": 9, "fill": -0.5}
NARROW = 12  # with this scale half the extent of the volume is within reach: it matters if there is any site
SMALL = {"chunks": (4, 8, 8), "blocks": (4, 8, 8)}
SHAPES = 5  # random block shapes per volume: 55 in all


def random_extents(rng, shape):
    """Chunks, and blocks of one or two of them per axis; neither has to divide the shape."""
    chunks = [int(rng.integers(-(-n // 4), n + 1)) for n in shape]
    return chunks, [n * int(rng.integers(1, 3)) for n in chunks]


@pytest.mark.parametrize("name", VOLUMES)
def test_blocks_equal_the_whole(tmp_path, name):
    labels = VOLUMES[name]
    rng = np.random.default_rng(100 + len(name))
    for case in range(SHAPES):
        chunks, blocks = random_extents(rng, labels.shape[-3:])
        keywords = KEYWORDS | {
            "background": ("zero", "signed", "times_label")[case % 3],
            "no_boundary": ("extent", "saturate")[case % 2],
            "scale": (SCALE, NARROW)[case // 2 % 2],
        }
        own = tuple(int(rng.integers(1, n + 1)) for n in labels.shape)
        source = create(tmp_path / f"labels{case}.zarr", labels, chunks=own)
        target = tmp_path / f"target{case}.zarr"
        written = blockwise.write(source, target, VOXEL, chunks=chunks, blocks=blocks, workers=2, **keywords)
        expected = inner_distance(labels, VOXEL, **keywords)
        np.testing.assert_array_equal(values(target / "0"), expected, err_msg=f"chunks {chunks}, blocks {blocks}")
        assert written.computed == written.plan.blocks
        assert written.plan.needs_sites == (keywords["scale"] == NARROW and keywords["no_boundary"] == "extent")
        assert values(target / "0").dtype == np.float32


@pytest.mark.parametrize("name", VOLUMES)
def test_the_command_equals_the_whole(call, tmp_path, name):
    labels = VOLUMES[name]
    chunks, blocks = random_extents(np.random.default_rng(len(name)), labels.shape[-3:])
    create(tmp_path / "labels.zarr", labels)
    options = ["--voxel-size", ",".join(map(str, VOXEL)), "--scale", SCALE, "--ignore-label", 9, "--fill", -0.5]
    options += ["--chunks", ",".join(map(str, chunks)), "--blocks", ",".join(map(str, blocks)), "--engine", "cpu"]
    code, _, error = call("volume", tmp_path / "labels.zarr", tmp_path / "target.zarr", *options)
    assert code == 0, error
    expected = inner_distance(labels, VOXEL, engine="cpu", **KEYWORDS)
    np.testing.assert_array_equal(values(tmp_path / "target.zarr" / "0"), expected)


@pytest.mark.parametrize("version", FORMATS)
@pytest.mark.parametrize("compression", ["none", "zstd", "gzip:1", "blosc:9"])
def test_formats_and_compressions(tmp_path, version, compression):
    source = create(tmp_path / "labels.zarr", VOLUMES["instances"], version)
    target = tmp_path / "target.zarr"
    blockwise.write(source, target, VOXEL, chunks=(3, 8, 8), compression=compression, **KEYWORDS)
    np.testing.assert_array_equal(values(target / "0"), inner_distance(VOLUMES["instances"], VOXEL, **KEYWORDS))
    assert (target / "0" / ("zarr.json" if version == 3 else ".zarray")).is_file()
    said = attributes(target / "0")
    assert said["voxel_size"] == list(VOXEL)
    assert said["scale"] == SCALE
    assert said["engine"] in engines.available()
    assert said["version"] == __version__
    assert said["source"] == str(source)
    assert said["compression"].startswith(compression)
    assert said["complete"] is True
    assert not list(target.rglob(".unfinished"))


@pytest.mark.skipif(ZARR_2, reason="zarr-python 2 has no shards")
def test_shards(tmp_path):
    source = create(tmp_path / "labels.zarr", VOLUMES["instances"], 3)
    target = tmp_path / "target.zarr"
    written = blockwise.write(source, target, VOXEL, chunks=(2, 5, 5), shards=(4, 10, 20), **KEYWORDS)
    np.testing.assert_array_equal(values(target / "0"), inner_distance(VOLUMES["instances"], VOXEL, **KEYWORDS))
    assert all(block % shard == 0 for block, shard in zip(written.plan.block, (4, 10, 20), strict=True))
    # The output of one write is the source of the next.
    again = tmp_path / "again.zarr"
    blockwise.write(target, again, VOXEL, scale=SCALE)
    np.testing.assert_array_equal(values(again / "0"), inner_distance(values(target / "0"), VOXEL, scale=SCALE))


@pytest.mark.parametrize("background", ["zero", "signed"])
def test_int8_is_the_target_times_127(tmp_path, background):
    source = create(tmp_path / "labels.zarr", VOLUMES["instances"])
    target = tmp_path / "target.zarr"
    keywords = KEYWORDS | {"background": background}
    blockwise.write(source, target, VOXEL, dtype="int8", chunks=(3, 8, 8), **keywords)
    stored = values(target / "0")
    assert stored.dtype == np.int8
    exact = inner_distance(VOLUMES["instances"], VOXEL, **keywords)
    np.testing.assert_array_equal(stored, np.rint(exact.astype(np.float64) * 127))
    factor = attributes(target / "0")["factor"]
    np.testing.assert_allclose(stored / factor, exact, atol=0.5 / 127 + 1e-6)


@pytest.mark.parametrize(("options", "labels"), [({"binary": True}, None), ({"ids": [4, 1, 77]}, [4, 1, 77])])
def test_binary_and_ids(tmp_path, options, labels):
    volume = VOLUMES["unannotated regions"]
    source = create(tmp_path / "labels.zarr", volume)
    target = tmp_path / "target.zarr"
    written = blockwise.write(source, target, VOXEL, chunks=(3, 16, 8), **KEYWORDS, **options)
    channels = [np.where(volume == 9, 2, volume == i if labels else volume != 0) for i in labels or [0]]
    expected = [inner_distance(c.astype(np.uint8), VOXEL, **KEYWORDS | {"ignore_label": 2}) for c in channels]
    np.testing.assert_array_equal(values(target / "0"), expected if labels else expected[0])
    assert written.class_voxels == [[np.count_nonzero(c == 0), np.count_nonzero(c == 1)] for c in channels]


def test_two_dimensions_and_leading_axes(tmp_path):
    labels = np.random.default_rng(1).random((2, 1, 60, 70)) < 0.995
    labels[1] = True
    source = create(tmp_path / "labels.zarr", labels)
    written = blockwise.write(source, tmp_path / "t.zarr", (1, 1), scale=30, chunks=(7, 50), blocks=(14, 50))
    assert written.plan.needs_sites
    np.testing.assert_array_equal(values(tmp_path / "t.zarr" / "0"), inner_distance(labels, (1, 1), scale=30))


def test_a_tolerance_is_kept_with_less_work(tmp_path):
    source = create(tmp_path / "labels.zarr", VOLUMES["sparse"])
    exact, near = (
        blockwise.write(
            source,
            tmp_path / f"{halo}.zarr",
            VOXEL,
            scale=SCALE,
            background="signed",
            halo=halo,
            chunks=(7, 5, 5),
            blocks=(7, 5, 5),
        )
        for halo in ("exact", 0.05)
    )
    difference = np.abs(values(tmp_path / "exact.zarr" / "0") - values(tmp_path / "0.05.zarr" / "0")).max()
    assert 0 < difference <= 0.05
    assert near.plan.overhead < exact.plan.overhead


def test_into_a_group(tmp_path):
    import zarr

    zarr.open_group(str(tmp_path / "all.zarr"), mode="w", **({} if ZARR_2 else {"zarr_format": 2}))
    source = create(tmp_path / "all.zarr" / "labels", VOLUMES["dense"])
    blockwise.write(source, tmp_path / "all.zarr" / "target", VOXEL, **KEYWORDS)
    found = zarr.open_group(str(tmp_path / "all.zarr"), mode="r")["target/0"]
    np.testing.assert_array_equal(found[...], inner_distance(VOLUMES["dense"], VOXEL, **KEYWORDS))


def test_every_worker_count_writes_the_same_bytes(tmp_path):
    source = create(tmp_path / "labels.zarr", VOLUMES["instances"])
    for workers in (1, 3):
        blockwise.write(
            source, tmp_path / f"{workers}.zarr", VOXEL, chunks=(2, 9, 9), blocks=(2, 9, 9), workers=workers, **KEYWORDS
        )
    one, three = (digests(tmp_path / f"{workers}.zarr") for workers in (1, 3))
    assert one.pop(".zgroup") == three.pop(".zgroup")
    names = {name for name in one if not name.endswith(".zattrs")}
    assert len(names) > 40
    assert {name: one[name] for name in names} == {name: three[name] for name in names}


@pytest.mark.filterwarnings("ignore:Consolidated metadata")
@pytest.mark.parametrize("version", FORMATS)
def test_a_group_with_consolidated_metadata(tmp_path, version):
    """They are read past, and renewed when the output is complete; what else lies in the group stays as it was."""
    chosen = {} if ZARR_2 else {"zarr_format": version}
    zarr.open_group(str(tmp_path / "all.zarr"), mode="w", **chosen)
    create(tmp_path / "all.zarr" / "labels", VOLUMES["instances"], version)
    zarr.consolidate_metadata(str(tmp_path / "all.zarr"))
    before = digests(tmp_path / "all.zarr")
    options = {"voxel_size": VOXEL, "scale": SCALE, "key": "labels"}
    for _ in range(2):
        written = blockwise.write(tmp_path / "all.zarr", tmp_path / "all.zarr" / "target", **options)
    assert written.computed == 0, "complete, also where the consolidated metadata know nothing of it"
    before.pop(".zmetadata" if ".zmetadata" in before else "zarr.json")
    assert digests(tmp_path / "all.zarr").items() >= before.items()
    assert "target/0" in zarr.open_consolidated(str(tmp_path / "all.zarr"))
    expected = inner_distance(VOLUMES["instances"], VOXEL, scale=SCALE)
    np.testing.assert_array_equal(values(tmp_path / "all.zarr" / "target" / "0"), expected)
    zarr.consolidate_metadata(str(tmp_path / "all.zarr" / "target"))
    assert blockwise.write(tmp_path / "all.zarr", tmp_path / "all.zarr" / "target", **options).computed == 0
    again = blockwise.write(
        tmp_path / "all.zarr", tmp_path / "all.zarr" / "target", overwrite=True, **options | {"scale": 3}
    )
    assert again.resumed == 0
