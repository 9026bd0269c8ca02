"""Figure 2b: MAS, RSA and CKA of two transformers that count, after their first layer and at their embeddings."""

from collections.abc import Iterator

from causalign.reproduction.row_groups import GRAM_SCHMIDT, STEPWISE, carrying, similarities
from causalign.reproduction.study import Claim, Panel, Protocol, Study, StudyRow, Values

_PANEL, _TRANSFORMERS = "b", "multi-object/transformer x multi-object/transformer"
_RESIDUAL = "residual after layer 1"
_STEPWISE = "MAS, stepwise (Gram-Schmidt)"


def _measured(protocol: Protocol) -> Iterator[StudyRow]:
    for at, site, method, metric in (
        ("layer.1", _RESIDUAL, "mas", GRAM_SCHMIDT),
        ("embedding", STEPWISE, "mas-stepwise", _STEPWISE),
    ):
        pairs = protocol.within("multi-object/transformer", at)
        yield StudyRow(
            _PANEL, _TRANSFORMERS, site, metric, tuple(protocol.align(pair, method=method) for pair in pairs)
        )
        yield from similarities(protocol, _TRANSFORMERS, site, pairs, _PANEL)


def _recomputed(values: Values) -> bool:
    single, stepwise = values(metric=GRAM_SCHMIDT), values(metric=_STEPWISE)
    return bool(single.mean() <= 0.5 and (single < stepwise).all())


def _aligned(values: Values) -> bool:
    return bool(values(metric=_STEPWISE).mean() >= 0.95)


def _ranks_low(values: Values) -> bool:
    spearman = values(site=STEPWISE, metric="RSA (Spearman)")
    higher = values(site=_RESIDUAL, metric="RSA (Spearman)"), values(site=STEPWISE, metric="RSA (Pearson)")
    return all(bool((spearman < each).all()) for each in higher)


FIG2B = Study(
    "fig2b",
    "Transformers that count: what a single state does not carry",
    lambda protocol: list(_measured(protocol)),
    (
        Claim(
            "MAS is low after layer 1: the count is computed anew at every step",
            "mean worst IIA at most 0.5, and lower than stepwise on embeddings in every pair",
            _recomputed,
            carrying(site=_RESIDUAL, metric=GRAM_SCHMIDT),
        ),
        Claim(
            "Embeddings align stepwise",
            "mean worst IIA at least 0.95",
            _aligned,
            carrying(metric=_STEPWISE),
        ),
        Claim(
            "RSA by ranks is low on embeddings, as with GRUs",
            "Spearman's on embeddings is lower than after layer 1, and than Pearson's, in every pair",
            _ranks_low,
            carrying(metric="RSA (Spearman)"),
        ),
    ),
    (Panel(_PANEL, "Two transformers that count", groups="site"),),
)
