"""How a search runs: its batches, its steps, and when it looks and ends."""

from dataclasses import dataclass

import torch

from causalign.errors import InvalidArgument, lookup

PRECISIONS = {"bfloat16": torch.bfloat16, "float32": torch.float32}
_THINNING = 10  # looks are this part of all steps so far apart, and as many times as far as the first at most


@dataclass(frozen=True)
class SearchConfig:
    """How a search runs."""

    batch: int = 512
    """Interventions of each direction in a step."""
    grow: int = 4
    """By so much smaller are the first batches; when they bring the search no further, noise stands in the way."""
    passes: int = 2
    """Directions into (and out of) each site in a step: all n^2 of two sites, a random sample of those of more."""
    optimizer: str | None = None
    """`muon` or `adam`; by default, what suits the parametrisation of each map."""
    learning_rate: float | None = None
    """By default, what suits the parametrisation of each map."""
    most_steps: int = 1000
    trial: int = 100
    """Where there are several ranks to choose from: steps after which only the best of them goes on."""
    check_every: int = 10
    """Steps between the first looks at the validation interventions; later ones are a tenth of all steps so far apart,
    ten times as far as the first at most: a look takes as long as two to five steps."""
    patience: int = 5
    """So many times `check_every` steps end the search if the worst direction (on a tie, the mean of all) gets no
    better in them.

    A best look that was long in coming gets half as long again: what rises slowly is waited for.
    """
    least_gain: float = 0.0
    """How much better the worst direction has to get for the search to be going on; less is as good as nothing.

    Where the loss is decisive, the share of it that has to go.
    """
    enough: float | None = None
    """The IIA of the worst direction, on validation, that ends the search; by default it goes on while it improves."""

    to_the_end: bool = False
    """Whether to take all steps, whatever validation shows; what is kept is of the best look all the same."""
    precision: str | None = None
    """`bfloat16` or `float32`: in which the networks are run to learn; all scores are of the networks as they are."""

    @property
    def first_batch(self) -> int:
        """Interventions of each direction in the first steps."""
        return max(1, self.batch // self.grow)

    def look_after(self, step: int) -> int:
        """The step of the look that follows one at this step."""
        apart = min(max(self.check_every, step // _THINNING), _THINNING * self.check_every)
        return min(self.most_steps, step + apart)

    @property
    def looks(self) -> int:
        """How many looks a search has that goes on to its last step, with the one before the first."""
        step, looks = 0, 1
        while step < self.most_steps:
            step, looks = self.look_after(step), looks + 1
        return looks

    def __post_init__(self) -> None:
        if self.precision is not None:
            lookup("precision", self.precision, PRECISIONS)
        for name in ("batch", "grow", "passes", "trial", "check_every", "patience"):
            if getattr(self, name) < 1:
                raise InvalidArgument(f"{name} must be at least 1, found {getattr(self, name)}")
        if self.most_steps < 0:
            raise InvalidArgument(f"most_steps must not be negative, found {self.most_steps}")
        if self.learning_rate is not None and not self.learning_rate > 0:
            raise InvalidArgument(f"learning_rate must be positive, found {self.learning_rate}")
        if not 0 <= self.least_gain < 1:
            raise InvalidArgument(f"least_gain is a difference of IIA, at least 0 and below 1, found {self.least_gain}")
        if self.enough is not None and not 0 < self.enough <= 1:
            raise InvalidArgument(f"enough is an IIA above 0 and at most 1, found {self.enough}")
