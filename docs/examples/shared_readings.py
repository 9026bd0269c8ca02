"""The time to read 13 sites of a 12-layer model, each for itself and through one cache: `ca.SharedReadings`."""

import tempfile
from time import perf_counter

import numpy as np
import torch
from transformers import LlamaConfig, LlamaForCausalLM

import causalign as ca
from causalign.readings.request import ReadingRequest
from causalign.run_context import RunContext

ROWS, TIME, WIDTH = 512, 24, 256


def model() -> LlamaForCausalLM:
    """Return a model of 12 layers with random weights."""
    torch.manual_seed(0)
    sizes = {"hidden_size": WIDTH, "intermediate_size": 3 * WIDTH, "num_hidden_layers": 12, "num_attention_heads": 8}
    return LlamaForCausalLM(LlamaConfig(vocab_size=1000, **sizes)).eval()


def seconds(sites: list[ca.Site], context: RunContext) -> float:
    """Return the time to read the states before the last token, and the prefixes, of every site."""
    ids = torch.randint(1, 1000, (ROWS, TIME), generator=torch.Generator().manual_seed(0))
    whole, kept = np.ones((ROWS, TIME), dtype=bool), np.zeros((ROWS, TIME), dtype=bool)
    kept[:, -2] = True
    request = ReadingRequest(lambda chunk, time: ids[torch.from_numpy(chunk), :time], whole, kept)
    begun = perf_counter()
    for site in sites:
        context.read(site, request)
    return perf_counter() - begun


def main() -> None:
    """Print the seconds of each way, and the size of the cache."""
    network = model()
    sites = [ca.Site(network, "layer.0"), *(ca.Site(network, f"layer.{n}") for n in range(1, 13))]
    seconds(sites[-1:], RunContext())
    print(f"{ROWS} inputs of {TIME} tokens, {len(sites)} sites of width {WIDTH}, keys and values of 12 layers")
    print(f"each site for itself: {seconds(sites, RunContext()):6.2f} s")
    with tempfile.TemporaryDirectory() as folder:
        readings = ca.SharedReadings(folder, sites)
        print(f"one cache, filled:    {seconds(sites, RunContext(readings=readings)):6.2f} s")
        again = ca.SharedReadings(folder, sites)
        print(f"one cache, read:      {seconds(sites, RunContext(readings=again)):6.2f} s")
        print(repr(readings))


if __name__ == "__main__":
    main()
