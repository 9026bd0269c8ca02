"""The base of all sites: a site is a place in a network whose state can be read, swapped, and run on from."""

from abc import ABCMeta
from collections.abc import Callable, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float, Int, Num
from torch import Tensor
from typing_extensions import override

from causalign.errors import InvalidArgument
from causalign.networks.base import Network
from causalign.networks.tensor_module import Output
from causalign.notebook import summary_html
from causalign.sites.prefix import Prefix
from causalign.sites.readable import Readable, Reading
from causalign.tasks.base import Sequences, Task
from causalign.tasks.no_task import NoTask
from causalign.tasks.trials import Trials


@dataclass(frozen=True, eq=False)
class Places:
    """The places of swaps: one entry for each row."""

    trial: Int[Tensor, " trials"]
    """The index of each row's input among the inputs of the prefix."""
    position: Int[Tensor, " trials"]
    """The position of each swap: the first, where there are several. A stepwise swap replaces the states of all
    positions up to it."""
    later: Int[Tensor, "trials further"] | None = None
    """The positions of further swaps in the same input, in ascending order."""

    def take(self, index: Int[Tensor, " chosen"]) -> "Places":
        """Return the places at some indices, in their order."""
        return Places(self.trial[index], self.position[index], None if self.later is None else self.later[index])

    @classmethod
    def joined(cls, parts: Sequence["Places"]) -> "Places":
        """Return the places of several batches, one after another. All have as many swaps in each input."""
        later = [part.later for part in parts if part.later is not None]
        return cls(
            torch.cat([part.trial for part in parts]),
            torch.cat([part.position for part in parts]),
            torch.cat(later) if later else None,
        )

    @property
    def positions(self) -> Int[Tensor, "trials swaps"]:
        """The positions of all swaps."""
        first = self.position[:, None]
        return first if self.later is None else torch.cat([first, self.later], dim=1)


@dataclass(frozen=True, eq=False)
class Continuation:
    """The tokens to predict after a swap (the expected output of each row), packed.

    Rows are sorted by length, the longest first. Tokens are laid out step by step: the first token of every row, then
    the second of every row that has one, and so on (the layout of torch's `PackedSequence`). There are no pads, and
    rows that have ended take no work.
    """

    tokens: Num[Tensor, " tokens"]
    """The id of each token, or of each class; or the numbers that a regression predicts."""
    trial: Int[Tensor, " tokens"]
    """The index of the row that each token belongs to."""
    step: Int[Tensor, " tokens"]
    """The number of tokens that come before each token in its row."""
    running: tuple[int, ...]
    """The number of rows with more than k tokens, for k = 0, 1, ...: it never increases."""
    fed: Float[Tensor, "fed width"] | None = None
    """The result of `Site.feed` for these tokens, where it is known already."""

    @property
    def behind_first(self) -> tuple[Int[Tensor, " fed"], Int[Tensor, " fed"]]:
        """The row and the step of the tokens that are fed: all but the last token of every row.

        The token at step k is fed to predict the one at step k + 1. Fed tokens are therefore packed like the
        predictions behind the first step.
        """
        trials = self.running[0]
        return self.trial[trials:], self.step[trials:] - 1

    def fed_entry(self, trial: Int[Tensor, " chosen"], step: Int[Tensor, " chosen"]) -> Int[Tensor, " chosen"]:
        """Return the index of some tokens among those that are fed."""
        before = torch.tensor([0, *self.running[1:]], device=step.device).cumsum(0)
        return before[step] + trial

    @classmethod
    def pack(cls, tokens: Num[Tensor, "trials steps"], lengths: Int[Tensor, " trials"]) -> "Continuation":
        """Pack padded tokens.

        Args:
            tokens: The tokens of each row, `[trials, steps]`. Rows are sorted by length, the longest first.
            lengths: The number of tokens of each row.
        """
        present = torch.arange(tokens.shape[1], device=tokens.device)[:, None] < lengths
        step, trial = present.nonzero(as_tuple=True)
        running = tuple(count for count in present.sum(1).tolist() if count)
        return cls(tokens[trial, step], trial, step, running)


class SiteType(ABCMeta):
    """The metaclass of sites: calling `Site` opens a place in a module, and calling a subclass makes an instance."""

    opener: Callable[..., Any]
    """The function that opens a place in a module. `sites.modules.opener` sets it."""

    def __call__(cls, *args: Any, **options: Any) -> Any:
        """Open a place in a module, or make an instance of a subclass."""
        return SiteType.opener(*args, **options) if cls is Site else super().__call__(*args, **options)


class Site(Readable, metaclass=SiteType):
    """A place in a frozen network whose activations can be read, replaced, and run on from.

    `Site(module, at)` opens a place in a module. Modules are of two kinds:

    * A module that predicts next tokens: `module(input_ids)` returns logits `[rows, time, vocabulary]`, alone, as
      `.logits`, or as the first entry of a tuple. The state at position t is the one after token t has been read; a
      swap at t changes that state, and the prediction of token t + 1 is the first that can change.
    * A module that reads its input as a whole: vectors, images, or several tensors by name, of which `inputs=` shows a
      few. It returns logits `[rows, classes]`, or `[rows, positions, classes]` as masked encoders and decoders do.
      Models of Hugging Face that read pixels, or text by an encoder, need no `inputs`.

    Main arguments:
        module: A module in evaluation mode. It is frozen (its weights take no gradient from now on) and checked on a
            few inputs.
        at: The path of a submodule, such as `"rnn"` or `"blocks.1"`. `sites_of(module)` lists them. The state is the
            output of the submodule, `[rows, time, width]`, alone or within a tuple or a dict; `"blocks.1:input"` is its
            first tensor argument, and `"blocks.1[0:16]"` a slice, the other coordinates staying as they are. In a
            module that reads its input as a whole, a state of another number of dimensions is flattened, and swapped
            whole. The state of an `nn.GRU`, `nn.LSTM` or `nn.RNN` that predicts next tokens is everything it carries,
            `[h ; c]` of all layers. Causal language models of Hugging Face also have `"embedding"`, `"layer.2"`,
            `"layer.2.mlp"`, `"layer.2.attention"` and `"layer.2.head.3"`.

    Other Arguments:
        task: A task, or the name of one, whose trials the site reads. Without a task, a counterfactual dataset supplies
            the inputs.
        tokens: The module's id of each of the task's tokens. They are needed only with a task. The pad `P` may be left
            out.
        name: The module's name in results. By default the name of its class.
        tolerance: The largest difference between the logits of a resumed run and of the plain run, as a share of the
            largest logit. By default 1e-4, or the resolution of half precision.
        inputs: A few inputs of a module that reads them as a whole: a tensor `[rows, ...]`, or a mapping of several by
            name.
        output: A function from what such a module returns to logits, or `Regression(tolerance)` for numbers.
        whole: Whether a state `[rows, positions, width]` of such a module is swapped whole, as one vector.
        tokenizer: The tokenizer of the module's text inputs. Networks that `from_pretrained` returns have their own.

    Raises:
        InvalidArgument: The module is in training mode, is not deterministic, or does not predict next tokens; there is
            no such place, or its state cannot be swapped; or `tokens` do not fit the task.
    """

    task: Task
    takes_tensors: bool = False
    """Whether inputs are tensors by name, which are read as a whole, rather than token ids."""
    tolerance: float = 1e-4
    """The largest difference between the logits of a resumed run and of the plain run, as a share of the largest
    logit."""

    def __init__(
        self,
        module: Any,
        at: str,
        *,
        task: Task | str | None = None,
        tokens: Mapping[str, int] | None = None,
        name: str | None = None,
        tolerance: float | None = None,
        inputs: Any = None,
        output: Output | None = None,
        whole: bool = False,
        tokenizer: Any = None,
    ) -> None:
        raise NotImplementedError

    def _bind(self, network: Network, at: str, task: Task, width: int) -> None:
        """Attach the site to its network. The constructor of every subclass calls this first."""
        self.network, self.at, self.task, self.width = network, at, task, width
        self.name = f"{network.name}@{at}"
        if network.tolerance is not None:
            self.tolerance = network.tolerance
        self.made_for = (self.device, self.dtype)
        self.require_frozen()
        ids = task.vocabulary.within(network.ids, whose=network.name)
        self._ids = torch.from_numpy(ids).to(self.device)

    def require_frozen(self) -> None:
        """Check that the network is in evaluation mode, frozen, and on the device and in the precision of the site.

        Raises:
            InvalidArgument: The network is in training mode, a weight is trainable, or the network was moved or cast
                after the site was made.
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
        """Return the same site in a copy of the network at another precision.

        Raises:
            InvalidArgument: The network does not make sites of this class, because the site is user-supplied.
        """
        if dtype == self.dtype:
            return self
        found = deepcopy(self.network).to(dtype).site(self.at, self.task)
        if type(found) is not type(self):
            raise InvalidArgument(f"{self.name} is a user-supplied site and cannot be made again at another precision")
        return found

    def absolute_tolerance(self, logits: Float[Tensor, "..."]) -> float:
        """Return the largest difference from the logits of the plain run that a resumed run may have.

        It is `tolerance` times the largest logit. At half precision, four times the machine epsilon takes the place of
        a smaller `tolerance`.

        Args:
            logits: The logits of the plain run, of any shape.
        """
        return max(self.tolerance, 4 * torch.finfo(self.dtype).eps) * max(1.0, float(logits.abs().max()))

    @property
    @override
    def dtype(self) -> torch.dtype:
        """The precision of the network's weights, and so of its states."""
        return next(self.network.parameters()).dtype

    @property
    @override
    def device(self) -> torch.device:
        """The device of the network's weights."""
        return next(self.network.parameters()).device

    def encode(self, tokens: Int[np.ndarray, "trials time"]) -> Int[Tensor, "trials time"]:
        """Return the network's ids of tokens of the task."""
        return self._ids[torch.from_numpy(tokens).to(self.device)]

    @override
    def draw(self, count: int, split: str, rng: np.random.Generator) -> Sequences:
        """Draw `count` new trials of the task. Splits do not share trials, because each has a generator of its own."""
        return self.task.trials(count, rng)

    @override
    def swappable(self, trials: Trials) -> Bool[np.ndarray, "trials time"]:
        return self.task.swappable(_sequences(trials).tokens)

    @override
    def states_and_prefix(self, trials: Trials, time: int, stepwise: bool = False) -> Reading:
        (reading,) = read_together([self], self.trial_inputs(trials, time), stepwise=stepwise)
        return reading

    @override
    def trial_inputs(self, trials: Trials, time: int) -> Int[Tensor, "trials time"]:
        """Return the network's ids of the first `time` tokens of drawn trials."""
        return self.encode(_sequences(trials).tokens[:, :time])

    def read(self, inputs: Any) -> Float[Tensor, "trials time width"]:
        """Return the states at every position, without a gradient.

        Args:
            inputs: The network's ids, `[trials, time]`; or its tensors by name, where the site takes tensors.
        """
        raise NotImplementedError

    def prefix(self, inputs: Any, stepwise: bool = False) -> Prefix:
        """Compute everything that may precede a swap at any position of these inputs, without a gradient.

        Args:
            inputs: The network's ids, or its tensors.
            stepwise: Whether swaps are stepwise. The prefix then holds only what the swapped states do not replace.
        """
        raise NotImplementedError

    without_effect: str = ""
    """Why a swap may change no output, at the end of the error message of the check; empty, if nothing is known."""
    shares_prefix: bool = False
    """Whether sites of this class have the same prefix in the same network, which then holds one copy for all."""

    @classmethod
    def read_sites(cls, sites: Sequence[Any], inputs: Any, *, stepwise: bool, with_prefix: bool) -> list[Reading]:
        """Return the states and the prefix of several sites of this class in one network: here, one after another.

        Classes whose sites can share a forward pass do so. `read_together` calls it.

        Args:
            sites: The sites.
            inputs: As for `read`.
            stepwise: As for `prefix`.
            with_prefix: Whether the prefix is computed. Otherwise it is empty.
        """
        return [(site.read(inputs), site.prefix(inputs, stepwise) if with_prefix else Prefix.empty()) for site in sites]

    def run_from(
        self, prefix: Prefix, places: Places, state: Float[Tensor, "trials width"], continuation: Continuation
    ) -> Float[Tensor, "tokens features"]:
        """Run on from swapped states. Return the features from which every token of the continuation is predicted.

        The features are differentiable in `state`.

        Args:
            prefix: The prefix of the target inputs.
            places: The places of the swaps, one for each row.
            state: The swapped state of each row.
            continuation: The tokens to predict, in the order of the rows.
        """
        raise NotImplementedError

    def run_from_steps(
        self,
        prefix: Prefix,  # noqa: ARG002
        places: Places,  # noqa: ARG002
        states: Float[Tensor, "trials steps width"],  # noqa: ARG002
        continuation: Continuation,  # noqa: ARG002
    ) -> Float[Tensor, "tokens features"]:
        """Run on from the swapped states of all positions up to the places.

        Args:
            prefix: The prefix of the target inputs, computed with `stepwise=True`.
            places: The last swapped position of each row.
            states: The swapped states of each row. Columns beyond its place are ignored.
            continuation: The tokens to predict, in the order of the rows.

        Raises:
            InvalidArgument: The site cannot be swapped stepwise.
        """
        raise InvalidArgument(
            f"{self.name} cannot be swapped stepwise: each state replaces all that earlier states carried; "
            "swap it at one position"
        )

    def run_from_positions(
        self,
        prefix: Prefix,  # noqa: ARG002
        places: Places,  # noqa: ARG002
        states: Float[Tensor, "trials swaps width"],  # noqa: ARG002
        continuation: Continuation,  # noqa: ARG002
    ) -> Float[Tensor, "tokens features"]:
        """Run on from the swapped states of several positions of each input.

        Args:
            prefix: The prefix of the target inputs.
            places: The places of the swaps.
            states: The swapped states of each row, in the order of its positions.
            continuation: The tokens to predict after the first swap, in the order of the rows.

        Raises:
            InvalidArgument: The site cannot be swapped at several positions.
        """
        raise InvalidArgument(
            f"{self.name} cannot be swapped at several positions; swap it at one, or take the output of a submodule"
        )

    feeds: bool = False
    """Whether the continuation's tokens need computation before they reach this site. `feed` does it, and its result
    serves all swaps alike."""

    def feed(
        self,
        prefix: Prefix,  # noqa: ARG002
        places: Places,  # noqa: ARG002
        continuation: Continuation,  # noqa: ARG002
    ) -> Float[Tensor, "fed width"]:
        """Return the states of the fed tokens as they reach this site: of all but the last token of every row.

        No swap changes these states.

        Raises:
            InvalidArgument: The site computes nothing for fed tokens that could be cached.
        """
        raise InvalidArgument(f"{self.name} computes nothing for the expected output that could be cached")

    def read_out(self, features: Float[Tensor, "tokens features"]) -> Float[Tensor, "tokens vocabulary"]:
        """Return the logits of some features. Each row is read out by itself, so that a caller may do it in parts."""
        raise NotImplementedError

    def resume(
        self, prefix: Prefix, places: Places, state: Float[Tensor, "trials width"], continuation: Continuation
    ) -> Float[Tensor, "tokens vocabulary"]:
        """Return the logits of every token of the continuation, run on from `state`.

        The logits are differentiable in `state`. The arguments are those of `run_from`.
        """
        return self.read_out(self.run_from(prefix, places, state, continuation))

    def resume_steps(
        self,
        prefix: Prefix,
        places: Places,
        states: Float[Tensor, "trials steps width"],
        continuation: Continuation,
    ) -> Float[Tensor, "tokens vocabulary"]:
        """Return the logits of every token of the continuation, run on from all states up to the places.

        The arguments are those of `run_from_steps`.

        Raises:
            InvalidArgument: The site cannot be swapped stepwise.
        """
        return self.read_out(self.run_from_steps(prefix, places, states, continuation))

    def __repr__(self) -> str:
        return f"Site({self.name}, width {self.width})"

    def _repr_html_(self) -> str:
        """The site in a notebook: what it is of, and how a swap there is carried out."""
        weights = sum(each.numel() for each in self.network.parameters())
        entries = {
            "network": f"{type(self.network).__name__}, {weights:,} weights",
            "place": self.at,
            "width": self.width,
            "task": "" if isinstance(self.task, NoTask) else self.task.name,
            "after a swap": getattr(self, "how", ""),
            "device, type": f"{self.device}, {str(self.dtype).removeprefix('torch.')}",
        }
        return summary_html(repr(self), entries)


def reader_of(kind: type[Site]) -> type[Site]:
    """Return the class whose `read_sites` reads sites of a class.

    It is `Site`, which reads one site after another, if the class reads its states or its prefix in a way of its own.
    """

    def owner(name: str) -> type:
        return next(each for each in kind.__mro__ if name in vars(each))

    reader = owner("read_sites")
    own = all(issubclass(reader, owner(name)) for name in ("read", "prefix"))
    return reader if own else Site


def read_together(
    sites: Sequence[Site], inputs: Any, *, stepwise: bool = False, with_prefix: bool = True
) -> list[Reading]:
    """Return the states and the prefix of several sites, in one forward pass where their class can.

    The values are those of `Site.read` and `Site.prefix` on the same inputs.

    Args:
        sites: Sites of one network, which have the same reader (`reader_of`).
        inputs: As for `Site.read`.
        stepwise: As for `Site.prefix`.
        with_prefix: Whether the prefix is computed. Otherwise it is empty.
    """
    reader = reader_of(type(sites[0]))
    return reader.read_sites(sites, inputs, stepwise=stepwise, with_prefix=with_prefix)


def require_site(site: Readable, what: str) -> Site:
    """Return a site that can be run.

    Args:
        site: The site.
        what: What needs to run it, in words that end the error message.

    Raises:
        InvalidArgument: The site is a recording, which can only be read.
    """
    if not isinstance(site, Site):
        raise InvalidArgument(f"{site.name} is a recording: it can be read and never run, and {what}")
    return site


def _sequences(trials: Trials) -> Sequences:
    assert isinstance(trials, Sequences)  # the return type of `draw`
    return trials
