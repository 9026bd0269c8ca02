"""Small configurations of the families of transformers: every size that a configuration knows is set to a small one."""

from typing import Any

SMALL: dict[str, Any] = {
    "vocab_size": 60,
    "hidden_size": 32,
    "d_model": 32,
    "n_embd": 32,
    "dim": 32,
    "intermediate_size": 48,
    "ffn_dim": 48,
    "d_ff": 48,
    "d_inner": 48,
    "n_inner": None,
    "decoder_ffn_dim": 48,
    "ffn_hidden_size": 48,
    "intermediate_size_mlp": 48,
    "dense_intermediate_size": 48,
    "num_hidden_layers": 3,
    "n_layer": 3,
    "n_layers": 3,
    "num_layers": 3,
    "decoder_layers": 3,
    "num_decoder_layers": 3,
    "num_attention_heads": 4,
    "n_head": 4,
    "n_heads": 4,
    "num_heads": 4,
    "attention_heads": 4,
    "decoder_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 128,
    "n_positions": 128,
    "max_seq_len": 128,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "sliding_window": 5,
    "attention_dropout": 0.0,
    "num_experts": 4,
    "num_local_experts": 4,
    "n_routed_experts": 4,
    "moe_num_experts": 4,
    "num_experts_per_tok": 2,
    "num_experts_per_token": 2,
    "moe_topk": 2,
    "moe_k": 2,
    "n_shared_experts": 1,
    "num_shared_experts": 1,
    "moe_intermediate_size": 16,
    "shared_expert_intermediate_size": 16,
    "shared_intermediate_size": 32,
    "expert_ffn_hidden_size": 16,
    "n_group": 1,
    "topk_group": 1,
    "kv_lora_rank": 16,
    "q_lora_rank": 16,
    "qk_nope_head_dim": 8,
    "qk_rope_head_dim": 8,
    "v_head_dim": 8,
    "rotary_dim": 4,
    "state_size": 8,
    "ssm_state_size": 8,
    "mamba_d_state": 8,
    "mamba_d_ssm": 64,
    "mamba_n_heads": 8,
    "mamba_d_head": 8,
    "mamba_n_groups": 1,
    "mamba_chunk_size": 8,
    "mamba_num_heads": 8,
    "mamba_head_dim": 8,
    "n_groups": 1,
    "chunk_size": 8,
    "lru_width": 32,
    "attention_hidden_size": 32,
    "linear_num_heads": 2,
    "linear_head_dim": 8,
    "linear_num_key_heads": 2,
    "linear_num_value_heads": 4,
    "linear_key_head_dim": 8,
    "linear_value_head_dim": 8,
    "word_embed_proj_dim": 32,
    "embedding_size": 32,
    "hidden_size_per_layer_input": 8,
    "vocab_size_per_layer_input": 60,
    "laurel_rank": 8,
    "is_decoder": True,
}
"""Sizes by the name of the field, for fields that a configuration has."""
HEAD_DIM = {"head_dim": 8}
"""The width of a head, where it is a field that is set by default."""
_DEPTH = 3
PER_FAMILY: dict[str, dict[str, Any]] = {
    "bamba": {"attn_layer_indices": [1]},
    "gemma3n_text": {
        "num_hidden_layers": 4,
        "num_kv_shared_layers": 2,
        "intermediate_size": [48] * 4,
        "layer_types": ["sliding_attention", "full_attention"] * 2,
        "activation_sparsity_pattern": [0.5, 0.0, 0.0, 0.0],
    },
    "granitemoehybrid": {"layer_types": ["mamba", "attention", "mamba"]},
    "granitemoeshared": {"shared_intermediate_size": 0},
    "jamba": {"attn_layer_period": 2, "attn_layer_offset": 1, "use_mamba_kernels": False},
    "mamba2": {"num_heads": 8, "head_dim": 8},
    "xmod": {"default_language": "en_XX"},
    "zamba2": {
        "num_hidden_layers": 4,
        "layers_block_type": ["mamba", "hybrid"] * 2,
        "num_key_value_heads": 4,
        "n_mamba_heads": 8,
        "mamba_headdim": 8,
        "attention_hidden_size": 64,
        "attention_head_dim": 16,
    },
}
"""What some families need besides."""


def small_configuration(family: str, kind: Any) -> Any:
    """Return a small configuration of a family.

    Args:
        family: The type of the model.
        kind: The class of its configuration.
    """
    return kind(**_sizes(kind(), _DEPTH) | PER_FAMILY.get(family, {}))


def _sizes(default: Any, depth: int) -> dict[str, Any]:
    """Return the sizes of the fields that a configuration has, in nested configurations too."""
    fields = default.to_dict()
    known = {name for name in {**SMALL, **HEAD_DIM} if name in fields or name in getattr(default, "attribute_map", {})}
    sizes = {
        name: size for name, size in {**SMALL, **HEAD_DIM}.items() if name in known and _is_meant(fields.get(name))
    }
    if "kv_lora_rank" in fields:  # every head has its own keys and values
        sizes["num_key_value_heads"] = sizes["num_attention_heads"]
    for name, value in fields.items():
        if isinstance(value, list) and len(value) == getattr(default, "num_hidden_layers", 0) > depth:
            sizes[name] = _kinds(value, depth)
        elif name == "text_config" and isinstance(value, dict):
            sizes[name] = _sizes(getattr(default, name), depth)
    return sizes


def _is_meant(value: Any) -> bool:
    """Whether a default is a number, or nothing, and not a list of numbers for each layer."""
    return value is None or isinstance(value, int | float)


def _kinds(values: list[Any], depth: int) -> list[Any]:
    """Return a few values in which every kind of layer occurs, as far as there is room."""
    kinds = sorted({str(value): value for value in values}.values(), key=values.index)
    return (kinds * depth)[:depth]
