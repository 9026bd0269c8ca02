"""A cache of the lower layers' outputs for the tokens after a swap, which do not depend on the swap."""

from math import prod

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from causalign.errors import CausalignError
from causalign.sites.base import Continuation, Places, Site
from causalign.sites.prefix import Prefix
from causalign.storage import Store


class LowerLayerCache:
    """The expected outputs as they reach the target's site, which the layers below the site compute without a swap.

    Those of a row are computed when the row is first run, and kept in a table of the store. If the store has no room
    for the table, they are computed every time.

    Args:
        site: The site of the target.
        count: The number of rows.
        steps: The largest number of expected tokens of a row.
        store: The store of the table.
    """

    def __init__(self, site: Site, count: int, steps: int, store: Store) -> None:
        self._site = site
        self._shape = (count, max(1, steps - 1), site.width)
        self._store = store
        self._table: Float[Tensor, "rows steps width"] | None = None
        self._known: Bool[Tensor, " rows"] = torch.zeros(count, dtype=torch.bool)
        self._kept = True

    @property
    def nbytes(self) -> int:
        """The size of the table in bytes, once it exists."""
        return prod(self._shape) * self._site.dtype.itemsize

    def take(
        self,
        index: Int[Tensor, " chosen"],
        prefix: Prefix,
        places: Places,
        tokens: Int[Tensor, "chosen steps"],
        lengths: Int[Tensor, " chosen"],
    ) -> Float[Tensor, "chosen steps_fed width"]:
        """Return all expected tokens but the last of some rows as they reach the site, padded.

        Args:
            index: The indices of the rows.
            prefix: The prefix of the target's trials.
            places: The trials and positions of the swaps.
            tokens: The expected outputs of the rows.
            lengths: The number of expected tokens of each row.
        """
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
