"""Measure the memory of own data at a language model of a billion parameters: `python docs/examples/billion.py`.

The model has the shape of a Llama of 1.1 billion parameters and random weights in bfloat16. Two layers below its top,
10,000 rows of own ids are aligned for two steps, with 0.25 GiB for tables. Inputs are one token, to save time. The peak
of the process is printed beside its bound, which `ca.estimate` gives before the run. It takes half an hour on two
cores and 4 GiB of memory.
"""

import time
import warnings

import numpy as np
import torch
from transformers import LlamaConfig, LlamaForCausalLM

import causalign as ca
from causalign.memory import GIB, most_held

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
    """Print the bound and the peak."""
    rng = np.random.default_rng(0)
    site = ca.Site(model(), "layer.20")
    source, target = (rng.integers(IDS, size=(ROWS, TOKENS)) for _ in range(2))
    label = rng.integers(IDS, size=(ROWS, 1))
    data = ca.Counterfactuals.from_arrays(site, source_inputs=source, target_inputs=target, labels=label, memory=BUDGET)
    search = ca.SearchConfig(max_steps=2, eval_every=1, batch_size=32, initial_batch_size=32)
    warnings.simplefilter("ignore", ca.SearchWarning)  # there is nothing to find in random weights
    expected = ca.estimate(data, method="das", rank=8, search=search)
    print(
        f"bound {expected.peak:.2f} GiB: {expected.process:.2f} the model and libraries, "
        f"{min(expected.tables, BUDGET):.2f} of {expected.tables:.2f} tables, {expected.working:.2f} a step",
        flush=True,
    )
    began = time.perf_counter()
    ca.align(data, method="das", rank=8, search=search)
    print(f"peak {most_held() / GIB:.2f} GiB, {ROWS:,} rows, {(time.perf_counter() - began) / 60:.0f} minutes")


if __name__ == "__main__":
    main()
