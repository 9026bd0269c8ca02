"""Swap the state that a recurrent layer carries, in every such family: `python docs/examples/recurrent_states.py`.

Small models with random weights, as in families.py. The logits of a swap at `layer.N.state` are compared with those of
the plain model, one unpadded row at a time: it reads the tokens up to the swap, the state in its own cache is
overwritten here, and it reads the others one by one. The table is written to docs/own-data.md: the largest difference,
as a share of the largest logit, or the reason why there is no such place.
"""

import warnings
from pathlib import Path
from typing import Any

import torch
import transformers
from families import build, rows
from page_part import write_part
from torch import Tensor, nn

import causalign as ca
from causalign.sites import Continuation, Places
from causalign.sites.transformers.decoder_parts import decoder_parts

PAGE = Path(__file__).parent.parent / "own-data.md"
BEGIN, END = "<!-- written by docs/examples/recurrent_states.py -->\n", "<!-- end of states -->"
FAMILIES = (
    *("mamba", "mamba2", "falcon_mamba", "rwkv", "xlstm", "recurrent_gemma"),
    *("bailing_hybrid", "bamba", "falcon_h1", "granitemoehybrid", "jamba", "kimi_linear", "minimax", "nemotron_h"),
    *("olmo_hybrid", "qwen3_5_text", "qwen3_next", "zamba2"),
)


def carried(cache: Any, layer: int) -> list[Tensor]:
    """Return what a layer carries in a model's own cache: the state of the recurrence, and then its last inputs."""
    if isinstance(cache, list):  # RWKV: inputs of both blocks, numerator, denominator, exponent
        return [cache[n][:, :, layer] for n in (2, 3, 4, 0, 1)]
    held = (cache.layers[layer].recurrent_states, cache.layers[layer].conv_states)
    return [each for states in held for each in states.values() if each is not None]


@torch.no_grad()
def decoded_logits(model: nn.Module, layer: int, tokens: Tensor, position: int, state: Tensor) -> Tensor:
    """Return the logits of one row, in a run in which the state after one token is overwritten."""
    output = model(tokens[None, : position + 1], use_cache=True)
    names = ("cache_params", "past_key_values", "state")
    cache = {name: own for name in names if (own := getattr(output, name, None)) is not None}
    parts = carried(next(iter(cache.values())), layer)
    for part, new in zip(parts, state.split([each.numel() for each in parts]), strict=True):
        part.copy_(new.view(part.shape))
    later = (model(token.view(1, 1), use_cache=True, **cache).logits[0] for token in tokens[position + 1 :])
    return torch.cat([output.logits[0], *later])


def difference(site: ca.Site, model: nn.Module, layer: int) -> float:
    """Return the largest difference between swaps and runs by hand, as a share of the largest logit."""
    inputs, positions = rows()
    tokens = nn.utils.rnn.pad_sequence(inputs, batch_first=True)
    remaining = torch.tensor([len(each) for each in inputs]) - positions - 1
    rest = torch.stack([row.roll(-1 - int(at)) for row, at in zip(tokens, positions, strict=True)])
    places, continuation = Places(torch.arange(len(inputs)), positions), Continuation.pack(rest, remaining)
    own = site.read(tokens)[places.trial, positions]
    states = own + own.std() * torch.randn(own.shape, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        found = site.resume(site.prefix(tokens), places, states, continuation)
    most = scale = effect = 0.0
    for row, (each, position) in enumerate(zip(inputs, positions.tolist(), strict=True)):
        wanted, kept = (
            decoded_logits(model, layer, each, position, state[row])[position:-1] for state in (states, own)
        )
        most = max(most, float((found[continuation.trial == row] - wanted).abs().max()))
        scale, effect = max(scale, float(wanted.abs().max())), max(effect, float((wanted - kept).abs().max()))
    if effect < 1e-3 * scale:
        raise ValueError(f"a swap changes the logits by {effect:.1g} alone")
    return most / scale


def line(family: str) -> str:
    """Return a line of the table. A middle layer that has a state is preferred."""
    model: Any = build(family)
    parts = decoder_parts(model)
    names = [at for at in (*parts.states, *parts.missing) if at.endswith(".state")]
    at = "layer.2.state" if "layer.2.state" in names else names[0]
    try:
        site = ca.Site(model, at)
        found = f"{site.width} | {difference(site, model, parts.states[at].layer):.0e}"
    except ca.CausalignError as error:
        found = f"- | {error}"
    return f"| {family} | {at} | {found} |"


def main() -> None:
    """Write the table into the page."""
    warnings.filterwarnings("ignore")
    transformers.logging.set_verbosity_error()
    lines = [
        f"| transformers {transformers.__version__} | place | width | largest difference |",
        "| --- | --- | --- | --- |",
    ]
    for family in FAMILIES:
        lines.append(line(family))
        print(lines[-1], flush=True)
    write_part(PAGE, (BEGIN, END), "\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
