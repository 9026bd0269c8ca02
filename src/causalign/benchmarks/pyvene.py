"""DAS compared with pyvene, on the same networks, trials, subspaces and logits."""

import time
from collections.abc import Iterator
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from causalign.benchmarks.measurement import in_turn
from causalign.benchmarks.row import MissingError, Row
from causalign.counterfactuals.interventions import interchange
from causalign.engine.batch import Batch
from causalign.engine.lower_layer_cache import LowerLayerCache
from causalign.errors import InvalidArgument
from causalign.maps import parametrization
from causalign.maps.base import AlignmentMap, random_frame
from causalign.networks.gru import GRU
from causalign.networks.huggingface import HuggingFace
from causalign.search.objectives import behavior_loss
from causalign.sites.base import Continuation, Places, Site
from causalign.storage import Store
from causalign.tasks.counting import MultiObject

if TYPE_CHECKING:
    from causalign.benchmarks.pyvene_runs import PyveneDAS

_TIME, _POSITION, _RANK, _LAYERS, _WIDTH = 64, 40, 32, 8, 512
_SWAP_AFTER = 4  # number of layers below the swap
_POOL = 64  # number of trials from which batches are drawn
_ALIKE = 1e-4  # largest difference of the logits, as a share of the largest logit


def against_pyvene(quick: bool) -> Iterator[Row]:
    """Yield seconds per step on a Llama and a GPT-2 of 8 layers and 512 units, and on pyvene's own GRU.

    Raises:
        MissingError: pyvene or transformers is not installed.
        InvalidArgument: The logits differ from pyvene's.
    """
    if find_spec("pyvene") is None or find_spec("transformers") is None:
        raise MissingError("the pyvene benchmark needs pyvene and transformers: pip install 'causalign[bench]'")
    from causalign.benchmarks.pyvene_runs import PyveneDAS, TappedGRU

    task = MultiObject()
    tokens = {name: index for index, name in enumerate(task.vocabulary.tokens)}
    block = {"layer": _SWAP_AFTER - 1, "component": "block_output"}
    for name, make in (("Llama", _llama), ("GPT-2", _gpt2)):
        with torch.random.fork_rng():
            torch.manual_seed(0)
            ours, theirs = make(), make()
        generator = torch.Generator().manual_seed(0)
        theirs.load_state_dict(ours.state_dict())
        site = HuggingFace(ours, task, tokens).site(f"layer.{_SWAP_AFTER}")
        rival = PyveneDAS(theirs, block, _POSITION, width=_WIDTH, rank=_RANK)
        trials = torch.randint(1000, (2, _POOL, _TIME), generator=generator)
        case = f"{name} shape, {_LAYERS} layers of {_WIDTH}, swap after {_SWAP_AFTER} at {_POSITION} of {_TIME}"
        yield _compared(
            case, _DAS(site, _POSITION, trials), rival, batch=16, goal=6.0 if name == "Llama" else None, quick=quick
        )
    tapped = TappedGRU(128, len(task.vocabulary), 40).eval()
    trials = torch.randint(1, len(task.vocabulary), (2, 512, 40), generator=torch.Generator().manual_seed(0))
    rival = PyveneDAS(tapped, {"layer": 0, "component": "taps[20].output"}, 20, width=128, rank=_RANK, whole=True)
    yield _compared(
        "pyvene's GRU of 128, swap at 20 of 40",
        _DAS(_as_ours(tapped), 20, trials),
        rival,
        batch=128,
        goal=None,
        quick=quick,
    )


def _compared(case: str, ours: "_DAS", rival: "PyveneDAS", *, batch: int, goal: float | None, quick: bool) -> Row:
    generator = torch.Generator().manual_seed(1)

    def draw() -> Int[Tensor, " batch"]:
        return torch.randint(len(ours.base), (batch,), generator=generator)

    chosen = draw()
    rival.set_frame(ours.map().frame)
    with torch.no_grad():
        expected = rival.logits(ours.base[chosen], ours.source[chosen])[:, ours.position : -1]
        difference = float((ours.logits(chosen) - expected).abs().max() / expected.abs().max())

    if not difference < _ALIKE:
        raise InvalidArgument(f"{case}: the logits differ from pyvene's by {difference:.0e} of the largest logit")

    def pyvene_step() -> None:
        chosen = draw()
        rival.step(ours.base[chosen], ours.source[chosen])

    taken = in_turn({"ours": lambda: ours.step(draw()), "theirs": pyvene_step}, 3 if quick else 11)
    return Row(
        benchmark="pyvene",
        case=f"{case}, batch {batch}",
        ours=taken["ours"],
        unit="s/step",
        rival="pyvene, low-rank rotation",
        theirs=taken["theirs"],
        ratio=taken["theirs"] / taken["ours"],
        reads="times",
        goal=goal,
        note=f"logits differ by {difference:.0e} of the largest; {ours.preparation:.2g} s to read {len(ours.base)}",
    )


class _DAS:
    """Steps of this package on trials of one length, swapped at one position."""

    def __init__(self, site: Site, position: int, trials: Int[Tensor, "2 trials time"]) -> None:
        self._site, self.position = site, position
        self.base, self.source = trials
        began = time.perf_counter()
        self._prepared = site.prefix(self.base)
        self._targets, self._sources = (site.read(each)[:, position] for each in trials)
        self._upstream = (
            LowerLayerCache(site, len(self.base), trials.shape[2] - position - 1, Store()) if site.feeds else None
        )
        start = random_frame(site.width, _RANK, torch.Generator().manual_seed(0))
        self.map = parametrization("gram-schmidt")(AlignmentMap(start, 1.0), False)
        self._optimiser = torch.optim.Adam(self.map.parameters(), lr=1e-3)
        self._batch(torch.arange(len(self.base)))[0].fed()  # fills the cache before any step is timed
        self.preparation = time.perf_counter() - began

    def _batch(self, chosen: Int[Tensor, " batch"]) -> tuple[Batch, Float[Tensor, "batch width"]]:
        tokens = self.base[chosen, self.position + 1 :]
        lengths = torch.full_like(chosen, tokens.shape[1])
        places = Places(chosen, torch.full_like(chosen, self.position))
        source_states, target_states = self._sources[chosen], self._targets[chosen]
        all_count, kept = torch.ones_like(tokens, dtype=torch.bool), (None, chosen, self._upstream)
        batch = Batch(source_states, target_states, self._prepared, places, tokens, all_count, lengths, *kept)
        frame = self.map()
        return batch, interchange(target_states, source_states, frame, frame)

    def logits(self, chosen: Int[Tensor, " batch"]) -> Float[Tensor, "batch after vocabulary"]:
        batch, swapped = self._batch(chosen)
        continuation = Continuation.pack(batch.tokens, batch.lengths)
        logits = self._site.resume(batch.prefix, batch.places, swapped, continuation)
        return logits.unflatten(0, (-1, len(chosen))).transpose(0, 1)

    def step(self, chosen: Int[Tensor, " batch"]) -> float:
        batch, swapped = self._batch(chosen)
        loss = behavior_loss(self._site, [batch], [swapped])
        self._optimiser.zero_grad()
        loss.backward()
        self._optimiser.step()
        return float(loss.detach())


def _llama() -> nn.Module:
    from transformers import LlamaConfig, LlamaForCausalLM

    shape = {"hidden_size": _WIDTH, "intermediate_size": 1376, "num_hidden_layers": _LAYERS, "num_attention_heads": 8}
    model: nn.Module = LlamaForCausalLM(LlamaConfig(vocab_size=1000, **shape, use_cache=False))
    return model.eval()


def _gpt2() -> nn.Module:
    from transformers import GPT2Config, GPT2LMHeadModel

    shape = {"n_embd": _WIDTH, "n_layer": _LAYERS, "n_head": 8, "n_positions": 256}
    ends = {"bos_token_id": None, "eos_token_id": None}
    model: nn.Module = GPT2LMHeadModel(GPT2Config(vocab_size=1000, **shape, **ends, use_cache=False))
    return model.eval()


def _as_ours(tapped: Any) -> Site:
    """Return the hidden state of a GRU of this package with the weights of pyvene's. Its readout is one matrix."""
    task, cell = MultiObject(), tapped.gru.cells[0]
    network = GRU(task.vocabulary, task, tapped.gru.h_dim)
    network.embedding, network.readout = tapped.gru.wte, tapped.lm_head
    for own, theirs in (("ih", cell.x2h), ("hh", cell.h2h)):
        network.cell._parameters[f"weight_{own}_l0"] = theirs.weight
        network.cell._parameters[f"bias_{own}_l0"] = theirs.bias
    return network.freeze().site("hidden")
