"""Counterfactual datasets of what networks write by themselves, against transformers' own generation."""

import json
import re
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import causalign as ca
from causalign.counterfactuals.direction import Direction
from causalign.counterfactuals.interventions import interchange
from causalign.counterfactuals.row_source import RowRequest
from causalign.maps.base import AlignmentMap
from causalign.networks.generation import end_ids, generate
from causalign.networks.huggingface import HuggingFace
from causalign.report.page import write_report
from causalign.run_context import RunContext
from causalign.scoring.iia import row_outcomes
from naive_swap import plain_logits, state_at, swapped_logits

transformers = pytest.importorskip("transformers")
VOCABULARY, END, LONGEST = 14, 13, 4
WORDS = [f"w{index}" for index in range(VOCABULARY)]
QUICK = ca.SearchConfig(max_steps=2, eval_every=1, batch_size=8)


def model_of(seed: int, kind: str = "Llama", **more: Any) -> Any:
    """A model with large random weights, so that what it writes depends on what it reads."""
    sizes = {"vocab_size": VOCABULARY, "hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 2}
    heads = {"num_attention_heads": 2, "num_key_value_heads": 1, "max_position_embeddings": 32, "head_dim": 8}
    ends = {"pad_token_id": None, "bos_token_id": None, "eos_token_id": END, "initializer_range": 0.6}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3 + seed)
        made = getattr(transformers, f"{kind}ForCausalLM")(
            getattr(transformers, f"{kind}Config")(**(sizes | heads | ends | more))
        )
    return made.eval()


def tokenizer_of(words: list[str]) -> Any:
    tokenizers = pytest.importorskip("tokenizers")
    whole = tokenizers.Tokenizer(tokenizers.models.WordLevel({word: index for index, word in enumerate(words)}))
    whole.pre_tokenizer = tokenizers.pre_tokenizers.WhitespaceSplit()
    return transformers.PreTrainedTokenizerFast(tokenizer_object=whole)


def network_of(seed: int, words: list[str] | None = None, **more: Any) -> HuggingFace:
    network = HuggingFace(model_of(seed, **more), name=f"net{seed}")
    network.tokenizer = tokenizer_of(WORDS if words is None else words)
    return network


def prompts_of(rows: int, seed: int = 0) -> list[list[int]]:
    rng = np.random.default_rng(seed)
    drawn = [tuple(rng.integers(0, END, length).tolist()) for length in rng.integers(3, 6, rows)]
    return [list(row) for row in dict.fromkeys(drawn)]


def by_transformers(model: Any, prompt: list[int], most: int = LONGEST) -> list[int]:
    """What the model writes, by the library's own function, alone in its batch."""
    ids = torch.tensor([prompt])
    found = model.generate(
        ids, attention_mask=torch.ones_like(ids), do_sample=False, max_new_tokens=most, eos_token_id=END, pad_token_id=0
    )
    written: list[int] = found[0, len(prompt) :].tolist()
    return written


@pytest.mark.parametrize("kind", ["Llama", "GPT2", "Gemma3"])
def test_networks_write_what_transformers_generates(kind: str) -> None:
    if kind == "GPT2":
        config = transformers.GPT2Config(
            vocab_size=VOCABULARY,
            n_embd=16,
            n_layer=2,
            n_head=2,
            eos_token_id=END,
            bos_token_id=None,
            initializer_range=0.6,
        )
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            model = transformers.GPT2LMHeadModel(config).eval()
    else:
        model = model_of(0) if kind == "Llama" else gemma()
    network = HuggingFace(model)
    prompts = prompts_of(30)
    texts = generate(network, [np.array(row) for row in prompts], LONGEST, end_ids(network))
    assert [text.ids.tolist() for text in texts] == [by_transformers(model, row) for row in prompts]
    assert [text.ended for text in texts] == [text.ids[-1] == END for text in texts]
    if kind != "GPT2":
        assert {True, False} == {text.ended for text in texts}


def gemma() -> Any:
    sizes = {"vocab_size": VOCABULARY, "hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 2}
    more = {"num_attention_heads": 2, "num_key_value_heads": 1, "head_dim": 8, "sliding_window": 4}
    config = transformers.Gemma3TextConfig(
        **sizes, **more, pad_token_id=None, bos_token_id=None, eos_token_id=END, initializer_range=0.6
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(2)
        return transformers.Gemma3ForCausalLM(config).eval()


def test_a_prompt_of_the_network_is_read_before_every_prompt() -> None:
    model = model_of(0)
    network = HuggingFace(model, prompt=[3, 4])
    texts = generate(network, [np.array(row) for row in prompts_of(8)], LONGEST, frozenset({END}))
    assert [text.ids.tolist() for text in texts] == [by_transformers(model, [3, 4, *row]) for row in prompts_of(8)]


class Recurrent(nn.Module):
    """A user's own module."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding, self.rnn = nn.Embedding(VOCABULARY, 12), nn.GRU(12, 16, batch_first=True)
        self.head = nn.Linear(16, VOCABULARY)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        logits: torch.Tensor = self.head(self.rnn(self.embedding(tokens))[0])
        return logits


def test_any_module_writes_its_most_likely_tokens_one_by_one() -> None:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        module = Recurrent().eval()
    site = ca.Site(module, "rnn")
    assert end_ids(site.network) == frozenset()
    texts = generate(site.network, [np.array(row) for row in prompts_of(12)], LONGEST, frozenset({END}))
    for row, text in zip(prompts_of(12), texts, strict=True):
        ids = list(row)
        while len(ids) < len(row) + LONGEST and (len(ids) == len(row) or ids[-1] != END):
            ids.append(int(plain_logits(module, ids)[-1].argmax()))
        assert text.ids.tolist() == ids[len(row) :]


def test_a_task_s_end_ends_a_text() -> None:
    network = ca.zoo.load("multi-object/gru", 0)
    ids = network.ids
    prompt = np.array([ids["B"], ids["D0"], ids["D1"], ids["T"]])
    (text,) = generate(network, [prompt], 10, end_ids(network))
    assert text.ids.tolist() == [ids["R"], ids["R"], ids["E"]]


@pytest.fixture(scope="module")
def pair() -> tuple[HuggingFace, HuggingFace]:
    return network_of(0), network_of(1, hidden_size=24, head_dim=12)


def dataset(pair: tuple[HuggingFace, HuggingFace], **options: Any) -> ca.Counterfactuals:
    sites = [network.site("layer.1") for network in pair]
    prompts = [" ".join(WORDS[each] for each in row) for row in prompts_of(120)]
    return ca.Counterfactuals.from_generations(prompts, sites, **({"max_new_tokens": LONGEST} | options))


def inputs_of(data: ca.Counterfactuals, split: str) -> tuple[list[list[int]], list[list[int]]]:
    rows = data._source.by_source[0].splits[split]  # type: ignore[attr-defined]
    return [ids.tolist() for ids in rows.sources[0].ids], [ids.tolist() for ids in rows.targets[0].ids]


def rows_of(data: ca.Counterfactuals, split: str, stepwise: bool = False) -> dict[Direction, ca.CounterfactualRows]:
    directions = tuple(Direction(s, t) for s in range(len(data.sites)) for t in range(len(data.sites)))
    return data.rows(RowRequest(split, directions, stepwise), RunContext(0, data.store))


def test_the_expected_output_is_what_the_source_writes_after_its_prompt(pair: tuple[HuggingFace, HuggingFace]) -> None:
    data = dataset(pair, pairs=3)
    assert data.counts["train"] > 2.5 * 0.8 * len(data.generations) / 2
    for split in ("train", "validation", "test"):
        sources, targets = inputs_of(data, split)
        assert all(len(s) == len(t) and s != t for s, t in zip(sources, targets, strict=True))
        assert len({(tuple(s), tuple(t)) for s, t in zip(sources, targets, strict=True)}) == len(sources)
        written = [
            {tuple(row): by_transformers(each.model, row) for row in map(list, {*map(tuple, sources)})} for each in pair
        ]
        for (s, _), rows in rows_of(data, split).items():
            own = written[s]
            for row, source in enumerate(sources):
                length = int(rows.lengths[row])
                assert rows.tokens[row, :length].tolist() == own[tuple(source)]
                assert rows.determined[row].sum() == length
            assert rows.places.position.tolist() == [len(target) - 1 for target in targets]
    prompts = prompts_of(120)
    assert [prompts[row] for row in data.index("test")] == inputs_of(data, "test")[1]
    train, validation, test = (
        {tuple(row) for rows in inputs_of(data, split) for row in rows} for split in ("train", "validation", "test")
    )
    assert not train & validation | train & test | validation & test


def test_the_baseline_is_what_the_target_writes_by_itself(pair: tuple[HuggingFace, HuggingFace]) -> None:
    data = dataset(pair)
    found = ca.align(data, rank=2, search=QUICK)
    sources, targets = inputs_of(data, "test")
    shares = []
    for s in range(2):
        for t in range(2):
            own = [
                by_transformers(pair[s].model, a) == by_transformers(pair[t].model, b)
                for a, b in zip(sources, targets, strict=True)
            ]
            shares.append(np.mean(own))
    table = found.iia.set_index(["source", "target"])
    names = data.names
    expected = {(names[i // 2], names[i % 2]): share for i, share in enumerate(shares)}
    assert table["no_swap"].to_dict() == pytest.approx(expected)


def test_a_stepwise_swap_of_everything_makes_the_target_write_the_sources_text() -> None:
    """The two sites are of one network: with whole states swapped at all positions, it has read the source prompt."""
    network = network_of(0)
    data = dataset((network, network)).with_sites([network.site("embedding")] * 2)
    identity = AlignmentMap(torch.eye(16), 1.0)
    outcomes = row_outcomes(data.sites, [identity, identity], interchange, rows_of(data, "test", stepwise=True))
    assert all(bool(correct.all()) for correct in outcomes.values())
    single = row_outcomes(data.sites, [identity, identity], interchange, rows_of(data, "test"))
    assert not all(bool(correct.all()) for correct in single.values())  # the last state alone is not all it has read


def test_rows_and_token_accuracy_are_those_of_a_hooked_run(pair: tuple[HuggingFace, HuggingFace]) -> None:
    data = dataset(pair)
    found = ca.align(data, rank=3, search=QUICK)
    table = found.score_rows(data, ["iia", "token_accuracy"])
    sources, targets = inputs_of(data, "test")
    rows = rows_of(data, "test")
    for s, t in rows:
        of = table[(table["source"] == data.names[s]) & (table["target"] == data.names[t])]
        source, target = found.maps[s], found.maps[t]
        for row, (a, b) in enumerate(zip(sources, targets, strict=True)):
            label = by_transformers(pair[s].model, a)
            state = state_at(pair[s].model, "model.layers.0", a, len(a) - 1)
            aligned = target.frame @ (source.frame.T @ state) * (source.scale / target.scale)
            logits = swapped_logits(
                pair[t].model, "model.layers.0", b + label[:-1], len(b) - 1, aligned, target.frame @ target.frame.T
            )
            hits = [int(logits[len(b) - 1 + step].argmax()) == each for step, each in enumerate(label)]
            assert of["iia"].iloc[row] == float(all(hits))
            assert of["token_accuracy"].iloc[row] == pytest.approx(np.mean(hits))


def test_positions_cut_the_prompts() -> None:
    network = network_of(0)
    data = dataset((network, network), positions=1)
    found = data.generations
    prompts = prompts_of(120)
    cut = list(dict.fromkeys(tuple(row[:2]) for row in prompts))
    written = [by_transformers(network.model, list(row)) for row in cut]
    kept = [row for row, text in zip(cut, written, strict=True) if text != [END]]
    of_first = found[found["site"] == data.names[0]]
    assert [tuple(prompts[place][:2]) for place in of_first["prompt"]] == kept
    assert of_first["ids"].tolist() == [text for text in written if text != [END]]
    assert of_first["prompt_text"].tolist() == [" ".join(WORDS[each] for each in row) for row in kept]
    assert f"{len(prompts) - len(cut)} prompts are equal to others up to their positions, and were left out." in (
        data.notes
    )
    each = dataset((network, network), positions=[len(row) - 2 for row in prompts])
    assert dataset((network, network), positions=-2).fingerprint == each.fingerprint


def test_what_was_left_out_and_cut_is_counted(pair: tuple[HuggingFace, HuggingFace]) -> None:
    data = dataset(pair)
    texts = [[by_transformers(network.model, row) for row in prompts_of(120)] for network in pair]
    kept = [row for row, both in enumerate(zip(*texts, strict=True)) if [END] not in both]
    assert len(data.generations) == 2 * len(kept) < 2 * len(texts[0])
    for network, own in zip(pair, texts, strict=True):
        empty, cut = own.count([END]), sum(own[row][-1] != END for row in kept)
        assert cut
        wanted = f"{cut} of {len(kept)} texts of {network.name} had not ended after 4 tokens, and were cut there."
        assert wanted in data.notes
        assert (f"{empty} prompts were left out: {network.name} ends its text at once." in data.notes) == bool(empty)
        assert f"A text of {network.name} ends at the id {END}." in data.notes
    alone = ca.Counterfactuals.from_generations(
        [*([index, 1] for index in range(12)), [1, 2, 3]],
        pair[0].site("layer.1"),
        max_new_tokens=2,
        split=["train"] * 4 + ["validation"] * 4 + ["test"] * 4 + ["test"],
        stop=[],
    )
    assert "1 prompts were left out: no other of their split has as many tokens." in alone.notes
    assert alone.counts == {"train": 4, "validation": 4, "test": 4}
    with pytest.raises(ca.InvalidArgument, match="there are no recorded texts"):
        _ = ca.Counterfactuals.from_arrays(
            pair[0].site("layer.1"), source_inputs=[[1], [2], [3]], target_inputs=[[1], [2], [3]], labels=[1, 2, 3]
        ).generations


def test_the_fingerprint_covers_the_recorded_text(pair: tuple[HuggingFace, HuggingFace]) -> None:
    data = dataset(pair)
    assert data.fingerprint == dataset(pair).fingerprint
    assert data.fingerprint == data.with_sites([network.site("layer.2") for network in pair]).fingerprint
    assert data.fingerprint != dataset((pair[0], network_of(2))).fingerprint
    assert data.fingerprint != dataset(pair, max_new_tokens=LONGEST - 1).fingerprint


def test_everything_works_on_generations(pair: tuple[HuggingFace, HuggingFace], tmp_path: Path) -> None:
    data, other = dataset(pair, pairs=2), dataset(pair, seed=1)
    for method in ("mas", "mas-stepwise"):
        found = ca.align(data, method=method, rank=2, search=QUICK, controls=True)
        assert set(found.worst_controls) == {"untrained", "shuffled", "random"}
        assert found.record.data == data.fingerprint != other.fingerprint
        assert set(data.notes) <= set(found.record.notes)
        assert found.record.sites[0].accuracy is None
        loaded = ca.load_alignment(found.save(tmp_path / method))
        assert loaded.record == found.record
        assert write_report(tmp_path / method).exists()
        assert len(found.score(other, ["iia", "token_accuracy"])) == 4
    assert ca.align(data, rank=2, search=QUICK).record.start == "closed-form"
    assert ca.align(data, method="clmas", rank=2, search=QUICK).maps[0].rank == 2
    assert ca.align(data, rank=ca.BestRank([1, 2], trial_steps=1), search=QUICK).record.ranks
    assert ca.estimate(data, method="mas-stepwise", rank=2, search=QUICK).seconds > 0
    assert len(ca.align(dataset((pair[0], pair[0])), rank=2, search=QUICK).iia) == 4


def test_the_untrained_control_is_asked_for_the_recorded_text(pair: tuple[HuggingFace, HuggingFace]) -> None:
    data = dataset(pair)
    changed = data.with_sites([pair[0].untrained(0).site("layer.1"), pair[1].site("layer.1")])
    before, after = rows_of(data, "test"), rows_of(changed, "test")
    for direction, rows in after.items():
        assert torch.equal(rows.tokens, before[direction].tokens)
        same = torch.equal(rows.source_states, before[direction].source_states)
        assert same == (direction.source == 1)


def test_the_shuffled_control_expects_the_text_of_other_rows(pair: tuple[HuggingFace, HuggingFace]) -> None:
    data = dataset(pair)
    before, after = rows_of(data, "train"), rows_of(data.shuffled(0), "train")
    for direction, rows in after.items():
        assert torch.equal(rows.source_states, before[direction].source_states)
        ours, others = (sorted(map(tuple, each.tokens.tolist())) for each in (before[direction], rows))
        assert ours == others
        assert not torch.equal(rows.tokens, before[direction].tokens)


BAD: list[tuple[dict[str, Any], str]] = [
    ({"max_new_tokens": 0}, "max_new_tokens must be a whole number, at least 1; found 0"),
    ({"max_new_tokens": True}, "max_new_tokens must be a whole number, at least 1; found True"),
    ({"max_new_tokens": 40}, r"a prompt and 40 new tokens are 43 tokens, and net0 has 32 positions"),
    ({"pairs": 0}, "pairs must be a whole number, at least 1; found 0"),
    ({"positions": 5}, "prompt 0 has 3 tokens, and none at position 5: give a position that every prompt has"),
    ({"positions": 0.5}, r"positions must be a whole number \(-1 is the last token\), or one for each of 6 prompts"),
    ({"positions": [0, 1]}, r"or one for each of 6 prompts; found \[0, 1\]"),
    ({"stop": 99}, "stop must be ids that end a text, from 0 to 13 in net0; found 99"),
    ({"prompts": "text"}, "prompts must be a list of texts, or of rows of ids; found str"),
    ({"prompts": []}, "prompts must be a list of texts, or of rows of ids; found an empty list"),
    ({"prompts": [[1, 99]]}, "prompt 0 has the id 99, but net0 has the token ids 0 to 13"),
    ({"split": ["train"] * 3 + ["test"] * 3}, "the split validation has no rows"),
    ({"prompts": [[1, 2]] * 6, "split": ["train", "validation", "test"] * 2}, "rows are both in train and in val"),
    ({"seed": -1}, "seed must be a whole number"),
]


@pytest.mark.parametrize(("changes", "message"), BAD)
def test_what_cannot_be_is_refused(changes: dict[str, Any], message: str, pair: Any) -> None:
    good = {"prompts": [[index, 1, 2] for index in range(6)], "max_new_tokens": 2}
    options = good | changes
    with pytest.raises(ca.InvalidArgument, match=message):
        ca.Counterfactuals.from_generations(options.pop("prompts"), pair[0].site("layer.1"), **options)  # type: ignore[arg-type]


def test_a_split_without_a_pair_is_refused(pair: tuple[HuggingFace, HuggingFace]) -> None:
    prompts = [[1, 2], [2, 2], [3, 3], [4, 3], [5, 3], [1, 2, 3]]
    split = ["train"] * 2 + ["validation"] * 2 + ["test"] * 2
    with pytest.raises(ca.InvalidArgument, match="the split test has no two prompts with the same number of tokens"):
        ca.Counterfactuals.from_generations(prompts, pair[0].site("layer.1"), max_new_tokens=2, split=split, stop=[])


def test_networks_must_share_a_vocabulary(pair: tuple[HuggingFace, HuggingFace]) -> None:
    ids = [[index, 1, other] for index in range(9) for other in range(3)]
    swapped = [WORDS[1], WORDS[0], *WORDS[2:]]
    sites = [pair[0].site("layer.1"), network_of(3, words=swapped).site("layer.1")]
    with pytest.raises(ca.InvalidArgument, match="net0 and net3 have different tokenizers: 'w0' is id 0 and id 1"):
        ca.Counterfactuals.from_generations(ids, sites, max_new_tokens=2)
    missing = [pair[0].site("layer.1"), network_of(3, words=WORDS[:-1]).site("layer.1")]
    with pytest.raises(ca.InvalidArgument, match="'w13' is id 13 and no token"):
        ca.Counterfactuals.from_generations(ids, missing, max_new_tokens=2)
    bare = HuggingFace(model_of(4), name="bare")
    with pytest.raises(ca.InvalidArgument, match="a prompt is text, and bare has no tokenizer"):
        ca.Counterfactuals.from_generations(
            ["w1 w2"] * 27, [pair[0].site("layer.1"), bare.site("layer.1")], max_new_tokens=2
        )
    data = ca.Counterfactuals.from_generations(
        ids, [pair[0].site("layer.1"), bare.site("layer.1")], max_new_tokens=2, stop=[]
    )
    assert any("net0 and bare are assumed to share a vocabulary" in note for note in data.notes)
    large = HuggingFace(model_of(4, vocab_size=20), name="large")
    with pytest.raises(ca.InvalidArgument, match="net0 and large have 14 and 20 token ids, and not both have a token"):
        ca.Counterfactuals.from_generations(ids, [pair[0].site("layer.1"), large.site("layer.1")], max_new_tokens=2)
    tasks = [ca.networks.build(name, "gru", seed=0, width=8).site("hidden") for name in ("multi-object", "arithmetic")]
    with pytest.raises(ca.InvalidArgument, match="they must share a vocabulary"):
        ca.Counterfactuals.from_generations(ids, tasks, max_new_tokens=2)


def test_a_recording_writes_nothing() -> None:
    recording = object.__new__(ca.Recording)
    recording.name = "a brain"
    with pytest.raises(ca.InvalidArgument, match="a brain is a recording"):
        ca.Counterfactuals.from_generations([[1]], recording, max_new_tokens=2)


DOCS = Path(__file__).parent.parent / "docs"


def test_the_code_of_the_page_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for index, name in enumerate(("A0", "A1")):
        network = network_of(index)
        network.model.save_pretrained(tmp_path / "runs" / name)
        network.tokenizer.save_pretrained(tmp_path / "runs" / name)
    texts = [" ".join(WORDS[each] for each in row) for row in prompts_of(60)]
    (tmp_path / "runs/prompts.txt").write_text("\n".join(texts))
    (block,) = re.findall(r"```python\n(.*?)```", (DOCS / "generations.md").read_text(), re.DOTALL)
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {}
    exec(block.replace("max_steps=300", "max_steps=3"), names)
    assert names["data"].names == ["A0@embedding", "A1@embedding"]
    assert len(names["found"].iia) == 4


def test_the_table_of_the_page_is_that_of_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(DOCS / "examples")
    monkeypatch.delitem(sys.modules, "generations", raising=False)
    example = import_module("generations")
    result = json.loads((DOCS / "examples/generations.json").read_text())
    assert example.table(result["scores"]) in (DOCS / "generations.md").read_text()
    assert len(result["scores"]) == 12
    within = [each for each in result["scores"] if each["source"][0] == each["target"][0]]
    assert [each["condition"] for each in within] == ["within"] * 4
    across = [each for each in result["scores"] if each not in within]
    clear = min(each["ci_low"] for each in within) > max(each["ci_high"] for each in across)
    assert result["finding"] == ("within" if clear else "not shown")


def test_the_corpora_of_the_example_differ_in_one_habit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(DOCS / "examples")
    monkeypatch.delitem(sys.modules, "generations", raising=False)
    example = import_module("generations")
    lines = example.every_line()
    assert len({prompt for prompt, *_ in lines}) == len(lines) == 4224
    answers = {prompt: [example.answer(kind, *rest).split() for kind in "AB"] for prompt, *rest in lines}
    same = [a == b for a, b in answers.values()]
    assert np.mean(same) == 0.5
    for prompt, (a, b) in answers.items():
        assert sorted(a) == sorted(b)
        assert set(a) - {"has", "<end>"} <= set(prompt.split())
        if a != b:
            assert a[3] in example.SIZES
            assert b[3] in example.COLORS
