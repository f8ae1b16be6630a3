"""Cells that the kernels have, and all ways of running them."""

from __future__ import annotations

import math
import platform
from collections.abc import Mapping
from typing import Any

import numpy as np
from hypothesis import strategies as st
from refrnn_accel.cpu import CythonUnroll, Workspace, instruction_sets

from refrnn.unroll.base import AnyCell

from ..kernel_cells import CELLS

#: All that this machine has, each of which is forced.
INSTRUCTION_SETS = instruction_sets.available()

IS_X86 = platform.machine() in ("x86_64", "AMD64")

#: Around the sizes of vectors, and of panels of them.
HIDDEN_SIZES = (1, 2, 3, 4, 5, 7, 8, 9, 15, 16, 17, 31, 33, 48, 65, 70, 130)


def cells(name: str) -> st.SearchStrategy[AnyCell]:
    """A cell of CELLS, of sizes that are multiples of nothing."""
    return st.builds(
        lambda i, h, b: CELLS[name](i, h, biases=b),
        st.sampled_from([1, 2, 3, 5, 17, 70]),
        st.sampled_from(HIDDEN_SIZES),
        st.sampled_from([2, 1, 0]),
    )


class Poisoned(Workspace):
    """Gives out memory that is full of NaN, each array apart from the others.

    None begins with a cache line, and all end where their memory does.
    """

    def empties(
        self, shapes: Mapping[str, tuple[int, ...]], dtype: Any
    ) -> dict[str, np.ndarray[Any, Any]]:
        return {
            name: np.full(math.prod(shape) + 1, np.nan, dtype)[1:].reshape(shape)
            for name, shape in shapes.items()
        }


@st.composite
def unrolls(draw: st.DrawFn, instruction_set: str | None = None) -> CythonUnroll:
    """An unroll with one or more threads, and few lanes or many."""
    return CythonUnroll(
        num_threads=draw(st.sampled_from([1, 2, 3])),
        lanes=draw(st.sampled_from([None, 1, 2, 3, 7, 30])),
        instruction_set=instruction_set or draw(st.sampled_from(INSTRUCTION_SETS)),
    )
