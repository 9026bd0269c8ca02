"""Shapes and types are checked at run time in the tests: every jaxtyping annotation is enforced."""

import warnings

import torch
from hypothesis import settings
from jaxtyping import install_import_hook

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    with install_import_hook("causalign", "beartype.beartype"):
        import causalign  # noqa: F401

torch.set_num_threads(2)
settings.register_profile("shared machine", deadline=None)
settings.load_profile("shared machine")
