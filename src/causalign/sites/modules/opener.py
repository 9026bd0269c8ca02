"""The function that opens a place in a module as a site."""

from collections.abc import Mapping
from typing import Any

from torch import nn

from causalign import tasks
from causalign.errors import CausalignError, InvalidArgument, lookup
from causalign.networks.base import Network
from causalign.networks.huggingface import HuggingFace, is_supported
from causalign.networks.module import ModuleNetwork, require_sound, submodules
from causalign.networks.site_registry import site_factories
from causalign.networks.wrapper import inner_path, unwrap
from causalign.sites.base import Site, SiteType
from causalign.sites.checks import check
from causalign.tasks.base import Task


def open_place(
    module: Any,
    at: str,
    *,
    task: Task | str | None = None,
    tokens: Mapping[str, int] | None = None,
    name: str | None = None,
    tolerance: float | None = None,
) -> Site:
    """Open a place in a module. The arguments and the errors are those of `Site`."""
    if not isinstance(at, str):
        raise InvalidArgument(
            f"at is the path of a submodule, such as 'layers.2'; found {type(at).__name__}: Site(module, at)"
        )
    if tokens is not None and task is None:
        raise InvalidArgument("tokens are the ids of a task's tokens: pass the task too, or leave tokens out")
    if isinstance(module, Network):
        return module.site(at, tasks.by_name(task) if isinstance(task, str) else task)
    wrapper, task = module, tasks.by_name(task) if isinstance(task, str) else task
    module = unwrap(wrapper)
    at = inner_path(wrapper, module, at)
    trainable = [weight for weight in module.parameters() if weight.requires_grad]
    try:
        if is_supported(module):
            return _in_hugging_face(module, at, task=task, tokens=tokens, name=name, tolerance=tolerance)
        return ModuleNetwork(module, task, tokens, name, tolerance).site(at)
    except CausalignError:
        for weight in trainable:  # a module that is refused is left as it was
            weight.requires_grad_(True)
        raise


def _in_hugging_face(
    model: nn.Module,
    at: str,
    *,
    task: Task | None,
    tokens: Mapping[str, int] | None,
    name: str | None,
    tolerance: float | None,
) -> Site:
    """Open a place in the residual stream by the adapter of Hugging Face models, and any other place by hooks."""
    require_sound(model, name or type(model).__name__)
    network, paths = HuggingFace(model, task, tokens, name), submodules(model)
    layers = {f"layer.{n}": layer for n, layer in enumerate(network.layers, start=1)}
    found = lookup(f"site of {network.name}", at, site_factories(network) | paths)
    at = next((place for place, layer in layers.items() if layer is found), at)
    if at in paths:
        return ModuleNetwork(model, task, tokens, network.name, tolerance).site(at)
    site = network.site(at)
    if tolerance is not None:
        site.tolerance = tolerance
    check(site)
    return site


SiteType.opener = staticmethod(open_place)
