"""What padding, bucketing, packing and lanes each cost on given lengths."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from ..lanes import LaneSchedule
from ..packing import step_batch_sizes
from ..types import IntArray
from ..validation import check_countable, check_dtype, check_integer, check_lengths
from .boundaries import bucket_ids, check_boundaries, optimal_boundaries

__all__ = ["SchemeCost", "WasteReport", "waste_report"]

_LSTM_GATES = 4


class SchemeCost(NamedTuple):
    """What one way of walking ragged time costs.

    Attributes
    ----------
    name : str
        ``"padded"``, ``"bucketed"``, ``"packed"`` or ``"lanes"``.
    detail : str
        What was chosen: number of buckets or lanes; else empty.
    batch_sizes : ndarray of int64, shape (sequential_depth,)
        Rows computed at each sequential step.
    useful_rows : ndarray of int64, shape (sequential_depth,)
        Rows of those that are not padding; the sum is N.
    tape_bytes : int or None
        Memory that the backward pass needs, if sizes were given.
    """

    name: str
    detail: str
    batch_sizes: IntArray
    useful_rows: IntArray
    tape_bytes: int | None

    @property
    def steps_computed(self) -> int:
        """Rows computed over all steps, padding included."""
        return int(self.batch_sizes.sum())

    @property
    def sequential_depth(self) -> int:
        """Steps that must follow one another."""
        return int(self.batch_sizes.size)

    @property
    def useful_share(self) -> float:
        """Share of the computed rows that are not padding; 1 when nothing is computed."""
        computed = self.steps_computed
        return int(self.useful_rows.sum()) / computed if computed else 1.0

    @property
    def rows_per_step(self) -> tuple[int, float, int]:
        """Smallest, median and largest batch of a step; zeros when there is no step."""
        if self.batch_sizes.size == 0:
            return (0, 0.0, 0)
        sizes = self.batch_sizes
        return (int(sizes.min()), float(np.median(sizes)), int(sizes.max()))

    def to_dict(self) -> dict[str, Any]:
        """Give the figures as plain Python objects for JSON, without the arrays."""
        least, median, most = self.rows_per_step
        return {
            "name": self.name,
            "detail": self.detail,
            "steps_computed": self.steps_computed,
            "useful_share": self.useful_share,
            "sequential_depth": self.sequential_depth,
            "rows_per_step": {"min": least, "median": median, "max": most},
            "tape_bytes": self.tape_bytes,
        }


class WasteReport(NamedTuple):
    """Padded, bucketed, packed and lanes side by side; ``str()`` is a table.

    Attributes
    ----------
    lengths : ndarray of int64, shape (B,)
    boundaries : ndarray of int64, shape (K-1,)
        Of the buckets, in the meaning of :func:`~refrnn.bucketing.boundaries.bucket_ids`.
    schemes : tuple of four SchemeCost
        In the order padded, bucketed, packed, lanes.
    schedule : LaneSchedule
        The one that was counted as lanes.
    tape_formula : str
        How the memory was counted; empty if no sizes were given.
    """

    lengths: IntArray
    boundaries: IntArray
    schemes: tuple[SchemeCost, ...]
    schedule: LaneSchedule
    tape_formula: str

    def to_dict(self) -> dict[str, Any]:
        """Give the report as plain Python objects for JSON."""
        return {
            "num_sequences": int(self.lengths.size),
            "total_steps": int(self.lengths.sum()),
            "longest": int(self.lengths.max(initial=0)),
            "boundaries": self.boundaries.tolist(),
            "tape_formula": self.tape_formula,
            "schemes": [scheme.to_dict() for scheme in self.schemes],
        }

    def __str__(self) -> str:
        with_tape = bool(self.tape_formula)
        rows = [_table_row(scheme, with_tape) for scheme in self.schemes]
        header = ["", "steps", "useful", "depth", "rows a step: min", "median", "max"]
        lines = [_summary(self.lengths), ""]
        lines += _align([header + ["tape"] * with_tape, *rows])
        lines += ["", "steps: rows computed, padding included; depth: steps one after another"]
        edges = ", ".join(map(str, self.boundaries.tolist())) or "none"
        lines.append(f"bucket boundaries (the first length of the next bucket): {edges}")
        if with_tape:
            lines.append(f"tape: {self.tape_formula}")
        return "\n".join(lines)


def waste_report(
    lengths: Any,
    *,
    boundaries: Any = None,
    num_buckets: int | None = None,
    lanes: int | None = None,
    hidden_size: int | None = None,
    input_size: int | None = None,
    num_gates: int | None = None,
    dtype: Any = None,
) -> WasteReport:
    """Count what padding, bucketing, packing and lanes compute for sequences of these lengths.

    Nothing is run. *Padded* steps all B rows T times; *bucketed* does so inside each bucket,
    buckets one after another; *packed* sorts by length and steps what is still alive; *lanes*
    is :class:`refrnn.lanes.LaneSchedule`.

    Parameters
    ----------
    lengths : array_like of int, shape (B,)
    boundaries : array_like of int, shape (K-1,), optional
        Strictly increasing; the meaning is that of :func:`~refrnn.bucketing.boundaries.bucket_ids`.
    num_buckets : int, optional
        Instead of `boundaries`:
        :func:`~refrnn.bucketing.boundaries.optimal_boundaries` for so many buckets; 4 if neither is
        given.
    lanes : int, optional
        Number of lanes, at least 1; chosen by the schedule if not given.
    hidden_size : int, optional
        H, at least 1. Given, the memory of the tape is counted:
        ``(2 G + 3) * H + I`` numbers a computed step (pre-activations and their gradients, states).
    input_size : int, optional
        I, at least 1: count the tape's copy of the input too.
    num_gates : int, optional
        G, at least 1; 4 (LSTM) if not given.
    dtype : dtype, optional
        Of the numbers on the tape; float32 if not given.

    Returns
    -------
    WasteReport

    Raises
    ------
    TypeError
        If something is not an integer, or the dtype is none that refrnn computes in.
    ValueError
        If a number is out of range, `boundaries` do not rise or come with `num_buckets`, or
        `input_size`, `num_gates` or `dtype` come without `hidden_size`.

    Examples
    --------
    >>> from refrnn.bucketing import waste_report
    >>> report = waste_report([2, 3, 9, 10], num_buckets=2)
    >>> [(s.name, s.steps_computed, s.sequential_depth) for s in report.schemes]
    [('padded', 40, 10), ('bucketed', 26, 13), ('packed', 24, 10), ('lanes', 24, 10)]
    """
    checked = check_lengths(lengths)
    check_countable(checked)
    checked.flags.writeable = False
    edges = _choose_boundaries(checked, boundaries, num_buckets)
    edges.flags.writeable = False
    bytes_a_step, formula = _tape_bytes_a_step(hidden_size, input_size, num_gates, dtype)
    schedule = LaneSchedule.from_lengths(checked, lanes)
    alive = step_batch_sizes(checked)
    padded = np.full(alive.size, checked.size, dtype=np.int64)
    in_buckets, useful, used = _bucketed(checked, edges)
    walked = (
        ("padded", "", padded, alive),
        ("bucketed", _count(used, "bucket"), in_buckets, useful),
        ("packed", "", alive, alive),
        ("lanes", _count(schedule.num_lanes, "lane"), schedule.batch_sizes, schedule.batch_sizes),
    )
    schemes = []
    for name, detail, sizes, useful_rows in walked:
        tape = None if bytes_a_step is None else bytes_a_step * int(sizes.sum())
        schemes.append(SchemeCost(name, detail, sizes, useful_rows, tape))
    return WasteReport(checked, edges, tuple(schemes), schedule, formula)


def _choose_boundaries(lengths: IntArray, boundaries: Any, num_buckets: int | None) -> IntArray:
    """Take the boundaries given, or the optimal ones."""
    if boundaries is None:
        return optimal_boundaries(lengths, 4 if num_buckets is None else num_buckets)
    if num_buckets is not None:
        raise ValueError("num_buckets has been given with boundaries, expected only one of the two")
    return check_boundaries(boundaries)


def _bucketed(lengths: IntArray, boundaries: IntArray) -> tuple[IntArray, IntArray, int]:
    """Rows computed and useful rows of each step, bucket after bucket; buckets that are used."""
    ids = bucket_ids(lengths, boundaries)
    computed, useful, used = [np.zeros(0, np.int64)], [np.zeros(0, np.int64)], 0
    for bucket in np.unique(ids).tolist():
        alive = step_batch_sizes(lengths[ids == bucket])
        computed.append(np.full(alive.size, np.count_nonzero(ids == bucket), dtype=np.int64))
        useful.append(alive)
        used += 1
    return np.concatenate(computed), np.concatenate(useful), used


def _tape_bytes_a_step(
    hidden_size: int | None, input_size: int | None, num_gates: int | None, dtype: Any
) -> tuple[int | None, str]:
    """Bytes on the tape for one computed row, and the formula in words."""
    if hidden_size is None:
        for name, value in (("input_size", input_size), ("num_gates", num_gates), ("dtype", dtype)):
            if value is not None:
                raise ValueError(f"{name} has value {value}, expected hidden_size to be given too")
        return None, ""
    hidden = check_integer(hidden_size, "hidden_size", minimum=1)
    inputs = 0 if input_size is None else check_integer(input_size, "input_size", minimum=1)
    gates = check_integer(_LSTM_GATES if num_gates is None else num_gates, "num_gates", minimum=1)
    number = check_dtype("float32" if dtype is None else dtype, "dtype", complex_allowed=False)
    copy, sizes = (" + I", f", I = {inputs}") if inputs else ("", "")
    formula = (
        f"(2 G + 3) * H{copy} numbers a computed step, G = {gates}, H = {hidden}{sizes}, {number}"
    )
    return ((2 * gates + 3) * hidden + inputs) * number.itemsize, formula


def _summary(lengths: IntArray) -> str:
    """One line about the lengths."""
    text = f"{_count(lengths.size, 'sequence')}, {_count(int(lengths.sum()), 'step')}"
    if lengths.size == 0:
        return text
    return (
        f"{text}: shortest {lengths.min():,}, median {np.median(lengths):,g}, "
        f"mean {lengths.mean():,.1f}, longest {lengths.max():,}"
    )


def _table_row(scheme: SchemeCost, with_tape: bool) -> list[str]:
    """One scheme as the cells of the table."""
    least, median, most = scheme.rows_per_step
    name = f"{scheme.name} ({scheme.detail})" if scheme.detail else scheme.name
    share = f"{100 * scheme.useful_share:.1f} %"
    cells = [name, f"{scheme.steps_computed:,}", share, f"{scheme.sequential_depth:,}"]
    cells += [f"{least:,}", f"{median:,g}", f"{most:,}"]
    return cells + [_bytes_text(scheme.tape_bytes or 0)] * with_tape


def _align(rows: list[list[str]]) -> list[str]:
    """Columns two spaces apart, the first to the left, numbers to the right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join([row[0].ljust(widths[0]), *map(str.rjust, row[1:], widths[1:])]) for row in rows
    ]


def _bytes_text(number: int) -> str:
    """Bytes with a binary prefix."""
    size = float(number)
    for unit in ("B", "KiB", "MiB", "GiB"):
        if size < 1024:
            return f"{size:.3g} {unit}"
        size /= 1024
    return f"{size:,.0f} TiB"


def _count(number: int, noun: str) -> str:
    """Write a number and its noun."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"
