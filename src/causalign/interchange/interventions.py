"""Interventions: all that a swap in one direction needs, computed once."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from causalign.sites import Continuation, Prepared, Site


class Direction(NamedTuple):
    """From which site to which: two indices into a list of sites."""

    source: int
    target: int


@dataclass(frozen=True, eq=False)
class Interventions:
    """The interventions of one direction: states to swap, what precedes them, and the continuation to be predicted."""

    source_states: Float[Tensor, "trials source_width"]
    target_states: Float[Tensor, "trials target_width"]
    prepared: Prepared
    tokens: Int[Tensor, "trials steps"]
    """The counterfactual continuation, in the target network's ids, padded."""
    determined: Bool[Tensor, "trials steps"]
    lengths: Int[Tensor, " trials"]
    values: Mapping[str, Int[Tensor, " trials"]]
    """The value of every variable of the target's task once the swap is made."""

    def __len__(self) -> int:
        return len(self.lengths)

    def take(self, index: Int[Tensor, " chosen"]) -> "Interventions":
        """Some of them."""
        return Interventions(
            self.source_states[index],
            self.target_states[index],
            {name: part[index] for name, part in self.prepared.items()},
            self.tokens[index],
            self.determined[index],
            self.lengths[index],
            {name: value[index] for name, value in self.values.items()},
        )


@dataclass(frozen=True, eq=False)
class Run:
    """The continuations of a batch run on from swapped states, packed: one entry a token."""

    logits: Float[Tensor, "tokens vocabulary"]
    tokens: Int[Tensor, " tokens"]
    """The tokens to be predicted."""
    determined: Bool[Tensor, " tokens"]
    trial: Int[Tensor, " tokens"]
    """Which row of the batches, one after another, a token belongs to."""
    trials: int

    def correct(self) -> Bool[Tensor, " trials"]:
        """Whether every determined token of a trial is predicted (argmax), trial by trial as they were given."""
        wrong = self.determined & (self.logits.argmax(-1) != self.tokens)
        return torch.ones(self.trials, dtype=torch.bool, device=wrong.device).index_fill(0, self.trial[wrong], False)


def run_swapped(site: Site, batches: Sequence[Interventions], swapped: Sequence[Float[Tensor, "trials width"]]) -> Run:
    """Run batches of interventions into one site on, from their swapped states, as a single batch.

    Trials are sorted by length on the way in, so that those that have ended drop out of the work.
    """
    longest = max(batch.tokens.shape[1] for batch in batches)
    lengths = torch.cat([batch.lengths for batch in batches])
    order = lengths.argsort(descending=True, stable=True)
    tokens = torch.cat([_widened(batch.tokens, longest) for batch in batches])[order]
    determined = torch.cat([_widened(batch.determined, longest) for batch in batches])[order]
    prepared = {k: torch.cat([batch.prepared[k] for batch in batches])[order] for k in batches[0].prepared}
    continuation = Continuation.pack(tokens, lengths[order])
    logits = site.resume(prepared, torch.cat(list(swapped))[order], continuation)
    trial = order[continuation.trial]
    return Run(logits, continuation.tokens, determined[continuation.trial, continuation.step], trial, len(lengths))


def _widened(rows: Tensor, steps: int) -> Tensor:
    return torch.nn.functional.pad(rows, (0, steps - rows.shape[1]))
