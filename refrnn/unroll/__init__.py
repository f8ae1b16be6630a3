"""Ways to walk ragged time: the two functions that run them, and how a name becomes one."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..cells import Cell
from ..errors import UnsupportedCase
from ..parameters import CellParameters
from ..ragged import RaggedBatch
from ..types import Array
from ..validation import check_array, check_bool, check_shape
from .base import AnyCell, Gradients, Plan, Run, State, Tape, Unroll
from .bucketed import Bucketed
from .lanes import Lanes
from .masked import Masked
from .packed import Packed
from .per_sequence import PerSequence
from .registry import BUILT_IN, installed_unrolls, resolve

__all__ = [
    "BUILT_IN",
    "Bucketed",
    "Gradients",
    "Lanes",
    "Masked",
    "Packed",
    "PerSequence",
    "Plan",
    "Run",
    "Tape",
    "Unroll",
    "backward",
    "forward",
    "installed_unrolls",
    "resolve",
]


def forward(
    cell: AnyCell,
    params: Any,
    batch: RaggedBatch,
    state_0: Any = None,
    *,
    reverse: bool = False,
    unroll: str | Unroll = "lanes",
) -> Run:
    """Run a cell over every sequence of a batch, each exactly its own length.

    Parameters
    ----------
    cell : RNN, LSTM or GRU
    params : CellParameters or mapping of str to ndarray
        The names and shapes of ``cell.parameter_shapes()``, in the dtype of the batch.
    batch : RaggedBatch
        B sequences, N rows, ``cell.input_size`` features. Complex batches run forward only.
    state_0 : tuple of ndarrays (B, size), optional
        The initial state, ``(h_0,)`` or ``(h_0, c_0)``; zeros if None. An unroll on a device takes
        arrays with ``__cuda_array_interface__`` too.
    reverse : bool
        Step each sequence from its own last step to its first; outputs stay at their steps.
    unroll : str or Unroll
        How time is walked. All give the same result, to rounding.

    Returns
    -------
    Run
        ``output``, ``state_n``, ``tape`` for :func:`backward`, and ``plan``. Nothing in it aliases
        an argument, and no argument is changed.

    Raises
    ------
    TypeError
        If an argument has the wrong type, or dtypes are mixed.
    ValueError
        If a name, shape or number is wrong; the message names it. Nothing was computed.
    UnsupportedCase
        If this unroll cannot run this cell, dtype or direction.

    Examples
    --------
    >>> import numpy as np, refrnn as rr
    >>> rng = np.random.default_rng(0)
    >>> batch = rr.RaggedBatch.from_sequences([rng.normal(size=(n, 3)) for n in (4, 0, 2)])
    >>> cell = rr.GRU(3, 5)
    >>> run = rr.forward(cell, cell.init_parameters(rng), batch, unroll="packed")
    >>> run.output
    RaggedBatch(B=3, N=6, F=5, lengths 0..4, float64)
    >>> bool((run.state_n.h[0] == run.output[0][-1]).all())
    True
    """
    walker = resolve(unroll)
    params = _check_case(cell, params, batch)
    reverse = check_bool(reverse, "reverse")
    state = _check_states(cell, state_0, batch.batch_size, batch.dtype, "state_0", walker)
    reason = walker.supports(cell, batch.dtype, reverse=reverse)
    if reason is None and type(walker) in BUILT_IN.values():
        reason = _not_host_memory(batch)
    if reason is not None:
        raise UnsupportedCase(f"unroll {walker.name!r} cannot run {cell}: {reason}")
    with np.errstate(all="ignore"):  # overflow to 0 or inf is meant; NaN passes through
        return walker.forward(cell, params, batch, state, reverse)


def backward(tape: Tape, d_output: Any = None, d_state_n: Any = None) -> Gradients:
    """Pull cotangents of the outputs and final states back to every argument of :func:`forward`.

    Backpropagation through time (Werbos 1990), by hand; derivations on :doc:`/notation`.

    Parameters
    ----------
    tape : Tape
        ``run.tape``; may be walked back any number of times.
    d_output : ndarray of shape (N, R) or RaggedBatch, optional
        Cotangent of ``run.output``, in its row order; zero if None. An unroll on a device takes
        arrays with ``__cuda_array_interface__`` too, here and below.
    d_state_n : tuple of ndarrays (B, size), optional
        Cotangent of ``run.state_n``; zero if None, and so may be each of its parts.

    Returns
    -------
    Gradients
        ``parameters``, ``input``, ``state_0``; new arrays.

    Raises
    ------
    TypeError
        If `tape` is no tape, a cotangent has another dtype, or the run was complex.
    ValueError
        If a shape disagrees. Nothing was computed.
    """
    if not isinstance(tape, Tape):
        raise TypeError(f"tape has type {type(tape).__name__}, expected run.tape")
    if tape.dtype.kind == "c":
        raise TypeError(
            f"tape has dtype {tape.dtype}, expected a real one: complex is forward only"
        )
    rows = int(tape.lengths.sum())
    cotangent = _check_d_output(tape, d_output, rows)
    d_state = _check_states(
        tape.cell, d_state_n, tape.lengths.size, tape.dtype, "d_state_n", tape.unroll
    )
    with np.errstate(all="ignore"):
        return tape.unroll.backward(tape, cotangent, d_state)


def _check_case(cell: AnyCell, params: Any, batch: RaggedBatch) -> CellParameters:
    """Check cell, parameters and batch against each other; return the parameters as a record."""
    if not isinstance(cell, Cell):
        raise TypeError(f"cell has type {type(cell).__name__}, expected RNN, LSTM or GRU")
    if not isinstance(batch, RaggedBatch):
        raise TypeError(
            f"batch has type {type(batch).__name__}, expected a RaggedBatch "
            "(RaggedBatch.from_sequences or .from_padded makes one)"
        )
    checked: CellParameters = cell.check_parameters(params)
    if batch.features != cell.input_size:
        raise ValueError(
            f"batch has {batch.features} features, expected input_size = {cell.input_size}"
        )
    if batch.dtype != checked.dtype:
        raise TypeError(f"batch has dtype {batch.dtype}, expected {checked.dtype} as params")
    return checked


def _check_states(
    cell: AnyCell, state: Any, batch_size: int, dtype: np.dtype[Any], name: str, unroll: Unroll
) -> State:
    """A full state record of new C-contiguous arrays; None, whole or in part, becomes zeros.

    What lies on a device stays there, for the unroll to copy.
    """
    if state is None:
        return cell.zero_state(batch_size, dtype)
    names = cell.state_names
    expected = f"a tuple ({', '.join(names)}{',' * (len(names) == 1)})"
    if not isinstance(state, tuple):
        raise TypeError(f"{name} has type {type(state).__name__}, expected {expected}")
    if len(state) != len(names):
        raise ValueError(f"{name} has {len(state)} parts, expected {expected}")
    parts = []
    for part, letter, size in zip(state, names, cell.state_sizes, strict=True):
        if part is None:
            parts.append(np.zeros((batch_size, size), dtype))
            continue
        label = f"{name}.{letter}"
        array = _check_matrix(part, label, (batch_size, size), "(B, size)", unroll)
        if _dtype_of(array) != dtype:
            raise TypeError(f"{label} has dtype {_dtype_of(array)}, expected {dtype} as the batch")
        parts.append(array.copy(order="C") if isinstance(array, np.ndarray) else array)
    return cell.state_type(*parts)


def _check_d_output(tape: Tape, d_output: Any, rows: int) -> Array:
    """The cotangent of the output as an (N, R) array."""
    shape = (rows, tape.cell.output_size)
    if d_output is None:
        return np.zeros(shape, tape.dtype)
    if isinstance(d_output, RaggedBatch):
        if not np.array_equal(d_output.lengths, tape.lengths):
            raise ValueError(
                f"d_output has lengths {d_output.lengths.tolist()}, expected those of the run = "
                f"{tape.lengths.tolist()}"
            )
        d_output = d_output.values
    array: Array = _check_matrix(d_output, "d_output", shape, "(N, R)", tape.unroll)
    if _dtype_of(array) != tape.dtype:
        raise TypeError(f"d_output has dtype {_dtype_of(array)}, expected {tape.dtype} as the run")
    return array


def _check_matrix(value: Any, name: str, shape: tuple[int, int], rule: str, unroll: Unroll) -> Any:
    """An array of this shape: NumPy's, or one on a device where the unroll may take that."""
    if not isinstance(value, np.ndarray) and hasattr(value, "__cuda_array_interface__"):
        kind = type(value).__name__
        if type(unroll) in BUILT_IN.values():
            raise TypeError(
                f"{name} has type {kind} in device memory, expected a NumPy array: unroll "
                f"{unroll.name!r} computes on the host"
            )
        found = tuple(value.__cuda_array_interface__["shape"])
        if found != shape:
            raise ValueError(f"{name} has shape {found}, expected {rule} = {shape}")
        return value
    array = check_array(value, name, ndim=2, rule=f"{rule} = {shape}")
    check_shape(array, name, shape, rule)
    return array


def _dtype_of(array: Any) -> np.dtype[Any]:
    """The dtype of an array, of one on a device by its interface."""
    is_here = isinstance(array, np.ndarray)
    dtype: np.dtype[Any]
    dtype = array.dtype if is_here else np.dtype(array.__cuda_array_interface__["typestr"])
    return dtype


def _not_host_memory(batch: RaggedBatch) -> str | None:
    """Why a NumPy unroll cannot take this batch, if it is not in host memory."""
    if isinstance(batch.values, np.ndarray):
        return None
    kind = type(batch.values).__name__
    return f"values is a {kind} in device memory, and this unroll computes on NumPy arrays"
