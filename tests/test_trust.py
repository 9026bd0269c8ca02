"""What a user may ask for and must not lose silently: each was once wrong, ignored, or a traceback."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

import causalign as ca
from causalign.alignment.spec import override
from causalign.alignment.table_spec import TableSpec
from causalign.counterfactuals.direction import Direction
from causalign.counterfactuals.interventions import Swap, replace
from causalign.counterfactuals.table_file import read_table
from causalign.errors import DataWarning
from test_counterfactuals import LLAMA, QUICK, Recurrent, all_rows, arrays, seeded

Run = Callable[..., tuple[int, str, str]]


def site_and_module() -> tuple[ca.Site, Any]:
    module = seeded(Recurrent)
    return ca.Site(module, "rnn"), module


@dataclass(frozen=True)
class Whole(ca.Method):
    name = "whole"
    n_sites = 1

    @property
    def intervention(self) -> Swap:
        return replace

    def objectives(self, n_sites: int) -> dict[Direction, ca.Objective]:
        return {Direction(0, 0): ca.Objective()}


class Disguised(ca.DAS):
    """Another class with the name of a shipped one."""


def test_a_method_of_an_unknown_class_is_read_and_never_run(tmp_path: Path) -> None:
    site, _ = site_and_module()
    data = ca.Counterfactuals.from_arrays(site, **arrays())
    loaded = ca.load_alignment(ca.align(data, method=Whole(), rank=2, search=QUICK).save(tmp_path))
    assert loaded.record.method == "whole"
    assert len(loaded.rows) == data.counts["test"]
    for use in (lambda: loaded.score(data), lambda: loaded.with_sites([site]).swap([1], [2])):
        with pytest.raises(ca.InvalidArgument, match="'whole' is not known here: register its class first"):
            use()
    with pytest.raises(ca.InvalidArgument, match="Disguised is called 'das', as DAS is: give it a name of its own"):
        ca.align(data, method=Disguised(), rank=2, search=QUICK)


def test_a_label_in_a_text_file_is_text(tmp_path: Path) -> None:
    pd.DataFrame({"source": ["6 plus 4"], "target": ["1 plus 2"], "label": [10]}).to_csv(
        tmp_path / "a.csv", index=False
    )
    (tmp_path / "a.jsonl").write_text('{"source": "6 plus 4", "target": "1 plus 2", "label": "10"}\n')
    for name in ("a.csv", "a.jsonl"):
        assert read_table(tmp_path / name)["label"].tolist() == ["10"]
    network = ca.networks.from_pretrained(LLAMA)
    columns = {"source": ["nut nut", "seed", "stop"], "target": ["stop", "nut", "seed"], "label": [5, 6, 7]}
    with pytest.warns(DataWarning, match="The labels are whole numbers and are taken as token ids, beside prompts of"):
        data = ca.Counterfactuals.from_table(columns, network.site("layer.1"))
    assert any("taken as token ids" in note for note in data.notes)


def test_positions_in_a_text_file_are_numbers(tmp_path: Path) -> None:
    site = ca.networks.from_pretrained(ca.zoo.folder("in-context/llama")).site("layer.1")
    rows = [f"nut nut seed,{'nut ' * (i + 1)}stop,seed,{i % 2}" for i in range(12)]
    (tmp_path / "a.csv").write_text("source,target,label,at\n" + "\n".join(rows) + "\n")
    spec = TableSpec(table=str(tmp_path / "a.csv"), position="at")
    assert spec.dataset([site], seed=0, memory=None).counts == {"train": 10, "validation": 1, "test": 1}
    (tmp_path / "a.csv").write_text("source,target,label,at\n" + "\n".join([*rows, "nut,nut,nut,x"]) + "\n")
    with pytest.raises(ca.InvalidArgument, match="row 12: the position in 'at' is a whole number, found 'x'"):
        spec.dataset([site], seed=0, memory=None)
    with pytest.raises(ca.InvalidArgument, match="position = 'at' and text_position are both given"):
        spec.replace(text_position="source")


def test_any_of_several_unswapped_outputs_is_correct() -> None:
    site, module = site_and_module()
    given = {name: value for name, value in arrays().items() if "inputs" in name}
    order = [module(torch.tensor([row]))[0, -1].argsort(descending=True) for row in given["target_inputs"]]
    sets = [{int(each[0]), int(each[-1])} for each in order]
    data = ca.Counterfactuals.from_arrays(site, **given, labels=[1, 2] * 30, no_swap_labels=sets)
    assert ca.align(data, method="das", rank=2, search=QUICK).record.sites[0].accuracy == 1


def test_shuffled_labels_leave_the_inputs_whole() -> None:
    site, _ = site_and_module()
    given = arrays() | {"target_positions": 0}
    data = ca.Counterfactuals.from_arrays(site, **given)
    rows, shuffled = (all_rows(each, "train")[Direction(0, 0)] for each in (data, data.shuffled(3)))
    moved = 0
    for row, place in enumerate(data.index("train")):
        rest = given["target_inputs"][place][1:]
        assert shuffled.tokens[row, : len(rest)].tolist() == rows.tokens[row, : len(rest)].tolist() == rest
        moved += shuffled.tokens[row].tolist() != rows.tokens[row].tolist()
    assert moved > len(rows) / 2


def test_a_network_whose_weights_changed_is_refused() -> None:
    site, module = site_and_module()
    data = ca.Counterfactuals.from_arrays(site, **arrays())
    ca.align(data, method="das", rank=2, search=QUICK)
    with torch.no_grad():
        module.rnn.weight_hh_l0.mul_(3)
    with pytest.raises(ca.InvalidArgument, match="the weights of .*@rnn have changed since the dataset read it"):
        ca.align(data, method="das", rank=2, search=QUICK)


@pytest.mark.parametrize(
    "labels",
    [[[1, 3], [2, 3], [4]] * 10, [{1, 3}, {2, 3}, {4}] * 10, [np.array([1, 3]), np.array([2]), np.array(4)] * 10],
)
def test_labels_of_a_table_may_be_lists_sets_and_arrays(labels: list[Any]) -> None:
    site, _ = site_and_module()
    rng = np.random.default_rng(0)
    columns = {end: [rng.integers(0, 24, 4).tolist() for _ in range(30)] for end in ("source", "target")}
    data = ca.Counterfactuals.from_table(columns | {"label": labels}, site)
    assert ca.align(data, method="das", rank=2, search=QUICK).record.start == "closed-form"


def test_a_column_may_name_the_variable_of_each_row() -> None:
    site, _ = site_and_module()
    rng = np.random.default_rng(0)
    table: dict[str, Any] = {end: [rng.integers(0, 24, 4).tolist() for _ in range(60)] for end in ("source", "target")}
    table |= {"label": rng.integers(0, 24, 60).tolist(), "about": ["color", "shape", "color"] * 20}
    data = ca.Counterfactuals.from_table(table, site, variable="color", variable_column="about")
    assert sum(data.counts.values()) == 40
    assert all(row % 3 != 1 for split in ("train", "test") for row in data.index(split))
    assert ca.align(data, method="das", rank=2, search=QUICK).record.variable == "color"
    only = ca.Counterfactuals.from_table(table | {"about": ["shape"] * 60}, site, variable_column="about")
    assert only.variables.names == ("shape",)
    for variable, message in (("colour", "did you mean 'color'"), ("full", "known: color, shape")):
        with pytest.raises(ca.InvalidArgument, match=f"unknown variable of the column 'about' '{variable}'; {message}"):
            ca.Counterfactuals.from_table(table, site, variable=variable, variable_column="about")


def test_a_trial_of_a_rank_is_scored_where_it_ends() -> None:
    site, _ = site_and_module()
    data = ca.Counterfactuals.from_arrays(site, **arrays())
    search = ca.SearchConfig(max_steps=30, eval_every=20, batch_size=8, learning_rate=0.05)
    found = ca.align(data, method="das", rank=ca.BestRank([1, 2], trial_steps=9), start="random", search=search)
    assert 9 in found.history["step"].tolist()
    both = [site, site]
    latent = ca.align(
        ca.Counterfactuals.from_arrays(both, **arrays()), method="latent-stitch", rank=[2, 3], search=QUICK
    )
    assert [each.worst_iia for each in latent.record.ranks] == [None, None]


def test_a_change_of_the_search_keeps_its_other_fields() -> None:
    config = ca.AlignmentConfig(search=ca.SearchConfig(batch_size=32, learning_rate=0.5))
    changed = config.replace(search={"max_steps": 3}).search
    assert (changed.batch_size, changed.learning_rate, changed.max_steps) == (32, 0.5, 3)


def test_parameters_of_the_command_line_join_what_they_belong_to() -> None:
    assert override({"rank": "auto"}, {("rank", "tolerance"): 0.5})["rank"] == {"tolerance": 0.5}
    assert override({}, {("rank",): "2,4", ("rank", "trial_steps"): 5})["rank"]["trial_steps"] == 5
    assert override({"method": "clmas"}, {("method", "latent_weight"): 2.0})["method"] == {
        "name": "clmas",
        "latent_weight": 2.0,
    }
    for rank, parameter in ((4, "tolerance"), (4, "trial_steps"), ("auto", "trial_steps"), (None, "trial_steps")):
        with pytest.raises(ca.InvalidArgument, match="tolerance belongs to the rank auto, and trial_steps to several"):
            override({"rank": rank}, {("rank", parameter): 1})
    with pytest.raises(ca.InvalidArgument, match="rank is a whole number, .*found '4,x'"):
        override({"rank": "4,x"}, {("rank", "trial_steps"): 1})


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"rank": True}, "rank is a whole number, .*found True"),
        ({"rank": {"trial_steps": 5}}, "trial_steps belongs to several ranks"),
        ({"method": "procrustes", "start": "random"}, "procrustes starts from paired: leave start='random' out"),
        ({"search": {"early_stopping": False, "target_iia": 0.5}}, "target_iia ends a search early"),
        (
            {"search": {"initial_batch_size": 64, "batch_size": 8}},
            "initial_batch_size is at most batch_size, 8; found 64",
        ),
        ({"search": {"learning_rate": float("inf")}}, "learning_rate: Input should be a finite number"),
        ({"memory": float("inf")}, "memory: Input should be a finite number"),
        ({"method": {"name": "clmas", "inaccessible": 2}}, "inaccessible is the index of one of 2 sites, found 2"),
    ],
)
def test_settings_that_contradict_each_other_are_refused(wrong: dict[str, Any], message: str) -> None:
    site, _ = site_and_module()
    data = ca.Counterfactuals.from_arrays([site, site], **arrays())
    with pytest.raises(ca.InvalidArgument, match=message):
        ca.align(data, **({"rank": 2} | wrong))


def test_ranks_may_be_numpys_or_torchs() -> None:
    assert ca.AlignmentConfig.read({"rank": np.array([4, 8])}, "here").rank == ca.BestRank([4, 8])
    assert ca.AlignmentConfig.read({"rank": torch.tensor([4])}, "here").rank == ca.BestRank([4])


def test_scores_refuse_what_they_would_ignore(tmp_path: Path) -> None:
    site, _ = site_and_module()
    data = ca.Counterfactuals.from_arrays(site, **arrays())
    found = ca.align(data, method="das", rank=2, search=QUICK)

    def iia(outputs: ca.RowOutputs) -> torch.Tensor:
        return torch.zeros(outputs.n_rows)

    def rows(outputs: ca.RowOutputs) -> torch.Tensor:
        return torch.zeros(outputs.n_rows)

    for use, message in (
        (lambda: found.score(data, n_test=3), "n_test and memory say how rows are drawn, and a dataset is given"),
        (lambda: found.score(data, iia), "a metric of your own is called 'iia'"),
        (lambda: found.score(data, rows), "a metric of your own is called 'rows'"),
        (lambda: found.score(data, seed=-1), "seed must be a whole number, at least 0; found -1"),
        (lambda: found.swap([1], [2], source=5), "a site is named by its index among 1 sites, found 5"),
        (lambda: found.project(3, np.zeros((2, 16))), "a site is named by its index among 1 sites, found 3"),
        (lambda: found.swap([1.7, 2], [2]), "an input is text, or one row of whole ids"),
        (lambda: found.swap(torch.tensor([[1, 2]]), [2]), "an input is text, or one row of whole ids"),
        (lambda: ca.Counterfactuals.from_arrays([], **arrays()), "there is no site among the sites"),
    ):
        with pytest.raises(ca.InvalidArgument, match=message):
            use()


def test_pads_on_the_right_without_a_mask_are_refused() -> None:
    import transformers

    sizes = {"vocab_size": 24, "hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 1}
    config = transformers.LlamaConfig(**sizes, num_attention_heads=2, num_key_value_heads=1, pad_token_id=0)
    site = ca.Site(seeded(lambda: transformers.LlamaForCausalLM(config)), "layer.1")
    given: dict[str, Any] = {
        "target_inputs": [[5, 6 + row % 9] for row in range(30)],
        "labels": [*range(20)] + [1] * 10,
    }
    with pytest.raises(ca.InvalidArgument, match="row 0: source_inputs ends with the pad 0"):
        ca.Counterfactuals.from_arrays(site, source_inputs=[[3, 4 + row % 9, 0] for row in range(30)], **given)
