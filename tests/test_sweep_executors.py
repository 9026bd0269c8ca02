"""The executors of sweeps: Ray, SLURM, and any of `concurrent.futures`. They are compared with a local run."""

import json
import multiprocessing
import os
import stat
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import CancelledError, Executor, ProcessPoolExecutor, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

import causalign as ca
from causalign.errors import lookup
from causalign.sweep.folder import SweepFolder
from causalign.sweep.ray_cluster import check_address
from causalign.sweep.ray_executor import RayExecutor
from causalign.sweep.remote_call import RemoteCall
from causalign.sweep.run import run_point
from causalign.sweep.workers import WorkerLoss

WORKERS = sys.modules[ca.SlurmWorkers.__module__]

SITES = [f"zoo:multi-object/gru/{seed}@hidden" for seed in (0, 1)]
SMALL: dict[str, Any] = {"n_train": 40, "n_validation": 20, "n_test": 30}
SEARCH = ca.SearchConfig(max_steps=16, eval_every=2, batch_size=8, early_stopping=False)
GRID = {"rank": [2, 3], "seed": [0, 1]}


def contents(folder: Path) -> dict[str, Any]:
    """The files of all points but for durations, and the names of those that are not finished."""
    found: dict[str, Any] = {}
    for path in sorted((folder / "points").rglob("*")):
        name = str(path.relative_to(folder))
        if path.name == "result.json":
            found[name] = json.loads(path.read_bytes())
            for duration in ("seconds", "threads"):
                found[name].pop(duration, None)
        else:
            found[name] = path.read_bytes() if path.is_file() else None
    return found


@pytest.fixture(scope="module")
def local(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What a sweep in this process writes."""
    folder = tmp_path_factory.mktemp("local")
    ca.sweep(SITES, GRID, out=folder, workers=1, search=SEARCH, **SMALL)
    found = contents(folder)
    assert sum(name.endswith("maps.safetensors") for name in found) == 4
    return found


def a_part(local: dict[str, Any], folder: Path) -> dict[str, Any]:
    """The files of those points that a folder has, of a local run."""
    keys = {path.name for path in (folder / "points").iterdir()}
    return {name: value for name, value in local.items() if name.split("/")[1] in keys}


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    """A Ray cluster of two machines with one processor each."""
    from ray.cluster_utils import Cluster

    cluster = Cluster()
    try:
        for _ in range(2):
            cluster.add_node(num_cpus=1, object_store_memory=80 * 2**20, include_dashboard=False)
        yield cluster
    finally:
        cluster.shutdown()


def test_a_ray_cluster_that_loses_a_machine_writes_the_bytes_of_a_local_run(
    cluster: Any, local: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ended = threading.Event()
    in_hand: list[list[str]] = []

    def lose_a_machine() -> None:
        while not ended.wait(0.01):
            unfinished = [path.name for path in (tmp_path / "sweep/points").glob(".*")]
            if len(unfinished) == 2:  # each machine has one processor, so that each has a point in hand
                in_hand.append(unfinished)
                cluster.remove_node(cluster.worker_nodes.copy().pop(), allow_graceful=False)
                return

    monkeypatch.chdir(tmp_path)  # the folder's relative path is found by the workers
    thief = threading.Thread(target=lose_a_machine)
    thief.start()
    try:
        workers = ca.RayWorkers(cluster.address)
        found = ca.sweep(SITES, GRID, out="sweep", executor=workers, search=SEARCH, **SMALL)
    finally:
        ended.set()
        thief.join()
    assert len(in_hand) == 1
    assert list(found.table.drop_duplicates("point")["status"]) == ["finished"] * 4
    assert contents(tmp_path / "sweep") == local


def test_exceptions_and_ctrl_c_travel_through_ray(cluster: Any, tmp_path: Path) -> None:
    import ray

    from causalign.sweep.ray_cluster import connection

    def interrupt() -> None:  # workers cannot import this file, so that the function is sent to them
        (tmp_path / "began").touch()
        try:
            for _ in range(6000):  # Ray interrupts between two steps of Python
                time.sleep(0.01)
        except KeyboardInterrupt:
            (tmp_path / "interrupted").touch()
            raise

    with connection(ray, cluster.address):
        executor = RayExecutor(ray, {"num_cpus": 1, "num_gpus": 0}, RemoteCall.of(1))
        assert executor.submit(os.environ.get, "OMP_NUM_THREADS").result(60) == "1"
        with pytest.raises(ca.InvalidArgument, match="unknown method 'max'; did you mean 'mas'"):
            executor.submit(lookup, "method", "max", {"mas": 1}).result(60)
        with pytest.raises(ca.InvalidArgument, match="Ray cannot run points .*No module named 'test_sweep_executors'"):
            executor.submit(contents, tmp_path).result(60)  # as where causalign is not installed
        with pytest.raises(ca.InvalidArgument, match="cannot be sent to other machines: name the sites by reference"):
            executor.submit(id, threading.Lock())
        running, waiting = (executor.submit(interrupt) for _ in range(2))
        while not (tmp_path / "began").exists():
            time.sleep(0.01)
        executor.shutdown(cancel_futures=True)
        for future in (running, waiting):
            with pytest.raises(CancelledError):
                future.result(0)
        assert (tmp_path / "interrupted").exists()
        too_large = ca.RayWorkers(cluster.address, cpus_per_point=3)
        with pytest.raises(ca.InvalidArgument, match="no machine of the Ray cluster has 3 CPUs.*largest has 1"):
            ca.sweep(SITES, out=tmp_path / "sweep", executor=too_large, search=SEARCH, **SMALL)


@pytest.mark.parametrize(
    ("error", "message"),
    [("WorkerCrashedError", "its worker was lost 4 times"), ("OutOfMemoryError", "memory of the machine ran out")],
)
def test_a_point_whose_ray_worker_is_lost_fails_in_one_line(error: str, message: str) -> None:
    import ray

    executor = RayExecutor.__new__(RayExecutor)
    executor._ray = ray
    kind = getattr(ray.exceptions, error)
    cause = executor._cause(kind("of memory") if error == "OutOfMemoryError" else kind())
    assert isinstance(cause, WorkerLoss)
    assert message in str(cause)
    assert "\n" not in str(cause)


def test_a_ray_address_that_does_not_answer_is_refused(
    run: Callable[..., tuple[int, str, str]], tmp_path: Path
) -> None:
    options = ["--site", SITES[0], "--out", tmp_path / "sweep"]
    began = time.monotonic()
    code, _, shown = run("sweep", *options, "--ray", "127.0.0.1:1")
    assert time.monotonic() - began < 20
    assert (code, len(shown.strip().splitlines())) == (2, 1)
    assert "no Ray cluster answers at 127.0.0.1:1" in shown
    assert not (tmp_path / "sweep").exists()
    for address in ("here", "ray://a:1", "http://a:1"):
        with pytest.raises(ca.InvalidArgument, match="HOST:PORT or auto, found"):
            check_address(address)


def test_something_else_at_a_ray_address_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    import socket

    monkeypatch.setitem(vars(sys.modules["causalign.sweep.ray_cluster"]), "_ANSWER", 3.0)
    with socket.create_server(("127.0.0.1", 0)) as mute:  # it accepts connections, and says nothing
        address = f"127.0.0.1:{mute.getsockname()[1]}"
        with pytest.raises(ca.InvalidArgument, match=f"no Ray cluster answers at {address} .no answer in 3 seconds"):
            check_address(address)


@pytest.mark.parametrize(("option", "package"), [(["--ray", "auto"], "ray"), (["--slurm", ""], "submitit")])
def test_an_absent_package_is_named(
    run: Callable[..., tuple[int, str, str]],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    option: list[str],
    package: str,
) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    code, _, shown = run("sweep", "--site", SITES[0], "--out", tmp_path / "sweep", *option)
    assert (code, len(shown.strip().splitlines())) == (2, 1)
    assert f"need {package}: pip install 'causalign[{option[0].strip('-')}]'" in shown
    assert not (tmp_path / "sweep").exists()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--ray", "auto", "--workers", "2"], "--workers and --ray exclude each other"),
        (["--ray", "auto", "--slurm", ""], "--ray and --slurm exclude each other"),
        (["--slurm", "", "--shard", "1/2"], "--shard and --slurm exclude each other"),
        (["--cpus-per-point", "2"], "--cpus-per-point needs --ray or --slurm"),
        (["--gpus-per-point", "1", "--workers", "2"], "--gpus-per-point needs --ray or --slurm"),
        (["--ray", "auto", "--gpus-per-point", "1.5"], "a fraction or a whole number, found 1.5"),
        (["--slurm", "partion=gpu"], "unknown option of SLURM 'partion'; did you mean 'partition'"),
        (["--slurm", "gpu"], "NAME=VALUE,NAME=VALUE, found 'gpu'"),
        (["--slurm", "timeout_min=soon"], "timeout_min of SLURM is a whole number, found 'soon'"),
        (["--slurm", "memory_gb=much"], "memory_gb of SLURM is a number, found 'much'"),
        (["--slurm", "", "--gpus-per-point", "0.5"], "gpus_per_point of SLURM is a whole number, found '0.5'"),
        (["--slurm", "cluster=slrum"], "unknown cluster 'slrum'; did you mean 'slurm'"),
        (["--slurm", "timeout_min=0"], "timeout_min is a whole number from 1 on, found 0"),
        (["--slurm", "memory_gb=-1"], "memory_gb is a number of more than 0, found -1"),
        (["--slurm", "partition=gpu"], "this machine has no SLURM (sbatch is not found)"),
    ],
)
def test_options_of_executors_are_checked(
    run: Callable[..., tuple[int, str, str]],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    options: list[str],
    message: str,
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    code, _, shown = run("sweep", "--site", SITES[0], "--out", tmp_path / "sweep", *options)
    assert (code, len(shown.strip().splitlines())) == (2, 1)
    assert message in shown
    assert not (tmp_path / "sweep").exists()


def test_jobs_of_submitit_write_the_bytes_of_a_local_run(local: dict[str, Any], tmp_path: Path) -> None:
    workers = ca.SlurmWorkers(cluster="local", jobs=1)
    found = ca.sweep(SITES, {"rank": [2], "seed": [0]}, out=tmp_path, executor=workers, search=SEARCH, **SMALL)
    assert found.counts == {"finished": 1}
    assert contents(tmp_path) == a_part(local, tmp_path)
    assert len(list((tmp_path / "slurm").glob("*_log.out"))) == 1


SLURM = {
    "sbatch": 'id=$$; cp "$1" $HERE/$id.sbatch; SLURM_JOB_ID=$id setsid bash "$1" > /dev/null 2>&1 & '
    'echo $! > $HERE/$id.pid; echo "Submitted batch job $id"',
    "srun": 'while [ "${1#-}" != "$1" ]; do case "$1" in --output|--error) shift 2;; *) shift;; esac; done; exec "$@"',
    "sacct": 'echo "JobID|State|NodeList"; for f in $HERE/*.pid; do id=$(basename $f .pid); state=COMPLETED; '
    'kill -0 $(cat $f) 2> /dev/null && state=RUNNING; echo "$id|$state|here"; done',
    "scancel": "touch $HERE/$1.cancelled; kill -9 -- -$(cat $HERE/$1.pid)",
}
"""Commands that do on this machine what those of SLURM do on others."""


@pytest.fixture
def slurm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of an imitation of SLURM, in which jobs leave their files."""
    here = tmp_path / "imitation"
    here.mkdir()
    for name, script in SLURM.items():
        (here / name).write_text(f"#!/bin/bash\nHERE={here}\n{script}\n")
        (here / name).chmod(stat.S_IRWXU)
    monkeypatch.setenv("PATH", f"{here}:{os.environ['PATH']}")
    monkeypatch.setitem(vars(WORKERS), "_POLLS", {"slurm": 0.2, "local": 0.2})
    return here


def test_jobs_are_submitted_with_their_options_and_lost_ones_are_said_in_one_line(
    slurm: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import submitit

    monkeypatch.setattr(submitit.SlurmJob, "_results_timeout_s", 1)
    workers = ca.SlurmWorkers(partition="long", timeout_min=90, memory_gb=8, account="lab", cpus_per_point=2)
    with workers.open(tmp_path) as executor:
        lost = executor.submit(os._exit, 9)
        wrong = executor.submit(lookup, "method", "max", {"mas": 1})
        with pytest.raises(WorkerLoss, match=r"^its job was lost \(.*\): see .*_log.err$") as loss:
            lost.result(60)
        assert "\n" not in str(loss.value)
        with pytest.raises(ca.InvalidArgument, match="unknown method 'max'; did you mean 'mas'"):
            wrong.result(60)
        with pytest.raises(ca.InvalidArgument, match="cannot be sent to other machines .*lock.* name the sites by ref"):
            executor.submit(id, threading.Lock())
        running = executor.submit(time.sleep, 60)
    with pytest.raises(CancelledError):
        running.result(0)
    assert len(list(slurm.glob("*.cancelled"))) == 1
    asked = ("partition=long", "time=90", "mem=8GB", "account=lab", "cpus-per-task=2", "signal=USR2@90")
    for job in slurm.glob("*.sbatch"):
        assert {*(f"#SBATCH --{each}" for each in asked), "export OMP_NUM_THREADS=2"} <= set(
            job.read_text().splitlines()
        )
    (slurm / "sbatch").write_text("#!/bin/bash\necho 'sbatch: error: invalid partition' >&2; exit 1\n")
    with (
        workers.open(tmp_path) as executor,
        pytest.raises(ca.InvalidArgument, match="the job was not accepted: .*invalid partition"),
    ):
        executor.submit(abs, 1)


@pytest.mark.parametrize("kind", ["threads", "processes"])
def test_any_executor_writes_the_bytes_of_a_local_run(kind: str, local: dict[str, Any], tmp_path: Path) -> None:
    executor: Executor
    if kind == "threads":
        executor, grid = ThreadPoolExecutor(2), {"rank": [2, 3], "seed": [0]}
    else:
        executor, grid = (
            ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")),
            {"rank": [2], "seed": [1]},
        )
    with executor:
        found = ca.sweep(SITES, grid, out=tmp_path, executor=executor, search=SEARCH, **SMALL)
        assert executor.submit(abs, -1).result() == 1  # it is left open
    assert set(found.counts) == {"finished"}
    assert contents(tmp_path) == a_part(local, tmp_path)


def test_a_worker_with_other_networks_or_code_is_refused(tmp_path: Path) -> None:
    from causalign.sweep.definition import define

    (point,) = define(SITES, {}, SMALL).points.values()
    folder = SweepFolder(tmp_path).create()
    failure = run_point(point, "0" * 24, folder.path)
    assert failure is not None
    assert "has another causalign, or other networks or data under the same names" in failure.message
    absent = run_point(point, point.key, tmp_path / "elsewhere")
    assert absent is not None
    assert "the folder must be shared by all machines" in absent.message
