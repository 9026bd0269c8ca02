"""Which places there are in anybody's module: found in one run of it."""

from collections.abc import Iterable
from typing import Any

import pandas as pd
import torch
from torch import nn

from causalign.errors import CausalignError, InvalidArgument
from causalign.networks.module import FEW, ModuleNetwork, few_tokens, run, submodules, unwrap
from causalign.sites.modules.output_place import OutputPlace
from causalign.sites.modules.place import Place, require_one_call
from causalign.sites.modules.recurrent_place import RecurrentPlace, is_recurrence


def sites_of(module: Any) -> pd.DataFrame:
    """The submodules of a module from token ids to logits, and which of them can be swapped, found in a run of it.

    Returns:
        One row a submodule: `at` (its path, as `Site` takes it), `module` (its class), `width` (of its state; none
        where nothing can be swapped), `state` (what would be swapped, or why nothing can be).

    Raises:
        InvalidArgument: it is no module, or cannot be run on token ids.
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
    """The place at a submodule.

    Raises:
        InvalidArgument: it is called never, or more than once, or has no state that can be swapped.
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
    """What each of some submodules gives in a run, a list with an entry for each of its calls."""
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
