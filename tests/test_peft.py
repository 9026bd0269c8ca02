"""Models tuned with peft, against hooks on the plain `PeftModel`."""

import warnings
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import causalign as ca
from causalign.sites.base import Continuation, Places, Site
from causalign.sites.modules.hooks import ModuleSite
from causalign.sites.transformers.huggingface import HuggingFaceResidual
from causalign.tasks.no_task import NoTask

transformers = pytest.importorskip("transformers")
with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    peft = pytest.importorskip("peft")

SIZES: dict[str, Any] = {"vocab_size": 30, "hidden_size": 16, "num_hidden_layers": 3, "num_attention_heads": 2}
GATED = {**SIZES, "intermediate_size": 24, "num_key_value_heads": 1}
FAMILIES: dict[str, Any] = {
    "llama": lambda: transformers.LlamaForCausalLM(transformers.LlamaConfig(**GATED)),
    "gpt2": lambda: transformers.GPT2LMHeadModel(
        transformers.GPT2Config(vocab_size=30, n_embd=16, n_layer=3, n_head=2, n_positions=32)
    ),
    "mixtral": lambda: transformers.MixtralForCausalLM(
        transformers.MixtralConfig(**GATED, num_local_experts=2, num_experts_per_tok=1)
    ),
}


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def tuned(family: str = "llama", **options: Any) -> Any:
    """A PeftModel whose adapter changes the logits."""
    with torch.random.fork_rng(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # LoRA of a Conv1D
        torch.manual_seed(0)
        target = {"gpt2": ["c_attn", "c_fc"]}.get(family, ["q_proj", "v_proj", "o_proj"])
        options = {"r": 2, "target_modules": target, **options}
        model = peft.get_peft_model(FAMILIES[family](), peft.LoraConfig(task_type="CAUSAL_LM", **options))
        for name, weight in model.named_parameters():
            if weight.dim() > 1 and "experts" not in name:
                weight.data = torch.randn(weight.shape) * 0.2
    return model.eval()


def hooked(model: nn.Module, at: str, tokens: Tensor, position: int, states: Tensor) -> Tensor:
    """The logits behind a swap, in a run of the plain PeftModel with a hook."""

    def put(_: nn.Module, __: Any, out: Any) -> Any:
        changed = (out[0] if isinstance(out, tuple) else out).clone()
        changed[:, position] = states
        return (changed, *out[1:]) if isinstance(out, tuple) else changed

    hook = model.get_submodule(at).register_forward_hook(put)
    try:
        with torch.no_grad():
            logits: Tensor = model(input_ids=tokens).logits
    finally:
        hook.remove()
    return logits[:, position:-1]


def resumed(site: Site, tokens: Tensor, position: int, states: Tensor) -> Tensor:
    """The site's logits for the same swap."""
    trials, time = tokens.shape
    steps = time - 1 - position
    continuation = Continuation.pack(tokens[:, position + 1 :], torch.full((trials,), steps))
    places = Places(torch.arange(trials), torch.full((trials,), position))
    with torch.no_grad():
        found = site.resume(site.prefix(tokens), places, states, continuation)
    return found.unflatten(0, (steps, trials)).transpose(0, 1)


def require_exact(site: Site, model: nn.Module, at: str) -> None:
    tokens = torch.randint(30, (5, 9), generator=torch.Generator().manual_seed(1))
    states = torch.randn(5, site.width, generator=torch.Generator().manual_seed(2))
    expected = hooked(model, at, tokens, 4, states)
    torch.testing.assert_close(resumed(site, tokens, 4, states), expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize(
    ("family", "name", "path"),
    [
        ("llama", "layer.2", "base_model.model.model.layers.1"),
        ("llama", "base_model.model.model.layers.1.mlp", "base_model.model.model.layers.1.mlp"),
        ("llama", "model.layers.0.self_attn.v_proj", "base_model.model.model.layers.0.self_attn.v_proj"),
        ("gpt2", "layer.1", "base_model.model.transformer.h.0"),
        ("mixtral", "base_model.model.model.layers.1", "base_model.model.model.layers.1"),
    ],
)
def test_a_swap_in_a_peft_model_is_that_of_hooks_on_it(family: str, name: str, path: str) -> None:
    model, tokens = tuned(family), torch.arange(8)[None]
    with torch.no_grad(), model.disable_adapter():
        plain = model(input_ids=tokens).logits
    site = ca.Site(model, name)
    require_exact(site, model, path)
    assert isinstance(site, HuggingFaceResidual if name.startswith("layer") else ModuleSite)
    assert float((site.network(tokens) - plain).abs().max()) > 1e-2  # the adapter is not without effect


def test_a_peft_model_is_a_network_by_the_name_of_its_adapter() -> None:
    model = tuned()
    network = ca.networks.HuggingFace(model, NoTask())
    assert network.name == "llama+lora"
    require_exact(network.site("layer.1"), model, "base_model.model.model.layers.0")
    assert ca.Site(tuned("mixtral"), "model.layers.1.mlp").network.name == "MixtralForCausalLM+lora"
    assert "model.layers.1.mlp" in ca.sites_of(model)["at"].tolist()
    merged = tuned().merge_and_unload()
    require_exact(ca.Site(merged, "layer.2"), tuned(), "base_model.model.model.layers.1")
    assert ca.Site(merged, "layer.2").network.name == "llama"


def test_embeddings_and_heads_may_be_tuned() -> None:
    model = tuned(target_modules=["embed_tokens", "lm_head", "q_proj"])
    for name in ("layer.1", "model.layers.0"):
        require_exact(ca.Site(model, name), model, "base_model.model.model.layers.0")
    network = ca.networks.HuggingFace(model)
    assert (network.inputs, network.known, network.width) == (30, 30, 16)


def test_an_adapter_added_by_transformers_is_in_the_model() -> None:
    model = FAMILIES["llama"]()
    model.add_adapter(peft.LoraConfig(r=2, target_modules=["q_proj"], init_lora_weights=False))
    model.eval()
    require_exact(ca.Site(model, "layer.1"), model, "model.layers.0")


@pytest.mark.filterwarnings("ignore:.is_gradient_checkpointing:FutureWarning")
def test_adapters_outside_the_layers_are_refused() -> None:
    config = peft.PromptTuningConfig(task_type="CAUSAL_LM", num_virtual_tokens=3)
    model = peft.get_peft_model(FAMILIES["llama"](), config).eval()
    message = r"^PeftModelForCausalLM has a tuned prompt \(prompt tuning\) beside its model, .*LoRA, are supported$"
    for make in (lambda: ca.Site(model, "layer.1"), lambda: ca.networks.HuggingFace(model)):
        with pytest.raises(ca.InvalidArgument, match=message):
            make()
    with pytest.raises(ca.InvalidArgument, match="layers that read its token ids"):
        ca.Site(tuned(alora_invocation_tokens=[3]), "layer.1")


def test_a_wrapper_that_computes_more_than_its_model_is_refused() -> None:
    model = tuned()

    def louder(_: nn.Module, __: Any, out: Any) -> Any:
        out.logits = out.logits * 2
        return out

    model.register_forward_hook(louder)
    with pytest.raises(ca.InvalidArgument, match="computes more than the model inside it: their logits differ by"):
        ca.Site(model, "layer.1")


def test_a_peft_model_in_training_mode_is_refused_as_such() -> None:
    with pytest.raises(ca.InvalidArgument, match="in training mode"):
        ca.Site(tuned(lora_dropout=0.5).train(), "layer.1")
