"""Simulate the coverage of the intervals and the size of the tests of docs/statistics.md, and write its tables.

Run `python docs/examples/interval_coverage.py`. It takes about a minute.
"""

from collections.abc import Sequence
from itertools import product
from pathlib import Path

import numpy as np
from jaxtyping import Bool
from page_part import write_part
from scipy.stats import binomtest, t

import causalign as ca
from causalign.scoring.worst_difference import Line, WorstDifference

PAGE = Path(__file__).parent.parent / "statistics.md"
BEGIN, END = "<!-- {}: written by docs/examples/interval_coverage.py -->\n", "<!-- end -->"
DRAWS = 2000
SCENES: dict[str, tuple[float, ...]] = {
    "one direction": (0.9,),
    "4 directions, all 0.9": (0.9,) * 4,
    "4 directions, all 0.99": (0.99,) * 4,
    "4 directions, one clearly the worst": (0.7, 0.95, 0.95, 0.95),
    "4 directions, three at 1": (0.98, 1.0, 1.0, 1.0),
    "4 directions, all at 1": (1.0,) * 4,
    "9 directions, all 0.95": (0.95,) * 9,
    "9 directions of 2 variables, 0.5 to 0.95": tuple(np.linspace(0.5, 0.95, 18)),
}
"""The true IIA of each direction and variable."""


def outcomes(
    rng: np.random.Generator, accuracies: Sequence[float], rows: int, same: bool
) -> Bool[np.ndarray, "n rows"]:
    """Draw the outcomes of rows. If they are the same rows, one that is right at 0.9 is right at 0.95 as well."""
    drawn = rng.random((1 if same else len(accuracies), rows))
    return np.broadcast_to(drawn, (len(accuracies), rows)) < np.array(accuracies)[:, None]


def worst_coverage(accuracies: Sequence[float], rows: int, same: bool, draws: int = DRAWS) -> tuple[float, float]:
    """Return the coverage of the interval of the worst direction, and that of the worst direction's Wilson interval."""
    rng = np.random.default_rng(0)
    covered = np.zeros(2)
    for _ in range(draws):
        right = outcomes(rng, accuracies, rows, same).sum(axis=1)
        wilson = binomtest(int(right.min()), rows).proportion_ci(0.95, method="wilson")
        for index, (low, high) in enumerate((ca.worst_interval(right / rows, [rows] * len(right)), wilson)):
            covered[index] += low - 1e-12 <= min(accuracies) <= high + 1e-12
    ours, single = covered / draws
    return float(ours), float(single)


def comparison_rates(
    first: Sequence[float], second: Sequence[float], rows: int, same: bool, *, margin: float = 0.02, draws: int = DRAWS
) -> dict[str, float]:
    """Return how often the tests of two worst scores reject at 5 %, and the coverage of the interval."""
    rng = np.random.default_rng(0)
    rates = {"greater": 0.0, "noninferior": 0.0, "equivalent": 0.0, "coverage": 0.0}
    for _ in range(draws):
        drawn = outcomes(rng, (*first, *second), rows, same=False)
        if same:  # half of the rows are easy or hard for both, the others are independent
            both = outcomes(rng, (*first, *second), rows, same=True)
            drawn = np.where(rng.random(rows) < 0.5, both, drawn)
        lines = [Line(int(each.sum()), rows, each, "rows" if same else None) for each in drawn]
        found = WorstDifference(lines[: len(first)], lines[len(first) :])
        inferior, superior = found.p_greater(-margin), found.p_less(-margin)
        rates["greater"] += found.p_greater() <= 0.05
        rates["noninferior"] += inferior <= 0.05
        rates["equivalent"] += max(inferior, superior) <= 0.05
        # The interval has the margins that neither test rejects. At 0 itself the tests are others, the exact ones.
        true = (min(first) - min(second)) or 1e-9
        rates["coverage"] += min(found.p_greater(true), found.p_less(-true)) > 0.025
    return {name: rate / draws for name, rate in rates.items()}


def pair_coverage(shape: tuple[int, int], deviations: tuple[float, float, float], draws: int = DRAWS) -> list[float]:
    """Return what holds for pairs of each of some networks with each of others, whose scores are normal.

    Args:
        shape: The numbers of networks.
        deviations: The standard deviations of the first networks, the second networks, and the single pairs.
        draws: The number of draws.

    Returns:
        The coverage with networks as units and with pairs as units, and the mean variances over the true one.
    """
    rng = np.random.default_rng(0)
    pairs = [(f"a{i}", f"b{j}") for i, j in product(*map(range, shape))]
    of_first, of_second, of_pair = deviations
    true = of_first**2 / shape[0] + of_second**2 / shape[1] + of_pair**2 / len(pairs)
    found = np.zeros(4)
    for _ in range(draws):
        first, second = (rng.normal(size=size) for size in ((shape[0], 1), (1, shape[1])))
        values = (of_first * first + of_second * second + of_pair * rng.normal(size=shape)).ravel()
        mean = ca.pair_mean(values, pairs)
        low, high = mean.interval()
        error = values.std(ddof=1) / np.sqrt(len(values))
        reach = float(t.ppf(0.975, len(values) - 1)) * error
        found += [low <= 0 <= high, abs(values.mean()) <= reach, mean.sem**2 / true, error**2 / true]
    return [float(each) for each in found / draws]


def worst_table() -> str:
    """Return the table of the coverage for the worst direction."""
    text = "| true IIA | rows | directions | exact interval of the worst | Wilson's of one direction |\n"
    text += "| --- | --- | --- | --- | --- |\n"
    for (name, accuracies), rows, same in product(SCENES.items(), (50, 1000), (False, True)):
        if len(accuracies) > 1 or not same:
            ours, single = worst_coverage(accuracies, rows, same)
            text += f"| {name} | {rows:,} | {'the same rows' if same else 'other rows'} | {ours:.3f} | {single:.3f} |\n"
    return text


def test_table() -> str:
    """Return the table of the size and the power of the tests of two worst scores."""
    text = "| true IIA | rows | first > second | not inferior | equal within 0.02 | coverage |\n"
    text += "| --- | --- | --- | --- | --- | --- |\n"
    for (name, first, second), same in product(
        (
            ("0.95 and 0.95", (0.95,), (0.95,)),
            ("0.95 and 0.97", (0.95,), (0.97,)),
            ("0.97 and 0.95", (0.97,), (0.95,)),
            ("0.98 and 1", (0.98,), (1.0,)),
            ("4 x 0.95 and 4 x 0.95", (0.95,) * 4, (0.95,) * 4),
            ("4 x 0.95 and 4 x 0.97", (0.95,) * 4, (0.97,) * 4),
            ("4 x 0.99 and 4 x 0.95", (0.99,) * 4, (0.95,) * 4),
            ("0.99 and 0.99", (0.99,), (0.99,)),
        ),
        (True, False),
    ):
        rates = comparison_rates(first, second, 1000, same, draws=DRAWS // 2)
        shown = " | ".join(f"{rate:.3f}" for rate in rates.values())
        text += f"| {name} | {'the same 1,000' if same else '1,000 each'} | {shown} |\n"
    return text


def pair_table() -> str:
    """Return the table of the coverage for means over pairs of networks."""
    text = "| networks | deviations | coverage | pairs as units | variance over the true one | pairs as units |\n"
    text += "| --- | --- | --- | --- | --- | --- |\n"
    for shape, deviations in product(((2, 2), (4, 4), (2, 8)), ((1, 1, 0), (1, 1, 1), (1, 0, 0.1), (0, 0, 1))):
        rates = pair_coverage(shape, deviations)
        shown = " | ".join(f"{rate:.3f}" for rate in rates[:2]) + " | " + " | ".join(f"{r:.2f}" for r in rates[2:])
        text += f"| {shape[0]} x {shape[1]} | {', '.join(f'{each:g}' for each in deviations)} | {shown} |\n"
    return text


if __name__ == "__main__":
    for name, table in (("worst", worst_table), ("tests", test_table), ("pairs", pair_table)):
        write_part(PAGE, (BEGIN.format(name), END), table())
