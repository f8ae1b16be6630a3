"""Say what kind of error it looks like."""

from __future__ import annotations

import itertools
import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from ..tolerances import Deviation
from ..types import Array
from .evaluation import Setting
from .mistakes import Mistake, mistakes
from .network import Results
from .reference import Truth
from .semantics import Semantics
from .subject import Expected

__all__ = ["diagnose", "sentence", "settled"]

# Permutations of the rows are looked for along axes of at most this many.
_MOST_ROWS = 64
_FEW = 8
_PROJECTIONS = 3

_AGREES = " it agrees"
_COUNT = re.compile(r"^\d+ of \d+ ")
_LEAKS = "the NaN of the padding leaks into it"

#: A subject's layout of results under given semantics.
PresentAs = Callable[[Results, Semantics], Mapping[str, Expected]]


class _Tried(NamedTuple):
    """A mistake, the arrays that it explains, and how well.

    ``alone`` where it contradicts arrays that are right: it is then no more than a likeness.
    """

    words: str
    explains: dict[str, Deviation]
    whole: bool
    alone: bool

    def sentence(self, name: str) -> str:
        """What is said of an array that it explains."""
        normwise = self.explains[name].normwise
        how = f" to {normwise:.0e}" if normwise > 0 else " exactly"
        words = f"{self.words.rstrip(',')}, in this array alone," if self.alone else self.words
        return f"with {words}{_AGREES}{how}"


def diagnose(
    setting: Setting,
    truth: Truth,
    got: Mapping[str, Array],
    wrong: Iterable[str],
    present: PresentAs,
    dtype: Any,
    own: Callable[[Setting], Iterable[Mistake]] | None = None,
) -> dict[str, tuple[str, ...]]:
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
    own : callable, optional
        Mistakes that only this subject can make, tried after those that everybody makes.

    Returns
    -------
    dict of str to tuple of str
        For each name in `wrong` what it may be, in sentences without the name, the likeliest
        first: a mistake that explains all that is wrong and contradicts no other array, what is
        plain to see, a mistake that explains a part. What nothing explains is described.
    """
    names = list(wrong)
    rest = [name for name in got if name not in names]
    tried = []
    hopeless = all(_is_single(truth, name, got[name], dtype) for name in names)
    hopeless = hopeless or not any(np.isfinite(got[name]).all() for name in names)
    candidates = itertools.chain(mistakes(setting), () if own is None else own(setting))
    for words, presented in () if hopeless else _presented(candidates, present):
        explains = _compared(truth, got, names, presented, dtype)
        if explains:
            alone = not _agree(truth, got, rest, presented, dtype)
            whole = len(explains) == len(names) and not alone
            tried.append(_Tried(words, explains, whole, alone))
    # stable: the simpler first
    tried.sort(key=lambda t: (not t.whole, t.alone, -len(t.explains)))
    return {name: _sentences(truth, name, got[name], setting, dtype, tried) for name in names}


def settled(alternatives: Mapping[Any, tuple[str, ...]]) -> dict[Any, str]:
    """One sentence for each key: of its alternatives the one that most others share.

    On a problem of one row many mistakes give the same numbers; the other problems tell them apart.

    Parameters
    ----------
    alternatives : mapping of any key to tuple of str
        The likeliest first.
    """
    votes = Counter(sentence(words) for own in alternatives.values() for words in own)
    return {
        key: max(own, key=lambda words: votes[sentence(words)]) for key, own in alternatives.items()
    }


def sentence(words: str) -> str:
    """Words without the figures that differ from array to array."""
    words = _COUNT.sub("", words)
    for end in (_AGREES, _LEAKS, "it has shape"):
        if end in words:
            return words[: words.index(end) + len(end)]
    return words


def _sentences(
    truth: Truth, name: str, got: Array, setting: Setting, dtype: Any, tried: Sequence[_Tried]
) -> tuple[str, ...]:
    """What one array may be."""
    own = [t for t in tried if name in t.explains]
    found = [t.sentence(name) for t in own if t.whole]
    obvious = _obvious(truth, name, got, setting)
    found += obvious
    if not found:
        found = [t.sentence(name) for t in own]
        similar = _of_one_array(truth, name, got, dtype)
        found += [] if similar is None else [similar]
    return tuple(found) or (_described(truth, name, got, dtype),)


def _presented(
    candidates: Iterable[Mistake], present: PresentAs
) -> Iterable[tuple[str, Mapping[str, Expected]]]:
    """Every mistake that can be computed here, in the subject's layout."""
    for mistake in candidates:
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


# --- one array -----------------------------------------------------------------------------------


def _obvious(truth: Truth, name: str, got: Array, setting: Setting) -> list[str]:
    """What needs no comparison."""
    expected = truth.expected[name]
    seen = got if expected.compared is None else got[expected.compared]
    if not np.isfinite(seen).all():
        return _not_finite(seen, setting)
    if not seen.any():
        dropped = ": the gradient is dropped" if name.startswith("d_") else ""
        return [f"it is zero everywhere{dropped}"]
    return []


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
        bad = _differing(truth, name, got, dtype)
        if bad.sum() > np.count_nonzero(wanted) / 2:  # rounding spares few
            return "it has the accuracy of float32, not of float64"
    return None


def _not_finite(got: Array, setting: Setting) -> list[str]:
    """NaN or Inf: from the padding, unless there is some without NaN in the padding too."""
    bad = int((~np.isfinite(got)).sum())
    plain = f"{bad} of {got.size} elements are not finite"
    padding = setting.problem.padding[~setting.problem.mask]
    if np.isfinite(padding).all():
        return [plain]
    return [f"{_LEAKS} ({bad} of {got.size} elements)", plain]


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
    """The axis along which `got` has the rows of `wanted` in another order, and that order.

    Rows are told apart by a few random projections; whether the order is right is seen after.
    """
    for axis in range(wanted.ndim):
        count = wanted.shape[axis]
        if not 2 <= count <= _MOST_ROWS:
            continue
        mine = np.moveaxis(got, axis, 0).reshape(count, -1).astype(np.float64)
        theirs = np.moveaxis(wanted, axis, 0).reshape(count, -1).astype(np.float64)
        seen = np.random.default_rng(0).normal(size=(mine.shape[1], _PROJECTIONS))
        distance = np.abs((mine @ seen)[:, None] - (theirs @ seen)[None]).max(axis=2)
        order = distance.argmin(axis=1)
        if len(set(order.tolist())) == count and not np.array_equal(order, np.arange(count)):
            return axis, order.tolist()
    return None


def _differing(truth: Truth, name: str, got: Array, dtype: Any) -> Array:
    """Which elements are out of tolerance."""
    expected = truth.expected[name]
    with np.errstate(all="ignore"):
        error = np.abs(got - expected.array)
    if expected.compared is not None:
        error = np.where(expected.compared, error, 0)
    bad: Array = ~(error <= truth.deviation(name, got, dtype).tolerance)
    return bad


def _is_single(truth: Truth, name: str, got: Array, dtype: Any) -> bool:
    """Whether one element of many is wrong: no classic mistake does that."""
    return got.size > _FEW and int(_differing(truth, name, got, dtype).sum()) == 1


def _described(truth: Truth, name: str, got: Array, dtype: Any) -> str:
    """How much of an array is wrong, where nothing explains it."""
    bad = _differing(truth, name, got, dtype)
    count = int(bad.sum())
    text = f"{count} of {bad.size} elements differ{'s' * (count == 1)}"
    for axis in range(bad.ndim if count > 1 else 0):
        hit = np.flatnonzero(bad.any(axis=tuple(a for a in range(bad.ndim) if a != axis)))
        if bad.ndim > 1 and len(hit) == 1 and bad.shape[axis] > 1:
            text += f", all at index {hit[0]} of axis {axis}"
    return f"{text}, and no mistake that was tried explains it"
