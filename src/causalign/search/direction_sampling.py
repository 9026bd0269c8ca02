"""Which directions a step takes when there are many networks."""

from collections.abc import Sequence

import numpy as np

from causalign.counterfactuals.direction import Direction


def sample_directions(
    directions: Sequence[Direction], sites: int, passes: int, rng: np.random.Generator
) -> list[Direction]:
    """`passes` directions into and out of every site, so that a step costs `sites` x `passes` and touches every map.

    The sites are put on a circle in random order, and each gives to those a few random distances on; a distance of 0 is
    a site giving to itself. Where fewer than n^2 directions are trained, or no more than asked for, all are taken.
    """
    if len(directions) < sites**2 or passes >= sites:
        return list(directions)
    order = rng.permutation(sites)
    distances = rng.choice(sites, passes, replace=False)
    return [Direction(int(order[i]), int(order[(i + far) % sites])) for far in distances for i in range(sites)]
