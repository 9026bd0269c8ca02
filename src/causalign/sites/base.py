"""What a site is: a place in a network whose state can be read, swapped, and run on from."""

from abc import ABCMeta
from collections.abc import Callable, Mapping
from copy import deepcopy
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from typing_extensions import override

from causalign.errors import InvalidArgument
from causalign.networks.base import Network
from causalign.sites.prefix import Prefix
from causalign.sites.readable import Readable
from causalign.tasks.base import Sequences, Task
from causalign.tasks.trials import Trials


@dataclass(frozen=True, eq=False)
class Places:
    """Where states are swapped, one entry an intervention."""

    trial: Int[Tensor, " trials"]
    """Which row of what was prepared."""
    position: Int[Tensor, " trials"]
    """At which position, or, stepwise, up to which."""

    def take(self, index: Int[Tensor, " chosen"]) -> "Places":
        """Some of them, or the same in another order."""
        return Places(self.trial[index], self.position[index])


@dataclass(frozen=True, eq=False)
class Continuation:
    """The tokens to be predicted after a swap, packed.

    The trials are sorted, the longest continuation first, and the tokens are laid out step by step: the first
    token of every trial, then the second of every trial that has one, and so on (the layout of torch's
    `PackedSequence`). Trials that have ended drop out of the work, and there are no pads.
    """

    tokens: Int[Tensor, " tokens"]
    trial: Int[Tensor, " tokens"]
    """The row of the trial that each token belongs to."""
    step: Int[Tensor, " tokens"]
    """How many tokens of its continuation come before it."""
    running: tuple[int, ...]
    """`running[k]`: how many trials have more than k tokens; never grows."""
    fed: Float[Tensor, "fed width"] | None = None
    """What `Site.feed` gives for it, where that is known already."""

    @property
    def behind_first(self) -> tuple[Int[Tensor, " fed"], Int[Tensor, " fed"]]:
        """Trial and step of what is fed on the way: all but the last token of every trial.

        A token at step k is fed where that at step k + 1 is predicted, so that these are packed alike.
        """
        trials = self.running[0]
        return self.trial[trials:], self.step[trials:] - 1

    @classmethod
    def pack(cls, tokens: Int[Tensor, "trials steps"], lengths: Int[Tensor, " trials"]) -> "Continuation":
        """Pack padded tokens of trials that are sorted by `lengths`, the longest first."""
        present = torch.arange(tokens.shape[1], device=tokens.device)[:, None] < lengths
        step, trial = present.nonzero(as_tuple=True)
        running = tuple(count for count in present.sum(1).tolist() if count)
        return cls(tokens[trial, step], trial, step, running)


class SiteType(ABCMeta):
    """The type of `Site`: called itself, `Site` opens a place in a module; called, a subclass makes an instance."""

    opener: Callable[..., Any]
    """The function that opens a place in a module; `sites.modules.opener` sets it."""

    def __call__(cls, *args: Any, **options: Any) -> Any:
        """Open a place in a module, or make an instance of a subclass."""
        return SiteType.opener(*args, **options) if cls is Site else super().__call__(*args, **options)


class Site(Readable, metaclass=SiteType):
    """A place in a frozen network whose activations can be read, replaced, and run on from.

    `Site(module, at)` opens a place in a module that predicts next tokens: `module(input_ids)` returns logits
    `[rows, time, vocabulary]`, alone, as `.logits`, or as the first entry of a tuple. The state at position t is the
    one after token t has been read; a swap at t changes that state, and the prediction of token t + 1 is the first that
    can change.

    Main arguments:
        module: A module in evaluation mode. It is frozen (its weights take no gradient from now on) and checked on a
            few inputs.
        at: The path of a submodule, such as `"rnn"` or `"blocks.1"`; `sites_of(module)` lists them. The state is what
            the submodule returns, `[rows, time, width]`, alone or within a tuple or a dict. The state of an `nn.GRU`,
            `nn.LSTM` or `nn.RNN` is everything it carries, `[h ; c]` of all layers. Causal language models of Hugging
            Face also have `"embedding"`, `"layer.1"`, ...

    Other Arguments:
        task: A task, or the name of one, whose trials the site reads. Without a task, a counterfactual dataset supplies
            the inputs.
        tokens: The module's id of each of the task's tokens; needed with a task only. The pad `P` may be left out.
        name: The module's name in results; by default, that of its class.
        tolerance: The largest difference between the logits of a resumed run and of the plain run, as a share of the
            largest logit. By default 1e-4, or what half precision can resolve.

    Raises:
        InvalidArgument: The module is in training mode, not deterministic, or does not predict next tokens; there is no
            such place, or its state cannot be swapped; `tokens` do not fit the task.
    """

    task: Task
    tolerance: float = 1e-4
    """The largest difference between logits of a resumed and of the plain run, as a share of the largest logit."""

    def __init__(
        self,
        module: Any,
        at: str,
        *,
        task: Task | str | None = None,
        tokens: Mapping[str, int] | None = None,
        name: str | None = None,
        tolerance: float | None = None,
    ) -> None:
        raise NotImplementedError

    def _bind(self, network: Network, at: str, task: Task, width: int) -> None:
        """Attach the site to its network; every subclass begins with this."""
        self.network, self.at, self.task, self.width = network, at, task, width
        self.name = f"{network.name}@{at}"
        self.made_for = (self.device, self.dtype)
        self.require_frozen()
        ids = task.vocabulary.within(network.ids, whose=network.name)
        self._ids = torch.from_numpy(ids).to(self.device)

    def require_frozen(self) -> None:
        """Check that the network is in evaluation mode, its weights take no gradient, and both are where they were.

        Raises:
            InvalidArgument: it is not so.
        """
        if any(module.training for module in self.network.modules()):
            raise InvalidArgument(f"{self.network.name} is in training mode; call its .eval() first")
        if any(weight.requires_grad for weight in self.network.parameters()):
            raise InvalidArgument(f"the weights of {self.network.name} are trainable; call its .freeze() first")
        if self.made_for != (self.device, self.dtype):
            raise InvalidArgument(
                f"{self.network.name} was moved or cast after {self.name} was made; make the site again"
            )

    @property
    @override
    def system(self) -> str:
        return self.network.name

    @property
    @override
    def fingerprint(self) -> str:
        return self.network.fingerprint

    @override
    def cast(self, dtype: torch.dtype) -> "Site":
        """The same place in a copy of the network at another precision."""
        if dtype == self.dtype:
            return self
        found = deepcopy(self.network).to(dtype).site(self.at, self.task)
        if type(found) is not type(self):
            raise InvalidArgument(f"{self.name} is a site of one's own, and cannot be made again at another precision")
        return found

    def absolute_tolerance(self, logits: Float[Tensor, "..."]) -> float:
        """By how much logits of a run that goes on from a state may differ from these, of the plain run.

        That is `tolerance` of the largest, or at half precision what that can tell apart.
        """
        return max(self.tolerance, 4 * torch.finfo(self.dtype).eps) * max(1.0, float(logits.abs().max()))

    @property
    @override
    def dtype(self) -> torch.dtype:
        """Of the network's weights, and so of its states."""
        return next(self.network.parameters()).dtype

    @property
    @override
    def device(self) -> torch.device:
        """Where the network's weights are."""
        return next(self.network.parameters()).device

    def encode(self, tokens: Int[np.ndarray, "trials time"]) -> Int[Tensor, "trials time"]:
        """The network's ids of the task's tokens."""
        return self._ids[torch.from_numpy(tokens).to(self.device)]

    @override
    def draw(self, count: int, split: str, rng: np.random.Generator) -> Sequences:
        """New trials of the task; a split's are its own because its generator is."""
        return self.task.trials(count, rng)

    @override
    def swappable(self, trials: Trials) -> Bool[np.ndarray, "trials time"]:
        return self.task.swappable(_sequences(trials).tokens)

    @override
    def states_and_prefix(
        self, trials: Trials, time: int, stepwise: bool = False
    ) -> tuple[Float[Tensor, "trials time width"], Prefix]:
        tokens = self.encode(_sequences(trials).tokens[:, :time])
        return self.read(tokens), self.prefix(tokens, stepwise)

    def read(self, tokens: Int[Tensor, "trials time"]) -> Float[Tensor, "trials time width"]:
        """The states at every position, without a gradient."""
        raise NotImplementedError

    def prefix(self, tokens: Int[Tensor, "trials time"], stepwise: bool = False) -> Prefix:
        """Whatever precedes a swap in these trials, wherever it is, computed once and without a gradient.

        Stepwise, that is only what swapped states themselves do not replace.
        """
        raise NotImplementedError

    def run_from(
        self, prefix: Prefix, places: Places, state: Float[Tensor, "trials width"], continuation: Continuation
    ) -> Float[Tensor, "tokens features"]:
        """The features that every token of the continuation is predicted from, run on from `state`.

        Differentiable in `state`.
        """
        raise NotImplementedError

    def run_from_steps(
        self,
        prefix: Prefix,  # noqa: ARG002
        places: Places,  # noqa: ARG002
        states: Float[Tensor, "trials steps width"],  # noqa: ARG002
        continuation: Continuation,  # noqa: ARG002
    ) -> Float[Tensor, "tokens features"]:
        """The same with the states of all positions up to the places' given; columns beyond them are not looked at.

        Raises:
            InvalidArgument: the site cannot be swapped stepwise.
        """
        raise InvalidArgument(
            f"{self.name} cannot be swapped stepwise: each state replaces all that the ones before it carried; "
            "swap it at one position"
        )

    feeds: bool = False
    """Whether a continuation's tokens take work before they reach this site: `feed` does it for all swaps alike."""

    def feed(
        self,
        prefix: Prefix,  # noqa: ARG002
        places: Places,  # noqa: ARG002
        continuation: Continuation,  # noqa: ARG002
    ) -> Float[Tensor, "fed width"]:
        """The continuation's tokens as they reach this site, all but the last of every trial; no swap changes them.

        Raises:
            InvalidArgument: nothing that could be kept is fed here.
        """
        raise InvalidArgument(f"{self.name} is fed nothing that could be kept")

    def read_out(self, features: Float[Tensor, "tokens features"]) -> Float[Tensor, "tokens vocabulary"]:
        """The logits, row by row: so that they are never needed all at once."""
        raise NotImplementedError

    def resume(
        self, prefix: Prefix, places: Places, state: Float[Tensor, "trials width"], continuation: Continuation
    ) -> Float[Tensor, "tokens vocabulary"]:
        """The logits of every token of the continuation, run on from `state`; differentiable in `state`."""
        return self.read_out(self.run_from(prefix, places, state, continuation))

    def resume_steps(
        self,
        prefix: Prefix,
        places: Places,
        states: Float[Tensor, "trials steps width"],
        continuation: Continuation,
    ) -> Float[Tensor, "tokens vocabulary"]:
        """The same from the states of all positions up to the places'.

        Raises:
            InvalidArgument: the site cannot be swapped stepwise.
        """
        return self.read_out(self.run_from_steps(prefix, places, states, continuation))

    def __repr__(self) -> str:
        return f"Site({self.name}, width {self.width})"


def require_site(site: Readable, what: str) -> Site:
    """The site that `what` takes, because it runs networks.

    Raises:
        InvalidArgument: it can only be read.
    """
    if not isinstance(site, Site):
        raise InvalidArgument(f"{site.name} is a recording: it can be read and never run, and {what}")
    return site


def _sequences(trials: Trials) -> Sequences:
    assert isinstance(trials, Sequences)  # what `draw` gave
    return trials
