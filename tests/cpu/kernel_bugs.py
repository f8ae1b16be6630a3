"""Bugs of hand-written kernels, each as an edit of the CPU accelerator's own source.

They stand in ``kernel_bugs.txt``, by the file of ``accel`` that they are of. Each must be found by
the checks of ``kernel_checks.py``: by the numbers, by the tests of threads and memory, or by a
compiler that watches memory, where numbers show a bug only by chance.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

__all__ = ["PLANTED_BUGS", "KernelBug", "read"]


class KernelBug(NamedTuple):
    """One bug.

    Attributes
    ----------
    about : str
        What is wrong.
    file : str
        In ``accel``.
    edits : tuple of (str, str)
        Text that stands exactly once in the file, and what takes its place.
    kind : str
        Of the checks that must find it: "values", "threads", "races" or "bounds".
    """

    about: str
    file: str
    edits: tuple[tuple[str, str], ...]
    kind: str = "values"

    def __str__(self) -> str:
        return f"{self.file.rpartition('/')[2]}: {self.about}"

    def edited(self, text: str) -> str:
        """The file's text with the bug; ValueError if that is not the text that was meant."""
        for old, new in self.edits:
            if text.count(old) != 1:
                raise ValueError(f"{self.file} has {text.count(old)} times {old!r}, expected once")
            text = text.replace(old, new)
        return text


def read(text: str) -> Iterator[KernelBug]:
    """Bugs as ``kernel_bugs.txt`` has them.

    A line that begins with ``=`` names the file of those after it. A bug is a line that says what
    is wrong, after its kind in brackets where that is not "values", and then what stands there
    (``-``) and what takes its place (``+``, none if nothing does), both of one or more lines.
    Lines without any of these marks before the first file explain.
    """
    file = ""
    for block in text.split("\n\n"):
        first, *lines = block.strip("\n").split("\n")
        if first.startswith("= "):
            file = first[2:]
        elif file:
            kind, _, about = first[1:].partition("] ") if first[0] == "[" else ("values", "", first)
            yield KernelBug(about, file, tuple(_edits(lines)), kind)


def _edits(lines: list[str]) -> Iterator[tuple[str, str]]:
    old: list[str] = []
    new: list[str] = []
    for line in lines:
        mark, content = line[:1], line[2:]
        if mark not in "-+":
            raise ValueError(f"line has {line!r}, expected - or +")
        if mark == "-" and new:
            yield "\n".join(old), "\n".join(new)
            old, new = [], []
        (old if mark == "-" else new).append(content)
    yield "\n".join(old), "\n".join(new)


#: All of them.
PLANTED_BUGS = tuple(read(Path(__file__).with_suffix(".txt").read_text(encoding="utf-8")))
