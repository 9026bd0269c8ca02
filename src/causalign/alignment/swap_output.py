"""One swap, carried out: what the target predicts next after it, and what it would have predicted."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from operator import index
from typing import Any, SupportsIndex

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float
from torch import Tensor

from causalign.counterfactuals.direction import Direction
from causalign.counterfactuals.from_arrays import single_row
from causalign.counterfactuals.from_table import Reader
from causalign.counterfactuals.interventions import Swap
from causalign.counterfactuals.row_source import RowRequest
from causalign.errors import InvalidArgument
from causalign.maps.base import AlignmentMap
from causalign.networks.tensor_module import TensorModule
from causalign.run_context import RunContext
from causalign.scoring.metrics import row_outputs
from causalign.sites.base import Site


@dataclass(frozen=True, eq=False)
class SwapOutput:
    """The next-token logits of a target after a swap, and with nothing swapped."""

    logits: Float[Tensor, " vocabulary"]
    no_swap_logits: Float[Tensor, " vocabulary"]
    site: Site

    def top(self, k: int = 5) -> pd.DataFrame:
        """Return the k most likely tokens after the swap.

        Returns:
            `id, token, probability, no_swap_probability`, the most likely first; `token` is the text of the id, where
            the network has a tokenizer, or the token of its task.

        Raises:
            InvalidArgument: k is not a whole number, at least 1.
        """
        if not isinstance(k, int) or isinstance(k, bool) or k < 1:
            raise InvalidArgument(f"k must be a whole number, at least 1; found {k!r}")
        after, before = self.logits.softmax(-1), self.no_swap_logits.softmax(-1)
        ids = after.topk(min(k, len(after))).indices
        return pd.DataFrame(
            {
                "id": ids.cpu().numpy(),
                "token": [self._text(int(each)) for each in ids],
                "probability": after[ids].cpu().numpy(),
                "no_swap_probability": before[ids].cpu().numpy(),
            }
        )

    def _text(self, token: int) -> str:
        network = self.site.network
        if isinstance(network, TensorModule) and not network.per_position:
            return str((getattr(network.config, "id2label", None) or {}).get(token, token))
        if network.tokenizer is not None:
            return str(network.tokenizer.decode([token]))
        return {index: name for name, index in network.ids.items()}.get(token, str(token))

    def __repr__(self) -> str:
        after, before = int(self.logits.argmax()), int(self.no_swap_logits.argmax())
        return (
            f"SwapOutput({self.site.name}: {self._text(after)!r} after the swap, "
            f"{self._text(before)!r} with nothing swapped)"
        )


@dataclass(frozen=True)
class SwapInputs:
    """The two inputs of a swap: text, ids or tensors, and the positions that are swapped (-1 is the last)."""

    source: Any
    target: Any
    source_position: int | Sequence[int] = -1
    target_position: int | Sequence[int] = -1
    tokenizer: Any = None

    @property
    def positions(self) -> tuple[int | tuple[int, ...], int | tuple[int, ...]]:
        """The positions in the source and in the target: several as a tuple.

        Raises:
            InvalidArgument: There are not as many in both.
        """
        source, target = (
            tuple(each) if isinstance(each, Sequence) else each for each in (self.source_position, self.target_position)
        )
        counts = [len(each) if isinstance(each, tuple) else 1 for each in (source, target)]
        if counts[0] != counts[1]:
            raise InvalidArgument(
                f"a swap is at as many positions in both inputs; found {counts[0]} in the source and {counts[1]} in "
                "the target"
            )
        return source, target


@torch.no_grad()
def swap_output(
    sites: tuple[Site, Site], inputs: SwapInputs, swap: Swap, maps: tuple[AlignmentMap, AlignmentMap], stepwise: bool
) -> SwapOutput:
    """Swap the state of the source on one input into the target on another, and read the target's next prediction.

    Args:
        sites: The source, and the target.
        inputs: Their inputs.
        swap: The intervention.
        maps: The map of the source, and that of the target.
        stepwise: Whether the states of all positions up to the swap's are swapped.

    Raises:
        InvalidArgument: An input is text and there is no tokenizer, is not in the vocabulary, or has no such position;
            or the target predicts numbers.
    """
    if sites[1].network.regression is not None:
        raise InvalidArgument(f"{sites[1].network.name} predicts numbers: a swap shows logits; use score")
    given = [
        _single(site, each, inputs.tokenizer, end)
        for site, each, end in zip(sites, (inputs.source, inputs.target), ("source", "target"), strict=True)
    ]
    rows = single_row(sites, (given[0], given[1]), inputs.positions)
    request = RowRequest("test", (Direction(0, 1),), stepwise)
    (made,) = rows.rows(request, RunContext()).values()
    outputs = row_outputs(sites[1], made.take(torch.arange(1)), swap, maps)
    return SwapOutput(outputs.logits[0], outputs.no_swap_logits[0], sites[1])


def _single(site: Site, given: Any, tokenizer: Any, end: str) -> Any:
    """Return one input as one row: of ids or, for a site that takes tensors, of these.

    Raises:
        InvalidArgument: It is text and there is no tokenizer, or it is neither text nor one row of ids.
    """
    if site.takes_tensors and not isinstance(given, str):
        if isinstance(given, Mapping):
            return {name: np.asarray(each)[None] for name, each in given.items()}
        return [given] if isinstance(given, list) else np.asarray(given)[None]
    reader = Reader(site, tokenizer or site.network.tokenizer)
    return [reader.inputs([_plain(given)], f"the {end}")[0]]


def _plain(given: Any) -> Any:
    """Return ids as a list, and text as it is.

    Raises:
        InvalidArgument: It is neither.
    """
    if isinstance(given, str):
        return given
    ids = given.tolist() if hasattr(given, "tolist") else list(given) if isinstance(given, list | tuple) else None
    if not isinstance(ids, list) or not all(isinstance(each, SupportsIndex) for each in ids):
        raise InvalidArgument(f"an input is text, or one row of whole ids; found {given!r}")
    return [index(each) for each in ids]
