"""Recordings of systems that cannot be run, such as brains."""

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
from causalign.recordings.splits import SPLITS, Splits, assigned
from causalign.recordings.splits import drawn as drawn_splits
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
    """Whether each sample is used."""
    index: Int[np.ndarray, " trials"]
    """The index of each trial in the recording."""

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
    """The states of a system on trials of its own. They are read and never run: the inaccessible network of `clmas`.

    The trials are split once into training, validation and test trials. A sample is used if every unit and every
    variable has a value there, and if at least `fewest` trials of its split have the same values. All other samples are
    counted in `coverage`. No missing value is filled in.

    Args:
        states: The activity, `[trials, time, units]`: an array of numpy, h5py or the like, with NaN where there is no
            sample. It is read in parts.
        variables: A table of the variables, with one row for each trial or, with the columns `trial` and `time`
            (counted from 0), one row for each sample.
        task: The causal model of the variables, which computes counterfactual values. Without a task, a variable is set
            to a value whatever the others are, and `full` is all variables.
        columns: The columns that are variables. By default the task's variables or, without a task, all columns.
        units: The names of the units.
        name: The name of the system. The recording is called `name@at`.
        at: The name of the place in the system.
        preprocess: The preprocessing of the activity: a `Preprocess`, or a fitted transformer of scikit-learn (or the
            like), such as a scaler, PCA, or a pipeline. A transformer should be fitted to training trials. By default
            the activity is not preprocessed.
        split: The split of each trial: `train`, `validation` or `test`. By default 60, 20 and 20 % of the trials, at
            random.
        fewest: The number of trials of a split that must have the same values for a sample to be used.
        seed: The seed of the random split.
        codes: The whole number that each text of a column stands for, by column.
        device: The device on which states are returned: that of the network that the recording is aligned with.
        left_out: The number of trials that were left out before, by reason.

    Raises:
        InvalidArgument: Shapes, columns or splits do not fit, states are infinite, or no sample can be used.
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
            raise InvalidArgument(f"fewest must be at least 1 and seed at least 0; found {fewest} and {seed}")
        self._states = states if isinstance(states, States) else ArrayStates(states, units)
        self._system, self.at, self.name = name, at, f"{name}@{at}"
        self.units, self.preprocess, self.fewest = self._states.units, preprocess, fewest
        self._device = torch.device(device)
        if columns is None and task is not None:
            columns = task.variables
        noted = TrialTable.of(variables, columns, self._states.trials, self._states.time, codes)
        self.task = task or VariableTable(name, list(noted.variables))
        if missing := [variable for variable in self.task.variables if variable not in noted.variables]:
            raise InvalidArgument(f"{name}: {self.task.name} has the variable {missing[0]!r} too; add its column")
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
        bin: float | None = None,  # noqa: A002 (the field's name)
        align: str = "start_time",
        window: tuple[float, float] | None = None,
        columns: Sequence[str] | None = None,
        where: Mapping[str, Any] | None = None,
        task: CausalModel | None = None,
        split: str | None = None,
        **options: Any,
    ) -> "Recording":
        """Open a recording in an NWB file. Its states are read when they are needed.

        The variables are columns of the trials table: a plain column with one value for each trial, or a ragged column
        with one value for each sample.

        Args:
            path: The file.
            series: The name of a series, whose samples are the states. By default the states are the spike counts of
                the units.
            bin: The width of the bins in which spikes are counted, in seconds.
            align: The column of the trials table with the time of the event at the first sample, in seconds.
            window: The first and the last time of a trial relative to the event, in seconds. By default a trial goes
                from the event to its end.
            columns: The columns of the trials table that are variables. By default the task's variables or, without a
                task, all columns.
            where: The columns that select trials, each with the value, or a list of values, that a trial must have.
            task: The causal model of the variables, as for `Recording`.
            split: The column of the trials table with the split of each trial: `train`, `validation` or `test`.
            **options: Further arguments of `Recording`.

        Raises:
            FileFormatError: The file is not an NWB file, or has no trials, units, event or entries as these arguments
                need them.
            InvalidArgument: There is no such column or series, a trial is outside the recorded time, or the recording
                cannot be used.
            MissingDependency: pynwb is not installed.
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
        """Make a recording of an xarray array with the dimensions `trial`, `time` and `unit`.

        The coordinates along trials, or along trials and time, are the variables. The coordinate along units has the
        names of the units.

        Args:
            array: The array.
            columns: The coordinates that are variables. By default the task's variables or, without a task, all.
            **options: Further arguments of `Recording`.

        Raises:
            InvalidArgument: The array has other dimensions or no such coordinate, or the recording cannot be used.
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
            raise InvalidArgument(f"split must be one of {', '.join(SPLITS)} for each trial; found {len(split)} names")
        return assigned(list(split), trials)

    def _account(self) -> None:
        values = {name: self._values[name] for name in self.task.variables}
        counted = covered(values, self._known, self._present, self.splits, self.fewest)
        self._used, self.coverage = counted.used, counted.table

    coverage: pd.DataFrame
    """The coverage of every combination of values, in every split.

    `trials` is the number of trials that have the values and `samples` the number of their samples; `missing` counts
    samples where a unit has no value. `shortest` and `longest` are the lengths of the shortest and the longest trial
    with the values. `used` says whether enough trials have them.
    """
    left_out: dict[str, int]
    """The number of trials that are left out, by reason, such as `no sample`."""
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
        """Return the recording itself. Precision concerns only networks that are run."""
        return self

    @override
    def draw(self, count: int, split: str, rng: np.random.Generator) -> RecordedTrials:
        """Return the first `count` trials of the split. The splits are fixed, so that nothing is drawn here."""
        index = self.splits[split][:count]
        return RecordedTrials({name: value[index] for name, value in self._values.items()}, self._used[index], index)

    @override
    def swappable(self, trials: Trials) -> Bool[np.ndarray, "trials time"]:
        return _recorded(trials).used

    @override
    def states_and_prefix(
        self, trials: Trials, time: int, stepwise: bool = False
    ) -> tuple[Float[Tensor, "trials time width"], Prefix]:
        """Return the states, with zero activity where there is no sample, and an empty prefix."""
        some = _recorded(trials)
        activity = self._states.read(some.index)[:, :time]
        activity[~self._present[some.index, :time]] = 0
        return self.preprocessing.apply(torch.from_numpy(activity)).to(self.device), Prefix.empty()

    def shuffled(self, seed: int = 0) -> "Recording":
        """Return a control: the same recording with the values shuffled among the samples of each split."""
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
        """Raise an error: a recording cannot be run.

        Raises:
            InvalidArgument: Always.
        """
        require_site(self, "this call runs it")
        raise AssertionError

    read = prefix = run_from_steps = read_out = resume = resume_steps = feed = run_from

    def __repr__(self) -> str:
        splits = ", ".join(f"{len(trials)} {name}" for name, trials in self.splits.items())
        return f"Recording({self.name}, width {self.width} of {len(self.units)} units, trials: {splits})"


def _recorded(trials: Trials) -> RecordedTrials:
    assert isinstance(trials, RecordedTrials)  # the return type of `draw`
    return trials


def _left_out(known: Bool[np.ndarray, "trials time"], present: Bool[np.ndarray, "trials time"]) -> dict[str, int]:
    unknown, empty = ~known.any(axis=1), ~present.any(axis=1)
    counts = {"no sample": int(empty.sum()), "no value of the variables": int((unknown & ~empty).sum())}
    return {reason: count for reason, count in counts.items() if count}
