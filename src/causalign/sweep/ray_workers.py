"""Workers on a Ray cluster: each point is a task that Ray places on a machine with free processors and GPUs."""

from collections.abc import Iterator
from concurrent.futures import Executor
from contextlib import contextmanager
from dataclasses import dataclass
from math import isfinite
from pathlib import Path
from typing import Any

from typing_extensions import override

from causalign.errors import InvalidArgument, MissingDependency
from causalign.sweep.ray_cluster import check_address, connection
from causalign.sweep.ray_executor import RayExecutor
from causalign.sweep.remote_call import RemoteCall
from causalign.sweep.workers import Workers


@dataclass(frozen=True)
class RayWorkers(Workers):
    """The machines of a Ray cluster. `ray start --head` starts it on one; `ray start --address` adds others.

    A point whose machine is lost is run again on another one. The folder of the sweep must be shared by all machines,
    which need causalign and the files of the networks under the same paths. A worker opens each network once.

    If the program is connected to Ray already, that connection is used, and left open.

    Attributes:
        address: The address of the cluster, such as `"10.0.0.1:6379"`, or `"auto"` for the cluster of this machine.
            `None` starts Ray on this machine for the time of the sweep.
        cpus_per_point: The number of processors of a point, and of its threads.
        gpus_per_point: The number of GPUs of a point. Points share one by a fraction such as 0.5. With 0, a point sees
            none.
    """

    address: str | None = None
    cpus_per_point: int = 1
    gpus_per_point: int | float = 0

    def __post_init__(self) -> None:
        if self.cpus_per_point < 1:
            raise InvalidArgument(f"cpus_per_point is at least 1, found {self.cpus_per_point}")
        if not (isfinite(self.gpus_per_point) and self.gpus_per_point >= 0):
            raise InvalidArgument(f"gpus_per_point is 0 or more, found {self.gpus_per_point}")
        if self.gpus_per_point > 1 and self.gpus_per_point != int(self.gpus_per_point):
            raise InvalidArgument(f"gpus_per_point is a fraction or a whole number, found {self.gpus_per_point}")

    @override
    def checked(self) -> Workers:
        """Return these workers, once it is known that the cluster answers.

        Raises:
            MissingDependency: Ray is not installed.
            InvalidArgument: The address does not answer.
        """
        ray = _ray()
        if self.address is not None and not ray.is_initialized():
            check_address(self.address)
        return self

    @override
    @contextmanager
    def open(self, folder: Path) -> Iterator[Executor]:
        ray = _ray()
        with connection(ray, self.address):
            self._check_nodes(ray)
            needs = {"num_cpus": self.cpus_per_point, "num_gpus": self.gpus_per_point}
            executor = RayExecutor(ray, needs, RemoteCall.of(self.cpus_per_point))
            try:
                yield executor
            finally:
                executor.shutdown(cancel_futures=True)

    def _check_nodes(self, ray: Any) -> None:
        """Check that some machine is large enough for a point, which would wait forever otherwise."""
        nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
        for name, needed in (("CPU", self.cpus_per_point), ("GPU", self.gpus_per_point)):
            most = max((node.get(name, 0.0) for node in nodes), default=0.0)
            if most < needed:
                raise InvalidArgument(
                    f"no machine of the Ray cluster has {needed:g} {name}s for a point, the largest has {most:g}: use "
                    f"{name.lower()}s_per_point={int(most)}, or add a machine"
                )


def _ray() -> Any:
    try:
        import ray
    except ImportError:
        raise MissingDependency("workers on a Ray cluster need ray: pip install 'causalign[ray]'") from None
    return ray
