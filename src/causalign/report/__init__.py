"""Reports: the figures and the page of a saved alignment."""

from causalign.report.figures import iia_matrix, learning_curve, similarity_bars
from causalign.report.page import FIGURES, PAGE, SIMILARITY, save_similarity, svg, template, write_report

__all__ = [
    "FIGURES",
    "PAGE",
    "SIMILARITY",
    "iia_matrix",
    "learning_curve",
    "save_similarity",
    "similarity_bars",
    "svg",
    "template",
    "write_report",
]
