"""A network in a folder: its weights as safetensors, and a card that says what it is."""

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
    """What a trained network is: enough to build it again, and to say how it came about."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    schema_version: Literal[1] = 1
    task: str
    architecture: str
    seed: int
    width: int = Field(gt=0)
    vocabulary: tuple[str, ...]
    accuracy: float = Field(ge=0, le=1)
    """Share of held-out trials whose determined tokens were all predicted."""
    steps: int
    seconds: float
    """Training time."""
    causalign: str
    torch: str


def architecture_of(name: str) -> type[Network]:
    """The class of that architecture.

    Raises:
        FileFormatError: there is none.
    """
    return lookup("architecture", name, ARCHITECTURES)


def build(task: Task | str, architecture: str, seed: int, width: int = 128) -> Network:
    """An untrained network of that architecture for that task."""
    task = tasks.by_name(task) if isinstance(task, str) else task
    return architecture_of(architecture).initialised(task, seed, width)


def save_network(network: Network, card: Card, folder: Path) -> None:
    """Write weights and card; the card last, so that a folder with a card is whole."""
    output_folder(folder)
    network.save(folder)
    write_text(folder / CARD, card.model_dump_json(indent=2) + "\n")


def read_card(folder: Path) -> Card:
    """The card of a saved network.

    Raises:
        FileFormatError: the folder has no card, or one that says something else than a card does.
    """
    path = folder / CARD
    try:
        return Card.model_validate_json(path.read_bytes())
    except OSError as error:
        raise FileFormatError(f"{folder}: not a saved network ({CARD}: {error.strerror})") from None
    except ValidationError as error:
        raise invalid(str(path), error) from None


def load_network(folder: Path | str, name: str | None = None, task: Task | None = None) -> Network:
    """The frozen network saved in `folder`, called `name` (or by its folder) wherever it is reported.

    A network of a task of one's own needs that `task`; the project's are found by the card.

    Raises:
        FileFormatError: card or weights are missing, broken, or do not fit each other; a weight is NaN or infinite.
    """
    folder = Path(folder)
    card = read_card(folder)
    if task is None:
        if card.task not in tasks.names():
            error = unknown("task", card.task, tasks.names())
            raise FileFormatError(f"{folder}: {error}; one's own is given from Python, load_network(folder, task=...)")
        task = tasks.by_name(card.task)
    elif task.name != card.task:
        raise FileFormatError(f"{folder} is a network of the task {card.task!r}, found {task.name!r}")
    network = architecture_of(card.architecture).saved(folder, Vocabulary(card.vocabulary), task, card.width)
    network.name = name or str(folder)
    return network.freeze()
