"""A place in a language model that is described and not loaded; shallow models stand in for it."""

from dataclasses import dataclass, replace

from causalign.errors import lookup
from causalign.networks.configuration import ModelConfiguration
from causalign.sites.base import Site

_FEW, _MORE = 1, 3  # layers of the shallowest, and by how many a deeper one has more


@dataclass(frozen=True)
class SiteDescription:
    """The residual stream between layers of a model, most of which may be left out.

    Reading runs the layers below it, and a swap those above, so that what each costs can be told from shallow models.
    """

    model: ModelConfiguration
    below: int
    above: int

    @classmethod
    def of(cls, model: ModelConfiguration, at: str) -> "SiteDescription":
        """That place, in the whole model."""
        places = {"embedding": 0} | {f"layer.{n}": n for n in range(1, model.depth + 1)}
        below = lookup(f"site of {model.name}", at, places)
        return cls(model, below, model.depth - below)

    @property
    def layers(self) -> int:
        """Of its model."""
        return self.below + self.above

    @property
    def shallowest(self) -> "SiteDescription":
        """That with at most one layer on either side."""
        return replace(self, below=min(self.below, _FEW), above=min(self.above, _FEW))

    @property
    def deeper(self) -> list[tuple["SiteDescription", float]]:
        """Those with a few more layers on one side than the shallowest, and how often so many are missing from it."""
        least = self.shallowest
        found = []
        for side, missing in (("below", self.below - least.below), ("above", self.above - least.above)):
            if missing:
                more = min(missing, _MORE)
                found.append((replace(least, **{side: getattr(least, side) + more}), missing / more))
        return found

    @property
    def is_deep(self) -> bool:
        """Whether a model that stands in for it is shallower."""
        return all(other.layers < self.layers for other, _ in self.deeper) and bool(self.deeper)

    @property
    def nbytes(self) -> int:
        """Of its model's weights."""
        return self.model.nbytes(self.layers)

    def drawn(self) -> Site:
        """The place in a model of so many layers, whose weights are random.

        Raises:
            CausalignError: that does not fit into memory, or its kind is not supported.
        """
        return self.model.drawn(self.layers).site(f"layer.{self.below}" if self.below else "embedding")
