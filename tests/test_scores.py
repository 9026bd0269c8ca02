"""Rows, metrics and single swaps: against hooked runs of the plain module, one unpadded row at a time."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

import causalign as ca
from causalign.errors import SearchWarning
from causalign.maps.base import AlignmentMap
from naive_swap import plain_logits, state_at, swapped_logits
from test_counterfactuals import KINDS, LLAMA, QUICK, arrays


def by_hand(kind: str, found: ca.Alignment, given: dict[str, Any], row: int) -> dict[str, float]:
    """Every metric of one row of the first direction, from hooked runs of the plain module."""
    _, module = KINDS[kind].site()
    path, frame = KINDS[kind].path, found.maps[0].frame
    source, t = given["source_inputs"][row], given["target_positions"][row]
    label = given["labels"][row]
    whole = given["target_inputs"][row] + given["continuations"][row]
    state = state_at(module, path, source, given["source_positions"][row])
    at = [len(given["target_inputs"][row]) - 1 + k for k, token in enumerate(label) if token != -100]
    expected = torch.tensor([token for token in label if token != -100])
    after = swapped_logits(module, path, whole, t, state, frame @ frame.mT)[at]
    before = plain_logits(module, whole)[at]
    wanted = after.gather(1, expected[:, None]).squeeze(1)
    unswapped = after.gather(1, before.argmax(-1, keepdim=True)).squeeze(1)
    p, q = before.softmax(-1), after.softmax(-1)
    return {
        "iia": float((after.argmax(-1) == expected).all()),
        "probability": float(after.softmax(-1).gather(1, expected[:, None]).prod()),
        "logit_difference": float((wanted - unswapped).mean()),
        "kl": float((p * (p / q).log()).sum(-1).mean()),
    }


@pytest.mark.parametrize("kind", KINDS)
def test_metrics_are_those_of_hooked_runs_of_the_plain_module(kind: str) -> None:
    site, _ = KINDS[kind].site()
    given = arrays()
    data = ca.Counterfactuals.from_arrays(site, **given)
    found = ca.align(data, method="das", rank=3, search=QUICK)
    table = found.score_rows(data, ["iia", "probability", "logit_difference", "kl"])
    assert table["row"].tolist() == data.index("test").tolist() == found.rows["row"].tolist()
    assert table["iia"].astype(bool).tolist() == found.rows["correct"].tolist()
    for line in table.to_dict("records"):
        expected = by_hand(kind, found, given, line["row"])
        assert {name: line[name] for name in expected} == pytest.approx(expected, abs=1e-5)
    means = found.score(data, ["iia", "probability", "kl"])
    assert means["probability"].item() == pytest.approx(table["probability"].mean())
    assert means["kl_se"].item() == pytest.approx(table["kl"].std(ddof=1) / len(table) ** 0.5)
    assert means["iia"].item() == found.worst_iia


def test_an_allowed_label_has_the_probability_of_all_of_them() -> None:
    site, module = KINDS["residual stream of a Llama"].site()
    given = {name: value for name, value in arrays().items() if "inputs" in name}
    labels = [{row % 24, (row + 5) % 24} for row in range(60)]
    data = ca.Counterfactuals.from_arrays(site, **given, labels=labels)
    found = ca.align(data, method="das", rank=16, search=QUICK)  # the whole state: the source's own next token
    table = found.score_rows(data, "probability")
    for row, probability in zip(table["row"], table["probability"], strict=True):
        state = state_at(module, "model.layers.0", given["source_inputs"][row], -1)
        logits = swapped_logits(module, "model.layers.0", given["target_inputs"][row], -1, state, torch.eye(16))[-1]
        assert probability == pytest.approx(float(logits.softmax(-1)[sorted(labels[row])].sum()), abs=1e-5)


def test_a_metric_of_ones_own_is_a_function() -> None:
    site, _ = KINDS["residual stream of a Llama"].site()
    data = ca.Counterfactuals.from_arrays(site, **arrays())
    found = ca.align(data, method="das", rank=3, search=QUICK)

    def entropy(outputs: ca.RowOutputs) -> Tensor:
        p = outputs.logits.softmax(-1)
        return outputs.mean_by_row(-(p * p.log()).sum(-1))

    def of_tokens(outputs: ca.RowOutputs) -> Tensor:
        return outputs.logits.amax(-1).repeat(2)

    table = found.score(data, [entropy, "iia"])
    assert 0 < table["entropy"].item() < np.log(24)
    with pytest.raises(ca.InvalidArgument, match=r"of_tokens must return a tensor with one number for each of \d rows"):
        found.score(data, of_tokens)
    with pytest.raises(ca.InvalidArgument, match="unknown metric 'probabilty'; did you mean 'probability'"):
        found.score(data, ["probabilty"])
    with pytest.raises(ca.InvalidArgument, match="two metrics are called 'iia'"):
        found.score(data, ["iia", "iia"])


@pytest.mark.parametrize("kind", KINDS)
def test_a_swap_is_a_hooked_run_of_the_plain_module(kind: str) -> None:
    site, module = KINDS[kind].site()
    data = ca.Counterfactuals.from_arrays(site, **arrays())
    found = ca.align(data, method="das", rank=3, search=QUICK)
    source, target = [3, 1, 4, 1, 5], [9, 2, 6, 5]
    swapped = found.swap(source, target, source_position=2, target_position=1)
    path, frame = KINDS[kind].path, found.maps[0].frame
    state = state_at(module, path, source, 2)
    expected = swapped_logits(module, path, target, 1, state, frame @ frame.mT)[-1]
    torch.testing.assert_close(swapped.logits, expected, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(swapped.no_swap_logits, plain_logits(module, target)[-1], atol=1e-5, rtol=1e-5)
    assert swapped.top(1)["id"].item() == int(expected.argmax())
    cases: tuple[tuple[dict[str, Any], str], ...] = (
        ({"target_position": 4}, "no token at target_positions 4; the row has length 4"),
        ({"source_position": -9}, "no token at source_positions -9; the row has length 5"),
    )
    for wrong, message in cases:
        with pytest.raises(ca.InvalidArgument, match=message):
            found.swap(source, target, **wrong)
    with pytest.raises(ca.InvalidArgument, match="the source is text, and .* has no tokenizer"):
        found.swap("a b", target)
    with pytest.raises(ca.InvalidArgument, match="k must be a whole number, at least 1; found 0"):
        swapped.top(0)


def test_a_swap_of_text_speaks_in_text() -> None:
    site = ca.networks.from_pretrained(LLAMA).site("layer.1")
    word = site.network.tokenizer.convert_ids_to_tokens([5])[0]
    maps = (AlignmentMap(torch.eye(site.width), 1.0),)
    data = ca.Counterfactuals.from_arrays(
        site,
        source_inputs=[[row % 7 + 2, 5] for row in range(30)],
        target_inputs=[[3, row % 9 + 6] for row in range(30)],
        labels=[row % 3 for row in range(30)],
    )
    found = ca.align(data, method="das", rank=2, search=QUICK)
    whole = ca.Alignment(maps, found.record, found.outcomes, sites=(site,))
    swapped = whole.swap(word, word)
    torch.testing.assert_close(swapped.logits, swapped.no_swap_logits, atol=1e-4, rtol=1e-4)  # the same state
    assert swapped.top(2)["token"].tolist() == [site.network.tokenizer.decode([i]) for i in swapped.top(2)["id"]]
    assert repr(swapped.top(1)["token"].item()) in repr(swapped)


def test_sites_of_other_networks_or_in_another_order_are_refused(tmp_path: Path) -> None:
    sites = [ca.networks.build("multi-object", "gru", seed, width=8).site("hidden") for seed in range(2)]
    few: dict[str, Any] = {"n_train": 40, "n_validation": 20, "n_test": 20}
    found = ca.load_alignment(ca.align(sites, rank=2, search=QUICK, **few).save(tmp_path))
    assert len(found.score(sites, n_test=20)) == len(ca.score(found, sites, n_test=20)) == 4
    with pytest.raises(ca.InvalidArgument, match="site 0 is .*gru/1@hidden .*its map was found for .*gru/0@hidden"):
        found.score(sites[::-1], n_test=20)
    with pytest.raises(ca.InvalidArgument, match="give the sites in their order, or same_networks=False"):
        found.with_sites(sites[::-1])
    assert len(found.score(sites[::-1], n_test=20, same_networks=False)) == 4


@pytest.mark.parametrize("kind", [np.float32, np.float64, torch.float32, torch.float64])
def test_maps_take_numpy_and_torch(kind: Any) -> None:
    a_map = AlignmentMap(torch.linalg.qr(torch.randn(6, 2)).Q, 1.5)
    states = np.random.default_rng(0).normal(size=(3, 4, 6))
    given: Any = torch.tensor(states, dtype=kind) if isinstance(kind, torch.dtype) else states.astype(kind)
    projected = a_map.project(given)
    assert type(projected) is type(given)
    np.testing.assert_allclose(np.asarray(projected), 1.5 * states @ a_map.frame.numpy(), atol=1e-5)
    np.testing.assert_allclose(np.asarray(a_map.project(a_map.lift(projected))), np.asarray(projected), atol=1e-5)
    with pytest.raises(ca.InvalidArgument, match=r"of states must be the width of the map, 6; found \[3, 4, 5\]"):
        a_map.project(given[..., :5])
    with pytest.raises(ca.InvalidArgument, match=r"of coordinates must be the rank of the map, 2"):
        a_map.lift(given)


def test_a_network_that_cannot_do_the_task_is_said_beside_its_scores() -> None:
    sites = [ca.zoo.load("multi-object/gru", 0).site("hidden")]
    sites.append(ca.networks.build("multi-object", "gru", 0).site("hidden"))
    with pytest.warns(SearchWarning, match="completes only 0 %.* does not exceed the baseline of 0.000"):
        found = ca.align(sites, rank=4, search=QUICK, n_train=200, n_validation=100, n_test=100)
    assert [site.accuracy for site in found.record.sites] == [1.0, 0.0]
    said = " ".join(found.caveats)
    assert "untrained:multi-object/gru/0@hidden completes only 0 % of the test inputs correctly" in said
    assert "does not exceed the baseline of 0.000 with nothing swapped" in said
    assert "0.000 with no swap, which it does not exceed" in repr(found)
    assert "does not exceed the baseline of 0.000" in found._repr_html_()
    assert found._repr_html_().count("<tr") == (1 + 2) + (1 + 2**2)  # a matrix of two networks, and the directions
