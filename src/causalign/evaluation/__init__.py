"""Evaluation: IIA with its intervals, and the correlational measures beside it."""

from causalign.evaluation.cka import cka
from causalign.evaluation.iia import AT_ONCE, correct_trials, iia_table, worst
from causalign.evaluation.latents import latent_distance, latent_table
from causalign.evaluation.naturalness import Departure, departures
from causalign.evaluation.procrustes import procrustes
from causalign.evaluation.rsa import rdm, rsa
from causalign.evaluation.similarity import MEASURES, compare, stratified

__all__ = [
    "AT_ONCE",
    "MEASURES",
    "Departure",
    "cka",
    "compare",
    "correct_trials",
    "departures",
    "iia_table",
    "latent_distance",
    "latent_table",
    "procrustes",
    "rdm",
    "rsa",
    "stratified",
    "worst",
]
