"""Saved networks: a folder with the weights as safetensors, and a card that describes the network."""

from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from causalign import tasks
from causalign.errors import FileFormatError, invalid, lookup, unknown
from causalign.files import output_folder, write_text
from causalign.networks.base import Network
from causalign.networks.gru import GRU
from causalign.networks.llama import Llama
from causalign.networks.lstm import LSTM
from causalign.networks.transformer import Transformer
from causalign.tasks.base import Task
from causalign.tasks.vocabulary import Vocabulary

ARCHITECTURES: dict[str, type[Network]] = {network.architecture: network for network in (GRU, LSTM, Transformer, Llama)}
CARD = "card.json"


class Card(BaseModel):
    """The description of a trained network: its architecture, its task, and its training."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    schema_version: Literal[1] = 1
    task: str
    architecture: str
    seed: int
    width: int = Field(gt=0)
    vocabulary: tuple[str, ...]
    accuracy: float = Field(ge=0, le=1)
    """The share of held-out trials whose determined tokens were all predicted."""
    steps: int
    seconds: float
    """The duration of the training in seconds."""
    causalign: str
    torch: str


def architecture_of(name: str) -> type[Network]:
    """Return the class of an architecture by its name.

    Raises:
        InvalidArgument: There is no such architecture.
    """
    return lookup("architecture", name, ARCHITECTURES)


def build(task: Task | str, architecture: str, seed: int, width: int = 128) -> Network:
    """Return an untrained network.

    Args:
        task: The task, or its name.
        architecture: A key of `ARCHITECTURES`, such as `"gru"`.
        seed: The seed of the weights.
        width: The width of the states.

    Raises:
        InvalidArgument: The task or the architecture is unknown, the seed is negative, or the network does not fit
            into memory.
    """
    task = tasks.by_name(task) if isinstance(task, str) else task
    return architecture_of(architecture).initialised(task, seed, width)


def save_network(network: Network, card: Card, folder: Path) -> None:
    """Write the weights, then the card, so that a folder with a card is complete."""
    output_folder(folder)
    network.save(folder)
    write_text(folder / CARD, card.model_dump_json(indent=2) + "\n")


def read_card(folder: Path) -> Card:
    """Return the card of a saved network.

    Raises:
        FileFormatError: The folder has no card.
        InvalidArgument: The card has an invalid field.
    """
    path = folder / CARD
    try:
        return Card.model_validate_json(path.read_bytes())
    except OSError as error:
        raise FileFormatError(f"{folder}: not a saved network ({CARD}: {error.strerror})") from None
    except ValidationError as error:
        raise invalid(str(path), error) from None


def load_network(folder: Path | str, name: str | None = None, task: Task | None = None) -> Network:
    """Load a saved network and freeze it.

    Args:
        folder: The folder of the network.
        name: The network's name in results. By default the folder.
        task: The task of the network. It is needed for a user-defined task only; the card names the others.

    Raises:
        FileFormatError: The card or the weights are missing or broken, a weight is NaN or infinite, or the network is
            of another task.
        InvalidArgument: The card has an invalid field, or the weights do not fit the card.
    """
    folder = Path(folder)
    card = read_card(folder)
    if task is None:
        if card.task not in tasks.names():
            error = unknown("task", card.task, tasks.names())
            raise FileFormatError(f"{folder}: {error}; a user-defined task is passed as load_network(folder, task=...)")
        task = tasks.by_name(card.task)
    elif task.name != card.task:
        raise FileFormatError(f"{folder} is a network of the task {card.task!r}, found {task.name!r}")
    network = architecture_of(card.architecture).saved(folder, Vocabulary(card.vocabulary), task, card.width)
    network.name = name or str(folder)
    return network.freeze()
