"""A user-supplied module that takes tensors, as a network: vectors, images, or several inputs by name."""

from collections.abc import Callable
from importlib import import_module
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from typing_extensions import override

from causalign.errors import InvalidArgument
from causalign.networks.adapter import adapter_suffix
from causalign.networks.base import Network
from causalign.networks.example_inputs import DECODER_IDS, IDS, ONLY, Tensors, example_of, require_form, tensors_of
from causalign.networks.initialisation import untrained_copy
from causalign.networks.module import require_sound
from causalign.networks.module_run import logits_of, run_module, run_to_head, run_with_head
from causalign.networks.regression import Regression
from causalign.networks.wrapper import unwrap
from causalign.tasks.no_task import NoTask
from causalign.tasks.vocabulary import PAD, Vocabulary

Output = Regression | Callable[[Any], Tensor]
"""The output of a module: numbers, or a function from what it returns to logits."""


class TensorModule(Network):
    """A module from tensors `[rows, ...]` to logits, frozen. Its weights are shared, not copied.

    The logits are `[rows, classes]`, or `[rows, positions, classes]` where there is an output at every position: of an
    encoder, or of a decoder that reads another input beside (`decoder_input_ids`).

    Args:
        module: The module, in evaluation mode. Its weights take no gradient from now on.
        example: A few inputs: a tensor, or a mapping of several by name. By default those that the configuration of a
            model of Hugging Face describes.
        output: A function from what the module returns to logits, or `Regression(tolerance)`. By default logits are the
            output, its attribute `.logits`, its entry `"logits"`, or the first entry of a tuple or list.
        name: The module's name in results. By default the name of its class.
        whole: Whether a state `[rows, positions, width]` is swapped whole, as one vector.
        tolerance: The largest difference between the logits of a run with a state put back and of the plain run, as a
            share of the largest logit.

    Raises:
        InvalidArgument: The module is in training mode, quantized or has weights without values; there is no
            example; the module cannot be run on it; or it does not return logits.
    """

    architecture = "tensors"

    def __init__(
        self,
        module: nn.Module,
        example: Any = None,
        *,
        output: Output | None = None,
        name: str | None = None,
        whole: bool = False,
        tolerance: float | None = None,
    ) -> None:
        module = unwrap(module)
        super().__init__(Vocabulary((PAD,)), NoTask(), width=0)  # every site has its own width
        self.name = name or type(module).__name__ + adapter_suffix(module)
        self.whole, self.output, self.tolerance = whole, output, tolerance
        require_sound(module, self.name)
        self.module = module
        self.example = self._example(example)
        self._head, logits = self._first_run()
        self.per_position, self._known = logits.dim() == 3, logits.shape[-1]
        self.freeze()

    def _example(self, given: Any) -> dict[str, Tensor]:
        found = example_of(self.module) if given is None else tensors_of(given, "inputs", self.module)
        if found is None:
            raise InvalidArgument(
                f"{self.name} needs an example of its inputs: Site(module, at, inputs=...), a tensor [rows, ...] or a "
                "mapping of several by name"
            )
        return {name: tensor[:3] for name, tensor in found.items()}

    def _first_run(self) -> tuple[str | None, Tensor]:
        if self.output is None:
            head, logits = run_with_head(self.module, lambda: self._run(self.example), self.name)
        else:
            with torch.no_grad():
                head, logits = None, self._read(self._run(self.example))
        rows = len(next(iter(self.example.values())))
        dimensions = (2,) if self.regression else (2, 3)
        if logits.dim() not in dimensions or len(logits) != rows or not logits.is_floating_point():
            expected = "numbers [rows, numbers]" if self.regression else "logits [rows, classes]"
            raise InvalidArgument(
                f"{self.name} returns {list(logits.shape)} for {rows} rows; expected {expected}: give output=, a "
                "function from what it returns"
            )
        return (head if logits.dim() == 3 else None), logits

    def _run(self, inputs: Tensors) -> Any:
        kind = next(self.module.parameters()).dtype
        cast = {
            name: each.to(kind if each.is_floating_point() else each.dtype, copy=True) for name, each in inputs.items()
        }
        args, kwargs = ((cast[ONLY],), {}) if set(cast) == {ONLY} else ((), cast)
        shapes = ", ".join(f"{name} {list(each.shape)}" for name, each in cast.items())
        return run_module(self.module, args, kwargs, self.name, shapes)

    def _read(self, output: Any) -> Tensor:
        read = self.output.read if isinstance(self.output, Regression) else self.output
        found = logits_of(output, self.name) if read is None else read(output)
        if not isinstance(found, Tensor):
            raise InvalidArgument(f"output must return a tensor of {self.name}'s logits; found {type(found).__name__}")
        return found[:, None] if self.regression and found.dim() == 1 else found

    @property
    @override
    def regression(self) -> Regression | None:
        return self.output if isinstance(self.output, Regression) else None

    @property
    def decodes(self) -> bool:
        """Whether a decoder writes the output token by token, beside another input."""
        return DECODER_IDS in self.example

    @property
    def has_label_positions(self) -> bool:
        """Whether labels are read at named positions of the output."""
        return self.per_position and not self.decodes

    @property
    def config(self) -> Any:
        """The configuration of a model of Hugging Face; `None` for other modules."""
        return getattr(self.module, "config", None)

    @property
    @override
    def known(self) -> int:
        """The number of classes, of token ids, or of numbers."""
        return self._known

    def tensors(self, given: Any, what: str) -> dict[str, Tensor]:
        """Return inputs as tensors by name, in the form of the example.

        Raises:
            InvalidArgument: They have another form.
        """
        found = tensors_of(given, what, self.module)
        if set(found) == {ONLY} and len(self.example) == 1:
            found = dict.fromkeys(self.example, found[ONLY])
        require_form(found, self.example, what)
        return found

    @property
    def head(self) -> nn.Module | None:
        """The linear layer whose output the logits at all positions are; `None` if there is none."""
        return None if self._head is None else self.module.get_submodule(self._head)

    def features(self, inputs: Tensors) -> Float[Tensor, "rows ... features"]:
        """Return the input of the head or, without one, the logits."""
        if self.head is None:
            return self(inputs)
        return run_to_head(self.head, lambda: self._run(inputs), self.name).to(_device_of(inputs))

    @override
    def forward(self, inputs: Any) -> Float[Tensor, "rows ... classes"]:
        """Return the logits, `[rows, classes]` or `[rows, positions, classes]`, on the device of the inputs."""
        return self._read(self._run(inputs)).to(_device_of(inputs))

    @override
    def untrained(self, seed: int) -> "TensorModule":
        module = untrained_copy(self.module, seed, self.name)
        name = f"untrained:{self.name}/{seed}"
        fresh = TensorModule(
            module, self.example, output=self.output, name=name, whole=self.whole, tolerance=self.tolerance
        )
        fresh.tokenizer = self.tokenizer
        return fresh


def _device_of(inputs: Tensors) -> torch.device:
    return next(iter(inputs.values())).device


def reads_whole_inputs(module: Any) -> bool:
    """Return whether a model of Hugging Face reads its input as a whole: pixels, or text by an encoder.

    Its other models predict the token that follows the input.
    """
    if not hasattr(module, "main_input_name") or not hasattr(module, "config"):
        return False
    if module.main_input_name != IDS or getattr(module.config, "is_encoder_decoder", False):
        return True
    causal = import_module("transformers.models.auto.modeling_auto").MODEL_FOR_CAUSAL_LM_MAPPING_NAMES
    ours = type(module).__name__
    return ours not in causal.values() and type(module).__module__.startswith("transformers.")
