"""One assertion for the owner of a kernel: results against the reference, every array accounted."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Any, TypeAlias

from ..comparison import Case, Reference, name_results, reference, run_both_ways
from ..tolerances import Deviation, deviation
from ..types import Array
from ..unroll import Unroll, resolve
from ..validation import as_array

__all__ = ["assert_matches_reference"]

_Results: TypeAlias = Mapping[str, Any]

#: An array's deviation, or what is wrong with it beside its numbers.
_Verdict: TypeAlias = Deviation | str

_SHOWN = 3  # of what is wrong, in full below the table


def assert_matches_reference(
    case: Case,
    got: _Results | str | Unroll | Callable[[Case], _Results],
    *,
    truth: Reference | None = None,
    unchecked: Collection[str] = (),
) -> list[Deviation]:
    """Raise AssertionError unless results lie within the one tolerance of the reference.

    Parameters
    ----------
    case : Case
    got : mapping of str to array_like, or str or Unroll, or callable
        Results under the names of :func:`refrnn.comparison.run_case`, each of the case's dtype; or
        an unroll to run the case with; or a function of the case that returns such a mapping.
    truth : Reference, optional
        Of this case, where it is known already (:func:`refrnn.comparison.reference`).
    unchecked : collection of str
        Arrays that `got` does not have. Each array of the reference is either in `got` or here:
        nothing is left unchecked without saying so.

    Returns
    -------
    list of Deviation
        One for each array that was compared, in the reference's order.

    Raises
    ------
    AssertionError
        If an array is out of tolerance, missing, one too many, or has another shape or dtype. The
        message is a table of every array, with the first few failures in full below.
    TypeError
        If an argument has the wrong type.
    ValueError
        If `unchecked` has a name that the reference does not have or that `got` has, or names
        everything; if `truth` has arrays of other names or shapes; or if the reference itself is
        not finite.
    refrnn.errors.UnsupportedCase
        If an unroll cannot run the case.

    Examples
    --------
    >>> import refrnn as rr
    >>> from refrnn.cases import hard_case
    >>> from refrnn.testing import assert_matches_reference
    >>> case = hard_case("unsorted", rr.GRU(3, 4))
    >>> all(d.in_tolerances < 1 for d in assert_matches_reference(case, "packed"))
    True
    """
    if not isinstance(case, Case):
        raise TypeError(f"case has type {type(case).__name__}, expected a Case")
    truth = _check_truth(case, truth)
    results = _results(case, got)
    left_out = _check_unchecked(unchecked, truth, results)
    verdicts: dict[str, _Verdict] = {
        name: _judge(case, truth, name, results) for name in truth.results if name not in left_out
    }
    verdicts.update({n: "is no result of this cell" for n in results if n not in truth.results})
    if any(isinstance(v, str) or not v.ok for v in verdicts.values()):
        raise AssertionError(_report(case, verdicts, left_out))
    return [v for v in verdicts.values() if isinstance(v, Deviation)]


def _results(case: Case, got: Any) -> _Results:
    """What `got` is or gives, as a mapping."""
    if isinstance(got, Mapping):
        return got
    is_unroll = isinstance(got, str) or all(hasattr(got, m) for m in ("forward", "backward"))
    if is_unroll:
        run, gradients = run_both_ways(case, resolve(got))
        try:
            return name_results(case, run, gradients)
        except (TypeError, ValueError) as error:  # a record of the wrong kind, rows of others
            raise AssertionError(f"{_title(case)}: {error}") from error
    if not callable(got):
        raise TypeError(
            f"got has type {type(got).__name__}, expected a mapping of arrays, an unroll, or a "
            "function of the case"
        )
    made = got(case)
    if not isinstance(made, Mapping):
        raise TypeError(
            f"got(case) has type {type(made).__name__}, expected a mapping of str to arrays"
        )
    return made


def _check_truth(case: Case, truth: Reference | None) -> Reference:
    """The reference; ValueError for that of another case, which would blame the kernel."""
    if truth is None:
        return reference(case)
    if not isinstance(truth, Reference):
        raise TypeError(f"truth has type {type(truth).__name__}, expected a Reference")
    cell, N = case.cell, case.batch.total_steps
    shapes: dict[str, tuple[int, ...]] = {
        "output": (N, cell.output_size),
        "d_input": (N, cell.input_size),
    }
    for name, size in zip(cell.state_names, cell.state_sizes, strict=True):
        shapes[f"{name}_n"] = shapes[f"d_{name}_0"] = (len(case.batch), size)
    shapes.update({f"d_{name}": shape for name, shape in cell.parameter_shapes().items()})
    found = {name: array.shape for name, array in truth.results.items()}
    if found != shapes:
        raise ValueError(f"truth has arrays {found}, expected those of the case = {shapes}")
    return truth


def _check_unchecked(unchecked: Any, truth: Reference, results: _Results) -> frozenset[str]:
    """The names to leave out, each one of the reference and missing in the results."""
    if isinstance(unchecked, str) or not isinstance(unchecked, Collection):
        raise TypeError(f"unchecked has type {type(unchecked).__name__}, expected a tuple of names")
    for name in unchecked:
        if name not in truth.results:
            names = ", ".join(truth.results)
            raise ValueError(f"unchecked has name {name!r}, expected one of {names}")
        if name in results:
            raise ValueError(
                f"unchecked has name {name!r}, which got has too, expected names of missing arrays"
            )
    if len(set(unchecked)) == len(truth.results):
        raise ValueError("unchecked has every name, expected at least one array to check")
    return frozenset(unchecked)


def _judge(case: Case, truth: Reference, name: str, results: _Results) -> _Verdict:
    """The deviation of one array, or what is wrong with it beside its numbers."""
    if name not in results:
        return "is missing"
    expected: Array = truth.results[name]
    try:
        array = as_array(results[name], name, f"{case.dtype} of shape {expected.shape}")
    except (TypeError, ValueError) as error:
        return str(error).removeprefix(f"{name} ")
    if array.dtype != case.dtype:
        return f"has dtype {array.dtype}, expected {case.dtype} as the case"
    if array.shape != expected.shape:
        return f"has shape {array.shape}, expected {expected.shape}"
    return deviation(
        name,
        array,
        expected,
        scale=truth.scales[name],
        dtype=case.dtype,
        max_length=case.batch.max_length,
    )


def _report(case: Case, verdicts: Mapping[str, _Verdict], left_out: Collection[str]) -> str:
    """The table, and the first failures in full."""
    failures = {name: v for name, v in verdicts.items() if isinstance(v, str) or not v.ok}
    rows: list[tuple[str, ...]] = [
        ("array", "tolerances", "normwise", "worst element", "got", "expected")
    ]
    rows += [_row(name, verdict) for name, verdict in verdicts.items()]
    rows += [(name, "unchecked") for name in sorted(left_out)]
    full = [row for row in rows if len(row) == len(rows[0])]
    widths = [max(len(row[k]) for row in full) for k in range(len(rows[0]))]
    widths[0] = max(len(row[0]) for row in rows)
    lines = []
    for row in rows:
        cells = [cell.ljust(width) for cell, width in zip(row, widths, strict=False)]
        mark = "*" if row[0] in failures else " "
        lines.append(f"{mark} {'  '.join(cells)}".rstrip())
    shown = [
        f"{name} {v}" if isinstance(v, str) else str(v)
        for name, v in list(failures.items())[:_SHOWN]
    ]
    if len(failures) > _SHOWN:
        shown.append(f"... and {len(failures) - _SHOWN} more")
    head = f"{_title(case)}: {len(failures)} of {len(verdicts)} arrays are wrong (*)"
    return "\n".join([head, *lines, "", *shown])


def _row(name: str, verdict: _Verdict) -> tuple[str, ...]:
    """One line of the table."""
    if isinstance(verdict, str):
        return name, verdict
    where = f"[{', '.join(map(str, verdict.where))}]" if verdict.where else "-"
    return (
        name,
        f"{verdict.in_tolerances:.3g}",
        f"{verdict.normwise:.1e}",
        where,
        f"{verdict.got:.9g}",
        f"{verdict.expected:.9g}",
    )


def _title(case: Case) -> str:
    """What was run."""
    name = f"{case.name}: " if case.name else ""
    return f"{name}{case.cell}, {case.batch}{', reverse' if case.reverse else ''}"
