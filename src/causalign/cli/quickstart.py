"""The command `quickstart`: two pairs of shipped networks side by side.

pair of sites --align, compare--> folder of each pair --read--> terminal, figure, page
"""

from collections.abc import Mapping
from pathlib import Path

from causalign.alignment.alignment_files import read_record
from causalign.alignment.spec import AlignmentSpec
from causalign.cli.alignment_run import require_complete, run_alignment
from causalign.cli.common_options import Out, Overwrite, Seed
from causalign.cli.tables import console, show_pairs
from causalign.errors import FileFormatError
from causalign.files import output_folder
from causalign.report.pairs import PAIRS_FIGURE, PAIRS_PAGE, conclusion, read_pair, write_pairs_page

TITLE = "What two networks can exchange, and how they correlate"
PAIRS: Mapping[str, Mapping[str, object]] = {
    "GRUs": {"sites": ("zoo:multi-object/gru/0@hidden", "zoo:multi-object/gru/1@hidden")},
    "transformers": {
        "sites": ("zoo:multi-object/transformer/0@hidden", "zoo:multi-object/transformer/3@hidden"),
        "n_train": 1000,
        "n_validation": 200,
        "n_test": 500,
        "search": {"batch_size": 64, "patience": 2, "min_delta": 0.02},
    },
}
"""The fields of each pair's spec. The search of the transformers is a short one: nothing is there to be found."""
QUESTION = """\
All four networks answer with as many R as they were shown objects. Can one of
them go on with the count of another? MAS finds in each of two networks the
subspace that carries it, swaps its contents between the two, and tests whether
the target then answers as the swapped state implies. RSA and CKA correlate the
same states.
"""
REASON = (
    "The hidden state of a GRU carries the count from token to token. A transformer counts again at every token, by "
    "attention to the objects that it was shown: its state, which is alike in the two networks, is not what it goes on "
    "with. So its state cannot be exchanged even within one network."
)


def quickstart(out: Out = Path("runs/quickstart"), seed: Seed = 0, *, overwrite: Overwrite = False) -> None:
    """Compare two pairs of shipped networks that learned to count, in the terminal and in a page.

    RSA and CKA say nearly the same of both pairs. MAS does not. An earlier quickstart in the folder is replaced.
    """
    output_folder(out, PAIRS_PAGE, PAIRS_FIGURE)
    folders = {name: out / name.lower() for name in PAIRS}
    console.print(QUESTION)
    for name, fields in PAIRS.items():
        spec = AlignmentSpec.read({**fields, "seed": seed, "controls": True}, "the quickstart")
        run = run_alignment(spec, folders[name], overwrite or _holds(folders[name], spec))
        require_complete(run.alignment)
    pairs = [read_pair(name, folder) for name, folder in folders.items()]
    show_pairs(pairs, TITLE)
    console.print(conclusion(pairs), style="bold")
    page = write_pairs_page(out, pairs, TITLE, REASON)
    console.print(f"\n{REASON}")
    console.print(f"\nThe maps and the scores are in {out}.\nOpen {page} in a browser.", soft_wrap=True)


def _holds(folder: Path, spec: AlignmentSpec) -> bool:
    """Return whether a folder holds an alignment of the sites of a spec."""
    try:
        return tuple(f"zoo:{site.network}@{site.at}" for site in read_record(folder).sites) == spec.sites
    except FileFormatError:
        return False
