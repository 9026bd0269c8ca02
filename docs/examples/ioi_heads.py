"""Swap every head and every MLP of the small Llama of docs/own-data.md, and write the table there.

`python docs/examples/ioi_heads.py` trains the model and takes a minute. The whole state of a place is swapped at the
last word: the rank is the width, so that nothing is searched. A head is what it writes into the output projection.
"""

import tempfile
import warnings
from pathlib import Path

import ioi
import pandas as pd
from page_part import write_part

import causalign as ca

PAGE = Path(__file__).parent.parent / "own-data.md"
BEGIN, END = "<!-- written by docs/examples/ioi_heads.py -->\n", "<!-- end of heads -->"
LAYERS, PARTS = range(1, 5), ("mlp", "attention", "head.0", "head.1", "head.2", "head.3")


def table(folder: Path) -> pd.DataFrame:
    """Return the IIA of every part of every layer of the model in a folder: a line for each layer."""
    frame, lm = pd.read_csv(folder / "prompts.csv"), ca.networks.from_pretrained(folder / "llama")
    found = pd.DataFrame(index=LAYERS, columns=list(PARTS), dtype=float)
    whole = ca.SearchConfig(max_steps=1, eval_every=1)
    for layer in LAYERS:
        for part in PARTS:
            site = lm.site(f"layer.{layer}.{part}")
            data = ca.Counterfactuals.from_table(frame, site, position=-1, no_swap_label="own_answer")
            found.loc[layer, part] = ca.align(data, method="das", rank=site.width, search=whole).worst_iia
    return found


def main() -> None:
    """Train the model, and write the table into the page."""
    warnings.simplefilter("ignore", ca.SearchWarning)  # most parts carry nothing by themselves
    with tempfile.TemporaryDirectory() as temporary:
        ioi.main(Path(temporary))
        found = table(Path(temporary))
    lines = [f"| layer | {' | '.join(found.columns)} |", f"|{' --- |' * (1 + len(found.columns))}"]
    lines += [f"| {layer} | {' | '.join(f'{each:.3f}' for each in row)} |" for layer, row in found.iterrows()]
    write_part(PAGE, (BEGIN, END), "\n".join([*lines, ""]))
    print(found.to_string())


if __name__ == "__main__":
    main()
