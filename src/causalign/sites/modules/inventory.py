"""The inventory of the places in a module, found in one run of it."""

from collections.abc import Iterable
from typing import Any

import pandas as pd
import torch
from torch import nn

from causalign.errors import CausalignError, InvalidArgument, lookup
from causalign.networks.module import FEW, ModuleNetwork, few_tokens, run, submodules
from causalign.networks.wrapper import unwrap
from causalign.sites.modules.place import Place, require_one_call
from causalign.sites.modules.place_name import INPUT, PlaceName
from causalign.sites.modules.recurrent_place import RecurrentPlace, is_recurrence
from causalign.sites.modules.tensor_place import Call
from causalign.sites.modules.token_place import TokenPlace
from causalign.sites.transformers.decoder_parts import decoder_parts


def sites_of(module: Any) -> pd.DataFrame:
    """List the places of a module and the states that can be swapped there, found in one run of the module.

    Args:
        module: A module from token ids to logits.

    Returns:
        One row for each part of a causal language model of Hugging Face by its uniform name, such as `layer.2.mlp`, and
        one for each submodule. `at` is the name, as `Site` takes it. `module` is the class of a submodule, or the place
        that a uniform name stands for. `width` is the width of the state, missing where nothing can be swapped. `state`
        is `output` or `input` for the side of the call, `carried` for the state that a recurrence carries, or `none`
        and the reason. `input_width` is the width of a submodule's input, the state at `PATH:input`, missing where that
        cannot be swapped.

    Raises:
        InvalidArgument: `module` is not a module, or cannot be run on token ids.
    """
    module = unwrap(module)
    paths, parts = submodules(module), decoder_parts(module)
    calls = _calls(module, paths, type(module).__name__)

    def state(name: PlaceName) -> tuple[int | None, str]:
        try:
            place = _place(name, paths[name.path], calls[name.path])
        except CausalignError as error:
            return None, f"none: {error}"
        return place.width, "carried" if place.carries else name.side

    rows: list[tuple[str, str, int | None, str, int | None]]
    rows = [(at, str(name), *state(name), None) for at, name in parts.places.items()]
    rows += [(at, each.module, each.width, "carried", None) for at, each in parts.states.items()]
    rows += [(at, "", None, f"none: {reason}", None) for at, reason in parts.missing.items()]
    for path, each in paths.items():
        rows.append((path, type(each).__name__, *state(PlaceName(path)), state(PlaceName(path, INPUT))[0]))
    columns = ["at", "module", "width", "state", "input_width"]
    return pd.DataFrame(rows, columns=columns).astype({"width": "Int64", "input_width": "Int64"})


def place_in(network: ModuleNetwork, at: str | PlaceName) -> Place:
    """Return the place of a name.

    Args:
        network: The module as a network.
        at: The name: the path of a submodule, its side, and a slice; or these taken apart.

    Raises:
        InvalidArgument: There is no such submodule, it is never called or more than once, or it has no state that can
            be swapped there.
    """
    there = submodules(network.module)
    if isinstance(at, str):
        at = PlaceName(at) if at in there else PlaceName.parse(at)  # a path may have a colon in it
    name = at
    submodule = lookup(f"site of {network.name}", name.path, there)
    try:
        return _place(name, submodule, _calls(network.module, [name.path], network.name)[name.path])
    except CausalignError as error:
        raise InvalidArgument(f"{network.name}: {error}") from None


def _place(name: PlaceName, submodule: nn.Module, calls: list[Call]) -> Place:
    require_one_call(calls, name.path)
    if is_recurrence(submodule) and name.side != INPUT:
        return RecurrentPlace(submodule, name, calls[0].output, *FEW)
    return TokenPlace(submodule, name, calls[0], *FEW)


def _calls(module: nn.Module, paths: Iterable[str], name: str) -> dict[str, list[Call]]:
    """Return the calls of some submodules in one run, by path."""
    there, found = submodules(module), {path: list[Call]() for path in paths}
    hooks = [
        there[path].register_forward_hook(
            lambda _, args, kwargs, output, kept=kept: kept.append(Call(args, kwargs, output)), with_kwargs=True
        )
        for path, kept in found.items()
    ]
    try:
        with torch.no_grad():
            run(module, few_tokens(module), name)
    finally:
        for hook in hooks:
            hook.remove()
    return found
