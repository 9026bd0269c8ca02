"""The summary of a recording in the record of an alignment."""

from causalign.alignment.schema import Counts, RecordingSummary, ValueCount
from causalign.recordings.preprocessing import Preprocess
from causalign.sites.recordings.recording import Recording


def _declaration(preprocess: object) -> dict[str, bool | int | str | None]:
    """Return the configured preprocessing steps, or the representation of a user-supplied transformer."""
    return vars(preprocess) if isinstance(preprocess, Preprocess) else {"transformer": str(preprocess)}


def summary_of(recording: Recording) -> RecordingSummary:
    """Return the units, preprocessing, trials and coverage of a recording."""
    names = recording.task.variables
    counts = [
        ValueCount(
            values={name: int(row[name]) for name in names},
            **{name: row[name] for name in ValueCount.model_fields if name != "values"},
        )
        for row in recording.coverage.to_dict("records")
    ]
    return RecordingSummary(
        units=recording.units,
        preprocess=_declaration(recording.preprocess),
        trials=Counts(**{split: len(trials) for split, trials in recording.splits.items()}),
        fewest=recording.fewest,
        unit=recording.preprocessing.unit,
        left_out=recording.left_out,
        levels={name: tuple(map(str, entries)) for name, entries in recording.levels.items()},
        coverage=tuple(counts),
    )
