"""Networks: the paper's architectures, their trainer, and the zoo of trained ones."""

from causalign.networks import zoo
from causalign.networks._base import Network
from causalign.networks.accuracy import accuracy
from causalign.networks.checkpoint import ARCHITECTURES, Card, build, load_network, save_network
from causalign.networks.described import Described
from causalign.networks.gru import GRU
from causalign.networks.huggingface import HuggingFace
from causalign.networks.lstm import LSTM
from causalign.networks.pretrained import load_huggingface
from causalign.networks.training import Recipe, train
from causalign.networks.transformer import Transformer
from causalign.networks.wrapped import Wrapped

__all__ = [
    "ARCHITECTURES",
    "GRU",
    "LSTM",
    "Card",
    "Described",
    "HuggingFace",
    "Network",
    "Recipe",
    "Transformer",
    "Wrapped",
    "accuracy",
    "build",
    "load_huggingface",
    "load_network",
    "save_network",
    "train",
    "zoo",
]
