"""P4, P6, P7, P12: a batch is its sequences, and a sequence is its steps, however divided."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from ..comparison import Case, Results, compare, reference, run_case
from ..unroll import Run, Unroll, backward, forward
from .holding import hold, hold_bitwise
from .rearranging import is_parameter, rows_of, scatter, take, turn

__all__ = [
    "ignores_neighbours",
    "nan_stays_in_its_sequence",
    "neighbours_change_no_bit",
    "partitions_add_up",
    "permutes_with_the_batch",
    "reverse_is_forward_on_reversed",
    "split_equals_whole",
]


def permutes_with_the_batch(unroll: Unroll, case: Case) -> None:
    """P4: permuting the batch permutes the results, and leaves parameter gradients as they are."""
    order = np.random.default_rng(0).permutation(case.batch.batch_size)
    permuted = run_case(take(case, order), unroll)
    got = {name: array.copy() for name, array in permuted.items()}
    scatter(case, order, permuted, into=got)
    hold(compare(case, got))


def ignores_neighbours(unroll: Unroll, case: Case) -> None:
    """P4: a sequence run alone gives the results it gives in the batch, within tolerance."""
    hold(compare(case, _one_by_one(unroll, case)))


def neighbours_change_no_bit(unroll: Unroll, case: Case) -> None:
    """P4 for unrolls that promise bits: a sequence alone gives the very bits it gives in a batch.

    Not one of :data:`refrnn.testing.properties.PROPERTIES`: BLAS cannot promise it.
    """
    hold_bitwise(_one_by_one(unroll, case), run_case(case, unroll))


def nan_stays_in_its_sequence(unroll: Unroll, case: Case) -> None:
    """P4: NaN in a sequence or its initial state stays there, but shows in parameter gradients.

    The longest sequence, which has the most neighbours, is spoiled: each part of its initial
    state, its last step (the first one in reverse), and, so that padding is next to it, the last
    step of the shortest sequence that has one.
    """
    truth = reference(case)
    for name, victim, spoiled in _spoiled(case):
        got = run_case(spoiled, unroll)
        shows = np.isnan(got["d_W_hh"]).any() or np.isnan(got["d_W_ih"]).any()
        # a gate held at its clip passes no cotangent on, and so none that a NaN in c_0 has spoiled
        hidden = name.startswith("c_0") and case.cell.gate_clip is not None
        assert shows or hidden, f"NaN in {name} shows in no parameter gradient"
        for result, array in got.items():
            if is_parameter(case, result):
                got[result] = truth.results[result]
                continue
            rows = rows_of(case, result, np.array([victim]))
            array = got[result] = array.copy()
            if result == "output":
                assert np.isnan(array[rows]).any(), f"NaN in {name} does not show in its output"
            array[rows] = truth.results[result][rows]
        hold(compare(case, got, truth))


def split_equals_whole(unroll: Unroll, case: Case) -> None:
    """P6: windows of time, the state carried over and its cotangent back, are one run.

    In halves and in windows of two steps; this is stateful running and, as the cotangent is
    carried, exact backpropagation through them all.
    """
    truth = reference(case)
    longest = case.batch.max_length
    for width in {max(1, longest // 2), 2}:
        windows = [(at, at + width) for at in range(0, max(1, longest), width)]
        hold(compare(case, _in_windows(unroll, case, windows), truth))


def reverse_is_forward_on_reversed(unroll: Unroll, case: Case) -> None:
    """P7: reverse is forward on sequences turned round within their own length."""
    assert case.d_output is not None
    lengths = case.batch.lengths
    turned = case._replace(
        batch=case.batch.with_values(turn(case.batch.values, lengths)),
        d_output=turn(case.d_output, lengths),
        reverse=not case.reverse,
    )
    got = run_case(turned, unroll)
    for name in ("output", "d_input"):
        got[name] = turn(got[name], lengths)
    hold(compare(case, got))


def partitions_add_up(unroll: Unroll, case: Case) -> None:
    """P12: the parameter gradients of a batch are those of any partition of it, added up."""
    order = np.random.default_rng(1).permutation(case.batch.batch_size)
    got = run_case(case, unroll)
    total = {name: np.zeros_like(a) for name, a in got.items() if is_parameter(case, name)}
    for part in np.array_split(order, 3):
        for name, array in run_case(take(case, part), unroll).items():
            if name in total:
                total[name] += array
    hold(compare(case, {**got, **total}))


def _one_by_one(unroll: Unroll, case: Case) -> Results:
    """The results of the batch, the rows of each sequence replaced by those it has alone."""
    got = {name: array.copy() for name, array in run_case(case, unroll).items()}
    for b in range(case.batch.batch_size):
        chosen = np.array([b])
        scatter(case, chosen, run_case(take(case, chosen), unroll), into=got)
    return got


def _spoiled(case: Case) -> Iterator[tuple[str, int, Case]]:
    """What is NaN, in which sequence, and the case with it."""
    lengths = case.batch.lengths
    busy = np.flatnonzero(lengths)
    if busy.size == 0:
        return
    longest, shortest = int(lengths.argmax()), int(busy[lengths[busy].argmin()])
    for k, name in enumerate(case.cell.state_names):
        state = [array.copy() for array in case.state_0]
        state[k][longest] = np.nan
        yield f"{name}_0[{longest}]", longest, case._replace(state_0=case.state_0._make(state))
    for b in {longest, shortest}:
        row = case.batch.offsets[b + 1] - 1
        values = case.batch.values.copy()
        values[row] = np.nan
        yield f"input row {row}", b, case._replace(batch=case.batch.with_values(values))


def _in_windows(unroll: Unroll, case: Case, windows: list[tuple[int, int]]) -> Results:
    """The results of a run in windows of time, put together."""
    cell, names = case.cell, case.cell.state_names
    in_order = windows[::-1] if case.reverse else windows
    state, runs = case.state_0, list[Run]()
    for window in in_order:
        part = case.batch.slice_time(*window)
        run = forward(cell, case.parameters, part, state, reverse=case.reverse, unroll=unroll)
        runs.append(run)
        state = run.state_n
    got: Results = {f"{n}_n": a for n, a in zip(names, state, strict=True)}
    assert case.d_output is not None
    d_outputs, d_state = case.batch.with_values(case.d_output), case.d_state_n
    pieces = {}
    for run, window in zip(reversed(runs), reversed(in_order), strict=True):
        gradients = backward(run.tape, d_outputs.slice_time(*window), d_state)
        d_state = gradients.state_0
        pieces[window] = {"output": run.output, "d_input": gradients.input}
        for name, array in gradients.parameters.items():
            got[f"d_{name}"] = got.get(f"d_{name}", 0) + array
    for name in ("output", "d_input"):
        parts = [pieces[window][name] for window in windows]
        joined = [np.concatenate(rows) for rows in zip(*parts, strict=True)]
        got[name] = np.concatenate([np.zeros((0, parts[0].features), case.dtype), *joined])
    got.update({f"d_{n}_0": a for n, a in zip(names, d_state, strict=True)})
    return got
