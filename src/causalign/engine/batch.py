"""A batch of rows of one direction."""

from dataclasses import dataclass

from jaxtyping import Bool, Float, Int, Num
from torch import Tensor

from causalign.engine.lower_layer_cache import LowerLayerCache
from causalign.sites.base import Places
from causalign.sites.prefix import Prefix


@dataclass(frozen=True, eq=False)
class Batch:
    """Some rows of one direction, with their states."""

    source_states: Float[Tensor, "trials ... source_width"]
    """The states of the source, `[rows, width]`. At several positions they are `[rows, swaps, width]`; stepwise
    `[rows, steps, width]`, and each row uses those up to its position."""
    target_states: Float[Tensor, "trials ... target_width"]
    """The states of the target before the swap, in the same form."""
    prefix: Prefix
    """The prefix of all trials of the target. `places` indexes it."""
    places: Places
    """The trials and positions at which the target's states are swapped."""
    tokens: Num[Tensor, "trials steps_after"]
    """The expected outputs, padded: ids or, for a regression, numbers."""
    determined: Bool[Tensor, "trials steps_after"]
    """Whether each expected token is scored."""
    lengths: Int[Tensor, " trials"]
    """The number of expected tokens of each row."""
    latents: Float[Tensor, "trials *swaps target_width"] | None
    """The counterfactual latents: states of the target with the values that the swap sets. `None` if there are none."""
    index: Int[Tensor, " trials"] | None = None
    """The indices of the rows in their dataset, by which `lower_layers` caches them."""
    lower_layers: LowerLayerCache | None = None
    """The cache of the expected outputs as they reach the target's site. It is used only if the target is run."""

    allowed: Int[Tensor, "trials alternatives"] | None = None
    """Further correct ids of rows with a single scored token, padded with -100."""
    loss_on_scored: bool = False
    """Whether the loss is over the scored tokens only, or over all expected tokens (equation 5)."""
    variable: Int[Tensor, " trials"] | None = None
    """The index of the variable of each row. `None` where all rows have the same one."""

    def fed(self) -> Float[Tensor, "trials steps_fed target_width"] | None:
        """Return all expected tokens but the last as they reach the target's site, or `None` if no cache has them."""
        if self.lower_layers is None or self.index is None:
            return None
        return self.lower_layers.take(self.index, self.prefix, self.places, self.tokens, self.lengths)

    def __len__(self) -> int:
        return len(self.lengths)
