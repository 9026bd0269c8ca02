"""Sites in any PyTorch module, by forward hooks.

By definition, a swap is a run of the whole module on the target input up to the swap and on the continuation, in which
a hook replaces the state. Shortcuts are used only where they reproduce this run.
"""

from collections.abc import Sequence
from contextlib import ExitStack, suppress
from functools import partial

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from typing_extensions import override

from causalign.errors import CausalignError, InvalidArgument, unknown
from causalign.networks.devices import run_there
from causalign.networks.huggingface import HuggingFace
from causalign.networks.module import ModuleNetwork, submodules
from causalign.networks.site_registry import SiteFactory, register_site
from causalign.sites.base import Continuation, Places, Site
from causalign.sites.checks import CheckBatch, check, perturb, sample_inputs
from causalign.sites.modules.inventory import place_in
from causalign.sites.modules.next_token_check import ROUNDING, require_next_tokens
from causalign.sites.modules.place import require_one_call
from causalign.sites.modules.place_name import PlaceName
from causalign.sites.modules.recurrence_shortcut import RecurrenceShortcut
from causalign.sites.modules.recurrent_place import RecurrentPlace
from causalign.sites.prefix import Prefix
from causalign.sites.readable import Reading
from causalign.sites.transformers.decoder_parts import decoder_parts
from causalign.sites.transformers.recurrent_state import RecurrentState
from causalign.tasks.base import Task
from causalign.tasks.no_task import NoTask

_MAX_IDS = 2**14  # ids in the lookup table of recurrent inputs, at most
_AT_ONCE = 2**14  # tokens read in one pass; this bounds what the module needs beside the states


class ModuleSite(Site):
    """The state at a submodule: its output, its input or, for PyTorch's own recurrences, the state that they carry.

    Where the rest of the module works on each position by itself, the carried state determines everything that follows.
    Then only the continuation is run, and a recurrence of one layer is run apart from the rest of the module. Random
    swaps verify these shortcuts: they must reproduce the run of the whole module.

    Args:
        network: The module as a network, or a model of Hugging Face.
        task: The task whose trials the site reads.
        at: The name of the place.
        place: The place that the name stands for. By default the name itself, as `PlaceName` reads it.

    Raises:
        InvalidArgument: There is no such place, the module does not predict next tokens, or the submodule has no state
            that can be swapped there.
    """

    network: ModuleNetwork | HuggingFace
    shares_prefix = True

    def __init__(
        self, network: ModuleNetwork | HuggingFace, task: Task, *, at: str, place: PlaceName | None = None
    ) -> None:
        self._module = network if isinstance(network, ModuleNetwork) else network.as_module()
        self._place = place_in(self._module, at if place is None else place)
        self._bind(network, at, task, self._place.width)
        self._to_head = self._from_swap = False
        self._alone: RecurrenceShortcut | None = None
        tokens = sample_inputs(self, 0)
        require_next_tokens(self._module, tokens, self.absolute_tolerance(torch.ones(1)))
        self._to_head = self._heads(tokens)
        check(self)
        if isinstance(self._place, RecurrentPlace) and not self._module.prompt:
            self._find_shortcut(self._place)

    def _heads(self, tokens: Int[Tensor, "trials time"]) -> bool:
        """Whether a run that ends before the last layer calls the submodule."""
        if self._module.head is None:
            return False
        with self._place.reading(self._shape(tokens)) as states, torch.no_grad():
            self._module.before_head(tokens)
        return len(states) == 1

    @torch.no_grad()
    def _find_shortcut(self, place: RecurrentPlace) -> None:
        """Choose the shortest run that reproduces the whole run: the recurrence alone, or a run without the prefix."""
        few = CheckBatch.drawn(self, 0)
        swap = (self.prefix(few.tokens), few.places, perturb(few.at_places, 0), few.continuation)
        whole = self.resume(*swap)
        most = ROUNDING * torch.finfo(whole.dtype).eps * max(1.0, float(whole.abs().max()))

        def same() -> bool:
            found = self.resume(*swap)
            return found.shape == whole.shape and float((found - whole).abs().max()) <= most

        with suppress(CausalignError):  # a module may fail on trials of one token
            self._alone = RecurrenceShortcut.of(place, self._run, self._readable_ids())
            if self._alone is not None and same():
                return
        self._alone, self._from_swap = None, True
        self._from_swap = same()

    def _readable_ids(self) -> Int[Tensor, " ids"]:
        """Return the ids whose inputs a recurrence looks up: those of the task or, without a task, all."""
        if not isinstance(self.task, NoTask):
            return self._ids
        if self.network.inputs > _MAX_IDS:
            raise InvalidArgument(
                f"{self.network.name} reads {self.network.inputs:,} ids; a lookup table has at most {_MAX_IDS:,}"
            )
        return torch.arange(self.network.inputs, device=self.device)

    @property
    def how(self) -> str:
        """How a swap is carried out, in a few words."""
        if self._alone is not None:
            return "runs the recurrence alone"
        return "runs on from the swap" if self._from_swap else "runs the whole module for every swap"

    @override
    def __repr__(self) -> str:
        return f"Site({self.name}, width {self.width}, {self.how})"

    @override
    def read(self, tokens: Int[Tensor, "trials time"]) -> Float[Tensor, "trials time width"]:
        ((states, _),) = self.read_sites([self], tokens, stepwise=False, with_prefix=False)
        return states

    @override
    def prefix(self, tokens: Int[Tensor, "trials time"], stepwise: bool = False) -> Prefix:
        return Prefix.padded({"tokens": tokens})

    @classmethod
    @override
    @torch.no_grad()
    def read_sites(
        cls, sites: Sequence["ModuleSite"], inputs: Int[Tensor, "trials time"], *, stepwise: bool, with_prefix: bool
    ) -> list[Reading]:
        """Run the module once, with a hook at every place; up to its head, if that calls all of them."""
        network = next((site for site in sites if not site._to_head), sites[0])
        parts: list[list[Tensor]] = [[] for _ in sites]
        for part in inputs.split(max(1, _AT_ONCE // inputs.shape[1])):
            with ExitStack() as hooks:
                states = [hooks.enter_context(site._place.reading(network._shape(part))) for site in sites]
                network._run(part)
            for site, calls, of_site in zip(sites, states, parts, strict=True):
                require_one_call(calls, site.at)
                of_site.append(calls[0][:, len(network._module.prompt) :].to(site.device))
        prefix = network.prefix(inputs, stepwise) if with_prefix else Prefix.empty()
        return [(torch.cat(of_site), prefix) for of_site in parts]

    @override
    def run_from(
        self, prefix: Prefix, places: Places, state: Float[Tensor, "trials width"], continuation: Continuation
    ) -> Float[Tensor, "tokens features"]:
        if self._alone is not None:
            at_swap = prefix.at("tokens", places.trial, places.position)
            if self._alone.reads(at_swap, continuation):  # data may have ids that the task has not
                return self._alone.run_from(state, at_swap, continuation)
        first = places.position if self._from_swap else torch.zeros_like(places.position)
        tokens = self._laid_out(prefix, places, first, continuation)
        return self._swapped(tokens, places.position - first, state, continuation)

    @override
    def run_from_steps(
        self,
        prefix: Prefix,
        places: Places,
        states: Float[Tensor, "trials steps width"],
        continuation: Continuation,
    ) -> Float[Tensor, "tokens features"]:
        if self._place.carries:
            return super().run_from_steps(prefix, places, states, continuation)
        tokens = self._laid_out(prefix, places, torch.zeros_like(places.position), continuation)
        return self._swapped(tokens, places.position, states, continuation)

    @override
    def run_from_positions(
        self,
        prefix: Prefix,
        places: Places,
        states: Float[Tensor, "trials swaps width"],
        continuation: Continuation,
    ) -> Float[Tensor, "tokens features"]:
        if self._place.carries:
            return super().run_from_positions(prefix, places, states, continuation)
        tokens = self._laid_out(prefix, places, torch.zeros_like(places.position), continuation)
        with self._place.swapping(self._shape(tokens), places.positions, states, len(self._module.prompt)):
            features = self._run(tokens)
        return features[continuation.trial, places.position[continuation.trial] + continuation.step]

    def _laid_out(
        self, prefix: Prefix, places: Places, first: Int[Tensor, " trials"], continuation: Continuation
    ) -> Int[Tensor, "trials time"]:
        """Return the tokens of each row from its `first` position to the swap, then its continuation, then pads."""
        trials, steps = continuation.running[0], len(continuation.running)
        rest = self._ids[0].expand(trials, steps).clone()
        rest[continuation.trial, continuation.step] = continuation.tokens
        swap = (places.position - first)[:, None]
        end = swap + continuation.trial.bincount()[:, None]
        column = torch.arange(int(end.max()) + 1, device=rest.device)
        before = prefix.before("tokens", places.trial, int(places.position.max()) + 1)
        before = before.gather(1, (first[:, None] + column).clamp(max=before.shape[1] - 1))
        after = rest.gather(1, (column - swap - 1).clamp(0, steps - 1))
        return torch.where(column <= swap, before, torch.where(column <= end, after, self._ids[0]))

    def _swapped(
        self,
        tokens: Int[Tensor, "trials time"],
        position: Int[Tensor, " trials"],
        states: Float[Tensor, "trials ... width"],
        continuation: Continuation,
    ) -> Float[Tensor, "tokens features"]:
        """Return the features of the continuation, in a run with these states at (or stepwise, up to) the positions."""
        with self._place.swapping(self._shape(tokens), position, states, len(self._module.prompt)):
            features = self._run(tokens)
        return features[continuation.trial, position[continuation.trial] + continuation.step]

    def _shape(self, tokens: Int[Tensor, "trials time"]) -> tuple[int, int]:
        """Return the numbers of trials and of tokens that the module reads, the prompt included."""
        return len(tokens), len(self._module.prompt) + tokens.shape[1]

    def _run(self, tokens: Int[Tensor, "trials time"]) -> Float[Tensor, "trials time features"]:
        features: Tensor = self._module.before_head(tokens) if self._to_head else self._module(tokens)
        return features

    @override
    def read_out(self, features: Float[Tensor, "tokens features"]) -> Float[Tensor, "tokens vocabulary"]:
        head = self._module.head if self._to_head else None
        return features if head is None else run_there(head, features)


def places_of(module: nn.Module) -> dict[str, SiteFactory]:
    """Return the parts of a language model by uniform names, and the outputs of all submodules by path.

    Args:
        module: The module that the network runs.
    """
    parts = decoder_parts(module)
    return {
        **{at: partial(ModuleSite, at=at, place=place) for at, place in parts.places.items()},
        **{at: partial(RecurrentState, at=PlaceName(at), carried=state) for at, state in parts.states.items()},
        **{path: partial(ModuleSite, at=path) for path in submodules(module)},
    }


def parse_place(network: ModuleNetwork | HuggingFace, module: nn.Module, at: str) -> SiteFactory:
    """Return the place that a name with a side or a slice means.

    Args:
        network: The network.
        module: The module that the network runs.
        at: The name.

    Raises:
        InvalidArgument: There is no such place.
    """
    name, parts = PlaceName.parse(at), decoder_parts(module)
    if name.path in submodules(module):
        return partial(ModuleSite, at=at)
    if name.path in parts.places:
        return partial(ModuleSite, at=at, place=name.within(parts.places[name.path]))
    if name.path in parts.states:
        return partial(RecurrentState, at=name, carried=parts.states[name.path])
    parts.require(at, network.name)
    raise unknown(f"site of {network.name}", name.path, {**parts.places, **parts.states, **submodules(module)})


register_site(
    ModuleNetwork,
    lambda network: places_of(network.module),
    lambda network, at: parse_place(network, network.module, at),
)
