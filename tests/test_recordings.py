"""Recordings: read and never run, aligned as live networks are, and honest about what is not there."""

import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn import decomposition, pipeline, preprocessing

import causalign as ca
from brains import Brain, brain_of
from causalign.recordings.preprocessing import Preprocess
from causalign.scoring.latent_distance import latent_distance
from naive_networks import latent_loss

Pair = tuple[ca.networks.GRU, ca.networks.GRU]
COUNTS = {"train": 120, "validation": 60, "test": 80}
SHIPPED = {"train": 400, "validation": 100, "test": 200}


def drawn(counts: dict[str, int]) -> dict[str, Any]:
    """The arguments that draw so many rows as a recording has trials."""
    return {f"n_{split}": count for split, count in counts.items()}


QUICK: dict[str, Any] = drawn(COUNTS) | {"rank": 3, "search": ca.SearchConfig(max_steps=4, eval_every=2, batch_size=16)}


@pytest.fixture(scope="module")
def brain(tiny_pair: Pair) -> Brain:
    return brain_of(tiny_pair[1].site("hidden"), COUNTS)


@pytest.fixture(scope="module")
def alignment(tiny_pair: Pair, brain: Brain) -> ca.Alignment:
    """With a recording whose task is not named: its columns are its variables."""
    return ca.align([tiny_pair[0].site("hidden"), recording_of(brain, task=None)], method="clmas", **QUICK)


def recording_of(brain: Brain, **options: Any) -> ca.Recording:
    asked: dict[str, Any] = {"task": ca.tasks.MultiObject(), "split": brain.split, "fewest": 1, "unit_variance": False}
    return ca.Recording(brain.states, brain.table, **(asked | options))


def small(states: Any = None, table: pd.DataFrame | None = None, **options: Any) -> ca.Recording:
    """Thirty trials of two values, three samples, four units."""
    if states is None:
        states = np.random.default_rng(0).poisson(3.0, size=(30, 3, 4)).astype(float)
    if table is None:
        table = pd.DataFrame({"side": np.arange(len(states)) % 2})
    return ca.Recording(states, table, **options)


# --- the same as the live network


@pytest.mark.parametrize("method", ["clmas", "latent-stitch"])
def test_a_recording_gives_the_maps_that_the_live_network_gives(tiny_pair: Pair, brain: Brain, method: str) -> None:
    a, b = (network.site("hidden") for network in tiny_pair)
    live = ca.align([a, b], method=method, **QUICK)
    read = ca.align([a, recording_of(brain)], method=method, **QUICK)
    for of_live, of_read in zip(live.maps, read.maps, strict=True):
        torch.testing.assert_close(of_read.frame, of_live.frame, atol=1e-6, rtol=0)
        assert of_read.scale == pytest.approx(of_live.scale, abs=1e-6)
    into_a = live.iia[live.iia["target"] == a.name]["iia"].tolist()
    assert read.iia["iia"].tolist() == into_a  # nothing of it is run, and so only what leads into the other is scored


def test_the_latent_objective_is_equation_8_on_held_out_trials(alignment: ca.Alignment) -> None:
    latents, states = (torch.randn(20, 6, generator=torch.Generator().manual_seed(i)) for i in range(2))
    assert float(latent_distance(latents, states).mean()) == pytest.approx(latent_loss(latents, states), rel=1e-5)
    table = alignment.latent
    assert table["target"].tolist() == ["recording@states"] * 2
    assert (table["ci_low"] < table["distance"]).all()
    assert (table["distance"] < table["ci_high"]).all()
    assert (table["trials"] <= COUNTS["test"]).all()
    assert table["rows"].tolist() == [80, 80]


def test_what_the_scores_do_not_show_is_said(alignment: ca.Alignment, rough: ca.Alignment) -> None:
    said = " ".join(alignment.caveats)
    assert "was read and never run" in said
    assert "needs stimulation" in said
    assert any("its trials have from 4 to " in said for said in alignment.caveats)
    assert "was read and never run" not in " ".join(rough.caveats)
    assert rough.coverage.empty


def test_values_that_were_never_recorded_are_counted(tiny_pair: Pair, brain: Brain) -> None:
    table = brain.table[brain.table["count"] <= 10]
    recording = ca.Recording(brain.states, table, task=ca.tasks.MultiObject(), split=brain.split, fewest=1)
    unmatched = ca.align([tiny_pair[0].site("hidden"), recording], method="latent-stitch", **QUICK).unmatched
    assert set(unmatched["split"]) == {"train", "validation", "test"}
    assert min(values["count"] for values in unmatched["values"]) > 10


@pytest.mark.parametrize("method", ["mas", "stitch", "procrustes", "mas-stepwise"])
def test_what_would_run_a_recording_is_refused(tiny_pair: Pair, brain: Brain, method: str) -> None:
    recording = recording_of(brain)
    with pytest.raises(ca.CausalignError, match=f"is a recording: it can be read and never run, and {method} runs it"):
        ca.align([tiny_pair[0].site("hidden"), recording], method=method, **QUICK)
    for run in (recording.run_from, recording.read, recording.resume):
        with pytest.raises(ca.CausalignError, match="never run"):
            run()


def test_a_recording_can_give_to_a_network_that_is_run(tiny_pair: Pair, brain: Brain) -> None:
    alignment = ca.align([recording_of(brain), tiny_pair[0].site("hidden")], method="stitch", **QUICK)
    assert len(alignment.iia) == 1
    assert alignment.untrained.empty
    with pytest.raises(ca.CausalignError, match="never run, and paired states"):
        ca.align([recording_of(brain), tiny_pair[0].site("hidden")], method="stitch", start="paired", **QUICK)


def test_two_recordings_are_aligned_by_latents_alone(brain: Brain) -> None:
    recordings = [recording_of(brain, name=name) for name in ("left", "right")]
    alignment = ca.align(recordings, method="latent-stitch", **QUICK)
    assert alignment.iia.empty
    assert np.isnan(alignment.worst_iia)
    assert "latent distance" in repr(alignment)


def test_columns_without_a_task_are_variables_too(tiny_pair: Pair, brain: Brain, alignment: ca.Alignment) -> None:
    recording = recording_of(brain, task=None)
    assert recording.task.variables == ("phase", "count")
    assert alignment.record.sites[1].variables == ("phase", "count")
    with pytest.raises(ca.CausalignError, match="unknown variable of recording@states 'cuont'; did you mean 'count'"):
        ca.align([tiny_pair[0].site("hidden"), recording], variable=("count", "cuont"), method="clmas", **QUICK)
    with pytest.raises(ca.CausalignError, match="unknown variable of recording@states 'raw_count'"):
        ca.align([recording_of(brain)] * 2, variable="raw_count", method="latent-stitch", **QUICK)


# --- preprocessing


@pytest.mark.parametrize(
    "asked",
    [
        Preprocess(),
        Preprocess(drop_silent=True, sqrt=True, zscore=True),
        Preprocess(zscore=True, pca=3, drop_silent=True),
        Preprocess(sqrt=True, pca=4),
    ],
)
def test_preprocessing_is_what_numpy_makes_of_the_training_trials_and_is_undone(asked: Preprocess) -> None:
    states = np.random.default_rng(0).poisson([5.0, 2.0, 0.0, 9.0, 4.0], size=(50, 3, 5)).astype(float)
    recording = small(states, preprocess=asked)
    done = recording.preprocessing
    kept = [0, 1, 3, 4] if asked.drop_silent else [0, 1, 2, 3, 4]
    expected = np.sqrt(states[..., kept]) if asked.sqrt else states[..., kept]
    train = expected[recording.splits["train"]].reshape(-1, len(kept))
    if asked.zscore or asked.pca:
        expected = expected - train.mean(axis=0)
    if asked.zscore:
        expected = expected / train.std(axis=0, ddof=1)
    found = done.apply(torch.from_numpy(states)) * done.unit
    if asked.pca:
        centred = (train - train.mean(axis=0)) / (train.std(axis=0, ddof=1) if asked.zscore else 1)
        _, _, axes = np.linalg.svd(centred, full_matrices=False)
        expected = expected @ axes[: asked.pca].T
        found = found * torch.from_numpy(np.sign(expected[0, 0])) * torch.sign(found[0, 0])  # an axis has no sign
    np.testing.assert_allclose(found.numpy(), expected, atol=1e-8)
    back = done.undo(done.apply(torch.from_numpy(states)))
    assert back.shape == states.shape
    if asked.pca is None or asked.pca == 4:
        np.testing.assert_allclose(back.numpy(), states, atol=1e-8)
    recorded, _ = recording.states_and_prefix(recording.draw(5, "test", np.random.default_rng(0)), 3)
    from_test = torch.from_numpy(states[np.sort(recording.splits["test"][:5])])
    torch.testing.assert_close(recorded, done.apply(from_test).float(), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("kind", ["scaler", "pca", "pipeline", "factors"])
def test_a_fitted_transformer_of_scikit_learn_takes_the_place_of_the_steps(
    tiny_pair: Pair, brain: Brain, tmp_path: Path, kind: str
) -> None:
    samples = brain.states[np.isfinite(brain.states).all(axis=2)]
    transformer = {
        "scaler": preprocessing.StandardScaler(),
        "pca": decomposition.PCA(4, whiten=True),
        "pipeline": pipeline.make_pipeline(preprocessing.StandardScaler(), decomposition.PCA(5)),
        "factors": preprocessing.MinMaxScaler(),
    }[kind].fit(samples)
    recording = recording_of(brain, preprocess=transformer)
    states, width = torch.from_numpy(samples[:20]), transformer.transform(samples[:1]).shape[1]
    assert recording.width == width
    np.testing.assert_allclose(recording.preprocessing.apply(states), transformer.transform(states), atol=1e-5)
    found = ca.align([tiny_pair[0].site("hidden"), recording], method="clmas", **QUICK)
    again = ca.load_alignment(found.save(tmp_path))
    coordinates = again.project(1, samples[:20])
    expected = again.maps[1].project(transformer.transform(samples[:20]))
    np.testing.assert_allclose(coordinates, expected, atol=1e-4)
    there = transformer.inverse_transform(again.maps[1].lift(coordinates))
    np.testing.assert_allclose(again.lift(1, coordinates), there, atol=1e-4)
    assert type(transformer).__name__ in str(again.record.sites[1].recording)
    assert "its map is of" not in repr(again)


@pytest.mark.parametrize(
    ("transformer", "message"),
    [
        (
            preprocessing.StandardScaler(),
            "StandardScaler.transform cannot be applied to 9 columns: This Standard",
        ),
        (preprocessing.StandardScaler().fit(np.eye(4)), "cannot be applied to 9 columns: X has 9 features, but"),
        (
            preprocessing.FunctionTransformer(np.square, inverse_func=np.sqrt, validate=True).fit(np.eye(9)),
            "FunctionTransformer.transform is not affine .it is off by",
        ),
        (decomposition.KernelPCA(2), "KernelPCA"),
        (3, "preprocess must be a Preprocess or a fitted transformer like those of scikit-learn; int has no transform"),
    ],
)
def test_a_transformer_that_cannot_be_saved_is_refused(brain: Brain, transformer: Any, message: str) -> None:
    with pytest.raises(ca.InvalidArgument, match=message):
        recording_of(brain, preprocess=transformer)


def test_preprocessing_is_saved_with_the_alignment(tiny_pair: Pair, brain: Brain, tmp_path: Any) -> None:
    recording = recording_of(brain, preprocess=Preprocess(zscore=True, pca=5))
    alignment = ca.align([tiny_pair[0].site("hidden"), recording], method="clmas", **QUICK)
    again = ca.load_alignment(alignment.save(tmp_path / "saved"))
    assert again.record == alignment.record
    assert again.record.sites[1].recording is not None
    assert again.record.sites[1].recording.preprocess["pca"] == 5
    activity = torch.from_numpy(brain.states[:4, 2]).float()
    coordinates = alignment.project(1, activity)
    by_hand = alignment.maps[1].project(recording.preprocessing.apply(activity).float())
    torch.testing.assert_close(coordinates, by_hand)
    torch.testing.assert_close(again.project(1, activity), coordinates)
    lifted = again.lift(1, coordinates)
    assert lifted.shape == activity.shape
    torch.testing.assert_close(alignment.project(1, lifted), coordinates, atol=1e-4, rtol=1e-4)
    pd.testing.assert_frame_equal(again.coverage.drop(columns="site"), alignment.coverage.drop(columns="site"))


# --- what cannot be matched is counted


def test_every_value_is_accounted_for() -> None:
    rng = np.random.default_rng(0)
    states = rng.normal(size=(40, 6, 3))
    states[rng.random((40, 6)) < 0.1, 1] = np.nan  # a unit was not heard
    lengths = rng.integers(3, 7, 40)
    states[np.arange(6) >= lengths[:, None]] = np.nan  # trials end
    values = rng.integers(0, 3, 40).astype(float)
    values[3], values[4] = 7, np.nan  # one value that a single trial has, and one that was not noted down
    recording = small(states, pd.DataFrame({"side": values}))
    counted = recording.coverage
    for split, trials in recording.splits.items():
        for value in {int(values[trial]) for trial in trials}:
            row = counted[(counted["split"] == split) & (counted["side"] == value)].iloc[0]
            of = [trial for trial in trials if values[trial] == value]
            ends = [1 + max(t for t in range(6) if not np.isnan(states[trial, t]).any()) for trial in of]
            whole = [sum(not np.isnan(states[trial, t]).any() for t in range(6)) for trial in of]
            assert (row["trials"], row["samples"]) == (sum(n > 0 for n in whole), sum(whole))
            assert row["missing"] == sum(ends) - sum(whole)
            assert (row["shortest"], row["longest"]) == (min(ends), max(ends))
            assert row["used"] == (len(of) >= 2)
    assert recording.left_out == {"no value of the variables": 1}
    assert 7 in set(counted["side"])
    assert not counted.loc[counted["side"] == 7, "used"].any()
    assert 4 not in np.concatenate(list(recording.splits.values()))


def test_what_is_used_has_every_unit_every_variable_and_enough_repeats() -> None:
    states = np.random.default_rng(1).normal(size=(60, 4, 2))
    states[5:9, 2, 0] = np.nan
    table = pd.DataFrame([{"trial": i, "time": t, "side": i % 2} for i in range(60) for t in range(4) if (i + t) % 7])
    table.loc[table["trial"] == 11, "side"] = 9
    recording = small(states, table, fewest=2)
    for split in recording.splits:
        trials = recording.draw(99, split, np.random.default_rng(0))
        for row, trial in enumerate(trials.index):
            for time in range(4):
                there = bool((trial + time) % 7) and not np.isnan(states[trial, time]).any() and trial != 11
                assert trials.used[row, time] == there
    assert sum(map(len, recording.splits.values())) == 60


def test_the_splits_share_no_trial() -> None:
    recording = small()
    everywhere = np.concatenate(list(recording.splits.values()))
    assert sorted(everywhere) == list(range(30))
    assert [len(trials) for trials in recording.splits.values()] == [18, 6, 6]
    assert not np.array_equal(small(seed=1).splits["test"], recording.splits["test"])
    assert [len(t) for t in small(np.ones((3, 2, 2)), fewest=1).splits.values()] == [1, 1, 1]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"states": np.ones((4, 3))}, r"must be an array \[trials, time, units\], found the shape \[4, 3\]"),
        ({"states": np.ones((0, 3, 2))}, "a recording of 0 trials, 0 samples and 2 units is empty"),
        ({"table": pd.DataFrame({"side": [0, 1]})}, "has 2 rows for 30 trials"),
        ({"columns": ["sid"]}, "unknown variable 'sid'; did you mean 'side'"),
        (
            {"table": pd.DataFrame({"side": ["left"] * 30})},
            "the column 'side' holds 'left'; variables are",
        ),
        ({"table": pd.DataFrame({"side": [0.5] * 30})}, "the column 'side' holds 0.5; variables are whole numbers"),
        (
            {"table": pd.DataFrame({"side": ["lift"] * 30}), "codes": {"side": {"left": 0}}},
            "unknown value of the column 'side' 'lift'; did you mean 'left'",
        ),
        (
            {"rows": "sample", "table": pd.DataFrame({"trial": [0, 30], "time": [0, 0], "side": [1, 1]})},
            "is of trial 30, sample 0; the",
        ),
        ({"table": pd.DataFrame({"trial": [0, 0], "time": [0, 0], "side": [1, 1]})}, "several rows of one sample"),
        ({"states": np.full((30, 3, 4), np.inf)}, "trial 0 of the recording has infinite states"),
        ({"states": np.full((30, 3, 4), -1.0), "preprocess": Preprocess(sqrt=True)}, "has negative states"),
        (
            {"states": np.zeros((30, 3, 4)), "preprocess": Preprocess(drop_silent=True)},
            "none of the 4 units ever",
        ),
        ({"states": np.ones((30, 3, 4)), "preprocess": Preprocess(zscore=True)}, "4 units never vary in the training"),
        ({"preprocess": Preprocess(pca=5)}, "pca=5 is too many for states that vary in 4 dimensions"),
        ({"split": ["train"] * 30}, "no usable trial is assigned to the split 'validation'"),
        ({"split": ["tarin"] * 30}, "unknown split 'tarin'; did you mean 'train'"),
        (
            {"states": np.full((30, 3, 4), np.nan)},
            "no sample has a value of every unit and every variable .0 of 90 samples",
        ),
        ({"task": ca.tasks.MultiObject(), "columns": ["side"]}, "multi-object has the variable 'phase' too"),
        ({"units": ["a"]}, "name each unit: found 1 names for 4 units"),
    ],
)
def test_a_recording_that_cannot_be_used_is_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ca.CausalignError, match=message):
        small(**options)


def test_a_split_without_repeats_can_be_compared_and_not_matched() -> None:
    recording = small(fewest=40)
    assert len(recording.every_trial()) == 30
    with pytest.raises(
        ca.CausalignError, match="has no value that at least 40 trials have .*: its most frequent value has"
    ):
        recording.draw(9, "train", np.random.default_rng(0))


def test_masked_entries_are_missing() -> None:
    states = np.ma.masked_array(np.random.default_rng(0).poisson(3.0, size=(30, 3, 4)).astype(float))
    states[5, 1:, 2] = np.ma.masked
    states.data[5, 1:, 2] = 1e9
    recording = small(states)
    every = recording.every_trial()
    assert every.used[5].tolist() == [True, False, False]
    assert recording.preprocessing.unit < 3  # no state of 1e9 was taken


@pytest.mark.parametrize("offset", [0.0, 1e5, 1e7, 1e9])
def test_scores_keep_their_digits_at_a_large_offset(offset: float) -> None:
    states = np.random.default_rng(0).normal(size=(30, 3, 4))
    recording = small(states + offset, preprocess=Preprocess(zscore=True))
    train = (states + offset)[recording.splits["train"]].reshape(-1, 4) - offset
    expected = (states + offset - offset - train.mean(axis=0)) / train.std(axis=0, ddof=1)
    every = recording.every_trial()
    np.testing.assert_allclose(recording.states_and_prefix(every, 3)[0].numpy(), expected, atol=1e-6)


@pytest.mark.parametrize("dtype", ["float32", torch.float64])
@pytest.mark.parametrize("kind", ["steps", "transformer"])
def test_states_at_an_offset_of_1e8_are_those_of_numpy(dtype: Any, kind: str) -> None:
    """Read and z-scored in float64, and stored as asked. The offsets of units differ, and so do their scales."""
    states = np.random.default_rng(0).normal(size=(30, 3, 4)) * [1, 1e-3, 1, 1e3] + [1e8, 1, -1e8, 1e3]
    drawn = small(states, preprocess=Preprocess(zscore=True)).splits["train"]
    train = states[drawn].reshape(-1, 4)
    deviation = train.std(axis=0, ddof=1 if kind == "steps" else 0)
    expected = (states - train.mean(axis=0)) / deviation
    preprocess = Preprocess(zscore=True) if kind == "steps" else preprocessing.StandardScaler().fit(train)
    recording = small(states, preprocess=preprocess, dtype=dtype, unit_variance=False)
    stored, _ = recording.states_and_prefix(recording.every_trial(), 3)
    assert stored.dtype == recording.dtype == (torch.float32 if dtype == "float32" else torch.float64)
    np.testing.assert_allclose(stored.numpy(), expected, atol=1e-6 if kind == "steps" else 2e-6)
    back = recording.preprocessing.undo(recording.exact_states(recording.every_trial(), 3))
    np.testing.assert_allclose(back.numpy(), states, rtol=1e-14, atol=1e-7)


def test_an_offset_that_takes_the_digits_of_states_is_refused() -> None:
    states = np.random.default_rng(0).normal(size=(30, 3, 4)) + np.array([0, 0, 1e8, 0])
    message = (
        "1 of 4 units lose their digits in float32: unit 2 has the mean 1e.08 and the standard deviation 1.*; center "
        "the states .Preprocess.zscore=True., which is computed in float64. or dtype='float64'"
    )
    for options in ({}, {"unit_variance": False}, {"preprocess": preprocessing.FunctionTransformer().fit(states[0])}):
        with pytest.raises(ca.InvalidArgument, match=message.replace("unit 2", "(unit|dimension) 2")):
            small(states, **options)
    kept = small(states, dtype="float64", unit_variance=False)
    np.testing.assert_array_equal(kept.states_and_prefix(kept.every_trial(), 3)[0].numpy(), states)
    small(states, preprocess=Preprocess(pca=2))
    with pytest.raises(ca.InvalidArgument, match="lose their digits in float64: .*zscore=True.*float64.$"):
        small(states * [1, 1, 1e6, 1] + 1e15 * np.array([0, 1, 0, 0]), dtype="float64")


@pytest.mark.parametrize(("dtype", "name"), [(int, "int"), ("float7", "float7"), (torch.float16, "float16")])
def test_an_unknown_precision_is_one_line(dtype: Any, name: str) -> None:
    with pytest.raises(ca.InvalidArgument, match=f"unknown dtype of states '{name}'; .*float32"):
        small(dtype=dtype)


def test_a_recording_in_double_precision_is_aligned_with_a_network_in_it(tiny_pair: Pair, brain: Brain) -> None:
    site = tiny_pair[0].site("hidden")
    double = recording_of(brain, dtype="float64")
    found = ca.align([site.cast(torch.float64), double], method="clmas", **QUICK)
    assert found.maps[1].frame.dtype == torch.float64
    single = ca.align([site, recording_of(brain)], method="clmas", **QUICK)
    np.testing.assert_allclose(found.latent["distance"], single.latent["distance"], rtol=1e-3)
    with pytest.raises(ca.InvalidArgument, match="of one precision; found torch.float32, torch.float64"):
        ca.align([site, double], method="clmas", **QUICK)


def test_counts_of_whole_numbers_are_preprocessed_as_those_of_reals() -> None:
    counts = np.random.default_rng(0).poisson(3.0, size=(30, 3, 4))
    for preprocess in (Preprocess(zscore=True, sqrt=True), preprocessing.StandardScaler().fit(counts[0])):
        done = small(counts, preprocess=preprocess).preprocessing
        expected = done.apply(torch.from_numpy(counts.astype(float)))
        torch.testing.assert_close(done.apply(torch.from_numpy(counts)), expected)


@pytest.mark.parametrize("value", [0.1, 1 / 3, 2.7, 7.3, 1e6 + 0.1, 137.0])
def test_a_constant_unit_has_no_score_whatever_rounding_makes_of_it(value: float) -> None:
    states = np.random.default_rng(0).poisson(3.0, size=(30, 3, 4)).astype(float)
    states[..., 2] = value
    for sqrt in (False, True):
        with pytest.raises(ca.InvalidArgument, match="1 units never vary in the training trials .unit 2"):
            small(states, preprocess=Preprocess(zscore=True, sqrt=sqrt))


@pytest.mark.parametrize("scale", [1e-300, 1e-11, 1e-6, 1e6, 1e300])
def test_states_are_measured_in_units_of_their_own_variance(scale: float) -> None:
    states = np.random.default_rng(0).normal(size=(30, 3, 4)) + 2
    for preprocess in (Preprocess(), Preprocess(pca=2), Preprocess(zscore=True, pca=2)):
        first, second = (small(states * each, preprocess=preprocess) for each in (1.0, scale))
        of_first, of_second = (
            recording.states_and_prefix(recording.every_trial(), 3)[0].numpy() for recording in (first, second)
        )
        np.testing.assert_allclose(np.abs(of_second), np.abs(of_first), atol=1e-5)  # a component has no sign
        train = of_first[first.splits["train"]].reshape(-1, first.width)
        assert train.var(axis=0, ddof=1).mean() == pytest.approx(1, abs=1e-5)


def test_the_latent_distance_does_not_depend_on_the_unit(tiny_pair: Pair, brain: Brain) -> None:
    site, found = tiny_pair[0].site("hidden"), []
    for scale in (1.0, 1e-6, 1e-11):
        recording = ca.Recording(
            brain.states * scale, brain.table, task=ca.tasks.MultiObject(), split=brain.split, fewest=1
        )
        alignment = ca.align([site, recording], method="clmas", **QUICK)
        found.append(alignment.latent[["distance", "ci_low", "ci_high", "no_swap"]].to_numpy())
        assert alignment.record.sites[1].recording is not None
        assert alignment.record.sites[1].recording.unit == pytest.approx(recording.preprocessing.unit)
        assert any("the root of their mean variance" in said for said in alignment.caveats)
        real = [network.site("hidden") for network in tiny_pair]
        if scale == 1:  # the maps apply to the network that was recorded, whose states are in no such unit
            assert len(alignment.score(real, n_test=50)) == 4
    np.testing.assert_allclose(found[1], found[0], rtol=1e-4)
    np.testing.assert_allclose(found[2], found[0], rtol=1e-4)


def test_trials_of_unequal_length_can_be_a_list() -> None:
    rng = np.random.default_rng(0)
    trials = [rng.normal(size=(3 + index % 5, 4)) for index in range(30)]
    recording = ca.Recording(trials, pd.DataFrame({"side": np.arange(30) % 2}), unit_variance=False)
    every = recording.every_trial()
    assert every.lengths.tolist() == [len(trial) for trial in trials]
    states, _ = recording.states_and_prefix(every, 7)
    np.testing.assert_allclose(states[8, :6].numpy(), trials[8], rtol=1e-6)


def test_what_a_row_is_of_is_said_or_clear() -> None:
    one = pd.DataFrame({"trial": np.arange(30), "time": np.linspace(0.1, 0.9, 30), "side": np.arange(30) % 2})
    with pytest.raises(ca.InvalidArgument, match="say what a row is of, rows='trial' or rows='sample'"):
        small(table=one)
    recording = small(table=one, columns=["side"], rows="trial")
    assert "a row a trial" in repr(recording)
    assert recording.coverage["samples"].sum() == 90
    seconds = pd.DataFrame({"trial": np.repeat(np.arange(30), 3), "time": np.tile([0.0, 0.4, 1.7], 30), "side": 1})
    with pytest.raises(
        ca.InvalidArgument, match="the column 'time' of a row a sample counts samples from 0, and holds 0.0"
    ):
        small(table=seconds)
    assert "a row a sample" in repr(small(table=seconds.assign(time=np.tile(np.arange(3), 30))))


@pytest.mark.parametrize(
    ("column", "options", "expected"),
    [
        ([True, False], {"codes": {"side": {True: 1, False: 0}}}, [1, 0]),
        ([0.0, 1.0], {"codes": {"side": {"0": 4, "1": 6}}}, [4, 6]),
        ([0, 1], {"codes": {"side": {0: 5, 1: 6}}}, [5, 6]),
        ([0.0, 22.5], {"codes": {"side": {"0.0": 0, "22.5": 1}}}, [0, 1]),
        ([0.3, 1.0], {"bins": {"side": [0.0, 0.5, 1.0]}}, [0, 1]),
        ([22.5, -0.25], {"levels": ["side"]}, [1, 0]),
        (["right", "left"], {"levels": ["side"]}, [1, 0]),
    ],
)
def test_columns_become_whole_numbers_as_they_are_told(column: list[Any], options: Any, expected: list[int]) -> None:
    recording = small(table=pd.DataFrame({"side": column * 15}), **options)
    assert recording.every_trial().packed["side"][[0, 3]].tolist() == expected


def test_text_is_read_by_its_codes() -> None:
    table = pd.DataFrame({"side": ["left", "right", None] * 10})
    recording = small(table=table, codes={"side": {"left": 0, "right": 1}})
    assert set(recording.coverage["side"]) == {0, 1}
    assert recording.left_out == {"no value of the variables": 10}


def test_the_example_of_the_documentation_runs(capsys: pytest.CaptureFixture[str]) -> None:
    text = (Path(__file__).parent.parent / "docs" / "recordings.md").read_text()
    (block,) = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    exec(block, {})
    assert "Recording(recording@states, width 30 of 30 units" in capsys.readouterr().out


# --- scores and controls


LONG_ENOUGH = ca.SearchConfig(max_steps=150, eval_every=25, batch_size=64, initial_batch_size=64)


@pytest.fixture(scope="module")
def shipped(zoo_pair: Pair) -> tuple[ca.Alignment, Brain]:
    """One shipped GRU with another that was only recorded."""
    brain = brain_of(zoo_pair[1].site("hidden"), SHIPPED)
    sites = [zoo_pair[0].site("hidden"), recording_of(brain)]
    return ca.align(sites, method="clmas", search=LONG_ENOUGH, **drawn(SHIPPED)), brain


def test_maps_found_on_a_recording_are_scored_on_the_real_network(
    zoo_pair: Pair, shipped: tuple[ca.Alignment, Brain]
) -> None:
    real = [network.site("hidden") for network in zoo_pair]
    alignment, brain = shipped
    into_b = {"clmas": _into_second(ca.score(alignment, real, n_test=300))}
    for method, sites in (
        ("latent-stitch", [real[0], recording_of(brain)]),
        ("stitch", [recording_of(brain), real[0]]),
    ):
        found = ca.align(sites, method=method, search=LONG_ENOUGH, rank=128, start="random", **drawn(SHIPPED))
        table = ca.score(found, real if method != "stitch" else real[::-1], n_test=300)
        into_b[method] = _into_second(table)
    assert into_b["clmas"] > 0.9
    assert into_b["clmas"] - 0.1 > into_b["latent-stitch"] > into_b["stitch"] + 0.1


def _into_second(table: pd.DataFrame) -> float:
    across = (table["source"] == "multi-object/gru/0@hidden") & (table["target"] == "multi-object/gru/1@hidden")
    return float(table.loc[across, "iia"].iloc[0])


def test_scores_want_the_states_that_the_maps_are_of(shipped: tuple[ca.Alignment, Brain], tiny_pair: Pair) -> None:
    alignment, brain = shipped
    with pytest.raises(ca.CausalignError, match="is of 128 dimensions, and cannot .*, whose states have 6"):
        ca.score(alignment, [tiny_pair[0].site("hidden")] * 2)
    with pytest.raises(ca.CausalignError, match="never run, and its IIA is how it goes on"):
        ca.score(alignment, [recording_of(brain)] * 2)


def test_controls_find_nothing(zoo_pair: Pair, shipped: tuple[ca.Alignment, Brain]) -> None:
    _, brain = shipped
    settings = ca.SearchConfig(max_steps=0)
    sites = [zoo_pair[0].site("hidden"), recording_of(brain)]
    table = ca.recording_controls(sites, method="clmas", search=settings, **drawn(SHIPPED))
    across = table[table["source"] != table["target"]]
    iia = across[across["measure"] == "IIA"].set_index("control")["value"]
    assert iia["none"] > 0.5
    assert iia["shuffled variables"] < 0.2
    assert iia["untrained network"] < 0.2
    distance = across[across["measure"] == "latent distance"].set_index("control")["value"]
    assert distance["none"] < 0.5 * distance["shuffled variables"]
    assert distance["none"] < distance["untrained network"]
    with pytest.raises(ca.CausalignError, match="none of the sites is one"):
        ca.recording_controls([zoo_pair[0].site("hidden")] * 2)


def test_shuffled_values_are_the_same_values(brain: Brain) -> None:
    recording = recording_of(brain)
    other = recording.shuffled(3)
    first, second = (each.coverage.groupby(["phase", "count", "split"])["samples"].sum() for each in (recording, other))
    pd.testing.assert_series_equal(first, second)
    before, after = (each.draw(50, "train", np.random.default_rng(0)) for each in (recording, other))
    assert not np.array_equal(dict(before.values)["count"][before.used], dict(after.values)["count"][after.used])
