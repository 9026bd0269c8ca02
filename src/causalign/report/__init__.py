"""Reports: the pages of saved alignments."""

from causalign.report.page import FIGURES, PAGE, SIMILARITY, save_similarity, svg, template, write_report

__all__ = ["FIGURES", "PAGE", "SIMILARITY", "save_similarity", "svg", "template", "write_report"]
