"""``unroll="cuda"``: every sequence is stepped exactly its own length, on a CUDA device."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, NamedTuple

import numpy as np

from refrnn.errors import DeviceError, UnsupportedCase
from refrnn.parameters import CellParameters
from refrnn.ragged import RaggedBatch
from refrnn.types import Array
from refrnn.unroll.base import AnyCell, Gradients, Plan, Run, State, Tape
from refrnn.validation import check_integer, check_positive_float

from ..kernel_cells import hidden_bias, input_bias, unsupported
from .arrays import DeviceArray, as_device_array, empty, is_on_device
from .cells import kernel_cell
from .context import DeviceContext, device_error, driver, use_context
from .modules import load_module
from .planner import VARIANTS, Choice, choose, laid_out
from .products import Matrix, Products, Scratch
from .recurrence import DeviceSchedule, Recurrence, upload, wait

__all__ = ["CudaUnroll"]

_MOST_PATIENCE = 4000.0  # the kernels count microseconds in 32 bits
_MOST_SCRATCH = 256 << 20  # bytes; less memory only means more launches


class _Saved(NamedTuple):
    """The tape, all of it on the device."""

    choice: Choice
    schedule: DeviceSchedule
    arrays: Mapping[str, DeviceArray]


class CudaUnroll:
    """The dynamic unroll on a CUDA device: no padded step is computed.

    A team of blocks keeps one copy of W_hh and steps several lanes; a lane runs sequences back to
    back. The bits of a sequence's results do not depend on the other sequences, on the lanes, on
    the variant, or on the device.

    Parameters
    ----------
    stream : pycuda.driver.Stream, optional
        Where the work is put, in the context that is current; the default stream if None. Results
        are ready when a call returns.
    variant : {"block", "cluster", "team", "stream"}, optional
        Where W_hh is kept: on the chip in one block, in a cluster of blocks (compute capability
        9.0), in a team of blocks that exchange through memory; or in memory, read at every step.
        By default the first of these that fits.
    team : int, optional
        Blocks of a cluster or team.
    lanes : int, optional
        S; by default the number that makes steps times the price of a step smallest.
    result : {"numpy", "device"}
        Whether outputs, final states, and gradients of inputs and initial states are NumPy arrays,
        or arrays on the device with ``__cuda_array_interface__``. Gradients of parameters are NumPy
        arrays always.
    patience : float
        Seconds that a block of a team waits for a value of another block before the launch fails.

    Raises
    ------
    TypeError, ValueError
        If an argument has a value that means nothing. No device is looked for here.

    Examples
    --------
    >>> from refrnn_accel.cuda import CudaUnroll
    >>> CudaUnroll(variant="stream")
    CudaUnroll(variant='stream')
    """

    name = "cuda"

    def __init__(
        self,
        *,
        stream: Any = None,
        variant: str | None = None,
        team: int | None = None,
        lanes: int | None = None,
        result: str = "numpy",
        patience: float = 10.0,
    ) -> None:
        _check_choice(variant, "variant", (None, *VARIANTS))
        _check_choice(result, "result", ("numpy", "device"))
        if stream is not None and not hasattr(stream, "handle"):
            kind = type(stream).__name__
            raise TypeError(f"stream has type {kind}, expected a pycuda.driver.Stream")
        if team is not None and variant in ("block", "stream"):
            raise ValueError(f"team has value {team} beside variant = {variant!r}, expected None")
        self.stream = stream
        self.variant = variant
        self.team = None if team is None else check_integer(team, "team", minimum=2)
        self.lanes = None if lanes is None else check_integer(lanes, "lanes", minimum=1)
        self.result = result
        self.patience = check_positive_float(patience, "patience")
        if self.patience > _MOST_PATIENCE:
            raise ValueError(f"patience has value {patience}, expected at most {_MOST_PATIENCE} s")

    def __repr__(self) -> str:
        plain = {"result": "numpy", "patience": 10.0}
        shown = [f"{k}={v!r}" for k, v in vars(self).items() if v != plain.get(k)]
        return f"{type(self).__name__}({', '.join(shown)})"

    @staticmethod
    def unavailable() -> str | None:
        """Why there is no device to work on; None if there is one."""
        try:
            driver()
        except DeviceError as error:
            return str(error)
        return None

    def supports(self, cell: AnyCell, dtype: np.dtype[Any], *, reverse: bool = False) -> str | None:
        """None if the kernels have this cell and dtype and it fits on the device, else why not.

        Raises
        ------
        DeviceError
            If the answer depends on the device, and there is none.
        """
        reason = unsupported(cell, dtype)
        if reason is not None:
            return reason
        with use_context() as context:
            found = self._cut(context, cell, dtype)
        return found if isinstance(found, str) else None

    def forward(
        self,
        cell: AnyCell,
        parameters: CellParameters,
        batch: RaggedBatch,
        state_0: State,
        reverse: bool,
    ) -> Run:
        """Step every sequence; see :func:`refrnn.forward`.

        Raises
        ------
        DeviceError
            If the device fails; the message says at which launch.
        """
        with use_context() as context, _failures_told("forward"):
            choice = self._choice(context, cell, batch)
            tape = self._forward(context, choice, cell, parameters, batch, state_0, reverse)
            wait(self.stream)
            arrays = tape.arrays
            output = batch.with_values(self._given(context, arrays["y"]))
            finals = [arrays[f"{letter}_n"] for letter in cell.state_names]
            state_n = cell.state_type(*[self._given(context, array) for array in finals])
        steps = choice.schedule.num_steps
        plan = Plan(self.name, steps, batch.total_steps, batch.total_steps, _choices(choice))
        saved = Tape(self, cell, parameters, batch.lengths, reverse, batch.dtype, tape)
        return Run(output, state_n, saved, plan)

    def backward(self, tape: Tape, d_output: Array, d_state_n: State) -> Gradients:
        """Walk a tape of this unroll back; see :func:`refrnn.backward`.

        Raises
        ------
        DeviceError
            If the device fails; the message says at which launch.
        """
        with use_context() as context, _failures_told("backward"):
            made = self._backward(context, tape, d_output, d_state_n)
            wait(self.stream)
            cell, lengths = tape.cell, tape.lengths
            d_x = RaggedBatch(self._given(context, made["d_x"]), lengths)
            states = [made[f"d_{letter}_0"] for letter in cell.state_names]
            d_state_0 = cell.state_type(*[self._given(context, array) for array in states])
            sums = {name: made[name].get() for name in ("W_ih", "W_hh", "sums")}
            gradients = _parameter_gradients(cell, sums)
        return Gradients(CellParameters(gradients), d_x, d_state_0)

    # --- forward -----------------------------------------------------------------------------

    def _cut(self, context: DeviceContext, cell: AnyCell, dtype: np.dtype[Any]) -> Any:
        return choose(
            kernel_cell(cell), np.dtype(dtype), cell.hidden_size, context.device,
            variant=self.variant, team=self.team,
        )  # fmt: skip

    def _choice(self, context: DeviceContext, cell: AnyCell, batch: RaggedBatch) -> Choice:
        found = self._cut(context, cell, batch.dtype)
        made: Choice | str
        if isinstance(found, str):
            made = found
        else:
            variant, cut = found
            made = laid_out(
                variant, cut, batch.lengths, cell.hidden_size, context.device, self.lanes
            )
        if isinstance(made, str):
            raise UnsupportedCase(f"unroll {self.name!r} cannot run {cell}: {made}")
        return made

    def _forward(
        self, context: DeviceContext, choice: Choice, cell: AnyCell, parameters: CellParameters,
        batch: RaggedBatch, state_0: State, reverse: bool,
    ) -> _Saved:  # fmt: skip
        kernel, dtype, stream = choice.cut.cell, batch.dtype, self.stream
        N, H = batch.total_steps, cell.hidden_size
        arrays = {
            "x": self._own(context, batch.values, "values"),
            "W_ih": upload(context, parameters["W_ih"], stream),
            "weights": upload(context, choice.cut.pack(parameters["W_hh"]), stream),
            "a": empty(context, (N, kernel.gates * H), dtype),
            "y": empty(context, (N, H), dtype),
        }
        for letter, array in zip(cell.state_names, state_0, strict=True):
            name = f"state_0.{letter}"
            arrays[f"{letter}_0"] = self._own(context, array, name)
            arrays[f"{letter}_n"] = self._own(context, array, name)  # at length 0 it stays
        if kernel.has_c:
            arrays["c"] = empty(context, (N, H), dtype)
        if kernel.has_q:
            arrays["q"] = empty(context, (N, H), dtype)
            arrays["b_hn"] = upload(context, hidden_bias(cell, parameters), stream)
        schedule = DeviceSchedule.of(context, choice, batch.offsets, stream)
        saved = _Saved(choice, schedule, arrays)
        if N:
            bias = input_bias(cell, parameters)
            bias_there = None if bias is None else upload(context, bias, stream)
            self._products(context, dtype).gates(
                _matrix(arrays["x"]), _matrix(arrays["W_ih"]),
                None if bias_there is None else bias_there.pointer, _matrix(arrays["a"]), stream,
            )  # fmt: skip
            pointers = {k: v.pointer for k, v in arrays.items() if k not in ("x", "W_ih")}
            recurrence = Recurrence(context, choice, self.patience)
            recurrence.forward(schedule, -1 if reverse else 1, H, pointers, stream)
            wait(stream)  # the bias goes back to the pool
        return saved

    def _own(self, context: DeviceContext, array: Any, name: str) -> DeviceArray:
        """A copy on the device, which nobody else changes."""
        if not is_on_device(array):
            return upload(context, array, self.stream)
        return _copied(context, as_device_array(context, array, name=name), self.stream)

    def _products(self, context: DeviceContext, dtype: np.dtype[Any]) -> Products:
        module = load_module(context, "products.cu")
        made: Products = context.cached(
            ("products", dtype.itemsize), lambda: Products(module.module, dtype)
        )
        return made

    # --- backward ----------------------------------------------------------------------------

    def _backward(
        self, context: DeviceContext, tape: Tape, d_output: Array, d_state_n: State
    ) -> dict[str, DeviceArray]:
        saved: _Saved = tape.saved
        kernel, dtype, stream = saved.choice.cut.cell, tape.dtype, self.stream
        N, H = saved.arrays["y"].shape
        arrays = {
            "d_y": self._there(context, d_output, "d_output"),
            "d_a": empty(context, (N, kernel.cotangents * H), dtype),
            "d_x": empty(context, saved.arrays["x"].shape, dtype),
        }
        for letter, array in zip(tape.cell.state_names, d_state_n, strict=True):
            name = f"d_state_n.{letter}"
            arrays[f"d_{letter}_n"] = self._there(context, array, name)
            arrays[f"d_{letter}_0"] = self._own(context, array, name)
        if kernel.phases == 2:
            arrays["rh"] = empty(context, (N, H), dtype)
        if N:
            from_tape = ("weights", "h_0", "c_0", "a", "y", "c", "q")
            pointers = {k: v.pointer for k, v in saved.arrays.items() if k in from_tape}
            pointers |= {k: v.pointer for k, v in arrays.items() if k != "d_x"}
            direction = -1 if tape.reverse else 1
            recurrence = Recurrence(context, saved.choice, self.patience)
            recurrence.backward(saved.schedule, direction, H, pointers, stream)
        try:
            arrays |= self._gradients(context, tape, arrays)
        except driver().Error as error:
            raise device_error(error, "the products after the recurrence") from error
        wait(stream)
        return arrays

    def _there(self, context: DeviceContext, array: Any, name: str) -> DeviceArray:
        """On the device: a copy of a host array, and what lies there as it is."""
        if not is_on_device(array):
            return upload(context, array, self.stream)
        return as_device_array(context, array, name=name)

    def _gradients(
        self, context: DeviceContext, tape: Tape, made: Mapping[str, DeviceArray]
    ) -> dict[str, DeviceArray]:
        """The products after the recurrence: gradients of inputs and parameters."""
        saved: _Saved = tape.saved
        products, stream = self._products(context, tape.dtype), self.stream
        arrays, kernel = saved.arrays, saved.choice.cut.cell
        H, wide = tape.cell.hidden_size, kernel.gates * tape.cell.hidden_size
        d_a = _matrix(made["d_a"])
        of_inputs = d_a._replace(columns=wide, leading=d_a.columns)
        before = empty(context, arrays["y"].shape, tape.dtype)
        products.previous_rows(
            _matrix(arrays["y"]), _matrix(arrays["h_0"]), saved.schedule.offsets.pointer,
            -1 if tape.reverse else 1, _matrix(before), stream,
        )  # fmt: skip
        gradients = {
            "W_ih": empty(context, arrays["W_ih"].shape, tape.dtype),
            "W_hh": empty(context, (wide, H), tape.dtype),
            "sums": empty(context, (d_a.columns,), tape.dtype),
        }
        scratch = self._scratch(context, products, d_a.rows, gradients)
        room = Scratch(scratch.pointer, scratch.nbytes)
        products.input_gradient(
            of_inputs, _matrix(arrays["W_ih"]), _matrix(made["d_x"]), stream
        )  # fmt: skip
        products.weight_gradient(
            of_inputs, _matrix(arrays["x"]), _matrix(gradients["W_ih"]), room, stream
        )  # fmt: skip
        for columns, rows, operand in _hidden_products(kernel, H, made, before):
            part = _part(gradients["W_hh"], rows, H, tape.dtype.itemsize)
            pointer = d_a.pointer + columns.start * tape.dtype.itemsize
            d_part = Matrix(pointer, d_a.rows, len(columns), d_a.columns)
            products.weight_gradient(d_part, _matrix(operand), part, room, stream)
        products.row_sums(d_a, gradients["sums"].pointer, room, stream)
        wait(stream)  # `before` and the scratch go back to the pool
        return gradients

    def _scratch(
        self, context: DeviceContext, products: Products, rows: int,
        gradients: Mapping[str, DeviceArray],
    ) -> DeviceArray:  # fmt: skip
        outs = [_matrix(array) for array in gradients.values()]
        size = max(products.launches.scratch_bytes(rows, out, _MOST_SCRATCH) for out in outs)
        return empty(context, (size,), np.uint8)

    def _given(self, context: DeviceContext, array: DeviceArray) -> Any:
        """An array as the caller wants it, whose memory is the caller's."""
        return array.get() if self.result == "numpy" else _copied(context, array, self.stream)


@contextmanager
def _failures_told(what: str) -> Iterator[None]:
    """Name the run in which the driver fails, where no launch in it has been named."""
    try:
        yield
    except driver().Error as error:
        raise device_error(error, f"a copy or product of {what}") from error


def _copied(context: DeviceContext, array: DeviceArray, stream: Any) -> DeviceArray:
    """A copy on the device."""
    made = empty(context, array.shape, array.dtype)
    if array.nbytes:
        driver().memcpy_dtod_async(made.pointer, array.pointer, array.nbytes, stream)
    wait(stream)
    return made


def _matrix(array: DeviceArray) -> Matrix:
    """A device array as an operand; one of one dimension is a row."""
    rows, columns = (1, *array.shape)[-2:]
    return Matrix(array.pointer, rows, columns)


def _part(array: DeviceArray, rows: range, columns: int, itemsize: int) -> Matrix:
    """Some rows of a device array."""
    return Matrix(array.pointer + rows.start * columns * itemsize, len(rows), columns)


def _hidden_products(
    kernel: Any, H: int, made: Mapping[str, DeviceArray], before: DeviceArray
) -> list[tuple[range, range, DeviceArray]]:
    """Of which columns of d_a, with what, the gradient of which rows of W_hh is the product."""
    if kernel.has_q:  # n meets W_hn through r
        n_h = (range(3 * H, 4 * H), range(2 * H, 3 * H), before)
        return [(range(2 * H), range(2 * H), before), n_h]
    if kernel.phases == 2:
        n = range(2 * H, 3 * H)
        return [(range(2 * H), range(2 * H), before), (n, n, made["rh"])]
    every = range(kernel.gates * H)
    return [(every, every, before)]


def _parameter_gradients(cell: AnyCell, made: Mapping[str, Array]) -> dict[str, Array]:
    """Gradients by the parameters' names and in their order."""
    kernel, H = kernel_cell(cell), cell.hidden_size
    sums = made["sums"]
    found = {"W_ih": made["W_ih"], "W_hh": made["W_hh"], "b_ih": sums[: kernel.gates * H]}
    found["b_hh"] = np.concatenate([sums[: 2 * H], sums[3 * H :]]) if kernel.has_q else sums
    return {name: found[name] for name in cell.parameter_shapes()}


def _choices(choice: Choice) -> dict[str, Any]:
    """What ``run.plan`` shows."""
    cut = choice.cut
    return {
        "variant": choice.variant,
        "team": choice.blocks,
        "teams": choice.teams,
        "lanes": choice.schedule.num_lanes,
        "lanes_of_team": choice.lanes_of_team,
        "threads": cut.threads,
    }


def _check_choice(value: Any, name: str, expected: tuple[Any, ...]) -> None:
    if value not in expected:
        shown = ", ".join(map(repr, expected))
        raise ValueError(f"{name} has value {value!r}, expected one of {shown}")
