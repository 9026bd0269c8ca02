"""Is a network nearest to the recording of itself? `python docs/figures/simulated_brain.py` writes docs/recordings.md.

Each of four GRUs of the zoo is a brain: 64 of its 128 units fire Poisson spikes, at 50 Hz where a unit is at 1, on 30
trials of each quantity. The spikes are written to an NWB file, and copied to a Zarr store. The recording is what
`Recording.from_nwb` makes of the file. Each recording has its own draw of units, trials and noise. CLMAS of rank 16
aligns it with each of the four networks, and the search runs until it settles: until the validation loss falls by less
than 0.5 % in 50 steps. So there are 16 pairs of a network and a recording, four of a network and its own recording, and
twelve of another network.

The rule, which was set before the 16 runs, after one run of another pair had shown how long they take:

* The mean over own pairs is compared with the mean over other pairs. Each network and each recording has a part in both
  means in the same proportion, so that a network or a recording that scores well with everything has no effect.
* The latent distance of swaps into the recording decides, because it is the score of the system that cannot be run. Its
  unit is the distance with nothing swapped. The IIA of swaps from the recording into the network is reported beside it.
* A measure tells the own network if the mean of own pairs is better, and if the 95 % interval of the difference
  excludes 0. The interval is by the jackknife over the four networks (`ca.pair_difference`).
* Of the 24 ways to assign the networks to the recordings, the rank of the true one is reported too.

Scores are kept in simulated_brain.json, and a script that was stopped goes on. It takes a quarter of an hour on one
core.
"""

import json
import tempfile
import warnings
from datetime import UTC, datetime
from itertools import permutations
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pynwb
import torch
from hdmf_zarr import NWBZarrIO
from jaxtyping import Float
from recorded import BIN, STEPS, USUAL, counted

import causalign as ca
from causalign.sites.base import Site

TABLE, PAGE = Path(__file__).with_suffix(".json"), Path(__file__).parent.parent / "recordings.md"
BEGIN, END = "<!-- written by docs/figures/simulated_brain.py -->\n", "<!-- end of brain -->"
NETWORKS, RANK = range(4), 16
SETTLED = ca.SearchConfig(batch_size=128, initial_batch_size=128, min_delta=0.005)
MEASURES = {
    "latent": ("latent distance into the recording, as a share of that with nothing swapped", False),
    "iia": ("IIA from the recording into the network", True),
}
"""The scores by name: their title, and whether a high one is good."""


def site_of(network: int) -> Site:
    """The hidden state of a shipped GRU."""
    return ca.zoo.load("multi-object/gru", seed=network).site("hidden")


def write_nwb(path: Path, counts: Float[np.ndarray, "trials time units"], table: pd.DataFrame) -> None:
    """Write the spikes of a session: trials one after another, and spikes at random times within the bins."""
    start = datetime(2026, 1, 1, tzinfo=UTC)
    file: Any = pynwb.NWBFile(session_description="a simulated brain", identifier="brain", session_start_time=start)
    names = [name for name in table.columns if name not in ("trial", "time")]
    for name in names:
        file.add_trial_column(name=name, description=name, index=True)
    lengths = (~np.isnan(counts[..., 0])).sum(axis=1)
    starts = BIN * (np.cumsum(lengths + 5) - lengths)
    by_trial = {trial: rows.set_index("time") for trial, rows in table.groupby("trial")}
    for trial, (begin, length) in enumerate(zip(starts, lengths, strict=True)):
        values = {name: [float(by_trial[trial][name].get(t, np.nan)) for t in range(length)] for name in names}
        file.add_trial(start_time=begin, stop_time=begin + length * BIN, **values)
    rng = np.random.default_rng(0)
    begins = starts[:, None] + BIN * np.arange(counts.shape[1])
    for unit in range(counts.shape[2]):
        fired = np.repeat(begins.ravel(), np.nan_to_num(counts[..., unit]).astype(int).ravel())
        file.add_unit(spike_times=np.sort(fired + BIN * rng.uniform(0.01, 0.99, len(fired))))
    with pynwb.NWBHDF5IO(path, "w") as io:
        io.write(file)


def write_zarr(path: Path, store: Path) -> None:
    """Copy an NWB file to a Zarr store."""
    with warnings.catch_warnings():  # of zarr's own
        warnings.simplefilter("ignore")
        with pynwb.NWBHDF5IO(path, "r") as source, NWBZarrIO(str(store), "w") as out:
            out.export(src_io=source, write_args={"link_data": False})


def recording_of(network: int, folder: Path) -> ca.Recording:
    """The recording of a network, from its file.

    Raises:
        AssertionError: The file or its Zarr store has other states than those that were simulated.
    """
    site, path = site_of(network), folder / f"brain-{network}.nwb"
    counts, table = counted(site, **USUAL, seed=network)
    write_nwb(path, counts, table)
    write_zarr(path, store := path.with_suffix(".zarr"))
    options: dict[str, Any] = {"task": site.task, "preprocess": STEPS, "seed": network}
    opened = [ca.Recording.from_nwb(where, bin=BIN, **options) for where in (path, store)]
    simulated = ca.Recording(counts, table, **options)
    assert {each.fingerprint for each in opened} == {simulated.fingerprint}
    return opened[0]


def scored(network: int, recording: ca.Recording) -> dict[str, float]:
    """Return the scores of a network and a recording."""
    site = site_of(network)
    found = ca.align([site, recording], method="clmas", rank=RANK, search=SETTLED, n_train=4000)
    iia = found.iia.set_index("source").loc[recording.name]
    latent = found.latent.set_index("source").loc[site.name]
    return {
        "iia": float(iia["iia"]),
        "no_swap": float(iia["no_swap"]),
        "latent": float(latent["distance"] / latent["no_swap"]),
        "steps": found.record.steps,
    }


def conclude(rows: list[dict[str, Any]]) -> str:
    """Return what the rule says of the scores, as a table of Markdown."""
    lines = [
        "| measure | own network | other networks | difference | 95 % interval | rank of the true assignment |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    verdicts = []
    for name, (title, high) in MEASURES.items():
        table = pd.DataFrame(rows).pivot_table(index="run", columns="brain", values=name)
        matrix = table.to_numpy()
        own = [(network, network) for network in NETWORKS]
        other = [(run, brain) for run in NETWORKS for brain in NETWORKS if run != brain]
        of_own, of_other = ([float(matrix[pair]) for pair in pairs] for pairs in (own, other))
        difference = ca.pair_difference((of_own, own), (of_other, other))
        low, high_end = difference.interval()
        sign = 1 if high else -1
        totals = [sign * matrix[list(order), list(NETWORKS)].sum() for order in permutations(NETWORKS)]
        rank = 1 + sum(total > totals[0] + 1e-12 for total in totals[1:])
        lines.append(
            f"| {title} | {np.mean(of_own):.3f} | {np.mean(of_other):.3f} | {difference.value:+.3f} "
            f"| {low:+.3f} to {high_end:+.3f} | {rank} of {len(totals)} |"
        )
        told = sign * difference.value > 0 and not low <= 0 <= high_end
        verdicts.append(f"the {'latent distance' if name == 'latent' else 'IIA'} {'does' if told else 'does not'}")
    steps = [row["steps"] for row in rows]
    said = f"By the rule, {verdicts[0]} tell a network's own recording from those of others, and {verdicts[1]}."
    size = f"({len(rows)} alignments; the searches took {min(steps)} to {max(steps)} steps.)"
    return "\n".join([*lines, "", f"{said} {size}"]) + "\n"


def main() -> None:
    """Score what is not yet there, and write the page."""
    rows = json.loads(TABLE.read_text()) if TABLE.exists() else []
    with tempfile.TemporaryDirectory() as folder:
        for brain in NETWORKS:
            there = {row["run"] for row in rows if row["brain"] == brain}
            if there == {*NETWORKS}:
                continue
            recording = recording_of(brain, Path(folder))
            for run in sorted({*NETWORKS} - there):
                rows.append({"brain": brain, "run": run} | scored(run, recording))
                TABLE.write_text(json.dumps(rows, indent=1) + "\n")
                print(rows[-1], flush=True)
            recording.close()
    text = PAGE.read_text()
    start, stop = text.index(BEGIN) + len(BEGIN), text.index(END)
    PAGE.write_text(text[:start] + conclude(rows) + text[stop:])


if __name__ == "__main__":
    torch.set_num_threads(1)
    main()
