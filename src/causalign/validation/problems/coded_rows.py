"""The counterfactual rows of networks whose state holds two variables in known codes."""

from collections.abc import Sequence

import numpy as np

from causalign.counterfactuals.dataset import Counterfactuals
from causalign.random_streams import numpy_stream
from causalign.sites.base import Site
from causalign.validation.problems.coded_network import BOTH, A, B
from causalign.validation.problems.pair_reader import PairReader

ROWS = (1000, 300, 600)
"""The number of training, validation and test rows by default."""


def coded_site(network: PairReader, name: str | None = None) -> Site:
    """Return the site of a network's state."""
    rng, values = numpy_stream(0, "example"), np.zeros(3, dtype=np.int64)
    return Site(network, "state", inputs=network.inputs(values, values, rng), name=name)


def coded_rows(
    networks: Sequence[PairReader],
    variables: Sequence[str],
    seed: int,
    rows: tuple[int, int, int] = ROWS,
    *,
    equal: bool = False,
) -> Counterfactuals:
    """Return rows in which the variables take turns. The values, and the noise, are drawn independently.

    Args:
        networks: Networks of the same values and as many nuisance directions, which read the same inputs.
        variables: `a`, `b`, both of them, or `full`.
        seed: The seed of the rows.
        rows: The number of training, validation and test rows.
        equal: Whether a and b are equal in every input, so that no input tells them apart.
    """
    first, rng, count = networks[0], numpy_stream(seed, "coded rows"), sum(rows)
    (source_a, source_b, target_a, target_b) = rng.integers(0, first.values, (4, count))
    if equal:
        source_b, target_b = source_a, target_a
    swapped = np.array(variables)[np.arange(count) % len(variables)]
    of_source = first.classes(source_a, source_b)
    values = np.where(swapped == A, source_a, np.where(swapped == B, source_b, of_source))
    after_a, after_b = np.where(swapped == B, target_a, source_a), np.where(swapped == A, target_b, source_b)
    return Counterfactuals.from_arrays(
        [coded_site(network, f"coded-{index}") for index, network in enumerate(networks)],
        source_inputs=first.inputs(source_a, source_b, rng),
        target_inputs=first.inputs(target_a, target_b, rng),
        labels=first.classes(after_a, after_b).tolist(),
        no_swap_labels=first.classes(target_a, target_b).tolist(),
        values=values.tolist(),
        split=["train"] * rows[0] + ["validation"] * rows[1] + ["test"] * rows[2],
        variable=variables[0] if len(variables) == 1 else BOTH,
        variables=swapped.tolist() if len(variables) > 1 else None,
        seed=seed,
    )
