"""Measures of similarity on odd inputs and at any scale, and beside scipy, rsatoolbox and netrep's definitions."""

import itertools
import time
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest
import scipy.linalg
import scipy.sparse
import scipy.stats
import torch
import xarray

import causalign as ca
from causalign.maps.base import AlignmentMap
from causalign.scoring.comparison import MEASURES

RNG = np.random.default_rng(0)
X, Y = RNG.normal(size=(30, 6)), RNG.normal(size=(30, 9))
MASKED = np.ma.masked_array(X.copy(), mask=np.zeros_like(X, bool))
MASKED[3, 2] = np.ma.masked


@pytest.mark.parametrize("name", MEASURES)
@pytest.mark.parametrize("scale", [1e-300, 1e-200, 1e-11, 1e80, 1e200, 1e300])
def test_no_measure_depends_on_the_unit_of_measurement(name: str, scale: float) -> None:
    assert MEASURES[name](X * scale, Y) == pytest.approx(MEASURES[name](X, Y), abs=1e-9)


@pytest.mark.parametrize(
    "made",
    [
        lambda x: x.tolist(),
        pd.DataFrame,
        lambda x: xarray.DataArray(x, dims=("s", "u")),
        lambda x: torch.tensor(x, requires_grad=True),
        lambda x: torch.tensor(x).to_sparse(),
        scipy.sparse.csr_array,
        lambda x: x.astype(object),
        lambda x: np.ma.masked_array(x, mask=False),
    ],
)
def test_arrays_of_any_kind_give_the_same(made: Callable[[np.ndarray], Any]) -> None:
    for measure in MEASURES.values():
        assert measure(made(X), Y) == pytest.approx(measure(X, Y), abs=1e-12)


def test_half_precision_is_read_as_it_is() -> None:
    for dtype in (torch.bfloat16, torch.float16):
        half = torch.tensor(X).to(dtype)
        for measure in MEASURES.values():
            assert measure(half, Y) == measure(half.double().numpy(), Y)


@pytest.mark.parametrize(
    ("x", "message"),
    [
        (MASKED, "x has NaN, masked or infinite entries in 1 samples"),
        (X + 1j, "x has entries of the type complex128, and must have real numbers"),
        (torch.tensor(X) + 1j, "x has entries of the type torch.complex128"),
        ([[1, 2], [3]], "its rows are of unequal length"),
        (np.array([["a"] * 3] * 30), "x has entries of the type <U1"),
        (np.array([[object()] * 3] * 30), "x must be an array of numbers, found entries of object"),
        (None, r"x must be \[samples, width\], found the shape \[\]"),
        (X[:, :0], r"x has no unit: its shape is \[30, 0\]"),
        (scipy.sparse.csr_array((30, 10**9)), "x is sparse, of the shape .*: it takes 223.5 GiB when it is dense"),
    ],
)
def test_what_is_no_array_of_numbers_is_one_line(x: Any, message: str) -> None:
    for measure in MEASURES.values():
        with pytest.raises(ca.InvalidArgument, match=message):
            measure(x, Y)


def test_masked_entries_are_refused_where_no_entry_may_be_missing() -> None:
    module = torch.nn.Sequential(torch.nn.Linear(6, 5), torch.nn.ReLU(), torch.nn.Linear(5, 3)).eval()
    module.requires_grad_(False)
    site = ca.Site(module, "0", inputs=torch.zeros(1, 6))
    inputs = np.ma.masked_array(X.astype(np.float32), mask=np.ma.getmaskarray(MASKED))
    with pytest.raises(ca.InvalidArgument, match="source_inputs has 1 masked entries, the first in row 3"):
        ca.Counterfactuals.from_arrays(site, source_inputs=inputs, target_inputs=X.astype(np.float32), labels=[0] * 30)
    with pytest.raises(ca.InvalidArgument, match="states has 1 masked entries, the first in row 3"):
        AlignmentMap(torch.eye(6)[:, :2], 1.0).project(MASKED)


@pytest.mark.parametrize(("wide", "narrow"), [(400, 400), (400, 20), (8, 8), (8, 400)])
def test_procrustes_is_scipy_s_through_the_small_side(wide: int, narrow: int) -> None:
    rng = np.random.default_rng(1)
    x, y = rng.normal(size=(50, wide)), rng.normal(size=(50, narrow))
    a, b = (side - side.mean(axis=0) for side in (x, y))
    a, b = (np.pad(side / np.linalg.norm(side), ((0, 0), (0, 400 - side.shape[1]))) for side in (a, b))
    _, overlap = scipy.linalg.orthogonal_procrustes(b, a)
    assert ca.procrustes(x, y) == pytest.approx(np.sqrt(2 - 2 * overlap), abs=1e-9)


def test_procrustes_of_wide_states_takes_no_matrix_of_units_by_units() -> None:
    x, y = (np.random.default_rng(seed).normal(size=(50, 4000)) for seed in (0, 1))
    start = time.perf_counter()
    ca.procrustes(x, y)
    assert time.perf_counter() - start < 2  # an SVD of 4,000 x 4,000 takes half a minute


# --- rsatoolbox


@pytest.fixture(scope="module")
def rsatoolbox() -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return pytest.importorskip("rsatoolbox")


CONDITIONS, FOLDS, WIDTH = 8, 4, 12
TUNING = RNG.normal(size=(CONDITIONS, WIDTH))
CONDITION, FOLD = np.tile(np.arange(CONDITIONS), FOLDS), np.repeat(np.arange(FOLDS), CONDITIONS)
TRIALS = TUNING[CONDITION] + RNG.normal(size=(len(CONDITION), WIDTH))


@pytest.mark.filterwarnings("ignore:invalid value encountered in cast")  # of rsatoolbox, for an empty descriptor
def test_crossnobis_is_rsatoolbox_s(rsatoolbox: Any) -> None:
    precision = ca.noise_precision(TRIALS, CONDITION)
    means = np.stack([TRIALS[c == CONDITION].mean(axis=0) for c in range(CONDITIONS)])
    # prec_from_measurements divides by (conditions - 1) x repeats, which is right for as many conditions as repeats
    noise = rsatoolbox.data.noise.prec_from_residuals(TRIALS - means[CONDITION], dof=len(TRIALS) - CONDITIONS)
    np.testing.assert_allclose(precision, noise, atol=1e-9)
    data = rsatoolbox.data.Dataset(TRIALS, obs_descriptors={"c": CONDITION, "f": FOLD})
    for theirs, ours in ((noise, precision), (None, None)):
        rdm = rsatoolbox.rdm.calc_rdm(data, method="crossnobis", descriptor="c", noise=theirs, cv_descriptor="f")
        found = ca.crossnobis(TRIALS, CONDITION, FOLD, precision=ours)
        np.testing.assert_allclose(found, rdm.get_vectors()[0], atol=1e-9)


def test_crossnobis_of_noise_alone_is_0_on_average() -> None:
    rng = np.random.default_rng(2)
    found = [ca.crossnobis(rng.normal(size=TRIALS.shape), CONDITION, FOLD) for _ in range(300)]
    assert abs(np.mean(found)) < 4 * np.std(np.mean(found, axis=1)) / 300**0.5


@pytest.mark.parametrize(
    ("method", "theirs"),
    [("spearman", "spearman"), ("pearson", "corr"), ("whitened", "corr_cov"), ("whitened-cosine", "cosine_cov")],
)
def test_correlations_of_rdms_are_rsatoolbox_s(rsatoolbox: Any, method: str, theirs: str) -> None:
    a, b = (
        rsatoolbox.rdm.calc_rdm(rsatoolbox.data.Dataset(np.random.default_rng(seed).normal(size=(9, 5))), "euclidean")
        for seed in (3, 4)
    )
    expected = rsatoolbox.rdm.compare(a, b, theirs)[0, 0]
    assert ca.rdm_correlation(a.get_vectors()[0], b.get_vectors()[0], method) == pytest.approx(expected, abs=1e-9)


@pytest.mark.filterwarnings("ignore:invalid value encountered in cast")
def test_cross_validated_rows_of_a_comparison_are_rsatoolbox_s(rsatoolbox: Any) -> None:
    """Of two trials a condition: the mean of its crossnobis distances over all ways to divide them into two folds."""
    rng, count = np.random.default_rng(8), 5
    condition = np.tile(np.arange(count), 2)
    trials = TUNING[condition] + rng.normal(size=(len(condition), WIDTH))
    model = rng.normal(size=(count, 7))
    rdms = []
    for first in itertools.product((0, 1), repeat=count):
        fold = np.concatenate([first, 1 - np.array(first)])
        data = rsatoolbox.data.Dataset(trials, obs_descriptors={"c": condition, "f": fold})
        rdms.append(rsatoolbox.rdm.calc_rdm(data, method="crossnobis", descriptor="c", cv_descriptor="f"))
    ours = rsatoolbox.rdm.RDMs(np.mean([rdm.get_vectors() for rdm in rdms], axis=0))
    theirs = rsatoolbox.rdm.calc_rdm(rsatoolbox.data.Dataset(model), "euclidean")
    table = ca.compare(
        ca.Recording(trials[:, None], pd.DataFrame({"c": condition}), fewest=1),
        ca.Recording(model[condition][:, None], pd.DataFrame({"c": condition}), fewest=1, name="model"),
        resamples=2,
    ).set_index("measure")["value"]
    for name, method in (
        ("crossnobis", "corr"),
        ("whitened correlation", "corr_cov"),
        ("whitened cosine", "cosine_cov"),
    ):
        assert table[f"RSA ({name})"] == pytest.approx(rsatoolbox.rdm.compare(ours, theirs, method)[0, 0], abs=1e-6)


@pytest.mark.parametrize(("method", "theirs"), [("spearman", "spearman"), ("pearson", "corr")])
def test_the_noise_ceiling_of_several_rdms_is_rsatoolbox_s(rsatoolbox: Any, method: str, theirs: str) -> None:
    rng = np.random.default_rng(5)
    data = [rsatoolbox.data.Dataset(TUNING + rng.normal(size=TUNING.shape)) for _ in range(5)]
    rdms = [rsatoolbox.rdm.calc_rdm(each, "euclidean") for each in data]
    expected = rsatoolbox.inference.boot_noise_ceiling(rsatoolbox.rdm.concat(rdms), method=theirs)
    found = ca.noise_ceiling([rdm.get_vectors()[0] for rdm in rdms], method)
    assert found == pytest.approx(tuple(map(float, expected)), abs=1e-9)


def test_rsa_is_rsatoolbox_s_on_the_same_distances(rsatoolbox: Any) -> None:
    a, b = (rsatoolbox.rdm.RDMs(ca.rdm(side)[None]) for side in (X, Y))
    for correlation, theirs in (("spearman", "spearman"), ("pearson", "corr")):
        assert ca.rsa(X, Y, correlation) == pytest.approx(rsatoolbox.rdm.compare(a, b, theirs)[0, 0], abs=1e-9)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: ca.crossnobis(TRIALS, CONDITION, np.zeros(len(TRIALS))), "need at least 2 folds, found 1"),
        (lambda: ca.crossnobis(TRIALS[1:], CONDITION[1:], FOLD[1:]), "condition 0 does not occur in fold 0"),
        (lambda: ca.noise_precision(TUNING, np.arange(CONDITIONS)), "8 trials of 8 conditions have no noise"),
        (
            lambda: ca.rdm_correlation(np.arange(6.0), np.arange(10.0)),
            "of 6 and 10 pairs; they must be of the same cond",
        ),
        (lambda: ca.rdm_correlation(np.ones(6), np.arange(6.0)), "all distances of x are equal"),
        (lambda: ca.rdm_correlation(np.arange(6.0), np.zeros(6), "whitened-cosine"), "all distances of y are 0"),
        (
            lambda: ca.rdm_correlation(np.arange(7.0), np.arange(7.0), "whitened"),
            "7 distances are not those of all pairs",
        ),
        (lambda: ca.noise_ceiling([np.arange(6.0)]), "a noise ceiling needs at least 2 RDMs, found 1"),
    ],
)
def test_rdms_that_cannot_be_made_are_refused(call: Callable[[], Any], message: str) -> None:
    with pytest.raises(ca.InvalidArgument, match=message):
        call()


# --- netrep's definitions


def test_a_matrix_of_distances_is_netrep_s() -> None:
    """netrep's `LinearMetric(alpha=1, score_method="euclidean")` on states of unit norm: ||X Q - Y||."""
    rng = np.random.default_rng(6)
    arrays = [rng.normal(size=(40, 7)) for _ in range(4)]
    found = ca.similarity_matrix(arrays, ca.procrustes)
    for i, x in enumerate(arrays):
        for j, y in enumerate(arrays):
            a, b = (side - side.mean(axis=0) for side in (x, y))
            a, b = a / np.linalg.norm(a), b / np.linalg.norm(b)
            u, _, vt = np.linalg.svd(a.T @ b)
            assert found[i, j] == pytest.approx(np.linalg.norm(a @ u @ vt - b), abs=1e-6)
            assert np.arccos(1 - found[i, j] ** 2 / 2) == pytest.approx(  # netrep's angular distance
                np.arccos(np.clip(np.trace((u @ vt).T @ a.T @ b), -1, 1)), abs=1e-6
            )
