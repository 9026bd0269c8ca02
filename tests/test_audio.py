"""A pitch tracker of waveforms, six blocks of one-dimensional convolutions as in CREPE, small and trained on tones."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

import causalign as ca
from causalign.counterfactuals.direction import Direction
from causalign.counterfactuals.interventions import interchange
from causalign.engine.run import run_interventions
from causalign.maps.base import AlignmentMap, random_frame
from test_counterfactuals import all_rows

SAMPLES, RATE, BINS = 512, 8000, 12
PITCHES = 200 * 2 ** (np.arange(BINS) / 6)  # hertz, two semitones apart


class PitchTracker(nn.Module):
    """A waveform `[rows, samples]` to logits of pitch bins: convolution, rectifier, normalization, pooling, dropout."""

    def __init__(self) -> None:
        super().__init__()
        sizes = [(1, 16, 32, 4), (16, 8, 16, 1), (8, 8, 8, 1), (8, 8, 8, 1), (8, 16, 8, 1), (16, 32, 8, 1)]
        self.blocks = nn.Sequential(
            *(
                nn.Sequential(
                    nn.Conv1d(before, after, kernel, stride, padding=(kernel - stride) // 2),
                    nn.ReLU(),
                    nn.BatchNorm1d(after),
                    nn.MaxPool1d(2, ceil_mode=True),
                    nn.Dropout(0.1),
                )
                for before, after, kernel, stride in sizes
            )
        )
        self.classifier = nn.LazyLinear(BINS)

    def forward(self, wave: Float[Tensor, "rows samples"]) -> Float[Tensor, "rows bins"]:
        logits: Tensor = self.classifier(self.blocks(wave[:, None]).flatten(1))
        return logits


def tones(rng: np.random.Generator, bins: Int[np.ndarray, " rows"]) -> Float[Tensor, "rows samples"]:
    """Tones of these pitch bins with random phases, loudness, overtones and a little noise."""
    phase = 2 * np.pi * PITCHES[bins][:, None] * np.arange(SAMPLES) / RATE
    starts, loudness = rng.uniform(0, 2 * np.pi, (2, len(bins), 1)), rng.uniform(0.5, 1, (2, len(bins), 1))
    wave = loudness[0] * np.sin(phase + starts[0]) + 0.5 * loudness[1] * np.sin(2 * phase + starts[1])
    return torch.from_numpy(wave + 0.05 * rng.standard_normal(wave.shape)).float()


@pytest.fixture(scope="module")
def tracker() -> PitchTracker:
    rng = np.random.default_rng(0)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = PitchTracker()
        model(torch.randn(2, SAMPLES))
        optimizer = torch.optim.Adam(model.parameters(), 3e-3)
        for _ in range(120):
            bins = rng.integers(0, BINS, 64)
            optimizer.zero_grad()
            nn.functional.cross_entropy(model(tones(rng, bins)), torch.from_numpy(bins)).backward()
            optimizer.step()
    return model.eval()


def dataset(site: Any, rows: int, **options: Any) -> tuple[ca.Counterfactuals, dict[str, Any]]:
    """Pairs of tones: after a swap, the target should have the pitch of the source."""
    rng = np.random.default_rng(1)
    bins = rng.integers(0, BINS, (2, rows))
    waves: dict[str, Any] = {"source_inputs": tones(rng, bins[0]), "target_inputs": tones(rng, bins[1])}
    labels: dict[str, Any] = {
        "labels": bins[0].tolist(),
        "no_swap_labels": bins[1].tolist(),
        "values": bins[0].tolist(),
    }
    return ca.Counterfactuals.from_arrays(site, **waves, **labels, **options), waves


WIDTHS = {"blocks.2": 8 * 16, "blocks.5": 32 * 2, "classifier:input": 32 * 2}


def edited(tracker: PitchTracker, at: str, wave: Tensor, edit: Callable[[Tensor], Tensor | None]) -> Tensor:
    """The logits of one waveform in a run in which a hook edits the state at a place."""
    path, _, side = at.partition(":")
    submodule = tracker.get_submodule(path)
    if side:
        hook = submodule.register_forward_pre_hook(lambda _, args: edit(args[0]))
    else:
        hook = submodule.register_forward_hook(lambda _, __, out: edit(out))
    with torch.no_grad():
        logits: Tensor = tracker(wave[None])[0]
    hook.remove()
    return logits


@pytest.mark.parametrize("at", WIDTHS)
def test_every_row_is_a_hooked_run_of_the_plain_module(tracker: PitchTracker, at: str) -> None:
    site = ca.Site(tracker, at, inputs=torch.randn(3, SAMPLES), whole=True)
    assert site.width == WIDTHS[at]
    count = 20
    data, waves = dataset(site, count + 2, split=["train"] * count + ["validation", "test"])
    batch = all_rows(data)[Direction(0, 0)].take(torch.arange(count))
    frame = AlignmentMap(random_frame(site.width, 5, torch.Generator().manual_seed(1)), 1.0)
    run = run_interventions(site, [batch], [interchange(batch.target_states, batch.source_states, frame, frame)])
    logits, projector = site.read_out(run.features), frame.frame @ frame.frame.mT
    for row in range(count):
        source, target = (waves[f"{end}_inputs"][row] for end in ("source", "target"))
        taken: list[Tensor] = []
        edited(tracker, at, source, taken.append)

        def swap(own: Tensor, taken: list[Tensor] = taken) -> Tensor:
            return (own.flatten() + projector @ (taken[0] - own).flatten()).view(own.shape)

        wanted = edited(tracker, at, target, swap)
        torch.testing.assert_close(logits[run.trial == row][0], wanted, atol=1e-5, rtol=1e-5)
        assert float((wanted - edited(tracker, at, target, lambda _: None)).abs().max()) > 1e-3


def test_a_search_finds_the_pitch_at_the_input_of_the_classifier(tracker: PitchTracker) -> None:
    site = ca.Site(tracker, "classifier:input", inputs=torch.randn(3, SAMPLES))
    data, _ = dataset(site, 600)
    found = ca.align(data, method="das", rank=BINS - 1, search=ca.SearchConfig(max_steps=60, batch_size=64), seed=0)
    (line,) = found.iia.to_dict("records")
    assert line["iia"] > 0.9
    assert line["no_swap"] < 0.3
