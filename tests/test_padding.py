"""Rows of ids that differ in length: pads never reach a state, a position or an output."""

from typing import Any

import numpy as np
import pytest
import torch

import causalign as ca
from causalign.counterfactuals.direction import Direction
from causalign.counterfactuals.row_source import RowRequest
from causalign.run_context import RunContext
from causalign.sites.base import Site

transformers = pytest.importorskip("transformers")
VOCABULARY, CLASSES, PAD = 40, 3, 39
SMALL = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 24}


def made(kind: str, **options: Any) -> Any:
    torch.manual_seed(0)
    config = getattr(transformers, f"{kind.partition('For')[0]}Config")(vocab_size=VOCABULARY, **options)
    return getattr(transformers, kind)(config).eval()


def bert(**options: Any) -> Any:
    return made("BertForSequenceClassification", max_position_embeddings=32, num_labels=CLASSES, **SMALL, **options)


@torch.no_grad()
def test_a_decoder_that_classifies_its_last_token_finds_it_in_every_row() -> None:
    sizes = {"n_embd": 16, "n_layer": 2, "n_head": 2, "n_positions": 32}
    ends = {"bos_token_id": 1, "eos_token_id": 2, "pad_token_id": PAD}
    model = made("GPT2ForSequenceClassification", num_labels=CLASSES, **sizes, **ends)
    rng = np.random.default_rng(0)
    rows = [rng.integers(1, PAD, length).tolist() for length in rng.integers(3, 9, 40)]
    classes = [int(model(input_ids=torch.tensor([row])).logits.argmax()) for row in rows]
    data = ca.Counterfactuals.from_arrays(
        ca.Site(model, "transformer.h.0"),
        source_inputs=rows,
        target_inputs=rows,
        labels=classes,
        no_swap_labels=classes,
        source_positions=0,
        target_positions=0,
    )
    assert len(set(classes)) > 1
    assert data.accuracy(RunContext()) == [1.0]


@pytest.mark.parametrize("side", ["left", "right"])
def test_positions_count_the_tokens_as_they_were_supplied(side: str) -> None:
    model, rng = bert(), np.random.default_rng(0)
    site = ca.Site(model, "bert.encoder.layer.0")
    ids, mask = rng.integers(1, VOCABULARY, (40, 6)), np.ones((40, 6), dtype=np.int64)
    masked = slice(0, 2) if side == "left" else slice(4, 6)
    ids[:, masked], mask[:, masked] = 0, 0
    data = ca.Counterfactuals.from_arrays(
        site,
        source_inputs=ids,
        target_inputs=ids[::-1].copy(),
        source_mask=mask,
        target_mask=mask,
        labels=[0, 1] * 20,
        source_positions=3,
        target_positions=3,
    )
    rows = data.rows(RowRequest("train", (Direction(0, 0),)), RunContext())[Direction(0, 0)]
    index = data.index("train")
    tokens = [ids[row][mask[row] != 0] for row in index]
    place = 3 - (2 if side == "left" else 0)
    with torch.no_grad():
        alone = [
            model.bert(torch.from_numpy(row)[None], output_hidden_states=True).hidden_states[1][0, place]
            for row in tokens
        ]
    torch.testing.assert_close(rows.source_states, torch.stack(alone), atol=1e-5, rtol=1e-5)
    with pytest.raises(ca.InvalidArgument, match="row 0: there is no token at source_positions"):
        ca.Counterfactuals.from_arrays(
            site,
            source_inputs=ids,
            target_inputs=ids,
            source_mask=mask,
            target_mask=mask,
            labels=[0, 1] * 20,
            source_positions=masked.start,
        )


@pytest.mark.parametrize("kind", ["module", "encoder", "encoder by name"])
def test_pads_without_a_mask_are_refused_by_every_kind_of_network(kind: str) -> None:
    ids, site = _padded_rows(kind)
    with pytest.raises(ca.InvalidArgument, match="row 1: source_inputs ends with the pad"):
        ca.Counterfactuals.from_arrays(site, source_inputs=ids, target_inputs=ids, labels=[0, 1] * 20)


def _padded_rows(kind: str) -> tuple[Any, Site]:
    ids = np.random.default_rng(0).integers(3, VOCABULARY, (40, 6))
    ids[1::2, -2:] = 1
    if kind == "module":
        ends = {"pad_token_id": 1, "bos_token_id": 2, "eos_token_id": 2}
        sizes = {"hidden_size": 16, "ffn_dim": 16, "num_hidden_layers": 2, "num_attention_heads": 2}
        sizes |= {"word_embed_proj_dim": 16, "max_position_embeddings": 32}
        return ids, ca.Site(made("OPTForCausalLM", **sizes, **ends), "layer.1")
    site = ca.Site(bert(pad_token_id=1), "bert.encoder.layer.0")
    return {"input_ids": ids} if kind == "encoder by name" else ids, site
