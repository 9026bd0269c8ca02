"""A user-supplied module as a network."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from typing_extensions import override

from causalign.errors import InvalidArgument
from causalign.networks.adapter import adapter_suffix
from causalign.networks.base import Network
from causalign.networks.initialisation import untrained_copy
from causalign.networks.module_run import logits_of, run_module, run_to_head, run_with_head
from causalign.networks.quantization import require_unquantized
from causalign.networks.token_ids import require_distinct, with_pad
from causalign.networks.wrapper import unwrap
from causalign.tasks.base import Task
from causalign.tasks.no_task import NoTask
from causalign.tasks.vocabulary import Vocabulary

FEW = (3, 7)
"""Numbers of trials and of tokens in a first run. They differ, so that the two dimensions can be distinguished."""


class ModuleNetwork(Network):
    """A module from token ids `[trials, time]` to logits, frozen. Its weights are shared, not copied.

    The logits are the output of the module, the output's attribute `.logits`, its entry `"logits"`, or the first entry
    of a tuple or list.

    Args:
        module: The module, in evaluation mode. Its weights take no gradient from now on. A module compiled by
            `torch.compile` is run uncompiled, and a module wrapped by nnsight or peft is run without its wrapper.
        task: The task whose trials the module reads. Without a task, a counterfactual dataset supplies the inputs.
        tokens: The module's id of each of the task's tokens. The pad `P` may be left out, because pads come last in a
            trial, where no other token depends on them.
        name: The module's name in results. By default the name of its class.
        tolerance: The largest difference between the logits of a resumed run and of the plain run, as a share of the
            largest logit.
        prompt: Ids that are read before every trial. Positions are counted from behind them, and no swap is in them.

    Raises:
        InvalidArgument: The module is in training mode, is compiled by `torch.jit`, has no weights, is quantized, has
            weights without values, cannot be run on token ids, or does not return logits; or `tokens` do not fit the
            module and the task.
    """

    architecture = "module"

    def __init__(
        self,
        module: nn.Module,
        task: Task | None = None,
        tokens: Mapping[str, int] | None = None,
        name: str | None = None,
        tolerance: float | None = None,
        *,
        prompt: Sequence[int] = (),
    ) -> None:
        module = unwrap(module)
        name = name or type(module).__name__ + adapter_suffix(module)
        ids, task = with_pad({} if tokens is None else tokens, name), task or NoTask()
        super().__init__(Vocabulary(tuple(ids)), task, width=0)  # every site has its own width
        self.name = name
        self.tolerance, self.prompt = tolerance, tuple(prompt)
        require_sound(module, self.name)
        require_decoder(getattr(module, "config", None), self.name)
        task.vocabulary.within(ids, whose=self.name)
        self._ids, self.module = ids, module
        self._head, self._known, self._inputs = self._first_run()
        require_distinct(ids, min(self._known, self._inputs), self.name)
        self.freeze()

    @property
    def head(self) -> nn.Module | None:
        """The linear layer whose output the logits are; `None` if there is none."""
        return None if self._head is None else self.module.get_submodule(self._head)

    def _first_run(self) -> tuple[str | None, int, int]:
        """Return the path of the head, the number of logits, and the number of ids that can be read."""
        embeddings: list[nn.Embedding] = []
        tokens = few_tokens(self.module)

        def same(ids: Any) -> bool:
            return isinstance(ids, Tensor) and ids.shape == tokens.shape and torch.equal(ids.to(tokens), tokens)

        hooks = [
            each.register_forward_hook(
                lambda of, args, _: embeddings.append(of) if args[:1] and same(args[0]) else None
            )
            for each in self.module.modules()
            if isinstance(each, nn.Embedding)
        ]
        try:
            head, logits = run_with_head(self.module, lambda: run(self.module, tokens, self.name), self.name)
        finally:
            for hook in hooks:
                hook.remove()
        if logits.dim() != 3 or logits.shape[:2] != tokens.shape:
            raise InvalidArgument(
                f"{self.name} returns {list(logits.shape)} for {list(tokens.shape)} token ids; "
                "expected logits [trials, time, vocabulary]"
            )
        known = logits.shape[2]
        named = getattr(self.module, "get_input_embeddings", lambda: None)()  # as models of Hugging Face have it
        embeddings = [named] if isinstance(named, nn.Embedding) else embeddings
        inputs = max((each.num_embeddings for each in embeddings), default=known)
        return head, known, inputs

    @override
    def untrained(self, seed: int) -> "ModuleNetwork":
        module = untrained_copy(self.module, seed, self.name)
        name = f"untrained:{self.name}/{seed}"
        return ModuleNetwork(module, self.task, self._ids, name, self.tolerance, prompt=self.prompt)

    @property
    @override
    def ids(self) -> Mapping[str, int]:
        return self._ids

    @property
    @override
    def known(self) -> int:
        """The number of logits."""
        return self._known

    @property
    @override
    def inputs(self) -> int:
        """The size of the embedding that reads the token ids; without such an embedding, the number of logits."""
        return self._inputs

    @override
    def forward(self, tokens: Int[Tensor, "trials time"]) -> Float[Tensor, "trials time vocabulary"]:
        logits = logits_of(run(self.module, self.prompted(tokens), self.name), self.name)
        return logits[:, len(self.prompt) :].to(tokens.device)

    def prompted(self, tokens: Int[Tensor, "trials time"]) -> Int[Tensor, "trials longer"]:
        """Return the tokens with the prompt before them."""
        if not self.prompt:
            return tokens
        before = torch.tensor(self.prompt, dtype=tokens.dtype, device=tokens.device)
        return torch.cat([before.expand(len(tokens), -1), tokens], dim=1)

    def before_head(self, tokens: Int[Tensor, "trials time"]) -> Float[Tensor, "trials time features"]:
        """Return the input of the head.

        The run stops there, because the logits of whole trials can take gigabytes.

        Raises:
            InvalidArgument: The module does not run its head on these tokens.
        """
        assert self.head is not None
        features = run_to_head(self.head, lambda: run(self.module, self.prompted(tokens), self.name), self.name)
        return features[:, len(self.prompt) :].to(tokens.device)


def submodules(module: nn.Module) -> dict[str, nn.Module]:
    """Return all submodules by path. A submodule that is in several places has several paths."""
    return {path: each for path, each in module.named_modules(remove_duplicate=False) if path}


def few_tokens(module: nn.Module) -> Int[Tensor, "trials time"]:
    """Return token ids that every vocabulary has: zeros of the shape `FEW`."""
    return torch.zeros(FEW, dtype=torch.long, device=next(module.parameters()).device)


def run(module: nn.Module, tokens: Int[Tensor, "trials time"], name: str) -> Any:
    """Run a module on token ids, and return its output.

    Raises:
        InvalidArgument: The module raised an exception. `name` is its name in the message.
    """
    return run_module(module, (tokens,), {}, name, f"token ids {list(tokens.shape)} alone")


def require_sound(module: nn.Module, name: str) -> None:
    """Check that a module is in evaluation mode, and that gradients can flow through it.

    Args:
        module: The module.
        name: The name of the module in the error message.

    Raises:
        InvalidArgument: The module is quantized, is in training mode, is compiled by
            `torch.jit`, has no weights, or has weights on the meta device, where offloaded weights are.
    """
    require_unquantized(module, name)
    training = [path or type(module).__name__ for path, each in module.named_modules() if each.training]
    if training:
        raise InvalidArgument(f"{name} is in training mode ({training[0]}); call its .eval() first")
    if any(isinstance(each, torch.jit.ScriptModule) for each in module.modules()):
        raise InvalidArgument(
            f"{name} is compiled by torch.jit, which calls no hooks; pass the module that it was made from"
        )
    weights = list(module.parameters())
    if not weights:
        raise InvalidArgument(f"{name} has no weights")
    absent = [path for path, weight in module.named_parameters() if weight.is_meta]
    if absent:
        raise InvalidArgument(
            f"{len(absent)} of the {len(weights)} weights of {name} are on the meta device, without values "
            f"({absent[0]}); load them, and offload none to memory or disk: device_map='auto' over GPUs, or 'cpu'"
        )


def require_decoder(config: Any, name: str) -> None:
    """Check that a configuration of Hugging Face is not that of an encoder-decoder.

    Args:
        config: The configuration, or `None` for a module without one.
        name: The name of the module in the error message.

    Raises:
        InvalidArgument: It is one.
    """
    if getattr(config, "is_encoder_decoder", False):
        raise InvalidArgument(
            f"{name} is an encoder-decoder: its decoder reads an encoded text beside its ids, and tasks and loaders of "
            "causal models have ids alone: open Site(model, at), and give it rows by from_arrays"
        )
