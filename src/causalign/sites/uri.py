"""Sites by name, as a command line or a file gives them."""

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

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


def open_site(reference: str, *, with_task: bool = True) -> Readable:
    """The site that a reference names.

    `zoo:multi-object/gru/1@hidden`, `path/to/a/saved/network@embedding`, or `hf:PATH@layer.3`, a language model that is
    shown the in-context task. Options follow the network: `zoo:multi-object/gru,counts=1..12` is shown only these
    quantities of a counting task, and a language model has more, `hf:PATH,dtype=bfloat16,words=nut/seed/stop`
    and `trust_remote_code=yes`. A file `*.toml` describes a recording.

    With `with_task=False` a language model is opened without the in-context task: for data of one's own, whatever its
    tokens are. Without a seed the zoo's network of seed 0 is meant; without `@` the hidden state, or a language model's
    embedding.

    Raises:
        InvalidArgument: there is no such network, or it has no such site.
    """
    if reference.endswith(DESCRIPTION):
        return open_recording(Path(reference))
    named, at = _parted(reference)
    if named.startswith(HUGGING_FACE):
        path, task, options = _language_model(named)
        return from_pretrained(path, task if with_task else None, **options).site(at)
    whole = Path(named).exists()  # a comma may be part of a path
    named, options = (named, {}) if whole else _with_options(named, {"counts": _counts})
    network = _network(named)
    return network.site(at, _showing(network, **options))


def describe_site(reference: str) -> SiteDescription | None:
    """The place that a reference to a language model names, of which no weights are read; none for other references.

    Raises:
        InvalidArgument: there is no such model, or it has no such place.
    """
    named, at = _parted(reference)
    if reference.endswith(DESCRIPTION) or not named.startswith(HUGGING_FACE):
        return None
    path, task, options = _language_model(named)
    return SiteDescription.of(ModelConfiguration(path, task, **options), at)


def _parted(reference: str) -> tuple[str, str]:
    """The network and the place that a reference names."""
    named, _, at = reference.rpartition("@")
    if not named or "/" in at:  # no site is named; an @ before the last slash belongs to the path
        named, at = reference, "embedding" if reference.startswith(HUGGING_FACE) else "hidden"
    return named, "embedding" if at == "embeddings" else at


def _network(reference: str) -> Network:
    if not reference.startswith(ZOO):
        if not Path(reference).exists():
            raise InvalidArgument(
                f"{reference}: no such folder; shipped networks are named {ZOO}{zoo.entries()[0].name}/0, and the "
                f"like, and language models {HUGGING_FACE}PATH"
            )
        return load_network(Path(reference))
    name, _, seed = reference.removeprefix(ZOO).rpartition("/")
    return zoo.load(name, int(seed)) if seed.isascii() and seed.isdigit() else zoo.load(reference.removeprefix(ZOO))


def _showing(network: Network, counts: range | None = None) -> Task:
    """The network's task, with these quantities alone if some are named."""
    if counts is None:
        return network.task
    if not isinstance(network.task, Counting):
        raise InvalidArgument(f"counts are of counting tasks, and {network.name} is of {network.task.name}")
    return network.task.only(counts)


def _with_options(described: str, options: Mapping[str, Callable[[str], Any]]) -> tuple[str, dict[str, Any]]:
    """What is before the first comma, and the options behind it, `name=value`."""
    named, *given = described.split(",")
    found = {}
    for name, _, value in (option.partition("=") for option in given):
        found[name] = lookup(f"option of {named}", name, options)(value)
    return named, found


def _language_model(named: str) -> tuple[str, InContext, dict[str, Any]]:
    """The path, the task and what else is said of a model, from `hf:PATH` or `hf:PATH,option=value,...`."""
    path, options = _with_options(named.removeprefix(HUGGING_FACE), _OPTIONS)
    about_task = {name: options.pop(name) for name in ("counts", "words") if name in options}
    return path, InContext(**about_task), options


def _counts(value: str) -> range:
    ends = re.fullmatch(r"(\d{1,3})\.\.(\d{1,3})", value)
    if ends is None:
        raise InvalidArgument(f"counts are given as 1..12, found {value!r}")
    return range(int(ends[1]), int(ends[2]) + 1)


def _yes_or_no(value: str) -> bool:
    return lookup("answer to trust_remote_code", value, {"yes": True, "no": False})


_OPTIONS: dict[str, Callable[[str], Any]] = {
    "counts": _counts,
    "words": lambda value: value.split("/"),
    "dtype": str,
    "trust_remote_code": _yes_or_no,
}
