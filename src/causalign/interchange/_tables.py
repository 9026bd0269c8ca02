"""Tables put together."""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional


def stacked(parts: Sequence[Tensor]) -> Tensor:
    """One after another, the second dimension of all but vectors widened with zeros to the widest."""
    if parts[0].dim() == 1:
        return torch.cat(list(parts))
    longest = max(part.shape[1] for part in parts)
    pads = [[0, 0] * (part.dim() - 2) + [0, longest - part.shape[1]] for part in parts]
    return torch.cat([functional.pad(part, pad) for part, pad in zip(parts, pads, strict=True)])
