"""An alignment declared in a file or on the command line: its configuration, its sites and its data by reference."""

import json
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from pydantic import Field

from causalign.alignment.config import AlignmentConfig
from causalign.alignment.table_spec import TableSpec
from causalign.config_model import ConfigModel
from causalign.counterfactuals.dataset import Counterfactuals
from causalign.errors import InvalidArgument
from causalign.methods.base import Method
from causalign.search.boundary_rank import BoundaryRank
from causalign.search.rank_notation import rank_selection_of
from causalign.search.rank_selection import FixedRank, RankSelection, SmallestRank
from causalign.sites.base import Site
from causalign.sites.readable import Readable
from causalign.sites.uri import open_site


class AlignmentSpec(AlignmentConfig):
    """The configuration of an alignment, with its sites and its data by reference."""

    sites: tuple[str, ...] = Field(min_length=1, strict=False)
    """The sites: `zoo:TASK/ARCHITECTURE/SEED@SITE`, `hf:PATH@SITE`, the folder of a trained network, or the TOML file
    of a recording."""
    data: TableSpec | None = None
    """The table that the rows are from. By default they are drawn from the tasks of the sites."""

    @property
    def config(self) -> AlignmentConfig:
        """The configuration alone."""
        return AlignmentConfig(**{name: getattr(self, name) for name in AlignmentConfig.model_fields})

    def open_sites(self) -> list[Readable]:
        """Open the sites, on one device: where there is a GPU, a language model is on it.

        Raises:
            CausalignError: A site cannot be opened.
        """
        task = self.data is None
        return on_one_device([open_site(reference, with_task=task) for reference in self.sites])

    def dataset(self, sites: Sequence[Readable]) -> Counterfactuals | Sequence[Readable]:
        """Return the dataset of the table, or the sites themselves where rows are drawn from their tasks.

        Raises:
            CausalignError: The table cannot be read, or does not fit the sites.
        """
        if self.data is None:
            return sites
        return self.data.dataset(sites, seed=self.seed, memory=self.memory)


def on_one_device(sites: Sequence[Readable]) -> list[Readable]:
    """Return the sites on the first accelerator among them, if there is one."""
    device = next((site.device for site in sites if site.device.type != "cpu"), None)
    return list(sites) if device is None else [_moved(site, device) for site in sites]


def _moved(site: Readable, device: torch.device) -> Readable:
    """A site on that device; recordings have none."""
    if not isinstance(site, Site) or site.device == device:
        return site
    return site.network.to(device).site(site.at, site.task)


def read_spec(path: Path) -> dict[str, Any]:
    """Return the fields of a TOML or JSON file.

    Raises:
        InvalidArgument: The file cannot be read or parsed, or holds no table.
    """
    try:
        text = path.read_text(encoding="utf-8")
        fields = json.loads(text) if path.suffix == ".json" else tomllib.loads(text)
    except (OSError, UnicodeDecodeError, RecursionError, json.JSONDecodeError, tomllib.TOMLDecodeError) as error:
        raise InvalidArgument(f"cannot read the spec {path}: {getattr(error, 'strerror', None) or error}") from None
    if not isinstance(fields, dict):
        raise InvalidArgument(f"the spec {path} is not a table of fields")
    return fields


def override(fields: Mapping[str, Any], overrides: Mapping[tuple[str, ...], Any]) -> dict[str, Any]:
    """Return the fields of a spec with some replaced, by their path: `("search", "max_steps")`.

    A parameter of a method or of a rank selection is put into its table: a name becomes a table for it, and `auto` an
    empty one.

    Raises:
        InvalidArgument: A parameter has nothing to belong to.
    """
    changed = dict(fields)
    for path, value in sorted(overrides.items(), key=lambda item: len(item[0])):
        if len(path) == 1:
            changed[path[0]] = value
        else:
            changed[path[0]] = {**_as_table(path, changed.get(path[0])), path[1]: value}
    return changed


def _as_table(path: tuple[str, ...], value: object) -> dict[str, Any]:
    """Return the value of a field as a table that a parameter can be put into.

    Raises:
        InvalidArgument: The parameter does not belong to the value.
    """
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, ConfigModel):
        return {name: getattr(value, name) for name in value.model_fields_set}
    if isinstance(value, Method):
        return dict(value.parameters)
    if path[0] == "method":
        return {"name": value or "mas"}
    if path[0] != "rank":
        return {}
    selection = _selection_with(path[1]) if value is None else rank_selection_of(value)
    table = selection.declaration
    if not isinstance(table, Mapping) or path[1] not in table:
        raise InvalidArgument(
            "tolerance belongs to the rank auto, and trial_steps to several ranks such as 16,32, and max_rank and "
            f"boundary_... to the rank boundary; found {path[1]} with the rank {value}"
        )
    return dict(table)


def _selection_with(parameter: str) -> RankSelection:
    """The rank selection that a parameter alone stands for."""
    kinds: tuple[SmallestRank | BoundaryRank, ...] = (SmallestRank(), BoundaryRank())
    return next((each for each in kinds if parameter in each.declaration), FixedRank(16))
