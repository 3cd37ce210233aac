"""Does every bad argument end in an error that names the value and what is accepted?"""

import numpy as np
import pytest
import torch

import inner_distance_gpu as idg
from inner_distance_gpu import ClassCounts, InnerDistanceTransform, balanced_weights, inner_distance


def cases(table):
    return [pytest.param(*case, id=name) for name, *case in table]


def assert_raises(error, said, call):
    """`call` raises exactly `error`, and the message says all of `said`."""
    with pytest.raises(error) as raised:
        call()
    assert type(raised.value) is error
    for words in said:
        assert words in str(raised.value)


LABELS = np.zeros((4, 5, 6), np.uint8)
VOXEL = (4.0, 4.0, 4.0)

TARGET = [  # name, labels, keywords, error, what the message has to say
    ("rank too low", LABELS[0], {}, ValueError, ["(5, 6)", "3 spatial axes", "(..., z, y, x)"]),
    ("scalar array", np.zeros(()), {}, ValueError, ["()", "3 spatial axes"]),
    ("empty spatial axis", LABELS[:, :0], {}, ValueError, ["(4, 0, 6)", "no empty axis"]),
    ("empty spatial and leading axis", np.zeros((0, 4, 0, 6)), {}, ValueError, ["(0, 4, 0, 6)", "no empty axis"]),
    ("voxel size 0", LABELS, {"voxel_size": (4, 0, 4)}, ValueError, ["(4.0, 0.0, 4.0)", "positive finite"]),
    ("voxel size negative", LABELS, {"voxel_size": (4, -1, 4)}, ValueError, ["-1.0", "positive finite"]),
    ("voxel size NaN", LABELS, {"voxel_size": (4, np.nan, 4)}, ValueError, ["nan", "positive finite"]),
    ("voxel size inf", LABELS, {"voxel_size": (4, np.inf, 4)}, ValueError, ["inf", "positive finite"]),
    ("voxel size beyond floats", LABELS, {"voxel_size": (4, 10**400, 4)}, ValueError, ["inf", "positive finite"]),
    ("voxel size tiny", LABELS, {"voxel_size": (5e-324,) * 3}, ValueError, ["5e-324", "between 1e-100 and 1e+100"]),
    ("voxel size huge", LABELS, {"voxel_size": (1e300,) * 3}, ValueError, ["1e+300", "between 1e-100 and 1e+100"]),
    ("voxel sizes far apart", LABELS, {"voxel_size": (1, 1e-20, 1)}, ValueError, ["1e-20", "at most 1e+13 times"]),
    ("voxel size too long", LABELS, {"voxel_size": (1, 1, 1, 1)}, ValueError, ["4 entries", "2 or 3"]),
    ("voxel size too short", LABELS, {"voxel_size": (1,)}, ValueError, ["1 entries", "2 or 3"]),
    ("voxel size a number", LABELS, {"voxel_size": 4.0}, TypeError, ["4.0", "2 or 3"]),
    ("voxel size a string", LABELS, {"voxel_size": "444"}, TypeError, ["'444'", "2 or 3"]),
    ("voxel size strings", LABELS, {"voxel_size": ("4", "4", "4")}, TypeError, ["'4'", "2 or 3"]),
    ("voxel size a set", LABELS, {"voxel_size": {1, 2, 3}}, TypeError, ["{1, 2, 3}", "array-axis order"]),
    ("scale 0", LABELS, {"scale": 0}, ValueError, ["scale=0", "positive finite"]),
    ("scale negative", LABELS, {"scale": -2.0}, ValueError, ["-2.0", "positive finite"]),
    ("scale NaN", LABELS, {"scale": np.nan}, ValueError, ["nan", "positive finite"]),
    ("scale inf", LABELS, {"scale": np.inf}, ValueError, ["inf", "None"]),
    ("scale beyond floats", LABELS, {"scale": 10**400}, ValueError, ["scale=1000", "positive finite"]),
    ("scale tiny", LABELS, {"scale": 5e-324}, ValueError, ["5e-324", "between 1e-100 and 1e+100"]),
    ("scale a string", LABELS, {"scale": "50"}, TypeError, ["'50'", "positive finite"]),
    ("scale a bool", LABELS, {"scale": True}, TypeError, ["True", "positive finite"]),
    ("background", LABELS, {"background": "keep"}, ValueError, ["'keep'", "'zero', 'signed', 'times_label'"]),
    ("background None", LABELS, {"background": None}, TypeError, ["None", "'zero'"]),
    ("no_boundary", LABELS, {"no_boundary": "nan"}, ValueError, ["'nan'", "'extent', 'saturate'"]),
    ("ignore_label", LABELS, {"ignore_label": "void"}, TypeError, ["'void'", "number"]),
    ("ignore_label too large", LABELS, {"ignore_label": 2**70}, ValueError, [str(2**70), "label"]),
    ("fill", LABELS, {"fill": None}, TypeError, ["None", "float32"]),
    ("fill too large", LABELS, {"fill": 1e39}, ValueError, ["1e+39", "float32"]),
    ("fill beyond floats", LABELS, {"fill": -(10**400)}, ValueError, ["fill=-1000", "float32"]),
    ("classes empty", LABELS, {"classes": []}, ValueError, ["classes=[] is empty", "an id or a collection of ids"]),
    ("classes empty mapping", LABELS, {"classes": {}}, ValueError, ["classes={} is empty", "mapping"]),
    ("empty class", LABELS, {"classes": [1, ()]}, ValueError, ["classes=[1, ()] has an empty class"]),
    ("classes an id", LABELS, {"classes": 3}, TypeError, ["classes=3", "[(3, 4), 7]"]),
    ("classes a string", LABELS, {"classes": "3+4"}, TypeError, ["'3+4'", "sequence"]),
    ("classes a set", LABELS, {"classes": {3, 4}}, TypeError, ["{3, 4}", "sequence"]),
    ("class a name", LABELS, {"classes": ["mito"]}, TypeError, ["'mito'", "whole numbers"]),
    ("class a fraction", LABELS, {"classes": [1.5]}, TypeError, ["1.5", "whole numbers"]),
    ("class a bool", LABELS, {"classes": [True]}, TypeError, ["True", "whole numbers"]),
    ("class names no strings", LABELS, {"classes": {1: 2}}, TypeError, ["{1: 2}", "names that are strings"]),
    ("class beyond all", LABELS, {"classes": [2**64]}, ValueError, [str(2**64), "no label can be"]),
    ("class beyond the type", LABELS, {"classes": [1, (2, 256)]}, ValueError, ["256", "uint8", "from 0 to 255"]),
    ("class below the type", LABELS, {"classes": [-1]}, ValueError, ["-1", "uint8", "from 0 to 255"]),
    ("class of bool", LABELS.astype(bool), {"classes": [2]}, ValueError, ["2", "bool", "0 and 1"]),
    ("class of float16", LABELS.astype("f2"), {"classes": [2049]}, ValueError, ["2049", "float16", "exactly"]),
    ("class of float32", LABELS.astype("f4"), {"classes": [2**24 + 1]}, ValueError, ["16777217", "float32"]),
    ("class of bfloat16", torch.zeros(4, 5, 6).bfloat16(), {"classes": [257]}, ValueError, ["257", "bfloat16"]),
    ("class ignored", LABELS, {"classes": [1, (2, 9)], "ignore_label": 9}, ValueError, ["class 1 (2+9)", "=9"]),
    ("named class ignored", LABELS, {"classes": {"a": 9}, "ignore_label": 9.0}, ValueError, ["class 'a' (9)", "9.0"]),
    (
        "class ignored after rounding",
        LABELS.astype("f2"),
        {"classes": [2048], "ignore_label": 2049},
        ValueError,
        ["2048", "ignore_label=2049", "float16"],
    ),
    ("engine unknown", LABELS, {"engine": "gpu"}, ValueError, ["'gpu'", "'auto', 'cuda', 'cucim', 'cpu', 'reference'"]),
    ("engine no string", LABELS, {"engine": 1}, TypeError, ["engine=1", "'auto'"]),
    ("threads 0", LABELS, {"threads": 0}, ValueError, ["threads=0", "positive"]),
    ("threads beyond all", LABELS, {"threads": 2**70}, ValueError, ["threads=1180", "positive", "below 2³¹"]),
    ("threads a float", LABELS, {"threads": 1.5}, TypeError, ["1.5", "positive"]),
    ("list", LABELS.tolist(), {}, TypeError, ["list", "NumPy, CuPy or torch"]),
    ("None", None, {}, TypeError, ["NoneType", "NumPy, CuPy or torch"]),
    ("complex", LABELS.astype(complex), {}, TypeError, ["complex128", "(4, 5, 6)", "float64"]),
    ("long double", LABELS.astype(np.longdouble), {}, TypeError, ["float128", "float64"]),
    ("structured", np.zeros((4, 5, 6), [("a", "u1")]), {}, TypeError, ["'a'", "(4, 5, 6)", "float64"]),
    ("object", LABELS.astype(object), {}, TypeError, ["object", "float64"]),
    ("string", LABELS.astype("U1"), {}, TypeError, ["<U1", "float64"]),
    ("bytes", LABELS.astype("S1"), {}, TypeError, ["S1", "float64"]),
    ("datetime", LABELS.astype("M8[s]"), {}, TypeError, ["datetime64", "float64"]),
    ("timedelta", LABELS.astype("m8[s]"), {}, TypeError, ["timedelta64", "float64"]),
    ("masked array", np.ma.masked_equal(LABELS, 0), {}, TypeError, ["masked array", "ignore_label"]),
    ("torch complex", torch.zeros(4, 5, 6, dtype=torch.complex64), {}, TypeError, ["complex64", "float64"]),
    ("torch float8", torch.zeros(4, 5, 6).to(torch.float8_e5m2), {}, TypeError, ["float8_e5m2", "float64"]),
    ("torch meta", torch.zeros(4, 5, 6, device="meta"), {}, TypeError, ["meta", "(4, 5, 6)", "dense"]),
    ("torch sparse", torch.eye(4).to_sparse(), {}, TypeError, ["sparse", "(4, 4)", "dense"]),
]


@pytest.mark.parametrize("layout", [torch.strided, torch.jagged])
@pytest.mark.filterwarnings("ignore:The PyTorch API of nested tensors:UserWarning")
def test_nested_tensors(layout):
    """A list of volumes of different shapes, which have no shape together."""
    labels = torch.nested.nested_tensor([torch.eye(4), torch.ones(5, 4)], layout=layout)
    for call in (lambda: inner_distance(labels, (4, 4)), lambda: InnerDistanceTransform((4, 4), 10)(labels)):
        assert_raises(TypeError, ["expected a dense tensor with data"], call)


@pytest.mark.parametrize(
    ("labels", "keywords", "error", "said"), [case[1:] for case in TARGET], ids=[c[0] for c in TARGET]
)
def test_inner_distance(labels, keywords, error, said):
    assert_raises(error, said, lambda: inner_distance(labels, **{"voxel_size": VOXEL} | keywords))


def _out(**changes):
    return np.empty(changes.get("shape", LABELS.shape), changes.get("dtype", np.float32))


def _read_only():
    out = _out()
    out.flags.writeable = False
    return out


FLOATS = np.zeros((4, 5, 6), np.float32)
OUT = [
    ("dtype", LABELS, _out(dtype=np.float64), TypeError, ["float64", "float32", "(4, 5, 6)"]),
    ("byte order", LABELS, _out(dtype=">f4"), TypeError, [">f4", "float32"]),
    ("shape", LABELS, _out(shape=(4, 5, 7)), ValueError, ["(4, 5, 7)", "(4, 5, 6)"]),
    ("kind", LABELS, torch.empty(4, 5, 6), TypeError, ["torch", "numpy"]),
    ("other kind", torch.zeros(4, 5, 6), _out(), TypeError, ["numpy", "torch"]),
    ("read-only", LABELS, _read_only(), ValueError, ["read-only", "writable"]),
    ("the labels themselves", FLOATS, FLOATS, ValueError, ["shares memory", "labels"]),
    (
        "overlapping",
        FLOATS.reshape(-1)[:100].reshape(4, 5, 5),
        FLOATS.reshape(-1)[20:].reshape(4, 5, 5),
        ValueError,
        ["shares"],
    ),
    ("expanded", torch.zeros(4, 5, 6), torch.empty(1).expand(4, 5, 6), ValueError, ["share memory", "(0, 0, 0)"]),
    ("requires grad", torch.zeros(4, 5, 6), torch.empty(4, 5, 6, requires_grad=True), ValueError, ["requires grad"]),
    ("no array", LABELS, "out.npy", TypeError, ["out", "str"]),
]


@pytest.mark.parametrize(("labels", "out", "error", "said"), cases(OUT))
def test_out(labels, out, error, said):
    assert_raises(error, said, lambda: inner_distance(labels, VOXEL, out=out))


CLASSES = np.array([[0, 1, 2], [1, 0, 255]])
WEIGHT = [
    ("label too large", CLASSES, {}, ValueError, ["label 2 at (0, 2)", "(2, 3)", "[0, 2)"]),
    ("label negative", -CLASSES, {"num_classes": 3}, ValueError, ["label -1 at (0, 1)", "[0, 3)"]),
    ("label a fraction", CLASSES / 2, {"num_classes": 999}, ValueError, ["label 0.5 at (0, 1)", "whole numbers"]),
    ("unannotated not named", CLASSES, {"num_classes": 3}, ValueError, ["255", "ignore_label"]),
    ("empty", CLASSES[:0], {}, ValueError, ["(0, 3)", "empty"]),
    ("empty in the plane", np.zeros((2, 3, 0), int), {}, ValueError, ["(2, 3, 0)", "empty"]),
    ("no axis", np.array(1), {}, ValueError, ["()", "at least one axis"]),
    ("num_classes 0", CLASSES, {"num_classes": 0}, ValueError, ["num_classes=0", "positive"]),
    ("num_classes beyond all", CLASSES, {"num_classes": 2**31}, ValueError, ["num_classes=2147", "below 2³¹"]),
    ("num_classes a float", CLASSES, {"num_classes": 2.0}, TypeError, ["2.0", "whole number"]),
    ("mask shape", CLASSES, {"mask": np.ones((3, 2))}, ValueError, ["(3, 2)", "(2, 3)"]),
    ("mask broadcast on a spatial axis", CLASSES, {"mask": np.ones((1, 3))}, ValueError, ["(1, 3)", "(2, 3)"]),
    ("mask without a spatial axis", CLASSES, {"mask": np.ones(3)}, ValueError, ["(3,)", "(2, 3)", "same shape"]),
    ("mask rank", CLASSES, {"mask": np.ones((1, 2, 3))}, ValueError, ["(1, 2, 3)", "(2, 3)"]),
    ("mask negative", CLASSES, {"mask": np.array([[1, -2, 1]] * 2)}, ValueError, ["-2", ">= 0", "(2, 3)"]),
    ("mask NaN", CLASSES, {"mask": np.full((2, 3), np.nan)}, ValueError, ["nan", "finite"]),
    ("mask inf", CLASSES, {"mask": np.full((2, 3), np.inf)}, ValueError, ["inf", "finite"]),
    ("mask a list", CLASSES, {"mask": [[1, 1, 1]] * 2}, TypeError, ["mask", "list"]),
    ("mask complex", CLASSES, {"mask": np.ones((2, 3), complex)}, TypeError, ["mask", "complex128"]),
    ("clip of nearly nothing", CLASSES, {"clip": (5e-324, 1)}, ValueError, ["5e-324", "low >= 1e-100"]),
    ("slab length", CLASSES, {"slab": (1,)}, ValueError, ["(1,)", "(2, 3)", "-1"]),
    ("slab 0", CLASSES, {"slab": (0, 1)}, ValueError, ["(0, 1)", "-1"]),
    ("slab a float", CLASSES, {"slab": (1.0, 1)}, TypeError, ["1.0", "-1"]),
    ("slab a number", CLASSES, {"slab": 2}, TypeError, ["slab=2", "-1"]),
    ("clip 0", CLASSES, {"clip": (0, 1)}, ValueError, ["(0, 1)", "0 < low"]),
    ("clip reversed", CLASSES, {"clip": (0.9, 0.1)}, ValueError, ["(0.9, 0.1)", "low <= high"]),
    ("clip NaN", CLASSES, {"clip": (np.nan, 1)}, ValueError, ["nan", "low <= high"]),
    ("clip a number", CLASSES, {"clip": 0.05}, TypeError, ["0.05", "two numbers"]),
    ("counts a list", CLASSES, {"counts": [{0: (0, 1), 1: (0, 1)}]}, TypeError, ["from_dicts"]),
    ("counts shape", CLASSES, {"counts": ClassCounts.start(2, 2)}, ValueError, ["(2, 2)", "(1, 2)"]),
    ("validate", CLASSES, {"validate": "yes"}, TypeError, ["'yes'", "True or False"]),
    ("engine", CLASSES, {"engine": "numpy"}, ValueError, ["'numpy'", "'reference'"]),
]


@pytest.mark.parametrize(
    ("labels", "keywords", "error", "said"), [case[1:] for case in WEIGHT], ids=[c[0] for c in WEIGHT]
)
def test_balanced_weights(labels, keywords, error, said):
    assert_raises(error, said, lambda: balanced_weights(labels, **{"validate": None} | keywords))


TRANSFORM = [
    ("channels beyond all", {"channels": 2**40}, ValueError, ["channels=1099", "below 2³¹"]),
    ("channels 0", {"channels": 0}, ValueError, ["channels=0", "positive"]),
    ("channels a float", {"channels": 1.0}, TypeError, ["1.0", "whole number"]),
    ("channels with classes", {"channels": 2, "classes": [1, 2, 3]}, ValueError, ["channels=2 with 3 classes", "None"]),
    ("classes", {"classes": [(), 1]}, ValueError, ["has an empty class"]),
    ("class ignored", {"classes": [0, 7], "ignore_label": 7}, ValueError, ["class 1 (7)", "ignore_label=7"]),
    ("border", {"border": "drop"}, ValueError, ["'drop'", "'keep', 'mask'"]),
    ("weights", {"weights": 1}, TypeError, ["weights=1", "True or False"]),
    ("moving", {"moving": "no"}, TypeError, ["'no'", "True or False"]),
    ("clip", {"clip": (0.5,)}, TypeError, ["(0.5,)", "two numbers"]),
    ("scale", {"scale": -1}, ValueError, ["-1", "positive"]),
    ("engine", {"engine": "fast"}, ValueError, ["'fast'", "'auto'"]),
    ("threads", {"threads": -1}, ValueError, ["-1", "positive"]),
]


@pytest.mark.parametrize(("keywords", "error", "said"), cases(TRANSFORM))
def test_transform(keywords, error, said):
    assert_raises(error, said, lambda: InnerDistanceTransform(**{"voxel_size": VOXEL, "scale": 50} | keywords))


CALL = [
    ("channel axis", {"labels": np.zeros((3, 4, 5, 6))}, ["(3, 4, 5, 6)", "channels=2", "axis -4"]),
    ("empty channel axis", {"labels": np.zeros((3, 0, 4, 5, 6))}, ["(3, 0, 4, 5, 6)", "channels=2", "axis -4"]),
    ("no channel axis", {"labels": LABELS}, ["(4, 5, 6)", "channels=2"]),
    ("channels last", {"labels": np.zeros((4, 5, 6, 2))}, ["(4, 5, 6, 2)", "numpy.moveaxis(labels, -1, -4)"]),
    ("mask on a spatial axis", {"mask": np.ones((2, 1, 5, 6))}, ["(2, 1, 5, 6)", "(2, 4, 5, 6)"]),
    ("mask negative", {"mask": -np.ones((4, 5, 6))}, ["-1.0", ">= 0"]),
    ("voxel size", {"voxel_size": (4, 4)}, ["(4.0, 4.0)", "expected 3"]),
]


@pytest.mark.parametrize(("keywords", "said"), cases(CALL))
def test_transform_call(keywords, said):
    transform = InnerDistanceTransform(VOXEL, 50, channels=2)
    before = transform.counts.to_dicts()
    assert_raises(ValueError, said, lambda: transform(**{"labels": np.zeros((2, 4, 5, 6))} | keywords))
    assert transform.counts.to_dicts() == before


def test_a_mask_that_would_not_be_used():
    with pytest.raises(ValueError, match="weights=False"):
        InnerDistanceTransform(VOXEL, 50, weights=False)(LABELS, LABELS)


@pytest.mark.no_kernel
@pytest.mark.parametrize("engine", ["cuda", "cucim", "cpu"])
def test_an_engine_that_cannot_run_here(monkeypatch, engine):
    why_not = idg.engines._why_not
    monkeypatch.setattr(idg.engines, "_why_not", lambda name: "taken away" if name == engine else why_not(name))
    for call in (
        lambda: inner_distance(LABELS, VOXEL, engine=engine),
        lambda: InnerDistanceTransform(VOXEL, 50, engine=engine)(LABELS),
        lambda: balanced_weights(LABELS, engine=engine),
    ):
        assert_raises(ValueError, [f"'{engine}' cannot run here", "Runs here: ", "'reference'"], call)


COUNTS = [
    ("no slab", lambda: ClassCounts.from_dicts([]), ["one dict per slab"]),
    ("classes differ", lambda: ClassCounts.from_dicts([{0: (0, 1)}, {1: (0, 1)}]), ["[[0], [1]]"]),
    ("no pair", lambda: ClassCounts.from_dicts([{0: 3}]), ["pair", "3"]),
    ("negative", lambda: ClassCounts([[-1.0]], [[1.0]]), ["-1.0", ">= 0"]),
    ("denominator 0", lambda: ClassCounts([[0.0]], [[0.0]]), ["> 0"]),
    ("NaN", lambda: ClassCounts([[np.nan]], [[1.0]]), ["nan", "finite"]),
    ("shapes differ", lambda: ClassCounts([[0.0]], [[1.0, 1.0]]), ["(1, 1)", "(1, 2)"]),
    ("one axis", lambda: ClassCounts([0.0], [1.0]), ["(1,)", "(slabs, classes)"]),
]


@pytest.mark.parametrize(("make", "said"), cases(COUNTS))
def test_counts(make, said):
    assert_raises(ValueError, said, make)


CLASS_MASKS = [
    ("classes axis", (2, 3, 4, 5, 6), ["(2, 3, 4, 5, 6)", "(2, 4, 5, 6)", "an axis of 2 classes"]),
    ("batch axis", (3, 4, 5, 6), ["(3, 4, 5, 6)", "(2, 4, 5, 6)"]),
    ("spatial axis", (2, 4, 5, 1), ["(2, 4, 5, 1)", "(2, 4, 5, 6)"]),
    ("classes in front", (2, 2, 4, 1, 6), ["(2, 2, 4, 1, 6)", "(2, 4, 5, 6)"]),
    ("rank", (1, 2, 2, 4, 5, 6), ["(1, 2, 2, 4, 5, 6)", "(2, 4, 5, 6)"]),
    ("no spatial axis", (5, 6), ["(5, 6)", "(2, 4, 5, 6)"]),
]


@pytest.mark.parametrize(("shape", "said"), cases(CLASS_MASKS))
def test_a_mask_with_classes(shape, said):
    transform = InnerDistanceTransform(VOXEL, 50, classes=[1, 2])
    for labels in (np.zeros((2, 4, 5, 6), np.uint8), np.zeros((2, 1, 4, 5, 6), np.uint8)):
        assert_raises(ValueError, said, lambda labels=labels: transform(labels, np.ones(shape)))
    assert transform.counts.to_dicts() == [{0: (0, 1.0), 1: (0, 1.0)}] * 2
