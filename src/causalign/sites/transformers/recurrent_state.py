"""The state that a recurrent layer of a language model of Hugging Face carries, as a site: Mamba, RWKV, hybrids.

tokens up to the swap --the model--> cache, one layer's state replaced --the other tokens, one by one--> logits

Hooks do not reach this state, because a layer passes it from token to token within one call. The model's own cache
does. A layer hands its state on to the next token: the state after token t is read with token t + 1, and the prediction
of token t + 2 is the first that a swap at t changes.
"""

from collections.abc import Iterator, Sequence

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional
from typing_extensions import override

from causalign.errors import InvalidArgument
from causalign.networks.devices import run_there
from causalign.networks.module import ModuleNetwork
from causalign.sites.base import Continuation, Places, Site
from causalign.sites.checks import check, sample_inputs
from causalign.sites.modules.next_token_check import require_next_tokens
from causalign.sites.modules.place_name import INPUT, PlaceName
from causalign.sites.prefix import Prefix
from causalign.sites.readable import Reading
from causalign.sites.transformers.decoder_parts import CarriedState
from causalign.sites.transformers.model_cache import ModelCache
from causalign.sites.transformers.step_decoder import StepDecoder
from causalign.tasks.base import Task

_AT_ONCE = 2**26  # numbers of the states that are read in one pass


class RecurrentState(Site):
    """All that a layer carries from token to token, flattened, or a slice of it.

    The state of the recurrence comes first (Mamba: `channels x state_size`; Mamba 2: `heads x head_dim x state_size`;
    RWKV: numerator, denominator and exponent), and then the last inputs of the convolution (RWKV: the last input of its
    two blocks). All other layers carry on what they carry. The model reads what follows the swap token by token on its
    own cache, so that a swap is exact but slow. In half precision the whole state is rounded to it.

    Args:
        network: The model as a network.
        task: The task whose trials the site reads.
        at: The name of the place, such as `layer.2.state` or, for a slice, `layer.2.state[0:64]`.
        carried: The state that the name stands for.

    Raises:
        InvalidArgument: The model does not predict next tokens, the slice is empty or reaches beyond the state, or a
            swap fails a check.
    """

    network: ModuleNetwork
    shares_prefix = True
    without_effect = (
        "the state after a token is read with the next one, so that no swap at the last token of the target changes a "
        "prediction: swap at an earlier position, such as position -2"
    )

    def __init__(self, network: ModuleNetwork, task: Task, *, at: PlaceName, carried: CarriedState) -> None:
        if at.side == INPUT:
            raise InvalidArgument(f"{at} is no place: what a layer carries has no input; leave :{INPUT} out")
        self._layer, self._part = carried.layer, at.coordinates(carried.width)
        self._bind(network, str(at), task, self._part.stop - self._part.start)
        self._decoder = StepDecoder(network)
        require_next_tokens(network, sample_inputs(self, 0), self.absolute_tolerance(torch.ones(1)))
        check(self)

    @property
    def how(self) -> str:
        """How a swap is carried out, in a few words."""
        return f"runs on token by token{', one row at a time' if self._decoder.mixes_rows else ''}"

    @override
    def __repr__(self) -> str:
        return f"Site({self.name}, width {self.width}, {self.how})"

    @override
    def read(self, tokens: Int[Tensor, "trials time"]) -> Float[Tensor, "trials time width"]:
        ((states, _),) = self.read_sites([self], tokens, stepwise=False, with_prefix=False)
        return states

    @override
    def prefix(self, tokens: Int[Tensor, "trials time"], stepwise: bool = False) -> Prefix:
        return Prefix.padded({"tokens": tokens})

    @classmethod
    @override
    @torch.no_grad()
    def read_sites(
        cls, sites: Sequence["RecurrentState"], inputs: Int[Tensor, "trials time"], *, stepwise: bool, with_prefix: bool
    ) -> list[Reading]:
        """Read the tokens one by one, and keep what every layer of a site carries after each."""
        decoder, most = sites[0]._decoder, max(site.width for site in sites)
        rows = 1 if decoder.mixes_rows else max(1, _AT_ONCE // (most * inputs.shape[1]))
        parts: list[list[Tensor]] = [[] for _ in sites]
        for part in inputs.split(rows):
            _, cache = decoder.begin(part[:, :1])
            after = [[site._state(cache)] for site in sites]
            for column in part[:, 1:].unbind(1):
                decoder.step(column, cache)
                for site, states in zip(sites, after, strict=True):
                    states.append(site._state(cache))
            for states, of_site in zip(after, parts, strict=True):
                of_site.append(torch.stack(states, dim=1))
        prefix = sites[0].prefix(inputs, stepwise) if with_prefix else Prefix.empty()
        return [(torch.cat(of_site), prefix) for of_site in parts]

    def _state(self, cache: ModelCache) -> Float[Tensor, "rows width"]:
        return self._flat(cache)[:, self._part].clone()  # the model changes what it carries in place

    def _flat(self, cache: ModelCache) -> Float[Tensor, "rows whole"]:
        carry = cache.carried(self._layer)
        return torch.cat([each.flatten(1).to(self.device, self.dtype) for each in carry], dim=1)

    def _replace(self, cache: ModelCache, state: Float[Tensor, "rows width"]) -> None:
        """Replace what the layer carries, or the slice of it that the site is."""
        carry, own = cache.carried(self._layer), self._flat(cache)
        whole = torch.cat([own[:, : self._part.start], state.to(own), own[:, self._part.stop :]], dim=1)
        parts = whole.split([each[0].numel() for each in carry], dim=1)
        cache.put(self._layer, [part.reshape(each.shape).to(each) for part, each in zip(parts, carry, strict=True)])

    @override
    def run_from(
        self, prefix: Prefix, places: Places, state: Float[Tensor, "trials width"], continuation: Continuation
    ) -> Float[Tensor, "tokens features"]:
        trials, steps = continuation.running[0], len(continuation.running)
        rest = continuation.tokens.new_zeros(trials, steps)
        rest[continuation.trial, continuation.step] = continuation.tokens
        fed = continuation.trial.bincount() - 1
        order, features = [], []
        for rows in self._groups(places.position):
            before = prefix.before("tokens", places.trial[rows], int(places.position[rows[0]]) + 1)
            found = self._run_on(before, state[rows], rest[rows, : int(fed[rows].max())])
            order.append(rows)
            features.append(functional.pad(found, (0, 0, 0, steps - found.shape[1])))
        return torch.cat(features)[torch.cat(order).argsort()][continuation.trial, continuation.step]

    def _groups(self, position: Int[Tensor, " trials"]) -> Iterator[Int[Tensor, " rows"]]:
        """Yield the rows that are run together: those with a swap at the same position."""
        for each in position.unique():
            rows = (position == each).nonzero()[:, 0]
            yield from rows.split(1 if self._decoder.mixes_rows else len(rows))

    def _run_on(
        self,
        before: Int[Tensor, "rows before"],
        state: Float[Tensor, "rows width"],
        after: Int[Tensor, "rows after"],
    ) -> Float[Tensor, "rows tokens features"]:
        """Return the features of the token at the swap, and of all that are read after it."""
        with torch.no_grad():
            features, cache = self._decoder.begin(before)
        self._replace(cache, state)
        unmoved = 0 * state.sum(1, keepdim=True)  # so that a gradient of 0 reaches a state that changes no prediction
        features = features + unmoved.to(features)
        found = [features, *(self._decoder.step(column, cache) for column in after.unbind(1))]
        return torch.stack(found, dim=1)

    @override
    def read_out(self, features: Float[Tensor, "tokens features"]) -> Float[Tensor, "tokens vocabulary"]:
        head = self.network.head
        return features if head is None else run_there(head, features)
