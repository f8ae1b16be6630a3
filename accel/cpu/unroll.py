"""``unroll="cython"``: every sequence is stepped exactly its own length, on the CPU."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from refrnn.errors import UnsupportedCase
from refrnn.parameters import CellParameters
from refrnn.ragged import RaggedBatch
from refrnn.types import Array
from refrnn.unroll.base import AnyCell, Gradients, Plan, Run, State, Tape
from refrnn.validation import check_integer

from ..kernel_cells import hidden_bias, input_bias, unsupported
from .instruction_sets import NAMES, InstructionSet, best, load
from .lanes import LaidOut, lay_out
from .layout import Layout
from .workspace import Workspace

__all__ = ["CythonUnroll"]

# Floating-point operations that are worth a thread, which takes some 30 us to start.
_LEAST_WORK = 4_000_000


class _Saved(NamedTuple):
    """The tape."""

    instruction_set: InstructionSet
    layout: Layout
    laid_out: LaidOut
    offsets: Array
    arrays: Mapping[str, Array | None]


class CythonUnroll:
    """The dynamic unroll on the CPU: no padded step is computed.

    A lane runs sequences back to back; threads have lanes of their own, or share the units of a
    large state. The bits of a sequence's results do not depend on the other sequences, on the
    lanes, on the threads, or on the instruction set (but for "baseline" on x86-64, which rounds
    products before it adds them).

    Parameters
    ----------
    num_threads : int, optional
        Threads that work during a call. If None, the cores that this process may use, or fewer
        where there is too little to do for all of them.
    lanes : int, optional
        S; chosen from the lengths if None.
    instruction_set : {"avx512", "avx2", "baseline"}, optional
        Vectors to compute with; by default the widest that this machine has. "baseline" is what
        every processor of the architecture has.
    workspace : Workspace, optional
        Where memory of results and tapes that are no longer needed is kept for the next call; one
        of its own if None. It is as large as what was needed at once, and is dropped with the last
        unroll that has it.

    Raises
    ------
    TypeError, ValueError
        If an argument has a value that means nothing.

    Examples
    --------
    >>> from refrnn_accel.cpu import CythonUnroll
    >>> CythonUnroll(num_threads=2)
    CythonUnroll(num_threads=2)
    """

    name = "cython"

    def __init__(
        self,
        *,
        num_threads: int | None = None,
        lanes: int | None = None,
        instruction_set: str | None = None,
        workspace: Workspace | None = None,
    ) -> None:
        if instruction_set is not None and instruction_set not in NAMES:
            expected = ", ".join(map(repr, NAMES))
            raise ValueError(f"instruction_set has value {instruction_set!r}, expected {expected}")
        self.num_threads = (
            None if num_threads is None else check_integer(num_threads, "num_threads", minimum=1)
        )
        self.lanes = None if lanes is None else check_integer(lanes, "lanes", minimum=1)
        self.instruction_set = instruction_set
        if workspace is not None and not isinstance(workspace, Workspace):
            kind = type(workspace).__name__
            raise TypeError(f"workspace has type {kind}, expected a Workspace")
        self.workspace = Workspace() if workspace is None else workspace

    def __repr__(self) -> str:
        names = ("num_threads", "lanes", "instruction_set")
        shown = ", ".join(f"{k}={v!r}" for k in names if (v := getattr(self, k)) is not None)
        return f"{type(self).__name__}({shown})"

    @staticmethod
    def unavailable() -> str | None:
        """Why there are no kernels to work with; None if there are."""
        found = best()
        return found if isinstance(found, str) else None

    def supports(self, cell: AnyCell, dtype: np.dtype[Any], *, reverse: bool = False) -> str | None:
        """None if the kernels have this cell and dtype, else why not."""
        reason = unsupported(cell, dtype)
        if reason is not None:
            return reason
        found = self._instructions()
        return found if isinstance(found, str) else None

    def forward(
        self,
        cell: AnyCell,
        parameters: CellParameters,
        batch: RaggedBatch,
        state_0: State,
        reverse: bool,
    ) -> Run:
        """Step every sequence; see :func:`refrnn.forward`."""
        found = self._instructions()
        if isinstance(found, str):
            raise UnsupportedCase(f"unroll {self.name!r} cannot run {cell}: {found}")
        dtype, N, H = batch.dtype, batch.total_steps, cell.hidden_size
        layout = Layout.of(cell, dtype)
        threads = self.num_threads or _useful_threads(layout, cell.input_size, N)
        laid_out = lay_out(batch.lengths, H, threads, self.lanes)
        offsets = np.ascontiguousarray(batch.offsets)
        empty, copy = self.workspace.empty, self.workspace.copy
        y = empty((N, H), dtype)
        arrays: dict[str, Array | None] = {
            "x": copy(batch.values),
            "W_ih": np.ascontiguousarray(parameters["W_ih"]),
            "W_hh": np.ascontiguousarray(parameters["W_hh"]),
            "h_0": copy(state_0.h),
            "c_0": copy(state_0.c) if layout.has_c else None,
            "a": empty((N, layout.gates * layout.units), dtype),
            "y": y,
            "c": empty((N, H), dtype) if layout.has_c else None,
            "q": empty((N, layout.units), dtype) if layout.has_q else None,
        }
        finals = {f"{name}_n": np.array(array) for name, array in state_0._asdict().items()}
        if N:
            bias = input_bias(cell, parameters)
            found.kernels.forward(
                layout.kind, laid_out.teams, laid_out.members, offsets, laid_out.order,
                laid_out.first_of_lane, -1 if reverse else 1, arrays["x"], arrays["W_ih"],
                arrays["W_hh"], None if bias is None else bias[None],
                hidden_bias(cell, parameters)[None] if layout.has_q else None,
                arrays["h_0"], arrays["c_0"], arrays["a"], arrays["y"], arrays["c"], arrays["q"],
                finals["h_n"], finals.get("c_n"),
            )  # fmt: skip
        saved = _Saved(found, layout, laid_out, offsets, arrays)
        output = batch.with_values(copy(y))
        choices = {
            "lanes": laid_out.schedule.num_lanes, "teams": laid_out.teams,
            "members": laid_out.members, "instruction_set": found.name,
        }  # fmt: skip
        plan = Plan(self.name, laid_out.schedule.num_steps, N, N, choices)
        tape = Tape(self, cell, parameters, batch.lengths, reverse, dtype, saved)
        state_n = cell.state_type(*[finals[f"{name}_n"] for name in cell.state_names])
        return Run(output, state_n, tape, plan)

    def backward(self, tape: Tape, d_output: Array, d_state_n: State) -> Gradients:
        """Walk a tape of this unroll back; see :func:`refrnn.backward`."""
        saved: _Saved = tape.saved
        layout, laid_out, arrays = saved.layout, saved.laid_out, saved.arrays
        cell, dtype, H = tape.cell, tape.dtype, tape.cell.hidden_size
        I, N = cell.input_size, len(d_output)  # noqa: E741
        empty = self.workspace.empty
        d_state_0 = {f"d_{name}_0": np.array(array) for name, array in d_state_n._asdict().items()}
        made: dict[str, Array | None] = {
            "d_a": empty((N, layout.cotangents * layout.units), dtype),
            "rh": empty((N, H), dtype) if layout.has_rh else None,
            "d_x": empty((N, I), dtype),
            "d_h_0": d_state_0["d_h_0"],
            "d_c_0": d_state_0.get("d_c_0"),
            "d_W_ih": np.zeros((layout.gates * layout.units, layout.padded(I)), dtype),
            "d_W_hh": np.zeros((layout.cotangents * layout.units, layout.padded(H)), dtype),
            "d_bias": np.zeros((1, layout.cotangents * layout.units), dtype),
        }
        if N:
            saved.instruction_set.kernels.backward(
                layout.kind, laid_out.teams, laid_out.members, saved.offsets, laid_out.order,
                laid_out.first_of_lane, 1 if tape.reverse else -1,
                *(arrays[name] for name in ("x", "W_ih", "W_hh", "h_0", "c_0", "a", "y", "c", "q")),
                np.ascontiguousarray(d_output), np.ascontiguousarray(d_state_n.h),
                np.ascontiguousarray(d_state_n.c) if layout.has_c else None, *made.values(),
            )  # fmt: skip
        gradients = _parameter_gradients(cell, layout, made)
        d_x = RaggedBatch(made["d_x"], tape.lengths)
        d_states = cell.state_type(*[d_state_0[f"d_{name}_0"] for name in cell.state_names])
        return Gradients(CellParameters(gradients), d_x, d_states)

    def _instructions(self) -> InstructionSet | str:
        return best() if self.instruction_set is None else load(self.instruction_set)


def _useful_threads(layout: Layout, input_size: int, rows: int) -> int:
    """As many as there are cores, each with work that takes longer than its start."""
    H = layout.hidden_size
    products = 2 * rows * layout.gates * H * (input_size + H)
    return max(1, min(_cores(), products // _LEAST_WORK))


def _cores() -> int:
    """Those that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _parameter_gradients(
    cell: AnyCell, layout: Layout, made: Mapping[str, Any]
) -> dict[str, Array]:
    """Gradients by the parameters' names, their rows and columns in the parameters' order."""
    rows, hidden_rows, sums = layout.rows(), layout.hidden_rows(), made["d_bias"][0]
    found = {
        "W_ih": made["d_W_ih"][rows, : cell.input_size],
        "W_hh": made["d_W_hh"][hidden_rows, : cell.hidden_size],
        "b_ih": sums[rows],
        "b_hh": sums[hidden_rows],
    }
    return {name: found[name] for name in cell.parameter_shapes()}
