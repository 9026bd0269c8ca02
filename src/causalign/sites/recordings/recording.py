"""Recordings of systems that cannot be run, such as brains."""

import copy
from collections.abc import Iterator, Sequence
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
from causalign.recordings.columns import Bins, Codes, Coding
from causalign.recordings.conditions import Condition
from causalign.recordings.coverage import covered
from causalign.recordings.layout import Layout
from causalign.recordings.nwb_reader import NWBSelection, read_nwb
from causalign.recordings.nwb_source import NWBSource
from causalign.recordings.omissions import Omissions
from causalign.recordings.precision import require_digits, state_dtype
from causalign.recordings.preprocessing import Preprocess, Preprocessing, fit
from causalign.recordings.splits import SPLITS, Splits, assigned
from causalign.recordings.splits import drawn as drawn_splits
from causalign.recordings.states import states_of
from causalign.recordings.survey import Survey, Transform, survey
from causalign.recordings.units import Units
from causalign.recordings.values import Rows, SampleValues
from causalign.recordings.xarray_reader import read_xarray
from causalign.sites.base import require_site
from causalign.sites.prefix import Prefix
from causalign.sites.readable import Readable
from causalign.sites.recordings.trials import RecordedTrials
from causalign.tasks.causal_model import CausalModel, VariableTable
from causalign.tasks.trials import Trials

_AS_RECORDED = Preprocess()
_NO_OMISSIONS = Omissions(np.empty(0), np.empty(0))


class Recording(Readable):
    """The states of a system on trials of its own. They are read and never run: the inaccessible network of `clmas`.

    The trials are split once into training, validation and test trials. A sample is used if every unit and every
    variable has a value there, and if at least `fewest` trials of its split have the same values. All other samples are
    counted in `coverage`. No missing value is filled in.

    States are measured in units of the root of their mean variance over the training trials, so that distances do not
    depend on the unit of measurement: volts or microvolts (see `unit_variance`).

    Args:
        states: The activity, `[trials, time, units]`: an array of numpy (also masked), torch, h5py or the like, with
            NaN where there is no sample; or a list of arrays `[time, units]`, one for each trial. An array is read in
            parts.
        variables: A table of the variables, with one row for each trial or, with the columns `trial` and `time`
            (counted from 0), one row for each sample.
        rows: What a row of the table is of: `trial` or `sample`. By default it is a sample if the table has the columns
            `trial` and `time` and some trial has several rows, and a trial if one of these columns is missing.
        task: The causal model of the variables, which computes counterfactual values. Without a task, a variable is set
            to a value whatever the others are, and `full` is all variables.
        columns: The columns that are variables. By default the task's variables or, without a task, all columns.
        units: The names of the units of an array.
        name: The name of the system. The recording is called `name@at`.
        at: The name of the place in the system.
        preprocess: The preprocessing of the activity: a `Preprocess`, or a fitted transformer of scikit-learn (or the
            like), such as a scaler, PCA, or a pipeline. A transformer should be fitted to training trials. By default
            the activity is not preprocessed.
        unit_variance: Whether to divide the preprocessed states by one number, the root of their mean variance.
        split: The split of each trial: `train`, `validation` or `test`. By default 60, 20 and 20 % of the trials, at
            random.
        fewest: The number of trials of a split that must have the same values for a sample to be used.
        seed: The seed of the random split.
        codes: The whole number that each entry of a column stands for, by column.
        bins: The edges of the bins of a column of real numbers, by column. The value is the index of the bin.
        levels: The columns whose distinct entries, in their order, are numbered from 0.
        dtype: The precision in which states are stored: `float32` or `float64`. Activity is read and preprocessed in
            double precision either way.
        device: The device on which states are returned: that of the network that the recording is aligned with.
        omissions: The trials that were left out before.

    Raises:
        InvalidArgument: Shapes, columns or splits do not fit, states are infinite, no sample can be used, or the states
            would lose their digits in float32.
    """

    def __init__(
        self,
        states: Any,
        variables: pd.DataFrame,
        *,
        rows: Rows | None = None,
        task: CausalModel | None = None,
        columns: Sequence[str] | None = None,
        units: Sequence[str] | None = None,
        name: str = "recording",
        at: str = "states",
        preprocess: Preprocess | Any = _AS_RECORDED,
        unit_variance: bool = True,
        split: Sequence[str] | None = None,
        fewest: int = 2,
        seed: int = 0,
        codes: Codes | None = None,
        bins: Bins | None = None,
        levels: Sequence[str] = (),
        dtype: str | torch.dtype | type = "float32",
        device: torch.device | str = "cpu",
        omissions: Omissions = _NO_OMISSIONS,
    ) -> None:
        if fewest < 1 or seed < 0:
            raise InvalidArgument(f"fewest must be at least 1 and seed at least 0; found {fewest} and {seed}")
        if rows not in (None, "trial", "sample"):
            raise InvalidArgument(f"rows must be 'trial' or 'sample', found {rows!r}")
        self._states = states_of(states, units)
        self._system, self.at, self.name = name, at, f"{name}@{at}"
        self.units, self.preprocess, self.fewest = self._states.units, preprocess, fewest
        self._dtype, self._device, self._layout = state_dtype(dtype), torch.device(device), self._states.layout
        if columns is None and task is not None:
            columns = task.variables
        coding = Coding(codes or {}, bins or {}, levels)
        noted = SampleValues.of(variables, columns, self._layout, rows=rows, coding=coding)
        self.rows, self.levels = noted.rows, noted.levels
        self.task = task or VariableTable(name, list(noted.variables))
        if missing := [variable for variable in self.task.variables if variable not in noted.variables]:
            raise InvalidArgument(f"{name}: {self.task.name} has the variable {missing[0]!r} too; add its column")
        self.splits = self._split(split, noted, seed)
        linear = None if isinstance(preprocess, Preprocess) else AffineTransformer.of(preprocess, self.units)
        found = self._survey(linear)
        self._values, self._present, self._fingerprint = noted.variables, found.present, found.fingerprint
        self._by_trial = noted.rows == "trial"
        self._known = noted.within(found.present, self._layout, self._states.open_ended)
        self.omissions = omissions
        self._source: NWBSource | None = None
        self.left_out = omissions.counts | _left_out(self._known, self._present, self._layout)
        self._account()
        if not (self._known & self._present).any():
            raise InvalidArgument(
                f"{self.name}: no sample has a value of every unit and every variable ({int(self._present.sum()):,} of "
                f"{self._layout.total:,} samples have all units, {int(self._known.sum()):,} all variables)"
            )
        self.preprocessing: Preprocessing | AffineTransformer
        if linear is None:
            self.preprocessing = fit(preprocess, self.units, found.fired, found.moments, unit_variance=unit_variance)
        else:
            self.preprocessing = linear.measured_in(found.moments.root_mean_variance if unit_variance else 1.0)
        self.width = self.preprocessing.width
        if linear is not None or not preprocess.centers:
            require_digits(self._dtype, found.moments, self.units if linear is None else None, self.name)

    @classmethod
    def from_nwb(
        cls,
        path: Any,
        *,
        series: str | None = None,
        events: Sequence[str] | None = None,
        bin: float | None = None,  # noqa: A002 (the field's name)
        units: Units = None,
        unit_names: str | Sequence[str] | None = None,
        intervals: str | pd.DataFrame | None = None,
        where: Condition | None = None,
        align: str = "start_time",
        window: tuple[float, float] | None = None,
        columns: Sequence[str] | None = None,
        split: str | None = None,
        use_invalid: bool = False,
        max_left_out: float = 0.2,
        jitter: float = 0.01,
        task: CausalModel | None = None,
        **options: Any,
    ) -> "Recording":
        """Open a recording in the NWB format. Its states are read when they are needed.

        The variables are columns of a table of intervals, such as the trials: a plain column with one value for each
        trial, or a ragged column with one value for each sample.

        A trial that cannot be used is left out: its event or its end is missing, it is shorter than a sample, it is not
        within the recording or within the session's `invalid_times`, or it is in a gap of the series. `left_out` counts
        these trials, and `left_out_trials` lists them. Single samples that were not recorded are missing, and are
        counted in `coverage`.

        Args:
            path: A file or a Zarr store, an http address (of DANDI, for example), an `h5py.File`, or a
                `pynwb.NWBFile`.
            series: The name of a series, whose samples are the states, in the unit that the file states: `conversion`,
                `channel_conversion` and `offset` apply. A name that several series have is given with its place, such
                as `behavior/speed`. By default the states are the spike counts of the units.
            events: The names of series whose timestamps are events, such as licks. Each of them is a unit, whose events
                are counted.
            bin: The width of the bins in which spikes or events are counted, in seconds.
            units: Which units, or channels of the series: a condition on their table, like `where`; a list of ids; or a
                mask with a truth value for each. Columns of the table of electrodes, such as `location`, count too.
            unit_names: The column (or columns) whose entries name the units, such as `location`.
            intervals: The name of a table of intervals, such as `epochs` or `flashes_presentations`; or a pandas table
                with the column `start_time`, and `stop_time` if there is no window. By default the trials.
            where: The intervals that are used: by column (or `id`), the value, a list of values, or a function of the
                column; or a query such as `"contrast > 0.1 and correct"`; or a function of the table.
            align: The column with the time of the event at the first sample, in seconds.
            window: The first and the last time of a trial relative to the event, in seconds. By default a trial goes
                from the event to its end.
            columns: The columns that are variables. By default the task's variables or, without a task, all columns.
            split: The column with the split of each trial: `train`, `validation` or `test`.
            use_invalid: Whether to use trials within the session's `invalid_times`.
            max_left_out: The largest share of trials that may be left out because of a fault: all reasons but a missing
                event and `invalid_times`.
            jitter: The largest deviation of the time between samples of a series from its median, as a share of it.
            task: The causal model of the variables, as for `Recording`.
            **options: Further arguments of `Recording`.

        Raises:
            FileFormatError: The file is not in the NWB format, or has no trials, units, event or entries as these
                arguments need them.
            InvalidArgument: There is no such column, series or unit, too many trials cannot be used, options do not fit
                each other, or the recording cannot be used.
            MissingDependency: pynwb is not installed, or hdmf-zarr for a Zarr store.
        """
        selection = NWBSelection(
            series,
            events,
            bin,
            units,
            unit_names,
            intervals=intervals,
            where={} if where is None else where,
            align=align,
            window=window,
            columns=task.variables if columns is None and task is not None else columns,
            split=split,
            use_invalid=use_invalid,
            max_left_out=max_left_out,
            jitter=jitter,
        )
        session = read_nwb(path, selection)
        try:
            named: dict[str, Any] = {
                "name": session.source.name,
                "at": session.at,
                "rows": session.rows,
                "columns": session.columns,
            }
            named |= {"split": session.split, "omissions": session.omissions} | options
            recording = cls(session.states, session.table, task=task, **named)
        except BaseException:
            session.source.close()
            raise
        recording._source = session.source
        return recording

    @classmethod
    def from_xarray(
        cls,
        array: Any,
        *,
        columns: Sequence[str] | None = None,
        units: Sequence[str] | None = None,
        **options: Any,
    ) -> "Recording":
        """Make a recording of an xarray array with the dimensions `trial`, `time` and `unit`.

        The coordinates along trials, or along trials and time, are the variables. The coordinate along units has the
        names of the units.

        Args:
            array: The array.
            columns: The coordinates that are variables. By default the task's variables or, without a task, all.
            units: The names of the units. By default the coordinate along units.
            **options: Further arguments of `Recording`.

        Raises:
            InvalidArgument: The array has other dimensions or no such coordinate, or the recording cannot be used.
        """
        task = options.get("task")
        columns = task.variables if columns is None and task is not None else columns
        states, table, rows, names = read_xarray(array, columns)
        return cls(states, table, units=names if units is None else units, **({"rows": rows} | options))

    def _survey(self, linear: AffineTransformer | None) -> Survey:
        """Read all states once, and check that every unit was recorded."""
        steps = self.preprocess if linear is None else _AS_RECORDED
        transform: Transform = np.sqrt if steps.sqrt else lambda activity: activity
        training = np.isin(np.arange(self._states.trials), self.splits["train"])
        found = survey(
            self._states,
            training,
            transform=transform if linear is None else linear.of_rows,
            covariance=steps.pca is not None,
            negative=not steps.sqrt,
        )
        never = [self.units[unit] for unit in np.flatnonzero(found.heard == 0)]
        if never and len(never) < len(self.units):
            raise InvalidArgument(
                f"{self.name}: {len(never)} of {len(self.units)} units have no value at any sample "
                f"({', '.join(never[:5])}); leave them out, because a sample is used where every unit has a value"
            )
        return found

    def _split(self, split: Sequence[str] | None, noted: SampleValues, seed: int) -> Splits:
        trials = np.flatnonzero(self._layout.last(noted.known) > 0)
        if split is None:
            return drawn_splits(trials, seed)
        if len(split) != self._states.trials:
            raise InvalidArgument(f"split must be one of {', '.join(SPLITS)} for each trial; found {len(split)} names")
        return assigned(list(split), trials)

    def _account(self) -> None:
        values = {name: self._values[name] for name in self.task.variables}
        counted = covered(values, self._known, self._present, self._layout, splits=self.splits, fewest=self.fewest)
        self._counted, self._used, self.coverage = counted, counted.used, counted.table

    coverage: pd.DataFrame
    """The coverage of every combination of values, in every split.

    `trials` is the number of trials that have the values and `samples` the number of their samples; `missing` counts
    samples where a unit has no value. `shortest` and `longest` are the lengths of the shortest and the longest trial
    with the values. `used` says whether enough trials have them.
    """
    left_out: dict[str, int]
    """The number of trials that are left out, by reason, such as `no sample`."""
    omissions: Omissions
    """The intervals of a file that are left out."""
    levels: dict[str, tuple[Any, ...]]
    """The entry that each number stands for, for the columns in `levels`."""
    rows: Rows
    """Whether the table of variables has a row a trial or a row a sample."""
    splits: Splits
    """The trials of each split."""

    @property
    def left_out_trials(self) -> pd.DataFrame:
        """The intervals of a file that are left out: `trial` (their id), `start_time` (of the event) and `reason`."""
        return self.omissions.table

    def close(self) -> None:
        """Close the file that states are read from, if `from_nwb` opened it. The recording cannot be read after."""
        if self._source is not None:
            self._source.close()

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
        return self._dtype

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
        """Return the first `count` trials of the split, in the order of the file. The splits are fixed.

        Raises:
            InvalidArgument: No value of the split occurs in `fewest` trials.
        """
        self._counted.require(split, len(self.splits[split]), self.fewest)
        return self._trials(np.sort(self.splits[split][:count]), self._used)

    def every_trial(self) -> RecordedTrials:
        """Return all trials, in the order of the file, with every sample that is present and has a value."""
        return self._trials(np.arange(self._layout.trials), self._known & self._present)

    def chunks(self) -> Iterator[Int[np.ndarray, " trials"]]:
        """Yield the indices of all trials in order, in chunks that may be read at once."""
        return self._states.chunks()

    def _trials(self, index: Int[np.ndarray, " trials"], used: Bool[np.ndarray, " samples"]) -> RecordedTrials:
        places = self._layout.places(index)
        packed = {name: value[places] for name, value in self._values.items()}
        return RecordedTrials(self._layout.of(index), packed, used[places], index, by_trial=self._by_trial)

    @override
    def swappable(self, trials: Trials) -> Bool[np.ndarray, "trials time"]:
        return _recorded(trials).used

    @override
    def states_and_prefix(
        self, trials: Trials, time: int, stepwise: bool = False
    ) -> tuple[Float[Tensor, "trials time width"], Prefix]:
        """Return the states, with zero activity where there is no sample, and an empty prefix."""
        return self.exact_states(trials, time).to(self.device, self.dtype), Prefix.empty()

    def exact_states(self, trials: Trials, time: int) -> Float[Tensor, "trials time width"]:
        """Return the states in double precision, before they are stored in `dtype`: those that `compare` averages.

        Args:
            trials: Trials that `draw` or `every_trial` returned.
            time: The number of positions.
        """
        some = _recorded(trials)
        activity = np.zeros((len(some), time, len(self.units)))
        read = self._states.read(some.index)[:, :time]
        there = some.layout.padded(self._present[self._layout.places(some.index)], max(time, some.layout.time))[
            :, :time
        ]
        activity[:, : read.shape[1]] = read
        activity[~there] = 0
        return self.preprocessing.apply(torch.from_numpy(activity))

    def shuffled(self, seed: int = 0) -> "Recording":
        """Return a control: the same recording with the values shuffled among the samples of each split."""
        other = copy.copy(self)
        other.name = f"{self.name} (shuffled)"
        other._values = {name: value.copy() for name, value in self._values.items()}
        other._by_trial = False
        for split, trials in self.splits.items():
            where = np.zeros_like(self._used)
            where[self._layout.places(trials)] = True
            where &= self._used
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
        rows = f"a row a {self.rows}"
        return f"Recording({self.name}, width {self.width} of {len(self.units)} units, trials: {splits}; {rows})"


def _recorded(trials: Trials) -> RecordedTrials:
    assert isinstance(trials, RecordedTrials)  # the return type of `draw`
    return trials


def _left_out(
    known: Bool[np.ndarray, " samples"], present: Bool[np.ndarray, " samples"], layout: Layout
) -> dict[str, int]:
    unknown, empty = layout.last(known) == 0, layout.last(present) == 0
    counts = {"no sample": int(empty.sum()), "no value of the variables": int((unknown & ~empty).sum())}
    return {reason: count for reason, count in counts.items() if count}
