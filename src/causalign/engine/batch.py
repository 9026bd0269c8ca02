"""A batch of interventions of one direction."""

from dataclasses import dataclass

from jaxtyping import Bool, Float, Int
from torch import Tensor

from causalign.engine.lower_layer_cache import LowerLayerCache
from causalign.sites.base import Places
from causalign.sites.prefix import Prefix


@dataclass(frozen=True, eq=False)
class Batch:
    """Some interventions of one direction, their states gathered."""

    source_states: Float[Tensor, "trials ... source_width"]
    """`[trials, width]`; stepwise `[trials, steps, width]`, of which each trial uses those up to its place."""
    target_states: Float[Tensor, "trials ... target_width"]
    prefix: Prefix
    """Of all the target's recorded trials; `places` says which."""
    places: Places
    tokens: Int[Tensor, "trials steps_after"]
    determined: Bool[Tensor, "trials steps_after"]
    lengths: Int[Tensor, " trials"]
    latents: Float[Tensor, "trials target_width"] | None
    """Recorded states of the target with the values that the swap is to bring about, where they were looked up."""
    index: Int[Tensor, " trials"] | None = None
    """Which of the interventions they are,"""
    lower_layers: LowerLayerCache | None = None
    """by which it knows what is fed to the target's site; asked only if the target is run."""

    allowed: Int[Tensor, "trials alternatives"] | None = None
    """Other ids that count as right where a row scores a single token; -100 where there are fewer."""
    loss_on_scored: bool = False
    """Whether the loss is over the scored tokens only, or over all tokens of the continuation (equation 5)."""

    def fed(self) -> Float[Tensor, "trials steps_fed target_width"] | None:
        """The continuation's tokens, all but the last, as they reach the target's site, where that takes work."""
        if self.lower_layers is None or self.index is None:
            return None
        return self.lower_layers.take(self.index, self.prefix, self.places, self.tokens, self.lengths)

    def __len__(self) -> int:
        return len(self.lengths)
