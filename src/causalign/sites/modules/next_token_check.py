"""Whether a module, which anybody may have written, predicts next tokens at all."""

import torch
from jaxtyping import Int
from torch import Tensor

from causalign.errors import InvalidArgument
from causalign.networks.module import ModuleNetwork

ROUNDING = 64
"""Times what a precision can tell apart: two runs of one computation differ by less, whatever else there is in them."""


@torch.no_grad()
def require_next_tokens(network: ModuleNetwork, tokens: Int[Tensor, "trials time"], tolerance: float) -> None:
    """Check that a module repeats itself, and that its logits depend on no later token and on no other trial.

    Where only the shapes of what is computed differ, they may differ by `tolerance` of the largest.

    Raises:
        InvalidArgument: it is not so, or the logits are NaN or infinite.
    """
    logits = network(tokens)
    if not torch.isfinite(logits).all():
        raise InvalidArgument(f"the logits of {network.name} are NaN or infinite")
    if not torch.equal(logits, network(tokens)):
        raise InvalidArgument(f"two runs of {network.name} on the same trials differ; is something still random in it?")
    trials, time = (size // 2 for size in tokens.shape)
    others = torch.cat([tokens[:, :time], tokens.flip(0)[:, time:]], dim=1)
    rounding = ROUNDING * torch.finfo(logits.dtype).eps
    for part, alone, most, what in (
        (
            logits[:, :time],
            network(others)[:, :time],
            rounding,
            "later tokens (is it an encoder?): there is no next token",
        ),
        (logits[:, :time], network(tokens[:, :time]), tolerance, "the length of a trial"),
        (logits[trials:], network(tokens[trials:]), tolerance, "other trials (are time and trials mixed up?)"),
    ):
        difference = float((part - alone).abs().max())
        if not difference <= most * max(1.0, float(logits.abs().max())):
            raise InvalidArgument(f"the logits of {network.name} change by {difference:.2g} with {what}")
