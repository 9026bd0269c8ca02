"""Metrics of single rows: exact match, token accuracy, probability, logit difference, and KL divergence.

rows --run with and without the swap--> outputs at the scored tokens --metric--> a number per row
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int, Num
from torch import Tensor

from causalign.counterfactuals.direction import Direction
from causalign.counterfactuals.interventions import Swap, intervene, keep
from causalign.counterfactuals.rows import CounterfactualRows
from causalign.engine.batch import Batch
from causalign.engine.run import run_interventions
from causalign.errors import InvalidArgument, lookup
from causalign.maps.base import AlignmentMap
from causalign.networks.regression import Regression
from causalign.sites.readable import Readable

_LOGITS_AT_ONCE = 2**25
_NOTHING = -100
COMPLEMENT = "complement"
_COLUMNS = ("source", "target", "variable", "row", "rows", "ci_low", "ci_high", "no_swap", COMPLEMENT)
"""The other columns of tables of scores."""


@dataclass(frozen=True, eq=False)
class RowOutputs:
    """The outputs of a target at the scored tokens of some rows, packed: one entry per token."""

    logits: Float[Tensor, "tokens vocabulary"]
    """The logits after the swap."""
    no_swap_logits: Float[Tensor, "tokens vocabulary"]
    """The logits with nothing swapped."""
    expected: Num[Tensor, "tokens allowed"]
    """The correct ids of each token, padded with -100; or the numbers that a regression should predict."""
    row: Int[Tensor, " tokens"]
    """The row of each token."""
    n_rows: int
    """The number of rows."""
    regression: Regression | None = None
    """How the output is compared to labels, where it is numbers rather than logits."""

    def sum_by_row(self, values: Float[Tensor, " tokens"]) -> Float[Tensor, " rows"]:
        """Return the sum of the values over the tokens of each row."""
        return values.new_zeros(self.n_rows).index_add(0, self.row, values)

    def mean_by_row(self, values: Float[Tensor, " tokens"]) -> Float[Tensor, " rows"]:
        """Return the mean of the values over the tokens of each row."""
        return self.sum_by_row(values) / self.sum_by_row(torch.ones_like(values))


Metric = Callable[[RowOutputs], Float[Tensor, " rows"]]
"""A function that returns a number for each row, from the outputs of some rows."""


def exact_match(outputs: RowOutputs) -> Float[Tensor, " rows"]:
    """Return 1 where every scored token is the most likely one after the swap, and 0 elsewhere. The mean is the IIA."""
    if outputs.regression is not None:
        wrong = ~outputs.regression.correct(outputs.logits, outputs.expected[:, 0])
    else:
        wrong = (outputs.logits.argmax(-1)[:, None] != outputs.expected).all(1)
    return (outputs.sum_by_row(wrong.float()) == 0).float()


def token_accuracy(outputs: RowOutputs) -> Float[Tensor, " rows"]:
    """Return the share of the scored tokens that are the most likely one after the swap, given those before them."""
    right = (outputs.logits.argmax(-1)[:, None] == outputs.expected).any(1)
    return outputs.mean_by_row(right.float())


def probability(outputs: RowOutputs) -> Float[Tensor, " rows"]:
    """Return the joint probability of the scored tokens after the swap; of a token with several correct ids, of any."""
    log_probability = _allowed(outputs.logits.log_softmax(-1), outputs.expected).logsumexp(1)
    return outputs.sum_by_row(log_probability).exp()


def logit_difference(outputs: RowOutputs) -> Float[Tensor, " rows"]:
    """Return the logit of the label minus that of the unswapped output, both after the swap.

    The unswapped output is the most likely token with nothing swapped. The difference is a mean over the scored tokens,
    and 0 at a token where the unswapped output is the label. Above 0, the swap has made the label likelier than the
    unswapped output.
    """
    unswapped = outputs.no_swap_logits.argmax(-1)
    label = _allowed(outputs.logits, outputs.expected).amax(1)
    return outputs.mean_by_row(label - outputs.logits.gather(1, unswapped[:, None]).squeeze(1))


def kl_divergence(outputs: RowOutputs) -> Float[Tensor, " rows"]:
    """Return KL(unswapped || swapped) of the next-token distributions, in nats, as a mean over the scored tokens."""
    before, after = outputs.no_swap_logits.log_softmax(-1), outputs.logits.log_softmax(-1)
    terms = torch.where(before > -torch.inf, before.exp() * (before - after), 0.0)  # a banned token adds nothing
    return outputs.mean_by_row(terms.sum(-1))


METRICS: Mapping[str, Metric] = {
    "iia": exact_match,
    "token_accuracy": token_accuracy,
    "probability": probability,
    "logit_difference": logit_difference,
    "kl": kl_divergence,
}
"""The metrics by name."""


def metrics_of(metrics: Sequence[str | Metric] | str | Metric) -> dict[str, Metric]:
    """Return metrics by name. A function's name is its `__name__`, or that of its class.

    Raises:
        InvalidArgument: A name is unknown (near matches are named), or two metrics have the same name.
    """
    if not isinstance(metrics, str | Sequence) and not callable(metrics):
        raise InvalidArgument(f"metrics are names or functions of RowOutputs, found {metrics!r}")
    requested = [metrics] if isinstance(metrics, str) or callable(metrics) else list(metrics)
    found: dict[str, Metric] = {}
    for each in requested:
        name = each if isinstance(each, str) else getattr(each, "__name__", type(each).__name__)
        if not isinstance(each, str) and not callable(each):
            raise InvalidArgument(f"a metric is a name or a function of RowOutputs, found {each!r}")
        if name in found:
            raise InvalidArgument(f"two metrics are called {name!r}")
        if not isinstance(each, str) and name in {*METRICS, *_COLUMNS}:
            raise InvalidArgument(f"a metric of your own is called {name!r}, as a column of the table is: rename it")
        if each == COMPLEMENT:
            raise InvalidArgument(
                "complement is no metric of the interchange: it is another intervention, within one network only, and "
                "the column 'complement' of every table of scores has it"
            )
        found[name] = lookup("metric", name, METRICS) if isinstance(each, str) else each
    return found


@torch.no_grad()
def metric_values(
    site: Readable,
    rows: CounterfactualRows,
    swap: Swap,
    maps: tuple[AlignmentMap, AlignmentMap],
    metrics: Mapping[str, Metric],
) -> dict[str, Float[Tensor, " rows"]]:
    """Return the value of every metric for each row of one direction.

    Args:
        site: The target.
        rows: The rows.
        swap: The intervention.
        maps: The map of the source, and that of the target.
        metrics: The metrics by name.

    Raises:
        InvalidArgument: A metric does not return one number for each row.
    """
    _require_logits(site, metrics)
    parts: dict[str, list[Tensor]] = {name: [] for name in metrics}
    scored = int(rows.determined.sum(1).max())
    at_once = max(1, _LOGITS_AT_ONCE // (2 * scored * site_vocabulary(site)))
    for chunk in torch.arange(len(rows)).split(at_once):
        outputs = row_outputs(site, rows.take(chunk), swap, maps)
        for name, metric in metrics.items():
            values = metric(outputs)
            shape = list(values.shape) if isinstance(values, Tensor) else type(values).__name__
            if shape != [len(chunk)]:
                raise InvalidArgument(
                    f"the metric {name} must return a tensor with one number for each of {len(chunk)} rows, found "
                    f"{shape}"
                )
            parts[name].append(values.double().cpu())
    return {name: torch.cat(values) for name, values in parts.items()}


def _require_logits(site: Readable, metrics: Mapping[str, Metric]) -> None:
    """Check that no metric of logits is asked of a regression.

    Raises:
        InvalidArgument: One is.
    """
    network = getattr(site, "network", None)
    wrong = [name for name, metric in metrics.items() if METRICS.get(name) is metric and metric is not exact_match]
    if wrong and network is not None and network.regression is not None:
        raise InvalidArgument(f"the metric {wrong[0]} is of logits, and {network.name} predicts numbers: use iia")


def row_outputs(site: Readable, batch: Batch, swap: Swap, maps: tuple[AlignmentMap, AlignmentMap]) -> RowOutputs:
    """Run one batch with and without the swap, and return the outputs at the scored tokens."""
    source, target = maps
    logits = []
    for each in (swap, keep):
        run = run_interventions(site, [batch], [intervene(each, batch, target, source)])
        logits.append(run.site.read_out(run.features[run.scored]).float())
    expected = run.expected(run.scored)
    expected = expected[:, None] if expected.dim() == 1 else expected
    trial, regression = run.trial[run.scored], run.site.network.regression
    return RowOutputs(logits[0], logits[1], expected, trial, run.trials, regression)


def site_vocabulary(site: Readable) -> int:
    """Return the number of logits of a site's network, and 1 for a recording, which has none."""
    network = getattr(site, "network", None)
    return 1 if network is None else int(network.known)


def _allowed(
    values: Float[Tensor, "tokens vocabulary"], expected: Int[Tensor, "tokens allowed"]
) -> Float[Tensor, "tokens allowed"]:
    """Return the values of the correct ids, padded with minus infinity."""
    return values.gather(1, expected.clamp(min=0)).masked_fill(expected == _NOTHING, -torch.inf)


def direction_metrics(
    sites: Sequence[Readable],
    maps: Sequence[AlignmentMap],
    swap: Swap,
    rows: Mapping[Direction, CounterfactualRows],
    metrics: Mapping[str, Metric],
) -> dict[Direction, dict[str, Float[Tensor, " rows"]]]:
    """Return the value of every metric for each row of every direction."""
    return {
        direction: metric_values(
            sites[direction.target], each, swap, (maps[direction.source], maps[direction.target]), metrics
        )
        for direction, each in rows.items()
    }
