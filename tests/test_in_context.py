"""The counting task in words."""

import re

import numpy as np
import pytest
from scipy.stats import chisquare

import causalign as ca
from causalign.tasks.causal_model import counterfactual
from causalign.tasks.counting import MultiObject
from causalign.tasks.in_context import InContext


def written(task: InContext, tokens: np.ndarray) -> str:
    """A trial as text."""
    assert task.texts is not None
    return "".join(task.texts[name] for name in task.vocabulary.decode(tokens).split())


def test_a_trial_is_the_prompt_and_one_more_example_of_the_same_form() -> None:
    task = InContext()
    form = re.compile(r"User((?: nut)+):((?: seed)+) stop")
    for row in task.trials(50, np.random.default_rng(0)).tokens:
        lines = written(task, row).split("\n")
        solved = [form.fullmatch(line) for line in lines[1:]]
        assert len(solved) == 3
        for each in solved:
            assert each is not None
            assert each[1].split().count("nut") == each[2].split().count("seed") <= 12
    assert '"nut"' in lines[0]
    assert '"seed"' in lines[0]
    assert '"stop"' in lines[0]


def test_every_position_that_may_be_swapped_is_a_demo_or_response_word() -> None:
    task = InContext()
    trials = task.trials(20, np.random.default_rng(0))
    swappable = task.swappable(trials.tokens)
    words = task.vocabulary.encode(("D", "R"))
    assert (swappable == np.isin(trials.tokens, words)).all()
    assert not trials.determined[trials.tokens == words[0]].any()
    assert trials.determined[trials.tokens == words[1]].all()


@pytest.mark.parametrize("counts", [range(1, 13), (1, 2, 5, 9)])
def test_only_the_counts_that_are_asked_for_occur_and_are_uniform(counts: range | tuple[int, ...]) -> None:
    task = InContext(counts)
    trials = task.trials(4000, np.random.default_rng(0))
    found, often = np.unique(task.strata(trials), return_counts=True)
    assert found.tolist() == list(counts)
    assert chisquare(often).pvalue > 1e-3
    at_two = {"phase": np.zeros(3000, dtype=int), "count": np.full(3000, 2)}
    further = task.continue_from(at_two, np.random.default_rng(1))
    reached = 2 + (further.tokens == task.vocabulary.id("D")).sum(1)
    found, often = np.unique(reached, return_counts=True)
    assert found.tolist() == [count for count in counts if count >= 2]
    assert chisquare(often).pvalue > 1e-3
    assert (further.determined.sum(1) == reached + 1).all()  # as many seeds, and stop


def test_a_count_that_the_model_fails_means_nothing_in_its_task() -> None:
    task, source = InContext(range(1, 6)), MultiObject()
    of = {"phase": np.array([0, 0, 1]), "count": np.array([5, 6, 6])}
    values = counterfactual(source, "full", of, target=task, target_variable="full", target_values=task.start(3))
    assert task.meaningful(values).tolist() == [True, False, False]
    assert task.summary.endswith("Counts: 1, 2, 3, 4, 5.")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"counts": ()}, "quantities must be from 1 to 20, found none"),
        ({"counts": (0, 3)}, r"quantities must be from 1 to 20, found \(0, 3\)"),
        ({"counts": (21,)}, r"found \(21,\)"),
        ({"words": ("nut", "nut", "stop")}, "words must be three different words"),
        ({"words": ("nut", "seed ", "stop")}, "words must be three different words"),
    ],
)
def test_what_no_task_can_be_made_of_is_refused(arguments: dict[str, tuple[object, ...]], message: str) -> None:
    with pytest.raises(ca.CausalignError, match=message):
        InContext(**arguments)  # type: ignore[arg-type]
