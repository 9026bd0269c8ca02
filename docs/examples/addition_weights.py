"""Train the small Llamas that add two numbers of two digits: `python docs/examples/addition_weights.py`.

They read `ab+cd=` and write the sum digit by digit, the units first. Each is trained on nine tenths of all sums
and, at the same time, by interchange interventions (Geiger et al., 2022): where the first coordinates of its residual
stream at the units digit of the sum are those of another sum, the tens digit must be that with the other's carry. So
the place of the carry is known. Sums that were held out must all be right. The weights go into one file of the package,
in half precision. It takes some minutes on one thread.
"""

from typing import Any

import numpy as np
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from causalign.validation.problems.addition import CARRIERS, FILE, READ, SEEDS, carry, language_model, sums

HELD_OUT, BATCH, RATE, STEPS, WARMUP = 1000, 128, 3e-3, 1_200, 50


def accuracy(model: Any, ids: Tensor) -> float:
    """Return the share of sums of which every digit is right."""
    with torch.no_grad():
        digits = model(ids[:, :-1]).logits[:, -3:].argmax(-1)
    return float((digits == ids[:, -3:]).all(dim=1).float().mean())


def loss_of_swap(model: Any, source: Tensor, target: Tensor, labels: Tensor) -> Tensor:
    """Return the loss of the tens digit where the carriers at the last token of the target are those of the source."""
    states: list[Tensor] = []

    def keep(_: nn.Module, __: Any, output: Tensor) -> None:
        states.append(output[:, -1, :CARRIERS])

    def swap(_: nn.Module, __: Any, output: Tensor) -> Tensor:
        last = torch.cat([states[0], output[:, -1, CARRIERS:]], dim=1)
        return torch.cat([output[:, :-1], last[:, None]], dim=1)

    for ids, hook in ((source, keep), (target, swap)):
        handle = model.model.layers[0].register_forward_hook(hook)
        logits = model(ids).logits[:, -1]
        handle.remove()
    return nn.functional.cross_entropy(logits, labels)


def train(seed: int) -> Any:
    """Train on all sums but those that are held out, and return the model in half precision's values.

    Raises:
        RuntimeError: A sum that was held out is wrong in the end.
    """
    model, rng = language_model(seed).train(), np.random.default_rng(seed)
    pairs = rng.permutation(10_000)
    ids, carries = torch.from_numpy(sums(pairs)), torch.from_numpy(carry(pairs))
    optimizer = torch.optim.AdamW(model.parameters(), RATE, weight_decay=0.1)
    for step in range(STEPS):
        for group in optimizer.param_groups:
            group["lr"] = RATE * min(1, (step + 1) / WARMUP) * (1 - step / STEPS)
        rows, others = torch.from_numpy(rng.integers(HELD_OUT, len(ids), (2, BATCH)))
        logits = model(ids[rows, :-1]).logits[:, -3:]
        plain = nn.functional.cross_entropy(logits.flatten(0, 1), ids[rows, -3:].flatten())
        labels = (ids[rows, READ] + carries[others] - carries[rows]) % 10
        swapped = loss_of_swap(model, ids[others, :READ], ids[rows, :READ], labels)
        optimizer.zero_grad()
        (plain + swapped).backward()
        optimizer.step()
        if step % 300 == 299:
            right = accuracy(model, ids[:HELD_OUT])
            print(f"seed {seed}, step {step + 1}: {plain.item():.4f}, {swapped.item():.4f}, {right:.3f}", flush=True)
    halved = model.eval().half().float()
    if accuracy(halved, ids[:HELD_OUT]) < 1:
        raise RuntimeError(f"seed {seed}: a sum that was held out is wrong")
    print(f"seed {seed}: all sums right: {accuracy(halved, ids):.4f}")
    return halved


def main() -> None:
    """Train all seeds, and write the file."""
    torch.set_num_threads(1)
    weights = {}
    for seed in SEEDS:
        weights |= {f"{seed}.{name}": each.half() for name, each in train(seed).state_dict().items()}
    save_file(weights, FILE)
    print(f"{FILE.name}: {FILE.stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
