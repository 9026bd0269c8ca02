"""Export of alignment maps to the causal-variable track of the Mechanistic Interpretability Benchmark (MIB).

A submission has three files for each place: the featurizer, its inverse, and the indices of the features that are
swapped. For a subspace the two featurizers are the same orthonormal matrix: f = V^T h, with the rest of h as the error,
and back h = V f + error.
"""

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.utils import parametrizations

from causalign.errors import FileFormatError, InvalidArgument
from causalign.files import output_folder
from causalign.maps.base import AlignmentMap
from causalign.networks.huggingface import HuggingFace
from causalign.sites.base import Site
from causalign.sites.readable import Readable

_FEATURIZER, _INVERSE = "SubspaceFeaturizerModule", "SubspaceInverseFeaturizerModule"
_KINDS = ("featurizer", "inverse_featurizer", "indices")


def export_mib(of: AlignmentMap, folder: Path, unit: str) -> tuple[Path, Path, Path]:
    """Write the files of one place of a submission.

    Args:
        of: The alignment map of the network. Its scale cancels within a network (equation 13), and is left out.
        folder: The folder of the task, the model and the variable.
        unit: The name of the place, as `unit_of` returns it.

    Returns:
        The files: the featurizer, the inverse featurizer, and the indices. The first two are read by `torch.load`, and
        hold tensors, text and numbers only.

    Raises:
        FileFormatError: The folder cannot be written.
        InvalidArgument: The map swaps only a share of its coordinates.
    """
    if of.mask is not None:
        raise InvalidArgument("the map swaps a share of its coordinates (mask), and MIB's files have no shares")
    featurizer, inverse, indices = (folder / f"{unit}_{kind}" for kind in _KINDS)
    output_folder(folder, featurizer.name, inverse.name, indices.name)
    info = {
        "featurizer_class": _FEATURIZER,
        "inverse_featurizer_class": _INVERSE,
        "n_features": of.rank,
        "additional_config": {"rotation_matrix": of.frame.detach().cpu().clone(), "requires_grad": False},
    }
    try:
        for file in (featurizer, inverse):
            torch.save({"model_info": info, "state_dict": _state(of.frame)}, file)
        indices.write_text(json.dumps(None), encoding="utf-8")  # all features are swapped
    except OSError as error:
        raise FileFormatError(f"cannot write {folder}: {error.strerror}") from None
    return featurizer, inverse, indices


def unit_of(site: Readable, token: str) -> str:
    """Return the name of a site among the places of the benchmark, which are the inputs of decoder layers.

    Args:
        site: The site `embedding` or `layer.N` of a language model. The benchmark's layer N reads `layer.N`.
        token: The name of the position among those of the benchmark's task, such as `last_token`.

    Raises:
        InvalidArgument: The site is not the input of a layer, or the token's name cannot be part of a file's name.
    """
    network = site.network if isinstance(site, Site) else None
    depth = len(network.layers) if isinstance(network, HuggingFace) else 0
    places = {"embedding": 0, **{f"layer.{n}": n for n in range(1, depth)}} if depth else {}
    if site.at not in places:
        raise InvalidArgument(
            f"MIB's residual stream is the input of a decoder layer; {site.name} is not ({', '.join(places) or 'none'})"
        )
    if not re.fullmatch(r"[\w .+-]+", token):
        raise InvalidArgument(f"token is the name of a position, such as 'last_token'; found {token!r}")
    return f"ResidualStream(Layer-{places[site.at]},Token-{token})"


def _state(frame: Float[Tensor, "width rank"]) -> Mapping[str, Any]:
    """Return the parameters of a module whose `rotate.weight` is this matrix, parametrized as orthogonal."""
    rotate = nn.Module()
    rotate.weight = nn.Parameter(frame.detach().cpu().clone(), requires_grad=False)
    module = nn.Module()
    module.rotate = parametrizations.orthogonal(rotate)
    return module.state_dict()
