"""A network as a brain of which half the units were recorded, with noise, in the files that laboratories have.

30 trials of each quantity, 64 of 128 units, rectified, as Poisson counts at 50 Hz where a unit is at 1.
"""

import dataclasses
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pynwb
import pytest

import causalign as ca
from brains import Brain, brain_of, write_nwb

Pair = tuple[ca.networks.GRU, ca.networks.GRU]
COUNTS = {"train": 360, "validation": 120, "test": 120}
TOKEN = 0.1  # seconds


def noisy(network: ca.networks.GRU) -> Brain:
    brain = brain_of(network.site("hidden"), COUNTS)
    rng = np.random.default_rng(0)
    rates = 50 * np.maximum(brain.states[..., rng.choice(128, 64, replace=False)], 0)
    counts = rng.poisson(np.nan_to_num(rates) * TOKEN)
    return dataclasses.replace(brain, states=np.where(np.isnan(rates), np.nan, counts))


@pytest.fixture(scope="module")
def brain(zoo_pair: Pair) -> Brain:
    return noisy(zoo_pair[1])


@pytest.fixture(scope="module")
def volts(brain: Brain, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_nwb(tmp_path_factory.mktemp("volts") / "brain.nwb", brain)


def recorded(path: Path) -> ca.Recording:
    return ca.Recording.from_nwb(path, series="states", task=ca.tasks.MultiObject(), split="split", fewest=1)


def aligned(network: ca.networks.GRU, recording: ca.Recording, steps: int) -> ca.Alignment:
    rows: dict[str, Any] = {"n_train": 360, "n_validation": 60, "n_test": 200}
    search = ca.SearchConfig(max_steps=steps, eval_every=max(1, steps), batch_size=256, initial_batch_size=256)
    return ca.align([network.site("hidden"), recording], method="clmas", rank=16, search=search, **rows)


def into_recording(alignment: ca.Alignment) -> tuple[float, float]:
    """The latent distance of swaps from the network into the recording, with and without the swap."""
    table = alignment.latent.set_index("source")
    row = table.loc[next(name for name in table.index if "gru" in name)]
    return row["distance"], row["no_swap"]


def test_the_brain_s_own_network_is_nearest_to_it(zoo_pair: Pair, volts: Path) -> None:
    recording = recorded(volts)
    own, other = (aligned(network, recording, 30) for network in (zoo_pair[1], zoo_pair[0]))
    nothing = aligned(zoo_pair[1], recording.shuffled(0), 0)
    (of_own, no_swap), (of_other, _), (of_nothing, _) = map(into_recording, (own, other, nothing))
    assert of_own < of_other < 0.6 * no_swap
    assert of_nothing > 0.9 * no_swap
    for alignment in (own, other):
        into_network = alignment.iia[alignment.iia["source"] == recording.name].iloc[0]
        assert into_network["ci_low"] > into_network["no_swap"]


def test_volts_microvolts_and_zarr_give_the_same(zoo_pair: Pair, brain: Brain, volts: Path, tmp_path: Path) -> None:
    zarr = pytest.importorskip("hdmf_zarr")
    paths = [volts, write_nwb(tmp_path / "micro.nwb", brain, conversion=1e-6), tmp_path / "brain.nwb.zarr"]
    with warnings.catch_warnings():  # of zarr's own
        warnings.simplefilter("ignore")
        with pynwb.NWBHDF5IO(volts, "r") as source, zarr.NWBZarrIO(str(paths[2]), "w") as out:
            out.export(src_io=source, write_args={"link_data": False})
        tables = [aligned(zoo_pair[0], recorded(path), 2).latent for path in paths]
    for other in tables[1:]:
        np.testing.assert_allclose(
            other[["distance", "ci_low", "ci_high", "no_swap"]],
            tables[0][["distance", "ci_low", "ci_high", "no_swap"]],
            rtol=1e-3,
        )
