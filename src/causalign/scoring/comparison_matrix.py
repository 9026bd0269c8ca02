"""The matrix of a comparison: one measure of each two of several sites."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from causalign.errors import InvalidArgument, lookup
from causalign.scoring.comparison import MEASURES
from causalign.scoring.crossnobis_comparison import MEASURES as OF_RECORDINGS
from causalign.sites.readable import Readable
from causalign.sites.recordings.recording import Recording

SPEARMAN = "RSA (Spearman)"
_EVERY = MEASURES | OF_RECORDINGS


def comparison_matrix(table: pd.DataFrame, measure: str = SPEARMAN) -> pd.DataFrame:
    """Return one measure of a comparison as a symmetric matrix of sites by sites.

    Args:
        table: The table of `compare`.
        measure: The name of the measure.

    Returns:
        The values, with the names of the sites as rows and columns. On the diagonal is the value of equal states: 0 for
        a distance and 1 otherwise. An entry is NaN if the measure is not defined for the two sites.

    Raises:
        InvalidArgument: The table does not have the measure (near matches are named), or has two pairs of one name.
    """
    found = lookup("measure", measure, {name: _EVERY[name] for name in table["measure"].unique()})
    names = list(dict.fromkeys([*table["a"], *table["b"]]))
    rows = table[table["measure"] == measure]
    if rows.duplicated(["a", "b"]).any() or (rows["a"] == rows["b"]).any():
        raise InvalidArgument("two sites of the comparison have one name, so that the matrix cannot tell them apart")
    same = 0.0 if found.distance else 1.0
    matrix = pd.DataFrame(np.where(np.eye(len(names), dtype=bool), same, np.nan), index=names, columns=names)
    for a, b, value in zip(rows["a"], rows["b"], rows["value"], strict=True):
        matrix.loc[a, b] = matrix.loc[b, a] = value
    return matrix


def require_measure(measure: str, sites: Sequence[Readable]) -> None:
    """Check that a comparison of these sites has a measure. Those of cross-validated distances need a recording.

    Args:
        measure: The name of the measure.
        sites: The sites.

    Raises:
        InvalidArgument: There is no such measure. Near matches are named.
    """
    of_recordings = OF_RECORDINGS if any(isinstance(site, Recording) for site in sites) else {}
    lookup("measure", measure, MEASURES | of_recordings)
