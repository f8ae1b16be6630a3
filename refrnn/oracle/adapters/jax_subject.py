"""What the adapters of JAX, flax and haiku share: arrays in and out, and gradients by ``jax.vjp``.

Functions of JAX are pure, so nothing has to be kept from changing but JAX's own configuration:
float64 is switched on for the run alone, by ``jax.enable_x64``.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, ClassVar, NamedTuple

import numpy as np

from ...errors import UnsupportedCase
from ...parameters import CellParameters
from ...types import Array
from ...unroll.base import AnyCell, State
from ...validation import check_integer
from ..network import Network, Results
from ..padded import expected_d_input, expected_output
from ..problem import Problem
from ..semantics import LAW, Semantics
from ..subject import Expected
from ..weights import Layout

__all__ = [
    "JaxSubject",
    "Weights",
    "draw",
    "float_dtype",
    "generator",
    "in_order",
    "x64",
]


class Weights(NamedTuple):
    """The weights of one run as the framework keeps them.

    Attributes
    ----------
    layout : Layout
    names : mapping of str to str
        The framework's full name of each of the layout's arrays.
    arrays : mapping of str to ndarray
        By the layout's names.
    """

    layout: Layout
    names: Mapping[str, str]
    arrays: Mapping[str, Array]


@contextlib.contextmanager
def x64(dtype: Any) -> Iterator[None]:
    """Let JAX compute in float64 where `dtype` is that, and leave it as it was afterwards."""
    import jax

    if np.dtype(dtype) != np.float64:
        yield
    else:
        with jax.enable_x64(True):
            yield


def float_dtype(dtype: Any, owner: str) -> np.dtype[Any]:
    """A dtype that refrnn computes in, of a dtype of JAX.

    Raises
    ------
    UnsupportedCase
        If it is another one.
    """
    name = np.dtype(dtype).name
    if name not in ("float32", "float64"):
        raise UnsupportedCase(f"{owner} has dtype {name}, expected float32 or float64")
    checked: np.dtype[Any] = np.dtype(name)
    return checked


def draw(layout: Layout, cell: AnyCell, dtype: Any, rng: np.random.Generator) -> dict[str, Array]:
    """Weights uniform in +-2/sqrt(H), as the framework keeps them: no bias is zero."""
    parameters = cell.init_parameters(rng, dtype, scale=2.0 / cell.hidden_size**0.5)
    return layout.to_foreign(cell, parameters)


def generator(seed: int | None) -> np.random.Generator | None:
    """What weights are drawn from; None for no seed.

    Raises
    ------
    TypeError, ValueError
        If the seed is no integer, or negative.
    """
    if seed is None:
        return None
    return np.random.default_rng(check_integer(seed, "seed", minimum=0))


class JaxSubject:
    """A function of JAX on a padded batch, or on rows, as a subject.

    A subclass says how it is called (:meth:`_call`) and what its states are called
    (:meth:`_named`).

    Parameters
    ----------
    title : str
    network : Network
    weights : sequence of Weights
        One a run.
    dtype : dtype
    compiled : bool
        Whether the run, forward and backward, goes through ``jax.jit`` as a whole.
    """

    semantics: Semantics = LAW

    #: The framework's names of what goes in and what comes out; {} is the name of a state.
    OUTPUT: ClassVar[str] = "output"
    INPUT: ClassVar[str] = "input"
    FINAL: ClassVar[str] = "{}_n"
    INITIAL: ClassVar[str] = "{}_0"

    _batch_first = True
    _always_states = False  # whether initial states are given even where the problem has none

    def __init__(
        self, title: str, network: Network, weights: Sequence[Weights], dtype: Any, compiled: bool
    ) -> None:
        self.title = title
        self.network = network
        self.dtype = np.dtype(dtype)
        self._weights = tuple(weights)
        self._compiled = compiled
        self._pull: Callable[..., Any] | None = None

    def parameters(self) -> tuple[CellParameters, ...]:
        """The weights, by run."""
        return tuple(
            weights.layout.from_foreign(self.network.cell(run), weights.arrays).astype(self.dtype)
            for run, weights in enumerate(self._weights)
        )

    def supports(self, problem: Problem) -> str | None:
        """Lengths have no holes."""
        return "lengths say nothing of holes" if problem.has_holes else None

    def _own_weights(self) -> dict[str, Array]:
        """What is differentiated by, under the framework's names."""
        return {
            own.names[name]: array for own in self._weights for name, array in own.arrays.items()
        }

    # --- what a subclass says ------------------------------------------------------------------

    def _call(self, weights: Any, x: Any, states: dict[str, Any], told: Any) -> tuple[Any, Any]:
        """Call the module with arrays of JAX: the output, and the final states by name."""
        raise NotImplementedError

    def _named(self, states: Sequence[State]) -> dict[str, Array]:
        """States by the framework's names for them."""
        raise NotImplementedError

    def _told(self, problem: Problem) -> Any:
        """What the module is told about the padding."""
        return problem.lengths.astype(np.int32)

    def _input(self, problem: Problem) -> Array:
        return problem.padded_input(self._batch_first)

    def _cotangent(self, problem: Problem) -> Array:
        return problem.padded_cotangent(self._batch_first)

    def _expected(self, results: Results, problem: Problem, meant: Semantics) -> list[Expected]:
        """Output and gradient of the input in the framework's layout."""
        return [
            expected_output(results, problem, meant, batch_first=self._batch_first),
            expected_d_input(results, problem, batch_first=self._batch_first),
        ]

    # --- running -------------------------------------------------------------------------------

    def run(self, problem: Problem) -> Mapping[str, Any]:
        """Call it under ``jax.vjp``, and pull the cotangents back."""
        given = self._named(problem.state_0) if self._is_given_states(problem) else {}
        weights = self._own_weights()
        d_final = self._named(problem.d_state_n)
        with x64(self.dtype):
            (output, final), gradients = self._pulled_back()(
                (weights, self._input(problem), given),
                self._told(problem),
                (self._cotangent(problem), d_final),
            )
            found = {self.OUTPUT: output}
            found.update({self.FINAL.format(name): array for name, array in final.items()})
            if gradients is not None:
                d_weights, d_x, d_given = gradients
                found[f"d_{self.INPUT}"] = d_x
                found.update(
                    {f"d_{self.INITIAL.format(name)}": array for name, array in d_given.items()}
                )
                found.update({f"d_{name}": array for name, array in d_weights.items()})
            return {name: np.array(array) for name, array in found.items()}

    def _is_given_states(self, problem: Problem) -> bool:
        return self._always_states or not problem.default_state

    def _pulled_back(self) -> Callable[..., Any]:
        """The run forward and backward as one function of JAX; compiled anew for other shapes."""
        import jax

        if self._pull is None:
            pull = _pull_back(self._call)
            self._pull = jax.jit(pull) if self._compiled else pull
        return self._pull

    def present(
        self, results: Results, problem: Problem, semantics: Semantics
    ) -> Mapping[str, Expected]:
        """The framework's names and layout."""
        output, d_input = self._expected(results, problem, semantics)
        final, initial = self._named(results.state_n), self._named(results.d_state_0)
        named = {self.OUTPUT: output}
        named.update({self.FINAL.format(name): Expected(array) for name, array in final.items()})
        named[f"d_{self.INPUT}"] = d_input
        if self._is_given_states(problem):
            named.update(
                {f"d_{self.INITIAL.format(name)}": Expected(a) for name, a in initial.items()}
            )
        return {**named, **self._present_weights(results)}

    def _present_weights(self, results: Results) -> dict[str, Expected]:
        named = {}
        for run, own in enumerate(self._weights):
            gradient = results.d_parameters[run]
            foreign = own.layout.gradient_to_foreign(self.network.cell(run), gradient)
            named.update({f"d_{own.names[name]}": Expected(a) for name, a in foreign.items()})
        return named


def _pull_back(call: Callable[..., Any]) -> Callable[..., Any]:
    """Forward and backward of a call, as one function."""

    def pull(arguments: Any, told: Any, cotangents: Any) -> tuple[Any, Any]:
        import jax
        import jax.numpy as jnp

        own = jax.tree.map(jnp.array, told)  # a copy: a function may do with it what it likes
        values, back = jax.vjp(
            lambda weights, x, states: call(weights, x, states, own),
            *jax.tree.map(jnp.asarray, arguments),
        )
        matched = _matched(cotangents, values)
        return values, None if matched is None else back(matched)

    return pull


def _matched(cotangents: Any, values: Any) -> Any:
    """Cotangents in the dtypes of the values, which may be wrong; None if a shape is wrong.

    A wrong dtype or shape is reported where the values are compared. Without the right shape there
    is nothing to pull back.
    """
    import jax
    import jax.numpy as jnp

    wanted, structure = jax.tree.flatten(values)
    given, expected = jax.tree.flatten(cotangents)
    if structure != expected:
        raise ValueError(f"the result has structure {structure}, expected {expected}")
    for value, cotangent in zip(wanted, given, strict=True):
        if value.shape != cotangent.shape or not jnp.issubdtype(value.dtype, jnp.floating):
            return None
    matched = [jnp.asarray(d, value.dtype) for value, d in zip(wanted, given, strict=True)]
    return jax.tree.unflatten(structure, matched)


def in_order(arrays: Any, names: Sequence[str], what: str) -> dict[str, Any]:
    """The arrays of a state of JAX, any structure, by name; another number of them is an error."""
    import jax

    leaves = jax.tree.leaves(arrays)
    if len(leaves) != len(names):
        raise ValueError(f"{what} has {len(leaves)} arrays, expected {len(names)}")
    return dict(zip(names, leaves, strict=True))
