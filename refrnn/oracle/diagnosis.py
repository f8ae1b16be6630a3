"""Say what kind of error it looks like."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

import numpy as np

from ..tolerances import Deviation
from ..types import Array
from .evaluation import Setting
from .mistakes import mistakes
from .network import Results
from .reference import Truth
from .semantics import Semantics
from .subject import Expected

__all__ = ["Diagnosis", "diagnose"]

# Permutations of the rows are looked for along axes of at most this many.
_MOST_ROWS = 64

#: A subject's layout of results under given semantics.
PresentAs = Callable[[Results, Semantics], Mapping[str, Expected]]


class Diagnosis(NamedTuple):
    """What one array looks like.

    Attributes
    ----------
    words : str
        A sentence without the name of the array.
    explained : bool
        Whether a mistake was found that gives the very numbers.
    """

    words: str
    explained: bool


class _Tried(NamedTuple):
    """A mistake, the arrays that it explains, and how well."""

    words: str
    explains: dict[str, Deviation]
    whole: bool


def diagnose(
    setting: Setting,
    truth: Truth,
    got: Mapping[str, Array],
    wrong: Iterable[str],
    present: PresentAs,
    dtype: Any,
) -> dict[str, Diagnosis]:
    """Try the classic mistakes on the arrays that differ.

    Parameters
    ----------
    setting : Setting
        Of float64.
    truth : Truth
        Of the setting.
    got : mapping of str to ndarray
        What came of the run, of the shapes of ``truth.expected``.
    wrong : iterable of str
        The names in `got` that are out of tolerance.
    present : callable
        A subject's layout of results under given semantics.
    dtype : dtype
        What `got` was computed in.

    Returns
    -------
    dict of str to Diagnosis
        One for each name in `wrong`. A mistake that explains all of them, and contradicts no other
        array, comes before one that explains a part; what no mistake explains is described.
    """
    names = list(wrong)
    tried: list[_Tried] = []
    for words, presented in _presented(setting, present):
        found = _compared(truth, got, names, presented, dtype)
        if not found:
            continue
        rest = [name for name in got if name not in names]
        whole = len(found) == len(names) and _agree(truth, got, rest, presented, dtype)
        tried.append(_Tried(words, found, whole))
        if whole:
            return {n: Diagnosis(_agreement(words, d), True) for n, d in found.items()}
    diagnoses = {}
    for name in names:
        partly = [t for t in tried if name in t.explains]
        obvious = _obvious(truth, name, got[name], setting)
        if obvious is not None:
            diagnoses[name] = Diagnosis(obvious, True)
        elif partly:
            best = max(partly, key=lambda t: len(t.explains))
            diagnoses[name] = Diagnosis(_agreement(best.words, best.explains[name]), True)
        elif (similar := _of_one_array(truth, name, got[name], dtype)) is not None:
            diagnoses[name] = Diagnosis(similar, True)
        else:
            diagnoses[name] = Diagnosis(_described(truth, name, got[name], dtype), False)
    return diagnoses


def _presented(
    setting: Setting, present: PresentAs
) -> Iterable[tuple[str, Mapping[str, Expected]]]:
    """Every mistake that can be computed here, in the subject's layout."""
    for mistake in mistakes(setting):
        try:
            with np.errstate(all="ignore"):
                presented = present(mistake.results(), mistake.semantics)
        except NotImplementedError:  # a mistake that is not worked out for this network
            continue
        yield mistake.words, presented


def _compared(
    truth: Truth,
    got: Mapping[str, Array],
    names: Iterable[str],
    presented: Mapping[str, Expected],
    dtype: Any,
) -> dict[str, Deviation]:
    """The arrays among `names` that agree with a mistake."""
    found = {}
    for name in names:
        deviation = truth.deviation(name, got[name], dtype, presented[name])
        if deviation.ok:
            found[name] = deviation
    return found


def _agree(
    truth: Truth,
    got: Mapping[str, Array],
    names: Iterable[str],
    presented: Mapping[str, Expected],
    dtype: Any,
) -> bool:
    """Whether every one of these arrays agrees with a mistake."""
    return all(truth.deviation(n, got[n], dtype, presented[n]).ok for n in names)


def _agreement(words: str, deviation: Deviation) -> str:
    return f"with {words} it agrees to {deviation.normwise:.0e}"


# --- one array -----------------------------------------------------------------------------------


def _obvious(truth: Truth, name: str, got: Array, setting: Setting) -> str | None:
    """What needs no comparison."""
    expected = truth.expected[name]
    seen = got if expected.compared is None else got[expected.compared]
    if not np.isfinite(seen).all():
        return _not_finite(seen, setting)
    if not seen.any():
        dropped = ": the gradient is dropped" if name.startswith("d_") else ""
        return f"it is zero everywhere{dropped}"
    return None


def _of_one_array(truth: Truth, name: str, got: Array, dtype: Any) -> str | None:
    """What can be seen from an array and its reference alone."""
    expected = truth.expected[name]
    wanted = expected.array
    if expected.compared is not None:
        got = np.where(expected.compared, got, wanted)

    def agrees(array: Array) -> Deviation | None:
        deviation = truth.deviation(name, got, dtype, Expected(array))
        return deviation if deviation.ok else None

    for factor in _factors(got, wanted):
        if agrees(factor * wanted):
            return f"it is {factor:g} times the reference"
    rows = _row_order(got, wanted)
    if rows is not None:
        axis, order = rows
        if agrees(np.take(wanted, order, axis=axis)):
            return f"along axis {axis} its rows are those of the reference in the order {order}"
    if wanted.ndim == 2 and wanted.shape[0] == wanted.shape[1] and agrees(wanted.T):
        return "it is the transpose of the reference"
    if np.dtype(dtype) == np.float64 and truth.deviation(name, got, np.float32).ok:
        # a mistake in a few elements may be as small as that; float32 shows in all of them
        bad = np.abs(got - wanted) > truth.deviation(name, got, dtype).tolerance
        if 2 * int(bad.sum()) < np.count_nonzero(wanted):
            return None
        return "it has the accuracy of float32, not of float64"
    return None


def _not_finite(got: Array, setting: Setting) -> str:
    """NaN or Inf: from the padding if there is any."""
    bad = int((~np.isfinite(got)).sum())
    padding = setting.problem.padding[~setting.problem.mask]
    if not np.isfinite(padding).all():
        return f"the NaN of the padding leaks into it ({bad} of {got.size} elements)"
    return f"{bad} of {got.size} elements are not finite"


def _factors(got: Array, wanted: Array) -> list[float]:
    """The factor between two arrays, as the round number it may be."""
    square = float((wanted * wanted).sum())
    if square == 0 or not np.isfinite(square):
        return []
    factor = float((got * wanted).sum()) / square
    candidates = [sign * value for sign in (1.0, -1.0) for value in (*range(1, 65),)]
    candidates += [1 / c for c in candidates]
    nearest = min(candidates, key=lambda c: abs(c - factor))
    return [nearest] if nearest != 1.0 and abs(nearest - factor) < 1e-3 * abs(nearest) else []


def _row_order(got: Array, wanted: Array) -> tuple[int, list[int]] | None:
    """The axis along which `got` has the rows of `wanted` in another order, and that order."""
    for axis in range(wanted.ndim):
        count = wanted.shape[axis]
        if not 2 <= count <= _MOST_ROWS:
            continue
        mine = np.moveaxis(got, axis, 0).reshape(count, -1).astype(np.float64)
        theirs = np.moveaxis(wanted, axis, 0).reshape(count, -1).astype(np.float64)
        distance = np.abs(mine[:, None] - theirs[None]).max(axis=2)
        order = distance.argmin(axis=1)
        if len(set(order.tolist())) == count and not np.array_equal(order, np.arange(count)):
            return axis, order.tolist()
    return None


def _described(truth: Truth, name: str, got: Array, dtype: Any) -> str:
    """How much of an array is wrong, where nothing explains it."""
    expected = truth.expected[name]
    worst = truth.deviation(name, got, dtype)
    error = np.abs(got - expected.array)
    if expected.compared is not None:
        error = np.where(expected.compared, error, 0)
    bad = error > worst.tolerance
    count, total = int(bad.sum()), bad.size
    text = f"{count} of {total} elements differ"
    for axis in range(bad.ndim):
        hit = np.flatnonzero(bad.any(axis=tuple(a for a in range(bad.ndim) if a != axis)))
        if bad.ndim > 1 and len(hit) == 1 and count > 1:
            text += f", all at index {hit[0]} of axis {axis}"
    return f"{text}, and no mistake that was tried explains them"
