import tracemalloc
from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import norm, ortho_group

import causalign as ca
from causalign.counterfactuals.direction import Direction
from causalign.counterfactuals.variables import Variables
from causalign.scoring.comparison import stratified
from causalign.scoring.iia import iia_table, worst
from causalign.similarity import gram as _overlaps
from causalign.tasks.base import END, Sequences
from causalign.tasks.counting import MultiObject
from causalign.tasks.variable import Variable
from naive_networks import linear_cka, unbiased_hsic_cka
from naive_similarity import cka as naive_cka
from naive_similarity import procrustes as naive_procrustes
from naive_similarity import rsa as naive_rsa

shapes = st.tuples(st.integers(4, 30), st.integers(2, 12), st.integers(2, 12), st.integers(0, 1000))


def pair(shape: tuple[int, int, int, int]) -> tuple[np.ndarray, np.ndarray]:
    samples, width_x, width_y, seed = shape
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(samples, width_x))
    return x, x @ rng.normal(size=(width_x, width_y)) + 0.5 * rng.normal(size=(samples, width_y)) + 1


@given(shape=shapes)
@settings(max_examples=50)
def test_the_measures_equal_naive_references(shape: tuple[int, int, int, int]) -> None:
    x, y = pair(shape)
    assert ca.rsa(x, y) == pytest.approx(naive_rsa(x, y, rank=True), abs=1e-9)
    assert ca.rsa(x, y, "pearson") == pytest.approx(naive_rsa(x, y, rank=False), abs=1e-9)
    assert ca.cka(x, y) == pytest.approx(naive_cka(x, y), abs=1e-9)
    assert ca.procrustes(x, y) == pytest.approx(naive_procrustes(x, y), abs=1e-6)


@given(shape=shapes)
@settings(max_examples=20)
def test_rotations_and_scales_are_not_seen(shape: tuple[int, int, int, int]) -> None:
    x, _ = pair(shape)
    turned = 3 * x @ ortho_group.rvs(x.shape[1], random_state=shape[3])
    assert ca.rsa(x, turned) == pytest.approx(1, abs=1e-6)
    assert ca.rsa(x, turned, "pearson") == pytest.approx(1)
    assert ca.cka(x, 3 * x) == pytest.approx(1)
    assert ca.procrustes(x, turned + 5) == pytest.approx(0, abs=1e-6)


def test_tensors_and_arrays_are_the_same_to_the_measures() -> None:
    x, y = pair((20, 5, 7, 0))
    assert ca.cka(torch.from_numpy(x), y) == ca.cka(x, y)


def test_units_that_never_vary_are_left_out_of_cka() -> None:
    x, y = pair((20, 5, 7, 0))
    constant = np.full((20, 1), 0.1)
    assert ca.cka(np.hstack([x, constant]), y) == pytest.approx(ca.cka(x, y))


@pytest.mark.parametrize("measure", [ca.rsa, ca.cka, ca.procrustes])
def test_bad_samples_are_refused(measure: object) -> None:
    assert callable(measure)
    x, y = pair((20, 5, 7, 0))
    with pytest.raises(ca.CausalignError, match="need the same samples, at least 3; found 20 and 19"):
        measure(x, y[1:])
    with pytest.raises(ca.CausalignError, match=r"y must be \[samples, width\], found the shape \[20\]"):
        measure(x, y[:, 0])
    y[4, 2] = np.nan
    with pytest.raises(ca.CausalignError, match="y has NaN, masked or infinite entries in 1 samples"):
        measure(x, y)
    with pytest.raises(ca.CausalignError, match=r"all samples of y|no unit of y varies|y does not vary"):
        measure(x, np.ones((20, 3)))


def test_rsa_refuses_what_has_no_cosine_and_unknown_correlations() -> None:
    x, y = pair((20, 5, 7, 0))
    with pytest.raises(ca.CausalignError, match="x has 1 all-zero samples"):
        ca.rsa(np.vstack([x[:-1], np.zeros(5)]), y)
    with pytest.raises(ca.CausalignError, match="unknown correlation 'kendall'"):
        ca.rsa(x, y, "kendall")


def test_the_table_has_the_wilson_interval(zoo_pair: tuple[ca.networks.GRU, ca.networks.GRU]) -> None:
    sites = [network.site("hidden") for network in zoo_pair]
    correct = {(Direction(0, 1), 0): torch.arange(200) < 180, (Direction(1, 0), 0): torch.arange(50) < 50}
    variables = Variables(((Variable.of("count"), Variable.of("full")),))
    table = iia_table([site.name for site in sites], variables, correct)
    z, n, p = norm.ppf(0.975), 200, 0.9
    centre, half = (p + z * z / (2 * n)), z * np.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    low, high = ((centre + sign * half) / (1 + z * z / n) for sign in (-1, 1))
    assert list(table.columns) == ["source", "target", "variable", "iia", "ci_low", "ci_high", "rows"]
    row = table.iloc[0]
    assert (row["source"], row["target"]) == ("multi-object/gru/0@hidden", "multi-object/gru/1@hidden")
    assert row["variable"] == "count -> full"
    assert (row["iia"], row["rows"]) == (0.9, 200)
    assert (row["ci_low"], row["ci_high"]) == (pytest.approx(low), pytest.approx(high))
    assert table.iloc[1]["ci_high"] == pytest.approx(1)
    assert worst(correct) == 0.9


def test_fifteen_trials_of_each_quantity_are_read() -> None:
    trials = stratified(MultiObject(), 15, np.random.default_rng(0))
    assert np.bincount(MultiObject().strata(trials)).tolist() == [0] + [15] * 20


def test_the_protocol_compares_the_same_states(zoo_pair: tuple[ca.networks.GRU, ca.networks.GRU]) -> None:
    a, b = (network.site("embedding") for network in zoo_pair)
    with_itself = ca.compare(a, a, draws=3, samples=200).set_index("measure")
    assert with_itself.loc["CKA", "value"] == pytest.approx(1)
    assert with_itself.loc["RSA (Spearman)", "value"] == pytest.approx(1)
    assert with_itself.loc["Procrustes distance", "value"] == pytest.approx(0, abs=1e-6)
    across = ca.compare(a, b, draws=3, samples=200)
    assert across["samples"].tolist() == [200] * 6
    assert across.equals(ca.compare(a, b, draws=3, samples=200))
    values = across.set_index("measure")["value"]
    # The paper's remark (section 3.1): on embeddings Spearman's RSA is low and Pearson's is near ceiling.
    assert values["RSA (Spearman)"] < 0.9 < values["RSA (Pearson)"]


def test_the_protocol_leaves_out_pads_and_the_end(zoo_pair: tuple[ca.networks.GRU, ca.networks.GRU]) -> None:
    task = MultiObject()
    trials = stratified(task, 2, np.random.default_rng(0))
    positions = int(trials.lengths.sum()) - len(trials)
    a, b = (network.site("embedding") for network in zoo_pair)
    assert set(ca.compare(a, b, draws=2, samples=10**6, trials_each=2)["samples"]) == {positions}
    assert task.vocabulary.id(END) == 2


def test_sites_of_different_tasks_cannot_be_compared(zoo_pair: tuple[ca.networks.GRU, ca.networks.GRU]) -> None:
    class Other(MultiObject):
        name = "other"

    with pytest.raises(ca.CausalignError, match=r"is of multi-object \(.*\), .* of other \("):
        ca.compare(zoo_pair[0].site("hidden"), zoo_pair[1].site("hidden", task=Other()))


def test_numbers_that_are_too_small_are_refused(zoo_pair: tuple[ca.networks.GRU, ca.networks.GRU]) -> None:
    a, b = (network.site("embedding") for network in zoo_pair)
    for wrong in ({"seed": -1}, {"draws": 1}, {"samples": 2}, {"trials_each": 0}):
        with pytest.raises(ca.CausalignError, match="compare needs seed >= 0, draws >= 2"):
            ca.compare(a, b, **wrong)  # type: ignore[arg-type]


def test_strata_too_rare_to_fill_are_refused() -> None:
    class Rare(MultiObject):
        def strata(self, trials: Sequences) -> np.ndarray:
            return (np.arange(len(trials)) == 0).astype(np.int64)

    with pytest.raises(ca.CausalignError, match="wrote fewer than 2 trials of a stratum"):
        stratified(Rare(), 2, np.random.default_rng(0))


@pytest.mark.parametrize("widths", [(5, 9), (40, 30), (3, 40)])
def test_cka_s_other_estimators_are_those_of_a_naive_one(
    widths: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_overlaps, "_BLOCK", 100)
    rng = np.random.default_rng(0)
    shared = rng.normal(size=(25, 3))
    x, y = (shared @ rng.normal(size=(3, width)) + rng.normal(size=(25, width)) for width in widths)
    assert ca.cka(x, y, kernel="linear") == pytest.approx(linear_cka(x, y))
    assert ca.cka(x, y, kernel="linear", debiased=True) == pytest.approx(
        unbiased_hsic_cka(x - x.mean(0), y - y.mean(0))
    )


@pytest.mark.parametrize("kernel", ["cosine", "linear"])
@pytest.mark.parametrize("debiased", [False, True])
def test_cka_takes_no_memory_for_pairs_of_samples(kernel: str, debiased: bool) -> None:
    x, y = pair((2000, 5, 7, 0))
    assert most_bytes(lambda: ca.cka(x, y, kernel, debiased)) < 2000**2


def test_rsa_takes_sixteen_bytes_a_pair_for_ranks_and_none_without() -> None:
    x, y = pair((2000, 5, 7, 0))
    pairs = 2000 * 1999 / 2
    assert most_bytes(lambda: ca.rsa(x, y)) < 18 * pairs
    assert most_bytes(lambda: ca.rsa(x, y, "pearson")) < 2 * pairs


def most_bytes(measure: Callable[[], float]) -> int:
    tracemalloc.start()
    measure()
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return peak


def test_pearson_s_rsa_keeps_its_digits_where_all_distances_are_small() -> None:
    x, y = pair((60, 5, 7, 0))
    x, y = 1 + 1e-3 * x, 1 + 1e-3 * y
    assert ca.rsa(x, y, "pearson") == pytest.approx(naive_rsa(x, y, rank=False), abs=1e-9)


def test_pearson_s_rsa_of_one_direction_is_undefined() -> None:
    x, y = pair((20, 5, 7, 0))
    with pytest.raises(ca.CausalignError, match="all samples of x are equally far"):
        ca.rsa(np.outer(np.arange(1, 21), x[0]), y, "pearson")


def test_debiased_cka_of_independent_states_is_near_zero_where_the_other_is_not() -> None:
    rng = np.random.default_rng(0)
    pairs = [(rng.normal(size=(30, 200)), rng.normal(size=(30, 200))) for _ in range(20)]
    assert np.mean([ca.cka(x, y) for x, y in pairs]) > 0.5
    assert abs(np.mean([ca.cka(x, y, debiased=True) for x, y in pairs])) < 0.05


def test_cka_refuses_what_it_cannot_do() -> None:
    x = np.random.default_rng(0).normal(size=(3, 4))
    with pytest.raises(ca.CausalignError, match="unknown kernel 'cosin'; did you mean 'cosine'"):
        ca.cka(x, x, kernel="cosin")
    with pytest.raises(ca.CausalignError, match="at least 4; found 3 and 3"):
        ca.cka(x, x, debiased=True)
