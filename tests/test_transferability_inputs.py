"""What holds for every measure: which inputs are understood, which are refused, and what must not change a score."""

import subprocess
import sys
import warnings

import numpy as np
import pandas as pd
import polars as pl
import pytest
from pretend_device import AWAY

from skgat import transferability as tr
from skgat.transferability._inputs import Features

FEATURE_MEASURES = [
    "gbc",
    "h_score",
    "knn",
    "lda",
    "lfc",
    "linear_probe",
    "logme",
    "ncti",
    "nleep",
    "pactran",
    "parc",
    "regularized_h_score",
    "sfda",
    "transrate",
]
PROBABILITY_MEASURES = ["leep", "nce", "pactran", "parc"]
#: Neither seeds nor folds: their scores do not depend on the order of the rows.
EXACT = ["gbc", "h_score", "knn", "lfc", "logme", "ncti", "parc", "regularized_h_score", "sfda", "transrate"]
ROTATION_INVARIANT = ["gbc", "h_score", "knn", "lfc", "logme", "ncti", "regularized_h_score", "transrate", "lda"]
SCALE_INVARIANT = ["h_score", "knn", "lda", "lfc", "linear_probe", "logme", "parc", "regularized_h_score"]


def task(n=240, d=12, n_classes=4, seed=0, apart=1.0):
    rng = np.random.default_rng(seed)
    y = rng.permutation(np.arange(n) % n_classes)
    return apart * rng.normal(size=(n_classes, d))[y] + rng.normal(size=(n, d)) + rng.normal(size=d), y


def score(measure, X, y):
    return getattr(tr, measure)(X, y)


def probabilities(n=200, n_source=7, seed=0):
    rng = np.random.default_rng(seed)
    return rng.dirichlet(np.ones(n_source), size=n), rng.integers(3, size=n)


def inputs(measure):
    return probabilities() if measure in ("leep", "nce") else task()


def test_every_public_name_is_listed_and_documented():
    assert sorted(tr.__all__) == sorted({*FEATURE_MEASURES, "leep", "nce", "score_zoo", "select_ensemble"})
    for name in tr.__all__:
        assert ">>> " in getattr(tr, name).__doc__


def test_importing_does_not_load_torch_or_pandas():
    code = "import sys, skgat.transferability; print('torch' in sys.modules, 'pandas' in sys.modules)"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.split()[0] == "False"


@pytest.mark.parametrize("measure", FEATURE_MEASURES)
def test_scores_are_finite_floats_and_see_a_signal(measure):
    X, y = task(apart=1.5)
    rng = np.random.default_rng(3)
    good, chance = score(measure, X, y), score(measure, X, rng.permutation(y))
    assert type(good) is float
    assert np.isfinite([good, chance]).all()
    assert good > chance


@pytest.mark.parametrize("measure", [*FEATURE_MEASURES, "leep", "nce"])
@pytest.mark.parametrize(
    "rename",
    [
        lambda y: 10 * y - 7,
        lambda y: np.array(["d", "a", "zz", "b"])[y],
        lambda y: np.array(["d", "a", "zz", "b"], dtype=object)[y],
        lambda y: y + 0.5,
        lambda y: y.astype(np.uint8)[:, None],
        lambda y: np.array([1, "x", (2, 3), 4.5], dtype=object)[y],
        lambda y: [[1, "1", 2.5, b"1"][label] for label in y],
    ],
    ids=["gaps", "str", "object", "half", "uint8 column", "mixed", "list of mixed"],
)
def test_names_of_labels_do_not_matter(measure, rename):
    X, y = inputs(measure)
    # Folds and splits are drawn class by class in the order of the labels.
    tolerance = 0.06 if measure in ("lda", "linear_probe") else 1e-9
    assert score(measure, X, rename(y)) == pytest.approx(score(measure, X, y), abs=tolerance, rel=tolerance)


def test_labels_as_bools_lists_and_torch():
    torch = pytest.importorskip("torch")
    X, y = task(n_classes=2)
    expected = tr.logme(X, y)
    for labels in (y.astype(bool), y.tolist(), torch.tensor(y), [["no", "yes"][i] for i in y]):
        assert tr.logme(X, labels) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("measure", EXACT)
def test_order_of_rows_does_not_matter(measure):
    X, y = task()
    order = np.random.default_rng(1).permutation(len(y))
    assert score(measure, X[order], y[order]) == pytest.approx(score(measure, X, y), rel=1e-8)


@pytest.mark.parametrize("measure", ROTATION_INVARIANT)
@pytest.mark.parametrize("shape", [(240, 12), (40, 60)])
@pytest.mark.filterwarnings("ignore:h_score of")
def test_rotations_do_not_matter(measure, shape):
    X, y = task(*shape)
    turn = np.linalg.qr(np.random.default_rng(1).normal(size=(shape[1], shape[1])))[0]
    # With fewer rows than columns NCTI divides by a scatter that only its shrinkage of 1e-10 keeps from being singular.
    tolerance = 1e-4 if measure == "ncti" else 1e-6
    assert score(measure, X @ turn, y) == pytest.approx(score(measure, X, y), rel=tolerance)


@pytest.mark.parametrize("measure", SCALE_INVARIANT)
@pytest.mark.parametrize("scale", [1e-6, 1e4])
def test_scale_does_not_matter(measure, scale):
    X, y = task()
    assert score(measure, X * scale, y) == pytest.approx(score(measure, X, y), rel=1e-6)


@pytest.mark.parametrize("measure", [m for m in FEATURE_MEASURES if m not in ("logme", "lfc")])
def test_offsets_do_not_matter(measure):
    X, y = task()
    # Only a difference that double precision leaves after so large an offset.
    assert score(measure, X + 1000.0, y) == pytest.approx(score(measure, X, y), rel=1e-5)


@pytest.mark.parametrize("measure", ["h_score", "logme", "lfc", "parc", "knn", "nleep", "linear_probe"])
def test_duplicated_features_do_not_matter(measure):
    X, y = task()
    tolerance = 0.02 if measure == "linear_probe" else 1e-6
    X = X - X.mean(axis=0) if measure == "parc" else X
    assert score(measure, np.hstack([X, X]), y) == pytest.approx(score(measure, X, y), rel=tolerance)


@pytest.mark.parametrize("measure", FEATURE_MEASURES)
@pytest.mark.parametrize(("dtype", "tolerance"), [(np.float16, 5e-2), (np.float32, 1e-4), (np.longdouble, 1e-12)])
def test_precisions(measure, dtype, tolerance):
    X, y = task()
    if measure in ("lda", "linear_probe", "knn"):
        tolerance = max(tolerance, 0.02)
    assert score(measure, X.astype(dtype), y) == pytest.approx(score(measure, X, y), rel=tolerance)


@pytest.mark.parametrize("measure", FEATURE_MEASURES)
def test_whole_numbers_and_columns_in_fortran_order(measure):
    X, y = task()
    whole = np.round(3 * X).astype(np.int8)
    expected = score(measure, whole.astype(float), y)
    assert score(measure, whole, y) == pytest.approx(expected, rel=1e-12)
    assert score(measure, np.asfortranarray(whole), y) == pytest.approx(expected, rel=1e-12)


FRAMES = {
    "plain": lambda X: X,
    "single": lambda X: X.astype("float32"),
    "nullable": lambda X: X.astype("Float64"),
    "pyarrow": lambda X: X.astype("double[pyarrow]"),
    "objects": lambda X: X.astype(object),
    "mixed": lambda X: X.assign(a=X["a"].astype("Float64"), b=X["b"].astype("float32"), d=X["d"].astype("boolean")),
    "polars decimals": lambda X: pl.DataFrame(X.to_dict("list")).cast({"a": pl.Decimal(20, 12)}),
}


def frame_of(X):
    """A frame with a column of truth values, and the same numbers as an array."""
    frame = pd.DataFrame(np.round(X[:, :3], 6), columns=list("abc")).assign(d=X[:, 3] > 0)
    return frame, frame.to_numpy(dtype=float)


@pytest.mark.parametrize("measure", FEATURE_MEASURES)
@pytest.mark.parametrize("convert", FRAMES.values(), ids=FRAMES)
def test_frames_of_any_numbers_are_features(measure, convert):
    X, y = task()
    frame, values = frame_of(X)
    assert score(measure, convert(frame), y) == pytest.approx(score(measure, values, y), rel=1e-3)


def test_plain_frames_keep_their_dtype():
    X, y = task()
    for dtype in ("float32", "float64"):
        frame = pd.DataFrame(X).astype(dtype)
        assert Features(frame).source.dtype == dtype
        assert Features(frame.convert_dtypes()).source.dtype == dtype
        assert tr.logme(frame.convert_dtypes(), y) == tr.logme(frame, y) == tr.logme(X.astype(dtype), y)


def test_frames_of_probabilities_and_of_targets():
    P, y = probabilities()
    for dtype in ("Float64", "double[pyarrow]"):
        assert tr.leep(pd.DataFrame(P).astype(dtype), y) == tr.leep(P, y)
        targets = pd.DataFrame(P[:, :2]).astype(dtype)
        assert tr.logme(P, targets, regression=True) == tr.logme(P, P[:, :2], regression=True)


@pytest.mark.parametrize("dtype", ["Float64", "double[pyarrow]", object])
def test_what_is_missing_in_a_frame_is_refused_as_nan_is(dtype):
    X, y = task()
    frame = pd.DataFrame(X).astype(dtype)
    frame.iloc[7, 2] = pd.NA
    for measure in FEATURE_MEASURES:
        with pytest.raises(ValueError, match="with NaN or infinite values, expected finite numbers"):
            score(measure, frame, y)
    with pytest.raises(ValueError, match="regression targets with NaN or infinite values"):
        tr.logme(X, frame, regression=True)


@pytest.mark.parametrize(
    ("column", "message"),
    [
        (lambda n: ["few"] * n, r"column 'told' of the (features|inputs).*, but expected real numbers"),
        (lambda n: [1.0] * (n - 1) + ["2"], r"column 'told' of the (features|inputs) with '2' in it"),
        (lambda n: pd.date_range("2020", periods=n), r"column 'told' of the (features|inputs) of dtype datetime64"),
    ],
)
@pytest.mark.parametrize("measure", FEATURE_MEASURES)
def test_a_column_that_holds_no_numbers_is_named(measure, column, message):
    X, y = task()
    frame = pd.DataFrame(X).assign(told=column(len(X)))
    with pytest.raises(ValueError, match=message):
        score(measure, frame, y)


@pytest.mark.parametrize("measure", [*FEATURE_MEASURES, "leep", "nce"])
def test_read_only_arrays_and_memory_maps_are_taken_and_left_alone(measure, tmp_path):
    X, y = inputs(measure)
    expected = score(measure, X, y)
    np.save(tmp_path / "x.npy", X)
    before, labels = X.copy(), y.copy()
    X.setflags(write=False)
    y.setflags(write=False)
    assert score(measure, X, y) == expected
    for mode in ("r", "r+"):
        assert score(measure, np.load(tmp_path / "x.npy", mmap_mode=mode), y) == pytest.approx(expected, rel=1e-12)
    np.testing.assert_array_equal(X, before)
    np.testing.assert_array_equal(np.load(tmp_path / "x.npy"), before)
    np.testing.assert_array_equal(y, labels)


@pytest.mark.parametrize("measure", [*FEATURE_MEASURES, "leep", "nce"])
@pytest.mark.parametrize("wide", [False, True])
@pytest.mark.filterwarnings("ignore:h_score of")
def test_torch_tensors_give_the_same(measure, wide):
    torch = pytest.importorskip("torch")
    X, y = task(40, 60) if wide and measure not in ("leep", "nce") else inputs(measure)
    tensor = torch.tensor(X, requires_grad=True)
    before = tensor.detach().clone()
    assert score(measure, tensor, torch.tensor(y)) == pytest.approx(score(measure, X, y), rel=1e-4)
    assert torch.equal(tensor.detach(), before)


@pytest.mark.parametrize("measure", ["logme", "h_score", "sfda", "parc", "transrate"])
def test_low_precision_tensors(measure):
    torch = pytest.importorskip("torch")
    X, y = task()
    for dtype, tolerance in ((torch.float32, 1e-4), (torch.bfloat16, 0.2)):
        assert score(measure, torch.tensor(X).to(dtype), y) == pytest.approx(score(measure, X, y), rel=tolerance)


@pytest.mark.gpu
@pytest.mark.parametrize("measure", [*FEATURE_MEASURES, "leep", "nce"])
def test_cuda_tensors_stay_on_the_gpu_and_give_the_same(measure):
    torch = pytest.importorskip("torch")
    if not torch.cuda.is_available():
        pytest.skip("needs a CUDA device")
    X, y = inputs(measure)
    assert score(measure, torch.tensor(X, device="cuda"), y) == pytest.approx(score(measure, X, y), rel=1e-4)


@pytest.mark.parametrize("labels_too", [False, True])
@pytest.mark.parametrize("measure", [*FEATURE_MEASURES, "leep", "nce"])
def test_what_is_on_a_device_is_computed_there(measure, labels_too, pretended):
    """On a pretended one, where tensors of the host refuse to meet those of the device."""
    torch = pytest.importorskip("torch")
    X, y = inputs(measure)
    with pretended:
        there = torch.tensor(X).to(AWAY), torch.tensor(y).to(AWAY) if labels_too else y
        found = score(measure, *there)
    assert found == pytest.approx(score(measure, X, y), rel=1e-9)
    # Labels come home, and what is counted of them, never the features. Of a few rows PARC ranks all distances there.
    if measure not in ("parc", "nce"):
        assert pretended.memory.largest_brought_home < X.size


@pytest.mark.parametrize("measure", FEATURE_MEASURES)
@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda X, y: (X[:, 0], y), r"shape \(240,\), but expected two dimensions"),
        (lambda X, y: (X[:, :0], y), r"shape \(240, 0\), but expected two dimensions"),
        (lambda X, y: (X, y[:-1]), "Got 239 labels for 240 rows"),
        (lambda X, y: (X, np.zeros(len(y))), r"1 class\(es\), but expected at least 2"),
        (lambda X, y: (X, np.column_stack([y, y])), r"labels of shape \(240, 2\), but expected one label a row"),
        (lambda X, y: (X, np.where(y == 1, np.nan, y)), "labels with 60 NaN or infinite"),
        (lambda X, y: (X, np.where(y == 1, None, y)), "labels with 60 missing"),
        (lambda X, y: (X, None), "Got labels=None, but expected one label a row"),
        (lambda X, y: (X, np.where(y == 1, np.datetime64("NaT"), y.astype("M8[D]"))), "labels with 60 missing"),
        (lambda X, y: (X, pd.Series(y).astype("string").where(y != 1)), "labels with 60 missing"),
        (lambda X, y: (X, pd.Series(np.where(y == 1, pd.NA, y.astype(str)))), "labels with 60 missing"),
        (lambda X, y: (X, np.ma.masked_equal(y, 1)), "labels with 60 missing"),
        (lambda X, y: (X, [np.nan if label == 1 else str(label) for label in y]), "labels with 60 missing"),
        (lambda X, y: (X, np.ma.masked_equal(y[:, None], 1)), "labels with 60 missing"),
        (lambda X, y: (X, np.random.default_rng(0).normal(size=len(y))), "look continuous"),
        (lambda X, y: (np.where(X > 2, np.nan, X), y), "NaN or infinite values, expected finite numbers"),
        (lambda X, y: (np.where(X > 2, -np.inf, X), y), "NaN or infinite values, expected finite numbers"),
        (lambda X, y: (X.astype(str), y), "but expected real numbers"),
        (lambda X, y: (X + 1j, y), "dtype complex128, but expected real numbers"),
        (lambda X, y: (np.ma.masked_greater(X, 2), y), "(features|inputs) with masked values, expected numbers only"),
        (lambda X, y: (X[:1], y[:1]), r"Got 1 row\(s\) of (features|inputs), but expected at least 2"),
    ],
)
def test_what_cannot_be_scored_is_refused_in_words(measure, change, message):
    with pytest.raises(ValueError, match=message):
        score(measure, *change(*task()))


SHAPES = [(240, 12), (40, 60), (3000, 50)]


@pytest.mark.parametrize("measure", [m for m in FEATURE_MEASURES if m != "knn"])
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.filterwarnings("ignore:h_score of")
def test_squares_that_overflow_are_refused(measure, shape):
    X, y = task(*shape)
    with pytest.raises(ValueError, match="whose squares overflow"), np.errstate(over="ignore", invalid="ignore"):
        score(measure, 1e200 * X, y)


@pytest.mark.parametrize("measure", FEATURE_MEASURES)
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("scale", [1e-160, 1e-80, 1e80, 1e140])
@pytest.mark.filterwarnings("ignore:h_score of")
def test_very_small_and_very_large_features_are_scored_or_refused(measure, shape, scale):
    """What is small or large enough for the squares of their squares to be none has no silent score."""
    X, y = task(*shape)
    if measure == "knn" or (measure in ("linear_probe", "parc") and 1e-100 < scale < 1e100):
        assert score(measure, scale * X, y) == pytest.approx(score(measure, X, y), rel=1e-6)
    else:
        with pytest.raises(ValueError, match="whose squares overflow" if scale > 1 else "whose squares vanish"):
            score(measure, scale * X, y)


@pytest.mark.parametrize("measure", ["leep", "nce", "pactran"])
@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda P, y: (P, None), "Got labels=None, but expected one label a row"),
        (lambda P, y: (np.where(y[:, None] == 1, np.nan, P), y), "probabilities with NaN or infinite values"),
        (lambda P, y: (P[:0], y[:0]), r"Got (0 row\(s\) of probabilities|no labels), but expected at least 2"),
    ],
)
@pytest.mark.parametrize("as_tensor", [False, True])
def test_probabilities_that_cannot_be_scored_are_refused_in_words(measure, change, message, as_tensor):
    P, y = change(*probabilities())
    P = pytest.importorskip("torch").tensor(P) if as_tensor else P
    extra = {"inputs_are": "probabilities"} if measure == "pactran" else {}
    with pytest.raises(ValueError, match=message):
        getattr(tr, measure)(P, y, **extra)


def test_dates_and_masked_arrays_of_which_nothing_is_missing_are_labels():
    X, y = task()
    expected = tr.logme(X, y)
    for labels in (y.astype("M8[D]"), np.ma.masked_equal(y, 99), pd.Series(y).astype("string")):
        assert tr.logme(X, labels) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("measure", ["logme", "lfc"])
@pytest.mark.parametrize(
    ("targets", "message"),
    [
        (None, "Got labels=None, but expected real targets"),
        ([], "Got 0 targets for 240 rows"),
        (3.0, r"Got regression targets of shape \(\), but expected at least one target a row"),
        (np.ones((240, 0)), r"Got regression targets of shape \(240, 0\), but expected at least one target a row"),
        (np.ma.masked_less(np.arange(240.0), 2), "regression targets with NaN or infinite values"),
    ],
)
def test_targets_that_cannot_be_scored_are_refused_in_words(measure, targets, message):
    X, _ = task()
    with pytest.raises(ValueError, match=message):
        getattr(tr, measure)(X, targets, regression=True)


def test_neighbours_of_very_large_and_small_numbers():
    X, y = task()
    for scale in (1e120, 1e-120):
        assert tr.knn(scale * X, y) == tr.knn(X, y)


@pytest.mark.parametrize("measure", ["leep", "pactran"])
@pytest.mark.parametrize("spoil", [lambda P: P - 0.5, lambda P: 3 * P, lambda P: np.where(P > 0.5, np.nan, P)])
def test_what_is_no_probability_is_refused(measure, spoil):
    P, y = probabilities()
    extra = {"inputs_are": "probabilities"} if measure == "pactran" else {}
    with pytest.raises(ValueError, match="probabilities with"):
        getattr(tr, measure)(spoil(P), y, **extra)


@pytest.mark.parametrize("measure", ["leep", "nce", "pactran"])
def test_files_of_rounded_probabilities_are_normalised_and_left_alone(measure, tmp_path):
    """In double precision, so that they are mapped as they are; their rows sum to 1 in single precision only."""
    P, y = probabilities()
    rounded = P.astype(np.float32).astype(np.float64)
    np.save(tmp_path / "p.npy", rounded)
    found = tr.score_zoo({"m": {"probabilities": tmp_path / "p.npy"}}, y, [measure])
    assert found[measure].iloc[0] == pytest.approx(score(measure, P, y), rel=1e-5)
    before = rounded.copy()
    assert score(measure, rounded, y) == pytest.approx(found[measure].iloc[0], rel=1e-12)
    np.testing.assert_array_equal(rounded, before)
    np.testing.assert_array_equal(np.load(tmp_path / "p.npy"), before)


@pytest.mark.parametrize("measure", FEATURE_MEASURES)
def test_features_that_do_not_vary(measure):
    """No measure gives NaN; each says in its docstring what it gives."""
    _, y = task()
    X = np.full((240, 5), 3.7)
    value = score(measure, X, y)
    expected = {
        "h_score": 0,
        "regularized_h_score": 0,
        "lfc": 0,
        "parc": 0,
        "transrate": 0,
        "sfda": 0.25,
        "gbc": -12,
        "nleep": np.log(0.25),
    }
    assert np.isfinite(value)
    if measure in expected:
        assert value == pytest.approx(expected[measure], abs=1e-9)


@pytest.mark.parametrize("measure", FEATURE_MEASURES)
def test_constant_and_dependent_columns(measure):
    X, y = task()
    extended = np.hstack([X, np.full((240, 1), 1e3), X[:, :3] @ np.ones((3, 1))])
    assert np.isfinite(score(measure, extended, y))
    if measure in ("h_score", "nleep"):
        assert score("h_score", extended, y) == pytest.approx(tr.h_score(X, y), rel=1e-7)


@pytest.mark.parametrize("measure", FEATURE_MEASURES)
@pytest.mark.parametrize(("n", "d"), [(30, 80), (20, 20), (21, 20)])
@pytest.mark.filterwarnings("ignore:h_score of")
def test_few_samples(measure, n, d):
    X, y = task(n, d, n_classes=3)
    assert np.isfinite(score(measure, X, y))


@pytest.mark.parametrize("measure", FEATURE_MEASURES)
def test_classes_of_one_row(measure):
    X, y = task()
    y = y.copy()
    y[:3] = [10, 11, 12]
    assert np.isfinite(score(measure, X, y))


@pytest.mark.parametrize("measure", FEATURE_MEASURES)
def test_a_thousand_classes(measure):
    X, y = task(n=2200, d=6, n_classes=1000)
    extra = {"n_components": 20} if measure in ("nleep", "pactran") else {}
    extra = {"max_iter": 3} if measure == "linear_probe" else extra
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert np.isfinite(getattr(tr, measure)(X, y, **extra))
