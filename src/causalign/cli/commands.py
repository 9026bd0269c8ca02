"""The commands of the command line."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from causalign import networks, tasks
from causalign.alignment.result import load_alignment
from causalign.alignment.score import IIA
from causalign.alignment.spec import AlignmentSpec, on_one_device, override, read_spec
from causalign.alignment.table_spec import TableSpec
from causalign.callbacks import Callback
from causalign.cli import COMMANDS
from causalign.cli.alignment_run import require_complete, run_alignment
from causalign.cli.common_options import Out, Overwrite, Seed
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
from causalign.cli.termination import INTERRUPTED
from causalign.cli.track_option import Track, trackers
from causalign.errors import InvalidArgument
from causalign.files import output_folder, write_text
from causalign.planning.shallow_models import estimate_of_spec
from causalign.report.page import SIMILARITY, save_similarity, write_report
from causalign.scoring.comparison import compare as compare_sites
from causalign.scoring.comparison_matrix import SPEARMAN, comparison_matrix, require_measure
from causalign.scoring.metrics import METRICS
from causalign.sites.uri import open_site

MATRIX = "similarity_matrix.csv"

app = typer.Typer(
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)

Spec = Annotated[Path | None, typer.Option(help="A TOML or JSON file with any of these fields. Options replace them.")]
Sites = Annotated[
    list[str] | None,
    typer.Option(
        "--site",
        "-s",
        help="A site: zoo:TASK/ARCHITECTURE[/SEED][@SITE], hf:PATH[@SITE], FOLDER[@SITE] of a trained network, or "
        "the .toml file of a recording. Repeat the option for each site.",
    ),
]


@app.callback()
def root() -> None:
    """Compare neural networks by what their representations do."""


@app.command(help=COMMANDS["align"])
@with_options
def align(out: Out, spec: Spec = None, *, track: Track = None, overwrite: Overwrite = False, **options: Any) -> None:
    """Align networks: find subspaces that can be interchanged, and score every direction.

    A search that was stopped, however that was, goes on where it was when the command is repeated.
    """
    _align(_spec(spec, options), out, overwrite, trackers(track))


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


def _align(spec: AlignmentSpec, out: Path, overwrite: bool, followers: Sequence[Callback] = ()) -> None:
    """Align into a folder, and show what was found."""
    run = run_alignment(spec, out, overwrite, followers)
    show_alignment(run.alignment)
    if run.similarity is not None:
        show_similarity(run.similarity)
    console.print(f"\nThe maps and the scores are in {out}.\nOpen {run.page} in a browser.", soft_wrap=True)
    require_complete(run.alignment)
