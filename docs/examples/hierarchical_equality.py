"""Two variables of a network whose code is known: `python docs/examples/hierarchical_equality.py`.

Hierarchical equality: four vectors a, b, c, d come in; the answer is whether (a = b) is the same as (c = d). The
weights are written by hand below. The state `code` is a known rotation of the two variables, left = (a = b) and
right = (c = d), in 16 dimensions. DAS with a block for each variable must find them: an IIA of 1.000, and angles of 0.
"""

from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

import causalign as ca

PAGE = Path(__file__).parent.parent / "other-modules.md"
BEGIN, END = "<!-- written by docs/examples/hierarchical_equality.py -->\n", "<!-- end -->"
SIZE, WIDTH, GAIN = 4, 16, 10.0
TRAIN, VALIDATION, TEST = 4000, 1000, 4096
VARIABLES = ("left", "right")


class Equality(nn.Module):
    """Logits of "different" and "same" for vectors `[rows, 4, size]`. Vectors differ by 0, or by 0.1 and more."""

    def __init__(self, seed: int = 0) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(seed)
        self.code, self.decode = nn.Linear(2, WIDTH, bias=False), nn.Linear(WIDTH, 2, bias=False)
        turned = torch.linalg.qr(torch.randn(WIDTH, WIDTH, generator=generator)).Q[:, :2]
        with torch.no_grad():
            self.code.weight.copy_(turned)
            self.decode.weight.copy_(turned.mT)

    def forward(self, vectors: Tensor) -> Tensor:
        """Return the logits, `[rows, 2]`."""
        a, b, c, d = vectors.unbind(1)
        distances = torch.stack([(a - b).abs().sum(1), (c - d).abs().sum(1)], dim=1)
        equal = torch.relu(1 - GAIN * distances)  # 1 where the vectors are the same, 0 where they differ by 0.1
        left, right = self.decode(self.code(equal)).unbind(1)
        different = torch.relu(left + right) - 2 * torch.relu(left + right - 1)  # exclusive or
        return torch.stack([different, 1 - different], dim=1)


def draw(rows: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Return vectors `[rows, 4, size]`, and the two variables `[rows, 2]`, each true in half of the rows."""
    equal = rng.integers(0, 2, (rows, 2))
    left, right = rng.normal(size=(rows, SIZE)), rng.normal(size=(rows, SIZE))
    others = rng.normal(size=(2, rows, SIZE))
    pairs = [(each, np.where(equal[:, n, None], each, others[n])) for n, each in enumerate((left, right))]
    return np.stack([pairs[0][0], pairs[0][1], pairs[1][0], pairs[1][1]], axis=1), equal


def dataset(site: ca.Site, rng: np.random.Generator) -> ca.Counterfactuals:
    """Return rows in which either variable is swapped, as many of each; the test rows are 2,048 of each."""
    rows = TRAIN + VALIDATION + TEST
    (source, of_source), (target, of_target) = draw(rows, rng), draw(rows, rng)
    swapped = np.arange(rows) % 2
    after = of_target.copy()
    after[np.arange(rows), swapped] = of_source[np.arange(rows), swapped]
    return ca.Counterfactuals.from_arrays(
        site,
        source_inputs=source,
        target_inputs=target,
        labels=(after[:, 0] == after[:, 1]).astype(int).tolist(),
        no_swap_labels=(of_target[:, 0] == of_target[:, 1]).astype(int).tolist(),
        values=of_source[np.arange(rows), swapped].tolist(),
        variables=[VARIABLES[each] for each in swapped],
        split=["train"] * TRAIN + ["validation"] * VALIDATION + ["test"] * TEST,
    )


def scores(seed: int = 0) -> pd.DataFrame:
    """Return the IIA of each variable, and the angle between its block and the direction that is known, in degrees."""
    network, rng = Equality(seed).eval(), np.random.default_rng(seed)
    site = ca.Site(network, "code", inputs=draw(3, rng)[0])
    found = ca.align(dataset(site, rng), method="das", rank=dict.fromkeys(VARIABLES, 1), seed=seed)
    table = found.iia.set_index("variable").loc[list(VARIABLES), ["iia", "ci_low", "ci_high", "no_swap", "rows"]]
    known = network.code.weight.detach()
    cosines = [float((found.maps[0].block(name).frame[:, 0] @ known[:, n]).abs()) for n, name in enumerate(VARIABLES)]
    return table.assign(angle=np.degrees(np.arccos(np.minimum(cosines, 1.0))))


def main() -> None:
    """Print the table, and write it into docs/other-modules.md."""
    found = scores()
    print(found.round(4).to_string())
    lines = ["| variable | IIA | 95 % interval | no swap | rows | angle |\n", "| --- " * 6 + "|\n"]
    for name, row in found.iterrows():
        interval = f"{row.iia:.3f} | {row.ci_low:.3f} to {row.ci_high:.3f}"
        lines.append(f"| {name} | {interval} | {row.no_swap:.3f} | {int(row.rows):,} | {row.angle:.2f}° |\n")
    page = PAGE.read_text()
    start = page.index(BEGIN) + len(BEGIN)
    PAGE.write_text(page[:start] + "".join(lines) + page[page.index(END, start) :])


if __name__ == "__main__":
    main()
