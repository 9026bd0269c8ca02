"""The prefix of a swap: everything that precedes it, in tables with one entry for each token.

The tables are packed, so that one long input does not widen all others.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Int, Shaped
from torch import Tensor


@dataclass(frozen=True, eq=False)
class Prefix:
    """Everything that may precede a swap in some inputs, computed once."""

    tables: Mapping[str, Shaped[Tensor, "tokens ..."]]
    """The tables by name. Each site decides what its tables hold."""
    starts: Int[Tensor, " trials"]
    """The entry of each input's first token."""
    lengths: Int[Tensor, " trials"]
    """The number of entries of each input."""

    @classmethod
    def empty(cls) -> "Prefix":
        """Return the prefix of a site whose state alone determines what follows."""
        return cls({}, torch.zeros(0, dtype=torch.long), torch.zeros(0, dtype=torch.long))

    @classmethod
    def padded(cls, tables: Mapping[str, Shaped[Tensor, "trials time ..."]]) -> "Prefix":
        """Return the prefix with these tables, which have the same number of entries for every input."""
        if not tables:
            return cls.empty()
        first = next(iter(tables.values()))
        trials, time = first.shape[:2]
        starts = torch.arange(trials, device=first.device) * time
        return cls({name: table.flatten(0, 1) for name, table in tables.items()}, starts, torch.full_like(starts, time))

    @classmethod
    def joined(cls, parts: Sequence["Prefix"]) -> "Prefix":
        """Return one prefix of several sets of inputs, one set after another."""
        if not parts[0].tables:
            return parts[0]
        tables = {name: torch.cat([part.tables[name] for part in parts]) for name in parts[0].tables}
        sizes = [len(next(iter(part.tables.values()))) for part in parts]
        offsets = [sum(sizes[:index]) for index in range(len(sizes))]
        starts = torch.cat([part.starts + offset for part, offset in zip(parts, offsets, strict=True)])
        return cls(tables, starts, torch.cat([part.lengths for part in parts]))

    @property
    def nbytes(self) -> int:
        """The size of all tables in bytes."""
        return sum(table.nbytes for table in self.tables.values())

    def at(
        self, name: str, trial: Int[Tensor, " chosen"], position: Int[Tensor, " chosen"]
    ) -> Shaped[Tensor, "chosen ..."]:
        """Return the entries at one position of each of some inputs, on the device of `trial`.

        Args:
            name: The name of the table.
            trial: The indices of the inputs.
            position: The position in each of them.
        """
        table = self.tables[name]
        index = self.starts[trial.to(self.starts.device)] + position.to(self.starts.device)
        return table[index.to(table.device)].to(trial.device)

    def before(self, name: str, trial: Int[Tensor, " chosen"], length: int) -> Shaped[Tensor, "chosen length ..."]:
        """Return the first `length` entries of some inputs, on the device of `trial`.

        The last entry of an input that is shorter is repeated.

        Args:
            name: The name of the table.
            trial: The indices of the inputs.
            length: The number of entries of each.
        """
        table, trial_here = self.tables[name], trial.to(self.starts.device)
        last = (self.lengths[trial_here] - 1).clamp(min=0)[:, None]
        column = torch.arange(length, device=last.device)
        index = self.starts[trial_here][:, None] + torch.minimum(column, last)
        found = table.index_select(0, index.flatten().to(table.device))
        return found.unflatten(0, index.shape).to(trial.device)

    def take(self, trial: Int[Tensor, " chosen"]) -> "Prefix":
        """Return the prefix of some inputs, by their indices."""
        if not self.tables:
            return self
        trial = trial.to(self.starts.device)
        lengths = self.lengths[trial]
        starts = lengths.cumsum(0) - lengths
        within = torch.arange(int(lengths.sum()), device=lengths.device) - starts.repeat_interleave(lengths)
        index = self.starts[trial].repeat_interleave(lengths) + within
        return Prefix({name: table[index.to(table.device)] for name, table in self.tables.items()}, starts, lengths)
