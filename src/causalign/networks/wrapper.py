"""Wrappers of other libraries around a module: `torch.compile`, nnsight, and peft."""

from collections.abc import Mapping
from typing import Any

from torch import nn

from causalign.errors import InvalidArgument
from causalign.networks.adapter import is_peft_model, tuned_model


def unwrap(module: Any) -> nn.Module:
    """Return the module inside wrappers of `torch.compile`, nnsight or peft, and any other module unchanged.

    The layers of a peft adapter are inside the module, so that it is the tuned module that is returned.

    Raises:
        InvalidArgument: The argument is not a `torch.nn.Module`, or it is a peft model that is more than its module.
    """
    while (inner := _inner(module)) is not module:
        module = inner
    if isinstance(module, type) and issubclass(module, nn.Module):
        raise InvalidArgument(
            f"a site is a place in a module; found the class {module.__name__}; pass an instance of it"
        )
    if not isinstance(module, nn.Module):
        raise InvalidArgument(f"a site is a place in a torch.nn.Module; found {type(module).__name__}")
    return module


def inner_path(wrapper: Any, module: nn.Module, at: str) -> str:
    """Return the path in a module of a submodule that may be named otherwise.

    The path may be one in the module's wrapper, and a hook point of TransformerLens may be named by an alias, such as
    `blocks.0.hook_resid_post`.

    Args:
        wrapper: The module, or a wrapper around it.
        module: The module inside.
        at: The name of a place. Other names are returned unchanged.
    """
    points = getattr(module, "hook_dict", None)
    if isinstance(points, Mapping) and at in points:
        return next((path for path, each in module.named_modules() if each is points[at]), at)
    if wrapper is module or not isinstance(wrapper, nn.Module):
        return at
    prefixes = (path for path, each in wrapper.named_modules() if path and each is module)
    return next((at.removeprefix(f"{path}.") for path in prefixes if at.startswith(f"{path}.")), at)


def _inner(module: Any) -> Any:
    if any(kind.__module__.partition(".")[0] == "nnsight" for kind in type(module).__mro__):
        return module._module
    if is_peft_model(module):
        return tuned_model(module)
    return getattr(module, "_orig_mod", module)
