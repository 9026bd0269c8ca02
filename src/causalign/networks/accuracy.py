"""The accuracy of a network: the share of trials without a mistake."""

import torch

from causalign.networks.base import Network
from causalign.tasks.base import Sequences


def accuracy(network: Network, trials: Sequences) -> float:
    """Return the share of trials in which every determined token is predicted (argmax).

    Args:
        network: The network. It is run in evaluation mode.
        trials: Trials whose tokens are ids of the network.
    """
    device = next(network.parameters()).device
    tokens = torch.from_numpy(trials.tokens).to(device)
    undetermined = torch.from_numpy(~trials.determined[:, 1:]).to(device)
    was_training = network.training
    with torch.no_grad():
        predicted = network.eval()(tokens[:, :-1]).argmax(-1)
    network.train(was_training)
    return float(((predicted == tokens[:, 1:]) | undetermined).all(1).float().mean())
