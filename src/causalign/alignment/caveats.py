"""The caveats of an alignment: limits of its scores, one sentence each."""

from collections.abc import Iterator

from causalign.alignment.schema import AlignmentSummary, SiteSummary
from causalign.search.stop_reason import StopReason

_CAPABLE = 0.8  # least accuracy with nothing swapped; below it, a network's own errors bound the scores


def caveats(record: AlignmentSummary) -> list[str]:
    """Return the limits of the scores, one sentence each. The list may be empty."""
    return [
        *_unfinished(record),
        *score_caveats(record),
        *_complement(record),
        *_unmatched(record),
        *(sentence for site in record.sites for sentence in _of_recording(site)),
    ]


def score_caveats(record: AlignmentSummary) -> list[str]:
    """Return which networks fail the task, and which scores do not exceed the baseline, one sentence each."""
    return [*_incapable(record), *_not_above_baseline(record)]


def out_of_steps(record: AlignmentSummary) -> str | None:
    """Return the sentence that the search ran out of steps, or `None` if it did not.

    A search that was to take all its steps (`early_stopping=False`) did not run out of them.
    """
    if record.stopped != StopReason.MAX_STEPS or not record.steps or not record.config.search.early_stopping:
        return None
    best = record.best
    score = (
        f"validation loss {best.validation_loss:.4g}" if best.worst_iia is None else f"worst IIA {best.worst_iia:.3f}"
    )
    return (
        f"The search ran out of steps at step {record.steps:,}, before validation stopped improving (the best so far: "
        f"{score} at step {best.step:,}): raise max_steps."
    )


def _unfinished(record: AlignmentSummary) -> Iterator[str]:
    if unfinished := out_of_steps(record):
        yield unfinished
    elif not record.stopped.complete:
        yield f"The search {record.stopped.message} (step {record.steps})."


def _incapable(record: AlignmentSummary) -> Iterator[str]:
    for site in record.sites:
        if site.accuracy is not None and site.accuracy < _CAPABLE:
            yield (
                f"{site.name} completes only {100 * site.accuracy:.0f} % of the test inputs correctly with nothing "
                "swapped, which bounds the scores of swaps into it."
            )


def _unmatched(record: AlignmentSummary) -> Iterator[str]:
    if record.unmatched:
        rows = sum(each.count for each in record.unmatched)
        yield (
            f"{rows:,} rows were left out, because no state was recorded with the values that their swaps ask for "
            f"({len(record.unmatched):,} combinations of values, in Alignment.unmatched)."
        )


def _not_above_baseline(record: AlignmentSummary) -> Iterator[str]:
    for score in record.iia:
        variable = f" ({score.variable})" if len(record.blocks) > 1 else ""
        if not score.above_baseline:
            yield (
                f"{score.source} -> {score.target}{variable}: an IIA of {score.iia:.3f} ({score.ci_low:.3f} to "
                f"{score.ci_high:.3f}) does not exceed the baseline of {score.no_swap:.3f} with nothing swapped."
            )


def _complement(record: AlignmentSummary) -> Iterator[str]:
    widths = {site.name: site.width for site in record.sites}
    for score in record.complement:
        if score.left_out:
            yield (
                f"{score.site}: the complement of {score.variable} leaves {score.left_out:,} of "
                f"{score.rows + score.left_out:,} test rows out, in which the source cannot have the target's value."
            )
        if score.complement is not None and not score.above_baseline and record.rank < widths[score.site]:
            yield (
                f"{score.site}: a complement of {score.complement:.3f} ({score.variable}) does not exceed the "
                f"{score.whole_swap:.3f} with the whole state swapped, so that it says nothing about the subspace."
            )
    whole = [score.site for score in record.complement if record.rank == widths[score.site]]
    for name in whole if len(record.blocks) < 2 else ():
        yield f"{name}: the subspace is the whole state, so that the complement swaps nothing and says nothing."


def _of_recording(site: SiteSummary) -> Iterator[str]:
    if site.recording is None:
        return
    yield (
        f"{site.name} was read and never run: the scores measure the distance of swapped states to its recorded "
        "states, and not whether it would produce the expected output. That causal claim needs stimulation."
    )
    if site.recording.unit != 1:
        yield (
            f"{site.name}: its states are measured in units of {site.recording.unit:.4g}, the root of their mean "
            "variance, so that distances do not depend on the unit of the recording."
        )
    counts = site.recording.coverage
    rare = sum(not each.used for each in counts)
    if rare:
        yield (
            f"{site.name}: {rare} values in a split occurred in fewer than {site.recording.fewest} of its trials "
            f"({sum(each.samples for each in counts if not each.used):,} samples), and were not used."
        )
    missing = sum(each.missing for each in counts)
    if missing:
        yield f"{site.name}: {missing:,} samples were missing, and were not used."
    shortest, longest = min(each.shortest for each in counts), max(each.longest for each in counts)
    if shortest < longest:
        yield f"{site.name}: its trials have from {shortest} to {longest} samples."
    for reason, trials in site.recording.left_out.items():
        yield f"{site.name}: {trials:,} trials were left out: {reason}."
