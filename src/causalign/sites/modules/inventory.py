"""The inventory of the places in a module, found in one run of it."""

from collections.abc import Callable, Iterable
from typing import Any

import pandas as pd
from torch import nn

from causalign.errors import CausalignError, InvalidArgument, lookup
from causalign.networks.base import Network
from causalign.networks.huggingface import HuggingFace
from causalign.networks.module import FEW, ModuleNetwork, few_tokens, run, submodules
from causalign.networks.site_registry import site_factories
from causalign.networks.tensor_module import Output, TensorModule, reads_whole_inputs
from causalign.networks.wrapper import unwrap
from causalign.sites.modules.first_run import calls_in
from causalign.sites.modules.place import Place, require_one_call
from causalign.sites.modules.place_name import INPUT, OUTPUT, PlaceName
from causalign.sites.modules.recurrent_place import RecurrentPlace, is_recurrence
from causalign.sites.modules.tensor_place import Call
from causalign.sites.modules.tensor_site import tensor_place
from causalign.sites.modules.token_place import TokenPlace
from causalign.sites.transformers.decoder_parts import decoder_parts


def sites_of(module: Any, inputs: Any = None, output: Output | None = None) -> pd.DataFrame:
    """List the places of a module and the states that can be swapped there, found in one run of the module.

    Args:
        module: A module, as `Site` takes it, or a network of this package.
        inputs: A few inputs of a module that reads them as a whole: a tensor `[rows, ...]`, or a mapping of several by
            name. A module without them is run on token ids, but for models of Hugging Face that read pixels, or text by
            an encoder.
        output: A function from what a module that reads inputs as a whole returns to logits, or `Regression`.

    Returns:
        One row for each part of a causal language model of Hugging Face by its uniform name, such as `layer.2.mlp`, and
        one for each submodule. `at` is the name, as `Site` takes it. `module` is the class of a submodule, or the place
        that a uniform name stands for. `width` is the width of the state, missing where nothing can be swapped. `state`
        is `output` or `input` for the side of the call, `carried` for the state that a recurrence carries, or `none`
        and the reason. `input_width` is the width of a submodule's input, the state at `PATH:input`, missing where that
        cannot be swapped.

    Raises:
        InvalidArgument: `module` is not a module, or cannot be run on the inputs.
    """
    if isinstance(module, Network):
        return _of_network(module)
    module = unwrap(module)
    whole = inputs is not None or output is not None or reads_whole_inputs(module)
    rows = _tensor_rows(module, inputs, output) if whole else _token_rows(module)
    return _table(rows)


_Row = tuple[str, str, int | None, str, int | None]
_Describe = Callable[[PlaceName], tuple[int | None, str]]


def _table(rows: list[_Row]) -> pd.DataFrame:
    columns = ["at", "module", "width", "state", "input_width"]
    return pd.DataFrame(rows, columns=columns).astype({"width": "Int64", "input_width": "Int64"})


def _of_network(network: Network) -> pd.DataFrame:
    """List the places of a network: those of the module inside it, or those of its architecture by name."""
    if isinstance(network, HuggingFace):
        return sites_of(network.model)
    if isinstance(network, TensorModule):
        return sites_of(network.module, network.example, network.output)
    if isinstance(network, ModuleNetwork):
        return sites_of(network.module)
    sites = {at: network.site(at) for at in site_factories(network)}
    return _table([(at, type(site).__name__, site.width, OUTPUT, None) for at, site in sites.items()])


def _token_rows(module: nn.Module) -> list[_Row]:
    """Return the rows of a module that predicts next tokens."""
    paths, parts = submodules(module), decoder_parts(module)
    calls = _calls(module, paths, type(module).__name__)

    def state(name: PlaceName) -> tuple[int | None, str]:
        try:
            place = _place(name, paths[name.path], calls[name.path])
        except CausalignError as error:
            return None, f"none: {error}"
        return place.width, "carried" if place.carries else name.side

    rows: list[_Row] = [(at, str(name), *state(name), None) for at, name in parts.places.items()]
    rows += [(at, each.module, each.width, "carried", None) for at, each in parts.states.items()]
    rows += [(at, "", None, f"none: {reason}", None) for at, reason in parts.missing.items()]
    return rows + _submodule_rows(module, state)


def _tensor_rows(module: nn.Module, inputs: Any, output: Output | None) -> list[_Row]:
    """Return the rows of a module that reads its input as a whole. Its weights are left as they are."""
    trainable = [weight for weight in module.parameters() if weight.requires_grad]
    try:
        network = TensorModule(module, inputs, output=output)
        calls = calls_in(module, submodules(module), lambda: network(network.example))
    finally:
        for weight in trainable:
            weight.requires_grad_(True)

    def state(name: PlaceName) -> tuple[int | None, str]:
        try:
            return tensor_place(network, name, calls[name.path])[0].width, name.side
        except CausalignError as error:
            return None, f"none: {error}"

    return _submodule_rows(module, state)


def _submodule_rows(module: nn.Module, state: _Describe) -> list[_Row]:
    return [
        (path, type(each).__name__, *state(PlaceName(path)), state(PlaceName(path, INPUT))[0])
        for path, each in submodules(module).items()
    ]


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
    """Return the calls of some submodules in one run on token ids, by path."""
    return calls_in(module, paths, lambda: run(module, few_tokens(module), name))
