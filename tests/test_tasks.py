import inspect
import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import chisquare

from causalign import CausalignError
from causalign.tasks import MultiObject, Task, Values, Vocabulary, by_name, counterfactual
from naive_multi_object import counterfactual as naive_counterfactual
from naive_multi_object import determined as naive_determined
from naive_multi_object import is_trial, obeys, variables

TASK = MultiObject()
PHASES = {"demo": 0, "response": 1}
NAMES = {number: name for name, number in PHASES.items()}


@given(seed=st.integers(0, 10_000))
def test_trials_are_what_a_naive_simulator_writes(seed: int) -> None:
    trials = TASK.trials(20, np.random.default_rng(seed))
    for row in range(20):
        length = trials.lengths[row]
        tokens = TASK.vocabulary.decode(trials.tokens[row]).split()
        assert is_trial(tokens)
        assert trials.determined[row].tolist() == naive_determined(tokens) + [False] * (trials.tokens.shape[1] - length)
        found = zip(trials.values["phase"][row], trials.values["count"][row], strict=True)
        assert [(NAMES[phase], count) for phase, count in found][:length] == variables(tokens)


STATES = [(phase, count) for phase in PHASES for count in range(21)]


@pytest.mark.parametrize("variable", ["full", "count", "phase"])
def test_continuations_obey_a_naive_simulator_for_every_pair_of_states(variable: str) -> None:
    pairs = list(itertools.product(STATES, STATES))
    target, source = (
        {
            "phase": np.array([PHASES[pair[side][0]] for pair in pairs]),
            "count": np.array([pair[side][1] for pair in pairs]),
        }
        for side in (0, 1)
    )
    values = counterfactual(TASK, variable, source, TASK, variable, target)
    written = TASK.continue_from(values, np.random.default_rng(3))
    for row, (of_target, of_source) in enumerate(pairs):
        expected = naive_counterfactual(of_target, of_source, variable)
        assert (NAMES[values["phase"][row]], values["count"][row]) == expected
        length = written.lengths[row]
        tokens = TASK.vocabulary.decode(written.tokens[row]).split()
        assert obeys(*expected, tokens, written.determined[row, :length].tolist()) is None


def test_the_paper_s_example() -> None:
    values = {"phase": np.array([0]), "count": np.array([0])}
    for token in TASK.vocabulary.encode("D0 D2 T R"):
        values = TASK.read(values, np.array([token]))
    assert (values["phase"][0], values["count"][0]) == (1, 1)
    rest = TASK.continue_from(values, np.random.default_rng(0))
    assert TASK.vocabulary.decode(rest.tokens[0]) == "R E"


def test_quantities_and_further_demo_tokens_are_uniform() -> None:
    rng = np.random.default_rng(0)
    quantities = np.bincount(TASK.strata(TASK.trials(20_000, rng)), minlength=21)
    assert quantities[0] == 0
    assert chisquare(quantities[1:]).pvalue > 0.001
    at_twelve = {"phase": np.zeros(9000, int), "count": np.full(9000, 12)}
    further = TASK.continue_from(at_twelve, rng).values["count"].max(axis=1) - 12
    assert chisquare(np.bincount(further, minlength=9)).pvalue > 0.001
    assert further.max() == 8


def test_the_same_stream_writes_the_same_trials() -> None:
    one, two = (TASK.trials(50, np.random.default_rng(5)).tokens for _ in range(2))
    assert np.array_equal(one, two)


class Echo(Task):
    """The token shown first is said again three times, and anything may come between."""

    name = "echo"
    variables = ("shown", "said")
    swap_at = ("X", "Y")

    def __init__(self) -> None:
        self.vocabulary = Vocabulary.of("B E X Y N")

    def start(self, trials: int) -> Values:
        return {"shown": np.zeros(trials, int), "said": np.zeros(trials, int)}

    def write(self, values: Values, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        fresh, over = values["shown"] == 0, values["said"] == 3
        drawn = rng.choice(self.vocabulary.encode("X Y"), len(fresh))
        return np.where(fresh, drawn, np.where(over, 2, values["shown"])), ~fresh

    def read(self, values: Values, tokens: np.ndarray) -> Values:
        first = (values["shown"] == 0) & (tokens > 2)
        shown = np.where(first, tokens, values["shown"])
        return {"shown": shown, "said": values["said"] + ((tokens == shown) & ~first)}


def test_a_task_of_one_s_own_takes_thirty_lines() -> None:
    assert len(inspect.getsource(Echo).splitlines()) <= 30
    trials = Echo().trials(100, np.random.default_rng(0))
    decoded = {Echo().vocabulary.decode(row) for row in trials.tokens}
    assert decoded == {"B X X X X E", "B Y Y Y Y E"}
    assert (trials.determined.sum(axis=1) == 4).all()


def test_bad_names_are_refused_with_what_is_near() -> None:
    with pytest.raises(CausalignError, match="unknown task 'multi-objects'; did you mean 'multi-object'"):
        by_name("multi-objects")
    with pytest.raises(CausalignError, match="unknown variable of multi-object 'cuont'; did you mean 'count'"):
        TASK.keys("cuont")
    with pytest.raises(CausalignError, match="unknown token 'Q'; known: P, B, E"):
        TASK.vocabulary.encode("B Q")
    with pytest.raises(CausalignError, match="at least 1, found 0"):
        TASK.trials(0, np.random.default_rng(0))


def test_variables_that_do_not_fit_each_other_are_refused() -> None:
    values = TASK.start(1)
    with pytest.raises(CausalignError, match=r"'count' of multi-object \(count\) cannot be set as 'full'"):
        counterfactual(TASK, "count", values, TASK, "full", values)
    with pytest.raises(CausalignError, match="'full' of multi-object"):
        counterfactual(TASK, "full", values, Echo(), "full", Echo().start(1))


def test_a_task_that_never_ends_is_stopped() -> None:
    class Endless(Echo):
        def write(self, values: Values, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
            tokens, determined = super().write(values, rng)
            return np.full_like(tokens, 5), determined

    with pytest.raises(CausalignError, match="wrote 10000 tokens and no E"):
        Endless().trials(1, np.random.default_rng(0))


def test_a_vocabulary_starts_with_its_pad_and_names_tokens_once() -> None:
    with pytest.raises(CausalignError, match="starts with the pad"):
        Vocabulary(("B", "E"))
    with pytest.raises(CausalignError, match="every token once"):
        Vocabulary.of("B E B")
