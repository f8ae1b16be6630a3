"""The report: every array of every problem, what is wrong with it, and what it looks like."""

from __future__ import annotations

import json
import math
import textwrap
from collections.abc import Iterable
from enum import Enum
from typing import Any, NamedTuple

from ..tolerances import UNITS_PER_STEP, Deviation
from .diagnosis import sentence

__all__ = ["Entry", "Finding", "OracleError", "Report", "Status"]

#: Name and version of the JSON's layout.
FORMAT = "refrnn oracle 1"

_WIDTH = 100


class OracleError(AssertionError):
    """A subject differs from the reference; the message is the report."""


class Status(Enum):
    """What came of one array, or of one problem as a whole."""

    OK = "ok"
    ON_PURPOSE = "on purpose"
    FAILED = "FAILED"
    UNCHECKED = "unchecked"


class Entry(NamedTuple):
    """One array of one problem.

    Attributes
    ----------
    problem : str
    tensor : str
        In the subject's own name; empty where it is about the whole problem.
    status : Status
    deviation : Deviation or None
        In the subject's own layout; None where there is nothing to compare.
    ulps : float
        The worst error in units in the last place of the element.
    words : str
        Why it is not ok.
    """

    problem: str
    tensor: str
    status: Status
    deviation: Deviation | None = None
    ulps: float = 0.0
    words: str = ""


class Finding(NamedTuple):
    """Entries that look like the same thing.

    Attributes
    ----------
    status : Status
    words : str
    tensors, problems : tuple of str
    """

    status: Status
    words: str
    tensors: tuple[str, ...]
    problems: tuple[str, ...]

    def __str__(self) -> str:
        where = f"in {len(self.problems)} problems ({_some(self.problems)})"
        if len(self.problems) == 1:
            where = f"in {self.problems[0]}"
        subject = _some(self.tensors, 6) if any(self.tensors) else "the whole run"
        return f"{subject}, {where}: {self.words}"


class Report(NamedTuple):
    """What :func:`refrnn.oracle.check` found.

    Attributes
    ----------
    title : str
        The subject.
    network : str
        What it was compared with.
    dtype : str
    semantics : str
        The profile of what it does on purpose.
    entries : tuple of Entry
        One an array and problem, and one for each problem that could not be run.
    """

    title: str
    network: str
    dtype: str
    semantics: str
    entries: tuple[Entry, ...]

    @property
    def ok(self) -> bool:
        """Whether something was compared and nothing failed."""
        return not self.failures and any(e.deviation is not None for e in self.entries)

    @property
    def verdict(self) -> str:
        """In a few words: ``ok``, ``FAILED`` or ``nothing was checked``."""
        if self.failures:
            return "FAILED"
        return "ok" if self.ok else "nothing was checked"

    @property
    def failures(self) -> tuple[Finding, ...]:
        """What is wrong, alike entries together."""
        return self._findings(Status.FAILED)

    @property
    def deliberate(self) -> tuple[Finding, ...]:
        """What differs from the law as the profile says."""
        return self._findings(Status.ON_PURPOSE)

    @property
    def unchecked(self) -> tuple[Finding, ...]:
        """What was not offered; never counted as passed."""
        return self._findings(Status.UNCHECKED)

    def worst(self, tensor: str) -> Entry | None:
        """The entry of an array that speaks most against the subject.

        Parameters
        ----------
        tensor : str
            A name of :attr:`tensors`.
        """
        order = [Status.UNCHECKED, Status.ON_PURPOSE, Status.OK, Status.FAILED]

        def badness(entry: Entry) -> tuple[int, float]:
            error = 0.0 if entry.deviation is None else entry.deviation.in_tolerances
            return order.index(entry.status), error

        own = [e for e in self.entries if e.tensor == tensor]
        return max(own, key=badness, default=None)

    @property
    def tensors(self) -> tuple[str, ...]:
        """The subject's names of all arrays."""
        return tuple(dict.fromkeys(e.tensor for e in self.entries if e.tensor))

    @property
    def problems(self) -> tuple[str, ...]:
        """The names of all problems."""
        return tuple(dict.fromkeys(e.problem for e in self.entries))

    def raise_if_failed(self) -> None:
        """Raise where something failed or nothing was checked.

        Raises
        ------
        OracleError
            With the report as its message; an AssertionError.
        """
        if not self.ok:
            raise OracleError(f"\n{self}")

    def to_json(self) -> str:
        """The whole report as one JSON object; numbers that are not finite are strings."""
        return json.dumps(self.record(), indent=2, allow_nan=False)

    def record(self) -> dict[str, Any]:
        """The whole report as values that JSON can hold.

        Returns
        -------
        dict
            Keys ``format``, ``ok``, ``title``, ``network``, ``dtype``, ``semantics``,
            ``tolerance``, ``findings`` and ``entries``.
        """
        findings = (*self.failures, *self.deliberate, *self.unchecked)
        return {
            "format": FORMAT,
            "ok": self.ok,
            "title": self.title,
            "network": self.network,
            "dtype": self.dtype,
            "semantics": self.semantics,
            "tolerance": _TOLERANCE,
            "findings": [{**f._asdict(), "status": f.status.value} for f in findings],
            "entries": [_entry(e) for e in self.entries],
        }

    def __str__(self) -> str:
        count = len(self.problems)
        parts = [
            f"{self.title}: {self.verdict}\n{self.dtype}, against {self.network} in float64, "
            f"semantics {self.semantics!r}, {count} problem{'s' * (count != 1)}",
            self._table(),
        ]
        for title, findings in (
            ("What is wrong", self.failures),
            ("Different on purpose, as the profile says", self.deliberate),
            ("Not offered, and not counted as passed", self.unchecked),
        ):
            if findings:
                parts.append("\n".join([title, *(_wrapped(str(f), "  ") for f in findings)]))
        parts.append(_wrapped(f"Tolerance: {_TOLERANCE}.", ""))
        return "\n\n".join(parts)

    def __repr__(self) -> str:
        return f"<Report on {self.title}: {self.verdict}>"

    def _table(self) -> str:
        """A row an array: the worst of all problems."""
        width = max([6, *(len(name) for name in self.tensors)])
        lines = [
            f"{'tensor':<{width}}  {'':10}  {'tol':>8} {'normwise':>8} {'ulp':>8}  worst in",
            "-" * _WIDTH,
        ]
        for name in self.tensors:
            entry = self.worst(name)
            if entry is None or entry.deviation is None:
                status = Status.UNCHECKED if entry is None else entry.status
                lines.append(f"{name:<{width}}  {status.value}")
                continue
            d = entry.deviation
            index = f"[{', '.join(map(str, d.where))}]" if d.where else ""
            lines.append(
                f"{name:<{width}}  {entry.status.value:<10}  {_number(d.in_tolerances):>8} "
                f"{d.normwise:>8.0e} {_number(entry.ulps):>8}  {entry.problem} {index} "
                f"{d.got:.9g}, expected {d.expected:.9g}"
            )
        return "\n".join(lines)

    def _findings(self, status: Status) -> tuple[Finding, ...]:
        """The entries of a status, those with the same words together."""
        groups: dict[str, list[Entry]] = {}
        for entry in self.entries:
            if entry.status is status:
                groups.setdefault(sentence(entry.words), []).append(entry)
        found = [
            Finding(
                status,
                _worst_words(entries),
                tuple(dict.fromkeys(e.tensor for e in entries)),
                tuple(dict.fromkeys(e.problem for e in entries)),
            )
            for entries in groups.values()
        ]
        return tuple(sorted(found, key=lambda f: -len(f.problems) * len(f.tensors)))


_TOLERANCE = (
    f"{UNITS_PER_STEP} eps max(1, T) scale, the scale measured on each problem by perturbed runs; "
    "where that is exceeded, plus 10 times what derivatives taken from outputs cost"
)


def _wrapped(text: str, indent: str) -> str:
    """A paragraph of at most :data:`_WIDTH` columns; words that are longer stay whole."""
    return textwrap.fill(
        text,
        _WIDTH,
        initial_indent=indent,
        subsequent_indent=2 * indent,
        break_long_words=False,
        break_on_hyphens=False,
    )


def _worst_words(entries: list[Entry]) -> str:
    """The words of a group; those with the largest figure where they end in one."""

    def figure(words: str) -> float:
        try:
            return float(words.rpartition(" ")[2])
        except ValueError:
            return 0.0

    return max((e.words for e in entries), key=figure)


def _entry(entry: Entry) -> dict[str, Any]:
    """One entry."""
    found: dict[str, Any] = {
        "problem": entry.problem,
        "tensor": entry.tensor,
        "status": entry.status.value,
        "words": entry.words,
    }
    d = entry.deviation
    if d is not None:
        found["where"] = list(d.where)
        found["ulps"] = _finite(entry.ulps)
        for name in ("in_tolerances", "normwise", "got", "expected", "tolerance"):
            found[name] = _finite(getattr(d, name))
    return found


def _finite(value: float) -> float | str:
    return value if math.isfinite(value) else str(value)


def _number(value: float) -> str:
    """Two digits in at most 7 columns."""
    return f"{value:.1e}" if value != 0 and not 1e-3 <= value < 1e4 else f"{value:.2g}"


def _some(names: Iterable[str], most: int = 3) -> str:
    """Different names, the first few of them."""
    different = list(dict.fromkeys(name for name in names if name))
    more = f" and {len(different) - most} more" if len(different) > most else ""
    return ", ".join(different[:most]) + more
