"""The description of a site in a language model that is not loaded, and the shallow models that stand in for it."""

from dataclasses import dataclass, replace

from causalign.errors import lookup
from causalign.networks.configuration import ModelConfiguration
from causalign.sites.base import Site

_FEW, _MORE = 1, 3  # layers on each side in the shallowest model, and layers that a deeper one adds


@dataclass(frozen=True)
class SiteDescription:
    """The residual stream between two layers of a model, most of whose layers may be left out.

    Reading a state runs the layers below it, and a swap runs the layers above it. The cost of each can therefore be
    extrapolated from shallow models.

    Attributes:
        model: The configuration of the model.
        below: Number of layers below the site.
        above: Number of layers above the site.
    """

    model: ModelConfiguration
    below: int
    above: int

    @classmethod
    def of(cls, model: ModelConfiguration, at: str) -> "SiteDescription":
        """Return the description of a site in the whole model.

        Args:
            model: The configuration of the model.
            at: The name of the site, `"embedding"` or `"layer.N"`.

        Raises:
            InvalidArgument: The model has no such site.
        """
        places = {"embedding": 0} | {f"layer.{n}": n for n in range(1, model.depth + 1)}
        below = lookup(f"site of {model.name}", at, places)
        return cls(model, below, model.depth - below)

    @property
    def layers(self) -> int:
        """The number of layers of the model."""
        return self.below + self.above

    @property
    def shallowest(self) -> "SiteDescription":
        """The site in a model with at most one layer on either side."""
        return replace(self, below=min(self.below, _FEW), above=min(self.above, _FEW))

    @property
    def deeper(self) -> list[tuple["SiteDescription", float]]:
        """Models with a few more layers than the shallowest on one side, each with a factor.

        There is one for each side on which the shallowest model lacks layers. The factor is the number of layers that
        it lacks there, divided by the number of layers that are added.
        """
        least = self.shallowest
        found = []
        for side, missing in (("below", self.below - least.below), ("above", self.above - least.above)):
            if missing:
                more = min(missing, _MORE)
                found.append((replace(least, **{side: getattr(least, side) + more}), missing / more))
        return found

    @property
    def is_deep(self) -> bool:
        """Whether the models that can stand in for this one are shallower."""
        return all(other.layers < self.layers for other, _ in self.deeper) and bool(self.deeper)

    @property
    def nbytes(self) -> int:
        """Bytes of the model's weights."""
        return self.model.nbytes(self.layers)

    def drawn(self) -> Site:
        """Return the site in a model with `layers` layers and random weights.

        Raises:
            InvalidArgument: The model does not fit into memory, or its type is not supported.
        """
        return self.model.drawn(self.layers).site(f"layer.{self.below}" if self.below else "embedding")
