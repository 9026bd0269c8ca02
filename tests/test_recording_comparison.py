"""Comparisons with recordings: over all trials, beside their noise ceiling, and never silently fewer."""

from typing import Any

import numpy as np
import pandas as pd
import pytest
import scipy.stats

import causalign as ca
from causalign.scoring.condition_means import condition_means
from causalign.scoring.crossnobis_comparison import crossnobis_rows
from causalign.scoring.trial_products import TrialProducts

CONDITIONS, WIDTH = 20, 40
TUNING = np.random.default_rng(7).normal(size=(CONDITIONS, WIDTH))


def recorded(noise: float, seed: int, repeats: int = 10, tuning: np.ndarray = TUNING, **options: Any) -> ca.Recording:
    rng = np.random.default_rng(seed)
    image = rng.permutation(np.repeat(np.arange(len(tuning)), repeats))
    states = tuning[image][:, None] + noise * rng.normal(size=(len(image), 1, tuning.shape[1]))
    return ca.Recording(states, pd.DataFrame({"image": image}), **({"name": f"seed {seed}"} | options))


def means(recording: ca.Recording) -> np.ndarray:
    """The mean activity of every condition, over all trials."""
    every = recording.every_trial()
    states, _ = recording.states_and_prefix(every, every.layout.time)
    frame = pd.DataFrame(states[:, 0].double().numpy())
    return frame.groupby(every.packed["image"]).mean().to_numpy()


@pytest.mark.parametrize("repeats", [1, 2, 3, 7])
def test_all_trials_and_conditions_are_compared(repeats: int) -> None:
    a, b = recorded(1, 1, repeats, fewest=1), recorded(2, 2, repeats, fewest=1)
    table = ca.compare(a, b, resamples=10).set_index("measure")
    assert (table["samples"] == CONDITIONS).all()
    assert (table["trials"] == 2 * CONDITIONS * repeats).all()
    assert not table[["trials_left_out", "values_left_out"]].any(axis=None)
    x, y = means(a), means(b)
    assert table["value"]["RSA (Spearman)"] == pytest.approx(ca.rsa(x, y), abs=1e-5)
    assert table["value"]["Procrustes distance"] == pytest.approx(ca.procrustes(x, y), abs=1e-5)
    if repeats == 1:
        assert table["ci_low"].isna().all()
        assert table["note"]["CKA"] == "no interval: a value has a single trial"
        assert table["note"]["RSA (crossnobis)"] == "cross-validated distances need two trials of each value"


def test_what_is_left_out_is_counted() -> None:
    a = recorded(1, 1, 4)
    b = recorded(1, 2, 4, np.concatenate([TUNING[:15], TUNING[:3] + 9]))
    table = ca.compare(a, b, resamples=5)
    assert (table["samples"] == 18).all()
    assert (table["values_left_out"] == 2).all()
    assert (table["trials_left_out"] == 8).all()


@pytest.mark.parametrize("noise", [1.0, 2.0, 4.0])
def test_the_truth_lies_within_the_noise_ceiling(noise: float) -> None:
    truth = recorded(0, 100, 2)
    within = []
    for seed in range(12):
        table = ca.compare(recorded(noise, seed), truth, resamples=2).set_index("measure")
        found = table.loc[["RSA (Spearman)", "RSA (Pearson)", "CKA (debiased)"]]
        within += ((found["ceiling_low"] <= found["value"]) & (found["value"] <= found["ceiling_high"])).tolist()
        assert table.loc[["CKA", "CKA (linear)", "Procrustes distance"], "ceiling_high"].isna().all()
    assert np.mean(within) > 0.9


def test_the_ceiling_has_the_score_of_a_second_recording_as_its_lower_end() -> None:
    lows, twins = [], []
    for seed in range(8):
        first, second = recorded(1.5, seed), recorded(1.5, 50 + seed)
        table = ca.compare(first, recorded(0, 100, 2), resamples=2).set_index("measure")
        lows.append(table["ceiling_low"]["RSA (Pearson)"])
        twins.append(ca.rsa(means(first), means(second), "pearson"))
    assert np.mean(lows) == pytest.approx(np.mean(twins), abs=0.06)  # Spearman and Brown's is a little low
    assert np.mean(lows) <= np.mean(twins) + 0.01


def test_intervals_stay_within_the_range_of_the_measure() -> None:
    quiet, other = recorded(0.02, 1, 3), recorded(0.02, 2, 3)
    for over in ("trials", "conditions", "both"):
        for row in ca.compare(quiet, other, resamples=30, over=over).to_dict("records"):
            low, high = (0.0, 2**0.5) if "distance" in row["measure"] else (-1.0, 1.0)
            assert low <= row["ci_low"] <= row["value"] <= row["ci_high"] <= high, (over, row)
    with pytest.raises(ca.InvalidArgument, match="unknown kind of interval 'trial'; did you mean 'trials'"):
        ca.compare(quiet, other, over="trial")


def test_the_interval_over_conditions_is_the_jackknife_s() -> None:
    a, b = recorded(2, 1), recorded(2, 2)
    x, y = means(a), means(b)
    row = ca.compare(a, b, resamples=2, over="conditions").set_index("measure").loc["RSA (Pearson)"]
    left = [np.arctanh(ca.rsa(np.delete(x, out, 0), np.delete(y, out, 0), "pearson")) for out in range(CONDITIONS)]
    error = np.sqrt((CONDITIONS - 1) ** 2 / CONDITIONS * np.var(left, ddof=1))
    ends = np.tanh(np.arctanh(ca.rsa(x, y, "pearson")) + scipy.stats.norm.ppf([0.025, 0.975]) * error)
    np.testing.assert_allclose([row["ci_low"], row["ci_high"]], ends, atol=1e-4)


def test_a_condition_that_falls_silent_costs_a_draw_and_not_the_measures() -> None:
    rng = np.random.default_rng(0)
    image = np.repeat(np.arange(6), 10)
    states = rng.normal(5, 1, size=(60, 1, 6))
    states[:8] = 0  # the first condition fires in 2 of its 10 trials
    recording = ca.Recording(states, pd.DataFrame({"image": image}), fewest=1)
    table = ca.compare(recording, recorded(1, 2, 4, TUNING[:6]), resamples=60).set_index("measure")
    assert table["value"].notna().all()
    assert (table["draws"] == 60).all()
    silent = 0.8**10  # the chance that none of the two is drawn
    assert 1 <= table["repeated"].iloc[0] <= 60 * silent / (1 - silent) * 3


def test_cross_validated_distances_find_nothing_in_noise() -> None:
    """Where conditions have unequally many trials, the noise of two recordings makes them similar to CKA."""
    rng = np.random.default_rng(0)
    image = np.repeat(np.arange(20), np.repeat([2, 30], 10))
    table, found = pd.DataFrame({"image": image}), []
    for _ in range(8):
        pair = [ca.Recording(rng.normal(size=(len(image), 1, 30)), table, name=name) for name in "ab"]
        found.append(ca.compare(*pair, resamples=2).set_index("measure")["value"])
    values = pd.concat(found, axis=1).T
    assert (values["CKA (linear)"] > 0.5).all()
    assert abs(values["RSA (crossnobis)"].mean()) < 3 * values["RSA (crossnobis)"].std() / 8**0.5
    assert abs(values["RSA (crossnobis)"].mean()) < 0.25


@pytest.mark.parametrize("several", [False, True])
def test_cross_validated_distances_are_of_all_pairs_of_distinct_trials(several: bool) -> None:
    """By three loops, of trials that are drawn several times, and have one condition or several."""
    rng = np.random.default_rng(3)
    trials, values = 9, 4
    table = pd.DataFrame(
        [{"trial": t, "time": s, "image": (t + s * several) % values} for t in range(trials) for s in (0, 1)]
    )
    states = rng.normal(size=(trials, 2, 5)) + 1e6
    recording = ca.Recording(states, table, fewest=1, unit_variance=False, dtype="float64")
    (side,), _, _ = condition_means([recording], "full", 0)
    centered, times = states - states.mean(axis=(0, 1)), rng.integers(1, 3, trials)
    found = TrialProducts(side).distances(times)
    drawn = [
        (t, row)
        for t in range(trials)
        for _ in range(times[t])
        for row in table[table["trial"] == t].to_dict("records")
    ]
    kernel = np.zeros((values, values))
    for i in range(values):
        for j in range(values):
            products = [
                centered[t, a["time"]] @ centered[u, b["time"]]
                for t, a in drawn
                for u, b in drawn
                if t != u and a["image"] == i and b["image"] == j
            ]
            kernel[i, j] = np.mean(products)
    expected = np.diag(kernel)[:, None] + np.diag(kernel) - 2 * kernel
    np.testing.assert_allclose(found, expected / 5, atol=1e-7)
    once = TrialProducts(side).distances(np.where(np.arange(trials) % values == 1, 0, 1) if not several else None)
    assert np.isnan(np.diag(once)[1]) != several


def test_the_intervals_of_cross_validated_distances_have_what_repeats_of_the_recording_have() -> None:
    """The mean over recordings lies within the interval of each. Resampled trials are noisier, so that it is wide."""
    model = recorded(0, 100, 2, TUNING + np.random.default_rng(1).normal(size=TUNING.shape))
    tables = []
    for seed in range(16):
        sides, _, _ = condition_means([recorded(2, seed), model], "full", 0)
        tables.append(pd.DataFrame(crossnobis_rows(sides, 60, 0, "trials")).assign(seed=seed))
    table = pd.concat(tables)
    assert (table["draws"] == 60).all()
    values, low, high = (table.pivot_table(name, "seed", "measure") for name in ("value", "ci_low", "ci_high"))
    assert ((low <= values.mean()) & (values.mean() <= high)).mean().min() > 0.9
    width = (high - low).mean() / (2 * 1.96 * values.std())
    assert (width > 0.8).all()
    assert (width < 5).all()


def test_the_interval_of_crossnobis_over_conditions_is_the_jackknife_s() -> None:
    a, b = recorded(1, 1), recorded(0, 2, 2, TUNING[:, ::-1])
    row = ca.compare(a, b, resamples=2, over="conditions").set_index("measure").loc["RSA (crossnobis)"]
    left = []
    for out in range(CONDITIONS):
        kept = [rows(each, np.arange(CONDITIONS) != out) for each in (a, b)]
        left.append(np.arctanh(ca.compare(*kept, resamples=2).set_index("measure")["value"]["RSA (crossnobis)"]))
    error = np.sqrt((CONDITIONS - 1) ** 2 / CONDITIONS * np.var(left, ddof=1))
    ends = np.tanh(np.arctanh(row["value"]) + scipy.stats.norm.ppf([0.025, 0.975]) * error)
    np.testing.assert_allclose([row["ci_low"], row["ci_high"]], ends, atol=1e-3)


def rows(recording: ca.Recording, conditions: np.ndarray) -> ca.Recording:
    """The recording of some conditions only."""
    every = recording.every_trial()
    states = recording.exact_states(every, 1).numpy()
    image = every.packed["image"]
    kept = conditions[image]
    return ca.Recording(states[kept], pd.DataFrame({"image": image[kept]}), unit_variance=False)


def test_sites_are_compared_each_with_each() -> None:
    sites = [recorded(1, seed, 3) for seed in range(3)]
    table = ca.compare(sites, resamples=2)
    assert len(table) == 3 * 9
    pair = ca.compare(sites[0], sites[2], resamples=2)
    of_all = table[(table["a"] == sites[0].name) & (table["b"] == sites[2].name)].reset_index(drop=True)
    pd.testing.assert_frame_equal(of_all, pair)
    with pytest.raises(ca.InvalidArgument, match="compare takes at least 2 sites, found 1"):
        ca.compare(sites[:1])
    for measure, same in (("CKA", 1.0), ("Procrustes distance", 0.0), ("RSA (whitened cosine)", 1.0)):
        matrix = ca.comparison_matrix(table, measure)
        assert matrix.index.tolist() == matrix.columns.tolist() == [site.name for site in sites]
        np.testing.assert_array_equal(matrix, matrix.T)
        assert (np.diag(matrix) == same).all()
        assert matrix.iloc[0, 2] == pair.set_index("measure")["value"][measure]
    with pytest.raises(ca.InvalidArgument, match="unknown measure 'cka'; did you mean 'CKA'"):
        ca.comparison_matrix(table, "cka")
    with pytest.raises(ca.InvalidArgument, match="several sites are called seed 0@states: give each recording a name"):
        ca.compare([*sites, sites[0]])


def test_models_of_one_recording_are_told_apart() -> None:
    rng = np.random.default_rng(1)
    brain = recorded(1, 1)
    good = recorded(0, 2, 2, TUNING + 0.5 * rng.normal(size=TUNING.shape), name="good")
    twin = recorded(0, 3, 2, TUNING + 0.5 * rng.normal(size=TUNING.shape), name="twin")
    poor = recorded(0, 4, 2, rng.normal(size=TUNING.shape), name="poor")
    table = ca.compare_models(brain, [good, twin, poor], resamples=200).set_index(["first", "second"])
    first: Any = table.loc[("good@states", "poor@states")]
    second: Any = table.loc[("good@states", "twin@states")]
    assert first["p"] < 0.02
    assert first["ci_low"] > 0
    assert second["p"] > 0.05
    assert first["first_value"] == pytest.approx(ca.rsa(means(brain), means(good)), abs=1e-4)
    ranks = [scipy.stats.rankdata(ca.rdm(means(each))) for each in (brain, good, twin, poor)]
    inverse = np.linalg.inv(np.corrcoef([ranks[0], ranks[1], ranks[2], ranks[3]]))  # partial correlations
    expected = -inverse[0, 1] / np.sqrt(inverse[0, 0] * inverse[1, 1])
    assert first["first_partial"] == pytest.approx(expected, abs=1e-4)


def test_numbers_that_stand_for_other_entries_are_refused() -> None:
    rng = np.random.default_rng(0)
    made = [
        ca.Recording(rng.normal(size=(40, 1, 3)), pd.DataFrame({"angle": list(angles) * 8}), levels=["angle"], name=n)
        for n, angles in (("a", (0.0, 22.5, 45.0, 67.5, 90.0)), ("b", (0.0, 30.0, 60.0, 90.0, 120.0)))
    ]
    assert made[0].levels == {"angle": (0.0, 22.5, 45.0, 67.5, 90.0)}
    with pytest.raises(
        ca.InvalidArgument, match="the numbers of 'angle' stand for 0.0, 22.5, .* in a@states and for 0.0,"
    ):
        ca.compare(*made)
    site = ca.zoo.load("multi-object/gru", seed=0).site("hidden")
    with pytest.raises(ca.InvalidArgument, match="in a@states and for themselves in multi-object/gru/0@hidden"):
        ca.align([made[0], site], variable=("angle", "count"), method="latent-stitch", rank=2)
