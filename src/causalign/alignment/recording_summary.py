"""What an alignment keeps of a recording."""

from causalign.alignment.schema import Counts, RecordingSummary, ValueCount
from causalign.recordings.preprocessing import Preprocess
from causalign.sites.recordings.recording import Recording


def _declaration(preprocess: object) -> dict[str, bool | int | str | None]:
    """The steps that were asked for, or the transformer that was given."""
    return vars(preprocess) if isinstance(preprocess, Preprocess) else {"transformer": str(preprocess)}


def summary_of(recording: Recording) -> RecordingSummary:
    """All that is known of what was recorded, and of what was not."""
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
        left_out=recording.left_out,
        coverage=tuple(counts),
    )
