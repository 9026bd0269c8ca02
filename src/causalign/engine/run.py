"""Runs of targets from swapped states."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from jaxtyping import Bool, Float, Int, Num
from torch import Tensor

from causalign.engine.batch import Batch
from causalign.engine.chunked_readout import next_token_loss, predictions
from causalign.sites.base import Continuation, Places, Site, require_site
from causalign.sites.prefix import Prefix
from causalign.sites.readable import Readable


@dataclass(frozen=True, eq=False)
class Run:
    """The run of a batch from swapped states, packed: one entry per expected token."""

    site: Site
    features: Float[Tensor, "tokens features"]
    """The features from which the site reads out each prediction."""
    tokens: Num[Tensor, " tokens"]
    """The expected tokens or, for a regression, numbers."""
    determined: Bool[Tensor, " tokens"]
    """Whether each token is scored."""
    trial: Int[Tensor, " tokens"]
    """The row of each token, counted through all batches."""
    trials: int
    """The number of rows."""
    allowed: Int[Tensor, "trials alternatives"] | None = None
    """Further correct ids of rows with a single scored token, padded with -100."""
    loss_on_scored: bool = False
    """Whether the loss is over the scored tokens only."""

    def loss(self) -> Float[Tensor, ""]:
        """Return the loss of the output, summed over all expected tokens or over the scored ones.

        It is the cross-entropy or, for a regression, half the squared error.
        """
        if self.site.network.regression is not None:
            return self.site.network.regression.loss(self.site.read_out(self.features), self.tokens)
        read_out, known = self.site.read_out, self.site.network.known
        if not self.loss_on_scored:
            return next_token_loss(read_out, self.features, self.tokens, known)
        scored = self.scored
        return next_token_loss(read_out, self.features[scored], self.expected(scored), known)

    @property
    def scored(self) -> Int[Tensor, " scored"]:
        """The indices of the scored tokens."""
        return self.determined.nonzero().squeeze(1)

    def expected(self, entries: Int[Tensor, " entries"]) -> Num[Tensor, "entries ..."]:
        """Return the expected ids at some entries, `[entries]`.

        If rows have several correct ids, return all of them, `[entries, ids]`, padded with -100.
        """
        tokens = self.tokens[entries]
        if self.allowed is None:
            return tokens
        return torch.cat([tokens[:, None], self.allowed[self.trial[entries]]], dim=1)

    def correct(self) -> Bool[Tensor, " trials"]:
        """Return whether every scored token of each row is predicted (argmax), in the order of the batches.

        A number of a regression is, where it is within the tolerance.
        """
        scored = self.scored
        expected, regression = self.expected(scored), self.site.network.regression
        if regression is not None:
            hit = regression.correct(self.site.read_out(self.features[scored]), expected)
        else:
            predicted = predictions(self.site.read_out, self.features[scored], self.site.network.known)
            hit = predicted == expected if expected.dim() == 1 else (predicted[:, None] == expected).any(1)
        right = torch.ones(self.trials, dtype=torch.bool, device=hit.device)
        return right.index_fill(0, self.trial[scored[~hit]], False)


def run_interventions(
    site: Readable, batches: Sequence[Batch], swapped: Sequence[Float[Tensor, "trials ... width"]]
) -> Run:
    """Run a target on from swapped states, with all batches as a single one.

    Rows are sorted by length, so that rows that have ended need no more work.

    Args:
        site: The site of the target.
        batches: The batches of rows into the target.
        swapped: The states after the swap, for each batch: `[rows, width]` or, stepwise, `[rows, steps, width]`.

    Raises:
        InvalidArgument: The site is a recording.
    """
    site = require_site(site, "interventions run their target")
    lengths = torch.cat([batch.lengths for batch in batches])
    order = lengths.argsort(descending=True, stable=True)
    tokens = _together([batch.tokens for batch in batches])[order]
    determined = _together([batch.determined for batch in batches])[order]
    states = _together(swapped)[order].to(site.dtype)  # a search may run its networks at another precision
    prefix, places = _one_table(batches)
    continuation = Continuation.pack(tokens, lengths[order])
    fed = [each for batch in batches if (each := batch.fed()) is not None]
    if len(fed) == len(batches):
        behind, step = continuation.behind_first
        continuation = replace(continuation, fed=_together(fed)[order[behind], step].to(site.dtype))
    several = site.run_from_steps if places.later is None else site.run_from_positions
    run_from = site.run_from if states.dim() == 2 else several
    features = run_from(prefix, places.take(order), states, continuation)
    trial = order[continuation.trial]
    determined = determined[continuation.trial, continuation.step]
    allowed = None
    if batches[0].allowed is not None:
        allowed = _together([batch.allowed for batch in batches if batch.allowed is not None])
    scored_only = batches[0].loss_on_scored
    return Run(site, features, continuation.tokens, determined, trial, len(lengths), allowed, scored_only)


def _together(parts: Sequence[Tensor]) -> Tensor:
    """Concatenate tensors along the first dimension, the second padded to the widest."""
    longest = max(part.shape[1] for part in parts)
    pads = [[0, 0] * (part.dim() - 2) + [0, longest - part.shape[1]] for part in parts]
    return torch.cat([torch.nn.functional.pad(part, pad) for part, pad in zip(parts, pads, strict=True)])


def _one_table(batches: Sequence[Batch]) -> tuple[Prefix, Places]:
    """Return the prefix and the places of all batches. Batches of one dataset share a prefix, and nothing is copied."""
    tables = list({id(batch.prefix): batch.prefix for batch in batches}.values())
    places = Places.joined([batch.places for batch in batches])
    if len(tables) == 1 or not tables[0].tables:
        return tables[0], places
    together = Prefix.joined([batch.prefix.take(batch.places.trial) for batch in batches])
    return together, replace(places, trial=torch.arange(len(places.trial), device=places.trial.device))
