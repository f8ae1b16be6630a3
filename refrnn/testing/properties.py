"""The properties every unroll is held to, each a function of an unroll and a case.

Each returns nothing and raises AssertionError with the worst element named. They need NumPy only.
Where two runs are compared that the law does not promise to be bitwise equal, the one tolerance of
:mod:`refrnn.tolerances` decides, with the scale of the case.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from unittest import mock

import numpy as np

from ..comparison import Case, Results, compare, reference, run_case
from ..gradcheck import check_gradients
from ..ragged import RaggedBatch
from ..tolerances import Deviation
from ..types import Array
from ..unroll import Unroll, backward, forward

__all__ = [
    "PROPERTIES",
    "accepts_any_layout",
    "agrees_with_the_definition",
    "backward_is_linear",
    "gradients_match_the_complex_step",
    "ignores_neighbours",
    "inputs_stay_untouched",
    "nan_stays_in_its_sequence",
    "padding_reaches_nothing",
    "partitions_add_up",
    "permutes_with_the_batch",
    "repeats_bitwise",
    "reverse_is_forward_on_reversed",
    "split_equals_whole",
]


def agrees_with_the_definition(unroll: Unroll, case: Case) -> None:
    """P2, P9, P10: outputs, states and every gradient lie within tolerance of ``per_sequence``."""
    _hold(compare(case, unroll))


def padding_reaches_nothing(unroll: Unroll, case: Case) -> None:
    """P3: the same bits whatever stood in the padding the batch was read from."""
    expected = run_case(case, unroll)
    for poison in (np.nan, np.inf, 1e300):
        with np.errstate(over="ignore"):
            padded = case.batch.to_padded(padding_value=poison)
        batch = RaggedBatch.from_padded(padded, case.batch.lengths)
        _hold_bitwise(run_case(case._replace(batch=batch), unroll), expected)


def permutes_with_the_batch(unroll: Unroll, case: Case) -> None:
    """P4: permuting the batch permutes the results."""
    order = np.random.default_rng(0).permutation(case.batch.batch_size)
    got = run_case(_take(case, order), unroll)
    _hold(compare(case, _scatter(case, order, got)))


def ignores_neighbours(unroll: Unroll, case: Case) -> None:
    """P4: a sequence run alone gives the results it gives in the batch."""
    truth = reference(case)
    got = {name: array.copy() for name, array in run_case(case, unroll).items()}
    for b in range(case.batch.batch_size):
        alone = run_case(_take(case, np.array([b])), unroll)
        for name, array in alone.items():
            if not _is_parameter(case, name):
                got[name][_rows(case, name, np.array([b]))] = array
    _hold(compare(case, got, truth))


def nan_stays_in_its_sequence(unroll: Unroll, case: Case) -> None:
    """P4: NaN in one sequence's h_0 stays there, but shows in the parameter gradients."""
    if case.batch.batch_size == 0:
        return
    victim = int(case.batch.lengths.argmax())
    h_0 = case.state_0.h.copy()
    h_0[victim] = np.nan
    got = run_case(case._replace(state_0=case.state_0._replace(h=h_0)), unroll)
    expected = run_case(case, unroll)
    for name, array in got.items():
        if _is_parameter(case, name):
            continue
        mine = np.zeros(len(array), np.bool_)
        mine[_rows(case, name, np.array([victim]))] = True
        same = np.allclose(array[~mine], expected[name][~mine], rtol=1e-3, atol=1e-3)
        assert same, f"NaN of sequence {victim} reaches other rows of {name}"
    if case.batch.lengths[victim]:
        assert np.isnan(got["d_W_hh"]).any(), "NaN in h_0 does not show in d_W_hh"


def gradients_match_the_complex_step(unroll: Unroll, case: Case) -> None:
    """P5: every gradient matches a directional derivative, argument by argument."""
    bad = [check for check in check_gradients(case, unroll, directions=1) if not check.ok]
    assert not bad, "; ".join(map(str, bad))


def backward_is_linear(unroll: Unroll, case: Case) -> None:
    """P5: backward(u + 2v) = backward(u) + 2 backward(v)."""
    rng = np.random.default_rng(0)
    assert case.d_output is not None
    other = case._replace(
        d_output=np.asarray(rng.uniform(-1, 1, case.d_output.shape), case.dtype),
        d_state_n=type(case.d_state_n)._make(
            [np.asarray(rng.uniform(-1, 1, a.shape), case.dtype) for a in case.d_state_n]
        ),
    )
    assert other.d_output is not None
    both = case._replace(
        d_output=case.d_output + 2 * other.d_output,
        d_state_n=type(case.d_state_n)._make(
            [a + 2 * b for a, b in zip(case.d_state_n, other.d_state_n, strict=True)]
        ),
    )
    parts = [run_case(c, unroll) for c in (case, other)]
    truth = reference(both)
    got = dict(truth.results)
    for name in got:
        if name.startswith("d_"):
            got[name] = parts[0][name] + 2 * parts[1][name]
    # u and 2v may cancel in the sum: each part has its own rounding, and so its own scale
    scales = [reference(c).scales for c in (case, other)]
    summed = {n: truth.scales[n] + scales[0][n] + 2 * scales[1][n] for n in truth.scales}
    _hold(compare(both, got, truth._replace(scales=summed)))


def split_equals_whole(unroll: Unroll, case: Case) -> None:
    """P6: two windows with the state carried over, and its cotangent carried back, are one run."""
    middle = case.batch.max_length // 2
    windows = [(0, middle), (middle, case.batch.max_length)]
    if case.reverse:
        windows.reverse()
    state, runs = case.state_0, []
    for window in windows:
        part = case.batch.slice_time(*window)
        run = forward(case.cell, case.parameters, part, state, reverse=case.reverse, unroll=unroll)
        runs.append(run)
        state = run.state_n
    got: Results = {f"{n}_n": a for n, a in zip(case.cell.state_names, state, strict=True)}
    assert case.d_output is not None
    d_outputs, d_state = case.batch.with_values(case.d_output), case.d_state_n
    pieces: dict[str, list[Any]] = {"output": [None, None], "d_input": [None, None]}
    total: Results = {}
    for i in (1, 0):
        start, stop = windows[i]
        gradients = backward(runs[i].tape, d_outputs.slice_time(start, stop), d_state)
        d_state = gradients.state_0
        place = 1 - i if case.reverse else i
        pieces["output"][place] = runs[i].output
        pieces["d_input"][place] = gradients.input
        for name, array in gradients.parameters.items():
            total[f"d_{name}"] = total.get(f"d_{name}", 0) + array
    for name, (early, late) in pieces.items():
        joined = [np.concatenate(pair) for pair in zip(early, late, strict=True)]
        empty = np.zeros((0, early.features), case.dtype)
        got[name] = np.concatenate([empty, *joined])
    got.update({f"d_{n}_0": a for n, a in zip(case.cell.state_names, d_state, strict=True)})
    _hold(compare(case, {**got, **total}))


def reverse_is_forward_on_reversed(unroll: Unroll, case: Case) -> None:
    """P7: reverse is forward on sequences turned round within their own length."""
    turned = case._replace(
        batch=_turn(case.batch),
        d_output=_turn(case.batch.with_values(case.d_output)).values,
        reverse=not case.reverse,
    )
    got = run_case(turned, unroll)
    for name in ("output", "d_input"):
        got[name] = _turn(case.batch.with_values(got[name])).values
    _hold(compare(case, got))


def inputs_stay_untouched(unroll: Unroll, case: Case) -> None:
    """P8: no argument changes, no result aliases one, the tape keeps no view of any of them."""
    values = case.batch.values.copy()
    batch = RaggedBatch(values, case.batch.lengths)
    state = type(case.state_0)._make([a.copy() for a in case.state_0])
    weights = {name: a.copy() for name, a in case.parameters.items()}
    given = [values, *state, *weights.values()]
    before = [a.copy() for a in given]
    run = forward(case.cell, weights, batch, state, reverse=case.reverse, unroll=unroll)
    results = [run.output.values, *run.state_n]
    for array, copy in zip(given, before, strict=True):
        assert np.array_equal(array, copy), "an argument was modified by forward"
        assert not any(np.shares_memory(array, r) for r in results), "a result aliases an argument"
        array[...] = np.nan  # what the tape needs must be its own
    gradients = backward(run.tape, case.d_output, case.d_state_n)
    again = backward(run.tape, case.d_output, case.d_state_n)
    expected = run_case(case, unroll)
    for result in (gradients, again):
        got = {"d_input": result.input.values}
        got.update({f"d_{n}": a for n, a in result.parameters.items()})
        got.update(
            {f"d_{n}_0": a for n, a in zip(case.cell.state_names, result.state_0, strict=True)}
        )
        _hold_bitwise(got, {name: expected[name] for name in got})
    assert case.d_output is not None
    assert not np.shares_memory(gradients.input.values, case.d_output)


def accepts_any_layout(unroll: Unroll, case: Case) -> None:
    """P8: strided, Fortran-ordered, read-only and byte-swapped input give the same bits."""
    expected = run_case(case, unroll)
    wide = np.full((2 * case.batch.total_steps, 2 * case.batch.features), np.nan, case.dtype)
    wide[::2, ::2] = case.batch.values
    swapped = case.batch.values.astype(case.dtype.newbyteorder())
    for values in (wide[::2, ::2], np.asfortranarray(case.batch.values), swapped):
        values.flags.writeable = False
        batch = RaggedBatch(values, case.batch.lengths)
        _hold_bitwise(run_case(case._replace(batch=batch), unroll), expected)


def repeats_bitwise(unroll: Unroll, case: Case) -> None:
    """P11: two runs are equal bit for bit, and no result keeps what its buffer held before."""
    expected = run_case(case, unroll)
    _hold_bitwise(run_case(case, unroll), expected)
    with _poisoned_buffers():
        _hold_bitwise(run_case(case, unroll), expected)


def partitions_add_up(unroll: Unroll, case: Case) -> None:
    """P12: the parameter gradients of a batch are those of its parts, added up."""
    if case.batch.batch_size < 2:
        return
    half = case.batch.batch_size // 2
    parts = [np.arange(half), np.arange(half, case.batch.batch_size)]
    runs = [run_case(_take(case, part), unroll) for part in parts]
    got = run_case(case, unroll)
    for name in got:
        if _is_parameter(case, name):
            got[name] = runs[0][name] + runs[1][name]
    _hold(compare(case, got))


#: All of them, as the suite runs them.
PROPERTIES = (
    agrees_with_the_definition,
    padding_reaches_nothing,
    permutes_with_the_batch,
    ignores_neighbours,
    nan_stays_in_its_sequence,
    gradients_match_the_complex_step,
    backward_is_linear,
    split_equals_whole,
    reverse_is_forward_on_reversed,
    inputs_stay_untouched,
    accepts_any_layout,
    repeats_bitwise,
    partitions_add_up,
)


def _hold(deviations: list[Deviation]) -> None:
    """Fail with the worst deviation, if it is out of tolerance."""
    worst = max(deviations, key=lambda d: d.in_tolerances)
    assert worst.ok, str(worst)


def _hold_bitwise(got: Results, expected: Results) -> None:
    """Fail unless the arrays are equal bit for bit."""
    for name, array in expected.items():
        same = got[name].dtype == array.dtype and got[name].tobytes() == array.tobytes()
        assert same, f"{name} differs in bits: {got[name]} and {array}"


def _is_parameter(case: Case, name: str) -> bool:
    """Whether a result is the gradient of a parameter."""
    return name.removeprefix("d_") in case.parameters


def _rows(case: Case, name: str, chosen: Array) -> Array:
    """Which rows of a result belong to the chosen sequences, in their order."""
    if name not in ("output", "d_input"):
        return chosen
    starts = case.batch.offsets
    ranges = [np.arange(starts[b], starts[b + 1]) for b in chosen]
    return np.concatenate([np.zeros(0, np.int64), *ranges])


def _take(case: Case, chosen: Array) -> Case:
    """The case with the chosen sequences only, in that order."""
    rows = _rows(case, "output", chosen)

    def pick(state: Any) -> Any:
        return type(state)._make([a[chosen] for a in state])

    return case._replace(
        batch=case.batch.permute(chosen),
        d_output=None if case.d_output is None else case.d_output[rows],
        state_0=pick(case.state_0),
        d_state_n=pick(case.d_state_n),
    )


def _scatter(case: Case, order: Array, got: Results) -> Results:
    """Undo :func:`_take` of a permutation on results."""
    back = {}
    for name, array in got.items():
        back[name] = array
        if not _is_parameter(case, name):
            back[name] = np.empty_like(array)
            back[name][_rows(case, name, order)] = array
    return back


def _turn(batch: RaggedBatch) -> RaggedBatch:
    """Every sequence reversed within its own length."""
    empty = np.zeros((0, batch.features), batch.dtype)
    return batch.with_values(np.concatenate([empty, *(s[::-1] for s in batch)]))


@contextmanager
def _poisoned_buffers() -> Iterator[None]:
    """np.empty and np.empty_like hand out NaN, so that whatever is left unwritten shows."""
    empty, empty_like = np.empty, np.empty_like

    def poison(array: Array) -> Array:
        if array.dtype.kind in "fc":
            array.fill(np.nan)
        elif array.dtype.kind == "b":
            array.fill(True)
        return array

    with (
        mock.patch.object(np, "empty", lambda *a, **k: poison(empty(*a, **k))),
        mock.patch.object(np, "empty_like", lambda *a, **k: poison(empty_like(*a, **k))),
    ):
        yield
