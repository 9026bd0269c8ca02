"""Alignments on the hub of Hugging Face: a repository with the files of a saved alignment, and a card.

alignment --save--> folder with README.md --upload--> repository --download--> alignment
"""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import Any

from causalign.alignment.alignment_files import MAPS, RESULT, SavedParts, read_alignment, write_alignment
from causalign.alignment.caveats import caveats
from causalign.alignment.row_outcomes import ROWS
from causalign.alignment.schema import AlignmentSummary, DirectionScore
from causalign.alignment.verdict import verdict_line
from causalign.errors import FileFormatError, MissingDependency
from causalign.files import write_text
from causalign.version import __version__

CARD = "README.md"
_HEAD = """---
library_name: causalign
tags: [causalign, model-alignment-search, interchange-intervention, interpretability]
---
"""


def push(parts: SavedParts, repo: str, *, private: bool, token: str | None, message: str) -> str:
    """Upload an alignment to a repository, and return the address of the commit.

    The arguments and the errors are those of `Alignment.push_to_hub`.
    """
    hub = _library()
    with tempfile.TemporaryDirectory() as temporary, _in_one_line(hub, repo):
        folder = Path(temporary)
        write_alignment(parts, folder)
        write_text(folder / CARD, card(parts.record, repo))
        api = hub.HfApi(token=token, library_name="causalign", library_version=__version__)
        api.create_repo(repo, private=private, exist_ok=True)
        files = [MAPS, ROWS, RESULT, CARD]
        commit = api.upload_folder(repo_id=repo, folder_path=folder, allow_patterns=files, commit_message=message)
        return str(commit.commit_url)


def pull(repo: str, *, revision: str | None, token: str | None) -> SavedParts:
    """Download the alignment of a repository. The arguments and the errors are those of `Alignment.from_hub`."""
    hub = _library()
    with _in_one_line(hub, repo):
        files = [MAPS, ROWS, RESULT]
        folder = hub.snapshot_download(repo, revision=revision, token=token, allow_patterns=files)
    return read_alignment(Path(folder))


def card(record: AlignmentSummary, repo: str) -> str:
    """Return the card of an alignment, in Markdown.

    Args:
        record: What is saved of the alignment.
        repo: The repository, `OWNER/NAME`.
    """
    sites = [site.name for site in record.sites]
    provenance = [
        *(f"* {_cell(site.name)}: fingerprint `{site.fingerprint}`" for site in record.sites),
        f"* data: `{record.data}`",
        "* versions: " + ", ".join(f"{name} {each}" for name, each in record.versions.items()),
    ]
    parts = [
        f"{_HEAD}\n# {record.method.upper()} of {' and '.join(map(_cell, sites))}",
        _headline(record),
        *([line] if (line := verdict_line(record)) else []),
        *caveats(record),
        _table(record.iia),
        f"## Use\n\n```python\nimport causalign as ca\n\nfound = ca.Alignment.from_hub({repo!r})\nfound.iia\n```",
        "## Provenance\n\n" + "\n".join(provenance),
    ]
    return "\n\n".join(parts) + "\n"


def _headline(record: AlignmentSummary) -> str:
    if record.worst is None or record.worst_interval is None:
        return "No direction leads into a network that can be run, so that there is no IIA."
    low, high = record.worst_interval
    return (
        f"Interchange intervention accuracy (IIA) of the worst direction: **{record.worst.iia:.3f}** "
        f"({low:.3f} to {high:.3f}), {record.worst.no_swap:.3f} with nothing swapped, at {record.extent}."
    )


def _table(scores: tuple[DirectionScore, ...]) -> str:
    lines = ["| source | target | variable | IIA | 95 % interval | rows | no swap |", f"|{' --- |' * 7}"]
    for each in scores:
        names = " | ".join(_cell(name) for name in (each.source, each.target, each.variable))
        interval = f"{each.ci_low:.3f} to {each.ci_high:.3f}"
        lines.append(f"| {names} | {each.iia:.3f} | {interval} | {each.rows:,} | {each.no_swap:.3f} |")
    return "\n".join(lines) if scores else ""


def _cell(name: str) -> str:
    """A name as code, which Markdown does not read."""
    return "`" + name.replace("`", "'").replace("|", "\\|").replace("\n", " ") + "`"


def _library() -> Any:
    try:
        return import_module("huggingface_hub")
    except ImportError:
        raise MissingDependency("the hub needs huggingface_hub: pip install 'causalign[hub]'") from None


@contextmanager
def _in_one_line(hub: Any, repo: str) -> Iterator[None]:
    """Say in one line what the hub refuses.

    Raises:
        FileFormatError: It refuses something, or cannot be reached.
    """
    try:
        yield
    except (OSError, ValueError, getattr(hub.errors, "HTTPError", OSError)) as error:
        said = " ".join(str(error).split())
        raise FileFormatError(f"{repo} on the hub: {said}") from None
