"""Descriptions of recordings in TOML files, so that commands can name them."""

import tomllib
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from causalign import tasks
from causalign.errors import FileFormatError, invalid, unknown
from causalign.recordings.preprocessing import Preprocess
from causalign.sites.recordings.recording import Recording


class RecordingFile(BaseModel):
    """The entries of the file: the arguments of `Recording.from_nwb`, and the steps of `Preprocess`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    file: str
    """The NWB file, Zarr store or http address. A relative path begins at the folder of the description."""
    name: str | None = None
    """The name of the system. By default that of the file."""
    series: str | None = None
    events: list[str] | None = None
    bin: float | None = None
    units: dict[str, Any] | list[int | str] | str | None = None
    unit_names: list[str] | str | None = None
    intervals: str | None = None
    align: str = "start_time"
    window: tuple[float, float] | None = None
    columns: list[str] | None = None
    where: dict[str, Any] | str = Field(default_factory=dict)
    use_invalid: bool = False
    max_left_out: float = 0.2
    jitter: float = 0.01
    codes: dict[str, dict[str, int]] | None = None
    bins: dict[str, list[float]] | None = None
    levels: list[str] = Field(default_factory=list)
    task: str | None = None
    split: str | None = None
    fewest: int = 2
    seed: int = 0
    drop_silent: bool = False
    sqrt: bool = False
    zscore: bool = False
    pca: int | None = None
    unit_variance: bool = True
    dtype: str = "float32"

    def open(self, folder: Path) -> Recording:
        """Open the recording.

        Args:
            folder: The folder of the description.
        """
        steps = set(Preprocess.__dataclass_fields__)
        options = {name: value for name, value in self if name not in {"file", "task", "name", *steps}}
        options |= {} if self.name is None else {"name": self.name}
        preprocess = Preprocess(**{name: getattr(self, name) for name in steps})
        task = None if self.task is None else tasks.by_name(self.task)
        address = self.file.startswith(("http://", "https://"))
        where = self.file if address else folder / Path(self.file).expanduser()
        return Recording.from_nwb(where, task=task, preprocess=preprocess, **options)


def open_recording(path: Path) -> Recording:
    """Open the recording that a TOML file describes.

    Raises:
        FileFormatError: The description or the recording cannot be read.
        InvalidArgument: An entry is unknown or of the wrong type, or the recording cannot be used.
    """
    try:
        entries = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise FileFormatError(f"cannot read {path}: {getattr(error, 'strerror', None) or error}") from None
    for name in entries:
        if name not in RecordingFile.model_fields:
            raise unknown(f"entry of {path}", name, RecordingFile.model_fields)
    try:
        described = RecordingFile.model_validate(entries)
    except ValidationError as error:
        raise invalid(str(path), error) from None
    return described.open(path.parent)
