"""A first run of a module, in which the calls of its submodules are kept."""

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import nn

from causalign.networks.module import submodules
from causalign.sites.modules.tensor_place import Call


def calls_in(module: nn.Module, paths: Iterable[str], run: Callable[[], Any]) -> dict[str, list[Call]]:
    """Return the calls of some submodules in one run of a module, by path.

    Args:
        module: The module.
        paths: The paths of the submodules.
        run: A function that runs the module.
    """
    there, found = submodules(module), {path: list[Call]() for path in paths}
    hooks = [
        there[path].register_forward_hook(
            lambda _, args, kwargs, output, kept=kept: kept.append(Call(args, kwargs, output)), with_kwargs=True
        )
        for path, kept in found.items()
    ]
    try:
        with torch.no_grad():
            run()
    finally:
        for hook in hooks:
            hook.remove()
    return found
