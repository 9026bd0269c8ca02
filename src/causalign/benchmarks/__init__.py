"""Speed benchmarks: ratios that are measured in one run on one machine (`causalign bench`)."""

from collections.abc import Callable, Iterator, Mapping

from causalign.benchmarks.growth import growth
from causalign.benchmarks.language_model import language_model
from causalign.benchmarks.measurement import threads
from causalign.benchmarks.planning import planning
from causalign.benchmarks.preparation import preparation
from causalign.benchmarks.pyvene import against_pyvene
from causalign.benchmarks.recordings import recordings
from causalign.benchmarks.row import MissingError, Row, save_rows
from causalign.benchmarks.session import session
from causalign.benchmarks.similarity import similarity
from causalign.benchmarks.start_up import start_up
from causalign.benchmarks.step import step
from causalign.benchmarks.sweep import sweeps
from causalign.benchmarks.throughput import throughput, time_to_iia
from causalign.benchmarks.training import training

BENCHMARKS: Mapping[str, Callable[[bool], Iterator[Row]]] = {
    "step": step,
    "throughput": throughput,
    "time-to-iia": time_to_iia,
    "pyvene": against_pyvene,
    "preparation": preparation,
    "training": training,
    "similarity": similarity,
    "estimate": planning,
    "growth": growth,
    "recordings": recordings,
    "session": session,
    "language-model": language_model,
    "sweep": sweeps,
    "start-up": start_up,
}
"""The benchmarks by name. Each is a function that yields its rows as they are measured. Its argument says whether to
measure quickly and less precisely."""

__all__ = ["BENCHMARKS", "MissingError", "Row", "save_rows", "threads"]
