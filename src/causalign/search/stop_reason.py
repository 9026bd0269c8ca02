"""Why a search stopped, and how that is put into words."""

from enum import StrEnum


class StopReason(StrEnum):
    """Why a search stopped."""

    EARLY_STOPPING = "early_stopping"
    TARGET_IIA = "target_iia"
    MAX_STEPS = "max_steps"
    DIVERGED = "diverged"
    CLOSED_FORM = "closed_form"
    PRUNED = "pruned"
    ANNEALED = "annealed"

    @property
    def message(self) -> str:
        """The reason in words, as what follows `The search`."""
        return _MESSAGES[self]

    @property
    def complete(self) -> bool:
        """Whether the search ran to an end of its own."""
        return self != StopReason.DIVERGED


_MESSAGES = {
    StopReason.EARLY_STOPPING: "stopped because validation no longer improved",
    StopReason.TARGET_IIA: "stopped because the worst direction reached target_iia on validation",
    StopReason.MAX_STEPS: "took all max_steps",
    StopReason.DIVERGED: "diverged: the loss is no longer finite; try a lower learning_rate",
    StopReason.CLOSED_FORM: "took no steps: the maps are a closed form",
    StopReason.ANNEALED: "came to the end of its temperatures, where the mask decides what is swapped",
    StopReason.PRUNED: "was given up because another rank was better on validation",
}
