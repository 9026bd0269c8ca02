"""The configuration of a search: its batches, its steps, its evaluations and when it stops."""

import torch
from pydantic import Field, field_validator, model_validator

from causalign.config_model import ConfigModel
from causalign.errors import InvalidArgument, lookup
from causalign.search.optimizers import OPTIMIZERS

PRECISIONS = {"bfloat16": torch.bfloat16, "float32": torch.float32}
_THINNING = 10  # evaluations are a tenth of all steps so far apart, and at most ten times eval_every


class SearchConfig(ConfigModel):
    """The configuration of a search.

    The names are those of training loops elsewhere: a step is one gradient step, an evaluation scores the validation
    rows, and early stopping keeps the maps of the best evaluation.
    """

    batch_size: int = Field(default=512, ge=1)
    """Rows of each direction in a step."""
    initial_batch_size: int | None = Field(default=None, ge=1)
    """Rows of each direction in the first steps. The full size is used once validation stops improving. By default a
    quarter of `batch_size`."""
    directions_per_site: int = Field(default=2, ge=1)
    """Directions into, and out of, each site in a step. All n^2 directions of two sites are trained in every step; of
    more sites, a random sample is."""
    optimizer: str | None = None
    """`muon` or `adam`. By default the optimizer that suits the parametrization."""
    learning_rate: float | None = Field(default=None, gt=0)
    """Learning rate. By default the one that suits the parametrization."""
    max_steps: int = Field(default=1000, ge=0)
    """Number of steps after which the search stops at the latest."""
    eval_every: int = Field(default=10, ge=1)
    """Steps between the first evaluations. The interval grows to a tenth of all steps so far, at most ten times as
    long: an evaluation takes as long as two to five steps."""
    patience: int = Field(default=5, ge=1)
    """Number of `eval_every` intervals without improvement before the search stops. An evaluation improves on another
    if its worst direction has a higher IIA (on a tie, if the mean is higher). A training loss that falls by another 5 %
    of its first value counts too. After a late improvement the search waits for half as many steps again as it took."""
    min_delta: float = Field(default=0.0, ge=0, lt=1)
    """Smallest increase of the worst direction's IIA that counts as an improvement for `patience`. Where the validation
    loss decides, the smallest relative decrease."""
    target_iia: float | None = Field(default=None, gt=0, le=1)
    """IIA of the worst direction, on validation, that ends the search. By default it goes on while it improves."""
    early_stopping: bool = True
    """Whether the search stops when validation stops improving, or takes all `max_steps`. The maps that are kept are
    those of the best evaluation either way."""
    precision: str | None = None
    """`bfloat16` or `float32`: the precision in which networks run during the search. Every score is of the networks as
    they are."""

    @field_validator("optimizer")
    @classmethod
    def _known_optimizer(cls, name: str | None) -> str | None:
        return name if name is None else lookup("optimizer", name, {each: each for each in OPTIMIZERS})

    @field_validator("precision")
    @classmethod
    def _known_precision(cls, name: str | None) -> str | None:
        if name is not None:
            lookup("precision", name, PRECISIONS)
        return name

    @model_validator(mode="after")
    def _consistent(self) -> "SearchConfig":
        if self.target_iia is not None and not self.early_stopping:
            raise InvalidArgument("target_iia ends a search early, and early_stopping is False: leave one of them out")
        if self.initial_batch_size is not None and self.initial_batch_size > self.batch_size:
            raise InvalidArgument(
                f"initial_batch_size is at most batch_size, {self.batch_size}; found {self.initial_batch_size}"
            )
        return self

    @property
    def first_batch_size(self) -> int:
        """Rows of each direction in the first steps."""
        wanted = self.batch_size // 4 if self.initial_batch_size is None else self.initial_batch_size
        return max(1, min(wanted, self.batch_size))

    def next_evaluation(self, step: int) -> int:
        """The step of the evaluation that follows one at this step."""
        apart = min(max(self.eval_every, step // _THINNING), _THINNING * self.eval_every)
        return min(self.max_steps, step + apart)

    @property
    def evaluations(self) -> int:
        """The number of evaluations of a search that takes all its steps, the one before the first included."""
        step, evaluations = 0, 1
        while step < self.max_steps:
            step, evaluations = self.next_evaluation(step), evaluations + 1
        return evaluations
