"""Alignments: `align`, the table of methods, and what comes of it."""

from causalign.alignment._request import AUTO, STARTS
from causalign.alignment.align import align, plan
from causalign.alignment.export import to_pyvene
from causalign.alignment.methods import METHODS, Method, Roles, across, every_direction, first_to_second, trained
from causalign.alignment.record import Record, Score
from causalign.alignment.recording_controls import recording_controls
from causalign.alignment.rehearsal import Plan
from causalign.alignment.result import MAPS, RESULT, Alignment, load_alignment
from causalign.alignment.score import score
from causalign.alignment.spec import AlignSpec, parse_spec, read_spec

__all__ = [
    "AUTO",
    "MAPS",
    "METHODS",
    "RESULT",
    "STARTS",
    "AlignSpec",
    "Alignment",
    "Method",
    "Plan",
    "Record",
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
