"""Compare four language models by what they write themselves: `python docs/examples/generations.py`.

there is a red small ball . it belongs to Mary .  ->  Mary has a small red ball . <end>

Two small Llamas (A0, A1) are trained from two seeds on corpus A, and two (B0, B1) on corpus B. The corpora differ in
one habit: where a thing has a size and a color, the answer names the size first in A, and the color first in B. The
prompts are the same: they name the two in either order, and half of the things have one adjective only, so that about
half of the answers are the same in both corpora. The corpora share their lines; the prompts are of other lines.

No causal model is given. Stepwise MAS (`mas-stepwise`, token embeddings, rank 32 of 64) is asked to make the target
write what the source network writes after its prompt, for every pair of networks. Six pairs: two within a condition
(A0 x A1, B0 x B1), and four across conditions.

The rule, fixed before the run: the finding is `within` if, over the directions between different networks, the lowest
lower end of a 95 % interval within a condition is above the highest upper end across conditions. Otherwise it is `not
shown`. The lines, the sizes, the site, the rank and the steps were chosen on A0 x A1 of other seeds (10 and 11), before
any pair across conditions was scored. On these, layer 1 of 2 gave at most 0.07 at ranks 32 and 48: what the target
writes is read together with its own prompt below a swap there.

`no_swap` is how often the target writes the source's text by itself. `untrained` is the score of the same search with
the first network of the pair untrained, and the recorded texts as they are. `same_text` is the share of prompts after
which both networks write the same: a target that keeps its own habit writes the source's text in no more of the rows.
"""

import json
import subprocess
import time
from datetime import UTC, datetime
from itertools import combinations, product
from pathlib import Path
from typing import Any

import numpy as np
import torch
from page_part import write_part
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

import causalign as ca

NAMES = ("Mary", "John", "Tom", "Anne", "Paul", "Lucy", "Mark", "Jane", "Emma", "Hugo", "Ruth", "Karl")
THINGS = ("ball", "book", "cup", "hat", "bag", "pen", "box", "key", "lamp", "ring", "drum", "coin", "bell", "fork")
THINGS += ("vase", "kite")
SIZES, COLORS = ("small", "big", "tiny", "huge", "wide"), ("red", "blue", "green", "black", "white", "pink")
WORDS = ("<unk>", "<end>", "there", "is", "a", ".", "it", "belongs", "to", "has", *NAMES, *THINGS, *SIZES, *COLORS)
ORDERS = {"A": (0, 1), "B": (1, 0)}
LINES, HELD_OUT, BATCH, RATE = 2000, 200, 64, 3e-3
SEEDS, SITE, RANK = (0, 1), "embedding", 32
SEARCH = ca.SearchConfig(max_steps=300, batch_size=64, eval_every=50)
RESULT, PAGE = Path(__file__).with_suffix(".json"), Path(__file__).parent.parent / "generations.md"
BEGIN, END = "<!-- written by docs/examples/generations.py -->\n", "<!-- end -->"
COLUMNS = ["source", "target", "condition", "iia", "ci_low", "ci_high", "no_swap", "untrained", "same_text"]
Line = tuple[str, str, tuple[str, ...], str]
"""A prompt, and what its answer is made of: the name, the adjectives (size before color), and the thing."""


def every_line() -> list[Line]:
    """Return the lines in a random order, which is the same for all networks. Half of them have one adjective."""
    rng, lines = np.random.default_rng(0), list[Line]()
    pairs = [each for size, color in product(SIZES, COLORS) for each in ((size, color), (color, size))]
    for name, thing in product(NAMES, THINGS):
        two = [pairs[place] for place in rng.choice(len(pairs), len(SIZES + COLORS), replace=False)]
        for shown in (*((each,) for each in (*SIZES, *COLORS)), *two):
            adjectives = tuple(sorted(shown, key=(*SIZES, *COLORS).index))
            lines.append((f"there is a {' '.join(shown)} {thing} . it belongs to {name} .", name, adjectives, thing))
    return [lines[place] for place in rng.permutation(len(lines))]


def answer(condition: str, name: str, adjectives: tuple[str, ...], thing: str) -> str:
    """Return the answer in the habit of a corpus."""
    ordered = [adjectives[place] for place in ORDERS[condition]] if len(adjectives) == 2 else adjectives
    return f"{name} has a {' '.join(ordered)} {thing} . <end>"


def tokenizer_of() -> PreTrainedTokenizerFast:
    """Return a tokenizer with a token for each word."""
    whole = Tokenizer(models.WordLevel({word: index for index, word in enumerate(WORDS)}, "<unk>"))
    whole.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    return PreTrainedTokenizerFast(tokenizer_object=whole, unk_token="<unk>", eos_token="<end>")


def encode(tokenizer: Any, lines: list[Line], condition: str) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the ids of prompts and answers, padded, and the labels: only answers are learned."""
    prompts = tokenizer([prompt for prompt, *_ in lines])["input_ids"]
    answers = tokenizer([answer(condition, *rest) for _, *rest in lines])["input_ids"]
    longest = max(len(a) + len(b) for a, b in zip(prompts, answers, strict=True))
    ids, labels = torch.zeros(len(lines), longest, dtype=torch.long), torch.full((len(lines), longest), -100)
    for row, (before, after) in enumerate(zip(prompts, answers, strict=True)):
        whole = torch.tensor(before + after)
        ids[row, : len(whole)] = whole
        labels[row, len(before) : len(whole)] = whole[len(before) :]
    return ids, labels


def train(condition: str, seed: int, lines: list[Line], most_steps: int = 2000) -> ca.networks.HuggingFace:
    """Train a Llama on lines until it answers those that are held out, and return it as a network."""
    tokenizer, rng = tokenizer_of(), np.random.default_rng([seed, ord(condition)])
    ids, labels = encode(tokenizer, lines, condition)
    torch.manual_seed(1000 * seed + ord(condition))
    sizes = {"hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2, "num_attention_heads": 4}
    ends = {"bos_token_id": None, "eos_token_id": WORDS.index("<end>"), "pad_token_id": None}
    model = LlamaForCausalLM(LlamaConfig(vocab_size=len(WORDS), max_position_embeddings=40, **sizes, **ends))
    optimizer, known, accuracy = torch.optim.AdamW(model.parameters(), RATE), len(lines) - HELD_OUT, 0.0
    for step in range(most_steps):
        rows = torch.from_numpy(rng.integers(known, size=BATCH))
        optimizer.zero_grad()
        model(ids[rows], labels=labels[rows]).loss.backward()
        optimizer.step()
        if step % 50 == 49:
            with torch.no_grad():
                predicted = model(ids[known:]).logits[:, :-1].argmax(-1)
            scored = labels[known:, 1:]
            accuracy = float(((predicted == scored) | (scored == -100)).all(1).float().mean())
            if accuracy == 1:
                break
    network = ca.networks.HuggingFace(model.eval(), name=f"{condition}{seed}")
    network.tokenizer = tokenizer
    print(f"{network.name}: {accuracy:.3f} of the held-out lines after {step + 1} steps", flush=True)
    return network


def compare(networks: list[ca.networks.HuggingFace], prompts: list[str]) -> list[dict[str, Any]]:
    """Align a pair of networks on what they write, and return a line for each direction between the two."""
    sites = [network.site(SITE) for network in networks]
    data = ca.Counterfactuals.from_generations(
        prompts, sites, max_new_tokens=8, pairs=2, split=(0.75, 0.05, 0.2), memory=2
    )
    found = ca.align(data, method="mas-stepwise", rank=RANK, seed=0, search=SEARCH, controls=True)
    controls = found.controls  # its directions are in the order of found.iia, the first network under another name
    scores = found.iia.assign(untrained=controls.loc[controls["control"] == "untrained", "iia"].to_list())
    scores = scores[scores["source"] != scores["target"]]
    texts = [list(each) for _, each in data.generations.groupby("site", sort=False)["text"]]
    same_text = float(np.mean([a == b for a, b in zip(*texts, strict=True)]))
    within = networks[0].name[0] == networks[1].name[0]
    scores = scores.assign(condition="within" if within else "across", same_text=same_text)
    return scores[[*COLUMNS, "rows"]].to_dict("records")


def verdict(lines: list[dict[str, Any]]) -> dict[str, Any]:
    """Apply the rule of the docstring."""
    lowest = min(each["ci_low"] for each in lines if each["condition"] == "within")
    highest = max(each["ci_high"] for each in lines if each["condition"] == "across")
    return {
        "lowest_within": lowest,
        "highest_across": highest,
        "finding": "within" if lowest > highest else "not shown",
    }


def table(lines: list[dict[str, Any]]) -> str:
    """Return the lines as a table in Markdown."""
    rows = [" | ".join(f"{each[c]:.3f}" if isinstance(each[c], float) else each[c] for c in COLUMNS) for each in lines]
    return "\n".join(f"| {row} |" for row in (" | ".join(COLUMNS), " | ".join(["---"] * len(COLUMNS)), *rows))


def main() -> None:
    """Train, compare all pairs, print the table and the finding, and write them beside this file and in the page."""
    begin, lines = time.perf_counter(), every_line()
    networks = [train(condition, seed, lines[:LINES]) for condition in ORDERS for seed in SEEDS]
    prompts = [prompt for prompt, *_ in lines[LINES:]]
    scores = [each for pair in combinations(networks, 2) for each in compare(list(pair), prompts)]
    found = verdict(scores)
    commit = subprocess.run(
        ["git", "rev-parse", "HEAD"], cwd=RESULT.parent, capture_output=True, text=True, check=False
    )
    about = {"date": datetime.now(UTC).date().isoformat(), "commit": commit.stdout.strip() or None}
    about |= {"version": ca.__version__, "seconds": round(time.perf_counter() - begin)}
    RESULT.write_text(json.dumps({**about, **found, "scores": scores}, indent=2) + "\n")
    write_part(PAGE, (BEGIN, END), table(scores) + "\n")
    print(table(scores), found, about, sep="\n")


if __name__ == "__main__":
    main()
