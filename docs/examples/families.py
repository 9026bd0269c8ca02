"""Swap in every family of language models that can be built small: `python docs/examples/families.py [FAMILY ...]`.

The families are the causal language models of the installed transformers. Each is built with random weights and about
three layers. At each kind of place (block, MLP, attention, one head, the input of a projection), the logits of a swap
are compared with those of a run of the plain model, one unpadded row at a time, in which a hook written here replaces
the same numbers. The table is written to docs/families.md: the largest difference, as a share of the largest logit, or
the reason why there is no such place. The table of families that are named as arguments is only printed.
"""

import signal
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers
from family_sizes import small_configuration
from torch import Tensor, nn
from transformers.models.auto.configuration_auto import CONFIG_MAPPING
from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES

import causalign as ca
from causalign.sites import Continuation, Places
from causalign.sites.modules.place_name import PlaceName
from causalign.sites.transformers.decoder_parts import DecoderParts, decoder_parts

KINDS = ("block", "MLP", "attention", "head", "projection input")
RIGHT, VOCABULARY, MOST_WEIGHTS, SECONDS = 1e-5, 60, 5_000_000, 600
Outcome = float | str
"""The largest difference, or the reason of a refusal."""


def build(family: str) -> nn.Module:
    """Return a small model of a family, with weights wide enough for attention to matter."""
    config = small_configuration(family, CONFIG_MAPPING[family])
    with torch.device("meta"):
        count = sum(weight.numel() for weight in transformers.AutoModelForCausalLM.from_config(config).parameters())
    if count > MOST_WEIGHTS:
        raise ValueError(f"{count:,} weights with small sizes")
    torch.manual_seed(0)
    model = transformers.AutoModelForCausalLM.from_config(config, dtype=torch.float32)
    generator = torch.Generator().manual_seed(0)
    for name, weight in model.named_parameters():
        if weight.dim() > 1:
            weight.data = torch.randn(weight.shape, generator=generator) * 0.2
        elif name.endswith("bias"):
            weight.data = torch.randn(weight.shape, generator=generator) * 0.1
    return model.eval()


def rows(count: int = 6) -> tuple[list[Tensor], Tensor]:
    """Return inputs of several lengths, the longest continuation first, and the position of the swap in each."""
    rng = np.random.default_rng(0)
    inputs = [torch.from_numpy(rng.integers(3, VOCABULARY - 5, n)) for n in rng.integers(5, 10, count)]
    positions = torch.tensor([int(rng.integers(0, len(each) - 1)) for each in inputs])
    order = sorted(range(count), key=lambda row: int(positions[row]) - len(inputs[row]))
    return [inputs[row] for row in order], positions[order]


def hooked_logits(model: nn.Module, name: PlaceName, tokens: Tensor, position: int, state: Tensor) -> Tensor:
    """Return the logits of one row in a run of the plain model in which a hook replaces the state at one position."""

    def edit(value: Tensor) -> Tensor:
        time = 0 if value.dim() == 2 else 1 if value.shape[0] == 1 else 2  # behind the streams, if there are any
        changed = value.clone()
        part = changed.movedim(time, 0)[position][..., slice(name.start, name.stop)]
        part.copy_(state.view(part.shape))
        return changed

    def at_input(_: Any, args: Any, kwargs: Any) -> Any:
        if args:
            return (edit(args[0]), *args[1:]), kwargs
        return args, {**kwargs, "hidden_states": edit(kwargs["hidden_states"])}

    def at_output(_: Any, __: Any, output: Any) -> Any:
        return edit(output) if isinstance(output, Tensor) else type(output)([edit(output[0]), *output[1:]])

    submodule = model.get_submodule(name.path)
    if name.side == "input":
        hook = submodule.register_forward_pre_hook(at_input, with_kwargs=True)
    else:
        hook = submodule.register_forward_hook(at_output)
    try:
        with torch.no_grad():
            logits: Tensor = model(tokens[None], use_cache=False).logits[0]
    finally:
        hook.remove()
    return logits


def difference(model: nn.Module, at: str, name: PlaceName) -> float:
    """Return the largest difference between resumed and hooked runs, as a share of the largest logit."""
    site, (inputs, positions) = ca.Site(model, at), rows()
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
        of_row = found[continuation.trial == row][continuation.step[continuation.trial == row].argsort()]
        wanted, kept = (hooked_logits(model, name, each, position, state[row])[position:-1] for state in (states, own))
        most, scale = max(most, float((of_row - wanted).abs().max())), max(scale, float(wanted.abs().max()))
        effect = max(effect, float((wanted - kept).abs().max()))
    if effect < 100 * RIGHT * scale:
        raise ValueError(f"a swap changes the logits by {effect:.1g} alone")
    return most / scale


def places(parts: DecoderParts, model: nn.Module) -> Iterator[tuple[str, str, PlaceName | str]]:
    """Yield kinds, names, and places or the reason why there is none. A middle layer that has the part is preferred."""
    depth = sum(name.count(".") == 1 for name in parts.places) - 1  # layer.0 is no layer
    layers = sorted(range(1, depth + 1), key=lambda n: abs(n - (depth + 1) / 2))
    for kind, names in (
        ("block", [f"layer.{n}" for n in layers]),
        ("MLP", [f"layer.{n}.mlp" for n in layers]),
        ("attention", [f"layer.{n}.attention" for n in layers]),
        ("head", [f"layer.{n}.head.1" for n in layers]),
    ):
        at = next((name for name in names if name in parts.places), None)
        if at is None:
            known = [names[0].removesuffix(".1") if kind == "head" else names[0]] if names else []
            reason = next((parts.missing[each] for each in known if each in parts.missing), None)
            yield kind, "", reason or next(iter(parts.missing.values()), "unknown")
        else:
            yield kind, at, parts.places[at]
    if "layer.1" in parts.places:
        path = parts.places[f"layer.{layers[0]}"].path
        linear = [each for each, module in model.get_submodule(path).named_modules() if isinstance(module, nn.Linear)]
        head = next((parts.places[name] for name in parts.places if ".head." in name), None)
        at = head.path if head else f"{path}.{linear[-1]}" if linear else ""
        yield "projection input", f"{at}:input", PlaceName(at, "input") if at else "no linear layer"


def heads_are_right(model: Any, parts: DecoderParts) -> bool | None:
    """Return whether heads are as the model's attention function has them; `None` if the model calls it in another way.

    The function, which is lent to the model, sees the number of query heads and the width of what each returns.
    """
    seen: dict[str, tuple[int, int]] = {}
    paths = {id(module): path for path, module in model.named_modules()}

    def attend(module: Any, query: Tensor, _: Tensor, value: Tensor, *__: Any, **___: Any) -> tuple[Tensor, None]:
        seen[paths[id(module)]] = query.shape[1], value.shape[3]
        return query.new_zeros(len(query), query.shape[2], query.shape[1], value.shape[3]), None

    transformers.AttentionInterface.register("shapes", attend)
    transformers.AttentionMaskInterface.register("shapes", lambda *_, **__: None)
    config = model.config.get_text_config()
    before, config._attn_implementation = config._attn_implementation, "shapes"
    try:
        with torch.no_grad():
            model(torch.arange(4, 10)[None], use_cache=False)
    except Exception:  # the model takes another route
        return None
    finally:
        config._attn_implementation = before
    heads = [place for name, place in parts.places.items() if ".head." in name]
    checks = []
    for path, (count, width) in seen.items():
        ours = [place for place in heads if place.path.startswith(f"{path.rpartition('.')[0]}.")]
        checks.append(len(ours) == count and all(each.stop - each.start == width for each in ours))
    return all(checks) if checks else None


@contextmanager
def limited(seconds: int) -> Iterator[None]:
    """Open a context that ends with an error after some seconds."""

    def stop(*_: Any) -> None:
        raise TimeoutError(f"not done within {seconds} seconds")

    signal.signal(signal.SIGALRM, stop)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)


def attempt(work: Callable[[], float]) -> Outcome:
    """Return the result, or the reason of a refusal in one line. What is no refusal is marked as a fault."""
    try:
        return work()
    except ca.CausalignError as error:
        return str(error)
    except Exception as error:
        return f"FAULT: {type(error).__name__}: {' '.join(str(error).split())[:160]}"


def outcomes(family: str) -> dict[str, Outcome]:
    """Return the outcome of every kind of place in one family."""
    model = build(family)
    parts, found = decoder_parts(model), dict[str, Outcome]()
    for kind, at, place in places(parts, model):
        found[kind] = (
            place if isinstance(place, str) else attempt(lambda at=at, place=place: difference(model, at, place))
        )
    if isinstance(found.get("head"), float):
        found["heads"] = {None: "not seen", True: "seen", False: "FAULT: other heads"}[heads_are_right(model, parts)]
    return found


def line(family: str, found: dict[str, Outcome]) -> str:
    """Return a line of the table."""
    cells = [found.get(kind, "") for kind in KINDS]
    shown = [f"{each:.0e}" if isinstance(each, float) else "-" for each in cells]
    return f"| {' | '.join([family, *shown, str(found.get('heads', '-'))])} |"


def page(table: dict[str, dict[str, Outcome]], skipped: dict[str, str]) -> str:
    """Return the page with the table, the counts and the reasons."""
    right = {kind: sum(is_right(found.get(kind)) for found in table.values()) for kind in KINDS}
    whole = sum(all(is_right(found.get(kind)) for kind in KINDS) for found in table.values())
    seen = sum(found.get("heads") == "seen" for found in table.values())
    wrong = [f"{family} ({kind})" for family, found in table.items() for kind in KINDS if is_wrong(found.get(kind))]
    lines = [
        "# Families of language models",
        "",
        f"`python docs/examples/families.py` wrote this page with transformers {transformers.__version__} and torch",
        f"{torch.__version__}. It builds every causal language model of transformers that can be built small, with",
        "random weights, and swaps a random state at each kind of place. The number is the largest difference between",
        "the logits of that swap and those of a hooked run of the plain model, one unpadded row at a time, divided by",
        f"the largest logit. At most {RIGHT:.0e} counts as right.",
        "",
        f"Of {len(table) + len(skipped)} families, {len(table)} were built.",
        f"**{whole} are right at every kind of place.**",
        f"Right by kind: {', '.join(f'{kind} {count}' for kind, count in right.items())}.",
        f"Wrong: {', '.join(wrong) or 'none'}.",
        f"Where a model calls the attention function of transformers ({seen} families), that function saw the same",
        "number of heads, of the same width (column *heads*).",
        "",
        f"| family | {' | '.join(KINDS)} | heads |",
        f"|{' --- |' * (len(KINDS) + 2)}",
        *(line(family, found) for family, found in table.items()),
        "",
        "## Why a place is missing",
        "",
    ]
    for family, found in table.items():
        reasons: dict[str, list[str]] = {}
        for kind in KINDS:
            if isinstance(reason := found.get(kind), str):
                reasons.setdefault(reason, []).append(kind)
        lines += [f"* {family}, {' and '.join(kinds)}: {reason}" for reason, kinds in reasons.items()]
    lines += ["", "## Families that were not built", ""]
    return "\n".join([*lines, *(f"* {family}: {reason}" for family, reason in skipped.items()), ""])


def is_right(outcome: Outcome | None) -> bool:
    """Return whether a difference is small."""
    return isinstance(outcome, float) and outcome <= RIGHT


def is_wrong(outcome: Outcome | None) -> bool:
    """Return whether a difference is large, or something failed that is no refusal."""
    return outcome.startswith("FAULT") if isinstance(outcome, str) else outcome is not None and outcome > RIGHT


def main(families: list[str]) -> None:
    """Run these families, or all, and print the table. That of all is written to docs/families.md."""
    warnings.filterwarnings("ignore")
    transformers.logging.set_verbosity_error()
    table: dict[str, dict[str, Outcome]] = {}
    skipped: dict[str, str] = {}
    for family in families or sorted(MODEL_FOR_CAUSAL_LM_MAPPING_NAMES):
        try:
            with limited(SECONDS):
                table[family] = outcomes(family)
        except Exception as error:
            skipped[family] = f"{type(error).__name__}: {' '.join(str(error).split())[:120]}"
            print(f"| {family} | not built: {skipped[family]}", flush=True)
            continue
        print(line(family, table[family]), flush=True)
        for kind, reason in table[family].items():
            if isinstance(reason, str) and kind != "heads":
                print(f"    {kind}: {reason}")
    if not families:
        (Path(__file__).parent.parent / "families.md").write_text(page(table, skipped))
    print(f"{sum(all(is_right(found.get(kind)) for kind in KINDS) for found in table.values())} right everywhere")


if __name__ == "__main__":
    main(sys.argv[1:])
