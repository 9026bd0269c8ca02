"""Recordings as labs keep them: states in arrays and files, variables in tables, and what is done to them first."""

from causalign.recordings.labelled import read_labelled
from causalign.recordings.nwb import read_nwb
from causalign.recordings.preprocessing import Preprocess, Preprocessing, fit
from causalign.recordings.splits import SPLITS, Splits, drawn, given
from causalign.recordings.states import ArrayStates, States
from causalign.recordings.survey import Survey, survey
from causalign.recordings.values import TIME, TRIAL, Codes, Noted, whole_numbers

__all__ = [
    "SPLITS",
    "TIME",
    "TRIAL",
    "ArrayStates",
    "Codes",
    "Noted",
    "Preprocess",
    "Preprocessing",
    "Splits",
    "States",
    "Survey",
    "drawn",
    "fit",
    "given",
    "read_labelled",
    "read_nwb",
    "survey",
    "whole_numbers",
]
