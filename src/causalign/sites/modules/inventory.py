"""The inventory of the places in a module, found in one run of it."""

from collections.abc import Iterable
from contextlib import suppress
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


def sites_of(module: Any) -> pd.DataFrame:
    """List the submodules of a module and the states that can be swapped there, found in one run of the module.

    Args:
        module: A module from token ids to logits.

    Returns:
        One row for each submodule. `at` is its path, as `Site` takes it, and `module` its class. `width` is the width
        of its state, missing where nothing can be swapped. `state` is `output` for the submodule's output, `carried`
        for the state that a recurrence carries, or `none` and the reason. `input_width` is the width of its input, the
        state at `PATH:input`, missing where that cannot be swapped.

    Raises:
        InvalidArgument: `module` is not a module, or cannot be run on token ids.
    """
    module = unwrap(module)
    paths = submodules(module)
    rows = []
    for path, calls in _calls(module, paths, type(module).__name__).items():
        width: int | None = None
        input_width: int | None = None
        try:
            place = _place(PlaceName(path), paths[path], calls)
            width, state = place.width, "carried" if place.carries else "output"
        except CausalignError as error:
            state = f"none: {error}"
        with suppress(CausalignError):
            input_width = _place(PlaceName(path, INPUT), paths[path], calls).width
        rows.append((path, type(paths[path]).__name__, width, state, input_width))
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
