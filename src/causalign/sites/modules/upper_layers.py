"""The run of what follows a layer in a list of layers, without the layers below it.

    layers 0 .. k of the list: skipped, layer k returns the given states
    everything else of the module: runs as it is

Where a path leads past the list (a skip connection to a later layer) this is not exact; the caller compares it with the
run of the whole module.
"""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

from jaxtyping import Float
from torch import Tensor, nn
from torch.utils import _pytree as pytree

from causalign.sites.modules.first_run import calls_in
from causalign.sites.modules.place_name import INPUT, PlaceName


class UpperLayers:
    """A layer in a list of layers, from whose output the rest of the module is run.

    Args:
        layers: The layers of the list up to this one.
        outputs: The output of each in a first run: a tensor, alone or in a container without another one.
    """

    def __init__(self, layers: list[nn.Module], outputs: list[Any]) -> None:
        self._layers, self._outputs = layers, outputs
        self._entry = _tensors(outputs[-1])[0].shape[1:]

    @classmethod
    def of(cls, module: nn.Module, name: PlaceName, run: Callable[[], Any]) -> "UpperLayers | None":
        """Return the layer that a name means; `None` if it is in no list, or is not run once by itself.

        Args:
            module: The module.
            name: The name of the place.
            run: A function that runs the module on an example.
        """
        above, _, last = name.path.rpartition(".")
        parent = module.get_submodule(above)
        if name.side == INPUT or name.is_sliced or not isinstance(parent, nn.ModuleList | nn.Sequential):
            return None
        names = [each for each, _ in parent.named_children()]
        paths = [f"{above}.{each}".removeprefix(".") for each in names[: names.index(last) + 1]]
        calls = list(calls_in(module, paths, run).values())
        alone = all(len(kept) == 1 and len(_tensors(kept[0].output)) == 1 for kept in calls)
        layers = [module.get_submodule(path) for path in paths]
        return cls(layers, [kept[0].output for kept in calls]) if alone else None

    @contextmanager
    def giving(self, states: Float[Tensor, "rows *positions width"]) -> Iterator[None]:
        """Open a context in which the layers are skipped, and the last of them returns these states.

        Args:
            states: The states, `[rows, positions, width]`, or `[rows, width]` where they are flattened.
        """
        shaped = states if states.dim() == 3 else states.unflatten(1, self._entry)
        with ExitStack() as stack:
            for layer, output in zip(self._layers, self._outputs, strict=True):
                stack.enter_context(_skipped(layer, _with_tensor(output, shaped)))
            yield


@contextmanager
def _skipped(layer: nn.Module, output: Any) -> Iterator[None]:
    """Open a context in which a layer returns an output without being run."""
    own = layer.__dict__.get("forward")
    layer.forward = lambda *_, **__: output
    try:
        yield
    finally:
        if own is None:
            del layer.forward
        else:
            layer.forward = own


def _tensors(output: Any) -> list[Tensor]:
    return [each for each in pytree.tree_flatten(output)[0] if isinstance(each, Tensor)]


def _with_tensor(output: Any, tensor: Tensor) -> Any:
    leaves, containers = pytree.tree_flatten(output)
    placed = [tensor.to(leaf.device) if isinstance(leaf, Tensor) else leaf for leaf in leaves]
    return pytree.tree_unflatten(placed, containers)
