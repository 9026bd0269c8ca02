"""Training of a network on a task until it makes no mistake (A.1)."""

import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from math import ceil, isfinite
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional

from causalign import tasks
from causalign.callbacks import Callback, ProgressUpdate, open_callbacks
from causalign.errors import InvalidArgument
from causalign.files import output_folder, read_tensors, write_tensors
from causalign.networks.accuracy import accuracy
from causalign.networks.base import WEIGHTS, Network
from causalign.networks.checkpoint import CARD, Card, architecture_of, load_network, read_card, save_network
from causalign.networks.layers import Dropout
from causalign.random_streams import numpy_stream, torch_stream
from causalign.tasks.base import Sequences, Task
from causalign.version import __version__

UNFINISHED = "training.safetensors"


@dataclass(frozen=True)
class Recipe:
    """The configuration of a training.

    The batch size, the warm-up and the learning rates are those of the paper (A.1). The paper does not specify gradient
    clipping, evaluations or when to stop.
    """

    batch: int = 128
    """Number of trials in a step."""
    trials: int | None = None
    """Number of trials that are drawn once, and read in a new order in every epoch. By default every step draws new
    ones."""
    warm_up: int = 100
    """Steps over which the learning rate rises. Afterwards it falls with the square root of the step."""
    learning_rate: float = 1e-3
    """The largest learning rate, reached at the end of the warm-up."""
    least_learning_rate: float = 1e-7
    """The smallest learning rate."""
    gradient_norm: float = 1.0
    """The norm to which gradients are clipped."""
    eval_every: int = 100
    """Steps between evaluations of the accuracy, on the trials of the last steps and on held-out ones."""
    checks: int = 5
    """Number of consecutive perfect evaluations that end the training."""
    validation_trials: int = 1000
    """Number of held-out trials."""
    max_steps: int = 20_000
    """Number of steps after which the training stops at the latest."""

    @property
    def how(self) -> str:
        """All fields but `max_steps`, as text. A training is resumed only if they are the same."""
        return repr(replace(self, max_steps=0))

    def rate(self, step: int) -> float:
        """Return the learning rate of a step. Steps are counted from 1."""
        factor = min(step / self.warm_up, (self.warm_up / step) ** 0.5)
        return max(self.learning_rate * factor, self.least_learning_rate)


RECIPES = {"arithmetic": Recipe(learning_rate=3e-3)}
"""Recipes of tasks for which the default is slow. On Arithmetic, 1e-3 leaves mistakes for 7,000 steps and more."""


def train(
    task: str | Task,
    architecture: str,
    seed: int,
    out: Path | str,
    *,
    width: int = 128,
    recipe: Recipe | None = None,
    progress: bool = False,
    callbacks: Sequence[Callback] = (),
) -> tuple[Network, Card]:
    """Train a network on next-token prediction over all tokens until its accuracy has stayed 1, and save it in `out`.

    The same call resumes an interrupted training from its last evaluation. It then reaches the same weights as without
    the interruption, because every draw of a step comes from a random stream named by the step.

    Args:
        task: The task, or its name.
        architecture: A key of `ARCHITECTURES`, such as `"gru"`.
        seed: The seed of the weights, the trials and the dropout.
        out: The folder of the network.
        width: The width of the states.
        recipe: The configuration of the training. By default that of the task in `RECIPES`, or `Recipe()`.
        progress: Whether to show progress, as `align` does.
        callbacks: Functions that are called with a `ProgressUpdate` after every step. A `Tracker` among them also gets
            the configuration and the accuracy. The logger `causalign` always does.

    Returns:
        The frozen network and its card. If `recipe.max_steps` did not suffice, `card.accuracy` is the accuracy that was
        reached, and a call with more steps resumes the training.

    Raises:
        InvalidArgument: The task or the architecture is unknown, `out` holds another training, or the loss is not
            finite.
        FileFormatError: `out` cannot be written, or a file in it is broken.
    """
    task = tasks.by_name(task) if isinstance(task, str) else task
    recipe = recipe or RECIPES.get(task.name, Recipe())
    out = output_folder(Path(out), WEIGHTS, CARD, UNFINISHED)
    network = architecture_of(architecture).initialised(task, seed, width)
    about = {"task": task.name, "architecture": architecture, "seed": str(seed), "width": str(width)}
    if (out / CARD).exists() and not (out / UNFINISHED).exists():
        return _finished(out, about, task)
    run = _Run(network, task, seed, recipe, file=out / UNFINISHED, about=about | {"recipe": recipe.how})
    run.resume()
    with open_callbacks(progress, callbacks, about | asdict(recipe)) as (callback, conclude):
        while run.step < recipe.max_steps and run.streak < recipe.checks:
            run.advance(callback)
        stopped = "perfect" if run.streak >= recipe.checks else "max_steps"
        conclude({"accuracy": run.accuracy, "steps": float(run.step)}, stopped)
    card = Card(
        task=task.name,
        architecture=architecture,
        seed=seed,
        width=width,
        vocabulary=network.vocabulary.tokens,
        accuracy=run.accuracy,
        steps=run.step,
        seconds=round(run.seconds, 1),
        causalign=__version__,
        torch=torch.__version__,
    )
    save_network(network, card, out)
    if run.streak >= recipe.checks:
        (out / UNFINISHED).unlink(missing_ok=True)
    network.name = str(out)
    return network.freeze(), card


def _finished(out: Path, about: dict[str, str], task: Task) -> tuple[Network, Card]:
    card = read_card(out)
    found = {key: str(getattr(card, key)) for key in about}
    if found != about:
        raise InvalidArgument(
            f"{out} holds another network ({_listed(found)}), not the requested one ({_listed(about)})"
        )
    return load_network(out, task=task), card


def _listed(about: dict[str, str]) -> str:
    return ", ".join(f"{key} {value}" for key, value in about.items())


class _Run:
    """A training in progress: the network, its optimizer, its step and its last accuracy."""

    def __init__(
        self, network: Network, task: Task, seed: int, recipe: Recipe, *, file: Path, about: dict[str, str]
    ) -> None:
        self.network, self.seed, self.recipe = network.requires_grad_(), seed, recipe
        self.task = network.trained_on(task)
        self.file, self.about = file, about
        self.optimizer = torch.optim.Adam(network.parameters(), lr=recipe.learning_rate)
        held_out = task.trials(recipe.validation_trials, numpy_stream(seed, "validation"))
        self.ids = self.task.vocabulary.within(network.ids, whose=network.name)
        as_shown = task.vocabulary.within(network.ids, whose=network.name)
        self.held_out = replace(held_out, tokens=as_shown[held_out.tokens])
        self.step = self.streak = 0
        self.accuracy = self.seconds = 0.0

    def advance(self, callback: Callback) -> None:
        """Train up to the next evaluation, evaluate the network, and save the state of the training."""
        started = time.perf_counter()
        recent: list[Sequences] = []
        for _ in range(self.recipe.eval_every):
            self.step += 1
            trials = self._batch()
            trials = replace(trials, tokens=self.ids[trials.tokens])
            recent = [*recent[-7:], trials]  # an epoch of the paper is 8 steps
            loss = self._learn(trials)
            figures = {"loss": loss, "accuracy": self.accuracy}
            callback(ProgressUpdate("training", self.step, self.recipe.max_steps, figures))
        self.accuracy = accuracy(self.network, self.held_out)
        perfect = self.accuracy == 1 and all(accuracy(self.network, trials) == 1 for trials in recent)
        self.streak = self.streak + 1 if perfect else 0
        self.seconds += time.perf_counter() - started
        self._save()

    @cached_property
    def _fixed(self) -> Sequences:
        """The trials that are drawn once."""
        return self.task.trials(self.recipe.trials or self.recipe.batch, numpy_stream(self.seed, "trials"))

    def _batch(self) -> Sequences:
        """Return the trials of a step."""
        if self.recipe.trials is None:
            return self.task.trials(self.recipe.batch, numpy_stream(self.seed, "train", self.step))
        steps = ceil(self.recipe.trials / self.recipe.batch)  # in an epoch
        epoch, step = divmod(self.step - 1, steps)
        order = numpy_stream(self.seed, "epoch", epoch).permutation(self.recipe.trials)
        return self._fixed[order[step * self.recipe.batch : (step + 1) * self.recipe.batch]]

    def _learn(self, trials: Sequences) -> float:
        for module in self.network.modules():
            if isinstance(module, Dropout):
                module.generator = torch_stream(self.seed, "dropout", self.step)
        for group in self.optimizer.param_groups:
            group["lr"] = self.recipe.rate(self.step)
        tokens = torch.from_numpy(trials.tokens)
        logits = self.network.train()(tokens[:, :-1])
        loss: Tensor = functional.cross_entropy(logits.flatten(0, 1), tokens[:, 1:].flatten(), ignore_index=0)
        self.optimizer.zero_grad()
        value = float(loss.detach())
        if not isfinite(value):
            raise InvalidArgument(f"the loss is {value} at step {self.step}; try a lower learning rate")
        loss.backward()
        nn.utils.clip_grad_norm_(self.network.parameters(), self.recipe.gradient_norm)
        self.optimizer.step()
        return value

    def _save(self) -> None:
        tensors = {f"network.{name}": weight for name, weight in self.network.state_dict().items()}
        for index, state in self.optimizer.state_dict()["state"].items():
            tensors |= {f"adam.{index}.{name}": value for name, value in state.items()}
        place = {"step": self.step, "streak": self.streak, "accuracy": self.accuracy, "seconds": self.seconds}
        write_tensors(self.file, tensors, self.about | {name: repr(value) for name, value in place.items()})

    def resume(self) -> None:
        """Restore the state of the last evaluation, if it was saved."""
        if not self.file.exists():
            return
        tensors, saved = read_tensors(self.file)
        found = {key: saved.get(key, "nothing") for key in self.about}
        if found != self.about:
            raise InvalidArgument(
                f"{self.file} is of another training ({_listed(found)}), not the requested one ({_listed(self.about)})"
            )
        weights = {name.removeprefix("network."): t for name, t in tensors.items() if name.startswith("network.")}
        self.network.load_state_dict(weights)
        adam: dict[int, dict[str, Tensor]] = {}
        for name, tensor in tensors.items():
            if name.startswith("adam."):
                _, index, key = name.split(".")
                adam.setdefault(int(index), {})[key] = tensor
        self.optimizer.load_state_dict(self.optimizer.state_dict() | {"state": adam})
        self.step, self.streak = int(saved["step"]), int(saved["streak"])
        self.accuracy, self.seconds = float(saved["accuracy"]), float(saved["seconds"])
