"""A user's own rows in the families that are run by hooks: against hooked runs of the plain model, row by row."""

from typing import Any

import numpy as np
import pytest
import torch

import causalign as ca
from naive_swap import state_at, swapped_logits

transformers = pytest.importorskip("transformers")
SIZES = {"vocab_size": 60, "hidden_size": 32, "num_hidden_layers": 3}
HEADS = SIZES | {"num_attention_heads": 4}
GROUPED = HEADS | {"intermediate_size": 48, "num_key_value_heads": 2, "pad_token_id": None}
EXPERTS = {"num_local_experts": 4, "num_experts_per_tok": 2}
LATENT_ATTENTION = {
    "num_key_value_heads": 4,
    "moe_intermediate_size": 16,
    "n_routed_experts": 8,
    "n_shared_experts": 1,
    "num_experts_per_tok": 2,
    "n_group": 2,
    "topk_group": 1,
    "kv_lora_rank": 16,
    "q_lora_rank": 16,
    "qk_nope_head_dim": 8,
    "qk_rope_head_dim": 8,
    "v_head_dim": 8,
    "first_k_dense_replace": 1,
}
FAMILIES: dict[str, tuple[str, dict[str, Any]]] = {
    "Mixtral": ("model.layers.1", {**GROUPED, **EXPERTS}),
    "Qwen3Moe": (
        "model.layers.1",
        {**GROUPED, "head_dim": 16, "moe_intermediate_size": 16, "num_experts": 4, "num_experts_per_tok": 2},
    ),
    "GptOss": ("model.layers.1", {**GROUPED, **EXPERTS, "head_dim": 16, "sliding_window": 5}),
    "DeepseekV3": ("model.layers.1", {**GROUPED, **LATENT_ATTENTION}),
    "Mamba": ("backbone.layers.1", {**SIZES, "state_size": 8}),
    "Falcon": ("transformer.h.1", {**HEADS, "alibi": True, "new_decoder_architecture": False, "multi_query": False}),
    "Bloom": ("transformer.h.1", {"vocab_size": 60, "hidden_size": 32, "n_layer": 3, "n_head": 4}),
    "OPT": ("model.decoder.layers.1", {**HEADS, "ffn_dim": 48, "word_embed_proj_dim": 32}),
}


@pytest.mark.parametrize("family", FAMILIES)
def test_own_rows_are_hooked_runs_of_the_plain_model(family: str) -> None:
    path, sizes = FAMILIES[family]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        config = getattr(transformers, f"{family}Config")(**sizes)
        model = getattr(transformers, f"{family}ForCausalLM")(config).eval()
    with torch.no_grad():
        for weight in model.parameters():
            if weight.ndim > 1:
                weight *= 3  # at its first weights, a swap would hardly change the logits
    site, rng = ca.Site(model, path), np.random.default_rng(0)
    source, target = ([rng.integers(4, 50, n).tolist() for n in rng.integers(3, 8, 40)] for _ in range(2))
    labels = rng.integers(4, 50, 40).tolist()
    data = ca.Counterfactuals.from_arrays(site, source_inputs=source, target_inputs=target, labels=labels)
    found = ca.align(data, method="das", rank=3, search=ca.SearchConfig(max_steps=2, eval_every=1, batch_size=8))
    projector = found.maps[0].frame @ found.maps[0].frame.mT
    for line in found.score_rows(data, "probability").to_dict("records"):
        row = line["row"]
        state = state_at(model, path, source[row], -1)
        logits = swapped_logits(model, path, target[row], -1, state, projector)[-1]
        assert line["probability"] == pytest.approx(float(logits.softmax(-1)[labels[row]]), abs=1e-6)
