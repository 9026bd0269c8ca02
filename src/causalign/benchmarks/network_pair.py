"""The networks that are timed, two GRUs of the zoo, and the operations that a step between them needs."""

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
    """Return two GRUs that count, trained from different seeds."""
    return [zoo.load("multi-object/gru", seed) for seed in range(2)]


def sites(device: str = "cpu") -> list[Site]:
    """Return the hidden states of the two networks, on a device."""
    return [network.to(device).site("hidden") for network in networks()]


def interventions(of: list[Site], count: int) -> dict[Direction, CounterfactualRows]:
    """Return `count` training rows of each direction, with their states."""
    data = Counterfactuals.from_task(of, n_train=count)
    return data.rows(RowRequest("train", tuple(DIRECTIONS)), RunContext(0, data.store))


def tokens_after(drawn: dict[Direction, CounterfactualRows]) -> float:
    """Return the mean number of tokens that follow a swap."""
    lengths = [float(rows.lengths.double().mean()) for rows in drawn.values()]
    return sum(lengths) / len(lengths)


def step_operations(network: Network, swaps: int, tokens: float, rank: int) -> float:
    """Return the multiplications and additions that a step needs at least.

    In the forward pass a token costs a readout and, unless it is the first, a recurrence: the first token is predicted
    from the swapped state itself. The backward pass to the states costs the same again, because no weight has a
    gradient and input gates are a lookup. A swap (equation 13) is three products with frames. Each of them costs one
    more in the backward pass, and a further one leads from the swapped state to the coordinates that were put in.

    Args:
        network: The target network.
        swaps: Number of swaps in the step.
        tokens: Mean number of tokens after a swap.
        rank: Number of dimensions of the subspace.

    Raises:
        TypeError: The network is not a GRU.
    """
    if not isinstance(network, GRU):
        raise TypeError("operations are counted for GRUs only")
    width, vocabulary = network.width, len(network.vocabulary)
    recurrence = 2 * width * 3 * width
    readout = 2 * width * 4 * width + 2 * 4 * width * vocabulary
    swap = (3 + 3 + 1) * 2 * width * rank
    return swaps * (2 * (tokens - 1) * recurrence + 2 * tokens * readout + swap)


def training_operations(network: Network, tokens: float) -> float:
    """Return the multiplications and additions that training on a number of tokens needs at least.

    They are those of the forward pass, and of the backward passes to the states and to the weights.

    Raises:
        TypeError: The network is not a GRU.
    """
    if not isinstance(network, GRU):
        raise TypeError("operations are counted for GRUs only")
    width, vocabulary = network.width, len(network.vocabulary)
    gates = 2 * width * 3 * width
    readout = 2 * width * 4 * width + 2 * 4 * width * vocabulary
    return 3 * tokens * (2 * gates + readout)
