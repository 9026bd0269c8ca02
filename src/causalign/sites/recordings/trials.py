"""Some trials of a recording."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Bool, Int
from typing_extensions import override

from causalign.recordings.layout import Layout
from causalign.tasks.trials import Trials


@dataclass(frozen=True, eq=False)
class RecordedTrials(Trials):
    """Some trials of a recording.

    Attributes:
        layout: The number of samples of each trial.
        packed: The value of every variable at each sample, trial after trial.
        used_samples: Whether each sample is used.
        index: The index of each trial in the recording.
        by_trial: Whether the values are the same at all samples of a trial.
    """

    layout: Layout
    packed: dict[str, Int[np.ndarray, " samples"]]
    used_samples: Bool[np.ndarray, " samples"]
    index: Int[np.ndarray, " trials"]
    by_trial: bool

    @cached_property
    def values(self) -> dict[str, Int[np.ndarray, "trials time"]]:  # type: ignore[override]
        """The value of every variable at each sample. It is arbitrary beyond the end of a trial."""
        layout = self.layout
        if not self.by_trial:
            return {name: layout.padded(value, layout.time) for name, value in self.packed.items()}
        first = np.minimum(layout.first, layout.total - 1)
        shape = layout.trials, layout.time  # one number a trial, seen as if it were repeated
        return {name: np.broadcast_to(value[first][:, None], shape) for name, value in self.packed.items()}

    @cached_property
    def used(self) -> Bool[np.ndarray, "trials time"]:
        """Whether each sample is used."""
        return self.layout.padded(self.used_samples, self.layout.time)

    @property
    @override
    def lengths(self) -> Int[np.ndarray, " trials"]:
        return np.maximum(self.layout.last(self.used_samples), 1)

    @override
    def __len__(self) -> int:
        return len(self.index)

    @override
    def __getitem__(self, trials: Int[np.ndarray, " chosen"] | slice) -> "RecordedTrials":
        chosen = np.arange(len(self))[trials]
        places = self.layout.places(chosen)
        packed = {name: value[places] for name, value in self.packed.items()}
        layout, used = self.layout.of(chosen), self.used_samples[places]
        return RecordedTrials(layout, packed, used, self.index[chosen], self.by_trial)
