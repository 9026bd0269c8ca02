"""The context of one call: its random streams, its store of tables, its callback, its timer and its journal."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import numpy as np
import torch

from causalign.callbacks import Callback, ProgressUpdate, silent
from causalign.journal import Journal
from causalign.random_streams import numpy_stream, torch_stream
from causalign.readings.reading import Packed, read_request
from causalign.readings.request import ReadingRequest
from causalign.readings.shared_readings import SharedReadings
from causalign.sites.base import Site
from causalign.storage import Store
from causalign.timer import Timer


@dataclass(frozen=True, eq=False)
class RunContext:
    """The context of one call, which all its stages share.

    Attributes:
        seed: The seed of the random streams.
        store: The store of tables.
        callback: The callback that receives progress updates.
        timer: The timer of the stages.
        journal: The journal of the searches. By default it keeps nothing.
        readings: The cache of activations that alignments share. By default, every call reads for itself.
    """

    seed: int = 0
    store: Store = field(default_factory=Store)
    callback: Callback = silent
    timer: Timer = field(default_factory=Timer)
    journal: Journal = field(default_factory=Journal)
    readings: SharedReadings | None = None

    def read(self, site: Site, request: ReadingRequest) -> Packed:
        """Return the states and the prefix that a site reads.

        Raises:
            InvalidArgument: States are NaN or infinite.
        """
        if self.readings is not None:
            return self.readings.read(site, request, self.store)
        return read_request(site, request, self.store)

    def numpy(self, *name: str | int) -> np.random.Generator:
        """Return the numpy generator of a named stream."""
        return numpy_stream(self.seed, *name)

    def torch(self, *name: str | int) -> torch.Generator:
        """Return the torch (CPU) generator of a named stream."""
        return torch_stream(self.seed, *name)

    def report(self, stage: str, step: int, total: int) -> None:
        """Report the progress of a stage to the callback."""
        self.callback(ProgressUpdate(stage, step, total))

    @contextmanager
    def timed(self, stage: str) -> Iterator[None]:
        """Add the seconds spent within the context to a stage."""
        with self.timer(stage):
            yield
