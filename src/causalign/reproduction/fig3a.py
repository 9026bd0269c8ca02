"""Figure 3a: CLMAS, latent stitch and stitch where one network may be read but not run, beside MAS."""

from collections.abc import Iterator
from functools import partial

import numpy as np

from causalign.reproduction.row_groups import carrying
from causalign.reproduction.study import Claim, Panel, Protocol, Read, Study, StudyRow, Values

_PANEL, _ACCESS, _NONE = "a", "into the accessible network", "into the one without access"
_MAS, _CLMAS, _LATENT, _STITCH = "MAS", "CLMAS", "latent stitch", "stitch"
_LOW = "latent stitch, low rank"
_TIE = 0.01  # 10 of 1,000 rows: two standard errors of an IIA of 0.975


def _measured(protocol: Protocol) -> Iterator[StudyRow]:
    """Yield the rows. The first network of each pair is accessible, the second is not.

    A stitch is trained on the behavior of the accessible network, and therefore into it. It is scored in the other
    direction as well. A latent stitch is trained on the latents of the inaccessible network. Both are rotations of
    full rank, as in section 2.5. All methods start at random, so that none has an advantage: a start in closed form
    would use the latents that a stitch must not see. A latent stitch of low rank, which is not in the paper, is
    reported beside them. Searches that select maps by a latent objective have no `target_iia`.
    """
    pairs = protocol.within("multi-object/gru", "hidden")
    turned = [(b, a) for a, b in pairs]
    search = protocol.without_target
    align = partial(protocol.align, start="random")
    latent = partial(align, method="latent-stitch", search=search)
    full = [protocol.width]
    alignments = {
        _MAS: tuple(align(pair) for pair in pairs),
        _CLMAS: tuple(align(pair, method="clmas", search=search) for pair in pairs),
        _LOW: tuple(latent(pair) for pair in pairs),
        _LATENT: tuple(latent(pair, full) for pair in pairs),
        _STITCH: tuple(align(pair, full, method="stitch") for pair in turned),
    }
    for comparison, into in ((_ACCESS, 0), (_NONE, 1)):
        for metric, points in alignments.items():
            target = 1 - into if metric == _STITCH else into
            read: Read = (1 - target, target)
            note = "not in the paper" if metric == _LOW else ""
            yield StudyRow(_PANEL, comparison, "hidden", metric, points, read, note)


def _ordered(values: Values) -> bool:
    mas, clmas, latent, stitch = (values(comparison=_NONE, metric=m) for m in (_MAS, _CLMAS, _LATENT, _STITCH))
    return bool(np.all(mas >= clmas - _TIE) and np.all(clmas > latent) and np.all(latent > stitch))


FIG3A = Study(
    "fig3a",
    "A network that may not be run",
    lambda protocol: list(_measured(protocol)),
    (
        Claim(
            "Without access, MAS >= CLMAS > latent stitch > stitch",
            "the order holds in every pair; MAS and CLMAS may tie within 0.01",
            _ordered,
            carrying(comparison=_NONE, metric=[_MAS, _CLMAS, _LATENT, _STITCH]),
        ),
    ),
    (Panel(_PANEL, "One network is read and not run"),),
)
