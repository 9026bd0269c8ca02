"""An alignment that is asked for in words: the arguments of `align`, its sites by reference."""

import json
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator
from pydantic_core import PydanticCustomError

from causalign.alignment.align import align, controls_of
from causalign.alignment.request import AUTO
from causalign.alignment.result import Alignment
from causalign.alignment.schema import ControlScore
from causalign.callbacks import Callback
from causalign.errors import InvalidArgument, invalid, unknown
from causalign.maps import DEFAULT
from causalign.search.config import SearchConfig
from causalign.sites.base import Site
from causalign.sites.readable import Readable
from causalign.sites.uri import open_site


class AlignSpec(BaseModel):
    """The arguments of `causalign.align`, its networks by reference."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    network: list[str] = Field(min_length=1)
    variable: str | list[str] = "full"
    method: str = "mas"
    rank: int | str | list[int] = 16
    map: str = DEFAULT
    scale: bool = True
    start: str | None = None
    inaccessible: int | None = None
    eps: float | None = None
    tolerance: float = 0.01
    controls: bool = False
    seed: int = Field(0, ge=0)
    train: int = 10_000
    validation: int = 1_000
    test: int = 1_000
    memory: float | None = None
    batch: int = SearchConfig.batch
    grow: int = SearchConfig.grow
    passes: int = SearchConfig.passes
    optimizer: str | None = None
    learning_rate: float | None = None
    most_steps: int = SearchConfig.most_steps
    trial: int = SearchConfig.trial
    check_every: int = SearchConfig.check_every
    patience: int = SearchConfig.patience
    least_gain: float = SearchConfig.least_gain
    enough: float | None = None
    to_the_end: bool = SearchConfig.to_the_end
    precision: str | None = None

    @field_validator("rank")
    @classmethod
    def _whole_or_auto(cls, rank: int | str | list[int]) -> int | str | list[int]:
        if isinstance(rank, str) and rank != AUTO:
            raise PydanticCustomError(
                "rank", "a whole number, several of them, or auto, found {found}", {"found": repr(rank)}
            )
        return rank

    def open(self) -> list[Readable]:
        """The sites that the references name, on one device: where there is a GPU, a language model is on it."""
        return on_one_device([open_site(reference) for reference in self.network])

    def align(self, sites: Sequence[Readable], listener: Callback) -> Alignment:
        """Align them as the spec says."""
        return align(sites, **self.arguments(), progress=listener)

    def controls_of(self, sites: Sequence[Readable], steps: int, listener: Callback) -> tuple[ControlScore, ...]:
        """The controls of such an alignment whose search took so many steps."""
        return controls_of(sites, steps, **self.arguments(), progress=listener)

    def arguments(self) -> dict[str, Any]:
        """Return the arguments of `align`, all but its sites."""
        settings = SearchConfig(**{name: getattr(self, name) for name in SearchConfig.__dataclass_fields__})
        taken = {"network", *SearchConfig.__dataclass_fields__}
        return {name: value for name, value in self if name not in taken} | {"settings": settings}


def on_one_device(sites: Sequence[Readable]) -> list[Readable]:
    """Return the sites on the first accelerator among them, if there is one."""
    device = next((site.device for site in sites if site.device.type != "cpu"), None)
    return list(sites) if device is None else [_moved(site, device) for site in sites]


def _moved(site: Readable, device: torch.device) -> Readable:
    """A site on that device; recordings have none."""
    if not isinstance(site, Site) or site.device == device:
        return site
    return site.network.to(device).site(site.at, site.task)


def parse_spec(given: Mapping[str, Any], whose: str) -> AlignSpec:
    """The spec with these entries.

    Raises:
        InvalidArgument: an entry is unknown or of the wrong kind; it is named.
    """
    for name in given:
        if name not in AlignSpec.model_fields:
            raise unknown(f"entry of {whose}", name, AlignSpec.model_fields)
    try:
        return AlignSpec.model_validate(dict(given))
    except ValidationError as error:
        raise invalid(whose, error) from None


def read_spec(path: Path) -> AlignSpec:
    """The spec in a TOML or JSON file.

    Raises:
        InvalidArgument: the file cannot be read or parsed, or an entry is wrong.
    """
    try:
        text = path.read_text(encoding="utf-8")
        given = json.loads(text) if path.suffix == ".json" else tomllib.loads(text)
    except (OSError, UnicodeDecodeError, RecursionError, json.JSONDecodeError, tomllib.TOMLDecodeError) as error:
        raise InvalidArgument(f"cannot read the spec {path}: {getattr(error, 'strerror', None) or error}") from None
    if not isinstance(given, dict):
        raise InvalidArgument(f"the spec {path} is no table of entries")
    return parse_spec(given, str(path))
