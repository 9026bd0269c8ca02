"""Networks: the architectures of the paper, their trainer, and the zoo of trained networks."""

from causalign.networks import zoo
from causalign.networks.accuracy import accuracy
from causalign.networks.base import Network
from causalign.networks.checkpoint import ARCHITECTURES, Card, build, load_network, save_network
from causalign.networks.configuration import ModelConfiguration
from causalign.networks.gru import GRU
from causalign.networks.hub import from_pretrained
from causalign.networks.huggingface import HuggingFace
from causalign.networks.lstm import LSTM
from causalign.networks.module import ModuleNetwork
from causalign.networks.training import Recipe, train
from causalign.networks.transformer import Transformer

__all__ = [
    "ARCHITECTURES",
    "GRU",
    "LSTM",
    "Card",
    "HuggingFace",
    "ModelConfiguration",
    "ModuleNetwork",
    "Network",
    "Recipe",
    "Transformer",
    "accuracy",
    "build",
    "from_pretrained",
    "load_network",
    "save_network",
    "train",
    "zoo",
]
