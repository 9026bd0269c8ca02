"""The mean state of each class: of each value of a variable or, where there is none, of each label."""

from collections.abc import Hashable, Sequence
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from causalign.engine.activation_cache import Activations
from causalign.errors import InvalidArgument
from causalign.storage import forget_mapped_pages
from causalign.tasks.variable import Variable

_PART = 2**22  # numbers of states that are summed at a time


class ClassMeans(NamedTuple):
    """The mean state of each class of one site; row i of `means` is that of `classes[i]`."""

    classes: list[Hashable]
    means: Float[Tensor, "classes width"]


def class_means(activations: Activations, variables: Sequence[str]) -> ClassMeans:
    """Return the mean state of each value of some variables.

    Stepwise, a class is a change that a token makes to the values.
    """
    labels, rows = activations.labelled(variables)
    values, which = np.unique(labels, axis=0, return_inverse=True)
    return ClassMeans(list(map(tuple, values.tolist())), mean_states(activations, rows, which, len(values)))


def shared_means(sites: Sequence[ClassMeans], allowed: Sequence[Variable] = ()) -> list[Float[Tensor, "classes _"]]:
    """Return the means of the classes that all sites have, in the same order for every site.

    Args:
        sites: The class means of each site.
        allowed: Variables with a range. Classes outside a range are left out.

    Raises:
        InvalidArgument: The sites share no class.
    """
    shared = set.intersection(*(set(each.classes) for each in sites))
    for variable in allowed:
        shared = {value for value in shared if variable.allows(np.array(value))[0]}
    if not shared:
        raise InvalidArgument("the trials of the sites share no value of the variable: there is no closed-form start")
    order = sorted(shared, key=lambda value: value if isinstance(value, tuple) else (value,))
    return [each.means if each.classes == order else each.means[_indices(each.classes, order)] for each in sites]


def _indices(classes: Sequence[Hashable], order: Sequence[Hashable]) -> list[int]:
    index = {each: at for at, each in enumerate(classes)}
    return [index[each] for each in order]


def mean_states(
    activations: Activations, rows: Int[Tensor, " states"], which: Int[np.ndarray, " states"], classes: int
) -> Float[Tensor, "classes width"]:
    """Return the mean state of each class, in float64.

    Args:
        activations: The activations of one site.
        rows: The rows of the states in `activations.states`.
        which: The index of the class of each state. Every class has at least one state.
        classes: The number of classes.
    """
    index = torch.from_numpy(which)
    width = activations.states.shape[1]
    sums, at_once = torch.zeros(classes, width, dtype=torch.float64), max(1, _PART // width)
    for of_part, part in zip(index.split(at_once), rows.split(at_once), strict=True):
        sums.index_add_(0, of_part, activations.gather(part).cpu().double())
        forget_mapped_pages()
    return sums.div_(index.bincount(minlength=classes)[:, None])
