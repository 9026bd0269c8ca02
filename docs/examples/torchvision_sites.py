"""Swaps in networks of torchvision against hooked runs: `python docs/examples/torchvision_sites.py`.

It needs torchvision (`pip install torchvision`), and prints for each network the largest difference between the logits
of a swap and those of the plain network with a hook, as a share of the largest logit.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

import causalign as ca
from causalign.counterfactuals.direction import Direction
from causalign.counterfactuals.interventions import interchange
from causalign.counterfactuals.row_source import RowRequest
from causalign.engine.run import run_interventions
from causalign.maps.base import AlignmentMap, random_frame
from causalign.run_context import RunContext

CLASSES, ROWS, RANK = 5, 8, 16


def _networks() -> dict[str, tuple[Callable[[], nn.Module], str, int]]:
    """Return each network, a place in it, and the size of its images."""
    import torchvision

    models: Any = torchvision.models
    return {
        "resnet18": (lambda: models.resnet18(num_classes=CLASSES), "layer3.0", 64),
        "mobilenet_v3_small": (lambda: models.mobilenet_v3_small(num_classes=CLASSES), "features.6", 64),
        "vit_b_16": (
            lambda: models.vit_b_16(num_classes=CLASSES, image_size=32),
            "encoder.layers.encoder_layer_3",
            32,
        ),
    }


def hooked(module: nn.Module, at: str, image: Tensor, change: Callable[[Tensor], Tensor | None]) -> Tensor:
    """Return the logits of one image, in a run in which the output of a submodule is changed."""
    hook = module.get_submodule(at).register_forward_hook(lambda _, __, output: change(output))
    with torch.no_grad():
        logits: Tensor = module(image[None])[0]
    hook.remove()
    return logits


def difference(module: nn.Module, at: str, size: int) -> tuple[ca.Site, float]:
    """Return the site, and the largest difference of its swaps to hooked runs."""
    sources, targets = torch.randn(2, ROWS + 2, 3, size, size)
    site = ca.Site(module, at, inputs=sources[:3])
    split = ["train"] * ROWS + ["validation", "test"]
    labels = [row % CLASSES for row in range(len(split))]
    data = ca.Counterfactuals.from_arrays(
        site,
        source_inputs=sources,
        target_inputs=targets,
        labels=labels,
        source_positions=0,
        target_positions=0,
        split=split,
    )
    direction = Direction(0, 0)
    batch = data.rows(RowRequest("train", (direction,)), RunContext(0, data.store))[direction].take(torch.arange(ROWS))
    frame = random_frame(site.width, RANK, torch.Generator().manual_seed(0))
    its = AlignmentMap(frame, 1.0)
    run = run_interventions(site, [batch], [interchange(batch.target_states, batch.source_states, its, its)])
    logits = site.read_out(run.features)
    worst = 0.0
    for row in range(ROWS):
        kept: list[Tensor] = []
        hooked(module, at, sources[row], lambda output, kept=kept: kept.append(output.clone()))

        def swap(output: Tensor, state: Tensor = kept[0]) -> Tensor:
            where = (
                (0, 0) if output.dim() == 3 else (0,)
            )  # a vision transformer's first position, or a whole feature map
            changed, own = output.clone(), output[where].flatten()
            new = own + frame @ (frame.mT @ (state[where].flatten() - own))
            changed[where] = new.reshape(changed[where].shape)
            return changed

        expected = hooked(module, at, targets[row], swap)
        mine = logits[(run.trial == row).nonzero()[0]][0]
        worst = max(worst, float((mine - expected).abs().max() / expected.abs().max()))
    return site, worst


def main() -> None:
    """Print the difference of each network."""
    for name, (make, at, size) in _networks().items():
        torch.manual_seed(0)
        module = make().eval()
        for path, weight in module.named_parameters():
            if path.startswith("heads"):  # torchvision begins with a head of zeros, in which nothing would be seen
                nn.init.normal_(weight, std=0.1)
        site, worst = difference(module, at, size)
        print(f"{name}: {site}: {worst:.1e}")


if __name__ == "__main__":
    main()
