"""Modules that take tensors: every row against a hooked run of the plain module, alone and without pads."""

import runpy
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import causalign as ca
from causalign.counterfactuals.direction import Direction
from causalign.counterfactuals.interventions import interchange
from causalign.engine.run import run_interventions
from causalign.maps.base import AlignmentMap, random_frame
from causalign.report.page import write_report
from test_counterfactuals import QUICK, all_rows, seeded

transformers = pytest.importorskip("transformers")
ROWS, VOCABULARY, CLASSES = 30, 40, 4
SMALL = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 24}
SEQUENCE = {"d_model": 16, "d_ff": 24, "num_layers": 2, "num_heads": 2, "d_kv": 8}
BART = {"d_model": 16, "encoder_layers": 2, "decoder_layers": 2, "encoder_ffn_dim": 24, "decoder_ffn_dim": 24}


class Convolutional(nn.Module):
    """A small network of images, whose feature maps have no positions."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.conv2 = nn.Conv2d(1, 4, 3, padding=1), nn.Conv2d(4, 6, 3)
        self.head = nn.Linear(6 * 4, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        hidden = torch.relu(self.conv2(torch.relu(self.conv1(x))))
        logits: Tensor = self.head(nn.functional.adaptive_avg_pool2d(hidden, 2).flatten(1))
        return logits


class Named(nn.Module):
    """A module of two inputs by name, which returns a dict of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.left, self.right, self.head = nn.Linear(5, 8), nn.Linear(3, 8), nn.Linear(8, CLASSES)

    def forward(self, left: Tensor, right: Tensor) -> dict[str, Tensor]:
        return {"scores": self.head(torch.tanh(self.left(left) + self.right(right)))}


def mlp(outputs: int) -> nn.Module:
    return nn.Sequential(nn.Linear(5, 16), nn.Tanh(), nn.Linear(16, 8), nn.Tanh(), nn.Linear(8, outputs))


def model(kind: str, **sizes: Any) -> Any:
    config_name = kind.partition("For")[0].removesuffix("Model") + "Config"
    return getattr(transformers, kind)(getattr(transformers, config_name)(**sizes))


def vectors(rng: np.random.Generator) -> Any:
    return rng.standard_normal((ROWS, 5))


def images(rng: np.random.Generator) -> Any:
    return rng.standard_normal((ROWS, 1, 8, 8))


def sentences(rng: np.random.Generator) -> Any:
    return [rng.integers(3, VOCABULARY, n).tolist() for n in rng.integers(4, 9, ROWS)]


@dataclass(frozen=True)
class Case:
    """A module, a place in it, and what goes in and comes out."""

    make: Callable[[], Any]
    at: str
    inputs: Callable[[np.random.Generator], Any]
    options: dict[str, Any] = field(default_factory=dict)
    position: int = -1
    swapped: str | None = None
    """The path of the submodule, where the name of the place has more."""
    labels: int = 1
    per_position: bool = False


BERT = {"vocab_size": VOCABULARY, "max_position_embeddings": 32, **SMALL}
CASES = {
    "vectors": Case(lambda: mlp(CLASSES), "1", vectors, {"inputs": torch.randn(3, 5)}),
    "the input of a layer": Case(lambda: mlp(CLASSES), "2:input", vectors, {"inputs": torch.randn(3, 5)}, swapped="1"),
    "a feature map": Case(Convolutional, "conv2", images, {"inputs": torch.randn(3, 1, 8, 8)}),
    "several inputs": Case(
        Named,
        "left",
        lambda rng: {"left": rng.standard_normal((ROWS, 5)), "right": rng.standard_normal((ROWS, 3))},
        {"inputs": {"left": torch.randn(3, 5), "right": torch.randn(3, 3)}, "output": lambda out: out["scores"]},
    ),
    "a vision transformer": Case(
        lambda: model("ViTForImageClassification", image_size=8, patch_size=4, num_channels=1, num_labels=4, **SMALL),
        "vit.layers.0",
        images,
        position=2,
    ),
    "an encoder that classifies": Case(
        lambda: model("BertForSequenceClassification", num_labels=CLASSES, **BERT), "bert.encoder.layer.0", sentences
    ),
    "an encoder with a masked token": Case(
        lambda: model("BertForMaskedLM", **BERT),
        "bert.encoder.layer.0.output",
        sentences,
        position=1,
        per_position=True,
    ),
    "the encoder of a T5": Case(
        lambda: model("T5ForConditionalGeneration", vocab_size=VOCABULARY, decoder_start_token_id=0, **SEQUENCE),
        "encoder.block.0",
        sentences,
        position=2,
        labels=3,
    ),
    "the decoder of a T5": Case(
        lambda: model("T5ForConditionalGeneration", vocab_size=VOCABULARY, decoder_start_token_id=0, **SEQUENCE),
        "decoder.block.0.layer.1",
        sentences,
        labels=3,
    ),
    "the decoder of a BART": Case(
        lambda: model(
            "BartForConditionalGeneration",
            vocab_size=VOCABULARY,
            encoder_attention_heads=2,
            decoder_attention_heads=2,
            max_position_embeddings=32,
            **BART,
        ),
        "model.decoder.layers.1.fc2",
        sentences,
        labels=2,
    ),
}


def row_of(inputs: Any, row: int) -> dict[str, Tensor] | Tensor:
    """One row, as the plain module takes it: without pads, and so without a mask."""
    if isinstance(inputs, dict):
        return {name: torch.tensor(each[row : row + 1], dtype=torch.float32) for name, each in inputs.items()}
    one = torch.tensor(inputs[row])[None]
    return one.float() if one.is_floating_point() else {"input_ids": one}


def plain_run(module: Any, inputs: Any, label: list[int]) -> Any:
    if isinstance(inputs, Tensor):
        return module(inputs)
    if getattr(getattr(module, "config", None), "is_encoder_decoder", False):
        begun = torch.tensor([[module.config.decoder_start_token_id, *label[:-1]]])
        return module(**inputs, decoder_input_ids=begun)
    return module(**inputs)


def hooked(module: Any, path: str, run: Callable[[], Any], change: Callable[[Tensor], Tensor | None]) -> Any:
    def hook(_: Any, __: Any, out: Any) -> Any:
        new = change(out[0] if isinstance(out, tuple) else out)
        return None if new is None else (new, *out[1:]) if isinstance(out, tuple) else new

    handle = module.get_submodule(path).register_forward_hook(hook)
    with torch.no_grad():
        found = run()
    handle.remove()
    return found


def state_of(module: Any, path: str, inputs: Any) -> Tensor:
    states: list[Tensor] = []
    hooked(module, path, lambda: plain_run(module, inputs, [0]), lambda out: states.append(out.clone()))
    return states[0]


def logits_of(out: Any) -> Tensor:
    found: Tensor = out["scores"] if isinstance(out, dict) and "scores" in out else getattr(out, "logits", out)
    return found[0]


def dataset(case: Case) -> tuple[Any, dict[str, Any], Any]:
    module, rng = seeded(case.make), np.random.default_rng(0)
    site = ca.Site(module, case.at, **case.options)
    shape = (ROWS, case.labels) if case.labels > 1 else ROWS
    known = VOCABULARY if case.labels > 1 or case.per_position else CLASSES
    given = {
        "source_inputs": case.inputs(rng),
        "target_inputs": case.inputs(rng),
        "labels": rng.integers(0, known, shape).tolist(),
        "values": rng.integers(0, 3, ROWS).tolist(),
        "source_positions": case.position,
        "target_positions": case.position,
        "split": ["train"] * (ROWS - 6) + ["validation"] * 3 + ["test"] * 3,
    }
    if case.per_position:
        given["label_positions"] = rng.integers(0, 4, ROWS).tolist()
    return module, given, site


@pytest.mark.parametrize("name", CASES)
def test_every_row_is_a_hooked_run_of_the_plain_module(name: str) -> None:
    case = CASES[name]
    module, given, site = dataset(case)
    rows = all_rows(ca.Counterfactuals.from_arrays(site, **given))[Direction(0, 0)]
    frame = AlignmentMap(random_frame(site.width, 3, torch.Generator().manual_seed(1)), 1.0)
    batch = rows.take(torch.arange(len(rows)))
    run = run_interventions(site, [batch], [interchange(batch.target_states, batch.source_states, frame, frame)])
    logits, projector, path = site.read_out(run.features), frame.frame @ frame.frame.mT, case.swapped or case.at
    for row in range(0, len(rows), 5):
        label = given["labels"][row] if case.labels > 1 else [given["labels"][row]]
        source, target = (row_of(given[f"{end}_inputs"], row) for end in ("source", "target"))
        read = state_of(module, path, source)

        def entry(out: Tensor, position: int) -> Any:
            return (0, position) if out.dim() == 3 else 0

        decoder = "decoder" in path  # the first id is the only one that is not of a label
        at = 0 if decoder else case.position
        state = read[entry(read, at)].flatten()

        def swap(out: Tensor, at: int = at, state: Tensor = state) -> Tensor:
            changed, where = out.clone(), entry(out, at)
            own = changed[where].flatten()
            changed[where] = (own + projector @ (state - own)).reshape(changed[where].shape)
            return changed

        expected = logits_of(hooked(module, path, partial(plain_run, module, target, label), swap))
        if case.per_position:
            expected = expected[given["label_positions"][row]]
        mine = logits[(run.trial == row).nonzero().squeeze(1)]
        torch.testing.assert_close(mine, expected.reshape(mine.shape), atol=1e-5, rtol=1e-5)
        right = (mine.argmax(-1) == torch.tensor(label)).all()
        assert bool(run.correct()[row]) == bool(right)


@pytest.mark.parametrize("name", ["a feature map", "several inputs", "a vision transformer", "the decoder of a T5"])
def test_the_places_of_a_module_are_listed_with_the_widths_that_sites_have(name: str) -> None:
    case = CASES[name]
    module = case.make().eval()
    given = {each: case.options[each] for each in ("inputs", "output") if each in case.options}
    listed = ca.sites_of(module, **given).set_index("at")
    assert set(listed.index) == {path for path, _ in module.named_modules() if path}
    assert all(weight.requires_grad for weight in module.parameters())  # the module is left as it was
    site = ca.Site(module, case.at, **case.options)
    assert listed.loc[case.at, "width"] == site.width
    assert listed.loc[case.at, "state"] == "output"
    for at in listed.index[listed["width"].isna()]:
        assert listed.loc[at, "state"].startswith("none: ")
        with pytest.raises(ca.CausalignError):
            ca.Site(module, at, **case.options)


@pytest.mark.parametrize("name", CASES)
def test_everything_takes_such_data(name: str, tmp_path: Path) -> None:
    _, given, site = dataset(CASES[name])
    given["no_swap_labels"] = given["labels"]
    data = ca.Counterfactuals.from_arrays(site, **given)
    found = ca.align(data, method="das", rank=2, search=QUICK, controls=True)
    assert set(found.controls["control"]) == {"untrained", "shuffled", "random"}
    assert len(found.rows) == 3
    table = found.score(data, metrics=["iia", "probability", "kl"])
    assert table["iia"].tolist() == [found.worst_iia]
    assert ca.estimate(data, rank=2, method="das") is not None
    folder = found.save(tmp_path)
    assert ca.load_alignment(folder).with_sites([site]).score(data)["iia"].tolist() == [found.worst_iia]
    assert write_report(folder).exists()


def test_two_kinds_of_network_are_aligned() -> None:
    """A digit classifier of vectors and one of images, each with its own form of the same inputs."""
    rng = np.random.default_rng(0)
    flat, image = ca.Site(seeded(lambda: mlp(CLASSES)), "1", inputs=torch.randn(3, 5)), images(rng)
    cnn = ca.Site(seeded(Convolutional), "conv2", inputs=torch.randn(3, 1, 8, 8))
    both = ca.PerSite([vectors(rng), image])
    data = ca.Counterfactuals.from_arrays(
        [flat, cnn], source_inputs=both, target_inputs=both, labels=rng.integers(0, CLASSES, ROWS).tolist()
    )
    found = ca.align(data, rank=4, search=QUICK)
    assert len(found.iia) == 4


def test_a_regression_counts_what_is_within_its_tolerance() -> None:
    module, rng = seeded(lambda: mlp(2)), np.random.default_rng(0)
    x = vectors(rng)
    site = ca.Site(module, "1", inputs=x[:3], output=ca.Regression(0.05))
    with torch.no_grad():
        own = module(torch.tensor(x, dtype=torch.float32)).numpy()
    labels = own + np.where(np.arange(ROWS)[:, None] % 3 == 0, 0.06, 0.04) * np.array([[1.0, -1.0]])
    data = ca.Counterfactuals.from_arrays(
        site,
        source_inputs=x,
        target_inputs=x,
        labels=labels,
        no_swap_labels=labels,
        split=["train"] * (ROWS - 2) + ["validation", "test"],
    )
    rows = all_rows(data)[Direction(0, 0)]
    batch = rows.take(torch.arange(len(rows)))
    run = run_interventions(site, [batch], [batch.target_states])
    assert run.correct().tolist() == [row % 3 != 0 for row in range(ROWS - 2)]
    squared = torch.tensor(own[: ROWS - 2] - labels[: ROWS - 2]).square().sum() / 2
    torch.testing.assert_close(run.loss().double(), squared.double(), rtol=1e-4, atol=1e-6)
    found = ca.align(data, method="das", rank=4, search=QUICK)
    assert found.score(data)["iia"].tolist() == [found.worst_iia]
    with pytest.raises(
        ca.InvalidArgument, match="the metric kl is of logits, and Sequential predicts numbers: use iia"
    ):
        found.score(data, metrics=["kl"])


def test_a_three_dimensional_state_is_swapped_whole_where_asked() -> None:
    case = CASES["a vision transformer"]
    parts = ca.Site(seeded(case.make), case.at)
    whole = ca.Site(seeded(case.make), case.at, whole=True)
    assert parts.width == 16
    assert whole.width == 16 * 5  # four patches, and the class token before them


BAD: dict[str, tuple[Callable[[], Any], str]] = {
    "no example": (lambda: ca.Site(mlp(2).eval(), "1", whole=True), "needs an example of its inputs"),
    "no such place": (lambda: ca.Site(mlp(2).eval(), "7", inputs=torch.randn(3, 5)), "unknown site of Sequential '7'"),
    "another size": (lambda: ca.Site(mlp(2).eval(), "1", inputs=torch.randn(3, 6)), r"cannot be run on input \[3, 6\]"),
    "several outputs": (
        lambda: ca.Site(Named().eval(), "left", inputs={"left": torch.randn(3, 5), "right": torch.randn(3, 3)}),
        "Named returns dict with scores; expected logits",
    ),
    "output": (
        lambda: ca.Site(mlp(2).eval(), "1", inputs=torch.randn(3, 5), output=lambda out: out.argmax(-1)),
        r"returns \[3\] for 3 rows; expected logits",
    ),
    "tolerance": (lambda: ca.Regression(), "a regression needs the tolerance"),
    "training": (lambda: ca.Site(mlp(2), "1", inputs=torch.randn(3, 5)), "is in training mode"),
}


@pytest.mark.parametrize("name", BAD)
def test_modules_that_cannot_be_are_refused_in_one_line(name: str) -> None:
    make, message = BAD[name]
    with pytest.raises(ca.InvalidArgument, match=message) as refused:
        make()
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("case", "changes", "message"),
    [
        (
            "a vision transformer",
            {"source_inputs": np.zeros((ROWS, 1, 9, 9))},
            r"cannot be run on pixel_values \[1, 1, 9, 9\]",
        ),
        ("a feature map", {"source_inputs": np.zeros((ROWS, 64))}, r"input must be float32 \[rows, 1, 8, 8\]"),
        ("several inputs", {"source_inputs": {"left": np.zeros((ROWS, 5))}}, "source_inputs lacks right"),
        ("several inputs", {"source_inputs": {"lefd": np.zeros((ROWS, 5))}}, "unknown input .* did you mean 'left'"),
        ("vectors", {"labels": [CLASSES] * ROWS}, "has the classes 0 to 3"),
        ("vectors", {"labels": [[0, 1]] * ROWS}, "there are 2 labels, and Sequential has one output a row"),
        ("vectors", {"label_positions": 0}, "label_positions do not apply to Sequential: it has one output"),
        ("vectors", {"source_positions": 1}, "there is no state at source_positions 1; the row has 1 of 1"),
        ("an encoder with a masked token", {"label_positions": None}, "give label_positions"),
        ("an encoder with a masked token", {"labels": [[1, 2]] * ROWS}, "row 0: there are 2 labels for 1 label_pos"),
        ("an encoder that classifies", {"target_positions": 7}, "there is no state at target_positions 7"),
        ("the decoder of a T5", {"source_positions": 1}, "there is no state at source_positions 1; the row has 1"),
    ],
)
def test_rows_that_cannot_be_are_named(case: str, changes: dict[str, Any], message: str) -> None:
    _, given, site = dataset(CASES[case])
    with pytest.raises(ca.InvalidArgument, match=message):
        ca.Counterfactuals.from_arrays(site, **(given | changes))


@pytest.mark.parametrize(
    ("name", "above"),
    [("a vision transformer", True), ("an encoder that classifies", True), ("several inputs", False)],
)
def test_only_what_follows_is_run_where_that_is_exact(name: str, above: bool) -> None:
    module, given, site = dataset(CASES[name])
    assert site.how == ("runs what follows the layer" if above else "runs the whole module for every swap")
    assert site.how in repr(site)
    batch = all_rows(ca.Counterfactuals.from_arrays(site, **given))[Direction(0, 0)].take(torch.arange(4))
    calls: list[str] = []
    below = {"a vision transformer": "vit.layers.0.mlp", "several inputs": "left"}
    path = below.get(name, "bert.encoder.layer.0.attention")
    hook = module.get_submodule(path).register_forward_hook(lambda *_: calls.append(path))
    run_interventions(site, [batch], [batch.source_states])
    hook.remove()
    assert len(calls) == (0 if above else 1)


class Skipping(nn.Module):
    """A list of layers whose first output is used again at the end, so that it cannot be skipped."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.ModuleList([nn.Linear(5, 5) for _ in range(3)])

    def forward(self, x: Tensor) -> Tensor:
        first = self.layers[0](x)
        logits: Tensor = self.layers[2](torch.tanh(self.layers[1](torch.tanh(first)))) + 3 * first
        return logits


def test_one_swap_is_carried_out() -> None:
    module, given, site = dataset(CASES["a feature map"])
    found = ca.align(ca.Counterfactuals.from_arrays(site, **given), method="das", rank=site.width, search=QUICK)
    source, target = (given[f"{end}_inputs"][0] for end in ("source", "target"))
    output = found.swap(source, target)
    with torch.no_grad():
        of_source, of_target = (module(torch.tensor(each[None]).float())[0] for each in (source, target))
    torch.testing.assert_close(output.no_swap_logits, of_target, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(output.logits, of_source, atol=1e-4, rtol=1e-4)  # all that follows depends on the map
    assert output.top(1)["id"].tolist() == [int(of_source.argmax())]


def test_classes_are_named_as_the_model_names_them() -> None:
    model = seeded(CASES["an encoder that classifies"].make)
    model.config.id2label = {0: "red", 1: "green", 2: "blue", 3: "none"}
    model.config.label2id = {name: index for index, name in model.config.id2label.items()}
    site = ca.Site(model, "bert.encoder.layer.0")
    table = {"source": sentences(np.random.default_rng(0)), "target": sentences(np.random.default_rng(1))}
    names = [("red", "green", "blue")[row % 3] for row in range(ROWS)]
    data = ca.Counterfactuals.from_table(table | {"label": names}, site)
    twin = ca.Counterfactuals.from_table(table | {"label": [row % 3 for row in range(ROWS)]}, site)
    batches = [all_rows(each)[Direction(0, 0)].tokens.flatten().tolist() for each in (data, twin)]
    assert batches[0] == batches[1]
    output = ca.align(data, method="das", rank=2, search=QUICK).swap(table["source"][0], table["target"][0])
    assert set(output.top(4)["token"]) == set(model.config.label2id)
    with pytest.raises(ca.InvalidArgument, match=r"unknown class of .* 'bleu'; did you mean 'blue'"):
        ca.Counterfactuals.from_table(table | {"label": ["bleu"] * ROWS}, site)


def test_a_list_of_layers_with_a_path_around_is_run_whole() -> None:
    site = ca.Site(seeded(Skipping), "layers.1", inputs=torch.randn(3, 5))
    assert "runs the whole module for every swap" in repr(site)


def test_two_known_variables_are_found_in_their_directions() -> None:
    """Hierarchical equality with weights written by hand: the blocks are the directions that the weights name."""
    path = Path(__file__).parent.parent / "docs/examples/hierarchical_equality.py"
    found = runpy.run_path(str(path))["scores"](seed=1)
    assert found["iia"].tolist() == [1.0, 1.0]
    assert found["rows"].tolist() == [2048, 2048]
    assert (found["angle"] < 3).all()  # degrees; any two directions of 16 are at 75 or so
    assert (found["no_swap"] < 0.6).all()
