import inspect
import json
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import causalign as ca
from causalign.alignment.config import AlignmentConfig
from causalign.alignment.spec import AlignmentSpec
from causalign.benchmarks.row import Row
from causalign.callbacks import Callback, ProgressUpdate
from causalign.cli import alignment_run, bench, commands
from causalign.scoring.comparison import MEASURES
from causalign.search.config import SearchConfig
from causalign.sites.uri import open_site

WORDS = ["nut", "seed", "stop"]

Run = Callable[..., tuple[int, str, str]]
FEW = ["--n-train", "500", "--n-validation", "100", "--n-test", "200"]
QUICK = ["--rank", "4", "--max-steps", "2", *FEW]
PAIR = ["--site", "zoo:multi-object/gru/0", "--site", "zoo:multi-object/gru/1@hidden"]


def test_quickstart_shows_what_can_be_exchanged_and_what_only_correlates(
    run: Run, tmp_path: Path, aligned: ca.Alignment
) -> None:
    code, out, _ = run("quickstart", "--out", tmp_path / "quick")
    assert code == 0
    said = " ".join(out.split())
    for part in (
        "worst IIA",
        "RSA",
        "CKA",
        "pairs.html",
        "The GRUs can exchange what they represent (worst IIA 1.000)",
    ):
        assert part in said
    assert "the transformers cannot exchange what they represent (worst IIA 0.1" in said
    assert "and neither RSA" in said  # both measures are 0.9 and more for both pairs
    files = {file.relative_to(tmp_path / "quick").as_posix() for file in (tmp_path / "quick").rglob("*")}
    of_a_pair = {"result.json", "maps.safetensors", "rows.safetensors", "report.html", "similarity.csv"}
    of_a_pair |= {"iia.png", "learning_curve.png", "similarity.png"}
    below = {f"{pair}/{name}" for pair in ("grus", "transformers") for name in of_a_pair}
    assert files == {"pairs.html", "pairs.png", "grus", "transformers"} | below
    again = ca.load_alignment(tmp_path / "quick" / "grus")
    assert again.record.iia == aligned.record.iia  # the same seed by another way is the same result
    assert {score.rows for score in again.record.iia} == {1000}


def test_align_from_options_and_from_a_file_are_the_same(run: Run, tmp_path: Path) -> None:
    assert run("align", *PAIR, *QUICK, "--variable", "count", "--seed", 3, "--out", tmp_path / "a")[0] == 0
    spec = tmp_path / "spec.toml"
    spec.write_text(
        'sites = ["zoo:multi-object/gru/0", "zoo:multi-object/gru/1@hidden"]\n'
        'variable = "full"\nrank = 4\nseed = 3\nn_train = 500\nn_validation = 100\nn_test = 200\n'
        "[search]\nmax_steps = 9\n"
    )
    code, out, _ = run("align", "--spec", spec, "--variable", "count", "--max-steps", 2, "--out", tmp_path / "b")
    assert code == 0
    assert "The search ran out of steps at step 2, before validation stopped improving" in out.replace("\n", " ")
    maps = [(tmp_path / folder / "maps.safetensors").read_bytes() for folder in "ab"]
    assert maps[0] == maps[1]
    as_json = tmp_path / "spec.json"
    as_json.write_text(
        json.dumps({"sites": [PAIR[1]], "method": "das", "rank": 2, "search": {"max_steps": 0}, "n_test": 50})
    )
    assert run("align", "--spec", as_json, "--out", tmp_path / "c")[0] == 0
    assert ca.load_alignment(tmp_path / "c").iia["rows"].tolist() == [50]
    assert not (tmp_path / "c" / "similarity.csv").exists()


def test_compare_writes_its_table(run: Run, tmp_path: Path) -> None:
    code, out, _ = run("compare", *PAIR, "--out", tmp_path)
    assert code == 0
    assert "Procrustes distance" in out
    table = pd.read_csv(tmp_path / "similarity.csv")
    assert table["measure"].tolist() == [*MEASURES]
    assert "similarity.csv" in out


def test_several_sites_are_compared_each_with_each(run: Run, tmp_path: Path) -> None:
    names = ["zoo:multi-object/gru/0", "zoo:multi-object/gru/1", "zoo:multi-object/transformer/0@layer.1"]
    sites = [part for name in names for part in ("--site", name)]
    code, out, _ = run("compare", *sites, "--measure", "CKA (linear)", "--seed", 1, "--out", tmp_path)
    assert code == 0
    matrix = pd.read_csv(tmp_path / "similarity_matrix.csv", index_col="site")
    table = pd.read_csv(tmp_path / "similarity.csv")
    assert len(table) == 3 * len(MEASURES)
    expected = ca.compare([open_site(name) for name in names], seed=1)
    pd.testing.assert_frame_equal(table, expected, check_exact=False)
    pd.testing.assert_frame_equal(matrix, ca.comparison_matrix(expected, "CKA (linear)"), check_names=False)
    assert "C  multi-object/transformer/0@layer.1" in out
    for value in matrix.to_numpy()[np.triu_indices(3)]:
        assert f" {value:.3f} " in out
    assert run("compare", *sites[:4], "--out", tmp_path)[0] == 0
    assert not (tmp_path / "similarity_matrix.csv").exists()  # no matrix of other sites is left


def test_the_zoo_is_listed(run: Run) -> None:
    code, out, _ = run("zoo")
    assert code == 0
    for entry in ca.zoo.entries():
        row = re.search(rf"zoo:{entry.name}/{entry.seed} +│ +{entry.card.task} +│ +{entry.seed} +│ +1.000", out)
        assert row, entry.name


def test_methods_and_variables_are_reached_from_the_shell(run: Run, tmp_path: Path) -> None:
    sizes: dict[str, object] = {"n_train": 60, "n_validation": 40, "n_test": 50, "rank": 2}
    sizes["search"] = {"max_steps": 2, "batch_size": 16}
    adder = "zoo:arithmetic/gru/0"

    def align(name: str, **more: object) -> tuple[int, str, str]:
        spec = tmp_path / f"{name}.json"
        spec.write_text(json.dumps(sizes | {"sites": [PAIR[1], PAIR[3]]} | more))
        return run("align", "--spec", spec, "--out", tmp_path / name)

    code, out, _ = align("clmas", method={"name": "clmas", "inaccessible": 0, "latent_weight": 3.0}, variable="count")
    assert code == 0
    assert re.search(r"\d+ rows were left out, because no state was recorded", out.replace("\n", " "))
    assert "was read, but not run" in (tmp_path / "clmas" / "report.html").read_text()
    code, out, _ = align("stitch", method="stitch")
    assert code == 0
    assert "B -> A was not trained: " in out
    assert "not trained" in (tmp_path / "stitch" / "report.html").read_text()
    code, out, err = align("procrustes", method="procrustes", rank=128)
    assert code == 0
    assert "allow more" not in err
    code, out, _ = align("mixed", sites=[PAIR[1], adder], variable=["count", "cumulative_value[1..10]"])
    assert code == 0
    assert "count -> cumulative_value[1..10]" in ca.load_alignment(tmp_path / "mixed").iia["variable"].tolist()
    das = ("align", "-s", adder, "--method", "das", "--overwrite", "--out", tmp_path / "r", *FEW)
    code, out, _ = run(*das, "--rank", "auto", "--tolerance", "0.2", "--max-steps", 0)
    assert ca.load_alignment(tmp_path / "r").record.config.rank == ca.SmallestRank(0.2)
    assert code == 0
    assert re.search(r"Rank 128: \d.\d+ on validation", out)
    code, out, _ = run(*das, "--rank", "2,3", "--trial-steps", 5, "--max-steps", 0)
    assert ca.load_alignment(tmp_path / "r").record.config.rank == ca.BestRank((2, 3), trial_steps=5)
    assert code == 0
    assert re.search(r"Rank 2: .*\nRank 3: \d.\d+ on validation", out)


def test_report_draws_again_what_was_saved(run: Run, tmp_path: Path, rough: ca.Alignment) -> None:
    rough.save(tmp_path)
    assert run("report", tmp_path)[0] == 0
    assert (tmp_path / "report.html").exists()


def test_train_saves_a_network_that_can_be_aligned(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    recipe = ca.networks.Recipe(batch=8, eval_every=5, max_steps=10, validation_trials=10)
    monkeypatch.setattr("causalign.networks.training.Recipe", lambda: recipe)
    code, out, err = run("train", "multi-object", "gru", "--seed", 2, "--width", 8, "--out", tmp_path / "net")
    assert code == 1
    assert "after 10 steps" in out
    assert "still makes mistakes after 10 steps" in err
    network = str(tmp_path / "net")
    code, out, _ = run("align", "-s", f"{network}@hidden", "-s", network, *QUICK, "--out", tmp_path / "a")
    assert code == 0
    assert json.loads((tmp_path / "a" / "result.json").read_text())["sites"][0]["network"] == network


@pytest.fixture
def ctrl_c() -> Iterator[None]:
    """Ctrl-C as at a terminal; a shell that starts the tests in the background has it ignored."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("ctrl_c")
def test_ctrl_c_in_a_training_says_how_to_go_on(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    @contextmanager
    def callback() -> Iterator[Callback]:
        def listen(update: ProgressUpdate) -> None:
            if update.step == 2:
                os.kill(os.getpid(), signal.SIGINT)

        yield listen

    monkeypatch.setattr("causalign.callbacks.callback_session.progress_display", callback)
    code, _, err = run("train", "multi-object", "gru", "--width", 4, "--out", tmp_path)
    assert code == 130
    assert "repeat the command to resume" in err


BAD = [
    (["align", *PAIR, "--variable", "coun"], "unknown variable of multi-object 'coun'; did you mean 'count'"),
    (["align", *PAIR, "--method", "maz"], "unknown method 'maz'; did you mean 'mas'"),
    (["align", *PAIR, "--rank", "0"], "rank must be a whole number, at least 1; found 0"),
    (["align", *PAIR, "--rank", "-2"], "found -2"),
    (["align", *PAIR, "--rank", "129"], "found 129"),
    (["align", *PAIR, "--start", "cold"], "unknown start 'cold'; known: closed-form, paired, random"),
    (
        ["align", *PAIR, "--learning-rate", "-1"],
        "the command line: search.learning_rate: Input should be greater than 0",
    ),
    (["align", "--site", "zoo:multi-object/gru/²"], "unknown zoo network"),
    (["align"], "name the sites: --site A --site B, or sites = [...] in --spec FILE"),
    (["align", "--site", "zoo:multi-objct/gru"], "unknown zoo network 'multi-objct/gru'; did you mean"),
    (["align", "--site", "zoo:multi-object/gru/7"], "with the seeds 0, 1, 2, 3, found 7"),
    (["align", "--site", "nowhere/at/all"], "nowhere/at/all: no such folder; shipped networks are named zoo:"),
    (["align", "--site", "zoo:multi-object/gru@hiddn"], "'hiddn'; did you mean 'hidden'"),
    (["compare", "--site", "zoo:multi-object/gru"], "compare takes two sites or more"),
    (
        ["compare", *PAIR, "--measure", "rsa (spearmann)"],
        "unknown measure 'rsa (spearmann)'; did you mean 'RSA (Spearman)",
    ),
    (["compare", *PAIR, "--measure", "RSA (crossnobis)"], "unknown measure 'RSA (crossnobis)'; did you mean"),
    (["compare", *PAIR, "--site", PAIR[1]], "several sites are called multi-object/gru/0@hidden"),
    (["train", "multi-objects", "gru"], "unknown task 'multi-objects'; did you mean 'multi-object'"),
    (["train", "multi-object", "gur"], "unknown architecture 'gur'; did you mean 'gru'"),
]


@pytest.mark.parametrize(
    ("arguments", "message"), BAD, ids=lambda value: " ".join(value) if isinstance(value, list) else ""
)
def test_wrong_input_is_one_line_and_exit_code_2(run: Run, tmp_path: Path, arguments: list[str], message: str) -> None:
    code, _, err = run(*arguments, "--out", tmp_path / "out")
    assert code == 2
    assert message in err
    lines = [line for line in err.strip().splitlines() if not line.startswith(("⠋", "⠙"))]
    assert lines[-1].startswith("error: ")
    assert "Traceback" not in err
    assert not list((tmp_path / "out").glob("*")) if (tmp_path / "out").exists() else True


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('sitez = ["x"]\nsites = ["x"]', "unknown field of AlignmentSpec 'sitez'; did you mean 'sites'"),
        ('sites = ["x"]\nrank = "four"', "rank is a whole number, .*found 'four'"),
        ("sites = [", "cannot read the spec"),
        (
            'sites = ["zoo:multi-object/gru"]\nsearch.learning_rate = nan',
            "search.learning_rate: Input should be a finite number",
        ),
        ("sites = []", "name the sites"),
    ],
)
def test_a_wrong_spec_is_refused_by_its_entry(run: Run, tmp_path: Path, text: str, message: str) -> None:
    spec = tmp_path / "spec.toml"
    spec.write_text(text)
    code, _, err = run("align", "--spec", spec, "--out", tmp_path / "out")
    assert code == 2
    assert re.search(message, err)


def test_a_spec_that_is_not_there_is_refused(run: Run, tmp_path: Path) -> None:
    code, _, err = run("align", "--spec", tmp_path / "s.toml", "--out", tmp_path)
    assert code == 2
    assert "cannot read the spec" in err


@pytest.mark.parametrize("command", ["quickstart", "align", "compare", "train"])
def test_a_folder_that_cannot_be_written_is_refused_before_the_work(
    run: Run, tmp_path: Path, command: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setattr(alignment_run, "align", lambda *a, **k: pytest.fail("work was done"))
    monkeypatch.setattr(commands, "compare_sites", lambda *a, **k: pytest.fail("work was done"))
    arguments = {"align": PAIR, "compare": PAIR, "train": ["multi-object", "gru"], "quickstart": []}[command]
    code, _, err = run(command, *arguments, "--out", tmp_path / "file" / "below")
    assert code == 2
    assert "cannot write to the folder" in err
    assert (tmp_path / "file").read_text() == "in the way"


def test_nothing_is_half_written_when_writing_fails(rough: ca.Alignment, tmp_path: Path) -> None:
    from causalign.files import atomic_write

    rough.save(tmp_path)
    before = {file.name: file.read_bytes() for file in tmp_path.iterdir()}

    def stop_halfway() -> None:
        with atomic_write(tmp_path / "result.json") as temporary:
            temporary.write_text("half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        stop_halfway()
    assert {file.name: file.read_bytes() for file in tmp_path.iterdir()} == before


def test_help_is_there_for_every_command(run: Run) -> None:
    code, out, _ = run()
    assert code == 0
    for command in ("quickstart", "train", "align", "compare", "report"):
        assert command in out
        code, said, err = run(command, "--help")
        assert (code, err) == (0, "")
        assert "Usage: " in said
    assert "SEED@SITE" in run("align", "--help")[1]
    assert run("--version")[1] == f"causalign {ca.__version__}\n"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["align", *PAIR], "error: Missing option '--out' / '-o'."),
        (["align", "--rankk", "3"], "error: No such option"),
        (
            ["align", *PAIR, "--rank", "eight", "--out", "x"],
            "error: rank is a whole number, several such as [16, 32], one for each variable such as {'answer': 8}, ",
        ),
        (["alin"], "error: No such command 'alin'."),
    ],
)
def test_wrong_options_are_one_line_too(run: Run, arguments: list[str], message: str) -> None:
    code, _, err = run(*arguments)
    assert code == 2
    assert err.startswith(message)
    assert len(err.strip().splitlines()) == 1


def test_a_network_that_does_not_take_its_own_states_back_is_pointed_out(run: Run, tmp_path: Path) -> None:
    _, out, _ = run("align", "-s", "zoo:multi-object/gru@embedding", "--method", "das", *QUICK, "--out", tmp_path)
    assert "A scores only 0." in out


def test_brackets_in_a_name_are_no_styles(run: Run, tmp_path: Path) -> None:
    code, _, err = run("align", "-s", "no[red]where[/bar]", "--out", tmp_path)
    assert code == 2
    assert "no[red]where[/bar]: no such folder" in err


def test_an_at_sign_may_be_in_a_path(run: Run, tmp_path: Path, zoo_folder: Path) -> None:
    there = tmp_path / "me@work" / "net"
    there.parent.mkdir()
    shutil.copytree(zoo_folder, there)
    for name, reference in (("hidden", there), ("embedding", f"{there}@embedding")):
        assert run("align", "-s", reference, "--method", "das", *QUICK, "--out", tmp_path / name)[0] == 0


def test_a_folder_in_the_place_of_a_file_is_refused_before_the_work(run: Run, tmp_path: Path) -> None:
    (tmp_path / "report.html").mkdir()
    code, _, err = run("align", *PAIR, "--out", tmp_path)
    assert code == 2
    assert "report.html: it is a folder" in err
    assert [file.name for file in tmp_path.iterdir()] == ["report.html"]


def test_a_report_never_shows_the_similarity_of_other_sites(run: Run, tmp_path: Path, rough: ca.Alignment) -> None:
    assert run("compare", *PAIR, "--out", tmp_path)[0] == 0
    rough.save(tmp_path)
    assert run("report", tmp_path)[0] == 0
    assert "Procrustes distance</td>" not in (tmp_path / "report.html").read_text()
    assert run("align", "-s", PAIR[1], "--method", "das", *QUICK, "--overwrite", "--out", tmp_path)[0] == 0
    assert not (tmp_path / "similarity.csv").exists()


def test_a_search_that_diverges_does_not_pass_for_one_that_worked(run: Run, tmp_path: Path) -> None:
    code, _, err = run("align", *PAIR, "--rank", 4, "--learning-rate", 1e30, "--out", tmp_path)
    assert code == 1
    assert "diverged" in err
    assert ca.load_alignment(tmp_path).record.stopped == "diverged"


@pytest.mark.usefixtures("ctrl_c")
def test_ctrl_c_outside_the_search_says_what_is_saved(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(*_: object, **__: object) -> None:
        os.kill(os.getpid(), signal.SIGINT)

    monkeypatch.setattr(alignment_run, "compare", stop)
    code, _, err = run("align", *PAIR, *QUICK, "--out", tmp_path)
    assert code == 130
    assert f"interrupted; maps and scores are in {tmp_path}" in err.replace("\n", "")
    monkeypatch.setattr("causalign.alignment.spec.AlignmentSpec.open_sites", stop)
    code, _, err = run("align", *PAIR, *QUICK, "--out", tmp_path)
    assert (code, "interrupted; nothing was saved" in err) == (130, True)


def test_estimate_says_what_an_alignment_takes(run: Run, tmp_path: Path) -> None:
    spec = tmp_path / "spec.toml"
    spec.write_text(
        'sites = ["zoo:multi-object/gru/0"]\nmethod = "das"\nrank = 4\n[search]\nmax_steps = 3\nbatch_size = 16\n'
    )
    code, out, _ = run("estimate", "--spec", spec)
    assert code == 0
    for said in ("time, at most", "3 steps", "GFLOP", "memory at peak", "disk"):
        assert said in out
    assert run("estimate")[0] == 2
    assert run("estimate", "--spec", spec, "--rank", "5,6")[0] == 0


def test_a_saved_alignment_is_scored_on_other_data(run: Run, tmp_path: Path, rough: ca.Alignment) -> None:
    assert run("align", *PAIR, *QUICK, "--n-train", 500, "--out", tmp_path / "a")[0] == 0
    scores = ("score", tmp_path / "a", *PAIR, "--n-test", 200, "--seed", 5)
    code, out, _ = run(*scores, "--metric", "iia", "--metric", "kl", "--out", tmp_path / "scores.csv")
    assert code == 0
    assert "kl_se" in out
    table = pd.read_csv(tmp_path / "scores.csv")
    assert table["rows"].tolist() == [200] * 4
    assert (table["kl"] > 0).all()
    code, _, err = run("score", tmp_path / "a", *PAIR[2:], *PAIR[:2])
    assert (code, "its map was found for multi-object/gru/0@hidden" in err) == (2, True)
    code, _, err = run("score", tmp_path / "a")
    assert (code, "name a site for each site of the alignment" in err) == (2, True)
    assert run(*scores, "--metric", "kll")[2].startswith("error: unknown metric 'kll'; did you mean 'kl'")


def test_a_table_of_ones_own_is_aligned_from_the_shell(run: Run, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    model = ca.zoo.folder("in-context/llama")
    table = pd.DataFrame({end: [" ".join(rng.choice(WORDS, 5)) for _ in range(40)] for end in ("base", "source")})
    table["answer"] = rng.choice(WORDS, 40)
    table.to_csv(tmp_path / "prompts.csv", index=False)
    spec = tmp_path / "spec.toml"
    spec.write_text(f'''sites = ["hf:{model}@layer.1"]
method = "das"
rank = 2
[data]
table = "{tmp_path / "prompts.csv"}"
target = "base"
label = "answer"
[search]
max_steps = 2
batch_size = 8
''')
    assert run("align", "--spec", spec, "--out", tmp_path / "a")[0] == 0
    found = ca.load_alignment(tmp_path / "a")
    assert found.iia["rows"].tolist() == [4]
    assert set(found.rows["row"]) <= set(range(40))
    assert "memory at peak" in run("estimate", "--spec", spec)[1]
    by_option = run("align", "--spec", spec, "--data-label", "anser", "--out", tmp_path / "b")
    assert (by_option[0], "unknown column (label) 'anser'; did you mean 'answer'" in by_option[2]) == (2, True)
    data = tmp_path / "data.toml"
    data.write_text(f'table = "{tmp_path / "prompts.csv"}"\ntarget = "base"\nlabel = "answer"\n')
    code, out, _ = run(
        "score", tmp_path / "a", "--site", f"hf:{model}@layer.1", "--data", data, "--metric", "probability"
    )
    assert (code, "probability" in out) == (0, True)
    for name, text in (("prompts.xml", "ending of a table '.xml'"), ("nothing.csv", "cannot read the table")):
        code, _, err = run("align", "--spec", spec, "--data-table", tmp_path / name, "--out", tmp_path / "c")
        assert (code, text in err) == (2, True)


def test_the_schema_is_published_and_every_field_is_an_option(run: Run) -> None:
    code, out, _ = run("schema")
    schema = json.loads(out)
    assert code == 0
    assert set(schema["properties"]) == set(AlignmentSpec.model_fields)
    published = json.loads((Path(__file__).parent.parent / "docs/alignment.schema.json").read_text())
    assert schema == published  # causalign schema > docs/alignment.schema.json
    assert "clmas" in str(schema["properties"]["method"])
    fields = {*AlignmentConfig.model_fields, *SearchConfig.model_fields} - {"search"}
    described = [*schema["properties"].values(), *schema["$defs"]["SearchConfig"]["properties"].values()]
    assert all(each.get("description") for each in described)
    said = run("align", "--help")[1]
    for field in fields:
        assert f"--{field.replace('_', '-')}" in said, field
    for parameter in ("stepwise", "latent-weight", "inaccessible", "tolerance", "trial-steps", "site", "data-table"):
        assert f"--{parameter}" in said, parameter


def test_the_python_call_shows_the_fields_too() -> None:
    for function in (ca.align, ca.estimate):
        parameters = inspect.signature(function).parameters
        assert {*AlignmentConfig.model_fields} < set(parameters)
        assert parameters["n_train"].default == 10_000
        assert "n_train: Rows of each direction that are trained on." in (function.__doc__ or "")
        assert "**fields" not in (function.__doc__ or "")


def test_bench_prints_rows_and_writes_them(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    row = Row(
        benchmark="step", case="small", ours=0.1, unit="s", rival="a product", theirs=0.05, ratio=0.5, reads="share"
    )
    monkeypatch.setattr(bench, "BENCHMARKS", {"step": lambda quick: iter([row]), "other": lambda quick: iter([])})
    code, out, _ = run("bench", "step", "--quick", "--json", tmp_path / "rows.json", "--threads", "1")
    assert code == 0
    assert "50%" in out
    written = json.loads((tmp_path / "rows.json").read_text())
    assert written["rows"][0]["ratio"] == 0.5
    assert written["machine"]["threads"] == 1
    code, _, err = run("bench", "stepp")
    assert code == 2
    assert "did you mean 'step'" in err


def test_a_reader_that_has_read_enough_ends_a_command_quietly() -> None:
    command = f"{sys.executable} -m causalign --help | head -1"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=False)
    assert done.stdout.startswith("Usage: causalign")
    assert done.stderr == ""
