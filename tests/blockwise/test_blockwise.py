"""Are targets computed block by block those of the whole volume, bit for bit?"""

import dask
import dask.array as da
import numpy as np
import pytest
from volumes import SCALE, VOLUMES, VOXEL

from inner_distance_gpu import blockwise, engines, inner_distance
from inner_distance_gpu.parameters import TargetParameters

ENGINES = [name for name in ("cpu", "reference") if engines.available()[name] is None]


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("name", VOLUMES)
def test_blocks_equal_the_whole(name, engine):
    labels = VOLUMES[name]
    rng = np.random.default_rng(len(name))
    for case in range(6):
        keywords = {
            "scale": (SCALE, 8 * SCALE)[case // 2 % 2],  # the larger shows what no site means
            "background": ("zero", "signed", "times_label")[case % 3],
            "no_boundary": ("extent", "saturate")[case % 2],
            "ignore_label": 9,
            "fill": -2.0,
            "engine": engine,
        }
        chunks = tuple(int(rng.integers(-(-n // 6), n + 1)) for n in labels.shape)
        lazy = blockwise.inner_distance(da.from_array(labels, chunks=chunks), VOXEL, **keywords)
        assert lazy.chunks == da.empty(labels.shape, chunks=chunks).chunks
        assert lazy.dtype == np.float32
        result = lazy.compute(scheduler="sync")
        np.testing.assert_array_equal(result, inner_distance(labels, VOXEL, **keywords), err_msg=f"chunks {chunks}")


@pytest.mark.parametrize("engine", ENGINES)
def test_two_dimensions_and_threads(engine):
    labels = np.random.default_rng(1).random((2, 60, 70)) < 0.995
    lazy = blockwise.inner_distance(da.from_array(labels, chunks=(1, 7, 50)), (1, 1), scale=3, engine=engine)
    whole = inner_distance(labels, (1, 1), scale=3, engine=engine)
    np.testing.assert_array_equal(lazy.compute(scheduler="threads"), whole)


@pytest.mark.parametrize("engine", ENGINES)
def test_the_only_face_lies_between_two_blocks(engine):
    labels = np.repeat(np.uint8([1, 2]), [16, 16]).reshape(1, 1, 32)
    lazy = blockwise.inner_distance(da.from_array(labels, chunks=(1, 1, 16)), (40, 4, 4), scale=30, engine=engine)
    np.testing.assert_array_equal(lazy, inner_distance(labels, (40, 4, 4), scale=30, engine=engine))


@pytest.mark.parametrize("engine", ENGINES)
def test_a_block_without_a_site_is_not_a_volume_without_one(engine):
    """A thin volume: from its extent, the target far from the only site would be tanh(0.2)."""
    labels = np.ones((2, 400, 8), np.uint8)
    labels[:, 0] = 0
    lazy = blockwise.inner_distance(da.from_array(labels, chunks=(2, 20, 8)), (1, 1, 1), scale=5, engine=engine)
    assert (lazy[:, 60:] == 1).all()
    np.testing.assert_array_equal(lazy, inner_distance(labels, (1, 1, 1), scale=5, engine=engine))


@pytest.mark.parametrize("background", ["zero", "signed", "times_label"])
@pytest.mark.parametrize("chunks", [(1, 4, 60), (2, 8, 46), (3, 8, 7)])
def test_some_volumes_have_no_site(chunks, background):
    """Thin volumes in several blocks along x, in which half the extent counts: 4 voxels of 5 scales."""
    labels = np.zeros((3, 8, 240), np.int32)
    labels[0, :, 200:] = 3
    labels[1, :, 150:] = 9
    labels[2] = 2
    keywords = {"scale": 5, "background": background, "ignore_label": 9, "fill": -2.0}
    lazy = blockwise.inner_distance(da.from_array(labels, chunks=chunks), (1, 1), **keywords)
    np.testing.assert_array_equal(lazy, inner_distance(labels, (1, 1), **keywords))


@pytest.mark.parametrize("tolerance", [0.3, 0.05, 1e-3])
def test_a_tolerance_is_kept_with_a_smaller_halo(tolerance):
    labels = VOLUMES["sparse"]
    keywords = {"scale": SCALE, "background": "signed"}
    whole = inner_distance(labels, VOXEL, **keywords)
    lazy = blockwise.inner_distance(da.from_array(labels, chunks=(7, 5, 5)), VOXEL, halo=tolerance, **keywords)
    error = np.abs(lazy.compute(scheduler="sync") - whole).max()
    assert 0 < error <= tolerance


def test_the_exact_halo_is_no_larger_than_it_has_to_be():
    parameters = TargetParameters.checked(VOXEL, SCALE, "zero", "extent", None, 0.0)
    assert blockwise.halo_of(parameters, "exact") == (2, 12, 9)
    labels = np.ones((1, 60, 1), np.uint8)
    labels[0, 30] = 0
    keywords = {"scale": SCALE, "background": "signed"}
    whole = inner_distance(labels, VOXEL, **keywords)
    # One voxel less along y cuts off a site that is still seen.
    assert whole[0, 30 + 11, 0] < 1
    cut = inner_distance(labels[:, 31:], VOXEL, no_boundary="saturate", **keywords)
    assert cut[0, 10, 0] == 1


def test_nothing_is_computed_before_it_is_asked_for():
    touched = []

    def labels(block_info=None):
        touched.append(1)
        return np.ones((4, 4), np.uint8)

    lazy = blockwise.inner_distance(
        da.map_blocks(labels, chunks=((4, 4), (4, 4)), dtype=np.uint8, meta=np.empty((0, 0), np.uint8)), (1, 1), scale=1
    )
    assert not touched
    with dask.config.set(scheduler="sync"):
        lazy[:2, :2].compute()
    assert touched


@pytest.mark.parametrize(
    ("change", "error", "said"),
    [
        ({"array": np.zeros((4, 4))}, TypeError, "numpy.ndarray"),
        ({"scale": None}, ValueError, "no finite halo"),
        ({"scale": -1}, ValueError, "scale=-1"),
        ({"halo": "near"}, ValueError, "'near'"),
        ({"halo": 1.5}, ValueError, "1.5"),
        ({"halo": None}, TypeError, "None"),
        ({"voxel_size": (1, 1, 1)}, ValueError, r"\(4, 4\)"),
        ({"background": "black"}, ValueError, "'black'"),
        ({"engine": "fast"}, ValueError, "'fast'"),
        ({"array": da.zeros((0, 4))}, ValueError, r"\(0, 4\)"),
        ({"array": da.zeros((4, 4), dtype=complex)}, TypeError, "complex128"),
    ],
)
def test_bad_input(change, error, said):
    arguments = {"array": da.zeros((4, 4), dtype=np.uint8), "voxel_size": (1, 1), "scale": 1.0} | change
    with pytest.raises(error, match=said):
        blockwise.inner_distance(**arguments)
