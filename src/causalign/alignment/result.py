"""The result of an alignment: its maps, its scores, its rows, and how they came about."""

import html
import math
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from jaxtyping import Int

from causalign.alignment.alignment_files import (
    SavedParts,
    read_alignment,
    record_description,
    require_no_alignment,
    write_alignment,
)
from causalign.alignment.caveats import caveats
from causalign.alignment.hub import pull, push
from causalign.alignment.mib_export import export_mib, unit_of
from causalign.alignment.outcome_lines import control_lines
from causalign.alignment.pyvene_export import to_pyvene
from causalign.alignment.row_outcomes import RowOutcomes
from causalign.alignment.schema import (
    AlignmentSummary,
    ComplementScore,
    ControlScore,
    DirectionScore,
    LatentScore,
    MissingLatent,
    NaturalnessScore,
    Score,
)
from causalign.alignment.score import IIA, Draw, MapSet, dataset_for, direction_table, row_table
from causalign.alignment.swap_output import SwapInputs, SwapOutput, swap_output
from causalign.alignment.verdict import Verdict, verdict, verdict_line
from causalign.arrays import require_unmasked
from causalign.counterfactuals.dataset import Counterfactuals, as_sites, no_complement_between
from causalign.counterfactuals.direction import Direction
from causalign.errors import InvalidArgument
from causalign.maps.base import AlignmentMap, Array, like
from causalign.maps.feature_map import FeatureMap
from causalign.maps.position_map import at_position
from causalign.notebook import matrix_html
from causalign.recordings.affine_transformer import AffineTransformer
from causalign.recordings.preprocessing import Preprocessing
from causalign.scoring.difference_test import unpaired_p
from causalign.scoring.metrics import Metric
from causalign.scoring.score_comparison import ScoreComparison, score_comparison
from causalign.search.early_stopping import Evaluation
from causalign.sites.base import require_site
from causalign.sites.readable import Readable


@dataclass(frozen=True, eq=False)
class Alignment:
    """One map for each network, and the IIA of every direction on rows that no search has seen.

    Attributes:
        maps: The map of each site.
        record: Everything else that was asked for and found: the contents of `result.json`.
        outcomes: The outcome of every test row.
        preprocessing: What was done to each recording's states before its map applies. `None` for sites of networks.
        sites: The sites, to carry out swaps. A loaded alignment has none until `with_sites` gives them.
    """

    maps: tuple[AlignmentMap, ...]
    record: AlignmentSummary
    outcomes: RowOutcomes
    preprocessing: tuple[Preprocessing | AffineTransformer | None, ...] = ()
    sites: tuple[Readable, ...] = ()

    @property
    def iia(self) -> pd.DataFrame:
        """The scores of the trained directions, a line for each variable.

        Columns: `source, target, variable, iia, ci_low, ci_high, rows, no_swap, complement`. The interval is Wilson's,
        95 %; `no_swap` is the score of the same rows with nothing swapped. `complement` is NaN where it is not defined
        or not known: the method `complement` has the reason, the interval and the rows.
        """
        return _table(self.record.iia, DirectionScore)

    @property
    def holdout(self) -> pd.DataFrame:
        """The same table for rows whose value was held out (`holdout_values`), without complements; else empty."""
        return _table(self.record.holdout, DirectionScore)

    @property
    def untrained(self) -> pd.DataFrame:
        """The same table for directions that the method scores without having trained them; often empty."""
        return _table(self.record.untrained, DirectionScore)

    def complement(self, source: int = 0, target: int | None = None) -> pd.DataFrame:
        """Return how well a network keeps its variable while everything outside the subspace is swapped.

        The target runs on from h' = h_s + V (V^T h_t - V^T h_s), the complement of the interchange, on the test rows.
        Its expected output is that of the source's values with the variable set to the target's value; of rows of your
        own, the correct output with nothing swapped.

        Args:
            source: The index of the site of the source.
            target: The index of the site of the target, which is the same. By default that of the source.

        Returns:
            A line for each variable: `site, variable, complement, ci_low, ci_high, rows, whole_swap, left_out`.
            `whole_swap` is the baseline: the score of the same rows with the whole state swapped. It is high where the
            target's variable is known from elsewhere, as attention knows it from what precedes the swap; then a high
            complement says nothing. `left_out` counts the test rows in which the source cannot have the target's value.

        Raises:
            InvalidArgument: Source and target differ, or the site has no complement. The message has the reason.
        """
        index = self._site_index(source)
        other = index if target is None else self._site_index(target)
        names = [site.name for site in self.record.sites]
        if index != other:
            raise InvalidArgument(no_complement_between(names[index], names[other]))
        if self.record.without_complement is not None:
            raise InvalidArgument(self.record.without_complement)
        scores = [dict(score) for score in self.record.complement if score.site == names[index]]
        if not scores:
            raise InvalidArgument(f"{names[index]} has no complement: no swap within it was scored")
        return pd.DataFrame(scores, columns=list(ComplementScore.model_fields))

    @property
    def rows(self) -> pd.DataFrame:
        """The outcome of every test row of every scored direction.

        Columns: `source, target, variable, row, correct, no_swap`. `row` is the place of the row in the arrays or the
        table that the dataset is from (of three tables, one after another).
        """
        names = [site.name for site in self.record.sites]
        variables: dict[Direction, list[str]] = {}
        for score in (*self.record.iia, *self.record.untrained):
            direction = Direction(names.index(score.source), names.index(score.target))
            variables.setdefault(direction, []).append(score.variable)
        return self.outcomes.table(names, variables)

    @property
    def controls(self) -> pd.DataFrame:
        """The scores of the same search where there is nothing to find.

        Columns: those of `iia` without the baseline, `control`, `steps`, and `p`, the p-value of Fisher's exact test
        that the alignment's IIA in this direction is at most the control's. `untrained` replaces the first network by
        an untrained one of its shape; `shuffled` shuffles the expected outputs among the rows; `random` leaves the
        subspaces where a random start puts them.
        """
        columns = ["control", *(name for name in ControlScore.model_fields if name != "control"), "p"]
        table = pd.DataFrame([dict(score) for score in self.record.controls], columns=columns)
        if len(table):
            ours = [self.record.iia[index] for index in table.groupby("control").cumcount()]
            table["p"] = unpaired_p(_counts(ours), _counts(self.record.controls), 0.0)
        return table

    def control_test(self, control: str, *, margin: float | None = None) -> ScoreComparison:
        """Test whether the worst IIA exceeds that of a control, over the directions that are comparable.

        Both are scored on the same test rows, whose outcomes are not paired: if a row that is right in one tends to be
        right in the other, p-values are rather too large.

        Args:
            control: The name of the control: `untrained`, `shuffled` or `random`.
            margin: The difference that still counts as equal.

        Raises:
            InvalidArgument: The alignment has no such control, or the margin is not between 0 and 1.
        """
        ours, theirs = control_lines(self.record, control)
        return score_comparison(ours, theirs, margin)

    @property
    def worst_controls(self) -> dict[str, float]:
        """The worst direction of each control; with an untrained network, of the directions into the others."""
        return {control: min(scores) for control, scores in self.record.control_scores.items()}

    @property
    def naturalness(self) -> pd.DataFrame:
        """How far swapped states are from natural ones, a line for each trained direction and variable.

        Columns: `source, target, variable, outside, outside_natural, energy, energy_natural`. `outside` is the share of
        their variance outside the principal components that hold 99 % of the natural states'. `energy` is their energy
        distance to natural states, from 0 (one distribution) to 1. The other two are those of held-out natural states.
        """
        return pd.DataFrame(
            [dict(each) for each in self.record.naturalness], columns=list(NaturalnessScore.model_fields)
        )

    @property
    def unmatched(self) -> pd.DataFrame:
        """Rows that were left out for want of a counterfactual latent: `source, target, split, values, count`."""
        return pd.DataFrame([dict(each) for each in self.record.unmatched], columns=list(MissingLatent.model_fields))

    def block(self, variable: str) -> tuple[AlignmentMap, ...]:
        """Return the map of each site whose subspace is the block of one of several variables.

        Raises:
            InvalidArgument: The maps have no block of this variable. Near matches are named.
        """
        return tuple(each.block(variable) for each in self.maps)

    def _maps_of(self, variable: str | None) -> tuple[AlignmentMap, ...]:
        """The maps of one variable, which is to be named where there are several."""
        if variable is not None:
            return self.block(variable)
        if len(self.record.blocks) > 1:
            names = ", ".join(self.record.blocks)
            raise InvalidArgument(f"the maps have a block for each of {names}: name one, variable=...")
        return self.maps

    def project(self, index: int, states: Array, *, position: int | None = None) -> Array:
        """Return the coordinates in the aligned subspace of states of the site `index`.

        States of a recording are given as they were recorded: whatever was done to the recording first is done to them.

        Args:
            index: The index of the site.
            states: `[..., width]`, torch or numpy. Where each position has a subspace of its own, and none is named,
                `[..., positions, width]`.
            position: The index of the position among those of a row whose subspace is taken, where each has its own.

        Raises:
            InvalidArgument: The states are of another width, or there is no such position.
        """
        index, chosen = self._site_index(index), self._map_at(index, position)
        done = self.preprocessing[index] if self.preprocessing else None
        if done is None:
            return chosen.project(states)
        require_unmasked(states, "states")
        return like(states, chosen.project(done.apply(torch.as_tensor(states))))

    def lift(self, index: int, coordinates: Array, *, position: int | None = None) -> Array:
        """Return the states within the subspace of the site `index` that have these coordinates.

        Of a recording it is activity as it was recorded: whatever was done to the recording first is undone.

        Args:
            index: The index of the site.
            coordinates: `[..., rank]`, torch or numpy. Where each position has a subspace of its own, and none is
                named, `[..., positions, rank]`.
            position: The index of the position among those of a row whose subspace is taken, where each has its own.

        Raises:
            InvalidArgument: The coordinates are of another rank, or there is no such position.
        """
        index, chosen = self._site_index(index), self._map_at(index, position)
        done = self.preprocessing[index] if self.preprocessing else None
        if done is None:
            return chosen.lift(coordinates)
        return like(coordinates, done.undo(chosen.lift(torch.as_tensor(coordinates))))

    def score(
        self,
        data: Counterfactuals | Sequence[Readable] | Readable,
        metrics: Sequence[str | Metric] | str | Metric = IIA,
        *,
        n_test: int | None = None,
        seed: int | None = None,
        memory: float | None = None,
        same_networks: bool = True,
    ) -> pd.DataFrame:
        """Score every direction under the maps, on the test rows of a dataset.

        The test rows are those of the dataset that is given: if it splits the alignment's own rows by another seed, the
        search may have seen them.

        Where a recorded system can be run after all, its site takes the recording's place: then the causal claim about
        it is tested.

        Args:
            data: A counterfactual dataset; or a site for each site of the alignment, for which rows are drawn from
                tasks.
            metrics: `"iia"`, `"token_accuracy"` (the share of right tokens), `"probability"` (of the label),
                `"logit_difference"` (of the label to the unswapped output), `"kl"` (of the swapped from the unswapped
                distribution), or functions from `RowOutputs` to a number a row.
            n_test: Rows of each direction, where they are drawn from tasks. By default 1,000.
            seed: The seed of their draw. By default that of the alignment.
            memory: GiB that tables may take, where rows are drawn.
            same_networks: Whether to require that the sites are those that the maps were found for, in the same order.

        Returns:
            `source, target, variable, iia, ci_low, ci_high, rows, no_swap, complement`, and for each further metric its
            mean and `METRIC_se`, the standard error over rows.

        Raises:
            InvalidArgument: A site is a recording, of another width, or of another network than its map was found for;
                the map is of states that were preprocessed; or a metric is unknown.
        """
        draw = Draw(n_test, self.record.config.seed if seed is None else seed, memory)
        return direction_table(self._found, dataset_for(self._found, data, draw, same_networks), metrics, draw.seed)

    def score_rows(
        self,
        data: Counterfactuals | Sequence[Readable] | Readable,
        metrics: Sequence[str | Metric] | str | Metric = IIA,
        *,
        n_test: int | None = None,
        seed: int | None = None,
        memory: float | None = None,
        same_networks: bool = True,
    ) -> pd.DataFrame:
        """Score every row of every direction: `source, target, variable, row`, and a column for each metric.

        Args:
            data: As for `score`.
            metrics: As for `score`.
            n_test: As for `score`.
            seed: As for `score`.
            memory: As for `score`.
            same_networks: As for `score`.

        Raises:
            InvalidArgument: As `score`.
        """
        draw = Draw(n_test, self.record.config.seed if seed is None else seed, memory)
        return row_table(self._found, dataset_for(self._found, data, draw, same_networks), metrics, draw.seed)

    def swap(
        self,
        source_input: Any,
        target_input: Any,
        *,
        variable: str | None = None,
        source: int = 0,
        target: int = -1,
        source_position: int | Sequence[int] = -1,
        target_position: int | Sequence[int] = -1,
        tokenizer: Any = None,
    ) -> SwapOutput:
        """Carry out one swap, and return what the target predicts after its input.

        Args:
            source_input: The input that the source reads: text, where its network has a tokenizer, ids, or tensors
                without the dimension of rows.
            target_input: The input that the target reads.
            variable: The variable whose block is swapped, where the maps have a block for each of several.
            source: The index of the source site.
            target: The index of the target site. By default the last.
            source_position: Where the source's state is read; -1 is the last token. Several are a tuple in ascending
                order, such as `(1, 4)`.
            target_position: Where the target's state is swapped, at as many positions. The rest of its input is read
                after the swap.
            tokenizer: The tokenizer of text. By default that of each network.

        Raises:
            InvalidArgument: There are no sites (see `with_sites`), one is a recording, an input cannot be read, no
                variable of several is named, or there are other positions than the maps have subspaces for.
        """
        if not self.sites:
            raise InvalidArgument("a loaded alignment has no networks to run: with_sites([...]) gives them")
        index = [self._site_index(each) for each in (source, target)]
        first, second = (require_site(self.sites[each], "a swap is carried out in it") for each in index)
        inputs = SwapInputs(source_input, target_input, source_position, target_position, tokenizer)
        self._found.require_positions(len(inputs.positions[0]) if isinstance(inputs.positions[0], tuple) else 1)
        method = self.record.config.method
        chosen = self._found.of_activity(self._maps_of(variable))
        maps = (chosen[index[0]], chosen[index[1]])
        return swap_output((first, second), inputs, method.intervention, maps, method.stepwise)

    def with_sites(self, sites: Sequence[Readable] | Readable, *, same_networks: bool = True) -> "Alignment":
        """Return the alignment with sites to carry out swaps in.

        Raises:
            InvalidArgument: They are not those that the maps were found for.
        """
        given = as_sites(sites)
        self._found.require_sites(given, same_networks)
        return replace(self, sites=given)

    def _map_at(self, index: int, position: int | None) -> AlignmentMap:
        """The map of a site, or of one position where one is named."""
        of = self.maps[self._site_index(index)]
        return of if position is None else at_position(of, position, self.record.sites[index].name)

    def _site_index(self, index: int) -> int:
        count = len(self.maps)
        if not isinstance(index, int) or not -count <= index < count:
            raise InvalidArgument(f"a site is named by its index among {count} sites, found {index!r}")
        return index % count

    @property
    def _found(self) -> MapSet:
        return MapSet(self.maps, self.record, self.preprocessing)

    @property
    def caveats(self) -> list[str]:
        """What limits the scores, a sentence each: baselines that are not exceeded, networks that fail, recordings."""
        return caveats(self.record)

    @property
    def coverage(self) -> pd.DataFrame:
        """The coverage of every recording, as `Recording.coverage` has it, with the columns `site` and `split` first.

        Further columns: the values of the variables, `trials, samples, missing, shortest, longest, used`.
        """
        rows = [
            {"site": site.name, "split": each.split} | dict(each.values) | each.model_dump(exclude={"values", "split"})
            for site in self.record.sites
            for each in (site.recording.coverage if site.recording else ())
        ]
        return pd.DataFrame(rows)

    @property
    def worst_iia(self) -> float:
        """The IIA of the worst trained direction and variable, the headline; NaN where all lead into recordings."""
        return math.nan if self.record.worst_iia is None else self.record.worst_iia

    @property
    def worst_interval(self) -> tuple[float, float]:
        """The exact 95 % interval of the headline, whatever direction is the worst; NaN where there is no IIA."""
        return self.record.worst_interval or (math.nan, math.nan)

    @property
    def verdict(self) -> Verdict:
        """Whether the networks can exchange the variable, in one sentence, with the error rate of the rule.

        Raises:
            InvalidArgument: The alignment has no IIA or no controls, or its search was cut off.
        """
        return verdict(self.record)

    @property
    def latent(self) -> pd.DataFrame:
        """The distance to counterfactual latents (equation 8) on test rows, for trained directions into recordings.

        Columns: `source, target, variable, distance, ci_low, ci_high, no_swap, rows, trials`. Lower is nearer.
        """
        return pd.DataFrame([dict(score) for score in self.record.latent], columns=list(LatentScore.model_fields))

    @property
    def history(self) -> pd.DataFrame:
        """The evaluations on the validation rows: `step, loss, worst_iia, mean_iia, validation_loss`.

        The IIA is of the directions whose target is run in the search. Where some targets are not run,
        `validation_loss` decides which maps are kept.
        """
        columns = [field.name for field in fields(Evaluation)]
        return pd.DataFrame([vars(each) for each in self.record.history], columns=columns)

    def save(self, folder: Path | str, overwrite: bool = False) -> Path:
        """Write `maps.safetensors`, `rows.safetensors` and `result.json`, each whole or not at all; nothing is pickled.

        Args:
            folder: The folder.
            overwrite: Whether an alignment that the folder holds is replaced.

        Raises:
            InvalidArgument: The folder holds an alignment, and `overwrite` is false.
            FileFormatError: The folder cannot be written.
        """
        folder = Path(folder)
        require_no_alignment(folder, record_description(self.record), overwrite)
        write_alignment(self._parts, folder)
        return folder

    def push_to_hub(
        self, repo: str, *, private: bool = False, token: str | None = None, message: str = "Add an alignment"
    ) -> str:
        """Upload the files of `save`, and a card with scores and caveats, to a repository of Hugging Face's hub.

        Args:
            repo: The repository, `OWNER/NAME`. It is made if it is not there.
            private: Whether a new repository is private.
            token: The token of an account. By default the one that `hf auth login` has kept.
            message: The message of the commit.

        Returns:
            The address of the commit.

        Raises:
            MissingDependency: huggingface_hub is not installed.
            FileFormatError: The hub refuses the name or the files, or cannot be reached.
        """
        return push(self._parts, repo, private=private, token=token, message=message)

    @classmethod
    def from_hub(cls, repo: str, *, revision: str | None = None, token: str | None = None) -> "Alignment":
        """Download an alignment that `push_to_hub` has uploaded. As from `load_alignment`, sites are not opened.

        Args:
            repo: The repository, `OWNER/NAME`.
            revision: A commit, branch or tag. By default the newest commit.
            token: The token of an account, for a private repository.

        Raises:
            MissingDependency: huggingface_hub is not installed.
            FileFormatError: The hub has no such repository, it has no alignment, or the hub cannot be reached.
        """
        return cls(*pull(repo, revision=revision, token=token))

    def plot(self) -> Any:
        """Draw the IIA of every direction as a matrix, with intervals and baselines: a figure of matplotlib."""
        from causalign.alignment.figures import iia_matrix  # with matplotlib, for which others need not wait

        return iia_matrix(self.iia, [site.name for site in self.record.sites])

    @property
    def _parts(self) -> SavedParts:
        return SavedParts(self.maps, self.record, self.outcomes, self.preprocessing)

    def to_pyvene(self, site: int, variable: str | None = None, position: int | None = None) -> Any:
        """The subspace of one site, by its index, as an intervention of pyvene (`LowRankRotatedSpaceIntervention`).

        Args:
            site: The index of the site.
            variable: The variable whose block is taken, where the maps have a block for each of several.
            position: The index of the position among those of a row, where each has a subspace of its own.

        Raises:
            InvalidArgument: There is no such site, no variable, or no position, of several is named, or the map has an
                encoder.
            MissingDependency: pyvene is not installed.
        """
        return to_pyvene(self._map(site, variable, position))

    def export_mib(
        self,
        folder: Path | str,
        token: str,
        site: int = 0,
        variable: str | None = None,
        *,
        position: int | None = None,
    ) -> Path:
        """Write the subspace of one site as files of a submission to MIB's causal-variable track.

        Args:
            folder: The folder of the task, the model and the variable, such as `ioi_task_GPT2LMHeadModel_output_token`.
            token: The name of the position among those of the benchmark's task, such as `last_token`.
            site: The index of the site.
            variable: The variable whose block is taken, where the maps have a block for each of several.
            position: The index of the position among those of a row, where each has a subspace of its own.

        Returns:
            The folder, with the files `ResidualStream(Layer-N,Token-T)_featurizer`, `..._inverse_featurizer` and
            `..._indices`.

        Raises:
            FileFormatError: The folder cannot be written.
            InvalidArgument: There is no such site; it is not the residual stream before a layer of a language model, or
                the alignment has no sites (see `with_sites`), or no variable, or no position, of several is named.
        """
        of = self._map(site, variable, position)
        if not self.sites:
            raise InvalidArgument("a loaded alignment has no networks to ask for layers: with_sites([...]) gives them")
        export_mib(of, Path(folder), unit_of(self.sites[site], token))
        return Path(folder)

    def _map(self, site: int, variable: str | None, position: int | None) -> AlignmentMap:
        """Return a map of which other tools can take the subspace."""
        if not 0 <= site < len(self.maps):
            raise InvalidArgument(f"site is the index of one of {len(self.maps)} sites, found {site}")
        found = at_position(self._maps_of(variable)[site], position, self.record.sites[site].name)
        if isinstance(found, FeatureMap) and found.encoder is not None:
            raise InvalidArgument("the features of an encoder are no subspace: only directions can be exported")
        return found

    def __repr__(self) -> str:
        names = ", ".join(site.name for site in self.record.sites)
        worst = self.record.worst
        if worst is None:
            farthest = max(self.record.latent, key=lambda score: score.distance)
            return f"Alignment({self.record.method} of {names}: latent distance {farthest.distance:.3f})"
        interval = "[{:.3f}, {:.3f}]".format(*self.worst_interval)
        baseline = f"{worst.no_swap:.3f} with no swap" + ("" if worst.above_baseline else ", which it does not exceed")
        return f"Alignment({self.record.method} of {names}: worst IIA {worst.iia:.3f} {interval}, {baseline})"

    def _repr_html_(self) -> str:
        """The alignment in a notebook: its line, its verdict, a matrix of its directions, its table, its caveats."""
        caveats = "".join(f"<li>{html.escape(each)}</li>" for each in self.caveats)
        held = "" if not self.record.holdout else f"<p>Held-out values:</p>{_html(self.holdout)}"
        line = verdict_line(self.record)
        said = "" if line is None else f"<p>{html.escape(line)}</p>"
        return f"<p>{html.escape(repr(self))}</p>{said}{self._matrices()}{_html(self.iia)}{held}<ul>{caveats}</ul>"

    def _matrices(self) -> str:
        """The IIA of every direction as colored cells, a matrix for each variable."""
        names = [site.name for site in self.record.sites]
        matrices = []
        for variable in dict.fromkeys(score.variable for score in self.record.iia):
            cells = {
                (names.index(score.source), names.index(score.target)): (
                    score.iia,
                    f"[{score.ci_low:.3f}, {score.ci_high:.3f}], no swap {score.no_swap:.3f}",
                )
                for score in self.record.iia
                if score.variable == variable
            }
            matrices.append(matrix_html(f"{variable}: source ↓ target →", names, cells))
        return "".join(matrices)


score = Alignment.score


def _table(parts: Sequence[DirectionScore], kind: type[DirectionScore]) -> pd.DataFrame:
    table = pd.DataFrame([dict(each) for each in parts], columns=list(kind.model_fields))
    return table.astype({"complement": "float64"})


def _html(table: pd.DataFrame) -> str:
    return str(table.round(3).to_html(index=False, na_rep=""))


def _counts(scores: Sequence[Score]) -> tuple[Int[np.ndarray, " scores"], Int[np.ndarray, " scores"]]:
    """Return the number of rows that are right, and of all rows, of each score."""
    rows = np.array([score.rows for score in scores])
    return np.rint(rows * np.array([score.iia for score in scores])).astype(int), rows


def load_alignment(folder: Path | str) -> Alignment:
    """Load a saved alignment.

    Raises:
        FileFormatError: A file is missing, broken, of another format, or of another alignment; or a map is not
            orthonormal, not finite, or has no positive scale.
    """
    return Alignment(*read_alignment(Path(folder)))
