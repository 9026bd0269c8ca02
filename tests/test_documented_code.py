"""Every block of Python in the pages runs, on small networks and data, with small searches.

Pages speak of networks and data that a reader has. Here each page is given some of these names, and the paths of files
that are there.
"""

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
import transformers
from tokenizers import Tokenizer, models, pre_tokenizers
from torch import nn

import causalign as ca
from brains import empty_nwb, save
from test_docs import EXECUTED

pytestmark = pytest.mark.filterwarnings("ignore::causalign.errors.SearchWarning")  # untrained networks are not aligned

ROOT = Path(__file__).parent.parent
WORDS = ("stop", "seed", "nut", "a", "prompt", "another", "yes", "no")
FEW: dict[str, Any] = {"search": ca.SearchConfig(max_steps=2, batch_size=8)}
FROM_TASKS: dict[str, Any] = {"n_train": 24, "n_validation": 12, "n_test": 12}
LAYERS = {"layer.12": "layer.1", "layers.11": "layers.0", "path/or/name": "a", "path/to/a/model": "a"}


def language_model(folder: Path) -> Any:
    """Write a small Llama with a word for each token."""
    torch.manual_seed(0)
    sizes: dict[str, Any] = {"hidden_size": 8, "intermediate_size": 8, "num_hidden_layers": 2}
    sizes |= {"num_attention_heads": 2, "vocab_size": 1 + len(WORDS), "max_position_embeddings": 64}
    whole = Tokenizer(models.WordLevel({"<unk>": 0} | {word: 1 + i for i, word in enumerate(WORDS)}, "<unk>"))
    whole.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    made = transformers.LlamaForCausalLM(transformers.LlamaConfig(**sizes)).eval()
    made.save_pretrained(folder)
    fast = transformers.PreTrainedTokenizerFast
    fast(tokenizer_object=whole, unk_token="<unk>", pad_token="<unk>").save_pretrained(folder)
    return made


def prompts() -> pd.DataFrame:
    """A table of pairs of prompts."""
    rng = np.random.default_rng(0)
    columns = {name: [" ".join(rng.choice(WORDS[:6], 3)) for _ in range(80)] for name in ("source", "target")}
    return pd.DataFrame(columns | {"label": rng.choice(WORDS[6:], 80)})


def session(path: Path) -> None:
    """Write a recording of spikes, whose trials have the variables in every bin from a cue on."""
    rng, file = np.random.default_rng(0), empty_nwb()
    file.add_trial_column(name="go_cue", description="the time of the cue")
    for name in ("phase", "count"):
        file.add_trial_column(name=name, description=name, index=True)
    for trial in range(60):
        values = {"phase": [0.0] * 40, "count": [1.0 + trial % 3] * 40}
        file.add_trial(start_time=2.0 * trial, stop_time=2.0 * trial + 1.5, go_cue=2.0 * trial + 0.5, **values)
    for _ in range(20):
        file.add_unit(spike_times=np.sort(rng.uniform(0, 120, 2000)))
    save(file, path)


def gru_pair() -> dict[str, Any]:
    a, b = (ca.networks.build("multi-object", "gru", seed=seed, width=6) for seed in (0, 1))
    return {"a": a, "b": b}


def alignments() -> dict[str, Any]:
    """Three networks, and the alignments of two pairs of them."""
    sites = [ca.networks.build("multi-object", "gru", seed=seed, width=6).site("hidden") for seed in range(3)]
    a_b, a_c = (ca.align([sites[0], other], rank=2, **FEW, **FROM_TASKS) for other in sites[1:])
    scores, pairs = [0.9, 0.8, 0.9], [("a", "b"), ("a", "c"), ("b", "c")]
    shared = {"scores": scores, "pairs": pairs, "other_scores": scores, "other_pairs": pairs}
    return {"a_b": a_b, "a_c": a_c, "sites": sites[:2]} | shared


def own_data() -> dict[str, Any]:
    """A language model's dataset, other rows of it, and an autoencoder of its states."""
    made = language_model(Path("a"))
    site = ca.Site(made, "model.layers.0", tokenizer=transformers.AutoTokenizer.from_pretrained("a"))
    other = ca.Counterfactuals.from_table(prompts()[::-1], site)
    second = ca.Site(made, "model.layers.1", tokenizer=site.network.tokenizer)
    encoder, decoder = torch.randn(8, 16), torch.randn(16, 8)
    return {
        "frame": prompts(),
        "data": ca.Counterfactuals.from_table(prompts(), site),
        "other": other,
        "pair": ca.Counterfactuals.from_table(prompts(), [site, second]),
        "width": 8,
        "encoder": encoder,
        "decoder": decoder,
        "bias": torch.zeros(16),
    }


def modules() -> dict[str, Any]:
    """Modules that read images, several inputs, and text."""

    class Two(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.left, self.right, self.trunk, self.head = (nn.Linear(4, 4) for _ in range(4))

        def forward(self, left: torch.Tensor, right: torch.Tensor) -> torch.Tensor:
            return torch.as_tensor(self.head(torch.tanh(self.trunk(self.left(left) + self.right(right)))))

    cnn = nn.Sequential()
    cnn.conv = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Conv2d(4, 4, 3))
    cnn.head = nn.Sequential(nn.Flatten(), nn.Linear(64, 4))
    sizes: dict[str, Any] = {"hidden_size": 8, "intermediate_size": 8, "num_hidden_layers": 2, "num_attention_heads": 2}
    config = transformers.BertConfig(**sizes, vocab_size=20, num_labels=3)
    sequences = [[3, 4, 5], [3, 6], [7, 5, 4, 3], [4, 4]] * 20
    return {
        "cnn": cnn.eval(),
        "images": torch.randn(8, 1, 8, 8),
        "net": Two().eval(),
        "x": torch.randn(3, 4),
        "y": torch.randn(3, 4),
        "bert": transformers.BertForSequenceClassification(config).eval(),
        "sources": sequences,
        "targets": sequences[::-1],
        "classes": [0, 1, 2, 0] * 20,
    }


def readme() -> dict[str, Any]:
    """What the README names: a network, a table of prompts, language models and a recording."""
    language_model(Path("a"))
    language_model(Path("b"))
    prompts().to_csv("prompts.csv", index=False)
    session(Path("session.nwb"))
    return gru_pair() | {"frame": prompts()}


def swept() -> dict[str, Any]:
    """Language models and a table for references, networks with their places, and a dataset."""
    prompts().to_csv("prompts.csv", index=False)
    language_model(Path("b"))
    a, b = (ca.networks.build("multi-object", "gru", seed=seed, width=6) for seed in (0, 1))
    return own_data() | {"a": a, "b": b, "places": ["hidden", "embedding"]}


PAGES: Mapping[str, tuple[Callable[[], dict[str, Any]], Mapping[str, str]]] = {
    "README.md": (readme, LAYERS | {'"a prompt", "another"': '"a prompt", "nut nut"'}),
    "baselines.md": (own_data, {"rank=16": "rank=4"}),
    "interruption.md": (alignments, {"rank=16": "rank=2"}),
    "language-models.md": (own_data, LAYERS),
    "other-modules.md": (modules, {"rank=16": "rank=4"}),
    "quickstart.md": (dict, {"rank=16": "rank=4"}),
    "reproduction.md": (dict, {'if __name__ == "__main__":': "if False:"}),
    "results.md": (dict, {"ca.zoo.entries()": "ca.zoo.entries()[-2:]", "rank=16": "rank=4"}),
    "statistics.md": (alignments, {}),
    "sweeps.md": (swept, {}),
    "validation.md": (
        own_data,
        {"data, rank=8, controls=True": "pair, rank=4, controls=True, search={'max_steps': 0}"},
    ),
    "which-method.md": (gru_pair, {"controls=True": "controls=True, rank=2, search={'max_steps': 0}"}),
}
"""The names that a page is given, and what is replaced in its code: paths, and sizes of small networks."""


def blocks(page: str) -> list[str]:
    folder = ROOT if page == "README.md" else ROOT / "docs"
    return re.findall(r"^```python\n(.*?)^```", (folder / page).read_text(), re.DOTALL | re.MULTILINE)


def with_small_searches(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let alignments and sweeps take one step, and draw few rows of tasks."""
    align, sweep = ca.align, ca.sweep

    def sizes(data: Any) -> dict[str, Any]:
        return FEW if isinstance(data, ca.Counterfactuals) else FEW | FROM_TASKS

    def small_align(data: Any, **more: Any) -> Any:
        return align(data, **(sizes(data) | more))

    def small_sweep(base: Any, *rest: Any, **more: Any) -> Any:
        return sweep(base, *rest, **(sizes(base) | {"workers": 1} | more))

    monkeypatch.setattr(ca, "align", small_align, raising=False)
    monkeypatch.setattr(ca, "sweep", small_sweep, raising=False)


@pytest.mark.parametrize("page", PAGES)
def test_the_code_of_a_page_runs(page: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    make, replaced = PAGES[page]
    names: dict[str, Any] = {"ca": ca} | make()
    with_small_searches(monkeypatch)
    assert blocks(page)
    whole = "\n".join(blocks(page))
    assert not [before for before in replaced if before not in whole and before not in LAYERS]
    for block in blocks(page):
        for before, after in replaced.items():
            block = block.replace(before, after)
        exec(compile(block, page, "exec"), names)


def test_no_page_has_code_that_is_not_run() -> None:
    written = {path.name for path in (ROOT / "README.md", *(ROOT / "docs").glob("*.md")) if blocks(path.name)}
    assert written <= {*PAGES, *EXECUTED}
