"""A session of two hours, 400 units and 1,000 trials, from its file to a recording."""

import tempfile
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from causalign.benchmarks.measurement import in_child, seconds
from causalign.benchmarks.row import MissingError, Row
from causalign.sites.recordings.recording import Recording

_CLOCK = 30_000.0  # Hz, of the spike times
_RATE = 10.0  # Hz, of a unit
_BIN, _WINDOW = 0.01, (-0.5, 1.5)  # seconds


def session(quick: bool) -> Iterator[Row]:
    """Yield the seconds and the peak memory of binning the spikes of a session of 2 hours, or of 12 minutes if `quick`.

    The reference is `numpy.histogram` of the spikes of each unit in each trial, read with h5py.

    Raises:
        MissingError: h5py or pynwb is not installed.
    """
    try:
        import h5py  # noqa: F401
        import pynwb  # noqa: F401
    except ImportError:
        raise MissingError("the session benchmark needs pynwb: pip install 'causalign[neuro]'") from None
    units, trials = (80, 100) if quick else (400, 1000)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "session.nwb"
        in_child(_write, path, units, trials)
        plain, _ = in_child(_histograms, path)
        taken, held = in_child(_open, path)
        yield Row(
            benchmark="session",
            case=f"{trials:,} trials of {units} units, 2 s in bins of 10 ms, from an NWB file to a recording",
            ours=taken,
            unit="s",
            rival="numpy.histogram",
            theirs=plain,
            ratio=plain / taken,
            reads="times",
            note=f"{held:.2f} GiB at peak",
        )


def _write(path: Path, units: int, trials: int) -> None:
    import pynwb

    start, length = datetime(2026, 1, 1, tzinfo=UTC), trials * 7.2
    file: Any = pynwb.NWBFile(session_description="noise", identifier="session", session_start_time=start)
    rng = np.random.default_rng(0)
    file.add_trial_column(name="side", description="side")
    for trial in range(trials):
        file.add_trial(start_time=trial * 7.2 + 1, stop_time=trial * 7.2 + 6, side=trial % 8)
    for _ in range(units):
        samples = np.unique(rng.integers(0, int(length * _CLOCK), int(length * _RATE)))
        file.add_unit(spike_times=samples / _CLOCK)
    with pynwb.NWBHDF5IO(path, "w") as io:
        io.write(file)


def _histograms(path: Path) -> float:
    import h5py

    def read() -> None:
        with h5py.File(path) as file:
            starts = file["intervals/trials/start_time"][:]
            times, ends = file["units/spike_times"], file["units/spike_times_index"][:]
            bins = np.arange(round((_WINDOW[1] - _WINDOW[0]) / _BIN) + 1) * _BIN + _WINDOW[0]
            for first, last in zip(np.append(0, ends[:-1]), ends, strict=True):
                fired = times[first:last]
                for start in starts:
                    begin, end = np.searchsorted(fired, [start + bins[0], start + bins[-1]])
                    np.histogram(fired[begin:end], start + bins)

    return seconds(read)


def _open(path: Path) -> float:
    return seconds(lambda: Recording.from_nwb(path, bin=_BIN, window=_WINDOW))
