"""Mutants that walk time wrongly: lengths, padding, direction, order of the batch, states."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np

from ...comparison import Case, Results
from ...ragged import RaggedBatch
from ...types import IntArray
from .base import Mutant, both, is_lstm, is_single, row_map, run, with_state

__all__ = ["MUTANTS"]

_GROUP = "ragged"
_ROWS = ("output", "d_input")


# --- which cases -------------------------------------------------------------------------------


def _lengths(case: Any) -> IntArray:
    lengths: IntArray = case.batch.lengths
    return lengths


def _is_ragged(case: Any) -> bool:
    return is_single(case) and len(set(_lengths(case).tolist())) > 1


def _is_padded(case: Any) -> bool:
    """Stored as (T, B, F), with NaN in the padding."""
    return is_single(case) and "/nan_padding" in case.name


def _has_empty(case: Any) -> bool:
    return is_single(case) and bool((_lengths(case) == 0).any())


def _has_steps(case: Any) -> bool:
    return is_single(case) and bool((_lengths(case) > 0).any())


def _has_time(case: Any) -> bool:
    return is_single(case) and bool((_lengths(case) > 1).any())


def _is_unsorted(case: Any) -> bool:
    return is_single(case) and not np.array_equal(_sorted(case), np.arange(len(_lengths(case))))


def _has_state(case: Any) -> bool:
    return is_single(case) and case.state_0 is not None and len(_lengths(case)) > 0


def _square(case: Any) -> bool:
    return is_lstm(case) and case.cell.output_size == case.cell.hidden_size


# --- padding -----------------------------------------------------------------------------------


def _padded(case: Case, fill: float = 0.0) -> Results:
    """Every sequence as long as the longest, its padding read like steps; rows of real steps."""
    lengths, T = _lengths(case), case.batch.max_length
    all_steps = np.full_like(lengths, T)

    def stretched(rows: Any, padding: float) -> RaggedBatch:
        padded = RaggedBatch(rows, lengths).to_padded(padding_value=padding)
        return RaggedBatch.from_padded(padded, all_steps)

    d_output = None if case.d_output is None else stretched(case.d_output, 0.0).values
    whole = case._replace(batch=stretched(case.batch.values, fill), d_output=d_output)
    results = run(whole)
    for name in _ROWS:
        padded = RaggedBatch(results[name], all_steps).to_padded()
        results[name] = RaggedBatch.from_padded(padded, lengths).values.copy()
    return results


def _final_state_of_padding(case: Case) -> Results:
    """All right but h_n and c_n, which are the states after the last padded step."""
    padded = _padded(case)
    return {**run(case), **{n: padded[n] for n in case_states(case)}}


def case_states(case: Case) -> list[str]:
    """h_n, c_n."""
    return [f"{letter}_n" for letter in case.cell.state_names]


def _empty_rows(case: Case, *, names: tuple[str, ...], from_padding: bool = False) -> Results:
    """Rows of length 0 of some state arrays: zeros, or what padding makes of them."""
    results, empty = run(case), _lengths(case) == 0
    other = _padded(case) if from_padding else {}
    for name in names:
        if name in results:
            results[name][empty] = other[name][empty] if from_padding else 0.0
    return results


def _mask_multiplied(case: Case) -> Results:
    """Padding times 0: what is NaN there arrives everywhere that padding was stepped."""
    return _padded(case, np.nan)


def _short(case: Case) -> Results:
    """The final state is that of one step before the last."""
    lengths = _lengths(case)
    fewer = np.maximum(lengths - 1, 0)
    keep = [
        np.arange(start + case.reverse, start + case.reverse + n)
        for start, n in zip(case.batch.offsets[:-1].tolist(), fewer.tolist(), strict=True)
    ]
    rows = np.concatenate([np.zeros(0, np.int64), *keep])
    shorter = case._replace(batch=RaggedBatch(case.batch.values[rows], fewer), d_output=None)
    early = run(shorter)
    return {**run(case), **{n: early[n] for n in case_states(case)}}


def _batch_first(case: Case) -> Results:
    """(T, B, F) read as (B, T, F)."""
    lengths, T = _lengths(case), case.batch.max_length
    wrong = case.batch.to_padded().reshape(len(lengths), T, -1)
    return run(case._replace(batch=RaggedBatch.from_padded(wrong, lengths, batch_first=True)))


# --- direction ---------------------------------------------------------------------------------


def _other_direction(case: Case) -> Results:
    return run(case._replace(reverse=not case.reverse))


def _not_turned_back(case: Case, name: str) -> Results:
    """Rows of this result in the order they were stepped."""
    results = run(case)
    rows = row_map(case.batch, range(len(case.batch)), turned=True)
    return {**results, name: results[name][rows]}


def _turned_cotangent(case: Case) -> Results:
    """d_output taken in the order of processing."""
    assert case.d_output is not None
    rows = row_map(case.batch, range(len(case.batch)), turned=True)
    return run(case._replace(d_output=case.d_output[rows]))


def _h_n_at_last_position(case: Case) -> Results:
    """h_n is the output at the last position, which the reverse direction reads first."""
    results, lengths = run(case), _lengths(case)
    h_n = results["h_n"].copy()
    h_n[lengths > 0] = results["output"][case.batch.offsets[1:][lengths > 0] - 1]
    return {**results, "h_n": h_n}


# --- order of the batch ------------------------------------------------------------------------


def _sorted(case: Any) -> IntArray:
    """The batch by length, the longest first, as packing sorts it."""
    order: IntArray = np.argsort(-_lengths(case), kind="stable")
    return order


def _order_not_restored(case: Case, names: tuple[str, ...]) -> Results:
    """Results of these names in the order the batch was sorted to."""
    results, order = run(case), _sorted(case)
    for name in names:
        if name in results:
            rows = row_map(case.batch, order.tolist()) if name in _ROWS else order
            results[name] = results[name][rows]
    return results


def _state_not_sorted(case: Case) -> Results:
    """The batch is sorted, the initial states are not."""
    wrong = np.empty_like(_sorted(case))
    wrong[_sorted(case)] = np.arange(len(wrong))
    return run(case._replace(state_0=with_state(case.state_0, lambda a: a[wrong])))


def _cotangent_not_sorted(case: Case) -> Results:
    """The batch is sorted, d_state_n is not."""
    wrong = np.empty_like(_sorted(case))
    wrong[_sorted(case)] = np.arange(len(wrong))
    return run(case._replace(d_state_n=with_state(case.d_state_n, lambda a: a[wrong])))


# --- states ------------------------------------------------------------------------------------


def _no_initial_state(case: Case, letters: str) -> Results:
    state = case.state_0
    zero = {letter: np.zeros_like(getattr(state, letter)) for letter in letters}
    return run(case._replace(state_0=state._replace(**zero)))


def _swapped_states(case: Case) -> Results:
    """(c, h) for (h, c), coming in."""
    state = case.state_0
    return run(case._replace(state_0=state._replace(h=state.c, c=state.h)))


def _swapped_results(case: Case) -> Results:
    results = run(case)
    return {**results, "h_n": results["c_n"], "c_n": results["h_n"]}


def _one_state_for_all(case: Case) -> Results:
    """The first sequence's initial state for every sequence."""
    first = with_state(case.state_0, lambda a: np.repeat(a[:1], len(a), axis=0))
    return run(case._replace(state_0=first))


def _state_runs_on(case: Case) -> Results:
    """A sequence begins in the state that the one before it ended in."""
    B = len(case.batch)
    state = case.cell.zero_state(B) if case.state_0 is None else case.state_0
    for b in range(1, B):
        results = run(case._replace(state_0=state))
        ended = {n: results[f"{n}_n"][b - 1] for n in case.cell.state_names}
        state = with_state(state, np.copy)
        for letter, row in ended.items():
            getattr(state, letter)[b] = row
    return run(case._replace(state_0=state))


def _m(name: str, about: str, applies: Any, how: Any, /, **options: Any) -> Mutant:
    return Mutant(
        name, about, _GROUP, applies, functools.partial(how, **options) if options else how
    )


_reverse = both(is_single, lambda case: case.reverse)
_reverse_in_time = both(_reverse, _has_time)
_h_only = both(is_lstm, _has_state)

MUTANTS: list[Mutant] = [
    _m("lengths ignored", "steps every sequence to the longest length", _is_ragged, _padded),
    _m(
        "final state after padding",
        "h_n and c_n are the states after the last padded step",
        _is_ragged,
        _final_state_of_padding,
    ),
    _m("padding times a mask", "multiplies NaN in the padding by 0", _is_padded, _mask_multiplied),
    _m("one step short", "h_n and c_n are the states before the last step", _has_steps, _short),
    _m(
        "batch first",
        "reads (T, B, F) as (B, T, F)",
        _is_padded,
        _batch_first,
    ),
    _m(
        "final state of length 0 is zero",
        "drops the initial state of a sequence without steps, as ONNX Runtime does",
        both(_has_empty, _has_state),
        _empty_rows,
        names=("h_n", "c_n"),
    ),
    _m(
        "final state of length 0 from padding",
        "a sequence without steps ends in the state after the padding",
        both(_has_empty, _has_steps),
        _empty_rows,
        names=("h_n", "c_n"),
        from_padding=True,
    ),
    _m(
        "no gradient through length 0",
        "d_h_0 and d_c_0 of a sequence without steps are zero",
        _has_empty,
        _empty_rows,
        names=("d_h_0", "d_c_0"),
    ),
    _m(
        "direction ignored",
        "runs the reverse direction forward",
        _reverse_in_time,
        _other_direction,
    ),
    _m(
        "reverse over padding",
        "begins the reverse direction in the padding",
        both(_reverse, _is_ragged),
        _padded,
    ),
    *(
        _m(
            f"{name} of the reverse direction not turned back",
            f"leaves {name} in the order of processing",
            _reverse_in_time,
            _not_turned_back,
            name=name,
        )
        for name in _ROWS
    ),
    _m(
        "d_output of the reverse direction not turned",
        "takes d_output in the order of processing",
        both(_reverse_in_time, lambda case: case.d_output is not None),
        _turned_cotangent,
    ),
    _m(
        "h_n of the reverse direction at the last position",
        "takes the output at the end of the sequence for the final state",
        _reverse_in_time,
        _h_n_at_last_position,
    ),
    _m(
        "order of outputs not restored",
        "returns outputs sorted by length",
        _is_unsorted,
        _order_not_restored,
        names=("output",),
    ),
    _m(
        "order of final states not restored",
        "returns h_n and c_n sorted by length",
        _is_unsorted,
        _order_not_restored,
        names=("h_n", "c_n"),
    ),
    _m(
        "order of input gradients not restored",
        "returns d_input sorted by length",
        _is_unsorted,
        _order_not_restored,
        names=("d_input",),
    ),
    _m(
        "order of state gradients not restored",
        "returns d_h_0 and d_c_0 sorted by length",
        _is_unsorted,
        _order_not_restored,
        names=("d_h_0", "d_c_0"),
    ),
    _m(
        "initial states not sorted",
        "sorts the batch by length, not the initial states",
        both(_is_unsorted, _has_state),
        _state_not_sorted,
    ),
    _m(
        "d_state_n not sorted",
        "sorts the batch by length, not the cotangents of the final states",
        _is_unsorted,
        _cotangent_not_sorted,
    ),
    _m(
        "initial state ignored",
        "begins at zero",
        both(_has_state, lambda case: not is_lstm(case)),
        _no_initial_state,
        letters="h",
    ),
    _m("h_0 and c_0 ignored", "begins at zero", _h_only, _no_initial_state, letters="hc"),
    _m("h_0 ignored", "begins at h = 0", _h_only, _no_initial_state, letters="h"),
    _m("c_0 ignored", "begins at c = 0", _h_only, _no_initial_state, letters="c"),
    _m(
        "h_0 and c_0 in each other's place",
        "takes (c, h) for (h, c)",
        both(_square, _has_state),
        _swapped_states,
    ),
    _m("h_n and c_n in each other's place", "returns (c, h) for (h, c)", _square, _swapped_results),
    _m(
        "one initial state for all",
        "takes the first sequence's for every sequence",
        both(_has_state, lambda case: len(case.batch) > 1),
        _one_state_for_all,
    ),
    _m(
        "state runs on",
        "begins a sequence in the state that the one before it ended in",
        lambda case: is_single(case) and len(case.batch) > 1,
        _state_runs_on,
    ),
]
