"""Draws docs/images/recorded.png: what is left of an alignment when ever less of the other network is recorded.

    .venv/bin/python docs/figures/recorded.py

One shipped GRU is run; the other is recorded: some of its units, rectified and scaled to rates, as Poisson counts in
bins of 100 ms, on some trials of every quantity. CLMAS finds the maps. Shown are the IIA of swaps from recorded
activity into the GRU that is run, and the latent distance of swaps the other way, as a share of that with nothing
swapped.
"""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float
from matplotlib.figure import Figure

import causalign as ca
from causalign.random_streams import numpy_stream
from causalign.scoring.comparison import stratified
from causalign.sites.base import Site

IMAGE, TABLE = Path("docs/images/recorded.png"), Path("docs/images/recorded.json")
BLUE, ORANGE = "#0072B2", "#D55E00"
USUAL = {"units": 64, "trials": 30, "rate": 50.0}
VARIED = {"units": [8, 16, 32, 64, 128], "trials": [5, 10, 30, 100], "rate": [5.0, 20.0, 50.0, 200.0]}
SEEDS = range(3)
BIN = 0.1  # s, the time of a token
STEPS = ca.Preprocess(drop_silent=True, sqrt=True)


def counted(
    site: Site, units: int, trials: int, rate: float, seed: int
) -> tuple[Float[np.ndarray, "trials time units"], pd.DataFrame]:
    """Counts of some units on so many trials of each quantity, and the values at each sample where a swap may happen.

    `rate`, in Hz, is the mean of a unit that is at 1. Counts are NaN beyond the end of a trial.
    """
    rng = numpy_stream(seed, "recorded")
    shown = stratified(site.task, trials, rng)
    states = site.read(site.encode(shown.tokens)).numpy()[..., rng.permutation(site.width)[:units]]
    counts = rng.poisson(np.maximum(states, 0) * rate * BIN).astype(np.float32)
    counts[np.arange(counts.shape[1]) >= shown.lengths[:, None]] = np.nan
    trial, time = site.task.swappable(shown.tokens).nonzero()
    known = {name: shown.values[name][trial, time] for name in site.task.variables}  # noqa: PD011 (no table)
    return counts, pd.DataFrame({"trial": trial, "time": time} | known)


def recorded(site: Site, units: int, trials: int, rate: float, seed: int) -> ca.Recording:
    """A recording of these counts."""
    counts, table = counted(site, units, trials, rate, seed)
    return ca.Recording(counts, table, task=site.task, preprocess=STEPS, seed=seed, name="brain", at="units")


def scored(units: int, trials: int, rate: float, seed: int) -> dict[str, float]:
    """What CLMAS comes to."""
    a, b = (ca.zoo.load("multi-object/gru", seed=i).site("hidden") for i in range(2))
    recording = recorded(b, units, trials, rate, seed)
    rank = min(16, recording.width)
    settings = ca.SearchConfig(max_steps=100, batch_size=128, optimizer="adam")
    alignment = ca.align([a, recording], method="clmas", rank=rank, seed=seed, n_train=4000, search=settings)
    iia = alignment.iia.set_index("source").loc[recording.name, "iia"]
    latent = alignment.latent.set_index("source").loc[a.name]
    return {"iia": float(iia), "latent": float(latent["distance"] / latent["no_swap"])}


def main() -> None:
    """Compute what is not yet there, and draw it."""
    rows = json.loads(TABLE.read_text()) if TABLE.exists() else []
    for name, values in VARIED.items():
        for value in values:
            for seed in SEEDS:
                case = USUAL | {name: value} | {"seed": seed}
                if not any(row["case"] == case for row in rows):
                    rows.append({"case": case} | scored(**case))
                    TABLE.write_text(json.dumps(rows, indent=1) + "\n")
                    print(rows[-1])
    figure = Figure(figsize=(9.6, 3.4), layout="constrained")
    labels = ("units recorded, of 128", "trials of each quantity", "rate of a unit at 1 (Hz)")
    for axes, (name, values), label in zip(figure.subplots(1, 3, sharey=True), VARIED.items(), labels, strict=True):
        for measure, colour, said in (("iia", BLUE, "IIA, recorded to run"), ("latent", ORANGE, "latent distance")):
            found = [[r[measure] for r in rows if r["case"] == r["case"] | USUAL | {name: v}] for v in values]
            means = [float(np.mean(of_value)) for of_value in found]
            axes.plot(values, means, "o-", color=colour, label=said)
            axes.fill_between(values, *zip(*((min(f), max(f)) for f in found), strict=True), color=colour, alpha=0.2)
        axes.set_xscale("log")
        axes.set_xticks(values, [f"{value:g}" for value in values])
        axes.minorticks_off()
        axes.set_xlabel(label)
        axes.set_ylim(0, 1.05)
        axes.spines[["top", "right"]].set_visible(False)
    figure.axes[0].set_ylabel("score; distance / distance unswapped")
    figure.axes[0].legend(frameon=False, loc="upper left")
    figure.savefig(IMAGE, dpi=160)


if __name__ == "__main__":
    torch.set_num_threads(1)
    main()
