"""Swaps at several positions of each row: against hooked runs of the plain module, one unpadded row at a time."""

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import causalign as ca
from causalign.counterfactuals.direction import Direction
from causalign.counterfactuals.interventions import interchange
from causalign.engine.run import run_interventions
from causalign.maps.base import AlignmentMap, random_frame
from naive_swap import plain_logits, state_at
from test_counterfactuals import KINDS, QUICK, VOCABULARY, all_rows

SWAPS = 3
HOOKED = [kind for kind in KINDS if "GRU" not in kind]


def positions_in(rows: list[list[int]], rng: np.random.Generator) -> list[list[int]]:
    return [sorted(rng.choice(len(row), SWAPS, replace=False).tolist()) for row in rows]


def arrays(count: int = 40) -> dict[str, Any]:
    rng = np.random.default_rng(3)
    sources, targets = ([rng.integers(0, VOCABULARY, n).tolist() for n in rng.integers(4, 9, count)] for _ in range(2))
    return {
        "source_inputs": sources,
        "source_positions": positions_in(sources, rng),
        "target_inputs": targets,
        "target_positions": positions_in(targets, rng),
        "labels": rng.integers(0, VOCABULARY, (count, 2)).tolist(),
        "values": rng.integers(0, 4, count).tolist(),
        "split": ["train"] * (count - 4) + ["validation", "validation", "test", "test"],
    }


def naive(module: nn.Module, path: str, tokens: list[int], swaps: dict[int, Tensor], projector: Tensor) -> Tensor:
    """The logits of one input, its states at several positions given part of others."""

    def swap(_: Any, __: Any, out: Any) -> Any:
        changed = (out[0] if isinstance(out, tuple) else out).clone()
        for position, state in swaps.items():
            changed[0, position] += projector @ (state - changed[0, position])
        return (changed, *out[1:]) if isinstance(out, tuple) else changed

    hook = module.get_submodule(path).register_forward_hook(swap)
    logits = plain_logits(module, tokens)
    hook.remove()
    return logits


@pytest.mark.parametrize("kind", HOOKED)
def test_every_row_is_a_hooked_run_with_several_swaps(kind: str) -> None:
    site, module = KINDS[kind].site()
    given = arrays()
    rows = all_rows(ca.Counterfactuals.from_arrays(site, **given))[Direction(0, 0)]
    frame = AlignmentMap(random_frame(site.width, 3, torch.Generator().manual_seed(1)), 1.0)
    batch = rows.take(torch.arange(len(rows)))
    run = run_interventions(site, [batch], [interchange(batch.target_states, batch.source_states, frame, frame)])
    logits, projector, path = site.read_out(run.features), frame.frame @ frame.frame.mT, KINDS[kind].path
    for row in range(0, len(rows), 5):
        source, target = given["source_inputs"][row], given["target_inputs"][row]
        at = given["target_positions"][row]
        states = [state_at(module, path, source, position) for position in given["source_positions"][row]]
        expected = naive(module, path, target + given["labels"][row], dict(zip(at, states, strict=True)), projector)
        mine = (run.trial == row).nonzero().squeeze(1)
        torch.testing.assert_close(logits[mine], expected[at[0] : -1], atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("kind", HOOKED)
def test_an_alignment_swaps_several_positions(kind: str) -> None:
    site, _ = KINDS[kind].site()
    data = ca.Counterfactuals.from_arrays(site, **arrays())
    for method in (ca.DAS(), ca.DAS(latent_weight=1.0)):
        found = ca.align(data, method=method, rank=2, search=QUICK)
        assert found.maps[0].frame.shape == (site.width, 2)
        assert len(found.rows) == 2


def test_the_same_positions_for_all_rows_are_a_tuple_or_a_range() -> None:
    site, _ = KINDS["MLP of a Llama"].site()
    given = arrays()
    wide = {**given, "source_positions": [[0, 1, 2]] * 40, "target_positions": [[1, 2, 3]] * 40}
    short = {**given, "source_positions": (0, 1, 2), "target_positions": range(1, 4)}
    assert len({ca.Counterfactuals.from_arrays(site, **each).fingerprint for each in (wide, short)}) == 1


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"source_positions": [[0, 1]] * 40}, "the same number of positions in each row; found 2 .* and 3"),
        ({"source_positions": [[0, 1, 2]] * 39 + [[0]]}, "source_positions must be as many in every row; .* 1 and 3"),
        ({"source_positions": (2, 1, 0)}, r"row 0: source_positions must be .* ascending order; found \[2, 1, 0\]"),
        ({"source_positions": (0, 1, 8)}, "there is no token at source_positions 8"),
    ],
)
def test_positions_that_cannot_be_are_named(changes: dict[str, Any], message: str) -> None:
    site, _ = KINDS["MLP of a Llama"].site()
    with pytest.raises(ca.InvalidArgument, match=message):
        ca.Counterfactuals.from_arrays(site, **(arrays() | changes))


def test_a_carried_state_and_stepwise_swaps_take_one_position() -> None:
    recurrent, _ = KINDS["a user's GRU"].site()
    with pytest.raises(ca.InvalidArgument, match="cannot be swapped at several positions"):
        ca.align(ca.Counterfactuals.from_arrays(recurrent, **arrays()), method="das", rank=2, search=QUICK)
    site, _ = KINDS["residual stream of a Llama"].site()
    with pytest.raises(ca.InvalidArgument, match="of all positions up to one; found 3"):
        ca.align(ca.Counterfactuals.from_arrays(site, **arrays()), method="das-stepwise", rank=2, search=QUICK)
