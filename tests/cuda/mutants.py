"""Kernels with one thing left out: every barrier, fence, tag and test of bounds in turn.

The places are found in the sources by the patterns below, so that a barrier which is added later is
a mutant too.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from refrnn_accel.cuda.sources import PACKAGE, KernelSources

__all__ = ["Mutant", "mutants"]

#: What is looked for, and what stands there instead.
PATTERNS = {
    r"__syncthreads\(\);": ";",
    r"__syncwarp\(\);": ";",
    r"__syncthreads_or\((\w+)\)": r"(\1)",
    r"cooperative_groups::this_cluster\(\)\.sync\(\);": ";",
    r"exchange_\.barrier\(\)": "true",
    r"\.relaxed\.gpu": "",
    r"load_tagged\(from, value\) != wanted": "false",
    r"tag % 2": "0",
    r"\(?step & [13]\)?": "0",
    r"1 - now_": "now_",
    r"(?<!bool )exists\(\)": "true",
    r"!(cursor|last|next|lanes_\.at\([^()]*\))\.is_active\(\)": "false",
    r"(?<![!.\w])(cursor|next)\.is_active\(\)": "true",
    r"cursor\.is_last_step\(\)": "false",
    r"(lane|threadIdx\.x) >= (count\(\)|schedule_?\.lanes\w*|Stream::kLanes)": "false",
    r"threadIdx\.x < count\(\)": "true",
    r"(?<=; )(n|column) < (H|with_\.hidden_size)(?=;)": r"\1 < Slice::kColumns",
    r"(?<=; )unit < with_\.hidden_size(?=;)": "unit <= with_.hidden_size",
    r"\b(unit|column|leaf|batch) < (units|hidden_size_|leaves|batches)": "true",
    r"position < weights_\.positions\(\)": "true",
    r"value < COUNT": "true",
    r"\(active >> lane & 1\) == 0": "false",
    r"Slice::part\(\) [!=]= 0( &&)?": r"true\1",
    r"rank < exchange_\.blocks\(\)": "true",
    r"leaf < N": "true",
}

#: Mutants that are the same program, by file, text of the line and of the next one, and why.
EQUIVALENT = {
    ("forward.cuh", "if (next.is_active()) rows_.put(brought, rows_.of(lane, now_ + 1));", "}"):
        "of a lane that is through nobody reads rows",
    ("backward.cuh", "if (next.is_active()) rows_.put(brought, rows_.of(lane, now_ + 1));", "}"):
        "of a lane that is through nobody reads rows",
    ("forward.cuh", "if (!next.is_active()) return;", "state.h = begin(lane, next.sequence);"):
        "of a lane that is through nobody takes the state; test_costs counts that it is not sent",
    ("stream_forward.cuh", "if (cursor.is_last_step()) return;", "#pragma unroll"):
        "a prefetch changes nothing",
    ("backward.cuh",
     "for (int column = threadIdx.x; column < with_.hidden_size; column += Slice::kThreads) {",
     "const int place = Slice::place(column);"):
        "what is sent of columns that do not exist lies where nobody reads; test_costs counts it",
    ("stream_transpose.cuh", "if (leaf < leaves) {",
     "stage<COUNT>(active, leaf * kLeaf, cotangents);"):
        "a leaf without units is zero, and not counted",
    ("stream_transpose.cuh", "if ((active >> lane & 1) == 0) continue;", "Vector<T> whole;"):
        "of a lane that is through nobody takes the sums",
}  # fmt: skip


class Mutant(NamedTuple):
    """A file of kernels, and what is changed where.

    Attributes
    ----------
    file : str
    line : int
    start, end : int
        In the file's text.
    new : str
        What stands there instead.
    text : tuple of str
        The line as it was, and the next one.
    """

    file: str
    line: int
    start: int
    end: int
    new: str
    text: tuple[str, str]

    @property
    def name(self) -> str:
        """For reports: where it is, and what it was."""
        text = (PACKAGE.kernels / self.file).read_text(encoding="utf-8")
        return f"{self.file}:{self.line} {text[self.start : self.end]}"

    def write(self, folder: Path) -> KernelSources:
        """All sources with this change, in a folder of their own."""
        shutil.copytree(PACKAGE.kernels, folder, dirs_exist_ok=True)
        text = (PACKAGE.kernels / self.file).read_text(encoding="utf-8")
        changed = text[: self.start] + self.new + text[self.end :]
        (folder / self.file).write_text(changed, encoding="utf-8")
        return PACKAGE._replace(kernels=folder, ptx=folder / "ptx")


def mutants(files: tuple[str, ...]) -> Iterator[Mutant]:
    """Every place in these files where a pattern matches, outside comments."""
    for file in files:
        text = (PACKAGE.kernels / file).read_text(encoding="utf-8")
        comments = [match.span() for match in re.finditer(r"//[^\n]*", text)]
        for pattern, new in PATTERNS.items():
            for match in re.finditer(pattern, text):
                if any(start <= match.start() < end for start, end in comments):
                    continue
                line = text.count("\n", 0, match.start()) + 1
                whole = tuple(part.strip() for part in text.splitlines()[line - 1 : line + 1])
                yield Mutant(file, line, *match.span(), match.expand(new), whole)
