"""The check that a user's module predicts next tokens."""

import torch
from jaxtyping import Int
from torch import Tensor

from causalign.errors import InvalidArgument
from causalign.networks.module import ModuleNetwork

ROUNDING = 64
"""The tolerance for rounding, as a multiple of the machine epsilon. Two runs of the same computation differ by less."""


@torch.no_grad()
def require_next_tokens(network: ModuleNetwork, tokens: Int[Tensor, "trials time"], tolerance: float) -> None:
    """Check that a module is deterministic, and that its logits depend on no later token and on no other trial.

    Args:
        network: The module as a network.
        tokens: The ids of a few trials.
        tolerance: The largest difference between logits of runs on inputs of different shapes, as a share of the
            largest logit. Runs on inputs of the same shape may differ by rounding alone.

    Raises:
        InvalidArgument: The module is not deterministic, the logits depend on later tokens, on the length of a trial or
            on other trials, or the logits are NaN or infinite.
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
            "later tokens (is it an encoder?), so it does not predict next tokens",
        ),
        (logits[:, :time], network(tokens[:, :time]), tolerance, "the length of a trial"),
        (logits[trials:], network(tokens[trials:]), tolerance, "other trials (are time and trials mixed up?)"),
    ):
        difference = float((part - alone).abs().max())
        if not difference <= most * max(1.0, float(logits.abs().max())):
            raise InvalidArgument(f"the logits of {network.name} change by {difference:.2g} with {what}")
