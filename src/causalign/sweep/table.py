"""The table of a sweep: a row for each point and direction."""

from collections.abc import Iterator, Mapping
from typing import Any

import pandas as pd

from causalign.alignment.schema import AlignmentSummary, DirectionScore
from causalign.scoring.worst_interval import worst_interval
from causalign.sweep.folder import SweepFolder
from causalign.sweep.grid import Coordinate

FINISHED, FAILED, MISSING = "finished", "failed", "not run"
CONTROLS = ("control_untrained", "control_shuffled", "control_random")
SCORES = ("iia", "ci_low", "ci_high", "rows", "no_swap", "complement", *CONTROLS)
_COLUMNS = (
    "source",
    "target",
    "variable",
    *SCORES,
    "latent_distance",
    "found_rank",
    "steps",
    "seconds",
    "ended",
    "status",
    "error",
)


def sweep_table(folder: SweepFolder, points: Mapping[str, Mapping[str, Coordinate]]) -> pd.DataFrame:
    """Return the table of a sweep.

    Args:
        folder: The folder of the sweep.
        points: The coordinates of each point by key.

    Returns:
        One row for each point, direction and variable, and one for each point that is not finished. `point` is the key,
        and the axes have a column each. Then come `source`, `target`, `variable`; the IIA on held-out rows with its 95
        % interval, rows and baseline; the complement of a direction within one network, where it is known; the scores
        of the controls in the same direction; the latent distance of a direction into a recording, which has no IIA;
        the rank that was found; the steps and seconds of the point; how its search ended; its status (`finished`,
        `failed` or `not run`); and the error of one that failed.
    """
    axes = list(dict.fromkeys(axis for coordinates in points.values() for axis in coordinates))
    rows = [
        {"point": key, **coordinates, **row} for key, coordinates in points.items() for row in _point_rows(folder, key)
    ]
    table = pd.DataFrame(rows, columns=["point", *axes, *_COLUMNS])
    return table.astype({"complement": "float64", "rows": "Int64", "found_rank": "Int64", "steps": "Int64"})


def _point_rows(folder: SweepFolder, key: str) -> Iterator[dict[str, Any]]:
    record = folder.outcome(key)
    if not isinstance(record, AlignmentSummary):
        failure = folder.failure(key)
        yield {"status": MISSING} if failure is None else {"status": FAILED, "error": failure.message}
        return
    about = {
        "found_rank": record.rank,
        "steps": record.steps,
        "seconds": record.seconds.total,
        "ended": record.stopped.value,
        "status": FINISHED,
    }
    for index, score in enumerate(record.iia):
        yield {**_scores(score), **_controls(record, index), **about}
    for each in record.untrained:
        yield {**_scores(each), **about}
    for latent in record.latent:
        names = {"source": latent.source, "target": latent.target, "variable": latent.variable}
        yield {**names, "rows": latent.rows, "latent_distance": latent.distance, **about}


def _scores(score: DirectionScore) -> dict[str, Any]:
    return score.model_dump()


def _controls(record: AlignmentSummary, index: int) -> dict[str, float]:
    """Return the score of each control in the same direction.

    An untrained network is wrong whatever is swapped into it, so that it is no control of directions into itself.
    """
    own, into = record.sites[0].name, record.iia[index]
    alone = len({score.target for score in record.iia}) == 1
    return {
        f"control_{name}": scores[index].iia
        for name, scores in record.by_control.items()
        if name != "untrained" or alone or into.target != own
    }


def worst_directions(table: pd.DataFrame) -> pd.DataFrame:
    """Return a row for each point: that of its worst direction, with the least complement and that of each control.

    The interval is that of the worst direction, whichever it is, and adjusted for the number of directions.

    Args:
        table: The table of the sweep.
    """
    rows = []
    for _, of in table.groupby("point", sort=False):
        row: Any
        if of["iia"].notna().any():
            row = {**of.iloc[int(of["iia"].argmin())], **_interval(of[of["iia"].notna()])}
        else:
            row = of.iloc[int(of["latent_distance"].argmax())] if of["latent_distance"].notna().any() else of.iloc[0]
        rows.append({**row, **{name: of[name].min() for name in ("complement", *CONTROLS)}})
    return pd.DataFrame(rows, columns=table.columns).astype(table.dtypes)


def _interval(scores: pd.DataFrame) -> dict[str, float]:
    """Return the interval of the least score of a point."""
    low, high = worst_interval(scores["iia"].tolist(), scores["rows"].tolist())
    return {"ci_low": low, "ci_high": high}
