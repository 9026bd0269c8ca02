"""The function that opens a place in a module as a site."""

from collections.abc import Mapping
from typing import Any

from torch import nn

from causalign import tasks
from causalign.errors import CausalignError, InvalidArgument
from causalign.networks.base import Network
from causalign.networks.huggingface import HuggingFace, is_supported
from causalign.networks.module import ModuleNetwork, require_decoder, require_sound
from causalign.networks.tensor_module import Output, TensorModule, reads_whole_inputs
from causalign.networks.wrapper import inner_path, unwrap
from causalign.sites.base import Site, SiteType
from causalign.sites.checks import check
from causalign.sites.modules.hooks import ModuleSite
from causalign.tasks.base import Task


def open_place(
    module: Any,
    at: str,
    *,
    task: Task | str | None = None,
    tokens: Mapping[str, int] | None = None,
    name: str | None = None,
    tolerance: float | None = None,
    inputs: Any = None,
    output: Output | None = None,
    whole: bool = False,
    tokenizer: Any = None,
) -> Site:
    """Open a place in a module. The arguments and the errors are those of `Site`."""
    if not isinstance(at, str):
        raise InvalidArgument(
            f"at is the path of a submodule, such as 'layers.2'; found {type(at).__name__}: Site(module, at)"
        )
    if tokens is not None and task is None:
        raise InvalidArgument("tokens are the ids of a task's tokens: pass the task too, or leave tokens out")
    if isinstance(module, Network):
        of_modules = {"name": name, "tolerance": tolerance, "inputs": inputs, "output": output, "tokenizer": tokenizer}
        _require_none(module, of_modules | {"tokens": tokens, "whole": whole or None})
        return module.site(at, tasks.by_name(task) if isinstance(task, str) else task)
    wrapper, task = module, tasks.by_name(task) if isinstance(task, str) else task
    module = unwrap(wrapper)
    at = inner_path(wrapper, module, at)
    trainable = [weight for weight in module.parameters() if weight.requires_grad]
    try:
        if inputs is not None or output is not None or whole or reads_whole_inputs(module):
            if task is not None:
                called = name or type(module).__name__
                require_decoder(getattr(module, "config", None), called)
                raise InvalidArgument(
                    f"{called} reads its input as a whole, and a task is of ids that are read from left to right: "
                    "leave task out"
                )
            site = TensorModule(module, inputs, output=output, name=name, whole=whole, tolerance=tolerance).site(at)
        elif is_supported(module):
            site = _in_hugging_face(module, at, task=task, tokens=tokens, name=name, tolerance=tolerance)
        else:
            site = ModuleNetwork(module, task, tokens, name, tolerance).site(at)
    except CausalignError:
        for weight in trainable:  # a module that is refused is left as it was
            weight.requires_grad_(True)
        raise
    site.network.tokenizer = tokenizer or site.network.tokenizer
    return site


def _require_none(network: Network, options: Mapping[str, Any]) -> None:
    """Check that nothing is given that only a module needs, which is no network of this package yet."""
    if given := [name for name, value in options.items() if value is not None]:
        raise InvalidArgument(
            f"{network.name} is a network, which has its own {given[0]}: leave {given[0]} out, or pass the module "
            "inside it"
        )


def _in_hugging_face(
    model: nn.Module,
    at: str,
    *,
    task: Task | None,
    tokens: Mapping[str, int] | None,
    name: str | None,
    tolerance: float | None,
) -> Site:
    """Open a place in a model of Hugging Face that has an adapter."""
    require_sound(model, name or type(model).__name__)
    network = HuggingFace(model, task, tokens, name)
    network.tolerance = tolerance
    site: Site = network.site(at)
    if not isinstance(site, ModuleSite):  # which has been checked
        check(site)
    return site


SiteType.opener = staticmethod(open_place)
