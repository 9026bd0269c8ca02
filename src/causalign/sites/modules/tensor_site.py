"""Sites in a module that takes tensors, by forward hooks.

inputs --module up to the place--> states [rows, positions, width]
swapped states --the whole module on the target's inputs, with a hook at the place--> logits of every label

In a list of layers, only those above the place are run, where that reproduces the run of the whole module.

A state without positions, such as a hidden layer or a feature map, is one vector: position 0 of 1.
"""

from collections.abc import Sequence
from contextlib import ExitStack, suppress
from functools import partial

import torch
from jaxtyping import Float, Int
from torch import Tensor
from typing_extensions import override

from causalign.errors import CausalignError, InvalidArgument, lookup
from causalign.networks.devices import run_there
from causalign.networks.example_inputs import DECODER_IDS, Tensors
from causalign.networks.module import submodules
from causalign.networks.site_registry import SiteFactory, register_site
from causalign.networks.tensor_module import TensorModule
from causalign.sites.base import Continuation, Places, Site
from causalign.sites.checks import perturb
from causalign.sites.modules.first_run import calls_in
from causalign.sites.modules.next_token_check import ROUNDING
from causalign.sites.modules.place import require_one_call
from causalign.sites.modules.place_name import PlaceName
from causalign.sites.modules.tensor_check import check_tensors
from causalign.sites.modules.tensor_place import Call, TensorPlace
from causalign.sites.modules.token_place import put_entries, swap_entries
from causalign.sites.modules.upper_layers import UpperLayers
from causalign.sites.prefix import Prefix
from causalign.sites.readable import Reading
from causalign.tasks.base import Task

LABEL_POSITIONS = "label positions"
"""The table of a prefix with the positions of each row's labels in the output."""
STATES = "states"
"""The table of a prefix with the states at all positions, `[rows, positions, width]`."""
_AT_ONCE = 2**22  # numbers of the inputs that are read in one pass


class TensorSite(Site):
    """The input or the output of a submodule, or a slice of it, in a module that takes tensors.

    A state `[rows, positions, width]` has positions. A state of any other shape is flattened, and swapped whole.

    Args:
        network: The module as a network.
        task: No task: a counterfactual dataset supplies the inputs.
        at: The name of the place, as `PlaceName` reads it.

    Raises:
        InvalidArgument: There is no such place, it has no state that can be swapped, or a swap fails a check.
    """

    network: TensorModule
    takes_tensors = True
    has_positions: bool
    """Whether states have positions. Otherwise there is one, 0."""

    def __init__(self, network: TensorModule, task: Task, *, at: str) -> None:
        self._place, self.has_positions = _place_in(network, at)
        self._bind(network, at, task, self._place.width)
        self._above: UpperLayers | None = None
        check_tensors(self, network.example, self._any_label(network.example))
        self._find_shortcut()

    @torch.no_grad()
    def _find_shortcut(self) -> None:
        """Run only what follows the place, where that reproduces the run of the whole module."""
        network, example = self.network, self.network.example
        prefix, continuation = self._any_label(example)
        own = self.read(example)
        rows = torch.arange(len(own), device=self.device)
        last = torch.full_like(rows, own.shape[1] - 1)
        swapped_in = perturb(own[:, -1], 0)
        whole = self.resume(prefix, Places(rows, last), swapped_in, continuation)
        with suppress(CausalignError):
            self._above = UpperLayers.of(network.module, self._place.name, lambda: network(example))
        if self._above is None:
            return
        if self.keeps_states:
            prefix = self.prefix({**dict(prefix.tables), STATES: own})
        most = ROUNDING * torch.finfo(whole.dtype).eps * max(1.0, float(whole.abs().max()))
        network(_other_rows(example))  # a layer that leaves something behind for a later one is skipped from now on
        try:
            found = self.resume(prefix, Places(rows, last), swapped_in, continuation)
            same = found.shape == whole.shape and float((found - whole).abs().max()) <= most
        except (CausalignError, IndexError):  # what follows may need what was skipped, or a decoder further positions
            same = False
        self._above = self._above if same else None

    @property
    def keeps_states(self) -> bool:
        """Whether a prefix holds the states at all positions, of which a swap replaces some."""
        return self.has_positions and self._above is not None

    @property
    def how(self) -> str:
        """How a swap is carried out, in a few words."""
        return "runs the whole module for every swap" if self._above is None else "runs what follows the layer"

    @override
    def __repr__(self) -> str:
        state = "states with positions" if self.has_positions else "one state"
        return f"Site({self.name}, width {self.width}, {state}, {self.how})"

    @override
    def read(self, inputs: Tensors) -> Float[Tensor, "rows positions width"]:
        ((states, _),) = self.read_sites([self], inputs, stepwise=False, with_prefix=False)
        return states

    @classmethod
    @override
    @torch.no_grad()
    def read_sites(
        cls, sites: Sequence["TensorSite"], inputs: Tensors, *, stepwise: bool, with_prefix: bool
    ) -> list[Reading]:
        """Run the module once, with a hook at every place.

        The prefixes hold only what is read: the states at all positions, where a swap needs them.
        """
        rows = len(next(iter(inputs.values())))
        step = max(1, _AT_ONCE // max(each[0].numel() for each in inputs.values()))
        parts: list[list[Tensor]] = [[] for _ in sites]
        for part in torch.arange(rows).split(step):
            with ExitStack() as hooks:
                states = [hooks.enter_context(site._place.reading((len(part),))) for site in sites]
                sites[0].network({name: each[part] for name, each in inputs.items()})
            for site, calls, of_site in zip(sites, states, parts, strict=True):
                require_one_call(calls, site.at)
                of_site.append((calls[0] if site.has_positions else calls[0][:, None]).to(site.device))
        found = [torch.cat(of_site) for of_site in parts]
        return [
            (each, site.prefix({STATES: each}) if with_prefix and site.keeps_states else Prefix.empty())
            for site, each in zip(sites, found, strict=True)
        ]

    @override
    def prefix(self, inputs: Tensors, stepwise: bool = False) -> Prefix:
        """Return the inputs themselves, with one entry for each row."""
        first = next(iter(inputs.values()))
        rows = torch.arange(len(first), device=first.device)
        return Prefix(dict(inputs), rows, torch.ones_like(rows))

    @override
    def run_from(
        self, prefix: Prefix, places: Places, state: Float[Tensor, "trials width"], continuation: Continuation
    ) -> Float[Tensor, "tokens features"]:
        return self._swapped(prefix, places, (places.position, state), continuation)

    @override
    def run_from_positions(
        self,
        prefix: Prefix,
        places: Places,
        states: Float[Tensor, "trials swaps width"],
        continuation: Continuation,
    ) -> Float[Tensor, "tokens features"]:
        return self._swapped(prefix, places, (places.positions, states), continuation)

    @override
    def run_from_steps(
        self,
        prefix: Prefix,
        places: Places,
        states: Float[Tensor, "trials steps width"],
        continuation: Continuation,
    ) -> Float[Tensor, "tokens features"]:
        return self._swapped(prefix, places, (places.position, states), continuation)

    def _swapped(
        self,
        prefix: Prefix,
        places: Places,
        swaps: tuple[Int[Tensor, "trials ..."], Float[Tensor, "trials ... width"]],
        continuation: Continuation,
    ) -> Float[Tensor, "tokens features"]:
        """Return the features of every label, in a run with these states at these positions."""
        trial, position, values = swap_entries(*swaps)

        def change(own: Float[Tensor, "trials ... width"]) -> Float[Tensor, "trials ... width"]:
            entries = (trial, position) if self.has_positions else (trial,)
            return put_entries(own, entries, values)

        if self._above is None:
            with self._place.writing((len(places.trial),), change):
                return self.plain(prefix, places.trial, continuation)
        if self.has_positions:
            values = change(prefix.at(STATES, places.trial, torch.zeros_like(places.trial)))
        with self._above.giving(values):
            return self.plain(prefix, places.trial, continuation)

    def plain(
        self, prefix: Prefix, trial: Int[Tensor, " trials"], continuation: Continuation
    ) -> Float[Tensor, "tokens features"]:
        """Return the features of every label, in a run on some rows of the prefix.

        A decoder reads its own first ids, and then the labels but the last.
        """
        first = torch.zeros_like(trial)
        inputs = {name: prefix.at(name, trial, first) for name in self.network.example}
        step, row = continuation.step, continuation.trial
        if self.network.decodes:
            begun = inputs[DECODER_IDS]
            written = begun.new_zeros(len(trial), len(continuation.running))
            written[row, step] = continuation.tokens
            inputs[DECODER_IDS] = torch.cat([begun, written[:, :-1]], dim=1)
            return self.network.features(inputs)[row, begun.shape[1] - 1 + step]
        found = self.network.features(inputs)
        if self.network.per_position:
            return found[row, prefix.at(LABEL_POSITIONS, trial, first)[row, step]]
        return found[row, step][:, None] if self.network.regression else found[row]

    @override
    def read_out(self, features: Float[Tensor, "tokens features"]) -> Float[Tensor, "tokens classes"]:
        head = self.network.head
        return features if head is None else run_there(head, features)

    def _any_label(self, example: Tensors) -> tuple[Prefix, Continuation]:
        """Return the prefix and the labels of a check on an example: class 0, or numbers of 0, in every row.

        The labels of a decoder are two tokens, so that it reads more positions than its own first ids.
        """
        prefix = self.prefix(example)
        rows = len(prefix.starts)
        steps = self.network.known if self.network.regression else 2 if self.network.decodes else 1
        if self.network.has_label_positions:
            positions = torch.zeros(rows, 1, dtype=torch.long, device=prefix.starts.device)
            prefix = self.prefix({**example, LABEL_POSITIONS: positions})
        tokens = torch.zeros(rows, steps, dtype=torch.long, device=prefix.starts.device)
        return prefix, Continuation.pack(tokens, torch.full((rows,), steps, device=tokens.device))


def _other_rows(example: Tensors) -> Tensors:
    """Return inputs that differ from an example: its last row in place of every row, its numbers half as large."""
    last = {name: each[-1:].expand_as(each) for name, each in example.items()}
    return {name: each / 2 if each.is_floating_point() else each.clone() for name, each in last.items()}


def tensor_place(network: TensorModule, name: PlaceName, calls: Sequence[Call]) -> tuple[TensorPlace, bool]:
    """Return the place of a name, and whether its states have positions.

    Args:
        network: The module as a network.
        name: The name, taken apart.
        calls: The calls of its submodule in a run on the network's example.

    Raises:
        InvalidArgument: The submodule is never called or more than once, or it has no state that can be swapped there.
    """
    require_one_call(calls, name.path)
    submodule, rows = submodules(network.module)[name.path], len(next(iter(network.example.values())))
    entry = TensorPlace(submodule, PlaceName(name.path, name.side), calls[0], (rows,)).entry
    has_positions = len(entry) == 2 and not network.whole
    leading = (rows, entry[0]) if has_positions else (rows,)
    return TensorPlace(submodule, name, calls[0], leading), has_positions


def _place_in(network: TensorModule, at: str) -> tuple[TensorPlace, bool]:
    """Return the place of a name, and whether its states have positions.

    Raises:
        InvalidArgument: There is no such submodule, it is never called or more than once, or it has no state that can
            be swapped there.
    """
    there = submodules(network.module)
    name = PlaceName(at) if at in there else PlaceName.parse(at)
    lookup(f"site of {network.name}", name.path, there)
    calls = calls_in(network.module, [name.path], lambda: network(network.example))[name.path]
    try:
        return tensor_place(network, name, calls)
    except InvalidArgument as error:
        raise InvalidArgument(f"{network.name}: {error}") from None


def _places(network: TensorModule) -> dict[str, SiteFactory]:
    """Return the outputs of all submodules."""
    return {path: partial(TensorSite, at=path) for path in submodules(network.module)}


def _parse(network: TensorModule, at: str) -> SiteFactory:
    """Return the place that a name with a side or a slice means."""
    lookup(f"site of {network.name}", PlaceName.parse(at).path, submodules(network.module))
    return partial(TensorSite, at=at)


register_site(TensorModule, _places, _parse)
