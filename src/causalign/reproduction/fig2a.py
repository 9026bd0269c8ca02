"""Figure 2a: MAS, RSA and CKA of two GRUs that count, at their embeddings and hidden states."""

from collections.abc import Iterator

import numpy as np

from causalign.reproduction.row_groups import CORRELATIONAL, GRAM_SCHMIDT, MAS, STEPWISE, carrying, similarities
from causalign.reproduction.study import Claim, Panel, Protocol, Study, StudyRow, Values

_PANEL, _GRUS = "a", "multi-object/gru x multi-object/gru"
_SITES = {"hidden": "hidden", "embedding": STEPWISE}
_MAPS = {MAS: "expm", GRAM_SCHMIDT: "gram-schmidt"}


def _measured(protocol: Protocol) -> Iterator[StudyRow]:
    for at, site in _SITES.items():
        pairs = protocol.within("multi-object/gru", at)
        for metric, parametrization in _MAPS.items():
            method = "mas" if at == "hidden" else "mas-stepwise"
            alignments = tuple(protocol.align(pair, method=method, parametrization=parametrization) for pair in pairs)
            yield StudyRow(_PANEL, _GRUS, site, metric, alignments)
        yield from similarities(protocol, _GRUS, site, pairs, _PANEL)


def _aligned(values: Values) -> bool:
    return all(values(site=site, metric=metric).mean() >= 0.95 for site in _SITES.values() for metric in _MAPS)


def _alike(values: Values) -> bool:
    differences = [
        values(site=s, metric=MAS).mean() - values(site=s, metric=GRAM_SCHMIDT).mean() for s in _SITES.values()
    ]
    return bool(np.abs(differences).max() <= 0.02)


def _ranks_low(values: Values) -> bool:
    spearman = "RSA (Spearman)"
    return bool((values(site=STEPWISE, metric=spearman) < values(site="hidden", metric=spearman)).all())


def _pearson_high(values: Values) -> bool:
    return bool(values(site=STEPWISE, metric="RSA (Pearson)").mean() >= 0.9)


FIG2A = Study(
    "fig2a",
    "GRUs that count: causal and correlational similarity",
    lambda protocol: list(_measured(protocol)),
    (
        Claim(
            "MAS aligns the GRUs at both sites",
            "mean worst IIA at least 0.95, at both sites, with both parametrisations",
            _aligned,
            carrying(metric=list(_MAPS)),
        ),
        Claim(
            "Gram-Schmidt does as well as the matrix exponential",
            "their means differ by at most 0.02 at either site",
            _alike,
            carrying(metric=list(_MAPS)),
        ),
        Claim(
            "RSA by ranks is low on embeddings relative to hidden states",
            "Spearman's is lower on embeddings in every pair",
            _ranks_low,
            carrying(metric="RSA (Spearman)"),
        ),
        Claim(
            "By Pearson's correlation the same matrices are back near ceiling",
            "mean on embeddings at least 0.9",
            _pearson_high,
            carrying(site=STEPWISE, metric=CORRELATIONAL[1]),
        ),
    ),
    (Panel(_PANEL, "Two GRUs that count", groups="site"),),
)
