"""Recordings: systems that were read once and can never be run, such as brains."""

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import pandas as pd
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from typing_extensions import override

from causalign.errors import InvalidArgument
from causalign.random_streams import numpy_stream
from causalign.recordings.affine_transformer import AffineTransformer
from causalign.recordings.coverage import covered
from causalign.recordings.nwb_reader import read_nwb
from causalign.recordings.preprocessing import Preprocess, Preprocessing, fit
from causalign.recordings.splits import SPLITS, Splits
from causalign.recordings.splits import drawn as drawn_splits
from causalign.recordings.splits import given as given_splits
from causalign.recordings.states import ArrayStates, States
from causalign.recordings.survey import survey
from causalign.recordings.values import Codes, TrialTable
from causalign.recordings.xarray_reader import read_xarray
from causalign.sites.base import require_site
from causalign.sites.prefix import Prefix
from causalign.sites.readable import Readable
from causalign.tasks.causal_model import CausalModel, VariableTable
from causalign.tasks.trials import Trials

_AS_RECORDED = Preprocess()


@dataclass(frozen=True, eq=False)
class RecordedTrials(Trials):
    """Some trials of a recording."""

    values: dict[str, Int[np.ndarray, "trials time"]]
    used: Bool[np.ndarray, "trials time"]
    """Where there is a sample that can be matched."""
    index: Int[np.ndarray, " trials"]
    """Which of the recording's trials they are."""

    @property
    @override
    def lengths(self) -> Int[np.ndarray, " trials"]:
        return np.where(self.used.any(axis=1), self.used.shape[1] - self.used[:, ::-1].argmax(axis=1), 1)

    @override
    def __len__(self) -> int:
        return len(self.index)

    @override
    def __getitem__(self, trials: Int[np.ndarray, " chosen"] | slice) -> "RecordedTrials":
        values = {name: value[trials] for name, value in self.values.items()}
        return RecordedTrials(values, self.used[trials], self.index[trials])


class Recording(Readable):
    """States of a system on trials of its own, read and never run: the inaccessible network of `clmas`.

    Its trials are split once and for all into those that are trained on, those that choose the step, and those that are
    tested on. A sample is used if every unit and every variable has a value there, and at least `fewest` trials of the
    split have the same values; all others are counted in `coverage`, and none is guessed.

    Args:
        states: `[trials, time, units]`, of numpy, h5py or the like; NaN where there is no sample. It is read in parts.
        variables: a table with a row a trial, or, with the columns `trial` and `time` (counted from 0), a row a sample.
        task: the causal model whose variables these are, so that a counterfactual value can be computed; without it a
            variable is set as it is, and `full` is all of them.
        columns: which columns are variables; by default the task's variables, or without a task all.
        units: their names.
        name, at: what it is called: `name@at`.
        preprocess: what is done to the activity first, by default nothing: the steps of a `Preprocess`, or a
            transformer of scikit-learn (or the like) that was fitted to training trials, such as a scaler, PCA, or a
            pipeline.
        split: of each trial, `train`, `validation` or `test`; by default 60, 20 and 20 % of the trials at random.
        fewest: trials of a split that must have the same values for a sample to be used.
        seed: of the random split.
        codes: for columns of text, the whole number that each stands for.
        device: where the states are wanted: that of the network it is aligned with.
        left_out: trials that were left out before, by reason.

    Raises:
        InvalidArgument: shapes, columns or splits do not fit; states are infinite; nothing is left to be used.
    """

    def __init__(
        self,
        states: Any,
        variables: pd.DataFrame,
        *,
        task: CausalModel | None = None,
        columns: Sequence[str] | None = None,
        units: Sequence[str] | None = None,
        name: str = "recording",
        at: str = "states",
        preprocess: Preprocess | Any = _AS_RECORDED,
        split: Sequence[str] | None = None,
        fewest: int = 2,
        seed: int = 0,
        codes: Codes | None = None,
        device: torch.device | str = "cpu",
        left_out: Mapping[str, int] | None = None,
    ) -> None:
        if fewest < 1 or seed < 0:
            raise InvalidArgument(f"fewest is at least 1 and seed at least 0, found {fewest} and {seed}")
        self._states = states if isinstance(states, States) else ArrayStates(states, units)
        self._system, self.at, self.name = name, at, f"{name}@{at}"
        self.units, self.preprocess, self.fewest = self._states.units, preprocess, fewest
        self._device = torch.device(device)
        if columns is None and task is not None:
            columns = task.variables
        noted = TrialTable.of(variables, columns, self._states.trials, self._states.time, codes)
        self.task = task or VariableTable(name, list(noted.variables))
        if missing := [variable for variable in self.task.variables if variable not in noted.variables]:
            raise InvalidArgument(f"{name}: {self.task.name} has the variable {missing[0]!r} too: name its column")
        self.splits = self._split(split, noted, seed)
        training = np.isin(np.arange(self._states.trials), self.splits["train"])
        steps = preprocess if isinstance(preprocess, Preprocess) else _AS_RECORDED
        found = survey(self._states, training, steps)
        self.preprocessing: Preprocessing | AffineTransformer
        if isinstance(preprocess, Preprocess):
            self.preprocessing = fit(preprocess, self.units, found.fired, found.moments)
        else:
            self.preprocessing = AffineTransformer.of(preprocess, self.units)
        self.width, self._fingerprint = self.preprocessing.width, found.fingerprint
        self._values, self._known, self._present = (
            noted.variables,
            noted.within(found.present, self._states.lengths),
            found.present,
        )
        self.left_out = dict(left_out or {}) | _left_out(self._known, self._present)
        self._account()

    @classmethod
    def from_nwb(
        cls,
        path: Path | str,
        *,
        series: str | None = None,
        bin: float | None = None,  # noqa: A002 (what it is called everywhere)
        align: str = "start_time",
        window: tuple[float, float] | None = None,
        columns: Sequence[str] | None = None,
        where: Mapping[str, Any] | None = None,
        task: CausalModel | None = None,
        split: str | None = None,
        **options: Any,
    ) -> "Recording":
        """A recording in an NWB file, which is read when its states are asked for.

        The table of trials has the variables: a column with a value a trial, or a ragged one with a value a sample.

        Args:
            path: the file.
            series: the name of a series, whose samples are taken as they are; by default the spikes of the units.
            bin: the width in seconds of the bins in which spikes are counted.
            align: the column of trials with the time of the event that is the first sample's, in seconds.
            window: from when to when around the event, in seconds; by default from the event to the trial's end.
            columns: which columns of trials are variables; by default the task's, or without a task all.
            where: only trials in which these columns have these values (or one of a list of them).
            task: as for any recording.
            split: the column of trials that says `train`, `validation` or `test`.
            **options: all else that a `Recording` takes.

        Raises:
            InvalidArgument: it is no NWB file, lacks what is asked for, or has it outside of what was recorded.
        """
        path = Path(path)
        columns = task.variables if columns is None and task is not None else columns
        session = read_nwb(
            path, series=series, bin=bin, align=align, window=window, columns=columns, where=where or {}, split=split
        )
        named = {"name": path.name, "at": session.at, "left_out": session.left_out} | options
        return cls(session.states, session.table, task=task, split=session.split, **named)

    @classmethod
    def from_xarray(cls, array: Any, *, columns: Sequence[str] | None = None, **options: Any) -> "Recording":
        """A recording in an array of xarray with the dimensions trial, time and unit.

        Its coordinates along trials, or along trials and time, are the variables; those along units the units' names.

        Raises:
            InvalidArgument: it has other dimensions, or no such coordinate.
        """
        task = options.get("task")
        columns = task.variables if columns is None and task is not None else columns
        states, table, units = read_xarray(array, columns)
        return cls(states, table, units=units, **options)

    def _split(self, split: Sequence[str] | None, noted: TrialTable, seed: int) -> Splits:
        trials = np.flatnonzero(noted.known.any(axis=1))
        if split is None:
            return drawn_splits(trials, seed)
        if len(split) != self._states.trials:
            raise InvalidArgument(f"split names one of {', '.join(SPLITS)} for each trial; found {len(split)} names")
        return given_splits(list(split), trials)

    def _account(self) -> None:
        values = {name: self._values[name] for name in self.task.variables}
        counted = covered(values, self._known, self._present, self.splits, self.fewest)
        self._used, self.coverage = counted.used, counted.table

    coverage: pd.DataFrame
    """What there is of every value, split by split.

    `trials` that have it and `samples` of it; samples that are `missing` because a unit has no value there; the
    `shortest` and `longest` of the trials that have it; and whether it is `used`, or too few trials have it.
    """
    left_out: dict[str, int]
    """Trials that nothing is known of, by reason."""
    splits: Splits
    """The trials of each split."""

    @property
    @override
    def system(self) -> str:
        return self._system

    @property
    @override
    def fingerprint(self) -> str:
        return self._fingerprint

    @property
    @override
    def dtype(self) -> torch.dtype:
        return torch.float32

    @property
    @override
    def device(self) -> torch.device:
        return self._device

    @override
    def cast(self, dtype: torch.dtype) -> "Recording":
        """Itself: precision is a matter of what is run."""
        return self

    @override
    def draw(self, count: int, split: str, rng: np.random.Generator) -> RecordedTrials:
        """The first `count` trials of the split; nothing is random, they were drawn before."""
        index = self.splits[split][:count]
        return RecordedTrials({name: value[index] for name, value in self._values.items()}, self._used[index], index)

    @override
    def swappable(self, trials: Trials) -> Bool[np.ndarray, "trials time"]:
        return _recorded(trials).used

    @override
    def states_and_prefix(
        self, trials: Trials, time: int, stepwise: bool = False
    ) -> tuple[Float[Tensor, "trials time width"], Prefix]:
        """The states, zero where there is no sample; nothing precedes a swap in what is never run."""
        some = _recorded(trials)
        activity = self._states.read(some.index)[:, :time]
        activity[~self._present[some.index, :time]] = 0
        return self.preprocessing.apply(torch.from_numpy(activity)).to(self.device), Prefix.empty()

    def shuffled(self, seed: int = 0) -> "Recording":
        """The same with values dealt out at random among the samples of each split: a control that carries nothing."""
        other = copy.copy(self)
        other.name = f"{self.name} (shuffled)"
        other._values = {name: value.copy() for name, value in self._values.items()}
        for split, trials in self.splits.items():
            where = np.zeros_like(self._used)
            where[trials] = self._used[trials]
            order = numpy_stream(seed, "recording", "shuffle", split).permutation(int(where.sum()))
            for value in other._values.values():
                value[where] = value[where][order]
        other._account()
        return other

    def run_from(self, *_: object, **__: object) -> NoReturn:
        """Refuse: there is nothing to be run."""
        require_site(self, "this runs it")
        raise AssertionError

    read = prefix = run_from_steps = read_out = resume = resume_steps = feed = run_from

    def __repr__(self) -> str:
        splits = ", ".join(f"{len(trials)} {name}" for name, trials in self.splits.items())
        return f"Recording({self.name}, width {self.width} of {len(self.units)} units, trials: {splits})"


def _recorded(trials: Trials) -> RecordedTrials:
    assert isinstance(trials, RecordedTrials)  # what `draw` gave
    return trials


def _left_out(known: Bool[np.ndarray, "trials time"], present: Bool[np.ndarray, "trials time"]) -> dict[str, int]:
    unknown, empty = ~known.any(axis=1), ~present.any(axis=1)
    counts = {"no sample": int(empty.sum()), "no value of the variables": int((unknown & ~empty).sum())}
    return {reason: count for reason, count in counts.items() if count}
