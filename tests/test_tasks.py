import inspect
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import chisquare

import causalign as ca
from causalign import tasks
from causalign.errors import CausalignError
from causalign.tasks import by_name
from causalign.tasks.arithmetic import Arithmetic
from causalign.tasks.base import Task
from causalign.tasks.causal_model import Values, counterfactual
from causalign.tasks.counting import Counting, Modulo, MultiObject, Rounding, SameObject
from causalign.tasks.variable import Variable
from causalign.tasks.vocabulary import Vocabulary
from naive_tasks import CONTINUED
from naive_tasks import Arithmetic as NaiveArithmetic
from naive_tasks import Counting as NaiveCounting

TASK = MultiObject()
PHASES = {"demo": 0, "response": 1}
NAMES = {number: name for name, number in PHASES.items()}
COUNTING: list[Counting] = [MultiObject(), MultiObject(void=0.2), SameObject(), Modulo(), Rounding()]
every_counting_task = pytest.mark.parametrize("task", COUNTING, ids=lambda task: f"{task.name} {task.void}")


@every_counting_task
@given(seed=st.integers(0, 10_000))
def test_counting_trials_are_what_a_naive_simulator_writes(task: Counting, seed: int) -> None:
    naive = NaiveCounting(task.name, voids=task.void > 0)
    trials = task.trials(8, np.random.default_rng(seed))
    for row, length in enumerate(trials.lengths):
        tokens = task.vocabulary.decode(trials.tokens[row]).split()
        assert naive.is_trial(tokens)
        assert trials.determined[row].tolist() == naive.determined(tokens) + [False] * (trials.tokens.shape[1] - length)
        for position, expected in enumerate(naive.variables(tokens)):
            found = {name: value[row, position] for name, value in trials.values.items()}
            assert found | {"phase": NAMES[found["phase"]]} == expected


@given(seed=st.integers(0, 10_000))
def test_arithmetic_trials_are_what_a_naive_simulator_writes(seed: int) -> None:
    naive, task = NaiveArithmetic(), Arithmetic()
    trials = task.trials(8, np.random.default_rng(seed))
    for row, length in enumerate(trials.lengths):
        tokens = task.vocabulary.decode(trials.tokens[row]).split()
        assert naive.is_trial(tokens)
        assert trials.determined[row].tolist() == naive.determined(tokens) + [False] * (trials.tokens.shape[1] - length)
        for position, expected in enumerate(naive.variables(tokens)):
            found = {name: trials.values[name][row, position] for name in expected}
            assert found == {name: value or 0 for name, value in expected.items()}


def states_and_prefix(naive: NaiveCounting) -> list[dict[str, object]]:
    """Every state that a counting trial passes through, and two that none does."""
    states = []
    for quantity in range(1, 21):
        demos = [naive.demo_tokens[0]] * quantity
        trial = ["B", *demos, "T", *[naive.response_token] * naive.responses(quantity)]
        states += naive.variables(trial)[1:]
    return [dict(items) for items in {tuple(state.items()) for state in states}]


@every_counting_task
@pytest.mark.parametrize("variable", ["full", "count", "phase", "raw_count"])
def test_counting_counterfactuals_are_those_of_a_naive_simulator(task: Counting, variable: str) -> None:
    naive = NaiveCounting(task.name, voids=task.void > 0)
    states = states_and_prefix(naive)
    chosen = np.random.default_rng(0).integers(len(states), size=(2, 3000))
    pairs = [(states[of], states[to]) for of, to in chosen.T]

    def values(side: int) -> Values:
        columns = ("phase", "count", "raw_count", "said")
        return {name: np.array([PHASES.get(pair[side][name], pair[side][name]) for pair in pairs]) for name in columns}

    found = counterfactual(task, variable, values(0), target=task, target_variable=variable, target_values=values(1))
    meaningful = task.meaningful(found)
    written = task.continue_from({name: value[meaningful] for name, value in found.items()}, np.random.default_rng(3))
    row = 0
    for pair, (source, target) in enumerate(pairs):
        expected = naive.counterfactual(target, source, variable)
        assert meaningful[pair] == naive.meaningful(expected, variable)
        if not meaningful[pair]:
            continue
        assert (NAMES[found["phase"][pair]], found["count"][pair]) == (expected["phase"], expected["count"])
        tokens = task.vocabulary.decode(written.tokens[row]).split()
        assert naive.obeys(expected, tokens, written.determined[row, : len(tokens)].tolist()) is None
        row += 1
    assert 100 < row == len(written)


@pytest.mark.parametrize("variable", ["full", "remaining_ops", "cumulative_value"])
def test_arithmetic_counterfactuals_are_those_of_a_naive_simulator(variable: str) -> None:
    naive, task = NaiveArithmetic(), Arithmetic()
    trials = task.trials(400, np.random.default_rng(0))
    trial, position = task.swappable(trials.tokens).nonzero()
    source, target = np.random.default_rng(1).integers(len(trial), size=(2, 2000))
    at = {name: value[trial, position] for name, value in trials.values.items()}
    of_source, of_target = ({name: value[side] for name, value in at.items()} for side in (source, target))
    found = counterfactual(task, variable, of_source, target=task, target_variable=variable, target_values=of_target)
    assert task.meaningful(found).all()
    written = task.continue_from(found, np.random.default_rng(3))
    for row in range(2000):
        into, of = ({k: int(v[row]) for k, v in side.items()} for side in (of_target, of_source))
        expected = naive.counterfactual(into, of, variable)
        assert {name: found[name][row] for name in ("remaining_ops", "cumulative_value")} == {
            name: expected[name] for name in ("remaining_ops", "cumulative_value")
        }
        tokens = task.vocabulary.decode(written.tokens[row]).split()
        assert naive.obeys(expected, tokens, written.determined[row, : len(tokens)].tolist()) is None


def values_after(task: Task, tokens: str) -> Values:
    """The values once a trial's first tokens have been read."""
    ids = task.vocabulary.encode(tokens)
    values = task.start(1)
    for token in ids[1:]:
        values = task.read(values, np.array([token]))
    return values | {name: value[:, -1] for name, value in task.read_back(ids[None]).items()}


def test_the_paper_s_examples_of_trials() -> None:
    for task, trial in (
        (MultiObject(), "B D0 D2 T R R E"),
        (SameObject(), "B C C T C C E"),
        (Modulo(), "B D0 D0 D1 D2 D0 T R E"),
        (Rounding(), "B D0 D1 T R R R E"),
        (Arithmetic(), "B 3 4 + 3 = 7 , + 11 = 18 , - 5 = 13 E"),
    ):
        # From every place whose next token is determined the task goes on just as the paper's trial does.
        tokens = trial.split()
        compared = 0
        for position in range(1, len(tokens)):
            rest = task.continue_from(values_after(task, " ".join(tokens[:position])), np.random.default_rng(0))
            if rest.determined[0, 0]:
                assert task.vocabulary.decode(rest.tokens[0, :1]) == tokens[position]
                compared += 1
        assert compared >= 2


@pytest.mark.parametrize("example", CONTINUED, ids=lambda example: f"{example.name} {' '.join(example.tokens)}")
def test_the_paper_s_examples_of_counts(example: Any) -> None:
    assert values_after(by_name(example.name), " ".join(example.tokens))[example.variable][0] == example.value


def test_the_paper_s_examples_of_arithmetic_counterfactuals() -> None:
    task = Arithmetic()
    for trial, variable, value, going_on, written in (
        ("B 2 3 + 5 = 8 ,", "cumulative_value", 3, "+ 2", "= 5 E"),
        ("B 3 3 + 5 = 8 ,", "remaining_ops", 1, "+ 1", "= 9 E"),
    ):
        values = task.set(values_after(task, trial), {variable: np.array([value])})
        for token in task.vocabulary.encode(going_on):
            values = task.read(values, np.array([token]))
        rest = task.continue_from(values, np.random.default_rng(0))
        assert task.vocabulary.decode(rest.tokens[0]) == written
        assert rest.determined.all()


def test_voids_are_a_fifth_of_the_demo_phase_and_count_for_nothing() -> None:
    task = MultiObject(void=0.2)
    trials = task.trials(4000, np.random.default_rng(0))
    phase = np.concatenate([np.zeros((4000, 1)), trials.values["phase"][:, :-1]], axis=1)
    drawn = (phase == 0) & (trials.tokens != task.vocabulary.id("B"))
    assert np.isin(trials.tokens[drawn], task.vocabulary.encode("V")).mean() == pytest.approx(0.2, abs=0.005)
    assert chisquare(np.bincount(task.strata(trials), minlength=21)[1:]).pvalue > 0.001
    assert not task.swappable(task.vocabulary.encode("V")[None]).any()
    with pytest.raises(CausalignError, match="void must be a share from 0 to below 1, found 1"):
        MultiObject(void=1.0)


def test_a_variable_can_be_restricted_to_a_range() -> None:
    low = Variable.of("cumulative_value[1..10]")
    assert (low.name, low.low, low.high, str(low)) == ("cumulative_value", 1, 10, "cumulative_value[1..10]")
    assert low.allows(np.array([0, 1, 10, 11])).tolist() == [False, True, True, False]
    assert Variable.of("count").allows(np.array([-3, 99])).all()
    assert Variable.of(low) is low
    for wrong in ("count[1..", "count[a..b]", "count[5..2]", "full[1..2]"):
        with pytest.raises(CausalignError, match="variable"):
            Variable.of(wrong)
    for ends in ((3, 1), (None, 4), (2, None)):
        with pytest.raises(CausalignError, match="the range of a variable"):
            Variable("count", *ends)


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
        counterfactual(TASK, "count", values, target=TASK, target_variable="full", target_values=values)
    with pytest.raises(CausalignError, match="'full' of multi-object"):
        counterfactual(TASK, "full", values, target=Echo(), target_variable="full", target_values=Echo().start(1))


def test_a_reading_that_nothing_sets_is_refused() -> None:
    class Read(Echo):
        readings = ("length",)

        def read_back(self, tokens: np.ndarray) -> dict[str, np.ndarray]:
            return {"length": np.cumsum(tokens > 0, axis=1)}

    task = Read()
    values = {name: value[:, 2] for name, value in task.trials(3, np.random.default_rng(0)).values.items()}
    assert task.keys("length") == ("length",)
    with pytest.raises(CausalignError, match="echo has the reading 'length', but its `set` does not set it"):
        counterfactual(task, "length", values, target=task, target_variable="length", target_values=values)


def test_a_task_that_never_ends_is_stopped() -> None:
    class Endless(Echo):
        def write(self, values: Values, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
            tokens, determined = super().write(values, rng)
            return np.full_like(tokens, 5), determined

    with pytest.raises(CausalignError, match="wrote 10000 tokens and no E"):
        Endless().trials(1, np.random.default_rng(0))


def test_a_vocabulary_starts_with_its_pad_and_names_tokens_once() -> None:
    with pytest.raises(CausalignError, match="must start with the pad"):
        Vocabulary(("B", "E"))
    with pytest.raises(CausalignError, match="every token once"):
        Vocabulary.of("B E B")


class Careless(MultiObject):
    """A counting task with one thing wrong."""

    def __init__(self, wrong: str) -> None:
        super().__init__()
        self.wrong, self.own = wrong, np.random.default_rng(5)

    def write(self, values: Any, rng: np.random.Generator) -> Any:
        tokens, determined = super().write(values, self.own if self.wrong == "own generator" else rng)
        if self.wrong == "write in place":
            values["count"] += 1
        return tokens, np.ones_like(determined) if self.wrong == "not determined" else determined

    def read(self, values: Any, tokens: Any) -> Any:
        after = super().read(values, tokens)
        if self.wrong == "read in place":
            values["count"][:] = after["count"]
        return {"phase": after["phase"]} if self.wrong == "no count" else after


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ("write in place", "the task multi-object: write changes its argument 'count' in place"),
        ("read in place", "the task multi-object: read changes its argument 'count' in place"),
        ("own generator", "the task multi-object: write returns other tokens when called again"),
        ("not determined", "the task multi-object: write draws tokens at random that it marks as determined"),
        ("no count", "the task multi-object: read returns no values of the variable 'count'"),
    ],
)
def test_a_task_that_breaks_a_rule_is_refused_by_name(wrong: str, message: str) -> None:
    tasks.check(MultiObject())
    with pytest.raises(CausalignError, match=message):
        tasks.check(Careless(wrong))
    site = ca.networks.build("multi-object", "gru", seed=0, width=4).site("hidden", Careless(wrong))
    with pytest.raises(CausalignError, match=message):
        ca.align(site, method="das", rank=2, n_train=20)


@pytest.mark.parametrize("name", tasks.names())
def test_every_task_of_the_project_passes_its_check(name: str) -> None:
    tasks.check(tasks.by_name(name))
