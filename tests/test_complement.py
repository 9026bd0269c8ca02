"""The complement: its formula, its rows and runs against naive ones, known answers, tables, and what is refused."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn import functional

import causalign as ca
from causalign.alignment.complement import Complements, complements
from causalign.alignment.schema import DirectionScore
from causalign.cli.tables import console, show_alignment, show_scores
from causalign.counterfactuals.complement import complement, whole_state
from causalign.counterfactuals.direction import Direction
from causalign.counterfactuals.from_task import draw_rows
from causalign.counterfactuals.row_source import RowRequest
from causalign.counterfactuals.rows import SOURCE_ROWS, CounterfactualRows
from causalign.counterfactuals.variables import Variables
from causalign.maps.base import AlignmentMap, random_frame
from causalign.report.page import write_report
from causalign.run_context import RunContext
from causalign.scoring.iia import row_outcomes
from causalign.tasks.counting import MultiObject
from drawing import read_activations
from equality import Equality, equality_rows
from naive_networks import gram_schmidt_swap, hooked_steps_logits
from naive_swap import plain_logits, state_at, swapped_logits
from naive_tasks import Counting as NaiveCounting
from test_counterfactuals import KINDS, QUICK, arrays
from test_interchange import Transparent, prefix

WITHIN = Direction(0, 0)
DAS = ca.DAS()


def rows_of(data: ca.Counterfactuals, stepwise: bool = False, complement: bool = True) -> CounterfactualRows:
    request = RowRequest("test", (WITHIN,), stepwise, complement=complement)
    return data.rows(request, RunContext(0, data.store))[WITHIN]


def complements_of(data: ca.Counterfactuals, *maps: AlignmentMap, method: Any = DAS) -> Complements:
    plain = rows_of(data, method.stepwise, complement=False)
    request = RowRequest("test", (), method.stepwise), RunContext(0, data.store)
    return complements(data, maps, method, {WITHIN: plain}, request)


@given(width=st.integers(1, 16), share=st.floats(0, 1), seed=st.integers(0, 1000))
@settings(max_examples=25)
def test_the_formula_is_that_of_the_rotated_space_with_the_ends_exchanged(width: int, share: float, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    frame = random_frame(width, 1 + round(share * (width - 1)), generator)
    h_t, h_s = (torch.randn(width, generator=generator) for _ in range(2))
    kept = complement(h_t[None], h_s[None], AlignmentMap(frame, 2.0), AlignmentMap(frame, 2.0))[0]
    v, t, s = (each.double().numpy() for each in (frame, h_t, h_s))
    np.testing.assert_allclose(kept, s + v @ (v.T @ t - v.T @ s), atol=1e-5)  # DESIGN's equation
    torch.testing.assert_close(kept.double(), gram_schmidt_swap(h_s, h_t, frame, frame, 2.0, 2.0), atol=1e-5, rtol=1e-5)


@given(seed=st.integers(0, 10_000), variable=st.sampled_from(["full", "count", "phase", "raw_count"]))
@settings(max_examples=15)
def test_the_rows_of_tasks_obey_a_naive_simulator(seed: int, variable: str) -> None:
    site, naive = Transparent(), NaiveCounting("multi-object")
    read, of = read_activations([site], 40, seed, "test"), Variables.alike([variable], 1)

    def drawn(complement: bool) -> CounterfactualRows:
        request = RowRequest("test", (WITHIN,), complement=complement)
        return draw_rows([site], of, read, count=40, request=request, context=RunContext(seed))[WITHIN]

    plain, rows = drawn(False), drawn(True)
    states = [
        (naive.variables(prefix(source))[-1], naive.variables(prefix(target))[-1])
        for source, target in zip(plain.source_states, plain.target_states, strict=True)
    ]
    expected = [naive.counterfactual(source, target, variable) for source, target in states]
    meant = [naive.meaningful(each, variable) for each in expected]
    assert torch.equal(rows.source_states, plain.source_states[torch.tensor(meant)])
    assert torch.equal(rows.target_states, plain.target_states[torch.tensor(meant)])
    for row, after in enumerate(each for each, there in zip(expected, meant, strict=True) if there):
        length = int(rows.lengths[row])
        rest = MultiObject().vocabulary.decode(rows.tokens[row, :length].numpy()).split()
        assert naive.obeys(after, rest, rows.determined[row, :length].tolist()) is None


@pytest.mark.parametrize("stepwise", [False, True], ids=["single", "stepwise"])
def test_a_transformer_with_a_prefix_obeys_a_naive_run(stepwise: bool) -> None:
    network: Any = ca.zoo.load("multi-object/transformer", seed=0)
    data = ca.Counterfactuals.from_task(
        network.site("layer.1"), variables=["phase", "count"], n_train=2, n_validation=2, n_test=40, seed=3
    )
    ranks = {"phase": range(6), "count": range(6, 14)}
    frame = random_frame(data.sites[0].width, 14, torch.Generator().manual_seed(0))
    of_blocks = AlignmentMap(frame, 1.0, blocks=ranks)
    found = complements_of(data, of_blocks, method=ca.DAS(stepwise=stepwise))
    rows = rows_of(data, stepwise)
    count = len(found.outcomes[WITHIN, 1])
    assert found.left_out == {(WITHIN, 0): 0, (WITHIN, 1): 20 - count}
    assert count == 20 or stepwise  # a target that ended before the source's position has a count below 0
    right = []
    for row in range(20 + count):
        block = frame[:, list(ranks["phase"] if row < 20 else ranks["count"])]
        position, trial = int(rows.columns["position"][row]), int(rows.columns["trial"][row])
        keys = np.atleast_1d(rows.source.keys[rows.columns[SOURCE_ROWS][row]])[: position + 1 if stepwise else 1]
        trials: list[Any] = [each.trials for each in (rows.target, rows.source)]
        tokens, others = (each.tokens for each in trials)
        read = tokens[trial, : position + 1].tolist()
        source_trial = int(keys[0]) // rows.source.time
        whole = read + rows.tokens[row, : int(rows.lengths[row])].tolist()
        if stepwise:
            of_target, of_source = (
                torch.stack([state_at(network, "layers.0", ids[: position + 1], step) for step in range(position + 1)])
                for ids in (read, others[source_trial].tolist())
            )
            kept = of_source + (of_target - of_source) @ block @ block.mT
            logits = hooked_steps_logits(network, network.layers[0], torch.tensor([whole]), kept)
        else:
            source_position = int(keys[0]) % rows.source.time
            state = state_at(network, "layers.0", others[source_trial].tolist(), source_position)
            rest = torch.eye(len(block)) - block @ block.mT
            logits = swapped_logits(network, "layers.0", whole, position, state, rest)
        hit = logits[position:-1].argmax(-1) == torch.tensor(whole[position + 1 :])
        right.append(bool(hit[rows.determined[row, : len(hit)]].all()))
    assert found.outcomes[WITHIN, 0].tolist() + found.outcomes[WITHIN, 1].tolist() == right
    assert 0 < sum(right) < len(right)


@pytest.mark.parametrize("kind", KINDS)
def test_rows_of_your_own_are_hooked_runs_of_the_plain_module(kind: str) -> None:
    site, module = KINDS[kind].site()
    frame = random_frame(site.width, site.width // 2, torch.Generator().manual_seed(1))
    rest = torch.eye(site.width) - frame @ frame.mT
    given_: dict[str, Any] = arrays()
    path, after = KINDS[kind].path, []
    for source, s, target, t in zip(
        *(given_[f"{end}_{of}"] for end in ("source", "target") for of in ("inputs", "positions")), strict=True
    ):
        swapped = swapped_logits(module, path, target, t, state_at(module, path, source, s), rest)
        after.append((int(swapped[-1].argmax()), int(plain_logits(module, target)[-1].argmax())))
    labels = [own for _, own in after]
    data = ca.Counterfactuals.from_arrays(
        site, **given_, no_swap_labels=labels, split=["train", "validation", *["test"] * 58]
    )
    found = complements_of(data, AlignmentMap(frame, 1.0))
    assert found.outcomes[WITHIN, 0].tolist() == [kept == own for kept, own in after[2:]]
    assert found.left_out == {(WITHIN, 0): 0}


class Codes(nn.Module):
    """A network whose hidden state after each id has two codes of it: the first `N` units, and the others."""

    def __init__(self, answer: Callable[[Tensor, Tensor, Tensor], Tensor], codes: Tensor) -> None:
        super().__init__()
        self.answer, self.codes = answer, nn.Embedding.from_pretrained(codes)
        self.hidden = nn.Linear(2 * N, 2 * N, bias=False)
        with torch.no_grad():
            self.hidden.weight.copy_(torch.eye(2 * N))
        self.eval()

    def forward(self, ids: Tensor) -> Tensor:
        states = self.hidden(self.codes(ids))
        before = functional.one_hot(functional.pad(ids, (1, 0))[:, :-1] % N, N).float()
        logits = self.answer(states[..., :N], states[..., N:], before)
        return functional.pad(logits, (0, N))  # of the ids from N on, which are never the answer


N = 5
ONE_HOT = torch.eye(N).repeat(2, 1)
SAME = torch.cat([ONE_HOT, ONE_HOT], 1)
"""Ids from 0 to 9, of which the second five have the codes of the first, twice."""
OTHER = torch.cat([ONE_HOT, torch.cat([torch.eye(N)[[0] * N], torch.eye(N)[[1] * N]])], 1)
"""The second code tells the ids from 5 on from those below, and nothing else."""
OVERRIDE = torch.cat([ONE_HOT, torch.cat([torch.zeros(N, N), 9 * torch.eye(N)])], 1)
"""The second code is that of ids from 5 on only."""


def rotated(first: Tensor, second: Tensor, before: Tensor) -> Tensor:
    """The answer is the first code, turned on by as much as the id before differs from the second code."""
    at = torch.arange(N)
    turn = (at[:, None, None] + at[None, :, None] - at) % N
    return torch.einsum("bti,btj,btl,ijlk->btk", first, before, second, functional.one_hot(turn, N).float())


def codes_data(answer: Callable[..., Tensor], codes: Tensor, **changes: Any) -> ca.Counterfactuals:
    """Rows whose variable is the id modulo `N`, different in source and target; sources are ids from `N` on."""
    pairs = [(s, t) for s in range(N) for t in range(N) if s != t] * 3
    given_: dict[str, Any] = {
        "source_inputs": [[row // 20, N + s, N + s] for row, (s, _) in enumerate(pairs)],
        "target_inputs": [[row // 20, t, t] for row, (_, t) in enumerate(pairs)],
        "labels": [s for s, _ in pairs],
        "no_swap_labels": [t for _, t in pairs],
        "split": [("train", "validation", "test")[row // 20] for row in range(60)],
    }
    return ca.Counterfactuals.from_arrays(ca.Site(Codes(answer, codes), "hidden", name="codes"), **given_ | changes)


def scores(data: ca.Counterfactuals, units: slice) -> list[float]:
    """The IIA, the complement, and its baseline, of some units of the hidden state."""
    of_units = AlignmentMap(torch.eye(2 * N)[:, units], 1.0)
    swapped = row_outcomes(data.sites, [of_units], ca.interchange, {WITHIN: rows_of(data, complement=False)})
    found = complements_of(data, of_units)
    outcomes = [swapped[WITHIN], found.outcomes[WITHIN, 0], found.baseline[WITHIN, 0]]
    return [float(each.double().mean()) for each in outcomes]


def test_a_subspace_that_carries_the_variable_keeps_it() -> None:
    data = codes_data(lambda first, second, before: first, OTHER)
    assert scores(data, slice(N)) == [1, 1, 0]
    assert scores(data, slice(N, None)) == [0, 0, 0]  # the other code carries nothing


def test_a_subspace_that_something_outside_overrides_fails() -> None:
    assert scores(codes_data(lambda first, second, before: first + second, OVERRIDE), slice(N)) == [1, 0, 0]


def test_a_trick_of_the_receiver_fails() -> None:
    # The state is overruled by the difference to what precedes it, so that it counts in the target's context only.
    assert scores(codes_data(rotated, SAME), slice(N)) == [1, 0, 1]


def test_a_search_reports_the_complement(tmp_path: Path) -> None:
    data = codes_data(lambda first, second, before: first, OTHER)
    found = ca.align(data, method="das", rank=N, seed=0, search=ca.SearchConfig(max_steps=100, batch_size=20))
    assert found.iia[["iia", "complement"]].to_numpy().tolist() == [[1, 1]]
    line = found.complement().to_dict("records")
    assert [(each["site"], each["complement"], each["rows"], each["left_out"]) for each in line] == [
        ("codes@hidden", 1, 20, 0)
    ]
    assert line[0]["ci_low"] == found.iia["ci_low"].item()  # of as many rows, all of them right
    loaded = ca.load_alignment(found.save(tmp_path))
    assert loaded.record.complement == found.record.complement
    assert loaded.iia["complement"].item() == 1
    with console.capture() as captured:
        show_alignment(loaded)
        show_scores(found.score(data))
    shown = captured.get()
    assert shown.count("complement") >= 2
    assert "1.000" in next(line for line in shown.splitlines() if "A -> A" in line).rsplit("0.000", 1)[1]
    assert ">complement<" in found._repr_html_()
    page = write_report(tmp_path).read_text()
    assert '<th class="n">complement</th>' in page
    assert "<dt>Complement</dt>" in page


def test_two_networks_have_complements_within_and_none_between(rough: ca.Alignment) -> None:
    table = rough.iia
    within = table["source"] == table["target"]
    assert table["complement"].notna().tolist() == within.tolist() == [True, False, False, True]
    assert [score.complement is None for score in rough.record.iia] == [False, True, True, False]
    with pytest.raises(
        ca.InvalidArgument, match="there is no complement from .*gru/0@hidden to .*gru/1@hidden: it is the"
    ):
        rough.complement(0, 1)
    assert rough.complement(1)["complement"].item() == table["complement"].iloc[3]
    other = rough.score(rough.sites, n_test=20)
    assert other["complement"].notna().tolist() == within.tolist()
    with pytest.raises(ca.InvalidArgument, match="complement is no metric of the interchange"):
        rough.score(rough.sites, ["iia", "complement"])
    for wrong in ([WITHIN, Direction(0, 1)], [Direction(1, 0)]):
        data = ca.Counterfactuals.from_task(rough.sites, n_train=8, n_validation=8, n_test=8)
        with pytest.raises(ca.InvalidArgument, match="there is no complement from"):
            data.rows(RowRequest("test", tuple(wrong), complement=True), RunContext(0, data.store))


def test_what_has_no_complement_says_why(tiny_pair: tuple[ca.networks.GRU, ca.networks.GRU]) -> None:
    sites = [network.site("hidden") for network in tiny_pair]
    task = {"n_train": 20, "n_validation": 10, "n_test": 10, "search": QUICK}
    cases: list[tuple[ca.Alignment, str]] = [
        (ca.align(sites, method="stitch", rank=2, **task), "stitch scores no network within itself"),  # type: ignore[arg-type]
        (ca.align(unlabelled(), method="das", rank=2, search=QUICK), "name it with no_swap_label"),
        (
            ca.align(several(), method="das", rank={"left": 1, "right": 1}, search=QUICK),
            "brings the source's values of the others along",
        ),
        (ca.align(shuffled(sites[0]), method="das", rank=2, search=QUICK), "the expected outputs are shuffled"),
        (ca.align(unlabelled().shuffled(0), method="das", rank=2, search=QUICK), "the expected outputs are shuffled"),
    ]
    for found, reason in cases:
        assert found.iia["complement"].isna().all()
        assert found.record.complement == ()
        with pytest.raises(ca.InvalidArgument, match=reason):
            found.complement()


def unlabelled() -> ca.Counterfactuals:
    return codes_data(lambda first, second, before: first, OTHER, no_swap_labels=None)


def several() -> ca.Counterfactuals:
    return ca.Counterfactuals.from_arrays(ca.Site(Equality(), "hidden"), **equality_rows(80, 0))


def shuffled(site: ca.Site) -> ca.Counterfactuals:
    return ca.Counterfactuals.from_task(site, n_train=20, n_validation=10, n_test=10).shuffled(1)


def test_rows_without_a_complement_are_counted(zoo_pair: tuple[ca.networks.GRU, ca.networks.GRU]) -> None:
    found = ca.align(
        zoo_pair[0].site("hidden"), method="das", variable="count[1..6]", rank=4, n_train=40, n_test=60, search=QUICK
    )
    line = found.complement().iloc[0]
    assert line["left_out"] > 10  # targets count to 20
    assert line["left_out"] + line["rows"] == 60
    assert any(f"leaves {line['left_out']} of 60 test rows out" in each for each in found.caveats)


def test_a_complement_that_says_nothing_is_told_apart(zoo_pair: tuple[ca.networks.GRU, ca.networks.GRU]) -> None:
    task = {"n_train": 20, "n_validation": 20, "n_test": 40, "search": QUICK}
    whole = ca.align(zoo_pair[0].site("embedding"), method="das", rank=zoo_pair[0].site("embedding").width, **task)  # type: ignore[arg-type]
    assert any("the subspace is the whole state" in each for each in whole.caveats)
    h_t, h_s = torch.randn(2, 4), torch.randn(2, 4)
    a_map = AlignmentMap(torch.eye(4)[:, :2], 1.0)
    assert torch.equal(whole_state(h_t, h_s, a_map, a_map), h_s)
    trick = codes_data(rotated, SAME)
    found = ca.align(trick, method="das", rank=N, start="random", search=ca.SearchConfig(max_steps=0))
    assert any("does not exceed the 1.000 with the whole state swapped" in each for each in found.caveats)


def test_results_of_before_have_no_complement(rough: ca.Alignment) -> None:
    saved = rough.record.iia[0].model_dump(exclude={"complement"})
    assert DirectionScore.model_validate(saved).complement is None
