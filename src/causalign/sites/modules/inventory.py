"""The inventory of the places in a module, found in one run of it."""

from collections.abc import Iterable
from typing import Any

import pandas as pd
import torch
from torch import nn

from causalign.errors import CausalignError, InvalidArgument
from causalign.networks.module import FEW, ModuleNetwork, few_tokens, run, submodules
from causalign.networks.wrapper import unwrap
from causalign.sites.modules.output_place import OutputPlace
from causalign.sites.modules.place import Place, require_one_call
from causalign.sites.modules.recurrent_place import RecurrentPlace, is_recurrence


def sites_of(module: Any) -> pd.DataFrame:
    """List the submodules of a module and the states that can be swapped there, found in one run of the module.

    Args:
        module: A module from token ids to logits.

    Returns:
        One row for each submodule. `at` is its path, as `Site` takes it, and `module` its class. `width` is the width
        of its state, missing where nothing can be swapped. `state` is `output` for the submodule's output, `carried`
        for the state that a recurrence carries, or `none` and the reason.

    Raises:
        InvalidArgument: `module` is not a module, or cannot be run on token ids.
    """
    module = unwrap(module)
    paths = submodules(module)
    rows = []
    for path, outputs in _outputs(module, paths, type(module).__name__).items():
        width: int | None = None
        try:
            place = _place(path, paths[path], outputs)
            width, state = place.width, "carried" if place.carries else "output"
        except CausalignError as error:
            state = f"none: {error}"
        rows.append({"at": path, "module": type(paths[path]).__name__, "width": width, "state": state})
    return pd.DataFrame(rows, columns=["at", "module", "width", "state"]).astype({"width": "Int64"})


def place_in(network: ModuleNetwork, at: str) -> Place:
    """Return the place at a submodule.

    Args:
        network: The module as a network.
        at: The path of the submodule.

    Raises:
        InvalidArgument: The submodule is never called, is called more than once, or has no state that can be swapped.
    """
    try:
        return _place(at, submodules(network.module)[at], _outputs(network.module, [at], network.name)[at])
    except CausalignError as error:
        raise InvalidArgument(f"{network.name}: {error}") from None


def _place(at: str, submodule: nn.Module, outputs: list[Any]) -> Place:
    require_one_call(outputs, at)
    if is_recurrence(submodule):
        return RecurrentPlace(submodule, at, outputs[0], *FEW)
    return OutputPlace(submodule, at, outputs[0], *FEW)


def _outputs(module: nn.Module, paths: Iterable[str], name: str) -> dict[str, list[Any]]:
    """Return the outputs of some submodules in one run, by path: a list with one entry for each call."""
    there, found = submodules(module), {path: list[Any]() for path in paths}
    hooks = [
        there[path].register_forward_hook(lambda _, __, output, kept=kept: kept.append(output))
        for path, kept in found.items()
    ]
    try:
        with torch.no_grad():
            run(module, few_tokens(module), name)
    finally:
        for hook in hooks:
            hook.remove()
    return found
