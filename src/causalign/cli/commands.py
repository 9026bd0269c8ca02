"""The commands of the command line."""

import json
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from causalign import networks, tasks
from causalign.alignment.align import align as run_alignment
from causalign.alignment.alignment_files import MAPS, RESULT, read_record
from causalign.alignment.output import CHECKPOINT
from causalign.alignment.result import Alignment, load_alignment
from causalign.alignment.row_outcomes import ROWS
from causalign.alignment.score import IIA
from causalign.alignment.spec import AlignmentSpec, on_one_device, override, read_spec
from causalign.alignment.table_spec import TableSpec
from causalign.callbacks import Callback, ProgressUpdate
from causalign.cli import COMMANDS
from causalign.cli.common_options import Out
from causalign.cli.options import overrides, with_options
from causalign.cli.tables import (
    console,
    errors,
    show_alignment,
    show_comparison_matrix,
    show_estimate,
    show_scores,
    show_similarity,
    show_zoo,
)
from causalign.cli.termination import INTERRUPTED, exit_code, termination
from causalign.cli.track_option import Track, trackers
from causalign.errors import FileFormatError, InvalidArgument, SearchWarning
from causalign.files import output_folder, write_text
from causalign.journal import place
from causalign.planning.shallow_models import estimate_of_spec
from causalign.report.page import FIGURES, PAGE, SIMILARITY, save_similarity, write_report
from causalign.scoring.comparison import compare as compare_sites
from causalign.scoring.comparison_matrix import SPEARMAN, comparison_matrix, require_measure
from causalign.scoring.metrics import METRICS
from causalign.search.stop_reason import StopReason
from causalign.sites.readable import Readable
from causalign.sites.uri import open_site

MATRIX = "similarity_matrix.csv"

app = typer.Typer(
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)

Spec = Annotated[Path | None, typer.Option(help="A TOML or JSON file with any of these fields. Options replace them.")]
Seed = Annotated[int, typer.Option(min=0, help="The seed of all random draws.")]
Sites = Annotated[
    list[str] | None,
    typer.Option(
        "--site",
        "-s",
        help="A site: zoo:TASK/ARCHITECTURE[/SEED][@SITE], hf:PATH[@SITE], FOLDER[@SITE] of a trained network, or "
        "the .toml file of a recording. Repeat the option for each site.",
    ),
]
Overwrite = Annotated[
    bool, typer.Option("--overwrite", help="Replace an alignment, or the checkpoint of another one, in the folder.")
]


@app.callback()
def root() -> None:
    """Compare neural networks by what their representations do."""


@app.command(help=COMMANDS["quickstart"])
def quickstart(out: Out = Path("runs/quickstart"), seed: Seed = 0, *, overwrite: Overwrite = False) -> None:
    """Compare two shipped GRUs that learned to count: MAS, RSA and CKA, in the terminal and in a report.

    An earlier quickstart in the folder is replaced.
    """
    console.print(
        "Two GRUs were trained from different seeds to answer with as many R as they\n"
        "were shown objects. How interchangeable are their hidden states? MAS finds in\n"
        "each network the subspace that carries count and phase, swaps its contents\n"
        "between the two, and tests whether the target continues as the swapped state\n"
        "implies.\n"
    )
    spec = AlignmentSpec(sites=("zoo:multi-object/gru/0@hidden", "zoo:multi-object/gru/1@hidden"), seed=seed)
    _run(spec, out, overwrite or _holds(out, spec.sites))


@app.command(help=COMMANDS["align"])
@with_options
def align(out: Out, spec: Spec = None, *, track: Track = None, overwrite: Overwrite = False, **options: Any) -> None:
    """Align networks: find subspaces that can be interchanged, and score every direction.

    A search that was stopped, however that was, goes on where it was when the command is repeated.
    """
    _run(_spec(spec, options), out, overwrite, trackers(track))


@app.command(help=COMMANDS["estimate"])
@with_options
def estimate(spec: Spec = None, **options: Any) -> None:
    """Estimate the operations, memory, disk space and seconds of an alignment before it is run."""
    expected = estimate_of_spec(_spec(spec, options))
    show_estimate(expected)
    if expected.too_much:
        errors.print(expected.too_much, soft_wrap=True)


@app.command(help=COMMANDS["score"])
def score(
    folder: Annotated[Path, typer.Argument(help="The folder of a saved alignment.")],
    *,
    sites: Sites = None,
    data: Annotated[
        Path | None,
        typer.Option(help="A TOML file that describes a table, with the fields of [data] in a spec."),
    ] = None,
    metric: Annotated[
        list[str] | None,
        typer.Option(help=f"A metric: {', '.join(METRICS)}. Repeat the option for several. By default iia."),
    ] = None,
    n_test: Annotated[
        int | None, typer.Option(min=1, help="Rows of each direction, if they are drawn from tasks. By default 1,000.")
    ] = None,
    seed: Annotated[
        int | None, typer.Option(min=0, help="The seed of the rows, or of their split. By default the alignment's.")
    ] = None,
    out: Annotated[Path | None, typer.Option("--out", "-o", help="The CSV file to write the table to.")] = None,
) -> None:
    """Score a saved alignment on other data, or on networks in the place of recordings."""
    found = load_alignment(folder)
    if not sites:
        raise InvalidArgument("name a site for each site of the alignment: --site A --site B")
    opened = on_one_device([open_site(reference, with_task=data is None) for reference in sites])
    seed = found.record.config.seed if seed is None else seed
    rows = opened if data is None else TableSpec.read(read_spec(data), str(data)).dataset(opened, seed, None)
    table = found.score(rows, metric or IIA, n_test=n_test, seed=seed)
    show_scores(table)
    if out is not None:
        write_text(out, table.to_csv(index=False))
        console.print(f"Wrote the scores to {out}", soft_wrap=True)


@app.command(help=COMMANDS["schema"])
def schema() -> None:
    """Print the JSON schema of the specs that align and estimate read."""
    console.print(json.dumps(AlignmentSpec.model_json_schema(), indent=2), soft_wrap=True)


@app.command(help=COMMANDS["compare"])
def compare(
    out: Out,
    sites: Sites = None,
    seed: Seed = 0,
    *,
    measure: Annotated[
        str | None,
        typer.Option(
            help=f"The measure of the matrix of sites by sites, which is shown for three sites or more: {SPEARMAN} by "
            "default. The table has all measures of each pair."
        ),
    ] = None,
) -> None:
    """Compare two or more sites by RSA, CKA and Procrustes distance."""
    if not sites or len(sites) < 2:
        raise InvalidArgument(f"compare takes two sites or more: --site A --site B; found {len(sites or [])}")
    opened = [open_site(reference) for reference in sites]
    require_measure(measure or SPEARMAN, opened)
    output_folder(out, SIMILARITY, MATRIX)
    table = compare_sites(opened, seed=seed)
    if len(opened) == 2 and measure is None:
        show_similarity(table)
        (out / MATRIX).unlink(missing_ok=True)
    else:
        matrix = comparison_matrix(table, measure or SPEARMAN)
        show_comparison_matrix(matrix, measure or SPEARMAN)
        write_text(out / MATRIX, matrix.to_csv(index_label="site"))
        console.print(f"Wrote the matrix to {out / MATRIX}", soft_wrap=True)
    console.print(f"Wrote the table of all measures to {save_similarity(table, out)}", soft_wrap=True)


@app.command(help=COMMANDS["zoo"])
def zoo() -> None:
    """List the trained networks that ship with the package."""
    show_zoo(networks.zoo.entries())


@app.command(help=COMMANDS["report"])
def report(folder: Annotated[Path, typer.Argument(help="A folder that align or quickstart has written.")]) -> None:
    """Redraw the figures and the report of a saved alignment."""
    console.print(f"Wrote the report to {write_report(folder)}", soft_wrap=True)


@app.command(help=COMMANDS["train"])
def train(
    task: Annotated[str, typer.Argument(help=f"The task: {', '.join(tasks.names())}.")],
    architecture: Annotated[
        str, typer.Argument(metavar="ARCH", help=f"The architecture: {', '.join(networks.ARCHITECTURES)}.")
    ],
    out: Out,
    seed: Seed = 0,
    *,
    width: Annotated[int, typer.Option(min=1, help="The width of the embeddings and of the hidden state.")] = 128,
    track: Track = None,
) -> None:
    """Train a network until it makes no mistakes. Repeat the command to resume a stopped training."""
    try:
        network, card = networks.train(
            task, architecture, seed, out, width=width, progress=True, callbacks=trackers(track)
        )
    except KeyboardInterrupt:
        errors.print(f"stopped; repeat the command to resume from the checkpoint in {out}", soft_wrap=True)
        raise typer.Exit(INTERRUPTED) from None
    console.print(
        f"{network.name}: accuracy {card.accuracy:.4g} on {networks.Recipe.validation_trials:,} held-out trials "
        f"after {card.steps:,} steps, {card.seconds:.0f} s",
        soft_wrap=True,
    )
    if card.accuracy < 1:
        errors.print(f"the network still makes mistakes after {card.steps:,} steps, the maximum of its recipe")
        raise typer.Exit(1)


def _spec(path: Path | None, options: Mapping[str, Any]) -> AlignmentSpec:
    """Return the spec of a file, with the fields that options replace."""
    present = {name: value for name, value in options.items() if value is not None}
    fields = override({} if path is None else read_spec(path), overrides(present))
    if not fields.get("sites"):
        raise InvalidArgument("name the sites: --site A --site B, or sites = [...] in --spec FILE")
    return AlignmentSpec.read(fields, "the command line" if path is None else str(path))


def _run(spec: AlignmentSpec, out: Path, overwrite: bool, followers: Sequence[Callback] = ()) -> None:
    """Align, save, compare and report: the steps of every command that aligns."""
    output_folder(out, RESULT, MAPS, ROWS, SIMILARITY, PAGE, *FIGURES)
    saved = False
    try:
        with termination():
            sites = spec.open_sites()
            data = spec.dataset(sites)
            callbacks = [_resumption(out), *followers]
            with warnings.catch_warnings(action="ignore", category=SearchWarning):
                alignment = run_alignment(
                    data, spec.config, out=out, overwrite=overwrite, progress=True, callbacks=callbacks
                )
            saved = True
            show_alignment(alignment)
            _compare_pair(sites, spec.seed, out)
            page = write_report(out)
    except KeyboardInterrupt as error:
        errors.print(_interruption(out, saved), soft_wrap=True)
        raise typer.Exit(exit_code(error)) from None
    console.print(f"\nThe maps and the scores are in {out}.\nOpen {page} in a browser.", soft_wrap=True)
    _require_complete(alignment)


def _resumption(out: Path) -> Callback:
    """Return a callback that says at its first call, before a search, where the searches go on."""
    first = True

    def say(_: ProgressUpdate) -> None:
        nonlocal first
        if first and (at := place(out / CHECKPOINT)) is not None:
            errors.print(f"going on from {at}, with the checkpoint in {out}", soft_wrap=True)
        first = False

    return say


def _interruption(out: Path, saved: bool) -> str:
    """Return what to say of a command that was ended: what is there, and how to go on."""
    if saved:
        return f"interrupted; maps and scores are in {out}: causalign report {out} draws the report"
    at = place(out / CHECKPOINT)
    return "interrupted; nothing was saved" if at is None else f"interrupted at {at}: repeat the command to go on"


def _holds(folder: Path, sites: Sequence[str]) -> bool:
    """Return whether a folder holds an alignment of these sites of the zoo."""
    try:
        return [f"zoo:{site.network}@{site.at}" for site in read_record(folder).sites] == [*sites]
    except FileFormatError:
        return False


def _compare_pair(sites: Sequence[Readable], seed: int, out: Path) -> None:
    """Show and save the correlational measures, if there are two sites and they can read the same trials."""
    if len(sites) == 2 and sites[0].task.name == sites[1].task.name:
        similarity = compare_sites(sites[0], sites[1], seed=seed)
        save_similarity(similarity, out)
        show_similarity(similarity)
    else:
        for earlier in (SIMILARITY, "similarity.png"):
            (out / earlier).unlink(missing_ok=True)


def _require_complete(alignment: Alignment) -> None:
    """Exit with an error code and a message if the search diverged."""
    record = alignment.record
    if record.stopped == StopReason.DIVERGED:
        errors.print(f"the search {record.stopped.message} (step {record.steps})")
        raise typer.Exit(1)
