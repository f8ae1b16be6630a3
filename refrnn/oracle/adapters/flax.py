"""flax: RNN, Bidirectional and the cells of ``flax.linen`` and ``flax.nnx``.

An RNN is called as its users call it, with a padded batch and ``seq_lengths``, and a cell is
stepped. Neither kind of module is changed: those of linen are pure, and those of nnx are split, and
merged again with weights that are differentiated by.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from ...errors import UnsupportedCase
from ...types import Array
from ...unroll.base import AnyCell, State
from ...validation import check_bool
from ..network import Network, Results
from ..padded import reversed_rows
from ..problem import Problem
from ..semantics import LAW, PROFILES, Semantics
from ..subject import Expected, Subject
from .flax_modules import CELLS, LinenModule, NnxModule, Part, PureModule, merge_of, parts_of
from .jax_subject import JaxSubject, Weights, in_order

__all__ = ["adapt", "modules"]


def adapt(
    module: Any,
    *,
    variables: Mapping[str, Any] | None = None,
    input_size: int | None = None,
    seed: int | None = None,
    seq_lengths: bool = True,
    compiled: bool = True,
) -> Subject:
    """A subject of a module of flax.

    Parameters
    ----------
    module : flax.linen.Module or flax.nnx.Module
        An ``RNN`` around an LSTMCell, OptimizedLSTMCell, GRUCell or SimpleCell or a subclass of
        one, a ``Bidirectional`` around two of them, or such a cell alone; or any module that has
        attributes ``cell``, or ``forward_rnn`` and ``backward_rnn``, and is called in the same way.
        It is always asked for its final carry (``return_carry=True``); its ``time_major``,
        ``reverse`` and ``keep_order`` are kept.
    variables : mapping, optional
        Only of linen: what ``module.init`` gives. If None, weights are drawn.
    input_size : int, optional
        Only of linen, where there are no `variables`: the features of the input.
    seed : int, optional
        Draw all weights from it, uniform in +-2/sqrt(H), instead of the module's own. flax makes
        every bias zero, and nothing shows what is done with a bias that is zero. Where linen has no
        `variables` it is 0 by default; a module of nnx is run with its own weights by default.
    seq_lengths : bool
        Whether it is given lengths. Without them, only problems without padding suit it. Not of
        a cell.
    compiled : bool
        Whether forward and backward go through ``jax.jit`` as a whole.

    Returns
    -------
    Subject
        Profile ``flax``; of a cell, which sees no padding, refrnn's law.

    Raises
    ------
    TypeError
        If it is no such module, or an option is not one for it.
    UnsupportedCase
        If it is a cell without equations here, has an activation that is not in ONNX's table, two
        directions with the same weights, or a dtype that is neither float32 nor float64.
    ValueError
        If the variables are not those of the module.
    """
    from flax import linen, nnx

    if isinstance(module, linen.Module):
        kind = "linen"
    elif isinstance(module, nnx.Module):
        kind = "nnx"
        if variables is not None or input_size is not None:
            raise TypeError("variables and input_size are for linen: a module of nnx has its own")
    else:
        raise TypeError(f"subject has type {type(module).__name__}, expected a module of flax")
    parts = parts_of(module, kind)
    own = LinenModule(module) if kind == "linen" else NnxModule(module)
    if kind == "linen" and variables is None and seed is None:
        seed = 0
    weights, cells, dtype = own.read(parts, variables, input_size, seed)
    if parts[0].prefix == () and isinstance(module, (linen.RNNCellBase, nnx.RNNCellBase)):
        if not seq_lengths:
            raise TypeError("seq_lengths says how a batch is padded: a cell takes steps")
        return _CellSubject(own, parts, cells, weights, dtype, check_bool(compiled, "compiled"))
    return _RnnSubject(own, parts, cells, weights, dtype, seq_lengths, compiled)


def modules() -> Iterator[tuple[str, Any]]:
    """What flax has itself, one of each kind: what ``refrnn check flax`` runs."""
    import jax
    from flax import linen, nnx

    for name in CELLS:
        cell = getattr(linen, name)
        yield f"linen RNN {name}", adapt(linen.RNN(cell(5)), input_size=3)
    turned = linen.RNN(linen.GRUCell(5), reverse=True, time_major=True)
    yield "linen RNN reverse", adapt(turned, input_size=3)
    kept = linen.RNN(linen.GRUCell(5), reverse=True, keep_order=True)
    yield "linen RNN reverse, keep_order", adapt(kept, input_size=3)
    both = linen.Bidirectional(
        linen.RNN(linen.OptimizedLSTMCell(5)), linen.RNN(linen.OptimizedLSTMCell(5))
    )
    yield "linen Bidirectional", adapt(both, input_size=3)
    wide = linen.RNN(linen.OptimizedLSTMCell(5, param_dtype="float64"))
    yield "linen RNN float64", adapt(wide, input_size=3)
    for name in CELLS:
        yield f"linen {name}", adapt(getattr(linen, name)(5), input_size=3)

    rngs = nnx.Rngs(0)
    for name in CELLS:
        cell = getattr(nnx, name)(3, 5, rngs=rngs)
        yield f"nnx RNN {name}", adapt(nnx.RNN(cell), seed=0)
        yield f"nnx {name}", adapt(cell, seed=0)
    grus = [nnx.RNN(nnx.GRUCell(3, 5, rngs=rngs)) for _ in range(2)]
    yield "nnx Bidirectional", adapt(nnx.Bidirectional(*grus), seed=0)
    with jax.enable_x64(True):
        wide = nnx.RNN(nnx.OptimizedLSTMCell(3, 5, param_dtype="float64", rngs=nnx.Rngs(0)))
    yield "nnx RNN float64", adapt(wide, seed=0)


class _FlaxSubject(JaxSubject):
    """What RNNs and cells share: the names of carries. That of an LSTM is (c, h)."""

    OUTPUT = "outputs"
    INPUT = "inputs"
    FINAL = "carry{}"
    INITIAL = "initial_carry{}"

    def __init__(
        self,
        own: PureModule,
        network: Network,
        weights: Sequence[Weights],
        dtype: np.dtype[Any],
        compiled: bool,
    ) -> None:
        import flax

        cells = ", ".join(one.layout.name.rpartition(".")[2] for one in weights)
        title = f"{type(own.module).__name__} ({cells}) of {own.kind}, flax {flax.__version__}"
        super().__init__(title, network, weights, dtype, check_bool(compiled, "compiled"))
        self._own = own

    def _suffixes(self) -> list[str]:
        """What tells the arrays of a carry apart, in flax's order."""
        letters = [".c", ".h"] if len(self.network.cells[0].state_names) == 2 else [""]
        directions = ["_forward", "_backward"] if self.network.num_directions == 2 else [""]
        return [f"{direction}{letter}" for direction in directions for letter in letters]

    def _named(self, states: Sequence[State]) -> dict[str, Array]:
        arrays = [array for state in states for array in reversed(state)]
        return dict(zip(self._suffixes(), arrays, strict=True))

    def _carry(self, states: Mapping[str, Any]) -> Any:
        """States by name as flax takes them; None for none."""
        if not states:
            return None
        arrays = [states[name] for name in self._suffixes()]  # JAX sorts the keys of a dict
        D = self.network.num_directions
        size = len(arrays) // D
        carries = [tuple(arrays[k * size : k * size + size]) for k in range(D)]
        carries = [carry if size == 2 else carry[0] for carry in carries]
        return tuple(carries) if D == 2 else carries[0]


class _RnnSubject(_FlaxSubject):
    """RNN or Bidirectional, or what is called like them."""

    def __init__(
        self,
        own: PureModule,
        parts: Sequence[Part],
        cells: Sequence[AnyCell],
        weights: Sequence[Weights],
        dtype: np.dtype[Any],
        seq_lengths: bool,
        compiled: bool,
    ) -> None:
        module = own.module
        both = len(parts) == 2
        if both and cells[0] != cells[1]:
            raise UnsupportedCase(f"the directions are of {cells[0]!r} and {cells[1]!r}")
        turned = not both and bool(getattr(module, "reverse", False))
        network = Network(
            cells[:1],
            (False, True) if both else (turned,),
            merge_of(module.merge_fn) if both else "concat",
        )
        super().__init__(own, network, weights, dtype, compiled)
        self._lengths = check_bool(seq_lengths, "seq_lengths")
        self._batch_first = not module.time_major
        self._processing_order = turned and not module.keep_order
        self.semantics = PROFILES["flax"]

    def supports(self, problem: Problem) -> str | None:
        """Lengths have no holes; a padded batch alone has no lengths."""
        if not self._lengths and not problem.mask.all():
            return "a padded batch without seq_lengths: the module cannot know its padding"
        return super().supports(problem)

    def _told(self, problem: Problem) -> Any:
        return super()._told(problem) if self._lengths else None

    def _call(self, weights: Any, x: Any, states: dict[str, Any], told: Any) -> tuple[Any, Any]:
        result = self._own.apply(
            weights,
            x,
            initial_carry=self._carry(states),
            seq_lengths=told,
            return_carry=True,
        )
        if not isinstance(result, tuple) or len(result) != 2:
            raise TypeError(
                f"the result has type {type(result).__name__}, expected (carry, outputs)"
            )
        carry, outputs = result
        return outputs, in_order(carry, self._suffixes(), "the carry")

    def _cotangent(self, problem: Problem) -> Array:
        if self._processing_order:
            turned = problem.d_output[reversed_rows(problem.lengths)]
            problem = problem._replace(d_output=turned)
        return super()._cotangent(problem)

    def _expected(self, results: Results, problem: Problem, meant: Semantics) -> list[Expected]:
        if self._processing_order:
            turned = results.output[reversed_rows(problem.lengths)]
            results = results._replace(output=turned)
        return super()._expected(results, problem, meant)


class _CellSubject(_FlaxSubject):
    """A cell: stepped by ``jax.lax.scan``, and not looked at where a sequence has ended.

    A sequence that has ended keeps its carry, and what the cell makes of zeros beside it is thrown
    away.
    """

    semantics = LAW

    def __init__(
        self,
        own: PureModule,
        parts: Sequence[Part],
        cells: Sequence[AnyCell],
        weights: Sequence[Weights],
        dtype: np.dtype[Any],
        compiled: bool,
    ) -> None:
        super().__init__(own, Network(cells), weights, dtype, compiled)

    def supports(self, problem: Problem) -> str | None:
        """Holes are a matter of padding, and a cell sees none."""
        return "a cell is given steps, and they have no holes" if problem.has_holes else None

    def _told(self, problem: Problem) -> Any:
        alive = np.ascontiguousarray(problem.mask.T)
        rows, steps = np.nonzero(problem.mask)
        return alive, steps.astype(np.int32), rows.astype(np.int32)

    def _input(self, problem: Problem) -> Array:
        return problem.batch.values.copy()

    def _cotangent(self, problem: Problem) -> Array:
        return problem.d_output

    def _expected(self, results: Results, problem: Problem, meant: Semantics) -> list[Expected]:
        return [Expected(results.output), Expected(results.d_input)]

    def _call(self, weights: Any, x: Any, states: dict[str, Any], told: Any) -> tuple[Any, Any]:
        import jax
        import jax.numpy as jnp

        alive, steps, rows = told
        padded = jnp.zeros((*alive.shape, x.shape[1]), x.dtype).at[steps, rows].set(x)
        carry = self._carry(states)
        if carry is None:
            carry = self._own.initial_carry((alive.shape[1], x.shape[1]))

        def step(carry: Any, now: Any) -> tuple[Any, Any]:
            x_t, alive_t = now
            after, output = self._own.apply(weights, carry, x_t)

            def kept(new: Any, old: Any) -> Any:
                return jnp.where(alive_t[:, None], new, old)

            return jax.tree.map(kept, after, carry), output

        final, outputs = jax.lax.scan(step, carry, (padded, alive))
        return outputs[steps, rows], in_order(final, self._suffixes(), "the carry")
