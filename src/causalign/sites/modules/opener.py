"""The site at a place of anybody's module."""

from collections.abc import Mapping
from typing import Any

from torch import nn

from causalign import tasks
from causalign.errors import CausalignError, lookup
from causalign.networks.huggingface import HuggingFace, is_supported
from causalign.networks.module import ModuleNetwork, require_sound, submodules, unwrap
from causalign.sites.base import Site
from causalign.sites.checks import check
from causalign.tasks.base import Task


def site_in(
    module: Any,
    at: str,
    *,
    task: Task | str,
    tokens: Mapping[str, int],
    name: str | None = None,
    tolerance: float | None = None,
) -> Site:
    """A place in a module that predicts next tokens: `module(input_ids)` gives logits `[trials, time, vocabulary]`.

    Args:
        module: Anybody's module, in evaluation mode; it is frozen (its weights take no gradient from now on), and
            checked on a few trials. Its logits may also be `.logits` of what it gives, or the first entry of a tuple.
        at: The path of a submodule, `rnn` or `blocks.1`: `sites_of(module)` lists them. The state is what that gives,
            `[trials, time, width]`, on its own or in a tuple or dict; that of an `nn.GRU`, `nn.LSTM` or `nn.RNN` is all
            it carries, `[h ; c]` of all layers. Of a causal language model of Hugging Face also `embedding`, `layer.1`.
        task: Whose trials the module is shown; one of the project's by its name.
        tokens: The module's id of each of the task's tokens. The pad `P` may be left out.
        name: What the module is called wherever it is reported; by default, as its class is.
        tolerance: How much of the largest logit a run that goes on from a state may differ from the plain run; by
            default 1e-4, or what half precision can tell apart.

    Raises:
        CausalignError: the module is in training mode, random, no next-token predictor, or cannot be run; there is no
            such place, or nothing there that can be swapped; `tokens` do not fit.
    """
    module, task = unwrap(module), tasks.by_name(task) if isinstance(task, str) else task
    trainable = [weight for weight in module.parameters() if weight.requires_grad]
    try:
        if is_supported(module):
            return _in_hugging_face(module, at, task, tokens, name, tolerance)
        return ModuleNetwork(module, task, tokens, name, tolerance).site(at)
    except CausalignError:
        for weight in trainable:  # what is refused is left as it was
            weight.requires_grad_(True)
        raise


def _in_hugging_face(
    model: nn.Module, at: str, task: Task, tokens: Mapping[str, int], name: str | None, tolerance: float | None
) -> Site:
    """A place in the residual stream by the model's adapter, any other by hooks."""
    require_sound(model, name or type(model).__name__)
    network, paths = HuggingFace(model, task, tokens, name), submodules(model)
    layers = {f"layer.{n}": layer for n, layer in enumerate(network.layers, start=1)}
    found = lookup(f"site of {network.name}", at, {**paths, **network.places})
    at = next((place for place, layer in layers.items() if layer is found), at)
    if at not in network.places:
        return ModuleNetwork(model, task, tokens, network.name, tolerance).site(at)
    site = network.site(at)
    if tolerance is not None:
        site.tolerance = tolerance
    check(site)
    return site
