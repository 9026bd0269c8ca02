"""The origin of a language model: what was loaded, so that it can be loaded again."""

from pydantic import BaseModel, ConfigDict


class Origin(BaseModel):
    """The folder or the name on the Hugging Face hub that weights were loaded from, with their revision."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    path: str
    """The folder, as an absolute path, or the name on the hub."""
    revision: str | None = None
    """The commit on the hub or, where the files do not show it, the revision that was asked for. `None` for a folder,
    and for a model on the hub whose files show no commit."""
    dtype: str
    """The precision of the weights."""
    base: "Origin | None" = None
    """The origin of the model that an adapter adapts. `None` if the weights are no adapter."""

    @property
    def reference(self) -> str:
        """The reference that loads the same weights again: `hf:PATH,revision=...,dtype=...`."""
        options = {"revision": self.revision, "dtype": self.dtype}
        return f"hf:{self.path}" + "".join(f",{name}={value}" for name, value in options.items() if value is not None)
