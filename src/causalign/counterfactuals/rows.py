"""The rows of one direction, with everything that their interventions need, computed once.

States stay in the tables of activations. A row holds indices into them, and a batch gathers the states of its rows.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Bool, Float, Int, Num
from torch import Tensor

from causalign.counterfactuals.columns import Columns, stored
from causalign.engine.activation_cache import Activations
from causalign.engine.batch import Batch
from causalign.engine.lower_layer_cache import LowerLayerCache
from causalign.sites.base import Places, Site
from causalign.sites.readable import Readable
from causalign.storage import Store, rows_of

SOURCE_ROWS, TARGET_ROWS, TRIAL, POSITION, LATER = "source_rows", "target_rows", "trial", "position", "later"
TOKENS, SCORED, LENGTHS, ALLOWED, LATENT_ROWS = "tokens", "scored", "lengths", "allowed", "latent_rows"
VARIABLE, VALUE = "variable", "value of "
_EXPECTED = (TOKENS, SCORED, LENGTHS, ALLOWED, LATENT_ROWS)


@dataclass(frozen=True, eq=False)
class CounterfactualRows:
    """The rows of one direction and split.

    `columns` has one entry per row in each of these columns:

    * `source_rows` and `target_rows`, the indices of the swapped states in the activations of source and target;
    * `trial` and `position`, the place from which the target is run on;
    * `later` (optional) `[rows, swaps - 1]`, the positions of further swaps in the same input;
    * `tokens` `[rows, steps]`, the expected output in the target network's ids, padded; numbers, for a regression;
    * `scored` `[rows, steps]`, whether each token is scored;
    * `lengths`, the number of expected tokens;
    * `allowed` (optional), further correct ids of rows with a single scored token, padded with -100;
    * `latent_rows` (optional), the indices of the target's counterfactual latents;
    * `variable` (optional), the index of each row's variable, where the dataset has several;
    * `value of NAME`, the values of the target's variables after the swap.
    """

    source: Activations
    target: Activations
    columns: Columns[Tensor]
    latents: Activations | None = None
    """The activations that `latent_rows` index. By default, the target's."""
    missing_latents: Mapping[tuple[int, ...], int] | None = None
    """The number of rows that were left out because no state has their values, by these values."""
    lower_layers: LowerLayerCache | None = None
    """The cache of the expected outputs as they reach the target's site, where lower layers process them first."""
    loss_on_scored: bool = False
    """Whether the loss is over the scored tokens only, or over all expected tokens (equation 5)."""

    def __len__(self) -> int:
        return len(self.columns)

    @property
    def nbytes(self) -> int:
        """The size in bytes of all tables except those of activations, once every row has been run."""
        return self.columns.nbytes + (0 if self.lower_layers is None else self.lower_layers.nbytes)

    @property
    def places(self) -> Places:
        """The trials and positions at which the target's states are swapped."""
        return Places(self.columns[TRIAL], self.columns[POSITION], self.columns.mapping().get(LATER))

    @property
    def tokens(self) -> Num[Tensor, "rows steps"]:
        """The expected outputs, padded."""
        return self.columns[TOKENS]

    @property
    def determined(self) -> Bool[Tensor, "rows steps"]:
        """Whether each expected token is scored."""
        return self.columns[SCORED]

    @property
    def lengths(self) -> Int[Tensor, " rows"]:
        """The number of expected tokens of each row."""
        return self.columns[LENGTHS]

    @property
    def latent_rows(self) -> Int[Tensor, "rows ..."] | None:
        """The indices of the counterfactual latents, or `None` if the rows have none."""
        return self.columns.mapping().get(LATENT_ROWS)

    @property
    def variable(self) -> Int[Tensor, " rows"] | None:
        """The index of each row's variable, or `None` if all rows have the same one."""
        return self.columns.mapping().get(VARIABLE)

    def by_variable(self) -> dict[int, Int[Tensor, " of_variable"]]:
        """Return the indices of the rows of each variable, by its index."""
        if self.variable is None:
            return {0: torch.arange(len(self))}
        of_rows = self.variable.cpu()
        return {int(each): (of_rows == each).nonzero().squeeze(1) for each in of_rows.unique()}

    def of_variable(self, variable: int) -> "CounterfactualRows":
        """Return the rows as rows of one of several variables, by its index."""
        of_rows = torch.full((len(self),), variable, dtype=torch.int32, device=self.tokens.device)
        return replace(self, columns=self.columns.replaced(**{VARIABLE: of_rows}))

    @property
    def values(self) -> dict[str, Int[Tensor, " rows"]]:
        """The values of the target's variables after the swap. Empty if the rows are not from a causal model."""
        return self.columns.group(VALUE)

    @property
    def source_states(self) -> Float[Tensor, "rows ... width"]:
        """The states of the source."""
        return self.source.gather(self.columns[SOURCE_ROWS])

    @property
    def target_states(self) -> Float[Tensor, "rows ... width"]:
        """The states of the target before the swap."""
        return self.target.gather(self.columns[TARGET_ROWS])

    def take(self, index: Int[Tensor, " chosen"]) -> Batch:
        """Return a batch of some rows, with their states, on the target's device."""
        device = self.target.device
        needed = {name: self.columns[name] for name in self.columns if not name.startswith(VALUE)}
        rows = rows_of(needed, index)
        lengths = rows[LENGTHS].to(device).long()
        steps, numbers = int(lengths.max()), rows[TOKENS].is_floating_point()
        return Batch(
            self.source.gather(rows[SOURCE_ROWS]),
            self.target.gather(rows[TARGET_ROWS]),
            self.target.prefix,
            Places(
                rows[TRIAL].to(device).long(),
                rows[POSITION].to(device).long(),
                rows[LATER].to(device).long() if LATER in rows else None,
            ),
            rows[TOKENS][:, :steps].to(device).to(torch.float32 if numbers else torch.int64),
            rows[SCORED][:, :steps].to(device),
            lengths,
            (self.latents or self.target).gather(rows[LATENT_ROWS]) if LATENT_ROWS in rows else None,
            index,
            self.lower_layers,
            rows[ALLOWED].to(device).long() if ALLOWED in rows else None,
            self.loss_on_scored,
            rows[VARIABLE].to(device).long() if VARIABLE in rows else None,
        )

    @classmethod
    def joined(cls, parts: Sequence["CounterfactualRows"], site: Readable, store: Store) -> "CounterfactualRows":
        """Join the rows of one direction, whose target is `site`, in one table of the store."""
        first, missing = parts[0], Counter[tuple[int, ...]]()
        for part in parts:
            missing.update(part.missing_latents or {})
        columns = stored([part.columns for part in parts], store)
        return replace(
            first,
            columns=columns,
            missing_latents=None if first.missing_latents is None else dict(missing),
            lower_layers=_lower_layers(site, columns[TOKENS], store),
        )

    def shuffled(self, rng: np.random.Generator, site: Readable, store: Store) -> "CounterfactualRows":
        """Return the same swaps with expected outputs and latents shuffled among those of one variable."""
        of_rows = np.zeros(len(self), int) if self.variable is None else self.variable.cpu().numpy()
        order = torch.from_numpy(shuffle_within(of_rows, rng)).to(self.tokens.device)
        moved = {
            name: self.columns[name][order] for name in self.columns if name in _EXPECTED or name.startswith(VALUE)
        }
        return self.joined([replace(self, columns=self.columns.replaced(**moved))], site, store)


def _lower_layers(site: Readable, tokens: Num[Tensor, "rows steps"], store: Store) -> LowerLayerCache | None:
    if not isinstance(site, Site) or not site.feeds:
        return None
    return LowerLayerCache(site, len(tokens), tokens.shape[1], store)


def shuffle_within(groups: Int[np.ndarray, " rows"], rng: np.random.Generator) -> Int[np.ndarray, " rows"]:
    """Return a permutation of rows that moves each within its group."""
    order = np.arange(len(groups))
    for group in np.unique(groups):
        members = np.flatnonzero(groups == group)
        order[members] = rng.permutation(members)
    return order
