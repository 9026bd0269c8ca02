"""Recordings: states in arrays and files, variables in tables, preprocessing, splits and coverage."""

from causalign.recordings.nwb_reader import read_nwb
from causalign.recordings.preprocessing import Preprocess, Preprocessing, fit
from causalign.recordings.splits import SPLITS, Splits, assigned, drawn
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
    "assigned",
    "drawn",
    "fit",
    "read_nwb",
    "read_xarray",
    "survey",
    "whole_numbers",
]
