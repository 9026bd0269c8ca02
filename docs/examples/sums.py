"""Two networks that add two digits, one from images and one from text: `python docs/examples/sums.py`.

A convolutional network reads two handwritten digits side by side (those of scikit-learn), and a small BERT reads
`a + b = [MASK]`. Both say the sum. The variable is the left digit: after the swap the target should add the *source's*
left digit to its own right one. DAS asks this of places in each network (of the BERT at the token of the left digit),
and MAS between the two. The table, with controls, is written to docs/other-modules.md. It takes some minutes on two
cores.
"""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from page_part import write_part
from sklearn.datasets import load_digits
from torch import Tensor, nn
from transformers import BertConfig, BertForMaskedLM

import causalign as ca

PAGE = Path(__file__).parent.parent / "other-modules.md"
BEGIN, END = "<!-- written by docs/examples/sums.py -->\n", "<!-- end -->"
SUMS, PLUS, EQUALS, MASK = 19, 19, 20, 21  # ids: a sum is its own id
TRAINING_IMAGES = 1200
ROWS = 4000


class SumOfImages(nn.Module):
    """Logits of the sum of two digits in an image, `[rows, 1, 8, 16]`."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Sequential(
            nn.Conv2d(1, 16, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(16, 32, 3), nn.ReLU()
        )
        self.hidden, self.head = nn.Linear(32 * 2 * 6, 128), nn.Linear(128, SUMS)

    def forward(self, images: Tensor) -> Tensor:
        """Return the logits, `[rows, 19]`."""
        logits: Tensor = self.head(torch.relu(self.hidden(self.conv(images).flatten(1))))
        return logits


class Digits:
    """Images of digits, by their value. Training and held-out images differ."""

    def __init__(self, held_out: bool) -> None:
        digits = load_digits()
        part = slice(TRAINING_IMAGES, None) if held_out else slice(TRAINING_IMAGES)
        self.images, self.values = digits.images[part] / 16, digits.target[part]

    def draw(self, values: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Return an image of each value, drawn at random."""
        return np.stack([self.images[rng.choice(np.flatnonzero(self.values == value))] for value in values])

    def pairs(self, values: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Return an image `[1, 8, 16]` of each pair of values `[rows, 2]`."""
        left, right = (self.draw(values[:, side], rng) for side in range(2))
        return np.concatenate([left, right], axis=2)[:, None].astype(np.float32)


def text(values: np.ndarray) -> np.ndarray:
    """Return `a + b = [MASK]` for each pair of values, `[rows, 5]`."""
    left, right = values.T
    fixed = [np.full(len(values), each) for each in (PLUS, EQUALS, MASK)]
    return np.stack([left, fixed[0], right, fixed[1], fixed[2]], axis=1)


def train(module: nn.Module, batch: Any, steps: int) -> nn.Module:
    """Train a module; `batch` returns its logits and the labels of a step."""
    optimizer = torch.optim.AdamW(module.parameters(), 2e-3)
    for _ in range(steps):
        logits, labels = batch()
        loss = nn.functional.cross_entropy(logits, labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return module.eval()


def networks(rng: np.random.Generator) -> tuple[nn.Module, nn.Module]:
    """Return both networks, trained."""
    torch.manual_seed(0)
    digits, cnn = Digits(held_out=False), SumOfImages()
    size = {"hidden_size": 64, "num_hidden_layers": 3, "num_attention_heads": 4, "intermediate_size": 128}
    bert = BertForMaskedLM(BertConfig(vocab_size=MASK + 1, max_position_embeddings=8, **size))

    def images() -> tuple[Tensor, Tensor]:
        values = rng.integers(0, 10, (128, 2))
        return cnn(torch.from_numpy(digits.pairs(values, rng))), torch.from_numpy(values.sum(1))

    def sentences() -> tuple[Tensor, Tensor]:
        values = rng.integers(0, 10, (128, 2))
        logits = bert(input_ids=torch.from_numpy(text(values))).logits[:, -1]
        return logits, torch.from_numpy(values.sum(1))

    return train(cnn, images, 1500), train(bert, sentences, 1500)


def dataset(sites: list[Any], rng: np.random.Generator) -> ca.Counterfactuals:
    """Return rows in which the left digit is swapped, for sites of either network."""
    held_out, source, target = Digits(held_out=True), rng.integers(0, 10, (ROWS, 2)), rng.integers(0, 10, (ROWS, 2))
    forms = {"SumOfImages": lambda values: held_out.pairs(values, rng), "BertForMaskedLM": text}
    which = [forms[site.network.name] for site in sites]
    own = [form is text for form in which]
    return ca.Counterfactuals.from_arrays(
        sites,
        source_inputs=ca.PerSite([form(source) for form in which]),
        target_inputs=ca.PerSite([form(target) for form in which]),
        labels=(source[:, 0] + target[:, 1]).tolist(),
        no_swap_labels=target.sum(1).tolist(),
        source_positions=0,  # the token of the left digit; the only position of an image
        target_positions=0,
        label_positions=ca.PerSite([-1 if each else None for each in own]),
        values=source[:, 0].tolist(),
        variable="left",
    )


def table(cnn: nn.Module, bert: nn.Module, rng: np.random.Generator) -> pd.DataFrame:
    """Return the IIA of each place and pair of places, with controls."""
    images = rng.normal(size=(3, 1, 8, 16))
    of_cnn = {at: ca.Site(cnn, at, inputs=images) for at in ("conv.2", "conv.4", "hidden")}
    of_bert = {
        at: ca.Site(bert, f"bert.encoder.layer.{at}") for at in range(2)
    }  # the last layer is read at the mask alone
    parts = []
    for sites, method in [
        *(([site], "das") for site in (*of_cnn.values(), *of_bert.values())),
        ([of_cnn["conv.2"], of_bert[0]], "mas"),
    ]:
        found = ca.align(dataset(sites, rng), method=method, rank=16, seed=0, controls=True)
        line = found.iia.copy()
        for control, scores in found.controls.groupby("control"):  # in the order of the directions
            line[control] = scores["iia"].to_numpy()
        parts.append(line)
        print(f"{parts[-1].to_string()}\naccuracy: {[site.accuracy for site in found.record.sites]}", flush=True)
    return pd.concat(parts)


def main() -> None:
    """Train both networks, and write the table into the page."""
    rng = np.random.default_rng(0)
    found = table(*networks(rng), rng)
    lines = [
        "| source | target | IIA | 95 % interval | no swap | untrained | shuffled | random |\n",
        "| --- " * 8 + "|\n",
    ]
    for _, row in found.iterrows():
        scores = " | ".join(f"{row[name]:.3f}" for name in ("no_swap", "untrained", "shuffled", "random"))
        interval = f"{row.iia:.3f} | {row.ci_low:.3f} to {row.ci_high:.3f}"
        lines.append(f"| {row.source} | {row.target} | {interval} | {scores} |\n")
    write_part(PAGE, (BEGIN, END), "".join(lines))


if __name__ == "__main__":
    main()
