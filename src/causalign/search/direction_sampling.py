"""Which directions a step takes when there are many networks."""

from collections.abc import Sequence

import numpy as np

from causalign.counterfactuals.direction import Direction


def sample_directions(
    directions: Sequence[Direction], n_sites: int, directions_per_site: int, rng: np.random.Generator
) -> list[Direction]:
    """Return a random sample of directions that touches every map equally often.

    The sites are put on a circle in random order, and each gives to those at `directions_per_site` random distances; a
    distance of 0 is a site giving to itself. So each site is as often a source as a target. All directions are returned
    where fewer than n^2 are trained, or where the sample would be as large.
    """
    if len(directions) < n_sites**2 or directions_per_site >= n_sites:
        return list(directions)
    order = rng.permutation(n_sites)
    distances = rng.choice(n_sites, directions_per_site, replace=False)
    return [Direction(int(order[i]), int(order[(i + far) % n_sites])) for far in distances for i in range(n_sites)]
