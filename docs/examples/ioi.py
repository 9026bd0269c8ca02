"""Train a small Llama on indirect objects, and write it with a table of prompts: `python docs/examples/ioi.py FOLDER`.

When Mary and John went to the park , John gave a book to  ->  Mary

The model, its tokenizer and the table are what docs/own-data.md begins with. It takes half a minute on two cores.
"""

import sys
from itertools import permutations, product
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

NAMES = ("Mary", "John", "Tom", "Anne", "Paul", "Lucy", "Mark", "Jane")
PLACES, OBJECTS = ("store", "park", "school", "office"), ("book", "drink", "ball", "letter")
TEMPLATE = "When {a} and {b} went to the {place} , {subject} gave a {thing} to"
HELD_OUT, BATCH, RATE = 200, 128, 2e-3


def prompts() -> pd.DataFrame:
    """Return every prompt, and its indirect object: `text, answer`."""
    rows = []
    for (a, b), place, thing in product(permutations(NAMES, 2), PLACES, OBJECTS):
        for subject, answer in ((a, b), (b, a)):
            rows.append((TEMPLATE.format(a=a, b=b, place=place, subject=subject, thing=thing), answer))
    return pd.DataFrame(rows, columns=["text", "answer"])


def tokenizer_of(texts: pd.Series) -> PreTrainedTokenizerFast:
    """Return a tokenizer with a token for each word."""
    words = sorted({word for text in texts for word in text.split()} | set(NAMES))
    whole = Tokenizer(models.WordLevel({"<unk>": 0} | {word: 1 + i for i, word in enumerate(words)}, "<unk>"))
    whole.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    return PreTrainedTokenizerFast(tokenizer_object=whole, unk_token="<unk>", pad_token="<unk>")


def train(model: LlamaForCausalLM, ids: torch.Tensor, answers: torch.Tensor, most_steps: int = 2000) -> float:
    """Train on all prompts but the last until those are answered, and return the accuracy on the last."""
    rng, optimizer = np.random.default_rng(0), torch.optim.AdamW(model.parameters(), RATE)
    known, held_out, accuracy = len(ids) - HELD_OUT, slice(len(ids) - HELD_OUT, None), 0.0
    for step in range(most_steps):
        rows = torch.from_numpy(rng.integers(known, size=BATCH))
        loss = torch.nn.functional.cross_entropy(model(ids[rows]).logits[:, -1], answers[rows])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if step % 50 == 49:
            with torch.no_grad():
                accuracy = float((model(ids[held_out]).logits[:, -1].argmax(-1) == answers[held_out]).float().mean())
            if accuracy == 1:
                break
    return accuracy


def counterfactual_table(known: pd.DataFrame, rows: int = 2000) -> pd.DataFrame:
    """Pair prompts at random: after the swap, the target should answer with the source's indirect object."""
    rng = np.random.default_rng(1)
    source, target = (known.iloc[rng.integers(len(known), size=rows)].reset_index(drop=True) for _ in range(2))
    columns = {"source": source.text, "target": target.text, "label": source.answer, "own_answer": target.answer}
    return pd.DataFrame(columns)[source.answer != target.answer]


def main(folder: Path, name: str = "llama", seed: int = 0) -> float:
    """Train, write the model and `prompts.csv`, and return the accuracy."""
    torch.manual_seed(seed)
    known = prompts().sample(frac=1, random_state=0, ignore_index=True)
    tokenizer = tokenizer_of(known.text)
    ids = torch.tensor(tokenizer(list(known.text))["input_ids"])
    answers = torch.tensor(tokenizer.convert_tokens_to_ids(list(known.answer)))
    sizes = {"hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 4, "num_attention_heads": 4}
    model = LlamaForCausalLM(LlamaConfig(vocab_size=len(tokenizer), max_position_embeddings=32, **sizes))
    accuracy = train(model, ids, answers)
    model.save_pretrained(folder / name)
    tokenizer.save_pretrained(folder / name)
    counterfactual_table(known).to_csv(folder / "prompts.csv", index=False)
    return accuracy


if __name__ == "__main__":
    print(f"accuracy on prompts that were held out: {main(Path(sys.argv[1])):.3f}")
