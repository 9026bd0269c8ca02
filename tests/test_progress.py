"""Being told: bars, notebooks, plain lines, logging, trackers, and searches that run out of steps."""

import io
import logging
import re
import sqlite3
import struct
import subprocess
import sys
import time
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import nbformat
import pytest
from rich.console import Console

import causalign as ca
from causalign.callbacks import (
    MLflowTracker,
    ProgressUpdate,
    TensorBoardTracker,
    WandbTracker,
    notebook_lines,
    plain_lines,
    progress_bars,
    tracker_of,
)
from causalign.callbacks.log import LOGGER

SMALL: dict[str, Any] = {
    "rank": 2,
    "n_train": 40,
    "n_validation": 20,
    "n_test": 30,
    "search": {"max_steps": 3, "eval_every": 1, "batch_size": 8, "early_stopping": False},
}
Pair = tuple[ca.networks.GRU, ca.networks.GRU]


class Terminal(io.StringIO):
    """A file that says that it is a terminal."""

    def isatty(self) -> bool:
        return True


class Notes(ca.Tracker):
    """A tracker that keeps what it is given."""

    def __init__(self) -> None:
        self.configuration: Mapping[str, Any] = {}
        self.updates: list[ProgressUpdate] = []
        self.end: tuple[Mapping[str, float], str] | None = None

    def start(self, configuration: Mapping[str, Any]) -> None:
        self.configuration = configuration

    def __call__(self, update: ProgressUpdate) -> None:
        self.updates.append(update)

    def finish(self, figures: Mapping[str, float], stopped: str) -> None:
        self.end = figures, stopped

    @property
    def losses(self) -> list[float]:
        return [update.figures["loss"] for update in self.updates if "loss" in update.figures]


def sites_of(pair: Pair) -> list[ca.Site]:
    return [network.site("hidden") for network in pair]


def broken(update: ProgressUpdate) -> None:
    """A callback that fails in the search."""
    if update.stage == "search":
        raise KeyError("mine")


def plain(text: str) -> str:
    """Text as a terminal shows it, without colors and movements of the cursor."""
    return re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", text)


def test_bars_move_in_a_terminal_of_80_columns() -> None:
    file = Terminal()
    with progress_bars(Console(file=file, force_terminal=True, width=80)) as show:
        show(ProgressUpdate("search", 40, 100, {"loss": 0.12345678, "worst IIA": 0.25, "mean IIA": 0.5}))
        show(ProgressUpdate("search", 90, 100, {"loss": 0.1, "worst IIA": 0.75, "mean IIA": 0.8}))
    last = plain(file.getvalue()).rstrip().splitlines()[-1]
    assert "search" in last
    assert "90/100" in last
    assert "loss 0.1  worst IIA 0.75" in last
    assert "━━━━━━━━━━━━╸" in last  # 25 of 28 half cells
    assert "…" not in plain(file.getvalue())


def test_the_display_suits_where_the_program_runs(monkeypatch: pytest.MonkeyPatch, tiny_pair: Pair) -> None:
    shown = {}
    for terminal, term in ((True, "xterm"), (True, "dumb"), (False, "xterm")):
        file = Terminal() if terminal else io.StringIO()
        monkeypatch.setattr(sys, "stderr", file)
        monkeypatch.setenv("TERM", term)
        ca.align(sites_of(tiny_pair), progress=True, **SMALL)
        shown[terminal, term] = file.getvalue()
    assert "━" in shown[True, "xterm"]
    assert "3/3" in plain(shown[True, "xterm"])
    for key in ((True, "dumb"), (False, "xterm")):
        assert "\x1b" not in shown[key]
        assert "search: 3 of 3, loss " in shown[key]


def test_plain_lines_are_few_and_say_how_long_it_takes(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A search of 100 steps of 10 s each, after which a control is stopped by an exception."""
    clock, log = [0.0], tmp_path / "log"
    monkeypatch.setattr(time, "monotonic", lambda: clock[0])

    def stages() -> Iterator[ProgressUpdate]:
        yield from (ProgressUpdate("search", step, 100, {"loss": 1 / step}) for step in range(1, 11))
        yield ProgressUpdate("search", 10, 10, {"worst IIA": 0.5})
        yield from (ProgressUpdate("untrained (control)", step, 1000) for step in (1, 2))

    with pytest.raises(ZeroDivisionError), log.open("w") as file, plain_lines(file, every=45.0) as show:  # noqa: PT012
        for update in stages():
            clock[0] += 10
            show(update)
        raise ZeroDivisionError
    assert log.read_text().splitlines() == [
        "search: 1 of 100, loss 1, at most 16 min 30 s left",
        "search: 6 of 100, loss 0.1667, at most 15 min 40 s left",
        "search: 10 of 10, worst IIA 0.5, in 1 min 50 s",
        "untrained (control): 1 of 1,000, at most 2 h 46 min left",
        "untrained (control): 2 of 1,000, at most 2 h 46 min left",
    ]


def test_a_command_writes_lines_and_tracks_while_it_runs(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "causalign", "align", "--site", "zoo:multi-object/gru/0", "--method", "das"]
    command += ["--rank", "2", "--n-train", "50", "--n-validation", "20", "--n-test", "20"]
    command += ["--max-steps", "1000000", "--no-early-stopping", "--out", str(tmp_path / "out")]
    command += ["--track", f"tensorboard:{tmp_path / 'board'}"]
    log = tmp_path / "log"
    with log.open("w") as file, subprocess.Popen(command, stdout=file, stderr=file) as process:
        try:
            end = time.monotonic() + 100
            while "search: " not in log.read_text() and process.poll() is None and time.monotonic() < end:
                time.sleep(0.1)
            assert process.poll() is None, log.read_text()
            text = log.read_text()
        finally:
            process.kill()
    assert re.match(r"counterfactuals: 0 of 3\ncounterfactuals: 3 of 3, in \d+ s\nsearch: 1 of 1,000,000, loss ", text)
    assert "\x1b" not in text
    assert [file.name.split(".")[0] for file in (tmp_path / "board" / "run-1").iterdir()] == ["events"]


NOTEBOOK = [
    "import sys; sys.modules['ipywidgets'] = None  # as where it is not installed",
    """\
import causalign as ca
pair = [ca.networks.build("multi-object", "gru", seed=seed, width=6).site("hidden") for seed in (0, 1)]
search = {"max_steps": 40, "eval_every": 10, "batch_size": 4, "early_stopping": False}
ca.align(pair, rank=2, n_train=20, n_validation=10, n_test=10, search=search, progress=True).record.steps""",
]


def test_a_notebook_has_a_line_for_each_stage_without_widgets(tmp_path: Path) -> None:
    nbclient = pytest.importorskip("nbclient")
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source) for source in NOTEBOOK])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the kernel's client
        nbclient.NotebookClient(notebook, timeout=120, kernel_name="python3").execute(cwd=str(tmp_path))
    outputs = notebook.cells[1].outputs
    shown = [output.data for output in outputs if output.output_type == "display_data"]
    assert not any("widget" in kind for data in shown for kind in data)
    stages = [(re.search(r'value="([\d.]+)"', data["text/html"]), data["text/plain"]) for data in shown]
    assert [(value and value[1], text.split(",")[0]) for value, text in stages] == [
        ("1.000", "counterfactuals: 3 of 3"),
        ("1.000", "search: 40 of 40"),
    ]
    assert "worst IIA" in shown[1]["text/html"]
    assert outputs[-1].data["text/plain"] == "40"


def test_lines_of_a_notebook_are_redrawn_now_and_then(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: list[tuple[str, str]] = []

    class Handle:
        def update(self, line: Any) -> None:
            drawn.append(("again", line._repr_html_()))

    def display(line: Any, display_id: bool) -> Handle:
        drawn.append(("first", line._repr_html_()))
        return Handle()

    monkeypatch.setattr("IPython.display.display", display)
    monkeypatch.setattr(time, "monotonic", lambda: 0.0)
    with notebook_lines() as show:
        for step in range(1, 8):
            show(ProgressUpdate("a < b", step, 10))
    bars = [
        (how, re.search(r'value="([\d.]+)" max="1"></progress> a &lt; b: (\d+) of 10', html)) for how, html in drawn
    ]
    assert [(how, found and found.groups()) for how, found in bars] == [
        ("first", ("0.100", "1")),
        ("again", ("0.200", "2")),
        ("again", ("0.700", "7")),
    ]


def test_align_and_train_log_to_the_logger_causalign(
    caplog: pytest.LogCaptureFixture, tiny_pair: Pair, tmp_path: Path
) -> None:
    ca.align(sites_of(tiny_pair), **SMALL)
    assert not caplog.records
    with caplog.at_level(logging.INFO, logger="causalign"):
        found = ca.align(sites_of(tiny_pair), **SMALL)
        recipe = ca.networks.Recipe(max_steps=2, eval_every=1, validation_trials=5)
        ca.train("multi-object", "gru", 0, tmp_path, width=4, recipe=recipe)
    assert {record.name for record in caplog.records} == {"causalign"}
    assert {record.levelname for record in caplog.records} == {"INFO"}
    kinds = [message.split(":")[0] for message in caplog.messages]
    aligned = ["configuration", "counterfactuals", "counterfactuals", "search", "search", "max_steps"]
    assert kinds == [*aligned, "configuration", "training", "training", "max_steps"]
    assert f"worst IIA {found.worst_iia:.4g}" in caplog.messages[5]
    assert "'learning_rate': 0.001" in caplog.messages[6]
    assert (LOGGER.handlers, LOGGER.propagate) == ([], True)


def test_a_tracker_gets_the_configuration_the_figures_and_the_scores(tiny_pair: Pair) -> None:
    notes, seen = Notes(), list[ProgressUpdate]()
    found = ca.align(sites_of(tiny_pair), controls=True, callbacks=[notes, seen.append], **SMALL)
    assert notes.configuration["sites"] == [site.name for site in found.record.sites]
    assert notes.configuration["search"]["max_steps"] == 3
    assert notes.updates == seen
    assert next(update.figures.keys() for update in seen if update.stage == "search") == {
        "loss",
        "worst IIA",
        "mean IIA",
    }
    assert notes.end is not None
    figures, stopped = notes.end
    assert stopped == "max_steps"
    assert figures["worst IIA"] == found.worst_iia
    assert figures["mean IIA"] == pytest.approx(found.iia["iia"].mean())
    row = found.iia.iloc[1]
    assert figures[f"IIA {row.source} to {row.target} (full)"] == row.iia
    assert figures["worst IIA shuffled (control)"] == found.controls.query("control == 'shuffled'")["iia"].min()


def test_an_exception_of_a_callback_reaches_the_user_and_the_trackers(tiny_pair: Pair) -> None:
    notes = Notes()
    with pytest.raises(KeyError, match="mine"):
        ca.align(sites_of(tiny_pair), callbacks=[notes, broken], **SMALL)
    assert notes.end == ({}, "KeyError")
    assert notes.updates[-1].stage == "search"

    class Unwilling(Notes):
        def start(self, configuration: Mapping[str, Any]) -> None:
            raise OSError("no route")

    first, second = Notes(), Unwilling()
    with pytest.raises(OSError, match="no route"):
        ca.align(sites_of(tiny_pair), callbacks=[first, second], **SMALL)
    assert (first.end, second.end) == (({}, "OSError"), None)
    assert not first.updates


def wandb_records(file: Path) -> Iterator[Any]:
    """The records of an offline run of W&B: a log in the format of LevelDB, read by hand."""
    from wandb.proto.wandb_internal_pb2 import Record

    data, position, record = file.read_bytes(), 7, b""
    while position + 7 <= len(data):
        if 32768 - position % 32768 < 7:  # no header fits into the rest of a block
            position += 32768 - position % 32768
            continue
        _, size, kind = struct.unpack_from("<IHB", data, position)
        record += data[position + 7 : position + 7 + size]
        position += 7 + size
        if kind in (1, 4):  # whole, or the last part
            yield Record.FromString(record)
            record = b""


def entries(items: Any) -> dict[str, str]:
    """The values of W&B's records, as JSON, by name."""
    return {item.key or "/".join(item.nested_key): item.value_json for item in items}


def test_wandb_offline(monkeypatch: pytest.MonkeyPatch, tiny_pair: Pair, tmp_path: Path) -> None:
    for name in ("DIR", "CACHE_DIR", "CONFIG_DIR", "DATA_DIR"):
        monkeypatch.setenv(f"WANDB_{name}", str(tmp_path))
    for name, value in {"MODE": "offline", "SILENT": "true", "ERROR_REPORTING": "false", "CONSOLE": "off"}.items():
        monkeypatch.setenv(f"WANDB_{name}", value)
    wandb = pytest.importorskip("wandb")
    notes = Notes()
    tracker = WandbTracker("counting", name="first")
    found = ca.align(sites_of(tiny_pair), callbacks=[tracker, notes], **SMALL)
    with pytest.raises(KeyError):
        ca.align(sites_of(tiny_pair), callbacks=[tracker, broken], **SMALL)
    wandb.teardown()
    files = sorted(tmp_path.glob("wandb/offline-run-*/*.wandb"), key=lambda file: file.stat().st_mtime)
    records, failed = (list(wandb_records(file)) for file in files)
    run = next(record.run for record in records if record.HasField("run"))
    assert (run.project, run.display_name) == ("counting", "first")
    assert '"max_steps":3' in entries(run.config.update)["search"].replace(" ", "")
    history = [entries(record.history.item) for record in records if record.HasField("history")]
    losses = [(int(each["search/step"]), float(each["search/loss"])) for each in history if "search/loss" in each]
    assert [step for step, _ in losses] == [1, 2, 3]
    assert [loss for _, loss in losses] == pytest.approx(notes.losses)
    summary: dict[str, str] = {}
    for record in records:
        if record.HasField("summary"):
            summary |= entries(record.summary.update)
    assert float(summary["final/worst_IIA"]) == pytest.approx(found.worst_iia)
    assert summary["stopped"] == '"max_steps"'
    ends = [next(record.exit.exit_code for record in each if record.HasField("exit")) for each in (records, failed)]
    assert ends == [0, 1]


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of sqlalchemy, about mlflow
def test_mlflow_in_sqlite(monkeypatch: pytest.MonkeyPatch, tiny_pair: Pair, tmp_path: Path) -> None:
    monkeypatch.setenv("MLFLOW_DISABLE_TELEMETRY", "true")
    monkeypatch.chdir(tmp_path)  # for artifacts
    pytest.importorskip("mlflow")
    notes, file = Notes(), tmp_path / "runs.db"
    tracker = MLflowTracker(f"sqlite:///{file}", "counting", every=2)
    found = ca.align(sites_of(tiny_pair), callbacks=[tracker, notes], **SMALL)
    with pytest.raises(KeyError):
        ca.align(sites_of(tiny_pair), callbacks=[tracker, broken], **SMALL)
    with sqlite3.connect(file) as store:
        ids = store.execute("select run_uuid, status from runs order by start_time").fetchall()
        run = (ids[0][0],)
        metrics = "select key, step, value from metrics where run_uuid = ? order by step, timestamp"
        logged = store.execute(metrics, run).fetchall()
        params = dict(store.execute("select key, value from params where run_uuid = ?", run).fetchall())
        tags = dict(store.execute("select key, value from tags where run_uuid = ?", run).fetchall())
        names = [name for (name,) in store.execute("select name from experiments")]
    store.close()
    assert "counting" in names
    assert [status for _, status in ids] == ["FINISHED", "FAILED"]
    assert (params["search.max_steps"], params["rank"], tags["stopped"]) == ("3", "2", "max_steps")
    losses = [(step, value) for key, step, value in logged if key == "search/loss"]
    assert [step for step, _ in losses] == [1, 2, 3]
    assert [loss for _, loss in losses] == pytest.approx(notes.losses)
    final = {key: value for key, _, value in logged if key.startswith("final/")}
    assert final["final/worst_IIA"] == pytest.approx(found.worst_iia)
    assert len([key for key in final if key.startswith("final/IIA_untrained_multi-object/gru")]) == 4


def test_event_files_of_tensorboard(tiny_pair: Pair, tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    notes, tracker = Notes(), TensorBoardTracker(tmp_path)
    for _ in range(2):
        found = ca.align(sites_of(tiny_pair), callbacks=[tracker, notes], **SMALL)
    assert sorted(folder.name for folder in tmp_path.iterdir()) == ["run-1", "run-2"]
    events = EventAccumulator(str(tmp_path / "run-2")).Reload()
    losses = events.Scalars("search/loss")
    assert [event.step for event in losses] == [1, 2, 3]
    assert [event.value for event in losses] == pytest.approx(notes.losses[3:])
    (final,) = events.Scalars("final/worst_IIA")
    assert final.value == pytest.approx(found.worst_iia)
    (text,) = events.Tensors("configuration/text_summary")
    assert b'"max_steps": 3' in text.tensor_proto.string_val[0]


@pytest.mark.parametrize(
    ("reference", "message"),
    [
        ("wandbb:counting", "unknown tracker 'wandbb'; did you mean 'wandb'?"),
        ("x", "unknown tracker 'x'; known: wandb, mlflow, tensorboard"),
    ],
)
def test_an_unknown_tracker_is_refused_in_one_line(reference: str, message: str) -> None:
    with pytest.raises(ca.InvalidArgument) as refused:
        tracker_of(reference)
    assert str(refused.value) == message


def test_a_tracker_that_is_not_installed_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("causalign.callbacks.tracker.find_spec", lambda name: None)
    for name in ("wandb", "mlflow", "tensorboard"):
        with pytest.raises(ca.MissingDependency, match=rf"needs {name}: pip install 'causalign\[{name}\]'"):
            tracker_of(name)


def test_a_search_that_runs_out_of_steps_warns(tiny_pair: Pair) -> None:
    stopped_early = {"max_steps": 3, "eval_every": 1, "batch_size": 8}
    with pytest.warns(ca.SearchWarning) as heard:
        found = ca.align(sites_of(tiny_pair), **SMALL | {"search": stopped_early, "controls": True})
    sentences = [str(each.message) for each in heard if "ran out of steps" in str(each.message)]
    best = found.record.best
    assert sentences == [
        "The search ran out of steps at step 3, before validation stopped improving (the best so far: "
        f"worst IIA {best.worst_iia:.3f} at step {best.step}): raise max_steps."
    ]
    assert sentences[0] in found.caveats


@pytest.mark.parametrize("change", [{"early_stopping": False}, {"max_steps": 0}, {"max_steps": 400, "patience": 1}])
def test_a_search_that_was_to_take_its_steps_or_stopped_itself_does_not(
    tiny_pair: Pair, change: dict[str, Any]
) -> None:
    search = {"max_steps": 3, "eval_every": 1, "batch_size": 8} | change
    with warnings.catch_warnings(record=True) as heard:
        warnings.simplefilter("always")
        found = ca.align(sites_of(tiny_pair), **SMALL | {"search": search})
    said = [*(str(each.message) for each in heard), *found.caveats]
    assert not any("steps" in sentence for sentence in said), said


def test_the_guide_s_examples_run(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tiny_pair: Pair, tmp_path: Path
) -> None:
    guide = Path(__file__).parent.parent / "docs" / "tracking.md"
    monkeypatch.chdir(tmp_path)
    align = ca.align
    monkeypatch.setattr(ca, "align", lambda data, **more: align(data, **SMALL, **more), raising=False)
    names: dict[str, Any] = {"ca": ca, "data": sites_of(tiny_pair)}
    for block in re.findall(r"```python\n(.*?)```", guide.read_text(), re.DOTALL):
        exec(block, names)
    assert "search: 3 of 3" in (tmp_path / "progress.txt").read_text()
    capsys.readouterr()
    align(sites_of(tiny_pair), callbacks=[names["Table"]()], **SMALL)
    assert capsys.readouterr().out.startswith("max_steps 0.")


def test_a_sweep_is_one_run_of_a_tracker(tiny_pair: Pair, tmp_path: Path) -> None:
    notes = Notes()
    few = {name: value for name, value in SMALL.items() if name != "rank"} | {"method": "das"}
    swept = ca.sweep(sites_of(tiny_pair)[:1], {"rank": [2, 99]}, out=tmp_path, callbacks=[notes], **few)
    assert notes.configuration["axes"]["rank"] == [2, 99]
    assert [(update.stage, update.step) for update in notes.updates] == [("points", step) for step in range(3)]
    assert len(swept.failures) == 1
    assert notes.end == ({"finished points": 1.0, "failed points": 1.0}, "finished")
