"""Subjects: what can be held to the reference, whatever it is made of.

A subject says which network it means to be, runs a problem in its own way, and knows how the
reference's results look in its own names and layout. An adapter makes a subject of a framework's
module; :class:`FunctionSubject` is one for people with a kernel of their own.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, Protocol

import numpy as np

from ..cases import strided
from ..comparison import Case
from ..parameters import CellParameters
from ..types import Array, BoolArray
from ..unroll.base import AnyCell, State
from ..validation import check_dtype
from .network import Network, Results
from .problem import Problem
from .semantics import LAW, Semantics

__all__ = ["Expected", "FunctionSubject", "Result", "Subject"]


class Expected(NamedTuple):
    """An array of the reference in the subject's layout.

    Attributes
    ----------
    array : ndarray
    compared : ndarray of bool, of the shape of `array`, or None
        Which elements have a defined value; None for all.
    """

    array: Array
    compared: BoolArray | None = None


class Subject(Protocol):
    """What :func:`refrnn.oracle.check` needs of a module.

    To add an adapter, write a class with these members; :func:`refrnn.oracle.check` takes an object
    of it as it takes a framework's module. Two more are optional. ``mistakes(setting)`` is an
    iterator of :class:`refrnn.oracle.mistakes.Mistake` that only it can make, beside those that are
    tried on everybody.

    A subject that does not give back everything, only the output of the last step, say, may have a
    method ``restrict(problem) -> Problem`` as well: the same problem without the cotangents that
    cannot be pulled back through it. That is then what it is run on and compared with.
    """

    @property
    def title(self) -> str:
        """What it is, in a line."""
        ...

    @property
    def network(self) -> Network:
        """The function it is meant to be."""
        ...

    @property
    def dtype(self) -> np.dtype[Any]:
        """What it says that it computes in: float32 or float64."""
        ...

    @property
    def semantics(self) -> Semantics:
        """What it does on purpose."""
        ...

    def parameters(self) -> tuple[CellParameters, ...]:
        """Its weights in refrnn's layout, one record a run, in its dtype."""
        ...

    def supports(self, problem: Problem) -> str | None:
        """None if the problem can be put to it, else why it cannot."""
        ...

    def run(self, problem: Problem) -> Mapping[str, Any]:
        """Run a problem of its dtype; arrays by the subject's names, None for what it lacks."""
        ...

    def present(
        self, results: Results, problem: Problem, semantics: Semantics
    ) -> Mapping[str, Expected]:
        """The reference's results in the subject's names and layout."""
        ...


class Result(NamedTuple):
    """What a plain function gives back; None is not offered, and reported as unchecked.

    Attributes
    ----------
    output : ndarray of shape (N, R)
    state_n : tuple of ndarrays (B, size), optional
    d_input : ndarray of shape (N, I), optional
    d_state_0 : tuple of ndarrays (B, size), optional
    d_parameters : mapping of str to ndarray, optional
        Under the names of ``case.parameters``; a name that is missing is not offered.
    """

    output: Any = None
    state_n: Any = None
    d_input: Any = None
    d_state_0: Any = None
    d_parameters: Mapping[str, Any] | None = None


class FunctionSubject:
    """A plain function of a case as a subject.

    Parameters
    ----------
    function : callable
        ``f(case) -> Result``: `case` is a :class:`refrnn.comparison.Case` whose arrays are all
        given (never None), and copies: a function that writes to them harms nobody.
    cell : Cell
        The equations it claims to compute.
    parameters : CellParameters, optional
        The weights it is run with; drawn if None, uniform in +-1/sqrt(H).
    dtype : dtype
        float32 or float64.
    reverse : bool
        The direction it is run in.
    """

    semantics = LAW

    def __init__(
        self,
        function: Callable[[Case], Result],
        cell: AnyCell,
        parameters: CellParameters | None = None,
        dtype: Any = "float64",
        reverse: bool = False,
    ) -> None:
        self.network = Network([cell], (reverse,))
        self.dtype = check_dtype(dtype, "dtype", complex_allowed=False)
        if self.dtype not in (np.float32, np.float64):
            raise TypeError(f"dtype has value {self.dtype}, expected float32 or float64")
        self._function = function
        self._cell = cell
        if parameters is None:
            rng = np.random.default_rng(0)
            parameters = cell.init_parameters(rng, dtype)
        self._parameters = cell.check_parameters(parameters).astype(dtype)

    @property
    def title(self) -> str:
        """The function's name and the cell."""
        name = getattr(self._function, "__qualname__", type(self._function).__name__)
        return f"{name} as {self._cell}"

    def parameters(self) -> tuple[CellParameters, ...]:
        """The weights of every case."""
        return (self._parameters,)

    def supports(self, problem: Problem) -> str | None:
        """Everything that has no place for padding or holes in it."""
        return "a function is given rows, and they have no holes" if problem.has_holes else None

    def run(self, problem: Problem) -> Mapping[str, Any]:
        """Call the function."""
        (state_0,), (d_state_n,) = problem.state_0, problem.d_state_n
        case = Case(
            self._cell,
            self._parameters,
            problem.batch,
            state_0,
            problem.d_output,
            d_state_n,
            self.network.reverse[0],
            problem.name,
        ).astype(self.dtype)
        if problem.strided:
            case = case._replace(
                batch=case.batch.with_values(strided(case.batch.values)),
                d_output=strided(problem.d_output),
            )
        result = self._function(case)
        if not isinstance(result, Result):
            raise TypeError(f"the result has type {type(result).__name__}, expected a Result")
        return self._named(result)

    def _named(self, result: Result) -> dict[str, Any]:
        """The fields of a result by name."""
        letters = self._cell.state_names
        named: dict[str, Any] = {"output": result.output, "d_input": result.d_input}
        for form, states in (("{}_n", result.state_n), ("d_{}_0", result.d_state_0)):
            parts = [None] * len(letters) if states is None else _parts(states, len(letters))
            named.update({form.format(n): a for n, a in zip(letters, parts, strict=True)})
        given = {} if result.d_parameters is None else dict(result.d_parameters)
        named.update({f"d_{name}": given.pop(name, None) for name in self._parameters})
        named.update({f"d_parameters[{name!r}]": a for name, a in given.items()})  # not asked for
        return named

    def present(
        self, results: Results, problem: Problem, semantics: Semantics
    ) -> Mapping[str, Expected]:
        """The reference's own names, as :func:`refrnn.comparison.run_case` has them."""
        letters = self._cell.state_names
        named = {"output": results.output}
        named.update({f"{n}_n": a for n, a in zip(letters, results.state_n[0], strict=True)})
        named["d_input"] = results.d_input
        named.update({f"d_{n}_0": a for n, a in zip(letters, results.d_state_0[0], strict=True)})
        named.update({f"d_{n}": a for n, a in results.d_parameters[0].items()})
        return {name: Expected(array) for name, array in named.items()}


def _parts(states: State, count: int) -> list[Any]:
    """The arrays of a state; too many or too few are an error of the function."""
    parts = list(states) if isinstance(states, (tuple, list)) else [states]
    if len(parts) != count:
        raise ValueError(f"a state has {len(parts)} arrays, expected {count}")
    return parts
