"""What a drawn pair is aligned with."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Setting:
    """What a drawn pair is aligned with.

    Attributes:
        rank: The rank of the subspaces.
        n_train: The number of training rows.
        max_steps: The number of steps after which the search ends at the latest.
    """

    rank: int = 8
    n_train: int = 1000
    max_steps: int = 300
