"""Runs of user-supplied modules: uncompiled, with errors in one line, and up to the last layer where that is enough."""

import inspect
import sys
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from causalign.errors import CausalignError, InvalidArgument


def run_module(module: nn.Module, args: tuple[Any, ...], kwargs: Mapping[str, Any], name: str, what: str) -> Any:
    """Run a module uncompiled, because compiled code calls no hooks, and return its output.

    Args:
        module: The module.
        args: Its positional arguments.
        kwargs: Its other arguments. A cache is not asked for, unless they do.
        name: The name of the module in the error message.
        what: The inputs in the error message.

    Raises:
        InvalidArgument: The module raised an exception.
    """
    compiles = "torch._dynamo" in sys.modules  # importing it takes seconds, and nothing is compiled without it
    eager: AbstractContextManager[Any] = torch.compiler.set_stance("force_eager") if compiles else nullcontext()
    options = {"use_cache": False} if "use_cache" in inspect.signature(module.forward).parameters else {}
    try:
        with eager:
            return module(*args, **{**options, **kwargs})
    except CausalignError:
        raise
    except Exception as error:
        reason = (str(error).strip().splitlines() or [""])[0]
        raise InvalidArgument(f"{name} cannot be run on {what}: {type(error).__name__}: {reason}") from error


def logits_of(output: Any, name: str) -> Tensor:
    """Return the logits in the output of a module.

    They are the output, its attribute `.logits`, its entry `"logits"`, or the first entry of a tuple or list.

    Raises:
        InvalidArgument: There are none.
    """
    found = output
    if isinstance(output, Mapping):
        found = output.get("logits")
    elif hasattr(output, "logits"):
        found = output.logits
    elif isinstance(output, tuple | list) and output:
        found = output[0]
    if not isinstance(found, Tensor):
        kind = (
            f"{type(output).__name__} with {', '.join(output)}"
            if isinstance(output, Mapping)
            else type(output).__name__
        )
        raise InvalidArgument(f"{name} returns {kind}; expected logits, or .logits, or a tuple that begins with them")
    return found


@torch.no_grad()
def run_with_head(module: nn.Module, run: Callable[[], Any], name: str) -> tuple[str | None, Tensor]:
    """Return the path of the linear layer whose output the logits are, `None` if there is none; and the logits.

    Args:
        module: The module.
        run: A function that runs it.
        name: The name of the module in the error message.

    Raises:
        InvalidArgument: The module does not return logits.
    """
    outputs: dict[str, tuple[Tensor, Tensor]] = {}

    def keep(path: str, output: Any) -> None:
        if isinstance(output, Tensor):  # a router may be a linear layer that returns more than its product
            outputs[path] = output, output.clone()

    hooks = [
        each.register_forward_hook(lambda _, __, output, path=path: keep(path, output))
        for path, each in module.named_modules(remove_duplicate=False)
        if isinstance(each, nn.Linear) and path
    ]
    try:
        logits = logits_of(run(), name)
    finally:
        for hook in hooks:
            hook.remove()
    same = (path for path, (out, before) in outputs.items() if _is_same(out, logits) and torch.equal(before, out))
    return next(same, None), logits  # a module may change what its head returned in place


def _is_same(output: Tensor, logits: Tensor) -> bool:
    """Whether the output of a layer is the logits, or was moved to another device to become them."""
    if output.device == logits.device or output.shape != logits.shape:
        return output is logits
    return torch.equal(output.to(logits.device), logits)


def run_to_head(head: nn.Module, run: Callable[[], Any], name: str) -> Float[Tensor, "rows ... features"]:
    """Return the input of the head.

    The run stops there, because the logits of whole inputs can take gigabytes.

    Raises:
        InvalidArgument: The module does not run its head on these inputs.
    """

    def stop(_: nn.Module, args: tuple[Tensor, ...], kwargs: Mapping[str, Tensor]) -> None:
        raise _Reached(next(iter((*args, *kwargs.values()))))

    hook = head.register_forward_pre_hook(stop, with_kwargs=True)
    try:
        run()
    except _Reached as reached:
        return reached.features
    finally:
        hook.remove()
    raise InvalidArgument(f"{name} does not run its last layer on every input")


class _Reached(BaseException):  # so that an `except Exception` in the module does not catch it
    def __init__(self, features: Tensor) -> None:
        self.features = features
