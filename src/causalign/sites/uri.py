"""References to sites by name, on the command line or in a file."""

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from causalign.errors import InvalidArgument, lookup
from causalign.networks import zoo
from causalign.networks.base import Network
from causalign.networks.checkpoint import load_network
from causalign.networks.configuration import ModelConfiguration
from causalign.networks.hub import from_pretrained
from causalign.sites.readable import Readable
from causalign.sites.recordings.toml_file import open_recording
from causalign.sites.transformers.description import SiteDescription
from causalign.tasks.base import Task
from causalign.tasks.counting import Counting
from causalign.tasks.in_context import InContext

ZOO, HUGGING_FACE = "zoo:", "hf:"
DESCRIPTION = ".toml"

_WITHIN = re.compile(r"layer\.\d+\..+|(?!layer)\w+\..+|.*[:\[].*")  # parts of a layer, paths, inputs and slices


def open_site(reference: str, *, with_task: bool = True) -> Readable:
    """Open the site that a reference names.

    | reference | site |
    | --- | --- |
    | `zoo:multi-object/gru/1@hidden` | A shipped network. Without a seed, the network of seed 0. |
    | `path/to/a/saved/network@embedding` | A saved network. |
    | `hf:PATH@layer.3` | A language model on the in-context task. |
    | `hf:PATH@layer.3.mlp`, `hf:PATH@layer.3.head.2` | Its MLP, one of its heads. |
    | `hf:PATH@model.layers.2.mlp:input[0:16]` | A slice of the input of any submodule. |
    | `FILE.toml` | A recording that the file describes. |

    Without `@PLACE` the site is the hidden state, or the embedding of a language model. Options follow the network.
    `zoo:multi-object/gru,counts=1..12` restricts a counting task to these quantities. A language model takes further
    options: `hf:PATH,dtype=bfloat16,words=nut/seed/stop`, `revision=COMMIT`, `device_map=auto` and
    `trust_remote_code=yes`.

    Args:
        reference: The reference.
        with_task: Whether a language model reads the in-context task. Without it, a counterfactual dataset with any
            tokens supplies the inputs.

    Raises:
        InvalidArgument: There is no such network, it has no such site, or an option is unknown.
        FileFormatError: A saved network or a recording cannot be read.
    """
    if reference.endswith(DESCRIPTION):
        return open_recording(Path(reference))
    named, at = network_and_place(reference)
    return open_network(named, with_task=with_task).site(at)


class OpenedNetwork(NamedTuple):
    """A network, and the task that its sites read in place of its own."""

    network: Network
    task: Task | None = None

    def site(self, at: str) -> Readable:
        """Return the site at a place.

        Raises:
            InvalidArgument: There is no such place, or its state cannot be swapped.
        """
        return self.network.site(at) if self.task is None else self.network.site(at, self.task)


def open_network(named: str, *, with_task: bool = True) -> OpenedNetwork:
    """Open the network that the reference of a site names in front of its place.

    Args:
        named: The reference without its `@PLACE`.
        with_task: Whether a language model reads the in-context task.

    Raises:
        InvalidArgument: There is no such network, or an option is unknown.
        FileFormatError: A saved network cannot be read.
    """
    if named.startswith(HUGGING_FACE):
        path, task, options = _language_model(named)
        return OpenedNetwork(from_pretrained(path, task if with_task else None, **options))
    whole = Path(named).exists()  # a comma may be part of a path
    named, options = (named, {}) if whole else _with_options(named, {"counts": _counts})
    network = _network(named)
    return OpenedNetwork(network, _showing(network, **options))


def describe_site(reference: str) -> SiteDescription | None:
    """Describe the site that a reference to a language model names, without reading weights.

    Returns:
        The description, or `None` for other references: also for places other than the residual stream, which are run
        by hooks, and for models that are run as a whole.

    Raises:
        InvalidArgument: There is no such model, or it has no such site.
    """
    named, at = network_and_place(reference)
    if reference.endswith(DESCRIPTION) or not named.startswith(HUGGING_FACE):
        return None
    if _WITHIN.fullmatch(at):
        return None
    path, task, options = _language_model(named)
    options.pop("device_map", None)
    model = ModelConfiguration(path, task, **options)
    is_layer = at == "embedding" or at.startswith("layer.")
    return SiteDescription.of(model, at) if model.is_supported and is_layer else None


def network_and_place(reference: str) -> tuple[str, str]:
    """Return the network and the place that a reference names, apart."""
    named, _, at = reference.rpartition("@")
    if not named or "/" in at:  # no site is named; an @ before the last slash belongs to the path
        named, at = reference, "embedding" if reference.startswith(HUGGING_FACE) else "hidden"
    return named, at


def _network(reference: str) -> Network:
    if not reference.startswith(ZOO):
        if not Path(reference).exists():
            raise InvalidArgument(
                f"{reference}: no such folder; shipped networks are named {ZOO}{zoo.entries()[0].name}/0 and so on, "
                f"language models {HUGGING_FACE}PATH"
            )
        return load_network(Path(reference))
    name, _, seed = reference.removeprefix(ZOO).rpartition("/")
    return zoo.load(name, int(seed)) if seed.isascii() and seed.isdigit() else zoo.load(reference.removeprefix(ZOO))


def _showing(network: Network, counts: range | None = None) -> Task:
    """Return the network's task, restricted to these quantities if there are any."""
    if counts is None:
        return network.task
    if not isinstance(network.task, Counting):
        raise InvalidArgument(f"counts apply to counting tasks; the task of {network.name} is {network.task.name}")
    return network.task.only(counts)


def _with_options(described: str, options: Mapping[str, Callable[[str], Any]]) -> tuple[str, dict[str, Any]]:
    """Return the text before the first comma, and the values of the options `name=value` behind it."""
    named, *assignments = described.split(",")
    values = {}
    for name, _, value in (assignment.partition("=") for assignment in assignments):
        values[name] = lookup(f"option of {named}", name, options)(value)
    return named, values


def _language_model(named: str) -> tuple[str, InContext, dict[str, Any]]:
    """Return the path, the task and the other options of a model from `hf:PATH` or `hf:PATH,option=value,...`."""
    path, options = _with_options(named.removeprefix(HUGGING_FACE), _OPTIONS)
    about_task = {name: options.pop(name) for name in ("counts", "words") if name in options}
    return path, InContext(**about_task), options


def _counts(value: str) -> range:
    ends = re.fullmatch(r"(\d{1,3})\.\.(\d{1,3})", value)
    if ends is None:
        raise InvalidArgument(f"counts are a range such as 1..12, found {value!r}")
    return range(int(ends[1]), int(ends[2]) + 1)


def _yes_or_no(value: str) -> bool:
    return lookup("value of trust_remote_code", value, {"yes": True, "no": False})


_OPTIONS: dict[str, Callable[[str], Any]] = {
    "counts": _counts,
    "words": lambda value: value.split("/"),
    "revision": str,
    "dtype": str,
    "device_map": str,
    "trust_remote_code": _yes_or_no,
}
