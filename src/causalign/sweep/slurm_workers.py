"""Workers of a SLURM cluster: each point is a job, which submitit hands to `sbatch`."""

import shutil
from collections.abc import Iterator
from concurrent.futures import Executor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from typing_extensions import override

from causalign.errors import InvalidArgument, MissingDependency, lookup
from causalign.sweep.remote_call import RemoteCall
from causalign.sweep.slurm_executor import SlurmExecutor
from causalign.sweep.workers import THREADS, Workers

LOGS = "slurm"
CLUSTERS = ("slurm", "local")
_POLLS = {"slurm": 5.0, "local": 0.2}  # seconds between two looks at the files of the jobs
_DELAY = 90  # seconds before its time limit at which a job is put into the queue again


@dataclass(frozen=True)
class SlurmWorkers(Workers):
    """The machines of a SLURM cluster. The sweep is started where `sbatch` is, and waits until its jobs have ended.

    The folder of the sweep must be shared by all machines, which need causalign and the files of the networks under the
    same paths. `slurm/` in it has the logs. A job that comes to its time limit, or is preempted, is put into the queue
    again, and its point goes on from its checkpoint. Options of `sbatch` that are not listed here can be set by its
    environment variables, such as `SBATCH_RESERVATION`.

    Main attributes:
        partition: The partition. `None` takes the cluster's default, and so do the other options without a value.
        timeout_min: The time limit of a job, in minutes.
        cpus_per_point: The number of processors of a point, and of its threads.
        gpus_per_point: The number of GPUs of a point.
        memory_gb: The memory of a point, in GB.
        jobs: The number of jobs that run or wait at a time.

    Other attributes:
        account: The account that is charged.
        qos: The quality of service.
        constraint: Features that the machines must have.
        cluster: `"slurm"`, or `"local"` to try it with processes on this machine.
    """

    partition: str | None = None
    timeout_min: int = 240
    cpus_per_point: int = 1
    gpus_per_point: int = 0
    memory_gb: int | float | None = None
    jobs: int = 100
    account: str | None = None
    qos: str | None = None
    constraint: str | None = None
    cluster: Literal["slurm", "local"] = "slurm"

    def __post_init__(self) -> None:
        for name, least in (("timeout_min", 1), ("cpus_per_point", 1), ("gpus_per_point", 0), ("jobs", 1)):
            value = getattr(self, name)
            if not isinstance(value, int) or value < least:
                raise InvalidArgument(f"{name} is a whole number from {least} on, found {value!r}")
        memory = self.memory_gb
        if memory is not None and not (isinstance(memory, int | float) and memory > 0):
            raise InvalidArgument(f"memory_gb is a number of more than 0, found {memory!r}")
        lookup("cluster", self.cluster, dict.fromkeys(CLUSTERS))

    @property
    def in_flight(self) -> int:  # type: ignore[override]
        """As many points as jobs."""
        return self.jobs

    @override
    def checked(self) -> Workers:
        """Return these workers, once it is known that jobs can be submitted.

        Raises:
            MissingDependency: submitit is not installed.
            InvalidArgument: This machine has no SLURM.
        """
        _submitit()
        absent = [name for name in ("sbatch", "srun") if shutil.which(name) is None]
        if self.cluster == "slurm" and absent:
            raise InvalidArgument(
                f"this machine has no SLURM ({absent[0]} is not found): start the sweep where jobs are submitted"
            )
        return self

    @override
    @contextmanager
    def open(self, folder: Path) -> Iterator[Executor]:
        jobs = _submitit().AutoExecutor(folder=(folder / LOGS).absolute(), cluster=self.cluster)
        jobs.update_parameters(
            name="causalign",
            timeout_min=self.timeout_min,
            cpus_per_task=self.cpus_per_point,
            gpus_per_node=self.gpus_per_point or None,  # where there are no GPUs, not even none may be asked for
            mem_gb=self.memory_gb,
            slurm_partition=self.partition,
            slurm_account=self.account,
            slurm_qos=self.qos,
            slurm_constraint=self.constraint,
            slurm_signal_delay_s=_DELAY,
            slurm_setup=[f"export {name}={self.cpus_per_point}" for name in THREADS],
        )
        executor = SlurmExecutor(jobs, RemoteCall.of(self.cpus_per_point), _POLLS[self.cluster])
        try:
            yield executor
        finally:
            executor.shutdown(cancel_futures=True)


def _submitit() -> Any:
    try:
        import submitit
    except ImportError:
        raise MissingDependency("workers of a SLURM cluster need submitit: pip install 'causalign[slurm]'") from None
    return submitit
