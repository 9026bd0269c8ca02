"""Figure 2d: the number of dimensions that carry the behavior, by MAS, DAS and stitching."""

from collections.abc import Iterator

from causalign.reproduction.row_groups import carrying
from causalign.reproduction.study import Claim, Panel, Protocol, Study, StudyRow, Values

_PANEL, _NETWORK = "d", "multi-object/gru"
_MAS, _DAS, _STITCH = "MAS", "DAS", "stitch"


def _measured(protocol: Protocol) -> Iterator[StudyRow]:
    pairs = protocol.within(_NETWORK, "hidden")
    single = [protocol.site(_NETWORK, seed, "hidden") for seed in (*protocol.seeds, *protocol.more)]
    for metric, method, networks in (
        (_MAS, "mas", pairs),
        (_DAS, "das", [(site,) for site in single]),
        (_STITCH, "stitch", pairs),
    ):
        for rank in protocol.sweep:
            controls = rank in protocol.controlled
            alignments = tuple(protocol.align(each, [rank], controls, method=method) for each in networks)
            yield StudyRow(_PANEL, str(rank), "hidden", metric, alignments)


def _few(values: Values) -> bool:
    return all(values(comparison="4", metric=metric).mean() >= 0.9 for metric in (_MAS, _DAS))


def _alike(values: Values) -> bool:
    return bool(abs(values(comparison="4", metric=_MAS).mean() - values(comparison="4", metric=_DAS).mean()) <= 0.05)


def _stitched(values: Values) -> bool:
    return bool(values(comparison="2", metric=_STITCH).mean() >= 0.95)


FIG2D = Study(
    "fig2d",
    "How many dimensions carry the behavior",
    lambda protocol: list(_measured(protocol)),
    (
        Claim(
            "As few as 4 dimensions carry the behaviour, for DAS and for MAS",
            "mean worst IIA at rank 4 at least 0.9, for both",
            _few,
            carrying(comparison="4", metric=[_MAS, _DAS]),
        ),
        Claim(
            "with like IIA",
            "their means at rank 4 differ by at most 0.05",
            _alike,
            carrying(comparison="4", metric=[_MAS, _DAS]),
        ),
        Claim(
            "A stitch is nearly perfect even at rank 2",
            "mean IIA of the trained direction at least 0.95",
            _stitched,
            carrying(comparison="2", metric=_STITCH),
        ),
    ),
    (Panel(_PANEL, "Two GRUs that count", axis="rank of the subspace, or of the stitch", lines=True),),
)
