"""Sessions as laboratories write them: every fault of a file is left out and counted, or is one line."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pandas as pd
import pynwb
import pytest
from pynwb.ecephys import ElectricalSeries
from pynwb.epoch import TimeIntervals

import causalign as ca
from brains import empty_nwb, save

N = 40


def session(starts: Any = None, length: float = 1.0, **columns: Any) -> Any:
    """A session with trials two seconds apart."""
    file = empty_nwb()
    for name in columns:
        file.add_trial_column(name=name, description=name)
    starts = np.arange(N) * 2.0 if starts is None else np.asarray(starts, float)
    for row, start in enumerate(starts):
        file.add_trial(start_time=start, stop_time=start + length, **{name: c[row] for name, c in columns.items()})
    return file


def fire(file: Any, units: int = 3, until: float = 2.0 * N, **columns: Any) -> list[np.ndarray]:
    """Add units that fire at random, and return their times."""
    rng = np.random.default_rng(0)
    for name in columns:
        file.add_unit_column(name=name, description=name)
    fired = [np.sort(rng.uniform(0, until, 400)) for _ in range(units)]
    for unit, times in enumerate(fired):
        file.add_unit(spike_times=times, **{name: column[unit] for name, column in columns.items()})
    return fired


def side(count: int = N) -> list[int]:
    return [trial % 2 for trial in range(count)]


def activity(recording: ca.Recording) -> np.ndarray:
    """The states as they were recorded, of all trials in the order of the file; NaN where there is none."""
    every = recording.every_trial()
    states, _ = recording.states_and_prefix(every, every.layout.time)
    found = recording.preprocessing.undo(states.double()).numpy()
    found[~every.layout.padded(recording._present, every.layout.time)] = np.nan
    return found


def read(file: Any, path: Path, **options: Any) -> ca.Recording:
    return ca.Recording.from_nwb(save(file, path / "x.nwb"), **({"columns": ["side"]} | options))


# --- series


def add_series(file: Any, **options: Any) -> np.ndarray:
    times = np.arange(0, 100, 0.1)
    data = options.pop("data", np.stack([times, 2 * times], axis=1))
    file.add_acquisition(pynwb.TimeSeries(name="x", data=data, unit="V", **options))
    return data


def test_a_trial_in_a_gap_has_no_samples_of_another_time(tmp_path: Path) -> None:
    times = np.concatenate([np.arange(0, 10, 0.1), np.arange(20, 30, 0.1)])
    starts = [1, 2, 3, 4, 5, 6, 7, 12, 15, 19.7, 21, 22, 23, 24, 25]
    file = session(starts, 0.5, side=side(len(starts)))
    add_series(file, data=np.stack([times, times], axis=1), timestamps=times)
    recording = read(file, tmp_path, series="x", window=(0.0, 0.5), fewest=1)
    assert recording.left_out == {"in a gap of 'x'": 2}
    assert recording.left_out_trials["start_time"].tolist() == [12.0, 15.0]
    kept = [start for start in starts if start not in (12, 15)]
    expected = np.array(kept)[:, None] + 0.1 * np.arange(5)
    expected[kept.index(19.7), :3] = np.nan  # the gap ends at 20 s
    np.testing.assert_allclose(activity(recording)[..., 0], expected, atol=1e-5)
    assert recording.coverage["missing"].sum() == 3


def test_a_dropped_frame_is_one_missing_sample(tmp_path: Path) -> None:
    times = np.delete(np.arange(0, 100, 0.1), 62)
    file = session(side=side())
    add_series(file, data=np.stack([times, times], axis=1), timestamps=times)
    found = activity(read(file, tmp_path, series="x"))[..., 0]
    assert np.argwhere(np.isnan(found)).tolist() == [[3, 2]]
    expected = np.arange(N)[:, None] * 2.0 + 0.1 * np.arange(10)
    np.testing.assert_allclose(found[~np.isnan(found)], expected[~np.isnan(found)], atol=1e-5)


def test_jitter_beyond_what_is_allowed_leaves_a_trial_out(tmp_path: Path) -> None:
    times = np.arange(0, 100, 0.1)
    times[65] += 0.004
    file = session(side=side())
    add_series(file, timestamps=times)
    path = save(file, tmp_path / "x.nwb")
    recording = ca.Recording.from_nwb(path, series="x", columns=["side"])
    assert recording.left_out_trials["trial"].tolist() == [3]
    assert "with samples of 'x' that are not 0.1 s apart" in recording.left_out_trials["reason"].iloc[0]
    assert not ca.Recording.from_nwb(path, series="x", columns=["side"], jitter=0.05).left_out


@pytest.mark.parametrize(
    ("times", "message"),
    [
        (
            np.r_[np.arange(0, 50, 0.1), np.arange(0, 50, 0.1)],
            "the clock of the series 'x' goes back, from 49.9 to 0 s",
        ),
        (np.zeros(1000), "stands still"),
        (1_300_000 + np.arange(0, 100, 0.1), "beyond the recording .1300000 to 1300100 s. .*first is trial 0, at 0 s"),
    ],
)
def test_a_clock_that_cannot_be_used_is_refused(tmp_path: Path, times: np.ndarray, message: str) -> None:
    file = session(side=side())
    add_series(file, timestamps=times)
    with pytest.raises(ca.InvalidArgument, match=message):
        read(file, tmp_path, series="x")


def test_a_sample_at_an_unknown_time_is_missing(tmp_path: Path) -> None:
    times = np.arange(0, 100, 0.1)
    times[[63, 999]] = np.nan
    file = session(side=side())
    add_series(file, timestamps=times)
    assert np.argwhere(np.isnan(activity(read(file, tmp_path, series="x"))[..., 0])).tolist() == [[3, 3]]


def test_states_are_in_the_unit_of_the_file(tmp_path: Path) -> None:
    file = session(np.arange(20) * 0.4, 0.4, side=side(20))
    group = file.create_electrode_group("g", "g", location="x", device=file.create_device("d"))
    for location in ("CA1", "CA1", "V1"):
        file.add_electrode(group=group, location=location)
    raw = np.random.default_rng(0).integers(-1000, 1000, (900, 3)).astype(np.int16)
    about = {"conversion": 2e-6, "offset": 1e-3, "channel_conversion": np.array([1.0, 2.0, 10.0])}
    region = file.create_electrode_table_region([0, 1, 2], "all")
    file.add_acquisition(ElectricalSeries(name="lfp", data=raw, rate=100.0, electrodes=region, **about))
    path = save(file, tmp_path / "x.nwb")
    with pynwb.NWBHDF5IO(path, "r") as io:
        volts = io.read().acquisition["lfp"].get_data_in_units()[:800].reshape(20, 40, 3)
    np.testing.assert_allclose(activity(ca.Recording.from_nwb(path, series="lfp")), volts, atol=1e-9)
    of_area = ca.Recording.from_nwb(path, series="lfp", units={"location": "V1"}, unit_names="location")
    assert of_area.units == ("V1",)
    np.testing.assert_allclose(activity(of_area), volts[..., 2:], atol=1e-9)


def test_a_series_of_three_dimensions_has_a_unit_for_each_combination(tmp_path: Path) -> None:
    data = np.random.default_rng(0).normal(size=(1000, 2, 3))
    file = session(side=side())
    add_series(file, data=data, rate=10.0)
    found = activity(read(file, tmp_path, series="x"))
    np.testing.assert_allclose(found[5], data[100:110].reshape(10, 6), atol=1e-5)


def test_series_of_one_name_are_told_apart_by_their_place(tmp_path: Path) -> None:
    file = session(side=side())
    add_series(file, rate=10.0)
    for place, name in enumerate(("behavior", "ecephys")):
        series = pynwb.TimeSeries(name="x", data=np.full((1000, 1), place + 5.0), unit="a", rate=10.0)
        file.create_processing_module(name=name, description=name).add(series)
    path = save(file, tmp_path / "x.nwb")
    message = "take one of acquisition/x, processing/behavior/x, processing/ecephys/x"
    with pytest.raises(ca.InvalidArgument, match=message):
        ca.Recording.from_nwb(path, series="x")
    found = activity(ca.Recording.from_nwb(path, series="ecephys/x"))
    np.testing.assert_array_equal(found, np.full((N, 10, 1), 6.0))


def test_a_compressed_series_is_read_in_the_order_of_the_file(tmp_path: Path) -> None:
    data = np.random.default_rng(0).normal(size=(1000, 2))
    file = session(side=side())
    add_series(file, data=pynwb.H5DataIO(data, compression="gzip", chunks=(250, 2)), rate=10.0)
    recording = read(file, tmp_path, series="x")
    reads: list[slice] = []
    stored = recording._states._data  # type: ignore[attr-defined]

    class Watched:
        def __getitem__(self, rows: slice) -> Any:
            reads.append(rows)
            return stored[rows]

    recording._states._data = Watched()  # type: ignore[attr-defined]
    order = np.random.default_rng(1).permutation(N)
    found = recording._states.read(order)
    assert len(reads) == 1  # no chunk is decompressed twice
    np.testing.assert_allclose(found, data[:800].reshape(N, 20, 2)[order, :10])


# --- trials


def test_trials_within_invalid_times_are_left_out_unless_told_otherwise(tmp_path: Path) -> None:
    file = session(side=side())
    fire(file)
    file.add_invalid_time_interval(start_time=4.0, stop_time=8.5, tags=["artifact"], timeseries=[])
    path = save(file, tmp_path / "x.nwb")
    recording = ca.Recording.from_nwb(path, bin=0.1, columns=["side"])
    assert recording.left_out == {"in invalid_times": 3}
    assert recording.left_out_trials["trial"].tolist() == [2, 3, 4]
    assert not ca.Recording.from_nwb(path, bin=0.1, columns=["side"], use_invalid=True).left_out


def test_one_bad_trial_does_not_cost_the_others(tmp_path: Path) -> None:
    file = empty_nwb()
    file.add_trial_column(name="side", description="side")
    for trial in range(N):
        stop = {5: 10.0, 6: np.nan, 7: 13.0}.get(trial, 2.0 * trial + 1)  # aborted, unknown, before its start
        file.add_trial(start_time=2.0 * trial, stop_time=stop, side=trial % 2)
    fire(file, until=77.0)
    path = save(file, tmp_path / "x.nwb")
    recording = ca.Recording.from_nwb(path, bin=0.1, columns=["side"])
    assert recording.left_out == {"shorter than a bin of 0.1 s": 2, "without an end (give a window)": 1}
    assert recording.left_out_trials["trial"].tolist() == [5, 6, 7]
    with pytest.raises(
        ca.InvalidArgument, match="3 of 40 trials cannot be used, more than max_left_out=0.05: 2 shorter"
    ):
        ca.Recording.from_nwb(path, bin=0.1, columns=["side"], max_left_out=0.05)
    before = ca.Recording.from_nwb(path, bin=0.1, columns=["side"], window=(-0.5, 1.0))
    assert list(before.left_out.values()) == [1]
    assert "beyond the recording" in next(iter(before.left_out))


def test_any_table_of_intervals_can_be_the_trials(tmp_path: Path) -> None:
    file = empty_nwb()
    table = TimeIntervals(name="flashes_presentations", description="flashes")
    table.add_column(name="orientation", description="degrees")
    for row in range(N):
        table.add_row(start_time=2.0 * row, stop_time=2.0 * row + 1, orientation=45.0 * (row % 4) + 0.5)
    file.add_time_intervals(table)
    file.add_epoch(0.0, 40.0, ["wake"])
    fired = fire(file)
    path = save(file, tmp_path / "x.nwb")
    with pytest.raises(ca.FileFormatError, match="its tables of intervals are .*choose one, intervals="):
        ca.Recording.from_nwb(path, bin=0.1)
    options: dict[str, Any] = {"bin": 0.25, "levels": ["orientation"]}
    recording = ca.Recording.from_nwb(path, intervals="flashes_presentations", **options)
    assert recording.levels == {"orientation": (0.5, 45.5, 90.5, 135.5)}
    expected = [[np.histogram(times, 2.0 * row + np.arange(6) * 0.25)[0][:4] for times in fired] for row in range(N)]
    np.testing.assert_allclose(activity(recording), np.transpose(expected, (0, 2, 1)), atol=1e-5)
    own = pd.DataFrame({"start_time": np.arange(30) * 2.5, "half": np.arange(30) // 15})
    of_own = ca.Recording.from_nwb(path, intervals=own, bin=0.5, window=(0.0, 1.0))
    assert of_own.task.variables == ("half",)
    counts = [[((times >= s) & (times < s + 0.5)).sum() for times in fired] for s in own["start_time"]]
    np.testing.assert_allclose(activity(of_own)[:, 0], counts, atol=1e-5)
    with pytest.raises(
        ca.InvalidArgument, match="unknown table of intervals of x.nwb 'flashes'; did you mean 'flashes_p"
    ):
        ca.Recording.from_nwb(path, intervals="flashes", **options)


@pytest.mark.parametrize(
    ("where", "kept"),
    [
        ({"contrast": lambda column: column > 0.5}, lambda row: row / N > 0.5),
        ("contrast > 0.5 and side == 1", lambda row: row / N > 0.5 and row % 2),
        ({"id": list(range(10, 30))}, lambda row: 10 <= row < 30),
        ({"choice": np.array(["left"])}, lambda row: row % 3 == 0),
        (lambda table: table["contrast"] < 0.3, lambda row: row / N < 0.3),
        ({"seen": np.nan}, lambda row: row % 4 == 0),
    ],
)
def test_conditions_go_beyond_equality(tmp_path: Path, where: Any, kept: Any) -> None:
    file = session(
        side=side(),
        contrast=[row / N for row in range(N)],
        choice=["left" if row % 3 == 0 else "right" for row in range(N)],
        seen=[np.nan if row % 4 == 0 else 1.0 for row in range(N)],
    )
    fire(file)
    recording = read(file, tmp_path, bin=0.5, where=where, fewest=1)
    assert len(recording.every_trial()) == sum(bool(kept(row)) for row in range(N))


# --- units and events


def test_units_are_chosen_by_column_id_mask_or_query(tmp_path: Path) -> None:
    file = session(side=side())
    group = file.create_electrode_group("g", "g", location="x", device=file.create_device("d"))
    for location in ("CA1", "V1", "V1", "LP"):
        file.add_electrode(group=group, location=location)
    rng = np.random.default_rng(0)
    file.add_unit_column(name="quality", description="q")
    for unit, quality in enumerate(("good", "mua", "good", "noise")):
        file.add_unit(spike_times=np.sort(rng.uniform(0, 80, 300)), quality=quality, electrodes=[unit], id=10 * unit)
    path = save(file, tmp_path / "x.nwb")

    def units(**options: Any) -> tuple[str, ...]:
        return ca.Recording.from_nwb(path, bin=0.5, columns=["side"], **options).units

    assert units() == ("unit 0", "unit 10", "unit 20", "unit 30")
    assert units(units={"quality": "good"}) == ("unit 0", "unit 20")
    assert units(units=[20, 0]) == ("unit 20", "unit 0")
    assert units(units=[True, False, False, True]) == ("unit 0", "unit 30")
    assert units(units={"location": ["V1", "LP"]}, unit_names=["location", "quality"]) == (
        "V1 mua",
        "V1 good",
        "LP noise",
    )
    assert units(units="quality != 'noise' and location == 'V1'") == ("unit 10", "unit 20")
    with pytest.raises(ca.InvalidArgument, match="unknown unit of the units of x.nwb '3'"):
        units(units=[3])
    with pytest.raises(ca.InvalidArgument, match="a mask of 2 truth values for 4 units"):
        units(units=[True, False])
    every, good = (ca.Recording.from_nwb(path, bin=0.5, columns=["side"], units=u) for u in (None, {"quality": "good"}))
    np.testing.assert_allclose(activity(good), activity(every)[..., [0, 2]], atol=1e-5)


def test_event_series_are_point_processes(tmp_path: Path) -> None:
    file = session(side=side())
    licks = {
        name: np.sort(np.random.default_rng(seed).uniform(0, 80, 200)) for seed, name in enumerate(("left", "right"))
    }
    for name, times in licks.items():
        file.add_acquisition(pynwb.TimeSeries(name=name, data=np.ones(200), unit="s", timestamps=times))
    path = save(file, tmp_path / "x.nwb")
    recording = ca.Recording.from_nwb(path, events=["left", "right"], bin=0.25, columns=["side"])
    counts = [[((t >= 2 * r + 0.25) & (t < 2 * r + 0.5)).sum() for t in licks.values()] for r in range(N)]
    np.testing.assert_allclose(activity(recording)[:, 1], counts, atol=1e-5)
    assert recording.units == ("left", "right")
    for options, message in (
        ({"events": ["left"], "units": [0]}, "units and unit_names apply to units and channels"),
        ({"events": ["left"], "series": "right"}, "series and events are two kinds of states"),
        ({"bin": 0.1, "jitter": 0.1, "events": ["left"]}, "jitter applies to a series"),
    ):
        with pytest.raises(ca.InvalidArgument, match=message):
            ca.Recording.from_nwb(path, **options)


@pytest.mark.parametrize(
    "observed", [[[0.0, 80.0]], [[0.0, 6.05], [6.05, 80.0]], [[0.0, 80.0], [2.0, 3.0]], [[0.0, 40.0], [20.0, 80.0]]]
)
def test_observed_intervals_are_united(tmp_path: Path, observed: list[list[float]]) -> None:
    file = session(side=side())
    times = np.sort(np.random.default_rng(0).uniform(0, 80, 300))
    file.add_unit(spike_times=times, obs_intervals=observed)
    assert read(file, tmp_path, bin=0.1).coverage["missing"].sum() == 0


def test_a_unit_that_was_never_observed_is_named(tmp_path: Path) -> None:
    file = session(side=side())
    for intervals in ([[0.0, 80.0]], np.zeros((0, 2))):
        file.add_unit(spike_times=[1.0, 2.0, 3.0], obs_intervals=intervals)
    path = save(file, tmp_path / "x.nwb")
    with pytest.raises(
        ca.InvalidArgument, match="1 units have no interval in which they were observed .*: unit 1; leave"
    ):
        ca.Recording.from_nwb(path, bin=0.5, columns=["side"])
    assert ca.Recording.from_nwb(path, bin=0.5, columns=["side"], units=[0]).units == ("unit 0",)


def test_a_long_trial_does_not_size_the_table_for_all(tmp_path: Path) -> None:
    file = empty_nwb()
    file.add_trial_column(name="side", description="side")
    for trial in range(300):
        stop = 2.0 * trial + (400.0 if trial == 299 else 1.0)
        file.add_trial(start_time=2.0 * trial, stop_time=stop, side=trial % 2)
    fired = fire(file, until=998.0)
    recording = read(file, tmp_path, bin=0.001)
    assert (recording._layout.time, recording._layout.total) == (400_000, 699_000)
    assert len(recording._present) == 699_000
    last = recording._states.read(np.array([299]))[0]
    np.testing.assert_array_equal(last.sum(axis=0), [((t >= 598) & (t < 998)).sum() for t in fired])


# --- where a session is


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = session(side=side())
    fire(file)
    return save(file, tmp_path_factory.mktemp("plain") / "x.nwb")


@pytest.fixture(scope="module")
def counts(plain: Path) -> np.ndarray:
    return activity(ca.Recording.from_nwb(plain, bin=0.25, columns=["side"]))


def test_a_zarr_store_gives_the_same(plain: Path, counts: np.ndarray, tmp_path: Path) -> None:
    import warnings

    with warnings.catch_warnings():  # of zarr's own
        warnings.simplefilter("ignore")
        zarr = pytest.importorskip("hdmf_zarr")
        store = tmp_path / "x.nwb.zarr"
        with pynwb.NWBHDF5IO(plain, "r") as source, zarr.NWBZarrIO(str(store), "w") as out:
            out.export(src_io=source, write_args={"link_data": False})
        recording = ca.Recording.from_nwb(store, bin=0.25, columns=["side"])
        np.testing.assert_array_equal(activity(recording), counts)
        recording.close()
    with pytest.raises(ca.FileFormatError, match="a folder that is not a Zarr store"):
        ca.Recording.from_nwb(tmp_path, bin=0.25)


def test_open_objects_give_the_same(plain: Path, counts: np.ndarray) -> None:
    with pynwb.NWBHDF5IO(plain, "r") as io:
        np.testing.assert_array_equal(activity(ca.Recording.from_nwb(io.read(), bin=0.25, columns=["side"])), counts)
    with h5py.File(plain) as file:
        np.testing.assert_array_equal(activity(ca.Recording.from_nwb(file, bin=0.25, columns=["side"])), counts)
        assert file["units"]  # it is the user's, and stays open


@pytest.fixture
def address(plain: Path) -> Iterator[str]:
    command = [sys.executable, str(Path(__file__).parent / "range_server.py"), str(plain.parent)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout
        yield f"http://127.0.0.1:{server.stdout.readline().strip()}"
        server.terminate()


def test_an_address_gives_the_same(address: str, counts: np.ndarray) -> None:
    recording = ca.Recording.from_nwb(f"{address}/x.nwb", bin=0.25, columns=["side"])
    np.testing.assert_array_equal(activity(recording), counts)
    assert recording.name == "x.nwb@units"
    recording.close()
    with pytest.raises(ca.FileFormatError, match="cannot be read .Not Found"):
        ca.Recording.from_nwb(f"{address}/y.nwb", bin=0.25)


def test_a_file_is_closed_after_a_refusal(plain: Path) -> None:
    for options in ({"bin": 0.25, "columns": ["sied"]}, {"series": "x"}, {"bin": 0.25, "levels": ["sied"]}):
        with pytest.raises(ca.CausalignError):
            ca.Recording.from_nwb(plain, **options)
        with h5py.File(plain, "r+"):  # HDF5 refuses if the file is open for reading
            pass


def test_what_is_no_nwb_2_is_named(tmp_path: Path, plain: Path) -> None:
    with h5py.File(tmp_path / "old.nwb", "w") as old:
        old["nwb_version"] = "NWB-1.0.6"
    with pytest.raises(ca.FileFormatError, match="NWB-1.0.6 is the format of NWB 1, which pynwb cannot read"):
        ca.Recording.from_nwb(tmp_path / "old.nwb", bin=0.1)
    strange = tmp_path / "strange.nwb"
    strange.write_bytes(plain.read_bytes())
    with h5py.File(strange, "r+") as file:
        file["units"].attrs["namespace"] = "ndx-strange"
        file["units"].attrs["neurodata_type"] = "StrangeUnits"
    with pytest.raises(
        ca.FileFormatError, match="needs the extension ndx-strange, which is neither in the file nor inst"
    ):
        ca.Recording.from_nwb(strange, bin=0.1)


def test_arguments_of_another_type_are_one_line(plain: Path) -> None:
    """In a process of its own, because the tests check types before the code does."""
    calls = {
        "window=0.5": "window must be two times in seconds",
        "columns='side'": "columns must be a list of columns: columns=['side']",
        "events='x'": "events must be a list of series",
        "align='side', where=3": "a condition on the trials of x.nwb is a mapping",
        "preprocess='zscore'": "preprocess must be a Preprocess, as in Preprocess(zscore=True); found 'zscore'",
        "preprocess={'zscore': True}": "preprocess must be a Preprocess",
        "codes={'side': [0, 1]}": "codes must have the number of each entry by column",
        "levels='side'": "levels must be a list of columns",
        "units=['a', 'b']": "unknown unit of the units of x.nwb 'a'",
        "rows='unit'": "rows must be 'trial' or 'sample', found 'unit'",
    }
    code = "import causalign as ca\n"
    for call in calls:
        given = call if "columns" in call else f"columns=['side'], {call}"
        code += f"try: ca.Recording.from_nwb({str(plain)!r}, bin=.5, {given}); print('OK')\n"
        code += "except ca.CausalignError as error: print(error)\n"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    lines = done.stdout.splitlines()
    assert len(lines) == len(calls), done.stderr
    for line, message in zip(lines, calls.values(), strict=True):
        assert message in line
