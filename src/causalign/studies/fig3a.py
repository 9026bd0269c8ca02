"""Figure 3a: one network may be read but not run. What reaches it all the same?"""

from collections.abc import Iterator

import numpy as np

from causalign.studies._rows import carrying
from causalign.studies.study import Claim, Measured, Panel, Protocol, Read, Study, Values

_PANEL, _ACCESS, _NONE = "a", "into the accessible network", "into the one without access"
_MAS, _CLMAS, _LATENT, _STITCH = "MAS", "CLMAS", "latent stitch", "stitch"
_TIE = 0.01  # 10 of 1,000 trials: two standard errors of an IIA of 0.975


def _measured(protocol: Protocol) -> Iterator[Measured]:
    """The first network of each pair is accessible, the second is not.

    A stitch is trained on the behaviour of the accessible network, and so into it, and scored the other way round as
    well; a latent stitch is trained on the latents of the other. Both start at random: a start in closed form would see
    the latents that a stitch is not to see. What goes by latents has no IIA that would be enough.
    """
    pairs = protocol.within("multi-object/gru", "hidden")
    turned = [(b, a) for a, b in pairs]
    into_accessible: dict[str, Read] = {_MAS: (1, 0), _CLMAS: (1, 0), _LATENT: (1, 0), _STITCH: (0, 1)}
    into_other: dict[str, Read] = {_MAS: (0, 1), _CLMAS: (0, 1), _LATENT: (0, 1), _STITCH: (1, 0)}
    found = {
        _MAS: tuple(protocol.align(pair) for pair in pairs),
        _CLMAS: tuple(protocol.align(pair, method="clmas", enough=None) for pair in pairs),
        _LATENT: tuple(protocol.align(pair, method="latent-stitch", start="random", enough=None) for pair in pairs),
        _STITCH: tuple(protocol.align(pair, method="stitch", start="random") for pair in turned),
    }
    for comparison, read in ((_ACCESS, into_accessible), (_NONE, into_other)):
        for metric, alignments in found.items():
            yield Measured(_PANEL, comparison, "hidden", metric, alignments, read[metric])


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
            carrying(comparison=_NONE),
        ),
    ),
    (Panel(_PANEL, "One network is read and not run"),),
)
