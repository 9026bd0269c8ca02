"""The files of a cache: tables that sites share where their values are the same, and a manifest for each site."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from typing_extensions import override

from causalign.readings.manifest import Manifest
from causalign.readings.reading import Filling, Tables
from causalign.readings.request import ReadingRequest
from causalign.readings.table_file import TableFile, load_table
from causalign.sites.base import Site, reader_of
from causalign.sites.readable import Readable

_VERSION = "1"  # of the files; another one reads anew
_DIGITS = 24


@dataclass(frozen=True)
class CacheFiles:
    """The files of a request in a folder."""

    folder: Path
    inputs: str
    """The hash of the network and the inputs."""
    request: ReadingRequest

    def manifest(self, site: Site, with_prefix: bool) -> Manifest:
        """Return the manifest of a site, which may not exist."""
        prefix = f"prefix {self.request.stepwise}" if with_prefix else "states"
        return Manifest(self.folder / f"{_hash(self.inputs, self._kept, site_label(site), prefix)}.json")

    def load(self, site: Site) -> tuple[Tensor, dict[str, Tensor]] | None:
        """Return the states and the tables of the prefix of a site, or `None` if they are not there."""
        found = self.manifest(site, True).load()
        if found is not None and not self.request.with_prefix:
            return found[0], {}
        return found if found is not None or self.request.with_prefix else self.manifest(site, False).load()

    def states(self, site: Site) -> Path:
        """Return the file of the states of a site."""
        return self.folder / f"{_hash(self.inputs, self._kept, site_label(site))}.safetensors"

    def prefix(self, site: Site, name: str) -> Path:
        """Return the file of a table of the prefix of a site, which may be shared by all sites of its class."""
        whose = reader_of(type(site)).__name__ if site.shares_prefix else site_label(site)
        return self.folder / f"{_hash(self.inputs, whose, name)}.safetensors"

    @property
    def _kept(self) -> str:
        kept = self.request.kept
        return hashlib.sha256(f"{kept.shape}".encode() + kept.tobytes()).hexdigest()


class CacheTables(Tables):
    """Tables in new files, which are discarded at the end of the context unless they are kept."""

    def __init__(self, files: CacheFiles) -> None:
        self._files = files
        self._made: dict[Path, TableFile] = {}
        self._there: dict[Path, Tensor] = {}

    def __enter__(self) -> "CacheTables":
        return self

    def __exit__(self, *_: object) -> None:
        for each in self._made.values():
            each.discard()

    def _table(self, path: Path, shape: Sequence[int], dtype: torch.dtype) -> Tensor:
        self._made[path] = TableFile(path, shape, dtype)
        return self._made[path].table

    @override
    def states(self, site: Readable, rows: int) -> Tensor:
        assert isinstance(site, Site)
        return self._table(self._files.states(site), [rows, site.width], site.dtype)

    @override
    def prefix(self, site: Readable, name: str, rows: int, like: Tensor) -> Tensor | None:
        assert isinstance(site, Site)
        path, shape = self._files.prefix(site, name), [rows, *like.shape[1:]]
        if path in self._there:
            return None
        before = load_table(path, shape, like.dtype)
        if before is not None:
            self._there[path] = before
            return None
        return self._table(path, shape, like.dtype)

    def keep(self, filling: Filling) -> None:
        """Give the files their names, and write the manifest of every site that was not refused.

        Raises:
            FileFormatError: A file cannot be written.
        """
        sites = [site for site in filling.sites if isinstance(site, Site)]
        for index in filling.refused:
            self._made.pop(self._files.states(sites[index])).discard()
        for each in self._made.values():
            each.keep()
        tables = {path: each.table for path, each in self._made.items()} | self._there
        for index, site in enumerate(sites):
            if index not in filling.refused:
                states = self._files.states(site)
                paths = {name: self._files.prefix(site, name) for name in filling.names[index]}
                of_prefix = {name: (path, tables[path]) for name, path in paths.items()}
                manifest = self._files.manifest(site, self._files.request.with_prefix)
                manifest.write((states, tables[states]), of_prefix)


def site_label(site: Site) -> str:
    """Return what tells the sites of a network apart."""
    return f"{type(site).__qualname__} {site.at} {site.width}"


def _hash(*parts: str) -> str:
    return hashlib.sha256("\n".join((_VERSION, *parts)).encode()).hexdigest()[:_DIGITS]


def input_digest(identity: str, request: ReadingRequest) -> str:
    """Return the hash of a network and of the inputs that it reads."""
    digest = hashlib.sha256(f"{_VERSION} {identity} {request.present.shape}".encode() + request.present.tobytes())
    for chunk, time in request.chunks():
        of = request.inputs(chunk, time)
        for name, each in of.items() if isinstance(of, Mapping) else (("", of),):
            digest.update(f"{name} {each.dtype} {list(each.shape)}".encode() + _bytes(each))
    return digest.hexdigest()[:_DIGITS]


def _bytes(tensor: Any) -> bytes:
    whole: Tensor = tensor.detach().cpu().contiguous().flatten()
    return whole.view(torch.uint8).numpy().tobytes()
