"""Reading: from the inputs of a request to tables of states and prefixes.

inputs, a chunk at a time --read_together--> states and prefix of every site --the places that are kept--> tables
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor
from typing_extensions import override

from causalign.errors import InvalidArgument
from causalign.readings.request import ReadingRequest
from causalign.sites.base import Site, read_together
from causalign.sites.prefix import Prefix
from causalign.sites.readable import Readable, Reading, finite
from causalign.storage import Store, forget_mapped_pages

Packed = tuple[Float[Tensor, "rows width"], Prefix]
"""The states at the places that are kept, in the order of inputs and positions, and the prefix of all inputs."""
Read = Callable[[Int[np.ndarray, " chunk"], int], Sequence[Reading]]
"""A function that reads some inputs, up to a length, for every site."""


class Tables(ABC):
    """A place for tables: a store in memory, or files."""

    @abstractmethod
    def states(self, site: Readable, rows: int) -> Tensor:
        """Return the table of the states of a site, to be filled."""

    @abstractmethod
    def prefix(self, site: Readable, name: str, rows: int, like: Tensor) -> Tensor | None:
        """Return a table of the prefix of a site, with entries like those of a tensor; `None` if it is filled."""


class StoreTables(Tables):
    """Tables of one site in a store.

    Args:
        store: The store.
    """

    def __init__(self, store: Store) -> None:
        self._store = store

    @override
    def states(self, site: Readable, rows: int) -> Tensor:
        return self._store.table([rows, site.width], site.dtype, site.device)

    @override
    def prefix(self, site: Readable, name: str, rows: int, like: Tensor) -> Tensor:
        return self._store.table([rows, *like.shape[1:]], like.dtype, like.device)


def read_request(site: Site, request: ReadingRequest, store: Store) -> Packed:
    """Read a request for one site into a store.

    Raises:
        InvalidArgument: States are NaN or infinite.
    """
    return fill_tables(site, request, reader([site], request), store)


def reader(sites: Sequence[Site], request: ReadingRequest) -> Read:
    """Return the function that reads inputs of a request for sites of one network with the same reader."""
    return lambda chunk, time: read_together(
        sites, request.inputs(chunk, time), stepwise=request.stepwise, with_prefix=request.with_prefix
    )


def fill_tables(site: Readable, request: ReadingRequest, read: Read, store: Store) -> Packed:
    """Read a request for one site by a function into a store.

    Raises:
        InvalidArgument: States are NaN or infinite.
    """
    filling = Filling([site], request, StoreTables(store))
    for chunk, time in request.chunks(request.step(site)):
        filling.add(chunk, read(chunk, time))
        forget_mapped_pages()
    return filling.states[0], request_prefix(request, filling.prefix(0), site.device)


def request_prefix(request: ReadingRequest, tables: dict[str, Tensor], device: torch.device) -> Prefix:
    """Return the prefix of the inputs of a request with these tables."""
    where = next(iter(tables.values())).device if tables else device
    return Prefix(tables, torch.from_numpy(request.starts).to(where), torch.from_numpy(request.lengths).to(where))


class Filling:
    """Tables of several sites that are filled a chunk at a time. A table that sites share is filled once.

    The first site is the one that is asked for. Another whose states are NaN or infinite is left out.

    Args:
        sites: The sites.
        request: The request.
        tables: The place for the tables.
    """

    def __init__(self, sites: Sequence[Readable], request: ReadingRequest, tables: Tables) -> None:
        self.sites, self._request, self._tables = sites, request, tables
        self.states = [tables.states(site, request.states) for site in sites]
        """The table of the states of each site."""
        self._prefixes: dict[tuple[int | None, str], Tensor | None] = {}
        self.names: list[dict[str, None]] = [{} for _ in sites]
        """The names of the tables of the prefix of each site, shared ones included."""
        self.refused: dict[int, str] = {}
        """The sites that are left out, by index, and why."""

    def add(self, chunk: Int[np.ndarray, " chunk"], readings: Sequence[Reading]) -> None:
        """Keep what was read of some inputs.

        Raises:
            InvalidArgument: States of the first site are NaN or infinite.
        """
        shared = set[str]()
        for index, (found, before) in enumerate(readings):
            if index in self.refused or not self._is_finite(index, found):
                continue
            self._add_states(index, chunk, found)
            self.names[index].update(dict.fromkeys(before.tables))
            for name, part in before.tables.items():
                if name not in shared:
                    self._add_prefix(index, chunk, (name, part))
            if self._shares(index):
                shared |= set(before.tables)

    def prefix(self, index: int) -> dict[str, Tensor]:
        """Return the tables of the prefix of a site that were filled, by name."""
        tables = {name: self._prefixes[self._whose(index), name] for name in self.names[index]}
        return {name: table for name, table in tables.items() if table is not None}

    def _is_finite(self, index: int, found: Float[Tensor, "chunk time width"]) -> bool:
        try:
            finite(found, self.sites[index])
        except InvalidArgument as error:
            if index == 0:
                raise
            self.refused[index] = str(error)
        return index not in self.refused

    def _shares(self, index: int) -> bool:
        site = self.sites[index]
        return isinstance(site, Site) and site.shares_prefix

    def _whose(self, index: int) -> int | None:
        return None if self._shares(index) else index

    def _add_states(
        self, index: int, chunk: Int[np.ndarray, " chunk"], found: Float[Tensor, "chunk time width"]
    ) -> None:
        table, kept = self.states[index], self._request.kept[chunk, : found.shape[1]]
        chosen = found[:, : kept.shape[1]][torch.from_numpy(kept).to(found.device)]
        table[self._request.state_entries(chunk).to(table.device)] = chosen.to(table.device)

    def _add_prefix(self, index: int, chunk: Int[np.ndarray, " chunk"], entry: tuple[str, Tensor]) -> None:
        (name, part), request, key = entry, self._request, (self._whose(index), entry[0])
        if key not in self._prefixes:
            self._prefixes[key] = self._tables.prefix(self.sites[index], name, int(request.lengths.sum()), part)
        table = self._prefixes[key]
        if table is None:
            return
        lengths = request.lengths[chunk]
        here = torch.from_numpy((np.arange(int(lengths.max())) < lengths[:, None]).flatten())
        table[request.prefix_entries(chunk).to(table.device)] = part[here.to(part.device)].to(table.device)
