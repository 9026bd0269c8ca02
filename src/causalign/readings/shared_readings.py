"""Readings that are shared: a cache on disk, which alignments and processes fill together and read from.

request --hash--> manifest in the folder? --yes--> tables, mapped from files
                        | no
                        lock; one forward pass for all sites of the network that were declared; files; manifests
"""

import logging
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from weakref import WeakKeyDictionary

from filelock import FileLock

from causalign.errors import FileFormatError, InvalidArgument
from causalign.files import output_folder
from causalign.memory import GIB
from causalign.networks.base import Network
from causalign.readings.cache_files import CacheFiles, CacheTables, input_digest, site_label
from causalign.readings.network_identity import network_identity, same_modules
from causalign.readings.reading import Filling, Packed, read_request, reader, request_prefix
from causalign.readings.request import ReadingRequest
from causalign.sites.base import Site, reader_of
from causalign.sites.readable import Readable
from causalign.storage import Store, forget_mapped_pages

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
        return sum(_size(path) for path in self.folder.iterdir())

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
        files = CacheFiles(self.folder, input_digest(self._identity(site.network), request), request)
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

    def _together(self, site: Site, files: CacheFiles) -> list[Site]:
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
        first = next((each for each in declared if site_label(each) == site_label(site)), site)
        if same_modules(first.network, site.network):
            first = site
        together = {site_label(first): first}
        for each in declared:
            if same_modules(each.network, first.network) and files.load(each) is None:
                together.setdefault(site_label(each), each)
        return [*together.values()]

    def _fill(self, site: Site, files: CacheFiles) -> None:
        """Read a site and those that are read with it, and write their files."""
        sites = self._together(site, files)
        try:
            self._read(sites, files)
        except InvalidArgument as error:
            if len(sites) == 1:
                raise
            _log.warning("%s is read by itself: with %d others, %s", site.name, len(sites) - 1, error)
            self._read(sites[:1], files)

    def _read(self, sites: Sequence[Site], files: CacheFiles) -> None:
        request, read = files.request, reader(sites, files.request)
        passes = len(sites) if reader_of(type(sites[0])) is Site else 1
        with CacheTables(files) as tables:
            filling = Filling(sites, request, tables)
            for chunk, time in request.chunks(min(request.step(each) for each in sites)):
                self.inputs_read[sites[0].network.name] += passes * len(chunk)
                filling.add(chunk, read(chunk, time))
                forget_mapped_pages()
            tables.keep(filling)
        for index, reason in filling.refused.items():
            _log.warning("readings of %s are not kept: %s", sites[index].name, reason)


def _size(path: Path) -> int:
    """Return the size of a file, which another process may have given another name by now."""
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0
