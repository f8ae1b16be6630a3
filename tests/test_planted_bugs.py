"""Every planted bug is found: by the public suite alone, or by the oracle at 50 digits.

Each bug is written into a copy of refrnn that is imported under fresh module names' entries and
thrown away again. What runs on it is fixed: no Hypothesis, no chance.
"""

from __future__ import annotations

import importlib
import importlib.machinery
import importlib.util
import sys
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from types import CodeType, ModuleType
from typing import Any, NamedTuple

import numpy as np
import pytest

import refrnn as rr
from refrnn.activations import Activation
from refrnn.cases import random_case
from refrnn.comparison import Case, Results, reference
from refrnn.testing.rearranging import take

from . import test_mpmath as decimal_context
from .mpmath_oracle import Act
from .planted_bugs import FOUND_ALONE, ORACLE, PLANTED_BUGS, PlantedBug
from .test_mpmath import GRU, LSTM, RNN, Row

# A copy of refrnn with other source -----------------------------------------------------------


class _Editor(importlib.machinery.SourceFileLoader):
    """Loads a module from its file after the edits."""

    edits: Sequence[tuple[str, str]]

    def get_code(self, fullname: str) -> CodeType:
        text = self.get_data(self.path).decode()
        for old, new in self.edits:
            assert text.count(old) == 1, f"{fullname} has {text.count(old)} times {old!r}"
            text = text.replace(old, new)
        return compile(text, self.path, "exec", dont_inherit=True)


class _Finder:
    """Finds one module, to be loaded by :class:`_Editor`."""

    def __init__(self, module: str, edits: Sequence[tuple[str, str]]) -> None:
        self._module, self._edits, self.found = module, edits, False

    def find_spec(
        self, name: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        if name != self._module:
            return None
        spec = importlib.machinery.PathFinder.find_spec(name, path, target)
        assert spec is not None
        assert spec.origin is not None
        spec.loader = _Editor(name, spec.origin)
        spec.loader.edits = self._edits
        self.found = True
        return spec


@contextmanager
def edited(module: str, edits: Sequence[tuple[str, str]]) -> Iterator[None]:
    """Import refrnn anew with edits in one module; afterwards all is as before."""

    def ours() -> dict[str, ModuleType]:
        return {n: m for n, m in sys.modules.items() if n.partition(".")[0] == "refrnn"}

    before, finder = ours(), _Finder(module, edits)
    for name in before:
        del sys.modules[name]
    sys.meta_path.insert(0, finder)
    try:
        importlib.import_module("refrnn.testing.properties")
        assert finder.found, f"{module} was not imported"
        yield
    finally:
        sys.meta_path.remove(finder)
        for name in ours():
            del sys.modules[name]
        sys.modules.update(before)


def transplanted(case: Case) -> Any:
    """The same case in the classes of the refrnn that is imported now."""
    new = importlib.import_module("refrnn")
    look_up = importlib.import_module("refrnn.activations").activation
    options = {
        name: look_up(value.name, value.alpha, value.beta)
        if isinstance(value, Activation)
        else value
        for name, value in case.cell.options().items()
    }
    kind = getattr(new, type(case.cell).__name__)
    cell = kind(case.cell.input_size, case.cell.hidden_size, **options)
    return importlib.import_module("refrnn.comparison").Case(
        cell,
        new.CellParameters(dict(case.parameters)),
        new.RaggedBatch(case.batch.values, case.batch.lengths),
        cell.state_type(*case.state_0),
        case.d_output,
        cell.state_type(*case.d_state_n),
        case.reverse,
        case.name,
    )


# The public suite on fixed cases --------------------------------------------------------------

_LENGTHS = [3, 0, 6, 1, 5]  # two lanes of them are not yet in order of load

#: What a bug's `unrolls` call them -> the class and its arguments.
_UNROLLS: dict[str, tuple[str, dict[str, Any]]] = {
    "per_sequence": ("PerSequence", {}),
    "masked": ("Masked", {}),
    "masked of NaN": ("Masked", {"padding_value": np.nan}),
    "bucketed": ("Bucketed", {"boundaries": [2, 4]}),
    "packed": ("Packed", {}),
    "lanes": ("Lanes", {"lanes": 2}),
}

# Those that find most come first.
_FIRST = ("agrees_with_the_definition", "gradients_match_the_complex_step")


@cache
def suite_cases() -> list[Case]:
    cells: list[tuple[Any, bool, str]] = [
        (rr.LSTM(3, 4, peepholes=True, cell_clip=0.7), False, "float64"),
        (rr.GRU(3, 4), True, "float64"),
        (rr.GRU(2, 3, reset_after=False, biases=1), False, "float64"),
        (rr.LSTM(2, 4, proj_size=2), True, "float32"),
        (rr.LSTM(3, 3, coupled=True, peepholes=True, gate_clip=0.6), True, "float64"),
        (rr.RNN(3, 4), False, "float64"),
    ]
    cases = []
    for seed, (cell, reverse, dtype) in enumerate(cells):
        rng = np.random.default_rng(seed)
        values = rng.uniform(-2, 2, (sum(_LENGTHS), cell.input_size))
        case = random_case(cell, rr.RaggedBatch(values, _LENGTHS), rng, reverse=reverse)
        cases.append(case.astype(dtype)._replace(name=f"{cell}"))
    return cases


def run_suite(names: Sequence[str], only: str | None = None) -> str | None:
    """Run the properties on the refrnn that is imported now; say which one failed first."""
    module = importlib.import_module("refrnn.testing.properties")
    walks = importlib.import_module("refrnn.unroll")
    cases = [transplanted(case) for case in suite_cases()]
    properties = sorted(module.PROPERTIES, key=lambda p: p.__name__ not in _FIRST)
    properties.append(refuses_everything)
    if only is not None:
        properties = [refuses_everything if only == "refuses" else getattr(module, only)]
    for name in names:
        kind, arguments = _UNROLLS[name]
        for holds in properties:
            for case in cases:
                try:
                    holds(getattr(walks, kind)(**arguments), case)
                except Exception as error:
                    return f"{holds.__name__} of {name} on {case.name}: {error!r}"
    return None


def refuses_everything(unroll: Any, case: Any) -> None:
    """Every line of the tables of bad arguments; they bring their own case."""
    refusals = importlib.import_module("refrnn.testing.refusals")
    if case.cell.input_size == 2:  # once is enough, or twice
        for what in (*refusals.BAD_FORWARD, *refusals.BAD_BACKWARD):
            refusals.refuses(unroll, what)


# The oracle on fixed cases --------------------------------------------------------------------


class Known(NamedTuple):
    """A case, its results at 50 digits, and how far from them is allowed."""

    case: Case
    exact: Results
    allowed: dict[str, float]


def _known(row: Row, case: Case, allowed: float | None = None) -> Known:
    exact = decimal_context.exact_results(row, case)
    if allowed is not None:
        return Known(case, exact, dict.fromkeys(exact, allowed))
    truth = reference(case)
    found = decimal_context.deviations(case, exact, exact, truth)
    return Known(case, exact, {one.name: one.tolerance for one in found})


def _with_biases(row: Row, biases: Sequence[float], weight: float) -> Case:
    """Weights scaled by `weight`; b_ih as given for each gate, b_hh 0; no sequence of length 0.

    A length of 0 hands the final state's cotangent through, beside which tiny gradients vanish.
    """
    case = take(decimal_context.as_case(row, "float64"), np.array([0, 2, 3]))
    arrays = {name: weight * array for name, array in case.parameters.items()}
    arrays["b_ih"] = np.repeat(np.array(biases), case.cell.hidden_size)
    arrays["b_hh"] = np.zeros_like(arrays["b_hh"])
    return case._replace(parameters=rr.CellParameters(arrays))


@cache
def known_cases() -> list[Known]:
    rows = [
        Row("default", LSTM),
        Row("peepholes", LSTM._replace(peepholes=True), reverse=True),
        Row("coupled", LSTM._replace(coupled=True, peepholes=True, gate_clip=1.5)),
        Row("tensorflow", LSTM._replace(peepholes=True, cell_clip=0.5), projection=True),
        Row("after", GRU),
        Row("before", GRU._replace(reset_after=False), reverse=True),
        Row("tanh", RNN),
    ]
    known = [_known(row, decimal_context.as_case(row, "float64")) for row in rows]
    saturated = [
        (Row("saturated", RNN), [40.0]),
        (Row("saturated", LSTM), [40.0] * 4),
        (Row("saturated-coupled", LSTM._replace(coupled=True)), [40.0, 0.3, 0.3]),  # i, g, o
        (Row("saturated", GRU), [0.3, 40.0, 0.3]),  # r, z, n
    ]
    known += [_known(row, _with_biases(row, biases, 0.01)) for row, biases in saturated]
    # Exactly on a kink every number is exact, and rounding says nothing of a derivative that jumps.
    kinks = [
        (Row("clip", RNN._replace(gate_clip=0.5)), 0.5),
        (Row("relu", RNN._replace(activation=Act("relu"))), 0.0),
        (Row("hardsigmoid", RNN._replace(activation=Act("hardsigmoid", 0.25, 0.5))), 2.0),
    ]
    known += [_known(row, _with_biases(row, [bias], 0.0), 1e-12) for row, bias in kinks]
    return known


def ask_oracle() -> str | None:
    """Compare the refrnn that is imported now with 50 digits; say what is wrong first."""
    run_case = importlib.import_module("refrnn.comparison").run_case
    for case, exact, allowed in known_cases():
        got = run_case(transplanted(case), "per_sequence")
        for name, expected in exact.items():
            error = np.abs(got[name] - expected).max(initial=0.0)
            if not error <= allowed[name]:
                return f"{name} of {case.name} is off by {error:.3g}, allowed {allowed[name]:.3g}"
    return None


# The tests ------------------------------------------------------------------------------------


def verdict(bug: PlantedBug, only: str | None = None) -> str | None:
    """How a bug is found, by one property where one is named; None if it is not."""
    suite_cases(), known_cases()  # with the refrnn that has no bug
    with edited(bug.module, bug.edits), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it is a property that must find it
        return ask_oracle() if bug.unrolls is ORACLE else run_suite(bug.unrolls, only)


@pytest.mark.parametrize("bug", PLANTED_BUGS, ids=str)
def test_bug_is_found(bug: PlantedBug) -> None:
    found = verdict(bug)
    print(f"\n{bug}: {found}"[:300], end="")  # noqa: T201 -- shown with -s
    assert found is not None


@pytest.mark.parametrize("name", FOUND_ALONE)
def test_every_property_can_fail(name: str) -> None:
    (bug,) = (bug for bug in PLANTED_BUGS if bug.about == FOUND_ALONE[name])
    found = verdict(bug, only=name)
    assert found is not None


def test_every_property_is_asked_to_fail() -> None:
    properties = importlib.import_module("refrnn.testing.properties")
    assert set(FOUND_ALONE) == set(properties.__all__) - {"PROPERTIES"}


@pytest.mark.parametrize("name", _UNROLLS)
def test_suite_finds_nothing_where_there_is_no_bug(name: str) -> None:
    """Through the same machinery, with an edit that changes nothing."""
    untouched = (("import annotations", "import annotations"),)
    assert verdict(PlantedBug("none", "refrnn.cells.base", untouched, (name,))) is None


def test_oracle_finds_nothing_where_there_is_no_bug() -> None:
    untouched = (("import annotations", "import annotations"),)
    assert verdict(PlantedBug("none", "refrnn.cells.base", untouched, ORACLE)) is None


def test_an_edit_must_match_exactly_once() -> None:
    with (
        pytest.raises(AssertionError, match=r"has 0 times 'no such text'"),
        edited("refrnn.cells.base", (("no such text", ""),)),
    ):
        pass


def test_refrnn_is_put_back() -> None:
    before = {name: module for name, module in sys.modules.items() if "refrnn" in name}
    with edited("refrnn.cells.rnn", (("num_gates = 1", "num_gates = 7"),)):
        assert importlib.import_module("refrnn").RNN.num_gates == 7
        assert importlib.import_module("refrnn") is not rr
    after = {name: module for name, module in sys.modules.items() if "refrnn" in name}
    assert after == before
    assert importlib.import_module("refrnn") is rr
    assert rr.RNN.num_gates == 1


def test_there_are_bugs_enough_of_either_kind() -> None:
    assert len({str(bug) for bug in PLANTED_BUGS}) == len(PLANTED_BUGS) >= 60
    assert sum(bug.unrolls is ORACLE for bug in PLANTED_BUGS) >= 12
