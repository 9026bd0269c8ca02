"""What the scores of an alignment with recordings do not show."""

from causalign.alignment.schema import AlignmentSummary


def caveats(record: AlignmentSummary) -> list[str]:
    """What is not known, a sentence each; nothing where all sites are of networks."""
    said = []
    for site in record.sites:
        if site.recording is None:
            continue
        said.append(
            f"{site.name} was read and never run: how near swaps come to its recorded states is known, but not that it "
            "would go on from them as the swap demands. That causal claim needs stimulation."
        )
        counts = site.recording.coverage
        rare = sum(not each.used for each in counts)
        if rare:
            said.append(
                f"{site.name}: {rare} values in a split were had by fewer than {site.recording.fewest} of its trials "
                f"({sum(each.samples for each in counts if not each.used):,} samples), and were not used."
            )
        missing = sum(each.missing for each in counts)
        if missing:
            said.append(f"{site.name}: {missing:,} samples were missing, and were not used.")
        shortest, longest = min(each.shortest for each in counts), max(each.longest for each in counts)
        if shortest < longest:
            said.append(f"{site.name}: its trials have from {shortest} to {longest} samples.")
        for reason, trials in site.recording.left_out.items():
            said.append(f"{site.name}: {trials:,} trials were left out: {reason}.")
    return said
