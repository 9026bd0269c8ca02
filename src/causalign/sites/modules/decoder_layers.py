"""The decoder layers of a causal language model of any family, found by its structure."""

from typing import Any

from torch import nn

from causalign.networks.module import submodules


def layer_names(model: nn.Module) -> dict[str, str]:
    """Return the names `embedding`, `layer.1`, ... with the path of the submodule whose output each one is.

    The decoder layers are the one outermost `ModuleList` with as many entries as the configuration has layers. The
    embedding is that of the tokens, before anything is added to it.

    Returns:
        The paths by name. Empty for a module without a configuration of Hugging Face, or with several such lists.
    """
    depth: int = getattr(getattr(model, "config", None), "num_hidden_layers", 0)
    embedding: Any = getattr(model, "get_input_embeddings", lambda: None)()
    paths = submodules(model)
    lists = {path: each for path, each in paths.items() if isinstance(each, nn.ModuleList)}
    outermost = [path for path in lists if not any(path.startswith(f"{other}.") for other in lists)]
    found = [path for path in outermost if len(lists[path]) == depth]
    if len(found) != 1:
        return {}
    layers = {f"layer.{n}": f"{found[0]}.{n - 1}" for n in range(1, depth + 1)}
    first = next((path for path, each in paths.items() if each is embedding), None)
    return layers if first is None else {"embedding": first, **layers}
