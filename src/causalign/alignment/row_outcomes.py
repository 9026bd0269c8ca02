"""The outcome of every scored row of an alignment, and the file that keeps them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from jaxtyping import Bool, Int

from causalign.counterfactuals.direction import Direction
from causalign.errors import FileFormatError
from causalign.files import read_tensors, write_tensors

ROWS = "rows.safetensors"
_INDEX, _VARIABLE = "row", "variable"


@dataclass(frozen=True, eq=False)
class DirectionOutcomes:
    """The outcomes of the test rows of one direction."""

    correct: Bool[np.ndarray, " rows"]
    """Whether the expected output is produced after the swap."""
    no_swap: Bool[np.ndarray, " rows"]
    """Whether it is produced with nothing swapped."""


@dataclass(frozen=True, eq=False)
class RowOutcomes:
    """The outcomes of every scored direction."""

    index: Int[np.ndarray, " rows"]
    """The place of each test row in the data that it is from."""
    variable: Int[np.ndarray, " rows"]
    """The index of the variable of each test row."""
    directions: Mapping[Direction, DirectionOutcomes]

    def table(self, names: Sequence[str], variables: Mapping[Direction, Sequence[str]]) -> pd.DataFrame:
        """Return a line for each row of each direction: `source, target, variable, row, correct, no_swap`.

        Args:
            names: The names of the sites.
            variables: The names of the variables in each direction.
        """
        parts = [
            pd.DataFrame(
                {
                    "source": names[source],
                    "target": names[target],
                    "variable": np.array(variables[Direction(source, target)], dtype=object)[self.variable],
                    "row": self.index,
                    "correct": outcomes.correct,
                    "no_swap": outcomes.no_swap,
                }
            )
            for (source, target), outcomes in self.directions.items()
        ]
        columns = ["source", "target", "variable", "row", "correct", "no_swap"]
        return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=columns)

    def save(self, folder: Path) -> None:
        """Write `rows.safetensors`.

        It holds `row` and `variable` and, by the indices of the sites, `SOURCE.TARGET.correct` and `.no_swap`.
        """
        tensors = {_INDEX: torch.from_numpy(self.index), _VARIABLE: torch.from_numpy(self.variable)}
        for (source, target), outcomes in self.directions.items():
            tensors[f"{source}.{target}.correct"] = torch.from_numpy(outcomes.correct)
            tensors[f"{source}.{target}.no_swap"] = torch.from_numpy(outcomes.no_swap)
        write_tensors(folder / ROWS, tensors)

    @classmethod
    def load(cls, folder: Path) -> "RowOutcomes":
        """Read what `save` has written.

        Raises:
            FileFormatError: The file is missing, broken, or lacks an entry.
        """
        tensors, _ = read_tensors(folder / ROWS)
        arrays = {name: tensor.numpy() for name, tensor in tensors.items()}
        try:
            index, variable = arrays.pop(_INDEX), arrays.pop(_VARIABLE)
            keys = dict.fromkeys(tuple(map(int, name.split(".")[:2])) for name in arrays)
            directions = {
                Direction(*key): DirectionOutcomes(
                    arrays[f"{key[0]}.{key[1]}.correct"], arrays[f"{key[0]}.{key[1]}.no_swap"]
                )
                for key in sorted(keys)
            }
        except (KeyError, ValueError, TypeError) as error:
            raise FileFormatError(f"{folder / ROWS}: not the rows of an alignment ({error})") from None
        return cls(index, variable, directions)
