"""What `causalign align` is asked to do, from options or from a file."""

import json
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator
from pydantic_core import PydanticCustomError

from causalign._progress import Listener
from causalign.alignment import AUTO, Alignment, Plan, align, plan
from causalign.errors import CausalignError, invalid, unknown
from causalign.interchange import DEFAULT_BUDGET
from causalign.maps import DEFAULT
from causalign.search import Settings
from causalign.sites import Site, open_site


class AlignSpec(BaseModel):
    """The arguments of `causalign.align`, its networks by reference."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    network: list[str] = Field(min_length=1)
    variable: str | list[str] = "full"
    method: str = "mas"
    rank: int | str = 16
    map: str = DEFAULT
    scale: bool = True
    start: str = "closed-form"
    inaccessible: int | None = None
    eps: float | None = None
    tolerance: float = 0.01
    seed: int = Field(0, ge=0)
    train: int = 10_000
    validation: int = 1_000
    test: int = 1_000
    memory: float = DEFAULT_BUDGET
    batch: int = Settings.batch
    grow: int = Settings.grow
    passes: int = Settings.passes
    learning_rate: float | None = None
    most_steps: int = Settings.most_steps
    check_every: int = Settings.check_every
    patience: int = Settings.patience
    enough: float | None = None
    precision: str | None = None

    @field_validator("rank")
    @classmethod
    def _whole_or_auto(cls, rank: int | str) -> int | str:
        if isinstance(rank, str) and rank != AUTO:
            raise PydanticCustomError("rank", "a whole number or auto, found {found}", {"found": repr(rank)})
        return rank

    def open(self) -> list[Site]:
        """The sites that the references name, on one device: where there is a GPU, a language model is on it."""
        sites = [open_site(reference) for reference in self.network]
        device = next((site.device for site in sites if site.device.type != "cpu"), None)
        if device is None:
            return sites
        return [each if each.device == device else each.network.to(device).site(each.at, each.task) for each in sites]

    def align(self, sites: Sequence[Site], listener: Listener) -> Alignment:
        """Align them as the spec says."""
        return align(sites, **self._arguments(), progress=listener)

    def plan(self, sites: Sequence[Site]) -> Plan:
        """What that will take."""
        return plan(sites, **self._arguments())

    def _arguments(self) -> dict[str, Any]:
        settings = Settings(**{name: getattr(self, name) for name in Settings.__dataclass_fields__})
        taken = {"network", *Settings.__dataclass_fields__}
        return {name: value for name, value in self if name not in taken} | {"settings": settings}


def parse_spec(given: Mapping[str, Any], whose: str) -> AlignSpec:
    """The spec with these entries.

    Raises:
        CausalignError: an entry is unknown or of the wrong kind; it is named.
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
        CausalignError: the file cannot be read or parsed, or an entry is wrong.
    """
    try:
        text = path.read_text(encoding="utf-8")
        given = json.loads(text) if path.suffix == ".json" else tomllib.loads(text)
    except (OSError, UnicodeDecodeError, RecursionError, json.JSONDecodeError, tomllib.TOMLDecodeError) as error:
        raise CausalignError(f"cannot read the spec {path}: {getattr(error, 'strerror', None) or error}") from None
    if not isinstance(given, dict):
        raise CausalignError(f"the spec {path} is no table of entries")
    return parse_spec(given, str(path))
