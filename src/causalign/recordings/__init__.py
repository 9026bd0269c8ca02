"""Recordings as labs keep them: states in arrays and files, variables in tables, and what is done to them first."""

from causalign.recordings.nwb_reader import read_nwb
from causalign.recordings.preprocessing import Preprocess, Preprocessing, fit
from causalign.recordings.splits import SPLITS, Splits, drawn, given
from causalign.recordings.states import ArrayStates, States
from causalign.recordings.survey import Survey, survey
from causalign.recordings.values import TIME, TRIAL, Codes, TrialTable, whole_numbers
from causalign.recordings.xarray_reader import read_xarray

__all__ = [
    "SPLITS",
    "TIME",
    "TRIAL",
    "ArrayStates",
    "Codes",
    "Preprocess",
    "Preprocessing",
    "Splits",
    "States",
    "Survey",
    "TrialTable",
    "drawn",
    "fit",
    "given",
    "read_nwb",
    "read_xarray",
    "survey",
    "whole_numbers",
]
