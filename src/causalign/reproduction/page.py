"""The page of a reproduction: each figure beside its claims, their rules and verdicts, and its rows of the table."""

from collections.abc import Sequence

import pandas as pd

from causalign.report.page import svg, template
from causalign.reproduction.figures import draw
from causalign.reproduction.study import Study
from causalign.reproduction.table import Verdict

PAGE = "reproduction.html"


def page(studies: Sequence[Study], whole: pd.DataFrame, verdicts: Sequence[Verdict]) -> str:
    """Return the HTML of the page. It opens offline.

    Args:
        studies: The studies, in the order of the page.
        whole: The rows of all studies (see `table`).
        verdicts: The verdicts on the claims of all studies.
    """
    sections = [
        {
            "study": study,
            "figures": [svg(draw(panel, whole[whole["figure"] == study.name])) for panel in study.panels],
            "verdicts": [verdict for verdict in verdicts if verdict.figure == study.name],
            "rows": whole[whole["figure"] == study.name].astype(object).where(pd.notna, None).to_dict("records"),
        }
        for study in studies
    ]
    return template("causalign.reproduction", "page.html.j2").render(sections=sections, verdicts=verdicts)
