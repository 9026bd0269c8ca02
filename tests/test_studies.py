"""The paper's figures: every study through the same code on small networks, killed and resumed, judge and drawn."""

import ast
import html
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from jaxtyping import Float
from matplotlib.collections import LineCollection

import causalign as ca
from causalign.alignment.schema import AlignmentSummary
from causalign.alignment.spec import AlignmentSpec, read_spec
from causalign.cli import main
from causalign.networks.checkpoint import Card, save_network
from causalign.reproduction.figures import draw
from causalign.reproduction.paper import CITED, cited
from causalign.reproduction.reproduce import STUDIES, TABLE, VERDICTS, Reproduction, reproduce
from causalign.reproduction.study import BUDGETS, Protocol, Values
from causalign.reproduction.table import BORNE_OUT, COLUMNS, LEFT_OUT, NOT_BORNE_OUT
from causalign.scoring.crossed_pairs import pair_mean
from causalign.source_hash import _code, source_hash
from causalign.sweep import point as points
from causalign.sweep.comparisons import run_comparisons
from causalign.sweep.folder import SweepFolder
from causalign.sweep.grid import declared_axes, grid_points, specs
from causalign.sweep.point import AlignmentPoint

FEW = {"n_train": 30, "n_validation": 20, "n_test": 20}
SETTLED = BUDGETS["settled"]
QUICK = replace(SETTLED, search=SETTLED.search.replace(batch_size=8, initial_batch_size=8, max_steps=2, eval_every=1))
KINDS = (
    ("multi-object", "gru", 2),
    ("multi-object", "transformer", 2),
    ("multi-object", "lstm", 1),
    ("same-object", "gru", 1),
    ("modulo", "gru", 1),
    ("rounding", "gru", 1),
    ("arithmetic", "gru", 2),
)


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Protocol:
    """All networks of the studies, untrained and 8 wide, in folders; few seeds, interventions and ranks."""
    root = tmp_path_factory.mktemp("networks")
    card = json.loads((ca.zoo.entries()[0].folder / "card.json").read_text())
    for task, architecture, seeds in KINDS:
        for seed in range(seeds):
            network = ca.networks.build(task, architecture, seed, width=8)
            about = {"task": task, "architecture": architecture, "seed": seed, "width": 8}
            about |= {"vocabulary": network.vocabulary.tokens}
            save_network(network, Card.model_validate(card | about), root / task / architecture / str(seed))
    few = {"draws": 2, "samples": 20, "trials_each": 1}
    return Protocol(
        f"{root}/", (0,), (1,), (2,), sweep=(2, 4), controlled=(4,), budget=QUICK, fields=FEW, width=8, similarity=few
    )


@pytest.fixture(scope="module")
def everything(tiny: Protocol, tmp_path_factory: pytest.TempPathFactory) -> tuple[Reproduction, Path]:
    folder = tmp_path_factory.mktemp("reproduction")
    return reproduce(list(STUDIES), folder, tiny, workers=2), folder  # workers are faster: nothing checks their shapes


def test_every_study_gives_rows_figures_and_verdicts(everything: tuple[Reproduction, Path]) -> None:
    found, folder = everything
    written = pd.read_csv(folder / TABLE)
    assert tuple(written.columns[: len(COLUMNS)]) == COLUMNS
    assert set(written["figure"]) == set(STUDIES)
    measured = written[written["verdict"] != LEFT_OUT]
    assert measured["ours"].between(-1, 1).all()
    assert not measured.duplicated(list(COLUMNS[:5])).any()
    assert (measured["n"] >= 1).all()
    each = measured["pairs"].astype(str).str.split().map(lambda values: np.array(values, dtype=float))
    assert (each.map(len) == measured["n"]).all()
    keys = measured["points"].str.split()
    assert (keys.map(len) == measured["n"]).all()
    assert all(SweepFolder(folder).outcome(key) is not None for of in keys for key in of)
    np.testing.assert_allclose(each.map(np.mean), measured["ours"], atol=1e-3)
    causal = measured["metric"].str.contains("MAS|DAS|stitch")
    swept = measured["figure"] == "fig2d"
    trained = causal & ~((measured["figure"] == "fig3a") & measured["metric"].str.contains("stitch"))
    assert measured.loc[trained & ~swept, "control_shuffled"].notna().all()
    assert list(measured.loc[swept & measured["control_random"].notna(), "comparison"].unique()) == ["4"]
    assert measured.loc[causal, "outside_natural"].between(0, 1).all()
    assert measured.loc[measured["figure"] == "fig3b", "complement"].between(0, 1).all()
    assert (measured["seconds"] > 0).all()
    assert len(pd.read_csv(folder / VERDICTS)) == len(found.verdicts) == sum(len(s.claims) for s in STUDIES.values())
    for study in STUDIES.values():
        assert all(any(claim.rows(row) for row in study.measured(Protocol())) for claim in study.claims)
        for panel in study.panels:
            for kind in ("png", "pdf"):
                assert (folder / f"{study.name}-{panel.name.replace(' ', '-')}.{kind}").stat().st_size > 2000
    page = html.unescape(found.page.read_text())
    assert all(verdict.claim.text in page and verdict.claim.rule in page for verdict in found.verdicts)


def test_numbers_that_were_not_measured_are_left_out_by_name(everything: tuple[Reproduction, Path]) -> None:
    rows = everything[0].table
    left_out = rows[rows["verdict"] == LEFT_OUT]
    assert list(left_out["comparison"]) == ["multi-object/gru x language model in context"]
    assert left_out["ours"].isna().all()


def test_a_language_model_has_a_row_without_a_verdict(tiny: Protocol, tmp_path: Path) -> None:
    pytest.importorskip("transformers")
    few = replace(tiny, language_model="zoo:in-context/llama/0", controls=False)
    (row,) = [each for each in STUDIES["text32"].measured(few) if each.note]
    outcomes = run_comparisons(row.comparisons, SweepFolder(tmp_path), workers=1)
    (found,) = outcomes.values()
    assert isinstance(found, AlignmentSummary)
    assert found.rank == 8
    assert {site.task for site in found.sites} == {"multi-object", "in-context"}
    assert row.note == "no verdict: this is zoo:in-context/llama/0"
    assert cited("text32", *row.name) is not None


def test_a_stitch_is_trained_into_the_accessible_network(everything: tuple[Reproduction, Path]) -> None:
    _, folder = everything
    table = pd.read_csv(folder / TABLE)
    for metric, into in (("stitch", "accessible"), ("latent stitch", "without access")):
        rows = table[(table["figure"] == "fig3a") & (table["metric"] == metric)]
        trained = rows[rows["comparison"].str.contains(into)]
        assert trained["control_shuffled"].notna().all()
        assert rows[~rows["comparison"].str.contains(into)]["control_shuffled"].isna().all()


def test_a_score_is_marked_where_a_control_reaches_it_in_the_same_directions(
    everything: tuple[Reproduction, Path], tiny: Protocol
) -> None:
    found, folder = everything
    marked, into_others = 0, []
    for row, measured in zip(
        found.table[found.table["figure"] == "fig3b"].to_dict("records"), STUDIES["fig3b"].measured(tiny), strict=True
    ):
        (comparison,) = measured.comparisons
        record = json.loads((folder / "points" / comparison.key / "result.json").read_text())
        reaching = []
        for kind in ("untrained", "shuffled", "random"):
            scores = [score["iia"] for score in record["controls"] if score["control"] == kind]
            ours = [score["iia"] for score in record["iia"]]
            if kind == "untrained" and len(record["sites"]) == 2:  # first -> second and second -> second
                scores, ours = scores[1::2], ours[1::2]
            if kind == "untrained":
                into_others.append(min(ours))
                worst = int(np.argmin([score["iia"] for score in record["iia"]]))
                assert row["no_swap"] == pytest.approx(record["iia"][worst]["no_swap"])
            assert row[f"control_{kind}"] == pytest.approx(min(scores))
            if min(scores) >= min(ours) - 0.02:
                reaching.append(kind)
        assert row["reached"] == ", ".join(reaching)
        marked += len(reaching)
    rows = found.table[found.table["figure"] == "fig3b"]
    assert rows["ours_into_others"].tolist() == pytest.approx(into_others)
    wide = rows.assign(ours_into_others=[0.25] * len(rows))  # a score that is another in those directions is drawn
    (axes,) = draw(STUDIES["fig3b"].panels[0], wide).axes
    drawn = [each for each in axes.collections if isinstance(each, LineCollection)]
    lines = [each for each in drawn if "untrained" in str(each.get_label())]
    assert [float(line.get_segments()[0][0, 1]) for line in lines] == pytest.approx([0.25] * len(rows))
    for verdict in (each for each in found.verdicts if each.figure == "fig3b"):
        of = [verdict.claim.rows(measured) for measured in STUDIES["fig3b"].measured(tiny)]
        assert verdict.reached == (rows["reached"].astype(bool) & np.array(of)).sum()
    assert marked  # untrained networks are as bad as their controls


def finished(folder: Path) -> dict[str, int]:
    """When the result of each finished point was written."""
    return {
        path.parent.name: path.stat().st_mtime_ns
        for path in folder.glob("points/[!.]*/*.json")
        if path.name != "spec.json"
    }


def test_killed_anywhere_it_goes_on_to_the_same_table(
    tiny: Protocol, everything: tuple[Reproduction, Path], tmp_path: Path
) -> None:
    again = f"""
from pathlib import Path
from causalign.reproduction import Protocol, reproduce
from causalign.reproduction.study import Budget
from causalign.search.config import SearchConfig
if __name__ == "__main__":
    reproduce(["fig3b"], Path({str(tmp_path)!r}), {tiny!r}, workers=2)
"""
    script = tmp_path / "run.py"
    script.write_text(again)
    running = subprocess.Popen([sys.executable, str(script)])
    deadline = time.monotonic() + 120
    while not finished(tmp_path) and running.poll() is None and time.monotonic() < deadline:
        time.sleep(0.02)
    running.send_signal(signal.SIGKILL)
    running.wait()
    before = finished(tmp_path)
    assert before
    assert all(SweepFolder(tmp_path).outcome(key) for key in before)
    assert not (tmp_path / TABLE).exists()
    found = reproduce(["fig3b"], tmp_path, tiny, workers=1)
    after = finished(tmp_path)
    assert before.items() <= after.items()
    whole = everything[0].table
    columns = ["panel", "comparison", "metric", "ours", "control_shuffled", "outside", "steps", "verdict"]
    expected = whole.loc[whole["figure"] == "fig3b", columns].reset_index(drop=True)
    pd.testing.assert_frame_equal(found.table[columns], expected)


def test_a_broken_file_is_run_again_and_an_error_loses_nothing(tiny: Protocol, tmp_path: Path) -> None:
    plain = replace(tiny, controls=False)
    site = plain.site("multi-object/gru", 0, "hidden")
    good, bad = plain.align([site], [2], method="das"), plain.align([site], [9], method="das")
    broken = tmp_path / "points" / good.key
    broken.mkdir(parents=True)
    (broken / "result.json").write_text('{"schema_version": 2')
    folder = SweepFolder(tmp_path)
    with pytest.raises(ca.InvalidArgument, match="1 of 2 comparisons failed.*rank must be a whole number from 1 to 8"):
        run_comparisons([good, bad], folder, workers=1)
    assert set(before := finished(tmp_path)) == {good.key}
    assert set(run_comparisons([good], folder, workers=1)) == {good.key}
    assert finished(tmp_path) == before


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="a process has all cores here")
def test_a_process_that_was_given_one_core_takes_no_more() -> None:
    script = """
import os
from causalign.sweep.workers import cores
os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
print(cores())
"""
    told = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert told.stdout.strip() == "1"


def found_by(point: AlignmentPoint, folder: Path) -> AlignmentSummary:
    """What a point finds."""
    (found,) = run_comparisons([point], SweepFolder(folder), workers=1).values()
    assert isinstance(found, AlignmentSummary)
    return found


def test_the_better_rank_on_validation_counts(tiny: Protocol, tmp_path: Path) -> None:
    plain = replace(tiny, controls=False)
    pair = [plain.site("multi-object/gru", seed, "hidden") for seed in (0, 1)]
    each = {rank: found_by(plain.align(pair, [rank]), tmp_path / str(rank)) for rank in (1, 8)}
    best = max(each.values(), key=lambda record: (record.best.worst_iia, record.best.mean_iia))
    found = found_by(plain.align(pair, [1, 8]), tmp_path)
    assert found.rank == best.rank
    assert [tried.rank for tried in found.ranks] == [1, 8]


def test_a_panel_of_fewer_ranks_has_the_claims_about_those(tiny: Protocol, tmp_path: Path) -> None:
    found = reproduce(["fig2d"], tmp_path, replace(tiny, controls=False, sweep=(4,)), workers=1)
    assert [verdict.claim for verdict in found.verdicts] == list(STUDIES["fig2d"].claims[:2])
    assert set(found.table.loc[found.table["ours"].notna(), "comparison"]) == {"4"}
    assert (tmp_path / "fig2d-d.png").stat().st_size


def test_the_shipped_sweep_of_a_panel_is_the_study_s(tiny: Protocol, tmp_path: Path) -> None:
    spec = read_spec(Path(__file__).parent.parent / "docs" / "examples" / "fig2d.toml")
    cells = grid_points(declared_axes(spec, grid := spec.pop("grid")))
    swept = [each.config.replace(rank=each.rank) for each in specs(spec, cells)]
    rows = [row for row in STUDIES["fig2d"].measured(Protocol(budget=SETTLED, controls=False)) if row.metric == "MAS"]
    studied = [point.spec for row in rows for point in row.comparisons if isinstance(point, AlignmentPoint)]
    assert {each.sites for each in studied} == {tuple(sites) for sites in grid["sites"]}
    assert [str(row.comparison) for row in rows] == [str(rank) for rank in grid["rank"]]
    assert {each.config.replace(rank=1).model_dump_json() for each in studied} == {
        each.replace(rank=1).model_dump_json() for each in swept
    }
    few = replace(tiny, controls=False)
    row = next(row for row in STUDIES["fig2d"].measured(few) if (row.metric, row.comparison) == ("MAS", "4"))
    pairs = [list(point.spec.sites) for point in row.comparisons if isinstance(point, AlignmentPoint)]
    values = row.values(run_comparisons(row.comparisons, SweepFolder(tmp_path / "study"), workers=1))
    fields = {"search": QUICK.search, "rank": 4, **FEW}
    found = ca.sweep({**fields}, {"sites": pairs}, out=tmp_path / "sweep", workers=1)
    assert found.worst["iia"].tolist() == values.tolist()


def test_a_finished_comparison_can_be_run_alone_from_its_file(tiny: Protocol, tmp_path: Path) -> None:
    plain = replace(tiny, controls=False)
    asked = plain.align([plain.site("multi-object/gru", seed, "hidden") for seed in (0, 1)], [1, 8])
    found = found_by(asked, tmp_path)
    (tmp_path / "spec.json").write_text((tmp_path / "points" / asked.key / "spec.json").read_text())
    spec = AlignmentSpec.read(read_spec(tmp_path / "spec.json"), "spec.json")
    alone = ca.align(spec.open_sites(), spec.config).record
    assert alone.iia == found.iia


def test_a_stored_comparison_is_of_its_configuration_networks_and_code(
    tiny: Protocol, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sites = [tiny.site("multi-object/gru", seed, "hidden") for seed in (0, 1)]
    point = tiny.align(sites, [2])
    assert point.key == tiny.align(sites, [2]).key
    other = [tiny.align(sites, [4]), tiny.align(sites[::-1], [2]), tiny.align(sites, [2], n_test=21)]
    assert len({point.key, *(each.key for each in other)}) == 4
    assert '"scale":true' in point.declaration  # a default is part of what is hashed
    key = point.key
    with monkeypatch.context() as changed:
        changed.setattr(points, "source_hash", lambda: "of other code")
        assert point.key != key
    with monkeypatch.context() as changed:
        changed.setattr(points, "_site_fingerprint", lambda reference, with_task: "of other weights")
        assert point.key != key
    assert point.key == key


def test_the_hash_of_the_sources_is_of_what_computes() -> None:
    with_comment = 'def f(x):\n    """A docstring."""\n    return x  # a comment\n'
    assert _code(with_comment) == _code("def f(x):\n    return x")
    assert _code(with_comment) != _code("def f(x):\n    return -x")
    assert len(source_hash()) == 16


def test_controls_take_as_many_steps_as_their_score(tiny: Protocol, tmp_path: Path) -> None:
    found = found_by(tiny.align([tiny.site("multi-object/gru", 0, "hidden")], [2], method="das"), tmp_path)
    steps = {score.control: score.steps for score in found.controls}
    assert steps == {"untrained": found.steps, "shuffled": found.steps, "random": 0}


Row = tuple[str | None, str | None, str | None]  # comparison, site, metric


class Figures(Values):
    """Values of rows, as a rule sees them."""

    def __init__(self, **values: Callable[[Mapping[str, str]], list[float]]) -> None:
        self._of = values["of"]

    def __call__(self, **named: str) -> Float[np.ndarray, " pairs"]:
        return np.array(self._of(named))


def high_but(**low: float) -> Callable[[Mapping[str, str]], list[float]]:
    """Nearly perfect everywhere but in rows that are named so."""

    def of(named: Mapping[str, str]) -> list[float]:
        found = [value for name, value in low.items() if name.replace("_", " ") in named.values()]
        return [found[0]] * 2 if found else [0.996, 0.998]

    return of


@pytest.mark.parametrize(
    ("study", "as_in_the_paper", "otherwise"),
    [
        ("fig3a", {"latent_stitch": 0.6, "stitch": 0.2, "CLMAS": 0.99}, {"latent_stitch": 0.1, "stitch": 0.2}),
        ("fig2d", {}, {"MAS": 0.4}),
        ("fig3b", {"multi-object_x_rounding": 0.5, "multi-object_x_modulo": 0.5, "rounding_x_modulo": 0.5}, {}),
    ],
)
def test_rules_tell_the_paper_from_something_else(
    study: str, as_in_the_paper: dict[str, float], otherwise: dict[str, float]
) -> None:
    claims = STUDIES[study].claims
    assert all(claim.holds(Figures(of=high_but(**as_in_the_paper))) for claim in claims)
    assert not all(claim.holds(Figures(of=high_but(**otherwise))) for claim in claims)


def test_a_row_carries_the_verdicts_of_its_claims(everything: tuple[Reproduction, Path], tiny: Protocol) -> None:
    found, _ = everything
    for name, study in STUDIES.items():
        rows = found.table[(found.table["figure"] == name) & (found.table["verdict"] != LEFT_OUT)]
        for row, measured in zip(rows.to_dict("records"), study.measured(tiny), strict=True):
            held = [v.holds for v in found.verdicts if v.figure == name and v.claim.rows(measured)]
            assert row["verdict"] == (measured.note if not held else BORNE_OUT if all(held) else NOT_BORNE_OUT)


def test_the_standard_error_counts_networks_and_not_pairs() -> None:
    pairs = [each.members for row in STUDIES["fig2a"].measured(Protocol())[:1] for each in row.comparisons]
    assert [[site.split("/")[-1] for site in pair] for pair in pairs] == [
        [f"{a}@hidden", f"{b}@hidden"] for a in (0, 1) for b in (2, 3)
    ]
    values = np.array([0.9, 0.8, 0.5, 0.6])  # the first network of each pair makes all the difference
    rows, columns = np.array([0.85, 0.55]), np.array([0.7, 0.7])
    expected = np.sqrt(rows.var(ddof=1) / 2 + columns.var(ddof=1) / 2)
    assert pair_mean(values, pairs).sem == pytest.approx(expected)
    assert expected > 1.5 * values.std(ddof=1) / 2


def test_numbers_of_the_paper_stand_in_one_table_only() -> None:
    root = Path(ca.__file__).parent
    stated = {cited.value for cited in CITED.values()}
    for path in root.rglob("*.py"):
        if path == root / "reproduction" / "paper.py":
            continue
        text = path.read_text()
        assert not any(f"{cited.value:.3f}" in text for cited in CITED.values() if cited.relation == "="), path
        if path.parent.name == "reproduction":
            numbers = {node.value for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Constant)}
            assert not {number for number in numbers if isinstance(number, float)} & stated, path


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["fig9"], "unknown study 'fig9'"),
        (["fig3b", "--budget", "papers"], "unknown budget 'papers'; did you mean 'paper'"),
    ],
)
def test_the_command_names_what_it_does_not_know(
    arguments: list[str],
    message: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
) -> None:
    monkeypatch.setattr(sys, "argv", ["causalign", "reproduce", *arguments, "--out", str(tmp_path / "x")])
    with pytest.raises(SystemExit) as left:
        main()
    assert left.value.code == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "x").exists()
