"""Write a part of a page, between two marks: the tables and sentences that scripts write into the docs."""

from pathlib import Path


def write_part(page: Path, marks: tuple[str, str], text: str) -> None:
    """Replace what stands in a page between a mark and the next end mark.

    Args:
        page: The page.
        marks: The mark, with its line break, and the end mark.
        text: The new text, whole lines.

    Raises:
        ValueError: A mark is missing.
    """
    mark, end = marks
    whole = page.read_text()
    begin = whole.index(mark) + len(mark)
    page.write_text(whole[:begin] + text + whole[whole.index(end, begin) :])
