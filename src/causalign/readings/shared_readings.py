"""Readings that are shared: a cache on disk, which alignments and processes fill together and read from.

request --hash--> manifest in the folder? --yes--> tables, mapped from files
                        | no
                        lock; one forward pass for all sites of the network that were declared; files; manifests
"""

import hashlib
import logging
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from weakref import WeakKeyDictionary

import torch
from filelock import FileLock
from torch import Tensor
from typing_extensions import override

from causalign.errors import FileFormatError, InvalidArgument
from causalign.files import output_folder
from causalign.memory import GIB
from causalign.networks.base import Network
from causalign.readings.manifest import Manifest
from causalign.readings.network_identity import network_identity, same_modules
from causalign.readings.reading import Filling, Packed, Tables, read_request, reader, request_prefix
from causalign.readings.request import ReadingRequest
from causalign.readings.table_file import TableFile, load_table
from causalign.sites.base import Site, reader_of
from causalign.sites.readable import Readable
from causalign.storage import Store, forget_mapped_pages

_VERSION = "1"  # of the files; another one reads anew
_DIGITS = 24
_log = logging.getLogger("causalign")


class SharedReadings:
    """A cache of activations on disk, for several alignments of the same networks on the same inputs.

    The states of all sites of a network that are declared here are read in one forward pass of each input, with the
    prefixes of swaps (keys and values), when the first of them is needed. Alignments that follow, in this or in other
    processes, map the files. Two processes that need the same inputs wait for each other, so that one reads.

    A cache is keyed by the weights of a network, its structure and its logits on a probe, its device and precision, by
    the inputs, and by the positions that are kept. Sites that were not declared are read by themselves, and stored too.
    Sites of a user's own class are read anew every time, because nothing tells two of them apart.

    The values are those of a reading without a cache, bit by bit, where the sites that are read together have the same
    width. Otherwise inputs may be read in other chunks, and values differ by rounding.

    Sites that share a forward pass are of one kind: the residual streams of a network, or places found by hooks in it.
    Those of two kinds take two passes. The zoo's recurrent sites are read one after another.

    Main arguments:
        folder: The folder of the cache. It is made if there is none, and nothing in it is ever removed: `nbytes` is its
            size. A table of states takes states x width x bytes of a number. Keys and values of all layers are stored
            once for all sites of a network.
        sites: The sites that are read together.

    Attributes:
        inputs_read: The number of inputs that this process has read, by the name of the network. An input that two
            passes read counts twice. Probes of a few inputs, which tell networks apart, are not counted.
        uncached: The number of readings of sites of a user's own class, by the name of the site.

    Raises:
        FileFormatError: The folder cannot be written.
    """

    def __init__(self, folder: str | Path, sites: Sequence[Readable] = ()) -> None:
        self.folder = output_folder(Path(folder))
        self.sites = tuple(site for site in sites if isinstance(site, Site))
        self.inputs_read: Counter[str] = Counter()
        self.uncached: Counter[str] = Counter()
        self._identities: WeakKeyDictionary[Network, str] = WeakKeyDictionary()

    @property
    def nbytes(self) -> int:
        """The size of all files of the cache in bytes."""
        return sum(path.stat().st_size for path in self.folder.iterdir() if path.is_file())

    def __repr__(self) -> str:
        read = ", ".join(f"{count:,} inputs by {name}" for name, count in self.inputs_read.items())
        size = f"{self.nbytes / GIB:.2g} GiB"
        return f"SharedReadings({self.folder}, {size}, {len(self.sites)} sites declared; read here: {read or 'none'})"

    def refresh(self) -> None:
        """Forget which networks were seen, so that the weights of each are hashed again when it next reads.

        `align` calls it, because weights can change between two alignments.
        """
        self._identities.clear()

    def read(self, site: Site, request: ReadingRequest, store: Store) -> Packed:
        """Return the states and the prefix that a site reads, from the cache or from its network.

        Args:
            site: The site.
            request: What is read.
            store: The store of tables that are not mapped from the cache.

        Raises:
            InvalidArgument: States are NaN or infinite.
            FileFormatError: The folder cannot be written.
            OutOfMemory: The disk is full.
        """
        if not type(site).__module__.startswith("causalign."):
            self.uncached[site.name] += 1
            return read_request(site, request, store)
        files = _Files(self.folder, _input_digest(self._identity(site.network), request), request)
        found = files.load(site)
        if found is None:
            with self._lock(files.inputs):
                found = files.load(site)
                if found is None:
                    self._fill(site, files)
                    found = files.load(site)
        if found is None:
            raise FileFormatError(f"{self.folder}: readings of {site.name} are gone as soon as they are written")
        states, prefix = found
        prefix = {name: store.near(table, site.device) for name, table in prefix.items()}
        return store.near(states, site.device), request_prefix(request, prefix, site.device)

    def _identity(self, network: Network) -> str:
        for known, identity in self._identities.items():
            if same_modules(known, network):
                return identity
        with self._lock("networks"):
            self._identities[network] = network_identity(network, self.folder)
        return self._identities[network]

    def _lock(self, name: str) -> FileLock:
        return FileLock(self.folder / f"{name}.lock")

    def _together(self, site: Site, files: "_Files") -> list[Site]:
        """Return the sites that are read with a site: this one, then the declared ones that have not been read.

        A declared site at the same place of a copy of the network stands for it, so that its neighbours can be read.
        """
        declared = [
            each
            for each in self.sites
            if reader_of(type(each)) is reader_of(type(site))
            and each.device == site.device
            and self._identity(each.network) == self._identity(site.network)
        ]
        first = next((each for each in declared if _label(each) == _label(site)), site)
        if same_modules(first.network, site.network):
            first = site
        together = {_label(first): first}
        for each in declared:
            if same_modules(each.network, first.network) and files.load(each) is None:
                together.setdefault(_label(each), each)
        return [*together.values()]

    def _fill(self, site: Site, files: "_Files") -> None:
        """Read a site and those that are read with it, and write their files."""
        sites = self._together(site, files)
        try:
            self._read(sites, files)
        except InvalidArgument as error:
            if len(sites) == 1:
                raise
            _log.warning("%s is read by itself: with %d others, %s", site.name, len(sites) - 1, error)
            self._read(sites[:1], files)

    def _read(self, sites: Sequence[Site], files: "_Files") -> None:
        request, read = files.request, reader(sites, files.request)
        passes = len(sites) if reader_of(type(sites[0])) is Site else 1
        with _FileTables(files) as tables:
            filling = Filling(sites, request, tables)
            for chunk, time in request.chunks(min(request.step(each) for each in sites)):
                self.inputs_read[sites[0].network.name] += passes * len(chunk)
                filling.add(chunk, read(chunk, time))
                forget_mapped_pages()
            tables.keep(filling)
        for index, reason in filling.refused.items():
            _log.warning("readings of %s are not kept: %s", sites[index].name, reason)


@dataclass(frozen=True)
class _Files:
    """The files of a request in a folder."""

    folder: Path
    inputs: str
    """The hash of the network and the inputs."""
    request: ReadingRequest

    def manifest(self, site: Site, with_prefix: bool) -> Manifest:
        """Return the manifest of a site, which may not exist."""
        prefix = f"prefix {self.request.stepwise}" if with_prefix else "states"
        return Manifest(self.folder / f"{_hash(self.inputs, self._kept, _label(site), prefix)}.json")

    def load(self, site: Site) -> tuple[Tensor, dict[str, Tensor]] | None:
        """Return the states and the tables of the prefix of a site, or `None` if they are not there."""
        found = self.manifest(site, True).load()
        if found is not None and not self.request.with_prefix:
            return found[0], {}
        return found if found is not None or self.request.with_prefix else self.manifest(site, False).load()

    def states(self, site: Site) -> Path:
        """Return the file of the states of a site."""
        return self.folder / f"{_hash(self.inputs, self._kept, _label(site))}.safetensors"

    def prefix(self, site: Site, name: str) -> Path:
        """Return the file of a table of the prefix of a site, which may be shared by all sites of its class."""
        whose = reader_of(type(site)).__name__ if site.shares_prefix else _label(site)
        return self.folder / f"{_hash(self.inputs, whose, name)}.safetensors"

    @property
    def _kept(self) -> str:
        kept = self.request.kept
        return hashlib.sha256(f"{kept.shape}".encode() + kept.tobytes()).hexdigest()


class _FileTables(Tables):
    """Tables in new files, which are discarded at the end of the context unless they are kept."""

    def __init__(self, files: _Files) -> None:
        self._files = files
        self._made: dict[Path, TableFile] = {}
        self._there: dict[Path, Tensor] = {}

    def __enter__(self) -> "_FileTables":
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


def _label(site: Site) -> str:
    """Return what tells the sites of a network apart."""
    return f"{type(site).__qualname__} {site.at} {site.width}"


def _hash(*parts: str) -> str:
    return hashlib.sha256("\n".join((_VERSION, *parts)).encode()).hexdigest()[:_DIGITS]


def _input_digest(identity: str, request: ReadingRequest) -> str:
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
