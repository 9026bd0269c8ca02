"""Interventions: all that a swap in one direction needs, computed once."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float, Int, Shaped
from torch import Tensor

from causalign.counterfactuals.from_arrays import Arrays, Ragged, Side, columns_of
from causalign.engine.activation_cache import Activations
from causalign.engine.batch import Batch
from causalign.engine.lower_layer_cache import LowerLayerCache
from causalign.sites.base import Places, Site
from causalign.sites.readable import Readable
from causalign.storage import DEFAULT_BUDGET, Store, rows_of


@dataclass(frozen=True, eq=False)
class CounterfactualRows:
    """The interventions of one direction: states to swap, what precedes them, and the continuation to be predicted.

    States stay in the tables of what was recorded; a batch gathers its own.
    """

    source: Activations
    target: Activations
    source_rows: Int[Tensor, "trials ..."]
    target_rows: Int[Tensor, "trials ..."]
    places: Places
    tokens: Int[Tensor, "trials steps_after"]
    """The counterfactual continuation, in the target network's ids, padded."""
    determined: Bool[Tensor, "trials steps_after"]
    lengths: Int[Tensor, " trials"]
    values: Mapping[str, Int[Tensor, " trials"]]
    """The value of every variable of the target's task once the swap is made."""
    latent_rows: Int[Tensor, " trials"] | None = None
    """Rows of the target's recorded states that have these values."""
    unmatched: Mapping[tuple[int, ...], int] | None = None
    """How many interventions were left out because no state was recorded with the values, by these."""
    upstream: LowerLayerCache | None = None
    """Where what is fed to the target's site is kept."""

    def __len__(self) -> int:
        return len(self.lengths)

    @property
    def nbytes(self) -> int:
        """Bytes of all tables but those of what was recorded, once all interventions have been run on."""
        fed = 0 if self.upstream is None else self.upstream.nbytes
        return sum(table.nbytes for table in self._all_tables().values()) + fed

    @property
    def source_states(self) -> Float[Tensor, "trials ... width"]:
        """The states that are given."""
        return self.source.gather(self.source_rows)

    @property
    def target_states(self) -> Float[Tensor, "trials ... width"]:
        """The states that receive."""
        return self.target.gather(self.target_rows)

    def take(self, index: Int[Tensor, " chosen"]) -> Batch:
        """Some of them, on the target's device."""
        device = self.target.device
        rows = rows_of(self._tables(), index)
        lengths = rows["lengths"].to(device).long()
        steps = int(lengths.max())
        return Batch(
            self.source.gather(rows["source_rows"]),
            self.target.gather(rows["target_rows"]),
            self.target.prefix,
            Places(rows["trial"].to(device).long(), rows["position"].to(device).long()),
            rows["tokens"][:, :steps].to(device).long(),
            rows["determined"][:, :steps].to(device),
            lengths,
            self.target.gather(rows["latent_rows"]) if "latent_rows" in rows else None,
            index,
            self.upstream,
        )

    @classmethod
    def from_arrays(
        cls,
        source: Site,
        target: Site,
        *,
        source_tokens: Ragged,
        source_positions: Ragged,
        target_tokens: Ragged,
        target_positions: Ragged,
        continuations: Ragged,
        determined: Ragged | None = None,
        source_mask: Ragged | None = None,
        target_mask: Ragged | None = None,
        stepwise: bool = False,
        memory: float = DEFAULT_BUDGET,
    ) -> "CounterfactualRows":
        """Interventions of one's own, a row each: for what no causal model here writes.

        Args:
            source: the site whose states are given.
            target: the site that receives them.
            source_tokens: `[rows, time]` ids of the source's network; rows may differ in length.
            source_positions: `[rows]`, where the state is read in its row.
            target_tokens: `[rows, time]` ids of the target's network; what is behind the position does not matter.
            target_positions: `[rows]`, where the state is swapped.
            continuations: `[rows, steps]` ids of the target's network: what it should go on with behind the position.
                A negative id, such as -100, fills a row up.
            determined: `[rows, steps]`, which of these are scored; by default, all.
            source_mask: `[rows, time]`, which of the tokens are there, as tokenizers say of rows that they have padded,
                on either side.
            target_mask: the same for the target's.
            stepwise: whether all states up to the position are swapped; it is then the same on both sides.
            memory: GiB that the tables may take; what is beyond lies in temporary files.

        Raises:
            CausalignError: arrays are not of one length, ids not in the vocabulary, a position not in its row, or
                nothing of a row is scored; the row is named.
        """
        sides = (
            Side.of("source", source, source_tokens, source_positions, source_mask),
            Side.of("target", target, target_tokens, target_positions, target_mask),
        )
        arrays = Arrays.checked(sides, continuations, determined)
        if stepwise:
            arrays.require_same_positions()
        store, trials = Store(memory), np.arange(len(arrays.lengths))
        given, receiving = (side.record(stepwise, store) for side in sides)

        def there(table: Shaped[np.ndarray, "rows ..."]) -> Shaped[Tensor, "rows ..."]:
            return torch.from_numpy(table).to(target.device)

        only = cls(
            given,
            receiving,
            there(given.rows(trials, sides[0].positions)),
            there(receiving.rows(trials, sides[1].positions)),
            Places(there(trials), there(sides[1].positions)),
            there(arrays.tokens),
            there(arrays.determined),
            there(arrays.lengths),
            {},
        )
        return cls.joined([only], target, store)

    @classmethod
    def from_table(cls, source: Site, target: Site, table: Any, *, stepwise: bool = False) -> "CounterfactualRows":
        """The same from columns that are named as the arrays are.

        Args:
            source: the site whose states are given.
            target: the site that receives them.
            table: a pandas DataFrame, a dataset of Hugging Face's datasets, or a mapping.
            stepwise: whether all states up to the position are swapped.

        Raises:
            CausalignError: as `from_arrays`, or a column is missing.
        """
        return cls.from_arrays(source, target, stepwise=stepwise, **columns_of(table))

    @classmethod
    def joined(cls, parts: Sequence["CounterfactualRows"], site: Readable, store: Store) -> "CounterfactualRows":
        """Those of one direction into a site, one after another, in a table of the store."""
        first = parts[0]
        unmatched: Counter[tuple[int, ...]] = Counter()
        for part in parts:
            unmatched.update(part.unmatched or {})
        tables = [part._all_tables() for part in parts]
        joined = store.columns({name: [table[name] for table in tables] for name in tables[0]})
        return cls(
            first.source,
            first.target,
            joined["source_rows"],
            joined["target_rows"],
            Places(joined["trial"], joined["position"]),
            joined["tokens"],
            joined["determined"],
            joined["lengths"],
            {name: joined[f"value of {name}"] for name in first.values},
            joined.get("latent_rows"),
            None if first.unmatched is None else dict(unmatched),
            _upstream(site, joined["tokens"], store),
        )

    def shuffled(self, rng: np.random.Generator, site: Readable, store: Store) -> "CounterfactualRows":
        """The same swaps, each with the continuation and the counterfactual latent of another one."""
        order = torch.from_numpy(rng.permutation(len(self))).to(self.tokens.device)
        latents = None if self.latent_rows is None else self.latent_rows[order]
        values = {name: value[order] for name, value in self.values.items()}
        tokens, determined, lengths = self.tokens[order], self.determined[order], self.lengths[order]
        perturb = replace(
            self, tokens=tokens, determined=determined, lengths=lengths, values=values, latent_rows=latents
        )
        return self.joined([perturb], site, store)

    def _tables(self) -> dict[str, Tensor]:
        """All that a batch needs a row of."""
        tables = {
            "source_rows": self.source_rows,
            "target_rows": self.target_rows,
            "trial": self.places.trial,
            "position": self.places.position,
            "tokens": self.tokens,
            "determined": self.determined,
            "lengths": self.lengths,
        }
        return tables if self.latent_rows is None else tables | {"latent_rows": self.latent_rows}

    def _all_tables(self) -> dict[str, Tensor]:
        """And all else that there is a row of for each of them."""
        return self._tables() | {f"value of {name}": value for name, value in self.values.items()}


def _upstream(site: Readable, tokens: Int[Tensor, "trials steps_after"], store: Store) -> LowerLayerCache | None:
    """Where what is fed to a site is kept, if something is."""
    if not isinstance(site, Site) or not site.feeds:
        return None
    return LowerLayerCache(site, len(tokens), tokens.shape[1], store)
