"""Execute the notebooks of the tutorials, and keep what they show: `python docs/execute_notebooks.py [NOTEBOOK ...]`.

notebook --cells run in order, in a folder of their own--> the same notebook with its outputs

Without arguments all are executed, in five minutes on two cores.
"""

import sys
import tempfile
from pathlib import Path

import nbformat
from nbclient import NotebookClient

DOCS = Path(__file__).parent
LONGEST = 600  # seconds of a cell


def execute(path: Path) -> None:
    """Run a notebook, and write it with its outputs. A cell that fails ends the program, and nothing is written."""
    book = nbformat.read(path, as_version=4)
    with tempfile.TemporaryDirectory() as folder:
        NotebookClient(book, timeout=LONGEST, resources={"metadata": {"path": folder}}).execute()
    for cell in book.cells:
        cell.metadata.pop("execution", None)  # the times of day
    nbformat.write(book, path)


if __name__ == "__main__":
    for name in sys.argv[1:] or sorted(map(str, DOCS.glob("*-tutorial.ipynb"))):
        print(name, flush=True)
        execute(Path(name))
