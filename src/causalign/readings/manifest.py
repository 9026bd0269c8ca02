"""The manifest of a reading in a cache: the files of its tables. It is written last, and so names whole tables only."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from causalign.files import write_text
from causalign.readings.table_file import load_table


class Manifest:
    """The tables of a reading: that of the states, and those of the prefix by name.

    Args:
        path: The path of the manifest. The files of the tables are in its folder.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def write(self, states: tuple[Path, Tensor], prefix: Mapping[str, tuple[Path, Tensor]]) -> None:
        """Write the manifest of these files and their tables.

        Raises:
            FileFormatError: The file cannot be written.
        """
        content = {"states": _entry(*states), "prefix": {name: _entry(*each) for name, each in prefix.items()}}
        write_text(self.path, json.dumps(content, indent=1))

    def load(self) -> tuple[Tensor, dict[str, Tensor]] | None:
        """Return the states and the tables of the prefix, mapped from their files.

        Return `None` if one is missing or broken.
        """
        try:
            content = json.loads(self.path.read_text(encoding="utf-8"))
            entries = [("", content["states"]), *content["prefix"].items()]
            tables = dict(self._tables(entries))
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            return None
        if len(tables) < len(entries):
            return None
        return tables.pop(""), tables

    def _tables(self, entries: list[tuple[str, Any]]) -> Iterator[tuple[str, Tensor]]:
        for name, entry in entries:
            table = load_table(self.path.parent / entry["file"], entry["shape"], getattr(torch, entry["dtype"]))
            if table is not None:
                yield name, table


def _entry(path: Path, table: Tensor) -> dict[str, Any]:
    return {"file": path.name, "shape": [*table.shape], "dtype": str(table.dtype).removeprefix("torch.")}
