"""The verdict on a score, its rule, and the command that measures how often it is wrong."""

from collections.abc import Callable
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

import causalign as ca
from causalign.alignment.schema import AlignmentSummary
from causalign.alignment.verdict_rule import Answer, ErrorRate, Evidence, VerdictRule, known_rates
from causalign.validation.drawn_pair import NUISANCE, RELATIONS, VALUES
from causalign.validation.error_rates import PairOutcome, choose_rule
from causalign.validation.point import PairPoint
from causalign.validation.problems.coded_network import coded_network
from causalign.validation.problems.coded_rows import coded_rows
from causalign.validation.problems.sum_network import trained_sum_network
from causalign.validation.protocol import Protocol
from causalign.validation.setting import Setting
from causalign.validation.validate import load_validation, validate

RULE = VerdictRule(yes_from=0.8, no_below=0.7)


def pair(order: tuple[int, ...] | None = None) -> ca.Counterfactuals:
    """Two networks that hold a variable on a line, the second in another order if one is given."""
    networks = [coded_network("linear", 6, 12, 0), coded_network("linear", 6, 14, 1, order=order, spacing=2.0)]
    return coded_rows(networks, ["a"], 0, (200, 60, 1000))


def test_a_verdict_says_yes_where_the_code_is_the_same_and_no_where_the_order_is_another() -> None:
    same = ca.align(pair(), rank=1, controls=True)
    assert same.verdict.answer is Answer.YES
    assert str(same.verdict).startswith("Interchangeable: the worst IIA is ")
    assert "above no swap 0." in str(same.verdict)
    assert str(known_rates().false_yes) in str(same.verdict)
    search = ca.SearchConfig(eval_every=2, patience=1, max_steps=400)
    other = ca.align(pair((0, 4, 2, 5, 1, 3)), rank=1, controls=True, search=search)
    assert other.record.stopped == "early_stopping"
    assert other.verdict.answer is Answer.NO
    assert str(other.verdict).startswith("Not interchangeable: ")


def test_one_network_is_started_from_centered_means() -> None:
    """Six codes along six axes differ in five directions, which five columns hold if none is spent on the mean."""
    network = coded_network("one-hot", 6, 16, 0, other="one-hot", noise=0.1)
    data = coded_rows([network], ["a"], 0, (1200, 60, 200))
    found = ca.align(data, method="das", rank=5, search=ca.SearchConfig(max_steps=0))
    assert found.record.start == "closed-form"
    assert found.worst_iia > 0.95


def test_a_verdict_is_refused_without_controls_and_of_a_search_that_was_cut_off() -> None:
    with pytest.raises(ca.InvalidArgument, match="a verdict needs controls: align with controls=True"):
        _ = ca.align(pair(), rank=1, search=ca.SearchConfig(max_steps=2)).verdict
    cut = ca.align(pair((0, 4, 2, 5, 1, 3)), rank=1, controls=True, search=ca.SearchConfig(max_steps=2))
    with pytest.raises(ca.InvalidArgument, match="ran out of steps at step 2, before it had settled: raise max_steps"):
        _ = cut.verdict
    whole = ca.SearchConfig(max_steps=2, early_stopping=False)
    told = ca.align(pair(), rank=1, controls=True, search=whole)
    with pytest.raises(ca.InvalidArgument, match="told to take all its steps: leave early_stopping on"):
        _ = told.verdict


@pytest.mark.parametrize(
    ("evidence", "answer"),
    [
        (Evidence(0.95, 0.99), Answer.YES),
        (Evidence(0.95, 0.99, (("untrained", 0.97),)), Answer.UNDECIDED),
        (Evidence(0.1, 0.2), Answer.NO),
        (Evidence(0.1, 0.2, (("no swap", 0.15),)), Answer.NO),
        (Evidence(0.72, 0.78), Answer.UNDECIDED),
        (Evidence(0.6, 0.9), Answer.UNDECIDED),
    ],
)
def test_the_rule_needs_the_interval_on_one_side_and_every_control_exceeded(evidence: Evidence, answer: Answer) -> None:
    assert RULE.answer(evidence) is answer


def test_the_rates_that_ship_are_of_pairs_that_were_counted() -> None:
    known = known_rates()
    for rate in (known.false_yes, known.false_no):
        assert rate.of >= 10
        assert 0 <= rate.wrong <= rate.of
    assert str(ErrorRate(wrong=0, of=30)) == "0 of 30 (0.0 to 11.6 %)"  # 1 - 0.025^(1/30)


@pytest.mark.parametrize("name", RELATIONS)
def test_what_is_drawn_is_what_its_relation_says(name: str) -> None:
    relation = RELATIONS[name]
    drawn = relation.draw(1, 40)
    assert (drawn.ceiling == 1) == relation.interchangeable
    assert drawn.data.fingerprint == relation.draw(1, 40).data.fingerprint != relation.draw(2, 40).data.fingerprint
    untrained = name == "untrained"
    found = ca.align(drawn.data, rank=8, search=ca.SearchConfig(max_steps=0))
    accuracies = [site.accuracy or 0 for site in found.record.sites]
    assert accuracies[0] > 0.99
    assert (accuracies[1] > 0.99) != untrained


def test_a_network_in_another_basis_is_the_same_function() -> None:
    first = trained_sum_network(VALUES, NUISANCE, 16, 0)
    rotation = torch.linalg.qr(torch.randn(16, 16, generator=torch.Generator().manual_seed(0))).Q
    second = first.turned(rotation, 1.7)
    inputs = torch.from_numpy(first.inputs(np.arange(6), np.arange(6)[::-1].copy(), np.random.default_rng(0)))
    torch.testing.assert_close(second(inputs), first(inputs), atol=1e-4, rtol=1e-4)
    states = [each.state(each.before(inputs)) for each in (first, second)]
    torch.testing.assert_close(states[1], 1.7 * states[0] @ rotation.mT, atol=1e-4, rtol=1e-4)


@cache
def scored() -> AlignmentSummary:
    """An alignment whose scores are replaced in tests."""
    return ca.align(pair(), rank=1, controls=True, search=ca.SearchConfig(max_steps=0)).record


def outcome(relation: str, seed: int, worst: float, setting: Setting) -> PairOutcome:
    """An outcome of a pair with this score."""
    found = scored()
    scores = tuple(s.model_copy(update={"iia": worst, "ci_low": worst, "ci_high": worst}) for s in found.iia)
    controls = tuple(s.model_copy(update={"iia": 0.0}) for s in found.controls)
    update = {
        "iia": scores, "worst_iia": worst, "controls": controls,
        "worst_ci_low": max(worst - 0.05, 0.0), "worst_ci_high": min(worst + 0.05, 1.0),
    }  # fmt: skip
    return PairOutcome(PairPoint(relation, seed, setting), found.model_copy(update=update), None)


def test_thresholds_lie_between_the_scores_of_pairs_that_can_and_that_cannot() -> None:
    setting = Setting()
    can = [outcome("same code", seed, 0.97, setting) for seed in (0, 2)]
    cannot = [outcome("no code", seed, worst, setting) for seed, worst in ((0, 0.1), (2, 0.4), (1, 0.99))]
    rule = choose_rule([*can, *cannot], setting)  # the pair with an odd seed has no part in it
    assert 0.45 < rule.no_below <= rule.yes_from <= 0.92
    assert [rule.answer(each.evidence) for each in (*can, *cannot)] == [Answer.YES] * 2 + [Answer.NO] * 2 + [Answer.YES]


TINY = Protocol(
    names=("linear-code",),
    relations=("same code", "no code"),
    usual=Setting(rank=2, n_train=40, max_steps=1),
    variations=(Setting(rank=1, n_train=40, max_steps=1),),
    pairs=2,
    varied_pairs=1,
    networks=(),
)


def test_a_validation_is_resumed_and_writes_what_the_page_shows(tmp_path: Path) -> None:
    found = validate(tmp_path, TINY, workers=1)
    assert found.problems["problem"].tolist() == ["linear-code"]
    assert found.problems["outcome"].tolist() == ["right"]
    assert found.problems["largest_angle"].max() < 5
    assert len(found.pairs) == 6
    assert found.rates[["yes_pairs", "no_pairs"]].to_numpy().tolist() == [[1, 1], [1, 1]]
    written = pd.read_csv(tmp_path / "known_answers.csv")
    assert written["worst_iia"].tolist() == pytest.approx(found.problems["worst_iia"].tolist(), abs=1e-5)
    page = (tmp_path / "validation.md").read_text()
    assert "| linear-code | yes |" in page
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "points").iterdir()}
    again = load_validation(tmp_path, TINY)
    assert again.known == found.known
    validate(tmp_path, TINY, workers=1)
    assert before == {path: path.stat().st_mtime_ns for path in (tmp_path / "points").iterdir()}


def test_bad_input_to_a_validation_is_one_line(tmp_path: Path, run: Callable[..., tuple[int, str, str]]) -> None:
    code, _, errors = run("validate", "linear-cod", "--out", tmp_path / "a")
    assert code == 2
    assert "unknown problem 'linear-cod'; did you mean 'linear-code'" in errors
    with pytest.raises(ca.InvalidArgument, match="pairs is at least 2, found 1"):
        Protocol(pairs=1)
    with pytest.raises(ca.InvalidArgument, match="points are not finished in .*: repeat causalign validate --out"):
        load_validation(tmp_path, TINY)
