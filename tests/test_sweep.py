"""Sweeps: grids and patterns, points that are kept, failures, shards, matrices and the page."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from html.parser import HTMLParser
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import causalign as ca
from causalign.alignment.alignment_files import MAPS, RESULT
from causalign.alignment.row_outcomes import ROWS
from causalign.callbacks import ProgressUpdate
from causalign.networks.checkpoint import Card, save_network
from causalign.sweep.folder import Shard, SweepFolder
from causalign.sweep.grid import declared_axes, grid_points
from causalign.sweep.run import run_points
from causalign.sweep.site_pattern import matching_sites
from causalign.sweep.workers import Processes
from killed_points import Deadly

SEARCH = ca.SearchConfig(max_steps=2, eval_every=1, batch_size=8, initial_batch_size=8)
FEW: dict[str, Any] = {"n_train": 30, "n_validation": 20, "n_test": 20, "search": SEARCH}
Run = Callable[..., tuple[int, str, str]]


@pytest.fixture(scope="module")
def networks(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three untrained GRUs, 8 wide, in folders."""
    root = tmp_path_factory.mktemp("networks")
    card = json.loads((ca.zoo.entries()[0].folder / "card.json").read_text())
    for seed in range(3):
        network = ca.networks.build("multi-object", "gru", seed, width=8)
        about = {
            "task": "multi-object",
            "architecture": "gru",
            "seed": seed,
            "width": 8,
            "vocabulary": network.vocabulary.tokens,
        }
        save_network(network, Card.model_validate(card | about), root / f"gru-{seed}")
    return root


def swept(networks: Path, out: Path, grid: dict[str, Any] | None = None, **more: Any) -> ca.Sweep:
    axes = {"rank": [2, 3], "seed": [0, 1]} if grid is None else grid
    return ca.sweep([f"{networks}/*@hidden"], axes, out=out, **{"method": "das", "workers": 1, **FEW, **more})


@pytest.fixture(scope="module")
def done(networks: Path, tmp_path_factory: pytest.TempPathFactory) -> ca.Sweep:
    """Three networks, two ranks and two seeds, with all controls."""
    return swept(networks, tmp_path_factory.mktemp("done"), controls=True)


def contents(sweep: ca.Sweep) -> dict[str, tuple[Any, ...]]:
    """What each finished point has found, without the time that it took."""
    found = {}
    for key in sweep.points:
        folder = sweep.folder.point(key)
        result = json.loads((folder / RESULT).read_text())
        del result["seconds"]
        found[key] = ((folder / MAPS).read_bytes(), (folder / ROWS).read_bytes(), result)
    return found


def written(folder: Path) -> dict[str, int]:
    """When the result of each finished point was written."""
    return {path.parent.name: path.stat().st_mtime_ns for path in folder.glob(f"points/[!.]*/{RESULT}")}


# Grids


def test_axes_are_multiplied_and_sites_come_first(networks: Path) -> None:
    axes = declared_axes({"sites": [f"{networks}/*@hidden"]}, {"rank": [2, 3]})
    points = grid_points(axes)
    expected = [(f"{networks}/gru-{seed}@hidden", rank) for seed, rank in product(range(3), (2, 3))]
    assert [tuple(point.coordinates.values()) for point in points] == expected
    assert list(points[0].coordinates) == ["site_1", "rank"]


def test_patterns_are_expanded_on_either_side_in_natural_order() -> None:
    assert matching_sites("zoo:multi-object/gru/*@hidden") == tuple(
        f"zoo:multi-object/gru/{n}@hidden" for n in range(4)
    )
    assert matching_sites("zoo:multi-object/transformer/0@layer.*") == (
        "zoo:multi-object/transformer/0@layer.1",
        "zoo:multi-object/transformer/0@layer.2",
    )
    assert matching_sites("zoo:*/gru/0@*") >= ("zoo:arithmetic/gru/0@embedding",)
    both = declared_axes({"sites": ["zoo:multi-object/gru/*@hidden", "zoo:multi-object/lstm/*@hidden"]}, {})
    assert len(both["sites"]) == 4 * 2


@pytest.mark.parametrize(
    ("base", "grid", "message"),
    [
        ({"sites": ["zoo:multi-object/gru/0@hidden"]}, {"rnk": [1]}, "unknown axis of the grid 'rnk'; did you mean"),
        ({"sites": ["zoo:multi-object/gru/0@hidden"]}, {"search.max_step": [1]}, "did you mean 'search.max_steps'"),
        ({"sites": ["zoo:multi-object/gru/0@hidden"]}, {"rank": []}, "the axis rank of the grid has no values"),
        ({"sites": ["zoo:multi-object/gru/0@hidden"]}, {"rank": [2, 2]}, "has the value 2 twice"),
        ({"sites": ["zoo:multi-object/gru/0@hidden"]}, {"rank": 2}, "is a list of values, found 2"),
        ({"sites": ["zoo:multi-object/gruu/*@hidden"]}, {}, "matches nothing: the zoo has"),
        ({"sites": ["zoo:multi-object/gru/0@layer.*"]}, {}, "matches nothing: its places are hidden, embedding"),
        ({}, {"rank": [2]}, "name the sites"),
        ({"sites": ["zoo:multi-object/gru/*@hidden"]}, {"site_1": ["a"]}, "site_1 is an axis, and the base has"),
    ],
)
def test_a_grid_that_is_none_is_refused(base: dict[str, Any], grid: dict[str, Any], message: str) -> None:
    with pytest.raises(ca.InvalidArgument, match=message.replace("(", "\\(")):
        grid_points(declared_axes(base, grid))


def test_parameters_of_methods_and_of_the_search_are_axes(networks: Path, tmp_path: Path) -> None:
    grid = {"method.latent_weight": [0.5, 1.0], "search.learning_rate": [1e-3, 1e-2]}
    sites = [f"{networks}/gru-{seed}@hidden" for seed in (0, 1)]
    found = ca.sweep(sites, grid, out=tmp_path, workers=1, rank=2, method="clmas", **FEW)
    records = [found.alignment(key).record.config for key in found.points]
    assert [(c.method.parameters["latent_weight"], c.search.learning_rate) for c in records] == list(
        product((0.5, 1.0), (1e-3, 1e-2))
    )
    assert {config.search.max_steps for config in records} == {SEARCH.max_steps}  # the other fields of the search stay


# Points


def test_a_point_is_what_align_finds(done: ca.Sweep, networks: Path) -> None:
    table = done.table
    assert len(table) == len(done.points) == 12
    assert (table["status"] == "finished").all()
    row = table[(table["rank"] == 3) & (table["seed"] == 1)].iloc[1]
    assert row["site_1"] == f"{networks}/gru-1@hidden"
    site = ca.load_network(networks / "gru-1").site("hidden")
    alone = ca.align([site], method="das", rank=3, seed=1, controls=True, **FEW)
    for name in ("iia", "ci_low", "ci_high", "no_swap"):
        assert row[name] == alone.iia[name].iloc[0]
    for control, score in alone.worst_controls.items():
        assert row[f"control_{control}"] == score
    assert found_maps(done, str(row["point"])) == pytest.approx(alone.maps[0].frame.numpy())
    assert pd.read_csv(done.folder.path / "table.csv")["iia"].tolist() == pytest.approx(table["iia"].tolist())


def found_maps(sweep: ca.Sweep, point: str) -> np.ndarray:
    return sweep.alignment(point).maps[0].frame.numpy()


def test_processes_threads_and_shards_find_the_same(done: ca.Sweep, networks: Path, tmp_path: Path) -> None:
    expected = contents(done)
    by_processes = swept(networks, tmp_path / "processes", controls=True, workers=2)
    assert contents(by_processes) == expected
    with ThreadPoolExecutor(1) as threads:
        by_threads = swept(networks, tmp_path / "threads", controls=True, workers=None, executor=threads)
    assert contents(by_threads) == expected
    for index in (1, 2, 3):
        part = swept(networks, tmp_path / "shards", controls=True, shard=f"{index}/3")
        assert len(written(tmp_path / "shards")) == 4 * index == part.counts["finished"]
    before = written(tmp_path / "shards")
    whole = swept(networks, tmp_path / "shards", controls=True)
    assert written(tmp_path / "shards") == before
    assert contents(whole) == expected
    assert (tmp_path / "shards" / "table.csv").read_text().count("\n") == 13


def test_finished_points_are_kept_and_broken_ones_run_again(networks: Path, tmp_path: Path) -> None:
    seen: list[ProgressUpdate] = []
    first = swept(networks, tmp_path)
    before, (key, *_) = written(tmp_path), list(first.points)
    (first.folder.point(key) / RESULT).write_text("{")
    again = swept(networks, tmp_path, callbacks=[seen.append])
    after = written(tmp_path)
    assert {name for name in after if after[name] != before[name]} == {key}
    assert [(update.step, update.total) for update in seen] == [(11, 12), (12, 12)]
    assert again.counts == {"finished": 12}
    assert ca.load_sweep(tmp_path).table.equals(again.table)


def test_readings_are_kept_only_where_points_share_inputs(done: ca.Sweep, networks: Path, tmp_path: Path) -> None:
    assert list((done.folder.path / "readings").glob("*.safetensors"))  # two ranks read the same inputs
    alone = swept(networks, tmp_path, {"seed": [0, 1]}, rank=2, controls=True)
    assert not (tmp_path / "readings").exists()
    with_rank = done.table[done.table["rank"] == 2]
    assert alone.table["iia"].tolist() == with_rank["iia"].tolist()


def test_sites_and_datasets_of_this_process_are_swept(networks: Path, tmp_path: Path) -> None:
    a, b = (ca.load_network(networks / f"gru-{seed}") for seed in (0, 1))
    places = ["hidden", "embedding"]
    grid = {"site_1": [a.site(at) for at in places], "site_2": [b.site(at) for at in places]}
    found = ca.sweep([], grid, out=tmp_path / "sites", rank=2, **FEW)
    assert [tuple(point.values()) for point in found.points.values()] == [
        (f"{a.name}@{first}", f"{b.name}@{second}") for first, second in product(places, places)
    ]
    assert found.matrix().mean.shape == (2, 2)
    data = ca.Counterfactuals.from_task([a.site("hidden")], n_train=30, n_validation=20, n_test=20)
    ranks = ca.sweep(data, {"rank": [1, 2]}, out=tmp_path / "data", method="das", search=SEARCH)
    alone = ca.align(data, rank=2, method="das", search=SEARCH)
    assert ranks.table["iia"].tolist()[1] == alone.worst_iia
    with pytest.raises(ca.InvalidArgument, match="not sent to others"):
        ca.sweep(data, {"rank": [1, 2]}, out=tmp_path / "data", method="das", search=SEARCH, workers=2)


# What goes wrong


def test_a_point_that_fails_is_told_and_the_others_go_on(networks: Path, tmp_path: Path, run: Run) -> None:
    command = ["sweep", "-s", f"{networks}/gru-0@hidden", "--method", "das", "--workers", 1, "--out", tmp_path / "x"]
    few = ["--n-train", 30, "--n-validation", 20, "--n-test", 20, "--max-steps", 2, "--eval-every", 1]
    code, out, err = run(*command, *few, "--batch-size", 8, "--grid", "rank=2,99,3")
    assert code == 3
    assert "1 of 3 points failed, the first with: rank must be a whole number from 1 to 8" in err.replace("\n", " ")
    found = ca.load_sweep(tmp_path / "x")
    assert found.counts == {"finished": 2, "failed": 1}
    assert found.failures["rank"].tolist() == [99]
    with pytest.raises(ca.InvalidArgument, match="is not finished: rank must be"):
        found.alignment(found.failures["point"].iloc[0])
    page = (tmp_path / "x" / "report.html").read_text()
    assert "rank must be a whole number" in page
    assert "99" in out


@pytest.mark.parametrize("change", [{"grid": {"rank": [2]}}, {"n_test": 21}])
def test_the_folder_of_another_sweep_is_refused(
    done: ca.Sweep, networks: Path, change: dict[str, Any], tmp_path: Path
) -> None:
    before = written(done.folder.path)
    with pytest.raises(ca.InvalidArgument, match=r"has another sweep: .* name another folder \(out=, --out\)"):
        swept(networks, done.folder.path, **{"controls": True, **change})
    assert written(done.folder.path) == before
    changed: dict[str, Any] = {"controls": True, "search": SEARCH.replace(max_steps=3)}
    with pytest.raises(ca.InvalidArgument, match=r"search\.max_steps of its base is 2, not 3"):
        swept(networks, done.folder.path, **changed)
    with pytest.raises(ca.FileFormatError, match="not the folder of a sweep"):
        ca.load_sweep(tmp_path)


def test_two_processes_do_not_work_in_one_folder(done: ca.Sweep, networks: Path) -> None:
    with done.folder.locked(Shard()), pytest.raises(ca.InvalidArgument, match="another process is at work in"):
        swept(networks, done.folder.path, controls=True)
    with done.folder.locked(Shard(1, 2)):
        with pytest.raises(ca.InvalidArgument, match="at work in .* on shard 1-of-2"):
            swept(networks, done.folder.path, controls=True)
        with done.folder.locked(Shard(2, 2)):
            pass


@pytest.mark.parametrize("text", ["0/4", "5/4", "1", "a/b", "-1/2"])
def test_a_shard_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(ca.InvalidArgument, match="shard"):
        Shard.parse(text)


def test_a_killed_worker_is_replaced_and_a_deadly_point_fails(tmp_path: Path) -> None:
    points = [Deadly("a"), Deadly("b", kills=9), Deadly("c"), Deadly("d", error="no"), Deadly("e", error="bug")]
    folder = SweepFolder(tmp_path).create()
    run_points({point.key: point for point in points}, folder, Processes(2))
    finished = [folder.outcome(point.key) is not None for point in points]
    assert finished == [True, False, True, False, False]
    messages = [failure.message for p in points if (failure := folder.failure(p.key)) is not None]
    assert messages[0].startswith("its worker was killed, most likely because memory ran out")
    assert messages[1:] == ["no", "ZeroDivisionError: bug"]
    assert "killed_points.py" in str(folder.failure(points[4].key))
    once = Deadly("once", kills=1)
    run_points({once.key: once}, folder, Processes(1))
    assert folder.outcome(once.key) is not None
    assert sorted(path.name for path in folder.point(once.key).iterdir()) == ["kills", "similarity.json"]


def test_a_full_disk_fails_points_in_one_line_and_loses_nothing(
    networks: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> bytes:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as disk:
        disk.setattr("causalign.files.save", full)
        failed = swept(networks, tmp_path / "x", {"rank": [2]})
    assert failed.counts == {"failed": 3}
    assert failed.failures["error"].str.fullmatch(r"cannot write .*safetensors: No space left on device").all()
    again = swept(networks, tmp_path / "x", {"rank": [2]})
    assert again.counts == {"finished": 3}
    assert contents(again) == contents(swept(networks, tmp_path / "y", {"rank": [2]}))
    assert not list((tmp_path / "x" / "failed").iterdir())


def test_killed_at_random_it_goes_on_to_the_same_points(done: ca.Sweep, networks: Path, tmp_path: Path) -> None:
    script = tmp_path / "run.py"
    script.write_text(f"""
import sys
import causalign as ca
from causalign.search.config import SearchConfig
if __name__ == "__main__":
    grid = {{"rank": [2, 3], "seed": [0, 1]}}
    ca.sweep([{f"{networks}/*@hidden"!r}], grid, out={str(tmp_path / "x")!r}, method="das", workers=1,
             controls=True, n_train=30, n_validation=20, n_test=20,
             search=SearchConfig(max_steps=2, eval_every=1, batch_size=8, initial_batch_size=8))
""")
    kinds = [signal.SIGKILL, signal.SIGTERM, signal.SIGINT]
    drawn, ended = random.Random(0), False
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    seen: dict[str, int] = {}
    for kind in kinds:
        running = subprocess.Popen([sys.executable, str(script)], env=environment, stderr=subprocess.DEVNULL)
        before = len(written(tmp_path / "x"))
        deadline = time.monotonic() + 120
        while len(written(tmp_path / "x")) == before and running.poll() is None and time.monotonic() < deadline:
            time.sleep(0.01)
        time.sleep(drawn.uniform(0, 0.2))  # a point takes as long
        running.send_signal(kind)
        running.wait(60)
        now = written(tmp_path / "x")
        assert seen.items() <= now.items()  # no finished point was run again
        seen = now
        ended = ended or len(now) == len(done.points)
    assert not ended
    found = swept(networks, tmp_path / "x", controls=True)
    assert seen.items() <= written(tmp_path / "x").items()
    assert contents(found) == contents(done)
    assert not list((tmp_path / "x" / "points").glob(".*"))


# What is shown


def test_a_matrix_is_averaged_over_seeds_with_its_spread_and_over_nothing_else(done: ca.Sweep) -> None:
    matrix = done.matrix(x="rank", y="site_1")
    expected = done.table.groupby(["site_1", "rank"], sort=False)["iia"]
    np.testing.assert_allclose(matrix.mean.ravel(), expected.mean())
    np.testing.assert_allclose(matrix.sd.ravel(), expected.std())
    assert (matrix.count == 2).all()
    with pytest.raises(ca.InvalidArgument, match="the points of a cell differ in rank"):
        done.matrix(x="seed", y="site_1")
    one = done.matrix(x="seed", y="site_1", where={"rank": 3})
    kept = done.table[done.table["rank"] == 3]
    np.testing.assert_allclose(one.mean, kept["iia"].to_numpy().reshape(3, 2))
    assert np.isnan(one.sd).all()
    for wrong, message in (({"x": "rnk"}, "unknown axis"), ({"where": {"rank": 7}}, "no point of the sweep has rank")):
        with pytest.raises(ca.InvalidArgument, match=message):
            done.matrix(**wrong)


def test_the_worst_direction_is_drawn(networks: Path, tmp_path: Path) -> None:
    sites = [f"{networks}/*@hidden", f"{networks}/gru-0@hidden"]
    found = ca.sweep(sites, out=tmp_path, workers=1, rank=2, **FEW)
    assert len(found.table) == 3 * 4
    worst = found.table.groupby("point", sort=False)["iia"].min()
    np.testing.assert_array_equal(found.matrix().mean.ravel(), worst)
    (axes, bar) = found.heatmap().axes
    assert [text.get_text() for text in axes.texts] == [f"{score:.2f}" for score in worst]
    assert bar.get_ylabel() == "IIA of the worst direction"
    assert axes.get_xlabel() == "site 2: gru-0"
    assert {*found.worst["point"]} == {*found.points}


class Links(HTMLParser):
    """The links and the notes of a page, and everything that it would load."""

    def __init__(self) -> None:
        super().__init__()
        self.links: list[str] = []
        self.notes: list[str] = []
        self.loaded: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        named = {name: value or "" for name, value in attrs}
        self.links += [named["href"]] if tag == "a" else []
        self.notes += [named["title"]] if "title" in named else []
        self.loaded += [named.get("src", named.get("href", ""))] if tag in ("img", "script", "link") else []


def test_the_page_links_every_point_and_shows_the_control_beside_the_score(done: ca.Sweep) -> None:
    page = done.report()
    read = Links()
    read.feed(page.read_text())
    assert not read.loaded
    files = [link for link in read.links if not link.startswith("#")]
    assert {Path(link).parts[1] for link in files} == set(done.points)
    assert all((page.parent / link).is_file() for link in files)
    text = page.read_text()
    assert text.index("IIA of the worst direction") < text.index("Control: the first network untrained")
    assert sum("seed 0: iia" in note and "control untrained" in note for note in read.notes) >= 3
    assert "12 finished of 12 points" in text
    assert "12 points, 3 site_1 x 2 rank x 2 seed; 12 finished" in repr(done)
    assert "<table" in done._repr_html_()


def test_workers_draw_the_pages_of_their_points(networks: Path, tmp_path: Path) -> None:
    plain = swept(networks, tmp_path / "plain", {"rank": [2]})
    drawn = swept(networks, tmp_path / "drawn", {"rank": [2]}, workers=2, pages=True)
    assert contents(drawn) == contents(plain)
    for found, there in ((plain, False), (drawn, True)):
        pages = [found.folder.point(key) / "report.html" for key in found.points]
        assert [page.exists() for page in pages] == [there] * 3
    before = {page: page.stat().st_mtime_ns for page in pages}
    drawn.report()
    assert {page: page.stat().st_mtime_ns for page in pages} == before


def test_a_spec_with_a_grid_is_swept_from_the_shell(networks: Path, tmp_path: Path, run: Run) -> None:
    (tmp_path / "spec.toml").write_text(f"""
sites = ["{networks}/gru-*@hidden"]
method = "das"
n_train = 30
n_validation = 20
n_test = 20
[search]
max_steps = 2
eval_every = 1
batch_size = 8
[grid]
rank = [2, 3]
""")
    command = ["sweep", "--spec", tmp_path / "spec.toml", "--out", tmp_path / "x", "--workers", 1]
    code, out, _ = run(*command, "--grid", "seed=0,1", "--shard", "1/2")
    assert code == 0
    assert "6 finished, 6 not run" in out.replace("\n", " ") or "6 finished" in out.replace("\n", " ")
    code, out, _ = run(*command, "--grid", "seed=0,1")
    assert code == 0
    assert ca.load_sweep(tmp_path / "x").counts == {"finished": 12}
    assert "report.html" in out
    code, _, err = run(*command, "--grid", "seed")
    assert (code, "an axis is written AXIS=VALUE,VALUE" in err) == (2, True)


SCRIPT = """
import sys
import causalign as ca

class Own(ca.MAS):
    name = "own"

few = dict(n_train=20, n_validation=10, n_test=10, search={"max_steps": 1, "batch_size": 4}, workers=2, out=sys.argv[2])
sites = [sys.argv[1] + "/gru-0@hidden", sys.argv[1] + "/gru-1@hidden"]
print("started", flush=True)
"""
PLAIN = 'print(ca.sweep(sites, {"rank": [1, 2]}, method="mas", **few).counts)'
OWN = """
ca.register_method(Own)
if __name__ == "__main__":
    print(ca.sweep(sites, {"rank": [1, 2]}, method=Own(), **few).counts)
"""


@pytest.mark.parametrize(("rest", "starts"), [(PLAIN, 1), (OWN, 3)], ids=["references only", "a method of its own"])
def test_a_script_is_run_again_by_workers_only_for_what_it_defines(
    networks: Path, tmp_path: Path, rest: str, starts: int
) -> None:
    script = tmp_path / "script.py"
    script.write_text(SCRIPT + rest)
    command = [sys.executable, "-W", "ignore", str(script), str(networks), str(tmp_path / "out")]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=300)
    assert "Counter({'finished': 2})" in done.stdout
    assert done.stdout.count("started") == starts


def test_failures_are_said_where_the_sweep_ends(networks: Path, tmp_path: Path) -> None:
    with pytest.warns(ca.SearchWarning, match="1 of 2 points failed; the first: rank must be a whole number"):
        found = ca.sweep([f"{networks}/gru-0@hidden"], {"rank": [2, 99]}, method="das", workers=1, out=tmp_path, **FEW)
    assert "1 finished, 1 failed; the first: rank must be" in repr(found)
