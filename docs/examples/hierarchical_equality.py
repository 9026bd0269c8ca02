"""Two variables of a network whose code is known: `python docs/examples/hierarchical_equality.py`.

Hierarchical equality: four vectors a, b, c, d come in; the answer is whether (a = b) is the same as (c = d). The
weights are written by hand in `causalign.validation.problems.hierarchical_equality`. The state `code` is a known
rotation of the two variables, left = (a = b) and right = (c = d), in 16 dimensions. DAS with a block for each variable
must find them: an IIA of 1.000, and angles of 0.
"""

from pathlib import Path

import pandas as pd
from page_part import write_part

import causalign as ca
from causalign.validation.principal_angles import largest_angles
from causalign.validation.problems.hierarchical_equality import VARIABLES, equality_case

PAGE = Path(__file__).parent.parent / "other-modules.md"
BEGIN, END = "<!-- written by docs/examples/hierarchical_equality.py -->\n", "<!-- end -->"


def scores(seed: int = 0) -> pd.DataFrame:
    """Return the IIA of each variable, and the angle between its block and the direction that is known, in degrees."""
    case = equality_case(seed)
    found = ca.align(case.data, **case.fields, seed=seed)
    table = found.iia.set_index("variable").loc[list(VARIABLES), ["iia", "ci_low", "ci_high", "no_swap", "rows"]]
    return table.assign(angle=list(largest_angles(found, case).values()))


def main() -> None:
    """Print the table, and write it into docs/other-modules.md."""
    found = scores()
    print(found.round(4).to_string())
    lines = ["| variable | IIA | 95 % interval | no swap | rows | angle |\n", "| --- " * 6 + "|\n"]
    for name, row in found.iterrows():
        interval = f"{row.iia:.3f} | {row.ci_low:.3f} to {row.ci_high:.3f}"
        lines.append(f"| {name} | {interval} | {row.no_swap:.3f} | {int(row.rows):,} | {row.angle:.2f}° |\n")
    write_part(PAGE, (BEGIN, END), "".join(lines))


if __name__ == "__main__":
    main()
