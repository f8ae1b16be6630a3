"""Workloads: a law of length, the sizes, a cell and a dtype; the name says all of it."""

from __future__ import annotations

import re
from typing import NamedTuple

import numpy as np

from ..cases import CELL_NAMES, make_cell
from ..comparison import Case
from ..datasets import LENGTH_LAWS, synthetic_lengths
from ..ragged import RaggedBatch
from ..types import IntArray
from ..unroll.base import AnyCell
from ..validation import check_integer

__all__ = ["DTYPES", "WORKLOAD_SETS", "Workload", "find_workloads"]

DTYPES = ("float32", "float64")

#: Sets of workloads by name.
WORKLOAD_SETS: dict[str, tuple[str, ...]] = {
    "default": ("lognormal-b64-t200-h128", "lognormal-b64-t200-h256"),
    "laws": tuple(f"{law}-b32-t100-h128" for law in LENGTH_LAWS),
    "standard": (
        "uniform-b32-t100-h32",
        "uniform-b32-t100-h128",
        "uniform-b64-t100-h256",
        "uniform-b32-t100-h512",
        "uniform-b16-t50-h1024",
        "lognormal-b128-t200-h64",
        "lognormal-b64-t200-h128",
        "lognormal-b64-t200-h256",
        "lognormal-b32-t200-h512",
        "zipf-b256-t400-h128",
        "one-b1-t200-h256",
        "equal-b32-t50-h256",
    ),
}

_NAME = re.compile(r"([a-z]+)-b(\d+)-t(\d+)-h(\d+)(?:-i(\d+))?")
_FORM = "LAW-bB-tT-hH or LAW-bB-tT-hH-iI"


class Workload(NamedTuple):
    """What is timed: one cell on one ragged batch of synthetic lengths.

    Attributes
    ----------
    law : str
        One of ``refrnn.datasets.LENGTH_LAWS``.
    batch_size, max_length, input_size, hidden_size : int
        B, T (no length exceeds it), I and H.
    cell : str
        One of :data:`refrnn.cases.CELL_NAMES`.
    dtype : str
        "float32" or "float64".
    """

    law: str
    batch_size: int
    max_length: int
    input_size: int
    hidden_size: int
    cell: str = "lstm"
    dtype: str = "float32"

    @classmethod
    def parse(cls, name: str, *, cell: str = "lstm", dtype: str = "float32") -> Workload:
        """The workload of a name such as ``lognormal-b64-t200-h128``.

        Parameters
        ----------
        name : str
            ``LAW-bB-tT-hH``, or ``LAW-bB-tT-hH-iI``; I is H where it is not given.
        cell, dtype : str

        Raises
        ------
        ValueError
            If the name has another form, a law, cell or dtype is unknown, or a size is below 1.
        """
        match = _NAME.fullmatch(name)
        if match is None:
            raise ValueError(f"workload has name {name!r}, expected {_FORM}")
        law = match[1]
        if law not in LENGTH_LAWS:
            raise ValueError(f"workload has law {law!r}, expected one of {', '.join(LENGTH_LAWS)}")
        if cell not in CELL_NAMES:
            raise ValueError(f"cell has value {cell!r}, expected one of {', '.join(CELL_NAMES)}")
        if dtype not in DTYPES:
            raise ValueError(f"dtype has value {dtype!r}, expected one of {', '.join(DTYPES)}")
        B, T, H = (int(match[group]) for group in (2, 3, 4))
        input_size = H if match[5] is None else int(match[5])
        for letter, size in (("B", B), ("T", T), ("I", input_size), ("H", H)):
            check_integer(size, f"workload {name}: {letter}", minimum=1)
        make_cell(cell, input_size, H)  # a projection needs H >= 2
        return cls(law, B, T, input_size, H, cell, dtype)

    @property
    def name(self) -> str:
        """What :meth:`parse` reads, without cell and dtype."""
        text = f"{self.law}-b{self.batch_size}-t{self.max_length}-h{self.hidden_size}"
        return text if self.input_size == self.hidden_size else f"{text}-i{self.input_size}"

    @property
    def lengths(self) -> IntArray:
        """The lengths, int64 (B,): always the same for a workload."""
        return synthetic_lengths(self.law, self.batch_size, self.max_length, seed=0)

    @property
    def dense(self) -> Workload | None:
        """About as many steps in sequences of equal length, as long as the longest here.

        There are round(N / longest) of them, at least one. None where all are equal already.
        """
        lengths = self.lengths
        longest = int(lengths.max())
        if (lengths == longest).all():
            return None
        number = max(1, round(int(lengths.sum()) / longest))
        return self._replace(law="equal", batch_size=number, max_length=longest)

    def make_cell(self) -> AnyCell:
        """The cell, with these sizes."""
        return make_cell(self.cell, self.input_size, self.hidden_size)

    def make(self) -> Case:
        """The numbers: input, weights and the cotangent of the output, the same in every process.

        Returns
        -------
        Case
            No initial state and no cotangent of the final one; input and cotangent are standard
            normal, weights within +-1/sqrt(H).
        """
        rng = np.random.default_rng(0)
        cell = self.make_cell()
        lengths = self.lengths
        N = int(lengths.sum())
        values = rng.standard_normal((N, self.input_size)).astype(self.dtype)
        d_output = rng.standard_normal((N, cell.output_size)).astype(self.dtype)
        parameters = cell.init_parameters(rng, self.dtype)
        batch = RaggedBatch(values, lengths)
        return Case(cell, parameters, batch, d_output=d_output, name=self.name)


def find_workloads(names: list[str], *, cell: str, dtype: str) -> list[Workload]:
    """The workloads of these names and sets of names, each once, in their order.

    Parameters
    ----------
    names : list of str
        Names as :meth:`Workload.parse` reads them, or of :data:`WORKLOAD_SETS`; empty is
        ``default``.
    cell, dtype : str

    Raises
    ------
    ValueError
        As of :meth:`Workload.parse`; the message has the sets, too.
    """
    single: dict[str, None] = {}
    for name in names or ["default"]:
        if name not in WORKLOAD_SETS and _NAME.fullmatch(name) is None:
            raise ValueError(
                f"workload has name {name!r}, expected {_FORM}, or one of the sets "
                f"{', '.join(WORKLOAD_SETS)}"
            )
        single.update(dict.fromkeys(WORKLOAD_SETS.get(name, (name,))))
    return [Workload.parse(name, cell=cell, dtype=dtype) for name in single]
