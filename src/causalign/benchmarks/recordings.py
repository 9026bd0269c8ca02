"""A recording that is larger than its memory budget.

It is written to a file, and surveyed, preprocessed and aligned from there.
"""

import tempfile
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from causalign.alignment.align import align
from causalign.benchmarks.measurement import in_child, seconds
from causalign.benchmarks.row import MissingError, Row
from causalign.memory import GIB
from causalign.networks.checkpoint import build
from causalign.recordings.preprocessing import Preprocess
from causalign.search.config import SearchConfig
from causalign.sites.recordings.recording import Recording
from causalign.tasks.counting import MultiObject

_SAMPLES, _UNITS, _RATE = 1024, 512, 1000.0
_TRIAL = _SAMPLES * _UNITS * 4  # bytes
_MEMORY = 0.1  # GiB of tables in memory; the rest is in files


def recordings(quick: bool) -> Iterator[Row]:
    """Yield the seconds and the peak memory of CLMAS with a recording of 4 GiB, or of 0.5 GiB with `quick`.

    The reference reads the file once.

    Raises:
        MissingError: h5py or pynwb is not installed.
    """
    try:
        import h5py  # noqa: F401
        import pynwb  # noqa: F401
    except ImportError:
        raise MissingError("the recordings benchmark needs pynwb: pip install 'causalign[neuro]'") from None
    size = GIB // 2 if quick else 4 * GIB
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "recording.nwb"
        in_child(_write, path, size // _TRIAL)
        plain, _ = in_child(_read_once, path)
        taken, held = in_child(_align, path)
        yield Row(
            benchmark="recordings",
            case=f"CLMAS from an NWB file of {path.stat().st_size / GIB:.2f} GiB, z-scored, 10 steps",
            ours=taken,
            unit="s",
            rival="h5py reading it once",
            theirs=plain,
            ratio=taken / plain,
            reads="times",
            note=f"{held:.2f} GiB at peak",
        )


def _write(path: Path, trials: int) -> None:
    """Write noise around a mean that depends on the count, a number from 1 to 20 for each trial."""
    import pynwb

    start = datetime(2026, 1, 1, tzinfo=UTC)
    file = pynwb.NWBFile(session_description="noise", identifier="benchmark", session_start_time=start)
    for name in ("phase", "count"):
        file.add_trial_column(name=name, description=name)
    length = _SAMPLES / _RATE
    for trial in range(trials):
        file.add_trial(start_time=trial * length, stop_time=(trial + 1) * length, phase=0, count=trial % 20 + 1)
    data = pynwb.H5DataIO(shape=(trials * _SAMPLES, _UNITS), dtype=np.float32)
    file.add_acquisition(pynwb.TimeSeries(name="rates", data=data, unit="Hz", rate=_RATE, starting_time=0.0))
    rng = np.random.default_rng(0)
    means = rng.normal(size=(20, _UNITS))
    with pynwb.NWBHDF5IO(path, "w") as io:
        io.write(file)
        into: Any = data.dataset
        for trial in range(trials):
            noise = rng.standard_normal((_SAMPLES, _UNITS), dtype=np.float32)
            into[trial * _SAMPLES : (trial + 1) * _SAMPLES] = noise + means[trial % 20]


def _read_once(path: Path) -> float:
    import h5py

    def read() -> None:
        with h5py.File(path) as file:
            data = file["acquisition/rates/data"]
            for first in range(0, len(data), _SAMPLES):
                data[first : first + _SAMPLES]

    return seconds(read)


def _align(path: Path) -> float:
    def work() -> None:
        task = MultiObject()
        recording = Recording.from_nwb(path, series="rates", task=task, preprocess=Preprocess(zscore=True))
        config = SearchConfig(batch_size=128, initial_batch_size=128, max_steps=10, eval_every=10)
        sites = [build(task, "gru", 0).site("hidden"), recording]
        align(sites, method="clmas", search=config, memory=_MEMORY, n_validation=200, n_test=200, variable="count")

    return seconds(work)
