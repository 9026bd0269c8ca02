"""The options of `sweep` that say where its points are run."""

import dataclasses
from dataclasses import dataclass
from typing import Any

from causalign.cli.options import value_of
from causalign.errors import InvalidArgument, lookup
from causalign.sweep.ray_workers import RayWorkers
from causalign.sweep.slurm_workers import CLUSTERS, SlurmWorkers
from causalign.sweep.workers import Workers

_SLURM = {field.name: field for field in dataclasses.fields(SlurmWorkers)}


@dataclass(frozen=True)
class WorkerOptions:
    """Where the points are run, as the options have it."""

    workers: int | None
    shard: str | None
    ray: str | None
    slurm: str | None

    def executor(self, cpus_per_point: int | None, gpus_per_point: float | None) -> Workers | None:
        """Return the workers on other machines, or `None` for processes on this machine.

        Args:
            cpus_per_point: The processors of a point on another machine.
            gpus_per_point: The GPUs of a point on another machine.

        Raises:
            InvalidArgument: Options exclude each other, or one is unknown or wrong.
        """
        needs = {"cpus_per_point": cpus_per_point, "gpus_per_point": gpus_per_point}
        present = {name: value for name, value in needs.items() if value is not None}
        self._check(list(present))
        if self.ray is not None:
            return RayWorkers(self.ray, **present)  # type: ignore[arg-type]
        if self.slurm is None:
            return None
        if gpus_per_point is not None:
            present["gpus_per_point"] = _number("gpus_per_point", f"{gpus_per_point:g}")
        return SlurmWorkers(**{**_slurm_options(self.slurm), **present})

    def _check(self, needs: list[str]) -> None:
        local = {"--workers": self.workers, "--shard": self.shard}
        remote = {"--ray": self.ray, "--slurm": self.slurm}
        used = [name for name, value in (local | remote).items() if value is not None]
        if len(used) > 1 and any(name in remote for name in used):
            raise InvalidArgument(f"{used[0]} and {used[1]} exclude each other: leave one out")
        if needs and not any(name in remote for name in used):
            option = f"--{needs[0].replace('_', '-')}"
            raise InvalidArgument(f"{option} needs --ray or --slurm: processes on this machine share what it has")


def _slurm_options(text: str) -> dict[str, Any]:
    """Return the fields of `SlurmWorkers` that are written as `NAME=VALUE,NAME=VALUE`."""
    options = {}
    for each in filter(None, text.split(",")):
        name, equals, value = each.partition("=")
        if not equals or not value:
            raise InvalidArgument(f"options of SLURM are written NAME=VALUE,NAME=VALUE, found {each!r}")
        kind = str(lookup("option of SLURM", name.strip(), _SLURM).type)
        is_number = "int" in kind or "float" in kind
        options[name.strip()] = _number(name.strip(), value.strip()) if is_number else value.strip()
    lookup("cluster", str(options.get("cluster", "slurm")), dict.fromkeys(CLUSTERS))
    return options


def _number(name: str, text: str) -> int | float:
    """Return the value of a field of `SlurmWorkers` that is a number."""
    value = value_of(text)
    whole = "float" not in str(_SLURM[name].type)
    if isinstance(value, bool) or not isinstance(value, int if whole else int | float):
        raise InvalidArgument(f"{name} of SLURM is a {'whole ' if whole else ''}number, found {text!r}")
    return value
