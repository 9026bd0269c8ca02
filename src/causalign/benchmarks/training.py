"""The speed of training a network to accuracy 1."""

import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np

from causalign.benchmarks import network_pair as _pair
from causalign.benchmarks.measurement import Steps, matrix_multiply
from causalign.benchmarks.row import Row
from causalign.networks.training import Recipe, train
from causalign.tasks.counting import MultiObject


def training(quick: bool) -> Iterator[Row]:
    """Yield the seconds per step of training a GRU on Multi-Object by the paper's recipe.

    With `quick` it is trained for 100 steps only. The note has the accuracy and the number of steps.
    """
    task, recipe = MultiObject(), Recipe()
    if quick:
        recipe = replace(recipe, max_steps=100)
    work, operations = matrix_multiply()
    timer = Steps("training", {"multiply": work})
    with tempfile.TemporaryDirectory() as folder:
        network, card = train(task, "gru", 0, Path(folder), recipe=recipe, callbacks=[timer])
    taken = timer.medians()
    # Trials are padded to the longest of their batch, but only the n - 1 predictions of a trial of n tokens are needed.
    tokens = recipe.batch * float((task.trials(10_000, np.random.default_rng(0)).lengths - 1).mean())
    rate = operations / taken["multiply"]
    needed = _pair.training_operations(network, tokens) / rate
    yield Row(
        benchmark="training",
        case=f"GRU, batch {recipe.batch}",
        ours=taken["ours"],
        unit="s",
        rival=f"float32 matrix multiplication at {rate / 1e9:.0f} GFLOP/s",
        theirs=needed,
        ratio=needed / taken["ours"],
        reads="share",
        note=f"{tokens / taken['ours']:,.0f} tokens/s; accuracy {card.accuracy:.3f} after {card.steps} steps",
    )
