"""The commands."""

import re
import warnings
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Any

import typer

from causalign import networks, tasks
from causalign.alignment.methods import METHODS
from causalign.alignment.request import STARTS
from causalign.alignment.result import MAPS, RESULT, Alignment
from causalign.alignment.spec import AlignSpec, parse_spec, read_spec
from causalign.benchmarks import BENCHMARKS
from causalign.benchmarks.measurement import threads
from causalign.benchmarks.row import MissingError, Row, save_rows
from causalign.cli.tables import (
    console,
    errors,
    show_alignment,
    show_benchmarks,
    show_estimate,
    show_similarity,
    show_verdicts,
    show_zoo,
)
from causalign.errors import InvalidArgument, SearchWarning, lookup
from causalign.files import output_folder
from causalign.maps import PARAMETRIZATIONS
from causalign.planning.shallow_models import plan_of_spec
from causalign.progress import progress_bars
from causalign.report.page import FIGURES, PAGE, SIMILARITY, save_similarity, write_report
from causalign.reproduction.reproduce import COMPARISONS, STUDIES, TABLE
from causalign.reproduction.reproduce import reproduce as run_studies
from causalign.reproduction.study import BUDGETS, Protocol
from causalign.scoring.comparison import compare as compare_sites
from causalign.search.optimizers import OPTIMIZERS
from causalign.sites.readable import Readable
from causalign.sites.uri import open_site
from causalign.version import __version__

app = typer.Typer(
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)

Network = Annotated[
    list[str] | None,
    typer.Option(
        "--network",
        "-n",
        help="zoo:TASK/ARCH[/SEED][@SITE], hf:PATH[@SITE], a trained network's folder[@SITE], a recording's .toml.",
    ),
]
_MORE = (
    "train, validation, test, memory, batch, grow, passes, trial, check_every, patience, least_gain, enough, "
    "to_the_end, precision"
)
Spec = Annotated[Path | None, typer.Option(help=f"A TOML or JSON file with all of these, and {_MORE}.")]
Out = Annotated[Path, typer.Option("--out", "-o", help="The folder for what comes of it.")]
Seed = Annotated[int, typer.Option(min=0, help="Of all random draws.")]

INTERRUPTED = 130
_USUAL = {name: field.default for name, field in AlignSpec.model_fields.items()}


@app.callback(invoke_without_command=True)
def root(
    context: typer.Context,
    version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False,
) -> None:
    """Compare neural networks by what their representations do."""
    if version:
        console.print(f"causalign {__version__}")
    elif context.invoked_subcommand is None:
        console.print(context.get_help())


@app.command()
def quickstart(out: Out = Path("runs/quickstart"), seed: Seed = 0) -> None:
    """Compare two shipped GRUs that learnt to count: MAS, RSA and CKA, in the terminal and on a page."""
    console.print(
        "Two GRUs were trained from different seeds to answer with as many R as they\n"
        "were shown objects. How interchangeable are their hidden states? MAS finds in\n"
        "each the subspace that carries count and phase, swaps its contents between the\n"
        "two, and asks whether the receiver then goes on as the swapped-in state demands.\n"
    )
    spec = AlignSpec(network=["zoo:multi-object/gru/0@hidden", "zoo:multi-object/gru/1@hidden"], seed=seed)
    _run(spec, out)


@app.command()
def align(
    out: Out,
    network: Network = None,
    spec: Spec = None,
    variable: Annotated[list[str] | None, typer.Option(help="What is swapped; repeat to name one a network.")] = None,
    method: Annotated[str | None, typer.Option(help=f"{', '.join(METHODS)}.")] = None,
    rank: Annotated[
        str | None,
        typer.Option(
            help=f"Dimensions of the subspace, several (16,32) to take the best, auto for the least; {_USUAL['rank']}."
        ),
    ] = None,
    map_: Annotated[str | None, typer.Option("--map", help=f"{', '.join(PARAMETRIZATIONS)}.")] = None,
    scale: Annotated[bool | None, typer.Option(help="Whether maps have a trained scalar; they do.")] = None,
    start: Annotated[str | None, typer.Option(help=f"{', '.join(STARTS)}.")] = None,
    inaccessible: Annotated[
        int | None, typer.Option(help="clmas: index of the network that is not run; the last.")
    ] = None,
    eps: Annotated[float | None, typer.Option(help="clmas: weight of the latent objective.")] = None,
    tolerance: Annotated[
        float | None, typer.Option(help=f"--rank auto: how much lower the IIA may be; {_USUAL['tolerance']}.")
    ] = None,
    controls: Annotated[
        bool | None,
        typer.Option("--controls", help="Score beside it what there should not be to find."),
    ] = None,
    seed: Annotated[int | None, typer.Option(help=f"Of all random draws; {_USUAL['seed']}.")] = None,
    optimizer: Annotated[str | None, typer.Option(help=f"{', '.join(OPTIMIZERS)}; what suits the map.")] = None,
    learning_rate: Annotated[float | None, typer.Option(help="Of the optimiser; what suits the map.")] = None,
    most_steps: Annotated[int | None, typer.Option(help=f"Of the search; {_USUAL['most_steps']}.")] = None,
) -> None:
    """Align networks: find the subspaces that can be interchanged, and score every direction."""
    options: dict[str, Any] = {
        "network": network,
        "variable": variable[0] if variable and len(variable) == 1 else variable,
        "method": method,
        "rank": _ranks(rank),
        "map": map_,
        "scale": scale,
        "start": start,
        "inaccessible": inaccessible,
        "eps": eps,
        "tolerance": tolerance,
        "controls": controls,
        "seed": seed,
        "optimiser": optimizer,
        "learning_rate": learning_rate,
        "most_steps": most_steps,
    }
    given = {name: value for name, value in options.items() if value is not None}
    if spec and given:
        raise InvalidArgument(f"--spec says it all: leave out {', '.join(given)}, or put them into {spec}")
    if not spec and not network:
        raise InvalidArgument("name the networks: --network A --network B, or --spec FILE")
    _run(read_spec(spec) if spec else parse_spec(given, "the options"), out)


@app.command()
def plan(spec: Spec = None, network: Network = None) -> None:
    """Say what an alignment will take, before it is run: operations, memory, disk and seconds."""
    if (spec is None) == (not network):
        raise InvalidArgument("plan takes --spec FILE, or --network A --network B")
    asked = read_spec(spec) if spec else parse_spec({"network": network}, "the options")
    expected = plan_of_spec(asked)
    show_estimate(expected)
    if expected.too_much:
        errors.print(expected.too_much, soft_wrap=True)


@app.command()
def compare(out: Out, network: Network = None, seed: Seed = 0) -> None:
    """Compare two sites by RSA, CKA and Procrustes distance."""
    if not network or len(network) != 2:
        raise InvalidArgument(f"compare takes two networks: --network A --network B; found {len(network or [])}")
    a, b = (open_site(reference) for reference in network)
    output_folder(out, SIMILARITY)
    table = compare_sites(a, b, seed=seed)
    show_similarity(table)
    console.print(f"Written to {save_similarity(table, out)}", soft_wrap=True)


@app.command()
def zoo() -> None:
    """List the trained networks that come with the project."""
    show_zoo(networks.zoo.entries())


@app.command()
def report(folder: Annotated[Path, typer.Argument(help="A folder that `align` or `quickstart` has written.")]) -> None:
    """Draw the figures and the page of a saved alignment again."""
    console.print(f"Written to {write_report(folder)}", soft_wrap=True)


@app.command()
def train(
    task: Annotated[str, typer.Argument(help=f"The task: {', '.join(tasks.names())}.")],
    architecture: Annotated[
        str, typer.Argument(metavar="ARCH", help=f"The network: {', '.join(networks.ARCHITECTURES)}.")
    ],
    out: Out,
    seed: Seed = 0,
    width: Annotated[int, typer.Option(min=1, help="Of embedding and hidden state.")] = 128,
) -> None:
    """Train a network until it makes no mistake. A training that was stopped goes on when the command is repeated."""
    try:
        with progress_bars() as listener:
            network, card = networks.train(task, architecture, seed, out, width=width, listener=listener)
    except KeyboardInterrupt:
        errors.print(f"stopped; the same command goes on from the last check, kept in {out}", soft_wrap=True)
        raise typer.Exit(INTERRUPTED) from None
    console.print(
        f"{network.name}: accuracy {card.accuracy:.4g} on {networks.Recipe.validation_trials:,} held-out trials "
        f"after {card.steps:,} steps, {card.seconds:.0f} s",
        soft_wrap=True,
    )
    if card.accuracy < 1:
        errors.print(f"it still makes mistakes after {card.steps:,} steps, the most the recipe allows")
        raise typer.Exit(1)


@app.command()
def reproduce(
    out: Out,
    studies: Annotated[
        list[str] | None, typer.Argument(metavar="[STUDY]...", help=f"{', '.join(STUDIES)}, or all.")
    ] = None,
    workers: Annotated[
        int | None, typer.Option(min=1, help="Processes, which share the processor's threads; one for each core.")
    ] = None,
    language_model: Annotated[
        str, typer.Option(help="hf:PATH of a model that does the task in words; none leaves its row out.")
    ] = "zoo:in-context/llama/0",
    budget: Annotated[str, typer.Option(help=f"How long searches go on: {', '.join(BUDGETS)}.")] = "settled",
    controls: Annotated[bool, typer.Option(help="Whether to score controls beside every causal score.")] = True,
) -> None:
    """Run the paper's figures again: a table with its numbers beside ours, verdicts, figures and a page.

    What is finished is kept: the same command goes on from there, however it was stopped.
    """
    names = list(STUDIES) if not studies or "all" in studies else studies
    protocol = Protocol(
        controls=controls, search=lookup("budget", budget, BUDGETS), language_model=_there(language_model)
    )
    try:
        with progress_bars() as listener:
            found = run_studies(names, out, protocol, workers, listener)
    except KeyboardInterrupt:
        errors.print(f"stopped; the same command goes on, from what is in {out / COMPARISONS}", soft_wrap=True)
        raise typer.Exit(INTERRUPTED) from None
    show_verdicts(found.verdicts)
    console.print(f"\nThe table is {out / TABLE}.\nOpen {found.page} in a browser.", soft_wrap=True)


@app.command()
def bench(
    only: Annotated[list[str] | None, typer.Argument(help=f"{', '.join(BENCHMARKS)}; all of them.")] = None,
    quick: Annotated[bool, typer.Option("--quick", help="Fewer repeats and smaller cases: minutes.")] = False,
    json: Annotated[Path | None, typer.Option(help="Write the rows to this file as well.")] = None,
    number: Annotated[int, typer.Option("--threads", min=1, help="Of torch, pinned.")] = 2,
) -> None:
    """Measure how fast it is: every row a ratio to something that runs beside it, on this machine."""
    chosen = {name: lookup("benchmark", name, BENCHMARKS) for name in only or BENCHMARKS}
    if json is not None:
        output_folder(json.parent, json.name)
    rows: list[Row] = []
    try:
        with threads(number), warnings.catch_warnings(action="ignore", category=SearchWarning):
            for name, benchmark in chosen.items():
                errors.print(f"{name} ...")
                try:
                    rows += benchmark(quick)
                except MissingError as missing:
                    if only:
                        raise
                    errors.print(f"{name} is left out: {missing}", soft_wrap=True)
                if json is not None:
                    save_rows(rows, number, json)
    except KeyboardInterrupt:
        show_benchmarks(rows, number)
        raise typer.Exit(INTERRUPTED) from None
    show_benchmarks(rows, number)


def _there(language_model: str) -> str:
    """The language model, if the library that runs it is there."""
    if language_model in ("", "none"):
        return ""
    if find_spec("transformers") is None:
        errors.print("the language model is left out: pip install 'causalign[hf]'")
        return ""
    return language_model


def _ranks(given: str | None) -> int | str | list[int] | None:
    """A rank, or several; what is neither is for the spec to refuse."""
    if given is None or not re.fullmatch(r"-?\d+(,-?\d+)*", given):
        return given
    ranks = [int(each) for each in given.split(",")]
    return ranks if len(ranks) > 1 else ranks[0]


def _run(spec: AlignSpec, out: Path) -> None:
    """Align, save, compare, report: the path of every command that aligns."""
    output_folder(out, RESULT, MAPS, SIMILARITY, PAGE, *FIGURES)
    saved = False
    try:
        sites = spec.open()
        with progress_bars() as listener, warnings.catch_warnings(action="ignore", category=SearchWarning):
            alignment = spec.align(sites, listener)
        alignment.save(out)
        saved = True
        show_alignment(alignment)
        _compare_pair(sites, spec.seed, out)
        page = write_report(out)
    except KeyboardInterrupt:
        errors.print(f"interrupted; maps and scores are in {out}" if saved else "interrupted; nothing was saved")
        raise typer.Exit(INTERRUPTED) from None
    console.print(f"\nMaps and scores are in {out}.\nOpen {page} in a browser.", soft_wrap=True)
    _say_if_cut_short(alignment, out)


def _compare_pair(sites: Sequence[Readable], seed: int, out: Path) -> None:
    """The correlational measures, where there are two sites and they can be shown the same trials."""
    if len(sites) == 2 and sites[0].task.name == sites[1].task.name:
        similarity = compare_sites(sites[0], sites[1], seed=seed)
        save_similarity(similarity, out)
        show_similarity(similarity)
    else:
        for earlier in (SIMILARITY, "similarity.png"):
            (out / earlier).unlink(missing_ok=True)


def _say_if_cut_short(alignment: Alignment, out: Path) -> None:
    record = alignment.record
    if record.stopped == "interrupted":
        errors.print(f"interrupted at step {record.steps}: the best alignment until then is in {out}", soft_wrap=True)
        raise typer.Exit(INTERRUPTED)
    if record.stopped == "diverged":
        errors.print(f"the search diverged at step {record.steps}; try a lower learning rate")
        raise typer.Exit(1)
    if record.stopped == "steps" and record.steps:
        errors.print(f"the search had not settled after {record.steps} steps; allow more (most_steps)")
