"""Sites by name, as a command line or a file gives them."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from causalign.errors import CausalignError, lookup
from causalign.networks import HuggingFace, Network, load_huggingface, load_network, zoo
from causalign.sites._base import Site
from causalign.tasks import InContext

ZOO, HUGGING_FACE = "zoo:", "hf:"


def open_site(reference: str) -> Site:
    """The site that a reference names.

    `zoo:multi-object/gru/1@hidden`, `path/to/a/saved/network@embedding`, or `hf:PATH@layer.3`, a language model that is
    shown the in-context task. Options of that one follow its path: `hf:PATH,dtype=bfloat16,counts=1..20@embedding`;
    also `words=nut/seed/stop` and `trust_remote_code=yes`.

    Without a seed the zoo's network of seed 0 is meant; without `@` the hidden state, of a language model
    the embedding.

    Raises:
        CausalignError: there is no such network, or it has no such site.
    """
    network, _, at = reference.rpartition("@")
    if not network or "/" in at:  # no site is named; an @ before the last slash belongs to the path
        network, at = reference, "embedding" if reference.startswith(HUGGING_FACE) else "hidden"
    return _network(network).site("embedding" if at == "embeddings" else at)


def _network(reference: str) -> Network:
    if reference.startswith(HUGGING_FACE):
        return _language_model(reference.removeprefix(HUGGING_FACE))
    if not reference.startswith(ZOO):
        if not Path(reference).exists():
            raise CausalignError(
                f"{reference}: no such folder; shipped networks are named {ZOO}{zoo.entries()[0].name}/0, and the "
                f"like, and language models {HUGGING_FACE}PATH"
            )
        return load_network(Path(reference))
    name, _, seed = reference.removeprefix(ZOO).rpartition("/")
    return zoo.load(name, int(seed)) if seed.isascii() and seed.isdigit() else zoo.load(reference.removeprefix(ZOO))


def _language_model(described: str) -> HuggingFace:
    """A model from `PATH` or `PATH,option=value,...`."""
    path, *options = described.split(",")
    about_task: dict[str, Any] = {}
    loading: dict[str, Any] = {}
    for option in options:
        name, _, value = option.partition("=")
        read = lookup(f"option of {HUGGING_FACE}{path}", name, _OPTIONS)
        (about_task if name in ("counts", "words") else loading)[name] = read(value)
    return load_huggingface(path, InContext(**about_task), **loading)


def _counts(value: str) -> range:
    ends = re.fullmatch(r"(\d{1,3})\.\.(\d{1,3})", value)
    if ends is None:
        raise CausalignError(f"counts are given as 1..12, found {value!r}")
    return range(int(ends[1]), int(ends[2]) + 1)


def _yes_or_no(value: str) -> bool:
    return lookup("answer to trust_remote_code", value, {"yes": True, "no": False})


_OPTIONS: dict[str, Callable[[str], Any]] = {
    "counts": _counts,
    "words": lambda value: value.split("/"),
    "dtype": str,
    "trust_remote_code": _yes_or_no,
}
