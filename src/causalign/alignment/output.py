"""The output folder of an alignment: what it may hold beforehand, and the journal from which the same call goes on."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch

from causalign.alignment.alignment_files import (
    MAPS,
    RESULT,
    description,
    read_record,
    record_description,
    require_no_alignment,
)
from causalign.alignment.request import Request
from causalign.alignment.row_outcomes import ROWS
from causalign.errors import FileFormatError, InvalidArgument
from causalign.files import remove_temporaries
from causalign.journal import Journal, place
from causalign.source_hash import source_hash

CHECKPOINT = "checkpoint"
"""The folder of the journal within the output folder. It is there until the alignment has been saved."""


def open_journal(request: Request, folder: Path, overwrite: bool) -> Journal:
    """Return the journal of a request in its output folder, from which the request goes on if it was stopped there.

    Args:
        request: The request.
        folder: The output folder.
        overwrite: Whether an alignment in the folder is replaced, and a checkpoint of another one deleted.

    Raises:
        InvalidArgument: The folder holds an alignment, or the checkpoint of another one, and `overwrite` is false.
        FileFormatError: A file of the checkpoint is not whole, and `overwrite` is false.
    """
    journal = Journal(folder / CHECKPOINT, _about(request))
    try:
        own = journal.exists and journal.is_own()
        if journal.exists and not own and not overwrite:
            raise InvalidArgument(
                f"{folder} holds the checkpoint of another alignment, or of other code: give another folder, or "
                "overwrite=True (--overwrite) to delete it"
            )
    except FileFormatError as error:
        if not overwrite:
            raise FileFormatError(f"{error}; overwrite=True (--overwrite) deletes it and begins anew") from None
        own = False
    for name in (RESULT, MAPS, ROWS) if own else ():
        remove_temporaries(folder / name)
    if not own:
        journal.remove()
    if not (own and _free_of_others(request, folder)):  # saving it may have been cut short
        require_no_alignment(folder, _description(request), overwrite)
    return journal


@contextmanager
def resumption(journal: Journal) -> Iterator[None]:
    """A context that says with an interruption how to go on from it, and in which the journal is not deleted."""
    try:
        yield
    except KeyboardInterrupt as error:
        at = None if journal.folder is None else place(journal.folder)
        if at is not None:
            error.add_note(f"interrupted at {at}: repeat the call to go on")
        raise


def _description(request: Request) -> dict[str, Any]:
    sites = [(name, site.at, site.fingerprint) for name, site in zip(request.names, request.sites, strict=True)]
    return description(request.config, request.data.fingerprint, sites)


def _about(request: Request) -> dict[str, Any]:
    """What a checkpoint is of: the request, and the code on which its bytes depend."""
    code = {"causalign": source_hash(), "torch": torch.__version__, "numpy": np.__version__}
    return _description(request) | {"code": code}


def _free_of_others(request: Request, folder: Path) -> bool:
    """Whether no whole alignment in the folder is another one."""
    if not (folder / RESULT).exists():
        return True
    try:
        return record_description(read_record(folder)) == _description(request)
    except FileFormatError:
        return False
