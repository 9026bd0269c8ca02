"""What cannot be is refused in one line that is true, and what can be is not refused."""

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import causalign as ca

VOCABULARY = 40


class Classifier(nn.Module):
    """A module of vectors, or of rows of vectors; its head is called with a keyword."""

    def __init__(self) -> None:
        super().__init__()
        self.hidden, self.head = nn.Linear(6, 8), nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.head(input=torch.tanh(self.hidden(x)))
        return logits


class Writer(nn.Module):
    """A module of ids."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding, self.head = nn.Embedding(VOCABULARY, 8), nn.Linear(8, VOCABULARY)

    def forward(self, ids: Tensor) -> Tensor:
        logits: Tensor = self.head(torch.tanh(self.embedding(ids)))
        return logits


class Ending:
    """A tokenizer of which no more is known than the id of its end."""

    def __init__(self, end: int) -> None:
        self.eos_token_id = end


def encoder() -> Any:
    transformers = pytest.importorskip("transformers")
    sizes = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 24}
    return ca.Site(
        transformers.BertForSequenceClassification(transformers.BertConfig(vocab_size=VOCABULARY, **sizes)).eval(),
        "bert.encoder.layer.0",
    )


def test_a_network_that_reads_its_input_as_a_whole_writes_no_text() -> None:
    prompts = np.random.default_rng(0).integers(1, VOCABULARY, (20, 4)).tolist()
    with pytest.raises(ca.InvalidArgument, match="writes no text after a prompt"):
        ca.Counterfactuals.from_generations(prompts, encoder(), max_new_tokens=2)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"source_inputs": []}, "source_inputs must be rows of ids, found none"),
        ({"source_inputs": {}}, "source_inputs lacks input_ids"),
        ({"source_mask": np.zeros((20, 4), dtype=int)}, "row 0: source_mask leaves no token of source_inputs"),
    ],
)
def test_inputs_without_a_token_are_refused(given: dict[str, Any], message: str) -> None:
    ids = np.random.default_rng(0).integers(1, VOCABULARY, (20, 4))
    arrays: dict[str, Any] = {"source_inputs": ids, "target_inputs": ids, "labels": [0, 1] * 10} | given
    with pytest.raises(ca.InvalidArgument, match=message):
        ca.Counterfactuals.from_arrays(encoder(), **arrays)


def test_complex_numbers_are_not_cut_to_whole_ones() -> None:
    with pytest.raises(ca.InvalidArgument, match="input holds complex numbers"):
        ca.Site(Classifier().eval(), "hidden", inputs=torch.randn(5, 6, dtype=torch.cfloat))


def test_a_head_may_be_called_with_a_keyword() -> None:
    module, x = Classifier().eval(), torch.randn(3, 4, 6)
    site: Any = ca.Site(module, "hidden", inputs=x)
    assert site.network.head is module.head
    torch.testing.assert_close(site.network.features({"input": x}), torch.tanh(module.hidden(x)))


def test_a_module_is_not_quantized_by_a_part_of_its_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Classifier, "__module__", "unquantized_nets")
    ca.Site(Classifier().eval(), "hidden", inputs=torch.randn(3, 6))
    monkeypatch.setattr(Classifier, "__module__", "torch.ao.nn.quantized.modules")
    with pytest.raises(ca.InvalidArgument, match="is quantized"):
        ca.Site(Classifier().eval(), "hidden", inputs=torch.randn(3, 6))


def test_a_mask_of_features_is_of_one_variable() -> None:
    site, rng = ca.Site(Classifier().eval(), "hidden", inputs=torch.randn(3, 6)), np.random.default_rng(0)
    source, target = rng.normal(size=(2, 60, 6))
    labels, variables = [0, 1, 2] * 20, ["a", "b"] * 30
    data = ca.Counterfactuals.from_arrays(
        site, source_inputs=source, target_inputs=target, labels=labels, variables=variables
    )
    with pytest.raises(ca.InvalidArgument, match="a mask of features is of one: make a dataset of the rows of each"):
        ca.align(data, method="dbm")


def test_the_ends_of_two_networks_of_one_name_are_both_noted() -> None:
    torch.manual_seed(0)
    sites = [ca.Site(Writer().eval(), "embedding", tokenizer=Ending(end)) for end in (3, 4)]
    prompts = np.random.default_rng(0).integers(5, VOCABULARY, (40, 4)).tolist()
    notes = ca.Counterfactuals.from_generations(prompts, sites, max_new_tokens=2).notes
    assert {f"A text of Writer ends at the id {end}." for end in (3, 4)} <= set(notes)
