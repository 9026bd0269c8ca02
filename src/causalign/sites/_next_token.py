"""Whether a module, which anybody may have written, predicts next tokens at all."""

import torch
from jaxtyping import Int
from torch import Tensor

from causalign.errors import CausalignError
from causalign.networks import Wrapped


@torch.no_grad()
def require_next_tokens(network: Wrapped, tokens: Int[Tensor, "trials time"], tolerance: float) -> None:
    """Check that a module repeats itself, and that its logits depend on no later token and on no other trial.

    They may differ by `tolerance` of the largest.

    Raises:
        CausalignError: it is not so, or the logits are NaN or infinite.
    """
    logits = network(tokens)
    if not torch.isfinite(logits).all():
        raise CausalignError(f"the logits of {network.name} are NaN or infinite")
    if not torch.equal(logits, network(tokens)):
        raise CausalignError(f"two runs of {network.name} on the same trials differ; is something still random in it?")
    trials, time = (size // 2 for size in tokens.shape)
    for part, alone, other in (
        (logits[:, :time], network(tokens[:, :time]), "later tokens (is it an encoder?): it predicts no next token"),
        (logits[trials:], network(tokens[trials:]), "other trials (are time and trials mixed up?)"),
    ):
        difference = float((part - alone).abs().max())
        if not difference <= tolerance * max(1.0, float(logits.abs().max())):
            raise CausalignError(f"the logits of {network.name} change by {difference:.2g} with {other}")
