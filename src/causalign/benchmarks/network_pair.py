"""What is timed: two GRUs of the zoo that count, and what a step between their hidden states has to compute."""

from itertools import product

from causalign.counterfactuals.dataset import Counterfactuals
from causalign.counterfactuals.direction import Direction
from causalign.counterfactuals.row_source import RowRequest
from causalign.counterfactuals.rows import CounterfactualRows
from causalign.networks import zoo
from causalign.networks.base import Network
from causalign.networks.gru import GRU
from causalign.run_context import RunContext
from causalign.sites.base import Site

DIRECTIONS = [Direction(*pair) for pair in product(range(2), repeat=2)]


def networks() -> list[Network]:
    """The pair."""
    return [zoo.load("multi-object/gru", seed) for seed in range(2)]


def sites(device: str = "cpu") -> list[Site]:
    """Their hidden states."""
    return [network.to(device).site("hidden") for network in networks()]


def interventions(of: list[Site], count: int) -> dict[Direction, CounterfactualRows]:
    """`count` interventions of each direction, states and all."""
    data = Counterfactuals.from_task(of, n_train=count)
    return data.rows(RowRequest("train", tuple(DIRECTIONS)), RunContext(0, data.store))


def tokens_after(drawn: dict[Direction, CounterfactualRows]) -> float:
    """How many tokens follow a swap, on average."""
    lengths = [float(given.lengths.double().mean()) for given in drawn.values()]
    return sum(lengths) / len(lengths)


def step_operations(network: Network, swaps: int, tokens: float, rank: int) -> float:
    """Multiplications and additions that a step of so many swaps, with so many tokens after each, cannot do without.

    Forwards a token costs a recurrence (all but the first, which is predicted from the swapped state itself) and a
    readout, and backwards to the states the same again: no weight has a gradient, and input gates are a lookup. A swap
    (equation 13) is three products with frames, of which each costs one more backwards, and one more leads from the
    swapped state to what was put in.
    """
    if not isinstance(network, GRU):
        raise TypeError("operations are written out for GRUs")
    width, vocabulary = network.width, len(network.vocabulary)
    recurrence = 2 * width * 3 * width
    readout = 2 * width * 4 * width + 2 * 4 * width * vocabulary
    swap = (3 + 3 + 1) * 2 * width * rank
    return swaps * (2 * (tokens - 1) * recurrence + 2 * tokens * readout + swap)


def training_operations(network: Network, tokens: float) -> float:
    """The same for training on so many tokens: forwards, and backwards to both the states and the weights."""
    if not isinstance(network, GRU):
        raise TypeError("operations are written out for GRUs")
    width, vocabulary = network.width, len(network.vocabulary)
    gates = 2 * width * 3 * width
    readout = 2 * width * 4 * width + 2 * 4 * width * vocabulary
    return 3 * tokens * (2 * gates + readout)
