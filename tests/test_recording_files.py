"""Recordings in NWB files and labelled arrays: the same as from memory, and each thing that can be wrong is a line."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pandas as pd
import pynwb
import pytest
import torch
import xarray
from typer.testing import CliRunner

import causalign as ca
from brains import STEP, Brain, brain_of, empty_nwb, save, write_nwb
from causalign.cli.commands import app
from causalign.scoring.comparison import MEASURES
from causalign.sites.uri import open_site

Pair = tuple[ca.networks.GRU, ca.networks.GRU]
COUNTS = {"train": 120, "validation": 60, "test": 80}
QUICK: dict[str, Any] = {f"n_{split}": count for split, count in COUNTS.items()} | {
    "rank": 3,
    "search": ca.SearchConfig(max_steps=4, eval_every=2, batch_size=16),
}


@pytest.fixture(scope="module")
def brain(tiny_pair: Pair) -> Brain:
    return brain_of(tiny_pair[1].site("hidden"), COUNTS)


@pytest.fixture(scope="module")
def file(brain: Brain, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_nwb(tmp_path_factory.mktemp("nwb") / "brain.nwb", brain, correct=[True] * len(brain.split))


def from_file(file: Path, **options: Any) -> ca.Recording:
    asked: dict[str, Any] = {"series": "states", "task": ca.tasks.MultiObject(), "split": "split", "fewest": 1}
    return ca.Recording.from_nwb(file, **(asked | options))


def spiking(path: Path, rng: np.random.Generator, observed: bool = False) -> tuple[Path, list[np.ndarray]]:
    """Twelve trials of three units that fire at random; they are half a second apart, and go 0.1 s in."""
    file = empty_nwb()
    for name in ("go", "side"):
        file.add_trial_column(name=name, description=name)
    for trial in range(12):
        start = 2.0 + 1.5 * trial
        file.add_trial(start_time=start, stop_time=start + 1.0, go=start + 0.1, side=trial % 2)
    fired = [np.sort(rng.uniform(0, 22, 400)) for _ in range(3)]
    for unit, times in enumerate(fired):
        intervals = {"obs_intervals": [[0.0, 8.55], [9.5, 22.0]] if unit == 1 else [[0.0, 22.0]]} if observed else {}
        file.add_unit(spike_times=times, **intervals)
    return save(file, path), fired


# --- the same as from memory


def test_a_file_gives_the_maps_that_memory_gives(tiny_pair: Pair, brain: Brain, file: Path) -> None:
    in_memory = ca.Recording(
        brain.states, brain.table, task=ca.tasks.MultiObject(), split=brain.split, fewest=1, name="brain.nwb"
    )
    a, in_file = tiny_pair[0].site("hidden"), from_file(file)
    first, second = (ca.align([a, each], method="clmas", **QUICK) for each in (in_memory, in_file))
    for of_memory, of_file in zip(first.maps, second.maps, strict=True):
        torch.testing.assert_close(of_file.frame, of_memory.frame, atol=1e-6, rtol=0)
    pd.testing.assert_frame_equal(first.latent, second.latent, check_exact=False)
    pd.testing.assert_frame_equal(in_file.coverage, in_memory.coverage)


def test_timestamps_do_as_well_as_a_rate(brain: Brain, file: Path, tmp_path: Path) -> None:
    file = Path(shutil.copy(file, tmp_path))
    with pynwb.NWBHDF5IO(file, "a") as io:
        again = io.read()
        data = again.processing["behavior"]["states"].data[:]
        times = 1.0 + STEP * np.arange(len(data))
        again.add_acquisition(pynwb.TimeSeries(name="stamped", data=data, unit="a.u.", timestamps=times))
        io.write(again)
    by_rate, by_times = from_file(file), from_file(file, series="stamped")
    one, other = (each.draw(9, "test", np.random.default_rng(0)) for each in (by_rate, by_times))
    np.testing.assert_array_equal(one.used, other.used)
    torch.testing.assert_close(by_times.states_and_prefix(one, 3)[0], by_rate.states_and_prefix(one, 3)[0])


@pytest.mark.parametrize("window", [None, (-0.05, 0.3)])
@pytest.mark.parametrize("observed", [False, True])
def test_spikes_are_counted_in_bins_from_the_event_on(
    tmp_path: Path, window: tuple[float, float] | None, observed: bool
) -> None:
    path, fired = spiking(tmp_path / "spikes.nwb", np.random.default_rng(0), observed)
    recording = ca.Recording.from_nwb(path, bin=0.1, align="go", window=window, fewest=1, unit_variance=False)
    bins = 9 if window is None else 3
    for split in recording.splits:
        trials = recording.draw(99, split, np.random.default_rng(0))
        states, _ = recording.states_and_prefix(trials, bins)
        assert trials.used.shape == (len(trials), bins)
        for row, trial in enumerate(trials.index):
            for k in range(bins):
                begin = 2.1 + 1.5 * trial + (0 if window is None else window[0]) + 0.1 * k
                seen = not observed or begin + 0.1 <= 8.55 or begin >= 9.5
                assert trials.used[row, k] == seen
                if seen:
                    counts = [sum(begin <= spike < begin + 0.1 for spike in of_unit) for of_unit in fired]
                    assert states[row, k].tolist() == counts
    assert (recording.coverage["missing"].sum() > 0) == (observed and window is None)
    assert recording.units == ("unit 0", "unit 1", "unit 2")


def test_trials_are_chosen_by_their_columns(tmp_path: Path) -> None:
    path, _ = spiking(tmp_path / "spikes.nwb", np.random.default_rng(0))
    recording = ca.Recording.from_nwb(path, bin=0.5, where={"side": [1]}, columns=["side"], fewest=1)
    assert set(recording.coverage["side"]) == {1}
    assert sum(map(len, recording.splits.values())) == 6


def test_trials_without_the_event_are_left_out_and_counted(tmp_path: Path) -> None:
    file = empty_nwb()
    for name in ("go", "side"):
        file.add_trial_column(name=name, description=name)
    for trial in range(8):
        file.add_trial(
            start_time=float(trial), stop_time=trial + 0.9, go=np.nan if trial == 2 else float(trial), side=0
        )
    file.add_unit(spike_times=np.arange(0, 9, 0.1))
    recording = ca.Recording.from_nwb(save(file, tmp_path / "x.nwb"), bin=0.3, align="go", fewest=1)
    assert recording.left_out == {"no event 'go'": 1}
    assert sum(map(len, recording.splits.values())) == 7


def test_a_labelled_array_is_read_whatever_the_order_of_its_dimensions(brain: Brain) -> None:
    values = np.random.default_rng(0).normal(size=(4, 20, 5))
    coordinates = {"side": ("trial", np.arange(20) % 2), "unit": list("abcd")}
    array = xarray.DataArray(values, dims=("unit", "trial", "time"), coords=coordinates)
    recording = ca.Recording.from_xarray(array, unit_variance=False)
    assert recording.units == tuple("abcd")
    assert recording.task.variables == ("side",)
    trials = recording.draw(4, "train", np.random.default_rng(0))
    expected = values.transpose(1, 2, 0)[trials.index]
    np.testing.assert_allclose(recording.states_and_prefix(trials, 5)[0].numpy(), expected, rtol=1e-6)
    counted = array.assign_coords(step=(("time", "trial"), np.arange(5)[:, None] + np.zeros((5, 20), int)))
    assert set(ca.Recording.from_xarray(counted).coverage["step"]) == set(range(5))
    with pytest.raises(ca.CausalignError, match="must have the dimensions trial, time and unit; found .*, neuron"):
        ca.Recording.from_xarray(array.transpose("trial", "time", "unit").rename(unit="neuron"))
    with pytest.raises(ca.CausalignError, match="unknown coordinate along trials 'sid'; did you mean 'side'"):
        ca.Recording.from_xarray(array, columns=["sid"])


# --- bad input


def no_units(file: Any) -> None:
    file.add_trial(start_time=0.0, stop_time=1.0)


def no_trials(file: Any) -> None:
    file.add_unit(spike_times=[0.1, 0.2])


def jittered(file: Any) -> None:
    times = np.arange(0, 10, 0.01)
    times[500:] += 0.004
    file.add_acquisition(pynwb.TimeSeries(name="rates", data=np.ones((1000, 2)), unit="Hz", timestamps=times))
    file.add_trial_column(name="side", description="side")
    for trial in range(9):
        file.add_trial(start_time=trial + 0.5, stop_time=trial + 1.4, side=0)


def aside(file: Any) -> None:
    file.add_trial_column(name="go", description="go")
    file.add_trial_column(name="side", description="side")
    for trial in range(6):
        file.add_trial(start_time=float(trial), stop_time=trial + 1.0, go=trial + (90.0 if trial == 4 else 0.2), side=0)
    file.add_unit(spike_times=np.arange(0, 6, 0.05))


@pytest.mark.parametrize(
    ("made", "options", "message"),
    [
        (no_units, {"bin": 0.1}, "has no units; its series are none"),
        (no_trials, {"bin": 0.1}, "has no table of trials"),
        (
            jittered,
            {"series": "rates", "max_left_out": 0.0},
            "1 with samples of 'rates' that are not 0.01 s apart .see jitter. .the first is trial 4, at 4.5 s",
        ),
        (jittered, {"series": "rats"}, "unknown series of x.nwb 'rats'; did you mean 'rates'"),
        (jittered, {"series": "rates", "bin": 0.1}, "bin applies to spikes and events only"),
        (jittered, {"bin": 0.1}, "has no units; its series are rates"),
        (
            aside,
            {"bin": 0.1, "align": "go", "window": (0.0, 0.5), "max_left_out": 0.1},
            "1 of 6 trials cannot be used, more than max_left_out=0.1: 1 beyond the recording .0 to 6 s. .*4, at 94",
        ),
        (aside, {"bin": 0.1, "align": "gone"}, "unknown column of the trials of x.nwb 'gone'; did you mean 'go'"),
        (aside, {"bin": 0.1, "columns": ["sied"]}, "unknown column of the trials of x.nwb 'sied'; did you mean 'side'"),
        (
            aside,
            {"bin": 1.5},
            "6 of 6 trials cannot be used.*: 6 shorter than a bin of 1.5 s .the first is trial 0, at 0 s",
        ),
        (aside, {"bin": 0.1, "window": (0.3, 0.2)}, "window must go from one time to a later one"),
        (
            aside,
            {"bin": 0.1, "where": {"side": 3}},
            "the column 'side' of the trials of x.nwb has no entry 3; it has 0",
        ),
        (aside, {"bin": 0.1, "where": {"sied": 3}}, "unknown column of the trials of x.nwb 'sied'"),
        (aside, {"bin": 0.1, "split": "spilt"}, "unknown column of the trials of x.nwb 'spilt'"),
        (aside, {}, "bin must be the width in seconds .*, found None"),
        (aside, {"bin": -1.0}, "bin must be the width in seconds .*, found -1.0"),
    ],
)
def test_a_file_that_lacks_what_is_asked_for_is_refused(
    tmp_path: Path, made: Callable[[Any], None], options: dict[str, Any], message: str
) -> None:
    file = empty_nwb()
    made(file)
    with pytest.raises(ca.CausalignError, match=message):
        ca.Recording.from_nwb(save(file, tmp_path / "x.nwb"), **({"columns": ["side"]} | options))


def test_a_value_for_each_sample_is_wanted(brain: Brain, tmp_path: Path) -> None:
    path = write_nwb(tmp_path / "x.nwb", brain)
    with pytest.raises(ca.CausalignError, match="the column 'phase' has .* entries in trial 0, which has 2 samples"):
        from_file(path, window=(0.0, 2 * STEP))


def test_what_is_no_nwb_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "text.nwb").write_text("no")
    with h5py.File(tmp_path / "plain.nwb", "w") as plain:
        plain["x"] = 1
    with h5py.File(tmp_path / "broken.nwb", "w") as broken:
        broken.attrs["nwb_version"] = "2.7"
    for name, message in (
        ("none.nwb", "none.nwb: no such file"),
        ("text.nwb", "not an NWB file .it is not an HDF5 file"),
        ("plain.nwb", "not an NWB file .an HDF5 file without nwb_version"),
        ("broken.nwb", "cannot be read as NWB"),
    ):
        with pytest.raises(ca.CausalignError, match=message) as error:
            ca.Recording.from_nwb(tmp_path / name, bin=0.1)
        assert "\n" not in str(error.value)


# --- correlational measures


@pytest.mark.parametrize("index", [0, 1])
def test_measures_are_those_of_the_mean_states_by_value(tiny_pair: Pair, brain: Brain, file: Path, index: int) -> None:
    site = tiny_pair[index].site("hidden")
    table = ca.compare(from_file(file), site, resamples=10)
    rows = brain.table
    states = brain.states[rows["trial"], rows["time"]].astype(np.float64)
    of_brain = pd.DataFrame(states).groupby([rows["phase"], rows["count"]]).mean()
    trials = site.task.trials(4096, np.random.default_rng(5))
    where = site.task.swappable(trials.tokens)
    read = site.read(site.encode(trials.tokens)).numpy()[where].astype(np.float64)
    known = dict(trials.values)
    keys = [known[name][where] for name in ("phase", "count")]
    of_network = pd.DataFrame(read).groupby(keys).mean()
    shared = of_brain.index.intersection(of_network.index)
    x, y = (side.loc[shared].to_numpy() for side in (of_brain, of_network))
    for row in table.to_dict("records")[:-3]:  # the last ones are cross-validated
        assert row["value"] == pytest.approx(MEASURES[row["measure"]](torch.tensor(x), torch.tensor(y)), abs=0.02)
        assert row["ci_low"] < row["value"] < row["ci_high"]
        assert row["samples"] == len(shared)


def test_noise_lowers_the_ceiling_and_widens_the_interval() -> None:
    rng = np.random.default_rng(0)
    means, side = rng.normal(size=(12, 30)), np.arange(240) % 12
    table = pd.DataFrame({"side": side})
    quiet, noisy = (
        ca.Recording(means[side][:, None] + noise * rng.normal(size=(240, 1, 30)), table, name=str(noise))
        for noise in (0.2, 3.0)
    )
    reference = ca.Recording(np.repeat(means, 20, axis=0)[:, None], pd.DataFrame({"side": np.arange(240) // 20}))
    first, second = (ca.compare(each, reference, resamples=40).to_dict("records") for each in (quiet, noisy))
    for of_quiet, of_noisy in zip(first, second, strict=True):
        if of_quiet["measure"] in ("RSA (Spearman)", "CKA (debiased)"):
            assert of_quiet["ceiling_low"] > 0.95 > of_noisy["ceiling_high"]
            assert of_quiet["value"] > 0.97 > of_noisy["value"]
            assert of_quiet["ci_high"] - of_quiet["ci_low"] < of_noisy["ci_high"] - of_noisy["ci_low"]


def test_too_few_values_in_common_are_refused() -> None:
    recording = ca.Recording(np.random.default_rng(0).normal(size=(30, 2, 3)), pd.DataFrame({"side": [0, 1, 2] * 10}))
    with pytest.raises(ca.CausalignError, match="have 3 values of 'full' in common; at least 4"):
        ca.compare(recording, recording)


# --- from the shell


def test_a_file_that_describes_a_recording_can_be_aligned_and_compared(file: Path, tmp_path: Path) -> None:
    description = file.parent / "brain.toml"
    description.write_text(
        'file = "brain.nwb"\nseries = "states"\ntask = "multi-object"\nsplit = "split"\nfewest = 1\nzscore = true\n'
        "[where]\ncorrect = true\n"
    )
    recording = open_site(str(description))
    assert isinstance(recording, ca.Recording)
    assert recording.preprocess == ca.Preprocess(zscore=True)
    spec = tmp_path / "spec.toml"
    spec.write_text(
        f'sites = ["zoo:multi-object/gru/0", "{description}"]\nmethod = "latent-stitch"\nrank = 2\n'
        "n_train = 40\nn_validation = 20\nn_test = 20\n[search]\nmax_steps = 1\n"
    )
    done = CliRunner().invoke(app, ["align", "--spec", str(spec), "--out", str(tmp_path / "out")])
    assert done.exit_code == 0, done.output
    assert "A -> B is not run: latent distance" in done.output
    assert "needs stimulation" in done.output
    assert "ceiling" in (tmp_path / "out" / "similarity.csv").read_text()
    assert "Directions into recordings" in (tmp_path / "out" / "report.html").read_text()
    assert "No direction can be run" in done.output


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('file = "brain.nwb"\nbinn = 0.1\n', "unknown entry of .* 'binn'; did you mean 'bin'"),
        ('file = "brain.nwb"\nbin = "wide"\n', "bin: Input should be a valid number"),
        ("file = ", "cannot read"),
        ('file = "brain.nwb"\ntask = "multi-objekt"\n', "unknown task 'multi-objekt'; did you mean 'multi-object'"),
    ],
)
def test_a_description_that_is_wrong_is_refused(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "brain.toml").write_text(text)
    with pytest.raises(ca.CausalignError, match=message):
        open_site(str(tmp_path / "brain.toml"))
