"""``unroll="cython"``: every sequence is stepped exactly its own length, on the CPU."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from refrnn.errors import UnsupportedCase
from refrnn.parameters import CellParameters
from refrnn.ragged import RaggedBatch
from refrnn.types import Array
from refrnn.unroll.base import AnyCell, Gradients, Plan, Run, State, Tape
from refrnn.validation import check_integer

from ..kernel_cells import hidden_bias, input_bias, unsupported
from .crews import crew
from .instruction_sets import NAMES, InstructionSet, best, load
from .lanes import LaidOut, lay_out
from .layout import Layout
from .workspace import Workspace

__all__ = ["CythonUnroll"]

# Floating-point operations that are worth a thread, which takes some 20 us to wake.
_LEAST_WORK = 4_000_000


class _Saved(NamedTuple):
    """The tape; its rows have the names that the kernels' arguments have."""

    instruction_set: InstructionSet
    layout: Layout
    laid_out: LaidOut
    offsets: Array
    W_ih: Array
    W_hh: Array
    state_0: State
    rows: Mapping[str, Array]

    def schedule(self, direction: int) -> tuple[Any, ...]:
        """What kernels are told of the cell and of the order in which rows are walked."""
        laid_out = self.laid_out
        return (
            self.layout.kind, laid_out.teams, laid_out.members, self.offsets, laid_out.order,
            laid_out.first_of_lane, direction,
        )  # fmt: skip


class CythonUnroll:
    """The dynamic unroll on the CPU: no padded step is computed.

    A lane runs sequences back to back; threads have lanes of their own, or share the units of a
    large state. The bits of a sequence's results do not depend on the other sequences, on the
    lanes, on the threads, or on the instruction set (but for "baseline" on x86-64, which rounds
    products before it adds them).

    Parameters
    ----------
    num_threads : int, optional
        Threads that work during a call, and sleep between calls. If None, the cores that this
        process may use, or fewer where there is too little to do for all of them.
    lanes : int, optional
        S; chosen from the lengths if None.
    instruction_set : {"avx512", "avx2", "baseline"}, optional
        Vectors to compute with; by default the widest that this machine has. "baseline" is what
        every processor of the architecture has.
    workspace : Workspace, optional
        Where memory of results and tapes that are no longer needed is kept for the next call; one
        of its own if None. It is as large as what was needed at once, and is dropped with the last
        unroll or tape that has it.

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
        saved = _Saved(
            found, layout, laid_out, np.ascontiguousarray(batch.offsets),
            np.ascontiguousarray(parameters["W_ih"]), np.ascontiguousarray(parameters["W_hh"]),
            state_0, self.workspace.empties(layout.tape(N, cell.input_size), dtype),
        )  # fmt: skip
        output = self.workspace.empty((N, H), dtype)
        state_n = cell.state_type(*map(np.array, state_0))
        if N:
            x = batch.values
            if not x.flags.c_contiguous:  # else the kernels copy x, each row when they come to it
                saved.rows["x"][...] = x
                x = saved.rows["x"]
            bias = input_bias(cell, parameters)
            b_hn = hidden_bias(cell, parameters) if layout.has_q else None
            scratch = self.workspace.empty((_scratch_sizes(cell, saved)[0],), dtype)
            with crew(found.kernels) as helpers:
                found.kernels.forward(
                    helpers, *saved.schedule(-1 if reverse else 1), x, saved.W_ih, saved.W_hh,
                    _row(bias), _row(b_hn), *_h_and_c(state_0),
                    *map(saved.rows.get, ("x", "a", "y", "c", "q")),
                    output, *_h_and_c(state_n), scratch,
                )  # fmt: skip
        choices = {
            "lanes": laid_out.schedule.num_lanes, "teams": laid_out.teams,
            "members": laid_out.members, "instruction_set": found.name,
        }  # fmt: skip
        plan = Plan(self.name, laid_out.schedule.num_steps, N, N, choices)
        tape = Tape(self, cell, parameters, batch.lengths, reverse, dtype, saved)
        return Run(batch.with_values(output), state_n, tape, plan)

    def backward(self, tape: Tape, d_output: Array, d_state_n: State) -> Gradients:
        """Walk a tape of this unroll back; see :func:`refrnn.backward`."""
        saved: _Saved = tape.saved
        cell, dtype, N = tape.cell, tape.dtype, len(d_output)
        d_state_0 = cell.state_type(*map(np.array, d_state_n))
        shapes = cell.parameter_shapes()
        if not N:
            d_parameters = {name: np.zeros(shape, dtype) for name, shape in shapes.items()}
            d_x = np.zeros((0, cell.input_size), dtype)
            return Gradients(
                CellParameters(d_parameters), RaggedBatch(d_x, tape.lengths), d_state_0
            )
        empty, padded = self.workspace.empty, saved.layout.padded
        d_x = empty((N, cell.input_size), dtype)
        made = {
            name: empty((*shape[:-1], padded(shape[-1])), dtype) for name, shape in shapes.items()
        }
        rows = self.workspace.empties(saved.layout.cotangents_of_rows(N), dtype)
        scratch = empty((_scratch_sizes(cell, saved)[1],), dtype)
        kernels = saved.instruction_set.kernels
        with crew(kernels) as helpers:
            kernels.backward(
                helpers, *saved.schedule(1 if tape.reverse else -1),
                saved.rows["x"], saved.W_ih, saved.W_hh, *_h_and_c(saved.state_0),
                *map(saved.rows.get, ("a", "y", "c", "q")), np.ascontiguousarray(d_output),
                *_h_and_c(d_state_n),
                rows["d_a"], rows.get("rh"), d_x, *_h_and_c(d_state_0), made["W_ih"], made["W_hh"],
                _row(made.get("b_ih")), _row(made.get("b_hh")), scratch,
            )  # fmt: skip
        d_parameters = {
            name: np.ascontiguousarray(array[..., : shapes[name][-1]])
            for name, array in made.items()
        }
        return Gradients(CellParameters(d_parameters), RaggedBatch(d_x, tape.lengths), d_state_0)

    def _instructions(self) -> InstructionSet | str:
        return best() if self.instruction_set is None else load(self.instruction_set)


def _h_and_c(state: Sequence[Array]) -> tuple[Array, Array | None]:
    """The parts of a state; c is None of a cell that has none."""
    h, *others = state
    return h, others[0] if others else None


def _row(vector: Array | None) -> Array | None:
    """A matrix of one row."""
    return None if vector is None else vector[None]


def _scratch_sizes(cell: AnyCell, saved: _Saved) -> tuple[int, int]:
    """Numbers of memory for a forward and for a backward."""
    sizes: tuple[int, int] = saved.instruction_set.kernels.scratch_sizes(
        saved.layout.kind, cell.input_size, cell.hidden_size, saved.laid_out.threads,
        saved.layout.itemsize,
    )  # fmt: skip
    return sizes


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
