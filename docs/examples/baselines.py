"""Compare what a swap may consist of, at one layer of the small Llama of ioi.py: `python docs/examples/baselines.py`.

The rows are those of the Mechanistic Interpretability Benchmark (Mueller et al., 2025): the full vector, DAS, and masks
over units, principal components and an autoencoder's features. Boundless DAS is added. It takes a few minutes.
"""

import json
import tempfile
from pathlib import Path
from typing import Any

import ioi
import pandas as pd
import torch
from page_part import write_part
from transformers import AutoModelForCausalLM, AutoTokenizer

import causalign as ca

FILE, PAGE = Path(__file__).with_name("baselines.json"), Path(__file__).parent.parent / "baselines.md"
BEGIN, END = "<!-- written by docs/examples/baselines.py -->\n", "<!-- end -->"
LAYER, FEATURES = 2, 256
SEARCH = ca.SearchConfig(max_steps=200, batch_size=128)


def states(folder: Path, texts: list[str]) -> torch.Tensor:
    """Return the states of the last word after the layer, `[texts, width]`."""
    model, tokenizer = (kind.from_pretrained(folder) for kind in (AutoModelForCausalLM, AutoTokenizer))
    with torch.no_grad():
        found = model(torch.tensor(tokenizer(texts)["input_ids"]), output_hidden_states=True)
    return found.hidden_states[LAYER][:, -1].float()


def autoencoder(inputs: torch.Tensor, sparsity: float = 0.05, steps: int = 2000) -> tuple[ca.Features, float]:
    """Train a sparse autoencoder on states, and return its features and the share of variance that it explains."""
    rng = torch.Generator().manual_seed(0)
    mean, size = inputs.mean(0), inputs.std()
    scaled = (inputs - mean) / size
    decoder = torch.nn.functional.normalize(torch.randn(FEATURES, scaled.shape[1], generator=rng), dim=1)
    parameters = [decoder.T.clone(), torch.zeros(FEATURES), decoder.clone(), torch.zeros(scaled.shape[1])]
    encoder, bias, decoder, offset = (each.requires_grad_() for each in parameters)
    optimizer = torch.optim.Adam([encoder, bias, decoder, offset], 2e-3)
    for _ in range(steps):
        batch = scaled[torch.randint(len(scaled), (256,), generator=rng)]
        directions = torch.nn.functional.normalize(decoder, dim=1)
        found = (batch @ encoder + bias).relu()
        error = (found @ directions + offset - batch).square().sum(1)
        optimizer.zero_grad()
        (error + sparsity * found.sum(1)).mean().backward()
        optimizer.step()
    with torch.no_grad():
        directions = torch.nn.functional.normalize(decoder, dim=1)
        rebuilt = (scaled @ encoder + bias).relu() @ directions + offset
        explained = 1 - float((rebuilt - scaled).square().sum() / (scaled - scaled.mean(0)).square().sum())
        weight = encoder.detach() / size  # of states as they are: the mean and the size belong to the encoder
        return ca.Features(weight, size * directions, bias.detach() - mean @ weight), explained


def methods(features: ca.Features) -> dict[str, dict[str, Any]]:
    """Return the configuration of each row."""
    return {
        "full vector": {"method": "das", "rank": 64, "start": "random", "search": {"max_steps": 0}},
        "DBM": {"method": "dbm"},
        "DBM + PCA": {"method": "dbm-pca"},
        "DBM + SAE": {"method": ca.DBM(features)},
        "DAS, rank 16": {"method": "das", "rank": 16},
        "boundless DAS": {"method": "das", "rank": ca.BoundaryRank()},
    }


def main(folder: Path) -> dict[str, Any]:
    """Train the models, align by each method, and return the rows and what the autoencoder explains."""
    ioi.main(folder)
    frame = pd.read_csv(folder / "prompts.csv")
    site = ca.networks.from_pretrained(folder / "llama").site(f"layer.{LAYER}")
    data = ca.Counterfactuals.from_table(frame, site, no_swap_label="own_answer")
    features, explained = autoencoder(states(folder / "llama", list(ioi.prompts().text)))
    rows = []
    for name, chosen in methods(features).items():
        found = ca.align(data, controls=True, seed=0, **({"search": SEARCH} | chosen))
        score = found.iia.iloc[0]
        rows.append(
            {
                "method": name,
                "swapped": found.record.extent,
                "size": found.record.rank,
                **{column: float(score[column]) for column in ("iia", "ci_low", "ci_high", "no_swap")},
                "random": found.worst_controls["random"],
                "seconds": round(found.record.seconds.search, 1),
            }
        )
        print(f"{name}: {found}", flush=True)
    return {"layer": LAYER, "explained": explained, "rows": rows}


def table(rows: list[dict[str, Any]]) -> str:
    """Return the rows as a table of Markdown."""
    lines = ["| method | swapped | IIA | 95 % interval | no swap | random |", "| --- | --- | --- | --- | --- | --- |"]
    for row in rows:
        interval = f"{row['ci_low']:.3f} to {row['ci_high']:.3f}"
        numbers = f"{row['iia']:.3f} | {interval} | {row['no_swap']:.3f} | {row['random']:.3f}"
        lines.append(f"| {row['method']} | {row['swapped']} | {numbers} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as temporary:
        result = main(Path(temporary))
    print(table(result["rows"]), f"variance explained by the autoencoder: {result['explained']:.3f}")
    FILE.write_text(json.dumps(result, indent=2) + "\n")
    if PAGE.exists():
        write_part(PAGE, (BEGIN, END), table(result["rows"]))
