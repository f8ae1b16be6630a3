"""Put problems to a subject, and hold what it gives back to the reference."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np

from ..ragged import RaggedBatch
from ..tolerances import Deviation
from ..types import Array
from .diagnosis import diagnose, settled
from .evaluation import Setting
from .network import Results
from .problem import Problem, check_all_finite, problem_of, standard_problems
from .reference import Truth, truth_of
from .report import Entry, Report, Status
from .semantics import LAW, WORDS, Semantics, semantics
from .subject import Expected, Subject

__all__ = ["check_subject"]

Tell = Callable[[str, int, int], None]


def check_subject(
    subject: Subject,
    batch: RaggedBatch | Problem | Iterable[Problem] | None,
    meant: str | Semantics | None,
    tell: Tell,
) -> Report:
    """Run every problem and compare; see :func:`refrnn.oracle.check`."""
    profile = semantics(subject.semantics if meant is None else meant)
    parameters = subject.parameters()
    for run, own in enumerate(parameters):
        for name, array in own.items():
            check_all_finite(array, f"{name} of run {run}")
    trials: list[_Trial] = []
    problems = _problems(subject, batch)
    restrict = getattr(subject, "restrict", None)

    def put(problem: Problem) -> _Trial:
        trials.append(_Trial(subject, Setting(subject.network, parameters, problem, profile)))
        return trials[-1]

    for done, whole in enumerate(problems):
        problem = whole if restrict is None else restrict(whole)
        tell(problem.name, done, len(problems))
        trial = put(problem)
        if trial.refused and (problem.lengths == 0).any() and problem.batch.total_steps:
            put(problem.without_empty())
    alternatives = {(t.name, n): words for t in trials for n, words in t.alternatives.items()}
    words = settled(alternatives)
    entries = [
        e._replace(words=words.get((e.problem, e.tensor), e.words))
        for t in trials
        for e in t.entries
    ]
    return Report(
        subject.title, repr(subject.network), str(subject.dtype), profile.name, tuple(entries)
    )


def _problems(
    subject: Subject, batch: RaggedBatch | Problem | Iterable[Problem] | None
) -> list[Problem]:
    """What to put to a subject: the standard set, or what was given, in the subject's dtype."""
    network, dtype = subject.network, subject.dtype
    if batch is None:
        return standard_problems(network, dtype)
    if isinstance(batch, Problem):
        batch = [batch]
    if isinstance(batch, RaggedBatch):
        if batch.dtype != dtype:
            raise TypeError(f"batch has dtype {batch.dtype}, expected {dtype} as the subject")
        batch = [problem_of(network, batch)]
    problems = list(batch)
    for number, problem in enumerate(problems):
        if not isinstance(problem, Problem):
            kind = type(problem).__name__
            raise TypeError(f"batch[{number}] has type {kind}, expected a Problem")
        problem.check_fits(network)
    return [problem.astype(dtype) for problem in problems]


class _Trial:
    """One problem put to one subject.

    Attributes
    ----------
    name : str
        Of the problem.
    entries : list of Entry
        What came of it; of what is wrong the words are still to be chosen.
    alternatives : dict of str to tuple of str
        For each array that is wrong, what it may be.
    """

    def __init__(self, subject: Subject, setting: Setting) -> None:
        self._subject = subject
        self._setting = setting
        self.name = setting.problem.name
        self.alternatives: dict[str, tuple[str, ...]] = {}
        self._truths: dict[Semantics, tuple[Truth, Semantics]] = {}
        self.entries = self._run()

    @property
    def refused(self) -> bool:
        """Whether the subject raised an error, as its profile says it does."""
        return [(e.status, e.tensor) for e in self.entries] == [(Status.ON_PURPOSE, "")]

    def _run(self) -> list[Entry]:
        """Run the subject; whatever it does is an entry."""
        problem, profile = self._setting.problem, self._setting.semantics
        reason = self._subject.supports(problem)
        if reason is not None:
            return [Entry(self.name, "", Status.UNCHECKED, words=reason)]
        try:
            got = dict(self._subject.run(problem.copy()))  # whatever it does to its arguments
        except (Exception, SystemExit) as error:  # a crash is a finding about the subject
            crash = f"{type(error).__name__}: {_one_line(error)}"
            traits = [trait for trait in problem.traits if trait in profile.refuses]
            if traits:
                words = f"refuses {' and '.join(traits)} ({crash})"
                return [Entry(self.name, "", Status.ON_PURPOSE, words=words)]
            return [Entry(self.name, "", Status.FAILED, words=f"crashed: {crash}")]
        return self._compared(got)

    def _present(self, profile: Semantics) -> Callable[[Results], Mapping[str, Expected]]:
        """The subject's layout under some semantics."""
        return lambda results: self._subject.present(results, self._setting.problem, profile)

    def _compared(self, got: dict[str, Any]) -> list[Entry]:
        """Every array against the law; what differs, against the profile; the rest is wrong."""
        lawful = self._truth(LAW)
        entries, arrays = [], {}
        for name in lawful.expected:
            entry = self._shape_entry(name, got.pop(name, None), lawful.expected[name])
            if isinstance(entry, Entry):
                entries.append(entry)
            else:
                arrays[name] = entry
        entries += [
            Entry(self.name, name, Status.FAILED, words="nobody asked for an array of this name")
            for name, array in got.items()
            if array is not None
        ]
        compared = self._against(lawful, arrays)
        if any(e.status is Status.FAILED for e in compared):
            compared = self._against_profile(arrays, compared)
        wrong = [e.tensor for e in compared if e.status is Status.FAILED]
        if wrong:
            self.alternatives = self._diagnosed(arrays, wrong)
        found = {e.tensor: e for e in (*entries, *compared)}
        order = [*lawful.expected, *(name for name in found if name not in lawful.expected)]
        return [found[name] for name in order]

    def _shape_entry(self, name: str, array: Any, expected: Expected) -> Entry | Array:
        """The array, or what is wrong with it before its numbers are looked at."""
        if array is None:
            return Entry(self.name, name, Status.UNCHECKED, words="not offered")

        def failed(words: str) -> Entry:
            return Entry(self.name, name, Status.FAILED, words=words)

        if type(array) is not np.ndarray:  # a masked array or a matrix compares in its own way
            return failed(f"it has type {type(array).__name__}, expected an ndarray")
        if array.shape != expected.array.shape:
            return failed(f"it has shape {array.shape}, expected {expected.array.shape}")
        if array.dtype != self._subject.dtype:
            return failed(f"it has dtype {array.dtype}, expected {self._subject.dtype}")
        return array

    def _against(self, truth: Truth, arrays: Mapping[str, Array]) -> list[Entry]:
        """An entry an array."""
        entries, dtype = [], self._subject.dtype
        for name, array in arrays.items():
            found = truth.deviation(name, array, dtype)
            status = Status.OK if found.ok else Status.FAILED
            entries.append(Entry(self.name, name, status, found, _ulps(found, dtype)))
        return entries

    def _against_profile(self, arrays: Mapping[str, Array], compared: list[Entry]) -> list[Entry]:
        """What differs from the law, held to what the subject does on purpose.

        Where one array needs the profile's rule about sequences of length 0, all of them are held
        to it: a final state taken from the padding has a gradient that goes there.
        """
        if not self._setting.semantics.differing_fields():
            return compared
        meant, profile = self._meant(self._setting.semantics)
        dtype = self._computed_in(profile)
        under = {e.tensor: meant.deviation(e.tensor, arrays[e.tensor], dtype) for e in compared}
        needed = {
            e.tensor: self._needed(e.tensor, arrays[e.tensor])
            for e in compared
            if e.status is Status.FAILED and under[e.tensor].ok
        }
        together = any("empty" in fields for fields in needed.values())
        entries = []
        for entry in compared:
            found = under[entry.tensor]
            held = entry._replace(deviation=found, ulps=_ulps(found, self._subject.dtype))
            if entry.tensor in needed:
                rules = (WORDS[f, getattr(profile, f)] for f in needed[entry.tensor])
                entry = held._replace(status=Status.ON_PURPOSE, words="; ".join(rules))
            elif together and not found.ok:
                entry = held._replace(status=Status.FAILED)
            entries.append(entry)
        return entries

    def _computed_in(self, profile: Semantics) -> np.dtype[Any]:
        """The dtype whose accuracy a profile promises."""
        own = self._subject.dtype
        return np.dtype(profile.float64) if own == np.float64 else own

    def _meant(self, profile: Semantics) -> tuple[Truth, Semantics]:
        """The reference under a profile, and the profile that it is under.

        Where the final state of an empty sequence comes from padding that is NaN, the profile has
        no number for it, and the law answers that question.
        """
        if profile not in self._truths:
            try:
                self._truths[profile] = self._truth(profile), profile
            except ValueError:
                lawful = profile.lawful("empty")
                self._truths[profile] = self._truth(lawful), lawful
        return self._truths[profile]

    def _truth(self, profile: Semantics) -> Truth:
        """The reference under some semantics, in the subject's layout."""
        return truth_of(self._setting._replace(semantics=profile), self._present(profile))

    def _needed(self, tensor: str, array: Array) -> list[str]:
        """The fields without whose answer in the profile this array does not agree."""
        profile = self._setting.semantics
        needed = []
        for field in profile.differing_fields():
            meant, without = self._meant(profile.lawful(field))
            if not meant.deviation(tensor, array, self._computed_in(without)).ok:
                needed.append(field)
        return needed or list(profile.differing_fields())

    def _diagnosed(
        self, arrays: Mapping[str, Array], wrong: list[str]
    ) -> dict[str, tuple[str, ...]]:
        """What the arrays that are wrong may be."""
        setting, subject = self._setting, self._subject
        meant, profile = self._meant(setting.semantics)
        wide = setting._replace(
            parameters=tuple(p.astype(np.float64) for p in setting.parameters),
            problem=setting.problem.astype(np.float64),
            semantics=profile,
        )

        def present(results: Results, other: Semantics) -> Mapping[str, Expected]:
            return subject.present(results, setting.problem, other)

        own = getattr(subject, "mistakes", None)
        return diagnose(wide, meant, arrays, wrong, present, self._computed_in(profile), own)


def _ulps(found: Deviation, dtype: np.dtype[Any]) -> float:
    """The worst error in units in the last place of what was expected there."""
    error = abs(found.got - found.expected)
    with np.errstate(over="ignore"):
        spacing = float(np.spacing(np.abs(np.asarray(found.expected).astype(dtype))))
    return error / spacing if np.isfinite(error) and spacing > 0 else float("inf")


def _one_line(error: BaseException) -> str:
    """What an exception says, in one line and without colours."""
    plain = re.sub(r"\x1b\[[0-9;]*m", "", str(error))
    return " ".join(plain.split())[:200] or "no message"
