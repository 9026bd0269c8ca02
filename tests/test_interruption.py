"""Searches that are stopped, however that is, and go on to the same bytes."""

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import typer

import causalign as ca
from causalign import journal
from causalign.callbacks import ProgressUpdate
from causalign.cli import alignment_run, quickstart
from causalign.files import atomic_write, write_text
from causalign.signal_delay import SignalDelay
from causalign.sites.readable import Readable

pytestmark = pytest.mark.filterwarnings("ignore::causalign.errors.SearchWarning")  # untrained networks are not aligned

Run = Callable[..., tuple[int, str, str]]
SEARCH = ca.SearchConfig(max_steps=12, eval_every=3, batch_size=16, early_stopping=False)
ROWS: dict[str, Any] = {"n_train": 20, "n_validation": 20, "n_test": 20}
SMALL: dict[str, Any] = {"rank": 3, "search": SEARCH}
SHELL: tuple[str, ...] = (
    "align",
    "-s",
    "zoo:multi-object/gru/0@hidden",
    "-s",
    "zoo:multi-object/gru/1@hidden",
    "--rank",
    "4",
)
SHELL += ("--n-train", "60", "--n-validation", "40", "--n-test", "50", "--max-steps", "6", "--batch-size", "16")


@pytest.fixture
def sites(tiny_pair: tuple[ca.networks.GRU, ca.networks.GRU]) -> list[Readable]:
    return [network.site("hidden") for network in tiny_pair]


@pytest.fixture
def data(sites: list[Readable]) -> ca.Counterfactuals:
    """Rows of both networks, which are read once for all calls of a test."""
    return ca.Counterfactuals.from_task(sites, **ROWS)


@pytest.fixture(autouse=True)
def _handlers() -> Iterator[None]:
    """Ctrl-C as at a terminal: a shell that starts the tests in the background has it ignored."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    signal.signal(signal.SIGINT, before)


def contents(folder: Path) -> dict[str, Any]:
    """The files of an alignment, and nothing else: bytes, and the record but for seconds."""
    found: dict[str, Any] = {file.name: file.read_bytes() for file in folder.iterdir()}
    assert sorted(found) == ["maps.safetensors", "result.json", "rows.safetensors"]
    record = json.loads(found["result.json"])
    del record["seconds"]
    return found | {"result.json": json.dumps(record)}


class Steps:
    """A callback that collects the steps of all searches, and is interrupted after so many of them in one call."""

    def __init__(self, stop_after: int = 0) -> None:
        self.steps: list[tuple[str, int, float]] = []
        self.stop_after = self.left = stop_after

    def __call__(self, update: ProgressUpdate) -> None:
        if "loss" not in update.figures:
            return
        self.steps.append((update.stage, update.step, update.figures["loss"]))
        self.left -= 1
        if self.left == 0:
            self.left = self.stop_after
            raise KeyboardInterrupt


CASES: dict[str, dict[str, Any]] = {
    "one rank": {},
    "early stopping": {"search": SEARCH.replace(max_steps=15, patience=1, early_stopping=True)},
    "the best of several ranks": {"rank": ca.BestRank([2, 3, 5], trial_steps=4)},
    "the smallest rank": {"rank": ca.SmallestRank(0.01)},
    "a learned rank": {"rank": "boundary"},
    "a mask of features": {"method": "dbm"},
    "controls": {"controls": True, "search": SEARCH.replace(max_steps=5)},
    "clmas": {"method": "clmas"},
    "das by Adam": {"method": "das", "search": SEARCH.replace(optimizer="adam")},
    "a matrix exponential": {"parametrization": "expm"},
    "divergence": {"rank": ca.BestRank([2, 3], trial_steps=2), "search": SEARCH.replace(learning_rate=1e30)},
    "bfloat16": {"search": SEARCH.replace(precision="bfloat16")},
    "closed form": {"method": "procrustes"},
}


@pytest.mark.parametrize("case", CASES)
def test_an_interrupted_search_goes_on_to_the_same_bytes(
    case: str, data: ca.Counterfactuals, sites: list[Readable], tmp_path: Path
) -> None:
    fields, whole = SMALL | CASES[case], Steps()
    if fields.get("method") in ("das", "dbm"):
        data = ca.Counterfactuals.from_task(sites[:1], **ROWS)
    if fields.get("method") == "dbm":
        del fields["rank"]
    ca.align(data, out=tmp_path / "whole", callbacks=[whole], **fields)
    after = len(whole.steps) // 3 + 1
    parts, notes = Steps(stop_after=after), list[str]()
    while True:
        try:
            ca.align(data, out=tmp_path / "parts", callbacks=[parts], **fields)
        except KeyboardInterrupt as interruption:
            notes.append(interruption.__notes__[0])
            assert [each.name for each in (tmp_path / "parts").iterdir()] == ["checkpoint"]
        else:
            break
    assert len(notes) == len(whole.steps) // after
    for step, note in zip(parts.steps[after - 1 :: after], notes, strict=True):
        assert f"step {step[1]}" in note
    assert repr(parts.steps) == repr(whole.steps)  # no step was taken twice, and a loss may be nan
    assert contents(tmp_path / "parts") == contents(tmp_path / "whole")


TRIES = """
import json, os, random, signal, sys, time, warnings
from pathlib import Path
import torch
torch.set_num_threads(1)
import causalign as ca
from causalign import journal
warnings.simplefilter("ignore")
journal.SECONDS_APART = 0.0

def run(folder):
    a, b = (ca.networks.build("multi-object", "gru", seed=seed, width=width) for seed, width in ((0, 6), (1, 9)))
    search = ca.SearchConfig(max_steps=25, eval_every=5, batch_size=8, early_stopping=False)
    ca.align([a.site("hidden"), b.site("hidden")], rank=ca.BestRank([2, 3], trial_steps=5), search=search,
             n_train=20, n_validation=20, n_test=20, out=folder)

def child(folder):
    pid = os.fork()
    if pid == 0:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        try:
            run(folder)
        except KeyboardInterrupt:
            os._exit(130)
        except BaseException as error:
            print(repr(error), file=sys.stderr)
            os._exit(1)
        os._exit(0)
    return pid

out, kills = Path(sys.argv[1]), int(sys.argv[2])
run(out / "whole")  # everything is imported once
began = time.monotonic()
assert os.waitpid(child(out / "again"), 0)[1] == 0
needed = time.monotonic() - began
draw, place, codes, places = random.Random(), None, [], []
number = 0
while len(codes) < kills:
    folder = out / f"parts{number}"
    pid = child(folder)
    time.sleep(draw.uniform(0.1, 1) * needed)
    how = draw.choice([signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
    os.kill(pid, how)
    status = os.waitpid(pid, 0)[1]
    code = os.WEXITSTATUS(status) if os.WIFEXITED(status) else -os.WTERMSIG(status)
    if code == 0 or ((folder / "result.json").exists() and not (folder / "checkpoint").exists()):
        number += 1  # everything was on disk before the signal came
        continue
    codes.append((how, code))
    if (folder / "result.json").exists():
        continue  # the checkpoint was being deleted, and what is left of it is no place in the search
    places.append((number, *(journal.place(folder / "checkpoint") or (0, 0))))
if (out / f"parts{number}").exists():
    assert os.waitpid(child(out / f"parts{number}"), 0)[1] == 0
print(json.dumps({"codes": codes, "places": places}))
"""


def test_twenty_signals_at_random_moments_leave_the_same_bytes(tmp_path: Path) -> None:
    script = [sys.executable, "-W", "ignore", "-c", TRIES, str(tmp_path), "20"]
    done = subprocess.run(
        script, capture_output=True, text=True, check=False, env={**os.environ, "OMP_NUM_THREADS": "1"}
    )
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    usual = {signal.SIGKILL: -signal.SIGKILL, signal.SIGTERM: -signal.SIGTERM, signal.SIGINT: 130}
    assert all(code == usual[how] for how, code in said["codes"])
    assert said["places"] == sorted(said["places"])  # no step that was on disk was lost
    assert len({tuple(each) for each in said["places"]}) > 3
    expected = contents(tmp_path / "whole")
    parts = sorted(tmp_path.glob("parts*"))
    assert parts
    for folder in parts:
        assert contents(folder) == expected


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_waits_for_the_end_of_the_step(number: int, data: ca.Counterfactuals, tmp_path: Path) -> None:
    class Stop(BaseException):
        pass

    def stop(*_: object) -> None:
        raise Stop

    def send(update: ProgressUpdate) -> None:
        if update.stage == "search" and update.step == 4:
            os.kill(os.getpid(), number)
            after.append(update.step)  # not yet

    after: list[int] = []
    before = signal.signal(number, stop)
    try:
        with pytest.raises(Stop):
            ca.align(data, out=tmp_path, callbacks=[send], **SMALL)
        assert signal.getsignal(number) is stop
    finally:
        signal.signal(number, before)
    assert after == [4]
    assert journal.place(tmp_path / "checkpoint") == (1, 4)
    assert [each.name for each in tmp_path.iterdir()] == ["checkpoint"]


def test_the_second_signal_stops_at_once(data: ca.Counterfactuals, tmp_path: Path) -> None:
    def send(update: ProgressUpdate) -> None:
        if update.stage == "search" and update.step == 4:
            os.kill(os.getpid(), signal.SIGINT)
            os.kill(os.getpid(), signal.SIGINT)
            pytest.fail("it went on")

    with pytest.raises(KeyboardInterrupt):
        ca.align(data, out=tmp_path, callbacks=[send], **SMALL)


def test_a_signal_of_another_kind_waits_as_well(data: ca.Counterfactuals, tmp_path: Path) -> None:
    """As where Ctrl-C reaches a program and its workers, which the program then terminates."""

    def send(update: ProgressUpdate) -> None:
        if update.stage == "search" and update.step == 4:
            os.kill(os.getpid(), signal.SIGINT)
            os.kill(os.getpid(), signal.SIGTERM)

    with pytest.raises(KeyboardInterrupt):
        ca.align(data, out=tmp_path, callbacks=[send], **SMALL)
    assert journal.place(tmp_path / "checkpoint") == (1, 4)


def test_signals_that_are_ignored_stay_so_and_other_threads_have_none() -> None:
    with SignalDelay() as signals:
        os.kill(os.getpid(), signal.SIGTERM)
        assert signals.waiting == signal.SIGTERM
        signals.waiting = None
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    try:
        with SignalDelay() as signals:
            os.kill(os.getpid(), signal.SIGTERM)
            assert signals.waiting is None
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)

    def within() -> None:
        with SignalDelay():
            handlers.append(signal.getsignal(signal.SIGINT))

    handlers: list[object] = []
    thread = threading.Thread(target=within)
    thread.start()
    thread.join()
    assert handlers == [signal.default_int_handler]


def test_a_handler_that_lets_the_search_go_on_is_heard_every_time(data: ca.Counterfactuals, tmp_path: Path) -> None:
    def send(update: ProgressUpdate) -> None:
        if "loss" in update.figures and update.step in (2, 4):
            os.kill(os.getpid(), signal.SIGTERM)

    heard: list[object] = []
    before = signal.signal(signal.SIGTERM, lambda *_: heard.append(journal.place(tmp_path / "checkpoint")))
    try:
        ca.align(data, out=tmp_path, callbacks=[send], **SMALL)
    finally:
        signal.signal(signal.SIGTERM, before)
    assert heard == [(1, 2), (1, 4)]


def test_without_a_folder_ctrl_c_is_raised_at_once(data: ca.Counterfactuals) -> None:
    def interrupt(update: ProgressUpdate) -> None:
        if update.stage == "search" and update.step == 1 and update.total != 1:
            os.kill(os.getpid(), signal.SIGINT)
            pytest.fail("it went on")

    with pytest.raises(KeyboardInterrupt):
        ca.align(data, callbacks=[interrupt], **SMALL)


def test_an_interruption_before_the_search_leaves_nothing(data: ca.Counterfactuals, tmp_path: Path) -> None:
    def interrupt(update: ProgressUpdate) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt) as caught:
        ca.align(data, out=tmp_path / "a", callbacks=[interrupt], **SMALL)
    assert not hasattr(caught.value, "__notes__")
    assert not [*(tmp_path / "a").iterdir()]


def test_an_alignment_is_not_overwritten_unless_that_is_said(
    rough: ca.Alignment, data: ca.Counterfactuals, tmp_path: Path
) -> None:
    ca.align(data, out=tmp_path, **SMALL)
    before = contents(tmp_path)
    with pytest.raises(ca.InvalidArgument, match=r"already holds this alignment: overwrite=True \(--overwrite\)"):
        ca.align(data, out=tmp_path, **SMALL)
    other = r"already holds another alignment \(mas, untrained:multi-object/gru/0@hidden, untrained"
    with pytest.raises(ca.InvalidArgument, match=other):
        ca.align(data, out=tmp_path, **SMALL | {"rank": 2})
    with pytest.raises(ca.InvalidArgument, match=other):
        rough.save(tmp_path)
    assert contents(tmp_path) == before
    with pytest.raises(ca.InvalidArgument, match="already holds this alignment"):
        ca.load_alignment(tmp_path).save(tmp_path)
    found = ca.align(data, out=tmp_path, overwrite=True, **SMALL | {"rank": 2})
    assert ca.load_alignment(tmp_path).record.rank == found.record.rank == 2
    assert ca.load_alignment(rough.save(tmp_path, overwrite=True)).record.steps == rough.record.steps
    (tmp_path / "result.json").write_text("{}")
    with pytest.raises(ca.InvalidArgument, match="holds result.json, maps.safetensors, rows.safetensors of an al"):
        ca.align(data, out=tmp_path, **SMALL)
    with pytest.raises(ca.InvalidArgument, match="there is no out"):
        ca.align(data, overwrite=True, **SMALL)


def stop_at_7(data: ca.Counterfactuals, folder: Path, **fields: Any) -> Path:
    """Stop a search after its 7th step, and return the file of its checkpoint."""
    with pytest.raises(KeyboardInterrupt):
        ca.align(data, out=folder, callbacks=[Steps(7)], **SMALL | fields)
    (file,) = (folder / "checkpoint").iterdir()
    return file


def test_the_checkpoint_of_another_alignment_is_refused(data: ca.Counterfactuals, tmp_path: Path) -> None:
    file = stop_at_7(data, tmp_path)
    kept = file.read_bytes()
    others = ca.Counterfactuals.from_task(data.sites[::-1], **ROWS), ca.Counterfactuals.from_task(data.sites, seed=1)
    for changed, fields in ((data, {"seed": 1}), (data, {"rank": 2}), *((each, {}) for each in others)):
        with pytest.raises(ca.InvalidArgument, match="holds the checkpoint of another alignment"):
            ca.align(changed, out=tmp_path, **SMALL | fields)
    assert file.read_bytes() == kept
    steps = Steps()
    ca.align(data, out=tmp_path, overwrite=True, callbacks=[steps], **SMALL | {"rank": 2})
    assert steps.steps[0][1] == 1
    assert "result.json" in contents(tmp_path)


def test_with_overwrite_an_own_checkpoint_goes_on(data: ca.Counterfactuals, tmp_path: Path) -> None:
    ca.align(data, out=tmp_path, **SMALL | {"seed": 1})
    with pytest.raises(KeyboardInterrupt):
        ca.align(data, out=tmp_path, overwrite=True, callbacks=[Steps(7)], **SMALL)
    assert ca.load_alignment(tmp_path).record.config.seed == 1  # it is there until the other is whole
    with pytest.raises(ca.InvalidArgument, match="already holds another alignment"):
        ca.align(data, out=tmp_path, **SMALL)
    steps = Steps()
    ca.align(data, out=tmp_path, overwrite=True, callbacks=[steps], **SMALL)
    assert steps.steps[0][1] == 8
    assert json.loads(contents(tmp_path)["result.json"])["config"]["seed"] == 0


def test_a_broken_checkpoint_is_refused_in_one_line(data: ca.Counterfactuals, tmp_path: Path) -> None:
    file = stop_at_7(data, tmp_path)
    whole = file.read_bytes()
    for broken in (whole[: len(whole) // 2], whole[:-1], b"", b"\0" * len(whole)):
        file.write_bytes(broken)
        with pytest.raises(ca.FileFormatError, match="search-0001.safetensors: not a whole .* begins anew$"):
            ca.align(data, out=tmp_path, **SMALL)
    assert file.exists()
    ca.align(data, out=tmp_path, overwrite=True, **SMALL)
    contents(tmp_path)


def test_other_files_in_the_folder_of_the_checkpoint_are_left_alone(data: ca.Counterfactuals, tmp_path: Path) -> None:
    stop_at_7(data, tmp_path)
    (tmp_path / "checkpoint" / "weights.pt").write_text("precious")
    (tmp_path / "checkpoint" / ".search-0001.safetensors.x.safetensors").write_text("killed in writing")
    ca.align(data, out=tmp_path, **SMALL)
    assert [each.name for each in (tmp_path / "checkpoint").iterdir()] == ["weights.pt"]


def test_a_full_disk_stops_the_search_in_one_line_and_loses_nothing(
    data: ca.Counterfactuals, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ca.align(data, out=tmp_path / "whole", **SMALL)
    file = stop_at_7(data, tmp_path / "parts")
    kept = file.read_bytes()

    def full(*_: object) -> bytes:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as disk:
        disk.setattr("causalign.files.save", full)
        disk.setattr(journal, "SECONDS_APART", 0.0)
        with pytest.raises(ca.FileFormatError, match="cannot write .*search-0001.safetensors: No space left on device"):
            ca.align(data, out=tmp_path / "parts", **SMALL)
        with pytest.raises(KeyboardInterrupt) as caught:  # the error of the disk does not take the place of Ctrl-C
            ca.align(data, out=tmp_path / "parts", callbacks=[Steps(1)], **SMALL)
    assert "No space left" in caught.value.__notes__[0]
    assert file.read_bytes() == kept
    assert [each.name for each in file.parent.iterdir()] == [file.name]
    ca.align(data, out=tmp_path / "parts", **SMALL)
    assert contents(tmp_path / "parts") == contents(tmp_path / "whole")


def test_saving_that_was_cut_short_is_done_again(
    data: ca.Counterfactuals, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def cut(*_: object) -> None:
        raise KeyboardInterrupt

    for name, left in (
        ("causalign.alignment.alignment_files.write_text", ["checkpoint", "maps.safetensors", "rows.safetensors"]),
        ("causalign.journal.Journal.remove", ["checkpoint", "maps.safetensors", "result.json", "rows.safetensors"]),
    ):
        folder = tmp_path / name
        with pytest.raises(KeyboardInterrupt):
            ca.align(data, out=folder, callbacks=[Steps(7)], **SMALL)
        with monkeypatch.context() as context:
            context.setattr(name, cut)
            with pytest.raises(KeyboardInterrupt):
                ca.align(data, out=folder, **SMALL)
        assert sorted(each.name for each in folder.iterdir()) == left
        ca.align(data, out=folder, **SMALL)
        contents(folder)


def test_checkpoints_come_every_half_minute(
    data: ca.Counterfactuals, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = [0.0]
    monkeypatch.setattr("time.monotonic", lambda: clock[0])
    found: list[tuple[int, int | None]] = []

    def tick(update: ProgressUpdate) -> None:
        if "loss" in update.figures:
            at = journal.place(tmp_path / "checkpoint")
            found.append((update.step, None if at is None else at.step))
            clock[0] += 8

    ca.align(data, out=tmp_path, callbacks=[tick], **SMALL | {"search": SEARCH.replace(early_stopping=False)})
    assert found[3:9] == [(4, None), (5, 4), (6, 4), (7, 4), (8, 4), (9, 8)]


@pytest.fixture
def _no_report(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave out what follows an alignment in the shell, which takes longer than the alignment."""
    monkeypatch.setattr(alignment_run, "_similarity", lambda *_: None)
    monkeypatch.setattr(alignment_run, "write_report", lambda out: out / "report.html")


@pytest.mark.usefixtures("_no_report")
def test_the_command_goes_on_by_itself(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def bars_with(number: int) -> object:
        from contextlib import contextmanager

        @contextmanager
        def bars() -> Iterator[Callable[[ProgressUpdate], None]]:
            def send(update: ProgressUpdate) -> None:
                if update.stage == "search" and update.step == 3 and update.total != 3:
                    os.kill(os.getpid(), number)

            yield send

        return bars

    assert run(*SHELL, "--out", tmp_path / "whole")[0] == 0
    for number, expected in ((signal.SIGINT, 130), (signal.SIGTERM, 143)):
        out = tmp_path / str(expected)
        with monkeypatch.context() as context:
            context.setattr("causalign.callbacks.callback_session.progress_display", bars_with(number))
            code, _, err = run(*SHELL, "--out", out)
        assert (code, err.splitlines()[-1]) == (expected, "interrupted at step 3: repeat the command to go on")
        assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
        code, _, err = run(*SHELL, "--out", out)
        assert code == 0
        assert f"going on from step 3, with the checkpoint in {out}" in err
        for name in ("maps.safetensors", "rows.safetensors"):
            assert (out / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()
        assert not (out / "checkpoint").exists()


@pytest.mark.usefixtures("_no_report")
def test_the_command_overwrites_with_overwrite_only(run: Run, tmp_path: Path) -> None:
    assert run(*SHELL, "--out", tmp_path)[0] == 0
    kept = (tmp_path / "result.json").read_bytes()
    code, _, err = run(*SHELL, "--out", tmp_path)
    assert code == 2
    assert f"{tmp_path} already holds this alignment" in err.replace("\n", "")
    code, _, err = run(*SHELL, "--seed", 1, "--out", tmp_path)
    assert code == 2
    assert "already holds another alignment (mas, multi-object/gru/0@hidden" in err.replace("\n", " ")
    assert (tmp_path / "result.json").read_bytes() == kept
    assert run(*SHELL, "--seed", 1, "--overwrite", "--out", tmp_path)[0] == 0
    assert ca.load_alignment(tmp_path).record.config.seed == 1


def test_a_quickstart_replaces_its_own_and_nothing_else(
    run: Run,
    tmp_path: Path,
    rough: ca.Alignment,
    zoo_pair: tuple[ca.networks.GRU, ca.networks.GRU],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    replaced: list[bool] = []

    def aligned(spec: object, out: Path, overwrite: bool) -> None:
        replaced.append(overwrite)
        raise typer.Exit  # the first pair is enough

    monkeypatch.setattr(quickstart, "run_alignment", aligned)
    run("quickstart", "--out", tmp_path)
    ca.align([network.site("hidden") for network in zoo_pair], **SMALL, **ROWS).save(tmp_path / "grus")
    run("quickstart", "--out", tmp_path)
    rough.save(tmp_path / "grus", overwrite=True)
    run("quickstart", "--out", tmp_path)
    run("quickstart", "--out", tmp_path, "--overwrite")
    assert replaced == [False, True, False, True]


KILLED_IN_WRITING = """
import os, signal, sys
from pathlib import Path
from causalign.files import atomic_write

with atomic_write(Path(sys.argv[1])) as temporary:
    temporary.write_text("half")
    os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.parametrize("name", ["table.csv", "a [new] table*.csv"])
def test_what_a_killed_writer_left_is_deleted_by_the_next_one(tmp_path: Path, name: str) -> None:
    killed = [sys.executable, "-c", KILLED_IN_WRITING, str(tmp_path / name)]
    assert subprocess.run(killed, check=False).returncode == -signal.SIGKILL
    assert [path.name.startswith(".") for path in tmp_path.iterdir()] == [True]
    with atomic_write(tmp_path / name) as other:  # of a process that is alive
        write_text(tmp_path / name, "whole")
        assert {path.name for path in tmp_path.iterdir()} == {name, other.name}
        other.write_text("whole, and later")
    assert [path.name for path in tmp_path.iterdir()] == [name]
    assert (tmp_path / name).read_text() == "whole, and later"
