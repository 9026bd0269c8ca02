"""RSA and CKA compared with plain numpy and rsatoolbox: seconds and peak memory.

Each measurement runs in a process of its own.
"""

from collections.abc import Callable, Iterator
from importlib.util import find_spec
from statistics import median

import numpy as np
from jaxtyping import Float
from scipy.spatial.distance import pdist
from scipy.stats import spearmanr

from causalign.benchmarks.measurement import in_child, seconds
from causalign.benchmarks.row import Row
from causalign.memory import GIB, held
from causalign.similarity.cka import cka
from causalign.similarity.rsa import rsa

_WIDTH = 128
_REPEATED = 2_000  # samples up to which runs are repeated: a single one is too short to time
_PLAIN_AT_MOST, _TOOLBOX_AT_MOST = 5_000, 10_000  # samples; more would not fit into most machines

Samples = Float[np.ndarray, "samples width"]
Measure = Callable[[Samples, Samples], float]


def similarity(quick: bool) -> Iterator[Row]:
    """Yield the measurements at 1,000, 5,000 and 20,000 samples of 128 units, or at 1,000 and 2,000 with `quick`."""
    for samples in (1_000, 2_000) if quick else (1_000, 5_000, 20_000):
        for name, ours in (("RSA (Spearman)", _rsa), ("CKA (linear)", _cka)):
            (taken, _), memory = in_child(_measured, ours, samples)
            yield from _beside(name, samples, (taken, memory))


def _beside(name: str, samples: int, ours: tuple[float, float]) -> Iterator[Row]:
    """Yield a row for each installed rival.

    A rival that cannot take all samples is measured on fewer, and the least that it would need is extrapolated.
    """
    for rival, measure, most in _RIVALS[name]:
        if rival == "rsatoolbox" and find_spec("rsatoolbox") is None:
            continue
        size = min(samples, most)
        ((taken, before), memory), grown = in_child(_measured, measure, size), (samples / size) ** 2
        memory = before + (memory - before) * grown
        estimated = "" if size == samples else f", its figures from {size:,} samples times {grown:.0f}"
        yield Row(
            benchmark="similarity",
            case=f"{name}, {samples:,} samples of {_WIDTH} units",
            ours=ours[0],
            unit="s",
            rival=rival,
            theirs=taken * grown,
            ratio=taken * grown / ours[0],
            reads="times",
            note=f"at peak {ours[1]:.2f} GiB, beside {memory:.2f}{estimated}",
        )


def _measured(measure: Measure, samples: int) -> tuple[float, float]:
    """Return the median seconds, and the GiB that libraries and states hold beforehand."""
    rng = np.random.default_rng(0)
    x, y = (rng.standard_normal((samples, _WIDTH)) for _ in range(2))
    measure(x[:100], y[:100])
    before = held() / GIB
    return median(seconds(lambda: measure(x, y)) for _ in range(5 if samples <= _REPEATED else 1)), before


def _rsa(x: Samples, y: Samples) -> float:
    return rsa(_row_centred(x), _row_centred(y))


def _cka(x: Samples, y: Samples) -> float:
    return cka(x, y, kernel="linear")


def _plain_rsa(x: Samples, y: Samples) -> float:
    a, b = (pdist(_row_centred(side), "cosine") for side in (x, y))
    return float(spearmanr(a, b).statistic)


def _plain_cka(x: Samples, y: Samples) -> float:
    grams = [side @ side.T for side in (x - x.mean(0), y - y.mean(0))]
    return float(np.vdot(*grams) / (np.linalg.norm(grams[0]) * np.linalg.norm(grams[1])))


def _toolbox_rsa(x: Samples, y: Samples) -> float:
    """Compute RSA from RDMs of correlations, which are the cosines of states less their own mean."""
    return _toolbox(x, y, "correlation", "spearman")


def _toolbox_cka(x: Samples, y: Samples) -> float:
    """Compute linear CKA: the cosine of Euclidean RDMs, with their covariance."""
    return _toolbox(x, y, "euclidean", "cosine_cov")


def _toolbox(x: Samples, y: Samples, distance: str, comparison: str) -> float:
    from rsatoolbox.data import Dataset
    from rsatoolbox.rdm import calc_rdm, compare

    return float(compare(*(calc_rdm(Dataset(side), method=distance) for side in (x, y)), method=comparison).item())


def _row_centred(samples: Samples) -> Samples:
    return samples - samples.mean(axis=1, keepdims=True)


_RIVALS: dict[str, list[tuple[str, Measure, int]]] = {
    "RSA (Spearman)": [
        ("plain numpy and scipy", _plain_rsa, _PLAIN_AT_MOST),
        ("rsatoolbox", _toolbox_rsa, _TOOLBOX_AT_MOST),
    ],
    "CKA (linear)": [
        ("plain numpy", _plain_cka, _PLAIN_AT_MOST),
        ("rsatoolbox", _toolbox_cka, _TOOLBOX_AT_MOST),
    ],
}
