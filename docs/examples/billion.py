"""Measure the memory of own data at a language model of a billion parameters: `python docs/examples/billion.py`.

The model has the shape of a Llama of 1.1 billion parameters and random weights in bfloat16. Two layers below its top,
10,000 rows of own ids are aligned for two steps, with 0.25 GiB for tables. Inputs are one token, to save time. The peak
of the process is written into docs/performance.md beside its bound, which `ca.estimate` gives before the run. It takes
some minutes on two cores and 4 GiB of memory.
"""

import time
import warnings
from pathlib import Path

import numpy as np
import torch
from page_part import write_part
from transformers import LlamaConfig, LlamaForCausalLM

import causalign as ca
from causalign.memory import GIB, most_held

PAGE = Path(__file__).parent.parent / "performance.md"
BEGIN, END = "<!-- written by docs/examples/billion.py -->\n", "<!-- end of the billion -->"
ROWS, TOKENS, IDS, BUDGET = 10_000, 1, 32_000, 0.25
SHAPE = {
    "hidden_size": 2048,
    "intermediate_size": 5632,
    "num_hidden_layers": 22,
    "num_attention_heads": 32,
    "num_key_value_heads": 4,
    "vocab_size": IDS,
}


def model() -> LlamaForCausalLM:
    """Return the model, made in bfloat16 so that no copy in single precision is held."""
    torch.set_default_dtype(torch.bfloat16)
    try:
        return LlamaForCausalLM(LlamaConfig(**SHAPE)).eval()
    finally:
        torch.set_default_dtype(torch.float32)


def main() -> None:
    """Write the bound and the peak into the page."""
    rng = np.random.default_rng(0)
    site = ca.Site(model(), "layer.20")
    source, target = (rng.integers(IDS, size=(ROWS, TOKENS)) for _ in range(2))
    label = rng.integers(IDS, size=(ROWS, 1))
    data = ca.Counterfactuals.from_arrays(site, source_inputs=source, target_inputs=target, labels=label, memory=BUDGET)
    search = ca.SearchConfig(max_steps=2, eval_every=1, batch_size=32, initial_batch_size=32)
    warnings.simplefilter("ignore", ca.SearchWarning)  # there is nothing to find in random weights
    expected = ca.estimate(data, method="das", rank=8, search=search)
    began = time.perf_counter()
    ca.align(data, method="das", rank=8, search=search)
    minutes, peak = (time.perf_counter() - began) / 60, most_held() / GIB
    tables = min(expected.tables, BUDGET)
    line = (
        f"Own data of {ROWS:,} rows at `layer.20` of a Llama of 1.1 billion parameters took {peak:.2f} GiB at peak and "
        f"{minutes:.0f} minutes.\n"
        f"The bound was {expected.peak:.2f}: {expected.process:.2f} for the model and libraries, {tables:.2f} for "
        f"tables, and {expected.working:.2f} for the start,\nwhose class means are as many as the different labels.\n"
    )
    write_part(PAGE, (BEGIN, END), line)
    print(line)


if __name__ == "__main__":
    main()
