"""JAX: any function that computes a layer, and the LSTM of ``jax.experimental.rnn``."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from ...cells import LSTM
from ...errors import UnsupportedCase
from ...parameters import CellParameters
from ...types import Array
from ...unroll.base import AnyCell, State
from ...validation import check_bool, check_integer
from ..network import Network, Results
from ..problem import Problem
from ..semantics import LAW, PROFILES, Semantics
from ..subject import Expected, Subject
from ..weights import LAYOUTS, jax_flatten, jax_unflatten
from .jax_subject import JaxSubject, Weights, draw, float_dtype, in_order

__all__ = ["adapt", "function", "lstm", "modules"]

_LAYOUT = LAYOUTS["jax.experimental.rnn.lstm"]


def adapt(subject: Any, **options: Any) -> Subject:
    """A subject of a function of JAX.

    Parameters
    ----------
    subject : callable
        What ``jax.jit``, ``jax.custom_vjp`` or ``jax.custom_jvp`` made of a function.
        ``jax.experimental.rnn.lstm_ref`` and ``lstm`` go to :func:`lstm`, all others to
        :func:`function`. A plain Python function is not seen to be JAX: hand it to
        :func:`function` yourself.
    **options
        Of that function.

    Returns
    -------
    Subject

    Raises
    ------
    TypeError
        If it is not callable, or an option is missing or not known.
    """
    from jax.experimental import rnn

    if not callable(subject):
        kind = type(subject).__name__
        raise TypeError(f"subject has type {kind}, expected a function of JAX")
    if subject in (rnn.lstm, rnn.lstm_ref):
        return lstm(subject, **options)
    return function(subject, **options)


def function(
    f: Callable[..., Any],
    *,
    cell: AnyCell,
    parameters: CellParameters | None = None,
    dtype: Any = "float32",
    told: str = "lengths",
    reverse: bool = False,
    batch_first: bool = True,
    compiled: bool = False,
    semantics: Semantics = LAW,
) -> Subject:
    """A subject of any function of JAX: its gradients are those of ``jax.vjp``.

    Parameters
    ----------
    f : callable
        ``f(parameters, x, told, state_0) -> (output, state_n)``, all arrays of JAX.

        * parameters, dict of str to array under the names of `cell` (``W_ih``, ``W_hh``, ...);
        * x (B, T, I), padded, with garbage or NaN in the padding;
        * told, the lengths (B,) int32, or the mask (B, T) bool;
        * state_0, the cell's NamedTuple of arrays (B, size): ``(h,)`` or ``(h, c)``;
        * output (B, T, R); state_n, a tuple like state_0, or the array h alone.
    cell : Cell
        The equations it claims to compute.
    parameters : CellParameters, optional
        The weights it is run with; drawn if None, uniform in +-2/sqrt(H).
    dtype : {"float32", "float64"}
        For float64, ``jax.enable_x64`` is on during the run, and only then.
    told : {"lengths", "mask"}
        The third argument. Only with a mask are there problems with holes.
    reverse : bool
        The direction that `f` runs in.
    batch_first : bool
        False for x and output with axes (T, B, ...), and a mask (T, B).
    compiled : bool
        Put forward and backward through ``jax.jit``, so that all arguments are traced.
    semantics : Semantics
        What it does on purpose; refrnn's law by default. ``check(semantics=...)`` overrides it.

    Returns
    -------
    Subject
        Its results have refrnn's names.

    Raises
    ------
    TypeError
        If `f` is not callable or `cell` no cell.
    ValueError
        If an argument has another value than those above, or `parameters` are not the cell's.

    Examples
    --------
    >>> import refrnn as rr
    >>> from refrnn.oracle import check
    >>> from refrnn.oracle.adapters.jax import function
    >>> def elman(p, x, lengths, state_0):                         # doctest: +SKIP
    ...     ...
    >>> check(function(elman, cell=rr.RNN(3, 4))).raise_if_failed()  # doctest: +SKIP
    """
    if not callable(f):
        raise TypeError(f"f has type {type(f).__name__}, expected a function of JAX")
    if told not in ("lengths", "mask"):
        raise ValueError(f"told has value {told!r}, expected 'lengths' or 'mask'")
    network = Network([cell], (check_bool(reverse, "reverse"),))
    own_dtype = float_dtype(dtype, "the function")
    if parameters is None:
        rng = np.random.default_rng(0)
        parameters = cell.init_parameters(rng, own_dtype, scale=2.0 / cell.hidden_size**0.5)
    checked = cell.check_parameters(parameters).astype(own_dtype)
    subject = _FunctionSubject(f, network, checked, own_dtype, check_bool(compiled, "compiled"))
    subject._mask = told == "mask"
    subject._batch_first = check_bool(batch_first, "batch_first")
    subject.semantics = semantics
    return subject


def lstm(
    f: Callable[..., Any] | None = None,
    *,
    input_size: int,
    hidden_size: int,
    num_layers: int = 1,
    bidirectional: bool = False,
    weights: Any = None,
    flat: bool | None = None,
    dtype: Any = "float32",
    semantics: Semantics | None = None,
) -> Subject:
    """A subject of ``jax.experimental.rnn.lstm_ref``, ``lstm``, or what is called like them.

    Parameters
    ----------
    f : callable, optional
        ``lstm_ref`` if None. ``lstm`` needs a GPU with cuDNN.
    input_size, hidden_size, num_layers : int
    bidirectional : bool
        As the functions take them; dropout is 0.
    weights : array_like, optional
        The vector of all weights, in JAX's order; drawn if None, uniform in +-2/sqrt(H).
    flat : bool, optional
        Whether `f` takes that vector, as ``lstm`` does, or four dicts of arrays by pseudo-layer, as
        ``lstm_ref``; by default, True for ``lstm`` alone.
    dtype : {"float32", "float64"}
        For float64, ``jax.enable_x64`` is on during the run, and only then.
    semantics : Semantics, optional
        What it does on purpose: profile ``lstm_ref`` by default.

    Returns
    -------
    Subject
        Results ``y``, ``h_n``, ``c_n`` (L*D, B, H), ``d_x``, ``d_h_0``, ``d_c_0``, and
        ``d_W_ih[0]``, ... or ``d_weights``.

    Raises
    ------
    UnsupportedCase
        If `f` is ``lstm`` and JAX has no GPU.
    TypeError, ValueError
        If an argument is of another kind, or `weights` has another number of elements.
    """
    import jax
    from jax.experimental import rnn

    chosen = rnn.lstm_ref if f is None else f
    if not callable(chosen):
        raise TypeError(f"f has type {type(f).__name__}, expected a function of JAX")
    backend = jax.default_backend()
    if chosen is rnn.lstm and backend != "gpu":
        raise UnsupportedCase(
            f"jax.experimental.rnn.lstm runs on cuDNN, and JAX has backend {backend}: lstm_ref is "
            "the same function without it"
        )
    D = 2 if check_bool(bidirectional, "bidirectional") else 1
    H = check_integer(hidden_size, "hidden_size", minimum=1)
    layers = check_integer(num_layers, "num_layers", minimum=1)
    cells = [LSTM(input_size if k == 0 else D * H, H) for k in range(layers)]
    network = Network(cells, (False, True) if D == 2 else (False,))
    own_dtype = float_dtype(dtype, "the function")
    if weights is None:
        rng = np.random.default_rng(0)
        arrays = [
            draw(_LAYOUT, network.cell(run), own_dtype, rng) for run in range(network.num_runs)
        ]
    else:
        arrays = jax_unflatten(
            np.asarray(weights).astype(own_dtype),
            input_size,
            H,
            num_layers=layers,
            bidirectional=D == 2,
        )
    is_flat = chosen is rnn.lstm if flat is None else check_bool(flat, "flat")
    subject = _LstmSubject(chosen, network, arrays, own_dtype, is_flat)
    subject.semantics = PROFILES["lstm_ref"] if semantics is None else semantics
    return subject


def modules() -> Iterator[tuple[str, Any]]:
    """What JAX has itself, with each option: what ``refrnn check jax`` runs."""
    import jax

    sizes: dict[str, Any] = {"input_size": 3, "hidden_size": 5}
    yield "lstm_ref", lstm(**sizes)
    yield "lstm_ref stacked", lstm(num_layers=2, bidirectional=True, **sizes)
    yield "lstm_ref float64", lstm(dtype="float64", **sizes)
    if jax.default_backend() == "gpu":
        from jax.experimental import rnn

        yield "lstm", lstm(rnn.lstm, **sizes)
        yield "lstm stacked", lstm(rnn.lstm, num_layers=2, bidirectional=True, **sizes)


def _version() -> str:
    """The version of JAX that is installed."""
    import jax

    return str(jax.__version__)


class _FunctionSubject(JaxSubject):
    """A function under refrnn's names."""

    _always_states = True
    _mask = False

    def __init__(
        self,
        f: Callable[..., Any],
        network: Network,
        parameters: CellParameters,
        dtype: np.dtype[Any],
        compiled: bool,
    ) -> None:
        name = getattr(f, "__qualname__", None) or getattr(f, "__name__", type(f).__name__)
        title = f"{name} as {network.cells[0]}, jax {_version()}"
        super().__init__(title, network, [], dtype, compiled)
        self._f = f
        self._parameters = parameters

    def parameters(self) -> tuple[CellParameters, ...]:
        """The weights that it is run with."""
        return (self._parameters,)

    def supports(self, problem: Problem) -> str | None:
        """A mask may have holes."""
        return None if self._mask else super().supports(problem)

    def _own_weights(self) -> dict[str, Array]:
        return dict(self._parameters)

    def _told(self, problem: Problem) -> Any:
        if self._mask:
            return problem.mask if self._batch_first else problem.mask.T
        return super()._told(problem)

    def _named(self, states: Sequence[State]) -> dict[str, Array]:
        return dict(zip(self.network.cells[0].state_names, states[0], strict=True))

    def _call(self, weights: Any, x: Any, states: dict[str, Any], told: Any) -> tuple[Any, Any]:
        cell = self.network.cells[0]
        result = self._f(weights, x, told, cell.state_type(**states))
        if not isinstance(result, tuple) or len(result) != 2:
            raise TypeError(f"the result has type {type(result).__name__}, expected a pair")
        output, final = result
        return output, in_order(final, cell.state_names, "state_n")

    def _present_weights(self, results: Results) -> dict[str, Expected]:
        return {f"d_{name}": Expected(array) for name, array in results.d_parameters[0].items()}


class _LstmSubject(JaxSubject):
    """lstm_ref, or what is called like it."""

    OUTPUT = "y"
    INPUT = "x"

    _always_states = True

    def __init__(
        self,
        f: Callable[..., Any],
        network: Network,
        arrays: Sequence[Mapping[str, Array]],
        dtype: np.dtype[Any],
        flat: bool,
    ) -> None:
        weights = [
            Weights(_LAYOUT, {name: f"{name}[{run}]" for name in own}, own)
            for run, own in enumerate(arrays)
        ]
        name = getattr(f, "__name__", type(f).__name__)
        H, L, D = network.cells[0].hidden_size, len(network.cells), network.num_directions
        title = (
            f"{name}(input_size={network.input_size}, hidden_size={H}, num_layers={L}, "
            f"bidirectional={D == 2}) of jax {_version()}"
        )
        # it has jax.jit inside, and Python control flow of its callers need not be traced
        super().__init__(title, network, weights, dtype, compiled=True)
        self._f = f
        self._flat = flat

    def _own_weights(self) -> dict[str, Array]:
        if self._flat:
            return {"weights": jax_flatten([own.arrays for own in self._weights])}
        return super()._own_weights()

    def _named(self, states: Sequence[State]) -> dict[str, Array]:
        arrays = [np.stack(parts) for parts in zip(*states, strict=True)]
        return dict(zip(("h", "c"), arrays, strict=True))

    def _call(self, weights: Any, x: Any, states: dict[str, Any], told: Any) -> tuple[Any, Any]:
        network = self.network
        H, L, D = network.cells[0].hidden_size, len(network.cells), network.num_directions
        sizes = (network.input_size, H, L, 0.0, D == 2)
        if self._flat:
            result = self._f(x, states["h"], states["c"], weights["weights"], told, *sizes)
        else:
            dicts = [
                {run: weights[f"{name}[{run}]"] for run in range(network.num_runs)}
                for name in self._weights[0].arrays
            ]
            result = self._f(x, states["h"], states["c"], *dicts, told, *sizes)
        if not isinstance(result, (tuple, list)) or len(result) != 3:
            raise TypeError(f"the result has type {type(result).__name__}, expected (y, h_n, c_n)")
        y, h_n, c_n = result
        return y, {"h": h_n, "c": c_n}

    def _present_weights(self, results: Results) -> dict[str, Expected]:
        if not self._flat:
            return super()._present_weights(results)
        gradients = [
            _LAYOUT.gradient_to_foreign(self.network.cell(run), gradient)
            for run, gradient in enumerate(results.d_parameters)
        ]
        return {"d_weights": Expected(jax_flatten(gradients))}
