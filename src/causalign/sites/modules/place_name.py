"""Names of places in a module: a submodule, a side of its call, and a slice of the state there.

`"layers.3.mlp"` is the output of a submodule, `"layers.3.mlp:input"` its input, and `"layers.3.mlp:input[64:128]"` a
slice of that. Slices are those of Python, without a step: ends may be negative or open.
"""

import re
from dataclasses import dataclass, replace

from causalign.errors import InvalidArgument, lookup

INPUT, OUTPUT = "input", "output"

_FORM = re.compile(r"(?P<path>[^\[\]:]+)(?P<side>:[^\[\]:]*)?(?P<slice>\[.*\])?")
_SLICE = re.compile(r"\[\s*(-?\d+)?\s*:\s*(-?\d+)?\s*\]")


@dataclass(frozen=True)
class PlaceName:
    """The name of a place, taken apart."""

    path: str
    """The path of the submodule, or another name of a place."""
    side: str = OUTPUT
    """`"input"` or `"output"`."""
    start: int | None = None
    """The first coordinate of the slice; `None` for an open end. Negative numbers count from the end."""
    stop: int | None = None
    """The coordinate behind the last one of the slice; `None` for an open end."""

    @classmethod
    def parse(cls, text: str) -> "PlaceName":
        """Take a name apart.

        Args:
            text: The name, such as `"layers.3.mlp:input[64:128]"`.

        Raises:
            InvalidArgument: The text has another form, its side is neither `input` nor `output`, or its slice has a
                step or is empty.
        """
        form = _FORM.fullmatch(text)
        if form is None:
            raise InvalidArgument(
                f"{text!r} is not the name of a place; write a submodule's path, and behind it :input or :output, "
                "and a slice such as [0:16]"
            )
        side = lookup(f"side of {form['path']}", (form["side"] or f":{OUTPUT}")[1:], {INPUT: INPUT, OUTPUT: OUTPUT})
        start, stop = _ends(form["slice"], text)
        return cls(form["path"], side, start, stop)

    def __str__(self) -> str:
        """Return the name as it is written."""
        side = f":{self.side}" if self.side == INPUT else ""
        ends = ["" if end is None else str(end) for end in (self.start, self.stop)]
        return self.path + side + (f"[{':'.join(ends)}]" if any(ends) else "")

    @property
    def is_sliced(self) -> bool:
        """Whether the place is a slice of the state."""
        return self.start is not None or self.stop is not None

    def within(self, other: "PlaceName") -> "PlaceName":
        """Return the place that this name means where its path stands for another place.

        A slice of a slice counts from the start of the latter.

        Raises:
            InvalidArgument: This name asks for the input of a place, or its slice is empty or reaches beyond the other.
        """
        if self.side == INPUT:
            raise InvalidArgument(f"{self} is no place: {self.path} stands for {other}; name the input by its path")
        if not self.is_sliced:
            return other
        if other.start is None or other.stop is None:
            return replace(other, start=self.start, stop=self.stop)
        part = self.coordinates(other.stop - other.start)
        return replace(other, start=other.start + part.start, stop=other.start + part.stop)

    def coordinates(self, width: int) -> slice:
        """Return the slice of a state, its ends counted from 0.

        Args:
            width: The width of the whole state.

        Raises:
            InvalidArgument: The slice reaches beyond the state, or is empty.
        """
        ends = []
        for end, default in ((self.start, 0), (self.stop, width)):
            if end is not None and not -width <= end <= width:
                raise InvalidArgument(f"{self} reaches beyond the state, whose width is {width}")
            ends.append(default if end is None else end + width if end < 0 else end)
        start, stop = ends
        if start >= stop:
            raise InvalidArgument(f"{self} is empty: the width of the state is {width}")
        return slice(start, stop)


def _ends(written: str | None, text: str) -> tuple[int | None, int | None]:
    if written is None:
        return None, None
    ends = _SLICE.fullmatch(written)
    if ends is None:
        step = " without a step" if written.count(":") > 1 else ""
        raise InvalidArgument(f"{text!r}: a slice{step} is written [start:stop], such as [0:16]; found {written}")
    start, stop = (None if end is None else int(end) for end in ends.groups())
    return start, stop
