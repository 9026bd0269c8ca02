"""Language models from folders and from the hub: other families, submodules, adapters, and what was loaded."""

import json
import shutil
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import causalign as ca
from causalign.networks.hub import from_pretrained
from causalign.networks.module import ModuleNetwork
from causalign.sites.base import Continuation, Places, Site, require_site
from causalign.sites.modules.hooks import ModuleSite
from causalign.sites.transformers.huggingface import HuggingFaceResidual
from causalign.sites.uri import describe_site, open_site
from causalign.tasks.in_context import InContext

transformers = pytest.importorskip("transformers")

LLAMA = ca.zoo.folder("in-context/llama")
COMMIT = "0123456789abcdef0123456789abcdef01234567"


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def whole_model() -> Any:
    return transformers.AutoModelForCausalLM.from_pretrained(str(LLAMA))


def bloom() -> Any:
    config = transformers.BloomConfig(vocab_size=whole_model().config.vocab_size, hidden_size=16, n_layer=3, n_head=2)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = transformers.BloomForCausalLM(config).eval()
        for weight in model.parameters():
            weight.data = torch.randn(weight.shape) * 0.3
    return model


def saved(model: Any, folder: Path) -> Path:
    """The folder of a model, with the shipped tokenizer."""
    model.save_pretrained(folder)
    for file in LLAMA.glob("token*"):
        shutil.copy(file, folder)
    return folder


def hooked(model: nn.Module, at: str, ids: Tensor, positions: slice, states: Tensor) -> Tensor:
    """The logits of a run of the plain model, whose states at these positions a hook replaces."""

    def put(_: nn.Module, __: Any, out: Any) -> Any:
        changed = (out[0] if isinstance(out, tuple) else out).clone()
        changed[:, positions] = states
        return (changed, *out[1:]) if isinstance(out, tuple) else changed

    hook = model.get_submodule(at).register_forward_hook(put)
    try:
        with torch.no_grad():
            logits: Tensor = model(input_ids=ids).logits
    finally:
        hook.remove()
    return logits


def require_exact(site: Site, model: nn.Module, at: str, stepwise: bool = False) -> None:
    """Compare a swap at position 3 with a hooked run of the plain model, the prompt in front."""
    before = len(site.network.prompt) if isinstance(site.network, ModuleNetwork | ca.networks.HuggingFace) else 0
    prompt = torch.tensor(getattr(site.network, "prompt", ()), dtype=torch.long).expand(4, -1)
    known = min(site.network.known, site.network.inputs)
    tokens = torch.randint(known, (4, 8), generator=torch.Generator().manual_seed(1))
    states = torch.randn(4, 4, site.width, generator=torch.Generator().manual_seed(2))
    places = Places(torch.arange(4), torch.full((4,), 3))
    continuation = Continuation.pack(tokens[:, 4:], torch.full((4,), 4))
    with torch.no_grad():
        if stepwise:
            found = site.resume_steps(site.prefix(tokens, stepwise=True), places, states, continuation)
        else:
            found = site.resume(site.prefix(tokens), places, states[:, 3], continuation)
    swapped = slice(before if stepwise else before + 3, before + 4)
    ids = torch.cat([prompt, tokens], dim=1)
    expected = hooked(model, at, ids, swapped, states if stepwise else states[:, 3:])[:, before + 3 : -1]
    torch.testing.assert_close(found.unflatten(0, (4, 4)).transpose(0, 1), expected, atol=1e-5, rtol=1e-5)


def opened(reference: str, with_task: bool = True) -> Site:
    return require_site(open_site(reference, with_task=with_task), "these are of networks")


@pytest.mark.parametrize("stepwise", [False, True])
def test_any_submodule_of_a_model_is_a_site_behind_the_prompt(stepwise: bool) -> None:
    site = opened(f"hf:{LLAMA}@model.layers.0.mlp")
    assert isinstance(site, ModuleSite)
    assert len(site.network.prompt) > 3
    assert (site.name, site.task.name) == (f"hf:{LLAMA}@model.layers.0.mlp", "in-context")
    require_exact(site, whole_model(), "model.layers.0.mlp", stepwise)
    tokens = torch.arange(6)[None]
    assert site.read(tokens).shape == (1, 6, site.width)
    ids = torch.cat([torch.tensor(site.network.prompt)[None], tokens], dim=1)
    model, seen = whole_model(), list[Tensor]()
    model.model.layers[0].mlp.register_forward_hook(lambda _, __, out: seen.append(out))
    with torch.no_grad():
        model(input_ids=ids)
    torch.testing.assert_close(site.read(tokens), seen[0][:, -6:])


def test_layers_by_their_paths_go_to_the_adapter_of_the_family() -> None:
    site = opened(f"hf:{LLAMA}@model.layers.1")
    assert isinstance(site, HuggingFaceResidual)
    assert site.at == "layer.2"
    own = from_pretrained(LLAMA).site("model.layers.1.self_attn.o_proj")
    assert own.network.tokenizer is not None  # text is read as before
    require_exact(own, whole_model(), "model.layers.1.self_attn.o_proj")


@pytest.mark.parametrize(
    ("at", "path"),
    [
        ("layer.2", "transformer.h.1"),
        ("transformer.h.0.mlp", "transformer.h.0.mlp"),
    ],
)
def test_other_families_are_run_as_a_whole(tmp_path: Path, at: str, path: str) -> None:
    folder = saved(bloom(), tmp_path / "bloom")
    site = opened(f"hf:{folder}@{at}", with_task=False)
    assert isinstance(site, ModuleSite)
    require_exact(site, bloom(), path)
    network = from_pretrained(folder)
    assert isinstance(network, ModuleNetwork)
    assert network.tokenizer is not None
    require_exact(network.site(at), bloom(), path)
    assert describe_site(f"hf:{folder}@{at}") is None  # it is not extrapolated from shallow models
    with pytest.raises(ca.CausalignError, match="unknown site of hf:.* 'transformer.h.5'; did you mean 'transformer.h"):
        network.site("transformer.h.5")


def test_ambiguous_layers_have_no_names() -> None:
    class Twice(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.config = transformers.PretrainedConfig(num_hidden_layers=2)
            self.embed = nn.Embedding(9, 4)
            self.a, self.b = (nn.ModuleList([nn.Linear(4, 4) for _ in range(2)]) for _ in range(2))
            self.out = nn.Linear(4, 9)

        def forward(self, ids: Tensor) -> Tensor:
            states = self.embed(ids)
            for layer in (*self.a, *self.b):
                states = torch.tanh(layer(states))
            logits: Tensor = self.out(states)
            return logits

    with pytest.raises(
        ca.CausalignError, match=r"Twice has no place layer.1: no list of decoder layers was found in it"
    ):
        ca.Site(Twice().eval(), "layer.1")
    ca.Site(Twice().eval(), "b.1")


def adapter(folder: Path, base: str) -> tuple[Path, Any]:
    """The folder of a LoRA adapter, and the PeftModel that it was saved from."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        peft = pytest.importorskip("peft")
    with torch.random.fork_rng(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.manual_seed(0)
        lora = peft.LoraConfig(r=2, target_modules=["q_proj", "v_proj"], task_type="CAUSAL_LM", init_lora_weights=False)
        model = peft.get_peft_model(whole_model(), lora).eval()
    model.peft_config["default"].base_model_name_or_path = base
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model.save_pretrained(folder)
    return folder, model


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_an_adapter_s_folder_is_its_base_model_and_the_adapter(tmp_path: Path, dtype: str) -> None:
    folder, model = adapter(tmp_path / "adapter", str(LLAMA))
    site = opened(f"hf:{folder},dtype={dtype}@layer.1", with_task=False)
    assert {weight.dtype for weight in site.network.parameters()} == {getattr(torch, dtype)}
    assert site.network.tokenizer is not None
    assert site.network.origin is not None
    assert site.network.origin.path == str(folder)
    assert site.network.origin.base is not None
    assert site.network.origin.base.path == str(LLAMA)
    if dtype == "float32":
        require_exact(site, model, "base_model.model.model.layers.0")
        assert site.network.fingerprint != from_pretrained(LLAMA).fingerprint


def test_broken_adapters_are_refused(tmp_path: Path) -> None:
    folder, _ = adapter(tmp_path / "adapter", str(LLAMA))
    config = json.loads((folder / "adapter_config.json").read_text())
    weights = folder / "adapter_model.safetensors"

    def refused(message: str, **fields: object) -> None:
        (folder / "adapter_config.json").write_text(json.dumps({**config, **fields}))
        with pytest.raises(ca.CausalignError, match=message):
            from_pretrained(folder)

    refused(r"adapter: adapter_config.json names no base model", base_model_name_or_path=None)
    refused(r"^/nowhere: no such folder", base_model_name_or_path="/nowhere")
    refused(r"adapter lacks weights: Found missing adapter keys", target_modules=["q_proj", "v_proj", "o_proj"])
    weights.unlink()
    refused(r"^cannot load hf:.*adapter")
    (folder / "adapter_config.json").write_text("[]")
    with pytest.raises(ca.FileFormatError, match="is not a JSON object"):
        from_pretrained(folder)


def test_quantised_folders_and_encoder_decoders_are_refused_before_they_are_loaded(tmp_path: Path) -> None:
    folder = Path(shutil.copytree(LLAMA, tmp_path / "llama"))
    config = json.loads((folder / "config.json").read_text())
    (folder / "model.safetensors").write_bytes(b"never read")
    quantised = {"quantization_config": {"quant_method": "bitsandbytes", "load_in_4bit": True}}
    (folder / "config.json").write_text(json.dumps(config | quantised))
    with pytest.raises(ca.CausalignError, match=r"^hf:.* is quantized \(bitsandbytes\); load it in bfloat16"):
        from_pretrained(folder)
    (folder / "config.json").write_text(transformers.T5Config(num_layers=1, is_encoder_decoder=True).to_json_string())
    with pytest.raises(ca.CausalignError, match=r"^hf:.* is an encoder-decoder"):
        from_pretrained(folder)


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache of the hub with the shipped Llama in it, at one commit of the branch `main`."""
    store = tmp_path / "hub/models--org--llama"
    shutil.copytree(LLAMA, store / "snapshots" / COMMIT)
    (store / "refs").mkdir()
    (store / "refs/main").write_text(COMMIT)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    return store


def test_the_revision_that_was_loaded_is_known(hub: Path) -> None:
    network = from_pretrained("org/llama")
    assert network.origin is not None
    assert (network.origin.path, network.origin.revision) == ("org/llama", COMMIT)
    assert network.origin.reference == f"hf:org/llama,revision={COMMIT},dtype=float32"
    newer = "f" * 40  # main moves on, to other weights
    shutil.copytree(hub / "snapshots" / COMMIT, hub / "snapshots" / newer)
    (hub / "refs/main").write_text(newer)
    whole_model().to(torch.bfloat16).save_pretrained(hub / "snapshots" / newer)
    again = opened(f"{network.origin.reference}@layer.1").network
    assert again.origin == network.origin
    assert again.fingerprint == network.fingerprint
    moved = from_pretrained("org/llama").origin
    assert moved is not None
    assert (moved.revision, moved.dtype) == (newer, "bfloat16")
    with pytest.raises(ca.CausalignError, match=r"^cannot load hf:org/llama: "):
        from_pretrained("org/llama", revision="nowhere")


def test_results_say_what_was_loaded(
    hub: Path, tmp_path: Path, run: Callable[..., tuple[int, str, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    spec, out = tmp_path / "spec.json", tmp_path / "out"
    few = {"n_train": 20, "n_validation": 8, "n_test": 8, "search": {"max_steps": 1, "batch_size": 4}, "rank": 2}
    sites = ["hf:org/llama,revision=main,counts=1..3,device_map=cpu@layer.1"]
    spec.write_text(json.dumps({"sites": sites, "method": "das", **few}))
    code, _, errors = run("align", "--spec", spec, "--out", out)
    assert not code, errors
    origin = json.loads((out / "result.json").read_text())["sites"][0]["origin"]
    assert origin == {"path": "org/llama", "revision": COMMIT, "dtype": "float32", "base": None}
    assert ca.load_alignment(out).record.sites[0].origin is not None


def test_a_folder_has_no_revision() -> None:
    with pytest.raises(ca.CausalignError, match=r"is a folder, which has no revision 'main'; leave it out"):
        open_site(f"hf:{LLAMA},revision=main")
    origin = from_pretrained(LLAMA, InContext()).origin
    assert origin is not None
    assert (origin.path, origin.revision) == (str(LLAMA), None)
    with pytest.raises(ca.CausalignError, match=r"^cannot load hf:.*"):
        open_site(f"hf:{LLAMA},device_map=nowhere")


def test_the_hooks_of_accelerate_are_run(tmp_path: Path) -> None:
    """What accelerate wraps around every submodule to move states between devices, on one device."""
    accelerate = pytest.importorskip("accelerate")
    for at, path in (("layer.1", "model.layers.0"), ("model.layers.0.mlp", "model.layers.0.mlp")):
        model = accelerate.dispatch_model(whole_model(), {"": "cpu"}, force_hooks=True)
        require_exact(ca.Site(model, at), whole_model(), path)
    spread = from_pretrained(LLAMA, device_map={"": "cpu"})
    require_exact(spread.site("model.layers.1.mlp"), whole_model(), "model.layers.1.mlp")
    weights = {name: "disk" if "layers.1" in name else "cpu" for name, _ in whole_model().named_parameters()}
    model = accelerate.dispatch_model(
        whole_model(), {".".join(name.split(".")[:-1]): at for name, at in weights.items()}, offload_dir=str(tmp_path)
    )
    with pytest.raises(ca.CausalignError, match=r"of the \d+ weights of .* are on the meta device, .* offload none to"):
        ca.Site(model, "model.layers.0.mlp")
    with pytest.raises(ca.CausalignError, match=r"are offloaded because it does not fit into memory"):
        ca.networks.HuggingFace(model)
