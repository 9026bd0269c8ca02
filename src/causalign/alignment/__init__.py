"""Alignments: `align`, the table of methods, and what comes of it."""

from causalign.alignment.align import align, plan
from causalign.alignment.methods import METHODS, Method, Roles, across, every_direction, first_to_second, trained
from causalign.alignment.pyvene_export import to_pyvene
from causalign.alignment.recording_controls import recording_controls
from causalign.alignment.request import AUTO, STARTS
from causalign.alignment.result import MAPS, RESULT, Alignment, load_alignment
from causalign.alignment.schema import AlignmentSummary, Score
from causalign.alignment.score import score
from causalign.alignment.spec import AlignSpec, parse_spec, read_spec
from causalign.planning.estimate import Estimate

__all__ = [
    "AUTO",
    "MAPS",
    "METHODS",
    "RESULT",
    "STARTS",
    "AlignSpec",
    "Alignment",
    "AlignmentSummary",
    "Estimate",
    "Method",
    "Roles",
    "Score",
    "across",
    "align",
    "every_direction",
    "first_to_second",
    "load_alignment",
    "parse_spec",
    "plan",
    "read_spec",
    "recording_controls",
    "score",
    "to_pyvene",
    "trained",
]
