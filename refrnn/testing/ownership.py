"""P8, P11: nobody's memory is changed, shared or left unwritten, however it is laid out."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from unittest import mock

import numpy as np

from ..comparison import Case, Results, run_case
from ..ragged import RaggedBatch
from ..types import Array
from ..unroll import Gradients, Run, Unroll, backward, forward
from .holding import hold_bitwise

__all__ = [
    "accepts_any_layout",
    "inputs_stay_untouched",
    "repeats_bitwise",
    "results_are_their_own",
]


def inputs_stay_untouched(unroll: Unroll, case: Case) -> None:
    """P8: no argument changes, and what becomes of them after forward changes no gradient."""
    expected = run_case(case, unroll)
    case = _map_arrays(case, np.copy)
    values = case.batch.values.copy()
    state = type(case.state_0)._make([a.copy() for a in case.state_0])
    weights = {name: a.copy() for name, a in case.parameters.items()}
    lengths = case.batch.lengths.copy()
    given = [values, *state, *weights.values(), lengths]
    before = [a.copy() for a in given]
    batch = RaggedBatch(values, lengths)
    run = forward(case.cell, weights, batch, state, reverse=case.reverse, unroll=unroll)
    for array, copy in zip(given, before, strict=True):
        assert np.array_equal(array, copy), "forward has modified an argument"
        array[...] = 99  # what the tape needs must be its own
    assert case.d_output is not None
    cotangents = [case.d_output, *case.d_state_n]
    before = [a.copy() for a in cotangents]
    gradients = backward(run.tape, case.d_output, case.d_state_n)
    for array, copy in zip(cotangents, before, strict=True):
        assert np.array_equal(array, copy), "backward has modified a cotangent"
        array[...] = np.nan
    hold_bitwise(_named(case, run, gradients), expected)


def results_are_their_own(unroll: Unroll, case: Case) -> None:
    """P8: no result shares memory with an argument, another result or the tape.

    The tape is opaque, so sharing with it is seen by what it would do: results are overwritten,
    and the tape walked back again.
    """
    expected = run_case(case, unroll)
    given = [case.batch.values, *case.state_0, *case.parameters.values()]
    run = forward(
        case.cell, case.parameters, case.batch, case.state_0, reverse=case.reverse, unroll=unroll
    )
    results = [run.output.values, *run.state_n]
    _hold_apart(results, given)
    for array in results:
        _overwrite(array)
    for _ in range(2):
        gradients = backward(run.tape, case.d_output, case.d_state_n)
        named = _named(case, run, gradients)
        hold_bitwise(named, {name: a for name, a in expected.items() if name.startswith("d_")})
        found = [a for name, a in named.items() if name.startswith("d_")]
        _hold_apart(found, [*given, *results, case.d_output, *case.d_state_n])
        for array in found:
            _overwrite(array)


def accepts_any_layout(unroll: Unroll, case: Case) -> None:
    """P8: strided, Fortran-ordered, read-only and byte-swapped arguments give the same bits."""
    expected = run_case(case, unroll)
    layouts: list[Callable[[Array], Array]] = [
        _strided,
        np.asfortranarray,
        lambda array: array.astype(array.dtype.newbyteorder()),
    ]
    for layout in layouts:
        hold_bitwise(run_case(_map_arrays(case, layout), unroll), expected)


def repeats_bitwise(unroll: Unroll, case: Case) -> None:
    """P11: two runs are equal bit for bit, and no result keeps what its buffer held before.

    For the second, NumPy's uninitialised arrays are handed out full of NaN (of Python code; a
    kernel of another language has to see to its own buffers).
    """
    expected = run_case(case, unroll)
    hold_bitwise(run_case(case, unroll), expected)
    with _poisoned_buffers():
        hold_bitwise(run_case(case, unroll), expected)


def _named(case: Case, run: Run, gradients: Gradients) -> Results:
    """Results under the names of :func:`refrnn.comparison.run_case`."""
    names = case.cell.state_names
    named = {"output": run.output.values, "d_input": gradients.input.values}
    named.update({f"{n}_n": a for n, a in zip(names, run.state_n, strict=True)})
    named.update({f"d_{n}_0": a for n, a in zip(names, gradients.state_0, strict=True)})
    named.update({f"d_{n}": a for n, a in gradients.parameters.items()})
    return named


def _map_arrays(case: Case, change: Callable[[Array], Array]) -> Case:
    """The case with `change` applied to every array; they are then read-only but cotangents."""

    def frozen(array: Array) -> Array:
        changed = change(array)
        changed.flags.writeable = False
        return changed

    return case._replace(
        batch=case.batch.with_values(frozen(case.batch.values)),
        parameters=type(case.parameters)({n: frozen(a) for n, a in case.parameters.items()}),
        state_0=type(case.state_0)._make([frozen(a) for a in case.state_0]),
        d_output=None if case.d_output is None else change(case.d_output),
        d_state_n=type(case.d_state_n)._make([change(a) for a in case.d_state_n]),
    )


def _strided(array: Array) -> Array:
    """The same numbers as every second element, backwards, of a larger array full of NaN."""
    wide = np.full([2 * n for n in array.shape], np.nan, array.dtype)
    view = wide[tuple(slice(None, None, -2) for _ in array.shape)]
    view[...] = array
    return view


def _hold_apart(results: list[Array], others: list[Any]) -> None:
    """Fail if a result shares memory with another one or with any of `others`."""
    for i, array in enumerate(results):
        for other in [*results[:i], *others]:
            assert not np.shares_memory(array, other), "a result shares memory"


def _overwrite(array: Array) -> None:
    """Fill with NaN, where the owner of the memory lets anybody write."""
    view = array.view()
    try:
        view.flags.writeable = True
    except ValueError:
        return
    view[...] = np.nan


@contextmanager
def _poisoned_buffers() -> Iterator[None]:
    """np.empty and np.empty_like hand out NaN, so that whatever is left unwritten shows."""
    empty, empty_like = np.empty, np.empty_like

    def poison(array: Array) -> Array:
        if array.dtype.kind in "fc":
            array.fill(np.nan)
        elif array.dtype.kind == "b":
            array.fill(True)
        elif array.dtype.kind == "i":
            array.fill(np.iinfo(array.dtype).min)
        return array

    with (
        mock.patch.object(np, "empty", lambda *a, **k: poison(empty(*a, **k))),
        mock.patch.object(np, "empty_like", lambda *a, **k: poison(empty_like(*a, **k))),
    ):
        yield
