"""What is fed to a site after a swap: it is the same whatever is swapped in, and so computed once."""

from math import prod

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from causalign.errors import CausalignError
from causalign.sites.base import Continuation, Places, Site
from causalign.sites.prefix import Prefix
from causalign.storage import Store


class LowerLayerCache:
    """The tokens of continuations as they reach the target's site, which lies above what runs there without a swap.

    An intervention's are computed when it is first run on, and kept in a table of the store; where that has no room
    for them, they are computed every time.
    """

    def __init__(self, site: Site, count: int, steps: int, store: Store) -> None:
        self._site = site
        self._shape = (count, max(1, steps - 1), site.width)
        self._store = store
        self._table: Float[Tensor, "interventions steps width"] | None = None
        self._known: Bool[Tensor, " interventions"] = torch.zeros(count, dtype=torch.bool)
        self._kept = True

    @property
    def nbytes(self) -> int:
        """Bytes of the table, once it is there."""
        return prod(self._shape) * self._site.dtype.itemsize

    def take(
        self,
        index: Int[Tensor, " chosen"],
        prefix: Prefix,
        places: Places,
        tokens: Int[Tensor, "chosen steps"],
        lengths: Int[Tensor, " chosen"],
    ) -> Float[Tensor, "chosen steps_fed width"]:
        """Those of some interventions, of which the rest is given: all but the last token of each, padded."""
        index = index.cpu()
        steps = max(1, tokens.shape[1] - 1)
        if not self._has_room():
            return self._computed(prefix, places, tokens, lengths)
        assert self._table is not None
        new = ~self._known[index]
        if new.any():
            of = new.nonzero().squeeze(1).to(tokens.device)
            computed = self._computed(prefix, places.take(of), tokens[of], lengths[of])
            self._table[index[new].to(self._table.device), :steps] = computed.to(self._table)
            self._known[index] = True
        return self._table[index.to(self._table.device), :steps].to(tokens.device)

    def _has_room(self) -> bool:
        if self._table is None and self._kept:
            try:
                self._table = self._store.table(self._shape, self._site.dtype, self._site.device)
            except CausalignError:
                self._kept = False
        return self._kept

    @torch.no_grad()
    def _computed(
        self, prefix: Prefix, places: Places, tokens: Int[Tensor, "chosen steps"], lengths: Int[Tensor, " chosen"]
    ) -> Float[Tensor, "chosen steps_fed width"]:
        order = lengths.argsort(descending=True, stable=True)
        continuation = Continuation.pack(tokens[order], lengths[order])
        fed = self._site.feed(prefix, places.take(order), continuation)
        laid_out = fed.new_zeros(len(tokens), max(1, tokens.shape[1] - 1), fed.shape[1])
        trial, step = continuation.behind_first
        laid_out[order[trial], step] = fed
        return laid_out
