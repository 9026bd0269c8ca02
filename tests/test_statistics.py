"""Intervals and tests of scores: exact where they are said to be, and right as often as they are said to be."""

import json
from collections.abc import Sequence
from importlib import import_module
from itertools import product
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy.stats import binom, binomtest, fisher_exact, norm, sem, t

import causalign as ca
from causalign.cli.tables import console, show_alignment
from causalign.report import write_report
from causalign.scoring.difference_test import paired_p, unpaired_p
from causalign.scoring.score_comparison import score_comparison
from causalign.scoring.worst_difference import Line, WorstDifference
from causalign.sweep.table import CONTROLS, worst_directions

EXAMPLES = Path(__file__).parent.parent / "docs" / "examples"
QUICK = ca.SearchConfig(max_steps=2, eval_every=1, batch_size=8)
FEW: dict[str, Any] = {"rank": 3, "n_train": 40, "n_validation": 20, "n_test": 40, "search": QUICK}
Pair = tuple[ca.networks.GRU, ca.networks.GRU]


@pytest.fixture
def simulation(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The script that writes the tables of docs/statistics.md."""
    monkeypatch.syspath_prepend(EXAMPLES)
    return import_module("interval_coverage")


def exact_coverage(truth: tuple[float, float], rows: int) -> float:
    """The coverage for two independent directions, by the probability of every outcome."""
    of_each = [binom.pmf(np.arange(rows + 1), rows, p) for p in truth]
    covered = 0.0
    for one, other in product(range(rows + 1), repeat=2):
        low, high = ca.worst_interval([one / rows, other / rows], [rows, rows])
        covered += of_each[0][one] * of_each[1][other] * (low - 1e-12 <= min(truth) <= high + 1e-12)
    return float(covered)


def test_the_interval_of_one_direction_is_clopper_and_pearson_s() -> None:
    for right, rows in ((0, 7), (3, 10), (990, 1000), (50, 50)):
        expected = binomtest(right, rows).proportion_ci(0.95, method="exact")
        assert ca.worst_interval([right / rows], [rows]) == pytest.approx((expected.low, expected.high))


@pytest.mark.parametrize("truth", [(0.9, 0.9), (0.5, 0.5), (0.6, 0.95), (0.97, 1.0), (1.0, 1.0)])
def test_the_interval_covers_the_least_of_two_scores(truth: tuple[float, float]) -> None:
    assert exact_coverage(truth, rows=25) >= 0.95


def test_an_interval_of_one_direction_does_not_cover_the_least_of_several(simulation: ModuleType) -> None:
    ours, single = simulation.worst_coverage((0.9,) * 4, 1000, same=False, draws=1000)
    assert ours >= 0.95
    assert single < 0.93


@pytest.mark.parametrize("rows", [30, 1000])
@pytest.mark.parametrize(
    "truth", [(0.95,) * 4, (0.7, 0.95, 0.95, 0.95), (0.98, 1.0, 1.0, 1.0), (1.0,) * 4, (0.9,) * 18]
)
@pytest.mark.parametrize("same", [False, True])
def test_the_interval_covers_the_worst_direction(
    truth: tuple[float, ...], rows: int, same: bool, simulation: ModuleType
) -> None:
    ours, _ = simulation.worst_coverage(truth, rows, same, draws=400)
    assert ours >= 0.95 - 3 * np.sqrt(0.95 * 0.05 / 400) + 0.01  # coverage is at least 0.95, and mostly more


def test_an_interval_of_no_scores_is_refused() -> None:
    for iia, rows in (([], []), ([0.5], [0]), ([1.2], [10])):
        with pytest.raises(ca.InvalidArgument, match="an interval needs accuracies"):
            ca.worst_interval(iia, rows)


@pytest.mark.parametrize(("b", "c", "rows"), [(5, 2, 50), (0, 0, 10), (0, 7, 30), (30, 3, 100)])
def test_without_a_margin_paired_rows_are_tested_by_mcnemar(b: int, c: int, rows: int) -> None:
    found = float(paired_p(np.array([b]), np.array([c]), np.array([rows]), 0.0)[0])
    assert found == pytest.approx(binomtest(b, b + c, alternative="greater").pvalue if b + c else 1.0)


@pytest.mark.parametrize(("b", "c", "rows", "margin"), [(5, 2, 50, -0.1), (0, 4, 50, 0.1), (12, 3, 100, 0.02)])
def test_with_a_margin_the_paired_test_has_the_likeliest_variance(b: int, c: int, rows: int, margin: float) -> None:
    second = np.linspace(max(0, -margin) + 1e-9, (1 - margin) / 2 - 1e-9, 400_001)
    rest = np.log(1 - 2 * second - margin)
    likelihood = b * np.log(second + margin) + c * np.log(second) + (rows - b - c) * rest
    likeliest = second[likelihood.argmax()]
    z = ((b - c) / rows - margin) / np.sqrt((2 * likeliest + margin - margin**2) / rows)
    assert float(paired_p(np.array([b]), np.array([c]), np.array([rows]), margin)[0]) == pytest.approx(
        norm.sf(z), rel=1e-3
    )


@pytest.mark.parametrize(
    ("first", "second", "margin"),
    [
        ((90, 100), (80, 120), -0.05),
        ((500, 1000), (480, 900), 0.03),
        ((30, 30), (10, 40), 0.5),
        ((0, 50), (3, 60), 0.1),
    ],
)
def test_the_unpaired_test_is_fisher_s_or_has_the_likeliest_variance(
    first: tuple[int, int], second: tuple[int, int], margin: float
) -> None:
    (a, of_a), (b, of_b) = first, second
    counts = (np.array([a]), np.array([of_a])), (np.array([b]), np.array([of_b]))
    table = np.array([[a, of_a - a], [b, of_b - b]])
    assert float(unpaired_p(*counts, 0.0)[0]) == pytest.approx(fisher_exact(table, alternative="greater").pvalue)
    p = np.linspace(max(0, margin), min(1, 1 + margin), 400_001)[1:-1]
    q = p - margin
    terms = (a, np.log(p)), (of_a - a, np.log(1 - p)), (b, np.log(q)), (of_b - b, np.log(1 - q))
    best = np.sum([count * term for count, term in terms], axis=0).argmax()
    error = np.sqrt(p[best] * (1 - p[best]) / of_a + q[best] * (1 - q[best]) / of_b)
    expected = norm.sf((a / of_a - b / of_b - margin) / error)
    assert float(unpaired_p(*counts, margin)[0]) == pytest.approx(expected, rel=1e-3)


def lines(rng: np.random.Generator, accuracies: Sequence[float], key: object = None) -> list[Line]:
    drawn = rng.random((len(accuracies), 200)) < np.array(accuracies)[:, None]
    return [Line(int(each.sum()), 200, each, key) for each in drawn]


@pytest.mark.parametrize("same", [True, False])
def test_tests_of_worst_scores_rarely_find_what_is_not_there(same: bool, simulation: ModuleType) -> None:
    noise = 3 * np.sqrt(0.05 * 0.95 / 300)
    alike = simulation.comparison_rates((0.9,), (0.9,), 500, same, draws=300)
    assert alike["greater"] <= 0.05 + noise
    assert alike["coverage"] >= 0.95 - noise
    apart = simulation.comparison_rates((0.95, 0.98), (0.97, 0.97), 1000, same, draws=300)  # at the margin
    assert max(apart["noninferior"], apart["equivalent"]) <= 0.05 + noise
    assert apart["coverage"] >= 0.95 - noise


def test_tests_of_worst_scores_find_what_is_there() -> None:
    rng = np.random.default_rng(0)
    found = score_comparison(lines(rng, (0.95, 0.99)), lines(rng, (0.99, 0.5)), margin=0.1)
    assert found.p_greater < 1e-6 < found.p_less
    assert 0 < found.ci_low < 0.45 < found.ci_high
    assert found.p_noninferior is not None
    assert found.p_noninferior < 1e-6
    assert found.p_equivalent == pytest.approx(1, abs=1e-3)
    assert found.difference == pytest.approx(found.first - found.second)
    back = score_comparison(lines(np.random.default_rng(1), (0.99, 0.5)), lines(rng, (0.95, 0.99)))
    assert back.p_less < 1e-6 < back.p_greater
    assert back.ci_high < 0


def test_the_interval_has_the_margins_that_the_tests_do_not_reject() -> None:
    rng = np.random.default_rng(0)
    for key in ("rows", None):
        difference = WorstDifference(lines(rng, (0.9, 0.95), key), lines(rng, (0.92, 0.8), key))
        low, high = difference.interval()
        assert -1 < low < difference.value < high < 1
        assert difference.p_greater(low - 1e-5) < 0.025 < difference.p_greater(low + 1e-5)
        assert difference.p_less(-high - 1e-5) < 0.025 < difference.p_less(-high + 1e-5)


def test_one_direction_that_is_not_exceeded_stands_in_the_way() -> None:
    """The worst of the first must exceed some direction of the second; others of the first do not help."""
    rng = np.random.default_rng(0)
    found = score_comparison(lines(rng, (0.99, 0.99, 0.7)), lines(rng, (0.7, 0.99)))
    assert found.p_greater > 0.05


def test_pairs_of_rows_make_small_differences_visible() -> None:
    rng = np.random.default_rng(0)
    right = rng.random(1000) < 0.9
    better = right | (rng.random(1000) < 0.15)
    first, second = (Line(int(each.sum()), 1000, each, "rows") for each in (better, right))
    paired = score_comparison([first], [second])
    apart = score_comparison([Line(first.right, 1000)], [Line(second.right, 1000)])
    assert (paired.paired, apart.paired) == (True, False)
    assert paired.p_greater < 0.01 * apart.p_greater


@pytest.fixture(scope="module")
def controlled() -> ca.Alignment:
    networks = [ca.networks.build("multi-object", "gru", seed=seed, width=6) for seed in (0, 1)]
    trained = ca.zoo.load("multi-object/gru", seed=0)
    sites = [trained.site("hidden"), networks[1].site("hidden")]
    return ca.align(sites, controls=True, **FEW)


def test_two_alignments_of_the_same_rows_are_paired(controlled: ca.Alignment, tiny_pair: Pair) -> None:
    trained = ca.zoo.load("multi-object/gru", seed=0)
    other = ca.align([trained.site("hidden"), tiny_pair[1].site("hidden")], **FEW)
    found = ca.compare_scores(controlled, other, direction=(0, 0))
    of_both = [each.rows[(each.rows["source"] == each.rows["target"])] for each in (controlled, other)]
    first, second = (each[each["source"].str.startswith("multi")]["correct"].to_numpy() for each in of_both)
    assert len(first) == len(second) == found.rows == 40
    b, c = int((first & ~second).sum()), int((second & ~first).sum())
    assert found.p_greater == pytest.approx(binomtest(b, b + c, alternative="greater").pvalue if b + c else 1.0)
    assert found.p_less == pytest.approx(binomtest(c, b + c, alternative="greater").pvalue if b + c else 1.0)
    assert (found.first, found.second, found.paired) == (first.mean(), second.mean(), True)
    assert found.ci_low <= found.difference <= found.ci_high


def test_alignments_of_other_rows_are_not_paired(controlled: ca.Alignment, tiny_pair: Pair, tmp_path: Path) -> None:
    other = ca.align([network.site("hidden") for network in tiny_pair], seed=1, **FEW)
    found = ca.compare_scores(controlled, other, margin=0.5)
    assert found.paired is False
    assert (found.first, found.second) == (controlled.worst_iia, other.worst_iia)
    assert "other rows" in repr(found)
    assert "p(equal within 0.5)" in repr(found)
    assert ca.compare_scores(ca.load_alignment(controlled.save(tmp_path)), other, margin=0.5) == found
    itself = ca.compare_scores(controlled, controlled, margin=0.1)
    assert itself.p == itself.p_greater == itself.p_less == 1
    assert itself.difference == 0


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"direction": (0, 2)}, r"direction \(0, 2\) has no IIA: source and target are one of \(0, 0\), \(0, 1\)"),
        ({"variable": "ful"}, "unknown variable 'ful'; did you mean 'full'"),
        ({"margin": 2.0}, "margin is the difference that counts as equal"),
    ],
)
def test_what_cannot_be_compared_is_named(controlled: ca.Alignment, fields: dict[str, Any], message: str) -> None:
    with pytest.raises(ca.InvalidArgument, match=message):
        ca.compare_scores(controlled, controlled, **fields)


def test_an_alignment_is_tested_against_its_controls(controlled: ca.Alignment, rough: ca.Alignment) -> None:
    table = controlled.controls
    for row, ours in zip(table.to_dict("records"), [*controlled.iia["iia"]] * 3, strict=True):
        right, theirs = round(ours * 40), round(row["iia"] * 40)
        expected = fisher_exact(np.array([[right, 40 - right], [theirs, 40 - theirs]]), alternative="greater").pvalue
        assert row["p"] == pytest.approx(expected)
    found = controlled.control_test("shuffled")
    assert (found.first, found.second) == (controlled.worst_iia, controlled.worst_controls["shuffled"])
    with pytest.raises(ca.InvalidArgument, match="unknown control 'shufled'; did you mean 'shuffled'"):
        controlled.control_test("shufled")
    with pytest.raises(ca.InvalidArgument, match="align with controls=True"):
        rough.control_test("shuffled")


def test_a_good_subspace_exceeds_a_random_one() -> None:
    site = ca.zoo.load("multi-object/gru", seed=0).site("hidden")
    fields: dict[str, Any] = FEW | {"rank": 16, "n_train": 300, "n_test": 300, "search": ca.SearchConfig(max_steps=0)}
    good, random = (ca.align(site, method="das", start=start, **fields) for start in ("closed-form", "random"))
    found = ca.compare_scores(good, random, margin=0.05)
    assert found.paired is True
    assert found.p_greater < 1e-50
    assert found.ci_low > 0.6
    assert found.p_equivalent == pytest.approx(1)


def test_the_interval_stands_wherever_the_headline_does(
    controlled: ca.Alignment, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    low, high = ca.worst_interval(controlled.iia["iia"].tolist(), controlled.iia["rows"].tolist())
    assert (low, high) == controlled.worst_interval
    assert low <= controlled.worst_iia <= high
    worst = controlled.record.worst
    assert worst is not None
    assert high != pytest.approx(worst.ci_high, abs=5e-4)
    assert f"[{low:.3f}, {high:.3f}]" in repr(controlled)
    controlled.save(tmp_path)
    result = json.loads((tmp_path / "result.json").read_text())
    assert (result["worst_ci_low"], result["worst_ci_high"]) == (low, high)
    page = write_report(tmp_path).read_text()
    assert f"{low:.3f} to {high:.3f}, 95 % interval over all directions" in page
    with console.capture() as printed:
        show_alignment(controlled)
    assert f"({low:.3f} to {high:.3f}), {worst.no_swap:.3f} with nothing swapped" in printed.get()
    assert "p(no higher than the control) = " in printed.get()


def test_a_result_without_the_interval_is_read(controlled: ca.Alignment, tmp_path: Path) -> None:
    controlled.save(tmp_path)
    result = json.loads((tmp_path / "result.json").read_text())
    for name in ("worst_ci_low", "worst_ci_high"):
        result.pop(name)
    (tmp_path / "result.json").write_text(json.dumps(result))
    assert ca.load_alignment(tmp_path).worst_interval == pytest.approx(controlled.worst_interval)


def test_a_point_of_a_sweep_has_the_interval_of_its_worst_direction() -> None:
    usual: dict[str, Any] = {"ci_low": 0.0, "ci_high": 0.0, "rows": 100, "latent_distance": np.nan, "complement": 0.5}
    table = pd.DataFrame([{"point": "x", "iia": iia} | usual | dict.fromkeys(CONTROLS, 0.0) for iia in (0.9, 0.95)])
    (row,) = worst_directions(table).to_dict("records")
    one_sided = [binomtest(90, 100).proportion_ci(level, method="exact") for level in (0.95, 0.975)]
    assert (row["iia"], row["ci_low"]) == (0.9, pytest.approx(one_sided[0].low))
    assert row["ci_high"] == pytest.approx(one_sided[1].high)  # 0.025 / 2 on one side


def test_networks_that_stand_alone_have_the_usual_error() -> None:
    values = [0.9, 0.7, 0.8, 0.95]
    found = ca.pair_mean(values, [(name,) for name in "abcd"])
    assert [found.value, found.sem, found.df] == pytest.approx([np.mean(values), sem(values), 3])
    assert found.interval() == pytest.approx(t.interval(0.95, 3, np.mean(values), sem(values)))
    others = [0.5, 0.65, 0.6]
    both = ca.pair_difference((values, [(n,) for n in "abcd"]), (others, [(n,) for n in "xyz"]))
    assert both.sem == pytest.approx(np.hypot(sem(values), sem(others)))
    assert both.df == 2


def test_crossed_pairs_have_the_mean_squares_of_the_two_way_analysis() -> None:
    values = np.random.default_rng(0).normal(size=(3, 5))
    pairs = [(f"a{i}", f"b{j}") for i in range(3) for j in range(5)]
    rows, columns = values.mean(axis=1), values.mean(axis=0)
    squares = 5 * rows.var(ddof=1) + 3 * columns.var(ddof=1)
    found = ca.pair_mean(values.ravel(), pairs)
    assert found.sem == pytest.approx(np.sqrt(squares / 15))
    assert (found.df, found.singletons) == (2, 0)
    shuffled = np.random.default_rng(1).permutation(15)
    assert ca.pair_mean(values.ravel()[shuffled], [pairs[i] for i in shuffled]).sem == pytest.approx(found.sem)


def test_networks_in_both_roles_are_one_population() -> None:
    scores = {("a", "b"): 0.9, ("c", "a"): 0.8, ("b", "c"): 0.5}
    left_out = np.array([scores["b", "c"], scores["c", "a"], scores["a", "b"]])  # without a, b, and c
    found = ca.pair_mean(list(scores.values()), list(scores))
    assert found.sem == pytest.approx(np.sqrt(2 / 3 * np.square(left_out - left_out.mean()).sum()))
    assert found.df == 2


def test_networks_that_two_sets_share_cancel_in_the_difference() -> None:
    rng = np.random.default_rng(0)
    shared = dict(zip("abcd", rng.normal(size=4), strict=True))
    first = {(name, other): shared[name] for name in shared for other in "xy"}
    second = {(name, other): shared[name] - 0.1 for name in shared for other in "uv"}
    apart = ca.pair_mean(list(first.values()), list(first))
    found = ca.pair_difference((list(first.values()), list(first)), (list(second.values()), list(second)))
    assert apart.sem > 0.1
    assert found.value == pytest.approx(0.1)
    assert found.sem == pytest.approx(0, abs=1e-12)


def test_a_single_network_of_a_kind_is_counted() -> None:
    found = ca.pair_mean([0.9, 0.7], [("a", "model"), ("b", "model")])
    assert found.sem == pytest.approx(sem([0.9, 0.7]))
    assert found.singletons == 1
    alone = ca.pair_mean([0.9], [("a", "b")])
    assert np.isnan([alone.sem, *alone.interval(), alone.p()]).all()
    assert (alone.df, alone.singletons) == (0, 2)
    with pytest.raises(ca.InvalidArgument, match="each value needs a pair"):
        ca.pair_mean([0.9, 0.7], [("a", "b")])


@pytest.mark.parametrize("deviations", [(1, 1, 0), (1, 1, 1), (1, 0, 0.1), (0, 0, 1)])
@pytest.mark.parametrize("shape", [(2, 2), (2, 6), (4, 4)])
def test_the_interval_over_pairs_covers_the_mean(
    shape: tuple[int, int], deviations: tuple[float, float, float], simulation: ModuleType
) -> None:
    ours, as_units, variance, of_units = simulation.pair_coverage(shape, deviations, draws=500)
    assert ours >= 0.95 - 3 * np.sqrt(0.05 * 0.95 / 500)
    assert 0.75 < variance < 2.5
    if deviations[0]:  # with pairs as units the error is too small
        assert as_units < 0.93
        assert of_units < 0.75
