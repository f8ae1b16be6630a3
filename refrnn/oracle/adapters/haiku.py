"""dm-haiku: VanillaRNN, LSTM and GRU, unrolled over sequences of exactly their lengths.

Modules of haiku exist inside ``hk.transform`` only. So a core is handed over as what makes it,
``core(lambda: hk.LSTM(5), input_size=3)``, or as a transformed function with its parameters. haiku
has no lengths: sequences of the same length are unrolled together, and there is no padding.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np

from ...parameters import CellParameters
from ...types import Array, IntArray
from ...unroll import Packed
from ...unroll.base import AnyCell, State
from ...validation import check_bool, check_integer
from ..evaluation import Setting, evaluate
from ..mistakes import Mistake
from ..network import Network, Results
from ..problem import Problem
from ..semantics import Semantics
from ..subject import Expected, Subject
from ..weights import LAYOUTS
from .jax_subject import JaxSubject, Weights, draw, float_dtype, generator, in_order, x64

__all__ = ["adapt", "core", "modules"]

_LAYOUTS = tuple(LAYOUTS[f"haiku.{name}"] for name in ("LSTM", "GRU", "VanillaRNN"))


def adapt(
    transformed: Any,
    *,
    params: Mapping[str, Any],
    seed: int | None = None,
    reverse: bool = False,
    time_major: bool = True,
    compiled: bool = True,
) -> Subject:
    """A subject of a transformed function of haiku.

    Parameters
    ----------
    transformed : haiku.Transformed
        Of a function ``f(x, state) -> (output, final state)`` around one VanillaRNN, LSTM or GRU,
        or a core with the same parameters; x (T, B, I), and the state as haiku has it, an
        LSTMState or one array. Not of a function with state: see ``hk.without_state``.
    params : mapping
        What ``transformed.init`` gives.
    seed : int, optional
        Draw all weights from it, uniform in +-2/sqrt(H), instead of `params`. haiku makes every
        bias zero, and nothing shows what is done with a bias that is zero.
    reverse : bool
        The direction that `f` runs in.
    time_major : bool
        False for x and output with axes (B, T, ...).
    compiled : bool
        Whether forward and backward go through ``jax.jit`` as a whole.

    Returns
    -------
    Subject
        Results ``output``, ``state.hidden``, ``state.cell`` or ``state``, with ``d_`` the gradients
        of ``inputs`` and of the state that is given, and of each parameter by its name. Profile:
        refrnn's law.

    Raises
    ------
    TypeError
        If it is something else of haiku, or the parameters are not those of one core.
    UnsupportedCase
        If they are neither float32 nor float64.
    """
    import haiku as hk

    if not isinstance(transformed, hk.Transformed):
        raise TypeError(
            f"subject has type {type(transformed).__name__}, expected an hk.Transformed, or "
            "refrnn.oracle.adapters.haiku.core(lambda: hk.LSTM(5), input_size=3)"
        )
    subject = _HaikuSubject(transformed, params, generator(seed), reverse, time_major, compiled)
    subject._always_states = True
    return subject


def core(
    factory: Callable[[], Any],
    *,
    input_size: int,
    unroll: str = "dynamic",
    reverse: bool = False,
    time_major: bool = True,
    params: Mapping[str, Any] | None = None,
    dtype: Any = "float32",
    compiled: bool = True,
) -> Subject:
    """A subject of a core of haiku and one of haiku's unrolls.

    Parameters
    ----------
    factory : callable
        Makes the core, ``lambda: hk.LSTM(5)``: VanillaRNN, LSTM or GRU, a subclass, or a core with
        the same parameters. It is called inside ``hk.transform``.
    input_size : int
    unroll : {"dynamic", "static"}
        ``hk.dynamic_unroll`` or ``hk.static_unroll``.
    reverse : bool
        Handed to ``hk.dynamic_unroll``. The static one has only one direction.
    time_major : bool
        Handed to the unroll, with arrays of that layout.
    params : mapping, optional
        The weights, as ``init`` of the transformed core gives them; drawn if None, uniform in
        +-2/sqrt(H).
    dtype : {"float32", "float64"}
        Of drawn weights. For float64, ``jax.enable_x64`` is on during the run, and only then.
    compiled : bool
        Whether forward and backward go through ``jax.jit`` as a whole.

    Returns
    -------
    Subject
        As :func:`adapt`.

    Raises
    ------
    TypeError, ValueError, UnsupportedCase
        As :func:`adapt`, or if an argument has another value than those above.

    Examples
    --------
    >>> import haiku as hk                                                # doctest: +SKIP
    >>> from refrnn.oracle import check
    >>> from refrnn.oracle.adapters.haiku import core
    >>> check(core(lambda: hk.LSTM(5), input_size=3)).raise_if_failed()   # doctest: +SKIP
    """
    import haiku as hk

    if not callable(factory):
        raise TypeError(f"factory has type {type(factory).__name__}, expected a function")
    if unroll not in ("dynamic", "static"):
        raise ValueError(f"unroll has value {unroll!r}, expected 'dynamic' or 'static'")
    if unroll == "static" and check_bool(reverse, "reverse"):
        raise ValueError("reverse has value True, expected False for hk.static_unroll")
    size = check_integer(input_size, "input_size", minimum=1)
    walk = hk.dynamic_unroll if unroll == "dynamic" else hk.static_unroll
    options = {"reverse": True} if reverse else {}

    def whole(x: Any, state: Any) -> Any:
        made = factory()
        if state is None:
            state = made.initial_state(x.shape[1 if time_major else 0])
        return walk(made, x, state, time_major=time_major, **options)

    transformed = hk.transform(whole)
    rng = None
    if params is None:
        own_dtype = float_dtype(dtype, "the core")
        params = _zeros(transformed, size, own_dtype)
        rng = np.random.default_rng(0)
    subject = _HaikuSubject(transformed, params, rng, reverse, time_major, compiled)
    subject.title += f", {unroll}_unroll{', reversed' if reverse else ''}"
    return subject


def modules() -> Iterator[tuple[str, Any]]:
    """What haiku has itself, one of each kind and option: what ``refrnn check haiku`` runs."""
    import haiku as hk

    yield "VanillaRNN", core(lambda: hk.VanillaRNN(5), input_size=3)
    single = core(lambda: hk.VanillaRNN(5, double_bias=False), input_size=3)
    yield "VanillaRNN single bias", single
    yield "LSTM", core(lambda: hk.LSTM(5), input_size=3)
    yield "LSTM float64", core(lambda: hk.LSTM(5), input_size=3, dtype="float64")
    yield "LSTM reverse", core(lambda: hk.LSTM(5), input_size=3, reverse=True, time_major=False)
    yield "LSTM static", core(lambda: hk.LSTM(5), input_size=3, unroll="static")
    yield "GRU", core(lambda: hk.GRU(5), input_size=3)


class _HaikuSubject(JaxSubject):
    """A transformed function of a batch of equally long sequences and their states."""

    INPUT = "inputs"
    FINAL = "state{}"
    INITIAL = "initial_state{}"

    def __init__(
        self,
        transformed: Any,
        params: Mapping[str, Any],
        rng: np.random.Generator | None,
        reverse: bool,
        time_major: bool,
        compiled: bool,
    ) -> None:
        cell, weights = _read(params)
        dtype = float_dtype(next(iter(weights.arrays.values())).dtype, "the core")
        if rng is not None:
            weights = weights._replace(arrays=draw(weights.layout, cell, dtype, rng))
        network = Network([cell], (check_bool(reverse, "reverse"),))
        import haiku as hk

        title = f"{weights.layout.name} of dm-haiku {hk.__version__}"
        super().__init__(title, network, [weights], dtype, check_bool(compiled, "compiled"))
        self._transformed = transformed
        self._batch_first = not check_bool(time_major, "time_major")

    def supports(self, problem: Problem) -> str | None:
        """There is no padding, so no holes."""
        return "haiku has no mask" if problem.has_holes else None

    def _suffixes(self) -> list[str]:
        two = len(self.network.cells[0].state_names) == 2
        return [".hidden", ".cell"] if two else [""]

    def _named(self, states: Sequence[State]) -> dict[str, Array]:
        return dict(zip(self._suffixes(), states[0], strict=True))

    def mistakes(self, setting: Setting) -> Iterator[Mistake]:
        """What can be wrong with the bias of f, of which a part is added at run time."""
        added = self._weights[0].layout.forget_bias
        if not added:
            return
        for words, factor, left in (
            (f"the {added:g} that is added to the forget gate left out", 1.0, 0.0),
            ("linear/b added twice", 2.0, added),
        ):
            yield Mistake(words, partial(_other_bias, setting, added, factor, left), self.semantics)

    def run(self, problem: Problem) -> Mapping[str, Any]:
        """Call it for the sequences of each length in turn; gradients of weights add up."""
        lengths, starts = problem.lengths, problem.batch.offsets[:-1]
        groups = [np.flatnonzero(lengths == length) for length in np.unique(lengths)]
        groups = groups or [np.flatnonzero(lengths)]  # a batch without a sequence is a group
        found = [super(_HaikuSubject, self).run(_selected(problem, who)) for who in groups]
        rows = [(starts[who][:, None] + np.arange(lengths[who].max(initial=0))) for who in groups]
        sequences = np.argsort(np.concatenate(groups))
        steps = np.argsort(np.concatenate([r.ravel() for r in rows]))
        together: dict[str, Any] = {}
        for name in found[0]:
            arrays = [one[name] for one in found if name in one]
            if len(arrays) < len(found):  # a group whose output had a wrong shape
                continue
            if name in (self.OUTPUT, f"d_{self.INPUT}"):
                together[name] = np.concatenate([self._flat(a) for a in arrays])[steps]
            elif self._is_state(name):
                together[name] = np.concatenate(arrays)[sequences]
            else:
                together[name] = np.add.reduce(arrays)
        return together

    def _is_state(self, name: str) -> bool:
        forms = (self.FINAL, f"d_{self.INITIAL}")
        return any(name == form.format(suffix) for form in forms for suffix in self._suffixes())

    def _flat(self, array: Array) -> Array:
        """Steps of a group as rows, sequence by sequence."""
        turned = array if self._batch_first else array.swapaxes(0, 1)
        return turned.reshape(-1, *turned.shape[2:])

    def _expected(self, results: Results, problem: Problem, meant: Semantics) -> list[Expected]:
        return [Expected(results.output), Expected(results.d_input)]

    def _call(self, weights: Any, x: Any, states: dict[str, Any], told: Any) -> tuple[Any, Any]:
        import haiku as hk

        state: Any = None
        if states:
            arrays = [states[name] for name in self._suffixes()]
            state = hk.LSTMState(*arrays) if len(arrays) == 2 else arrays[0]
        nested: dict[str, dict[str, Any]] = {}
        for name, array in weights.items():
            module, _, own = name.rpartition("/")
            nested.setdefault(module, {})[own] = array
        result = self._transformed.apply(nested, None, x, state)
        if not isinstance(result, tuple) or len(result) != 2:
            raise TypeError(
                f"the result has type {type(result).__name__}, expected (output, state)"
            )
        output, final = result
        return output, in_order(final, self._suffixes(), "the final state")


def _other_bias(setting: Setting, added: float, factor: float, left: float) -> Results:
    """An LSTM whose own bias is multiplied, and what is added to that of f is something else."""
    (own,), H = setting.parameters, setting.network.cells[0].hidden_size
    forget = slice(H, 2 * H)
    b_ih = own["b_ih"].copy()
    b_ih[forget] -= added
    b_ih *= factor
    b_ih[forget] += left
    changed = CellParameters({**own, "b_ih": b_ih})
    results = evaluate(setting._replace(parameters=(changed,)), Packed())
    (gradient,) = results.d_parameters
    pulled = CellParameters({**gradient, "b_ih": factor * gradient["b_ih"]})
    return results._replace(d_parameters=(pulled,))


def _selected(problem: Problem, who: IntArray) -> Problem:
    """Some sequences of a problem, padded to the longest of them."""

    def rows(states: tuple[State, ...]) -> tuple[State, ...]:
        return tuple(type(s)._make([a[who] for a in s]) for s in states)

    longest = int(problem.lengths[who].max(initial=0))
    cotangent = problem.batch.with_values(problem.d_output).permute(who)
    return problem._replace(
        batch=problem.batch.permute(who),
        state_0=rows(problem.state_0),
        d_output=cotangent.values,
        d_state_n=rows(problem.d_state_n),
        mask=problem.mask[who, :longest],
        padding=problem.padding[who, :longest],
    )


def _read(params: Mapping[str, Any]) -> tuple[AnyCell, Weights]:
    """The cell that parameters belong to, told by their names."""
    if not isinstance(params, Mapping):
        raise TypeError(f"params has type {type(params).__name__}, expected what init gives")
    arrays = {
        f"{module}/{name}": np.asarray(array)
        for module, own in params.items()
        for name, array in own.items()
    }
    first = next(iter(arrays), "").split("/")
    for layout in _LAYOUTS:
        for depth in range(len(first)):
            prefix = "".join(f"{part}/" for part in first[:depth])
            own = {name.removeprefix(prefix): array for name, array in arrays.items()}
            try:
                cell = layout.cell(own)
            except ValueError:  # other names or shapes than this layout's
                continue
            return cell, Weights(layout, {name: prefix + name for name in own}, own)
    raise TypeError(
        f"params has names {sorted(arrays)}, expected those of one hk.VanillaRNN, LSTM or GRU"
    )


def _zeros(transformed: Any, input_size: int, dtype: np.dtype[Any]) -> dict[str, Any]:
    """Parameters of the right shapes, without computing anything."""
    import jax

    with x64(dtype):
        x = np.zeros((1, 1, input_size), dtype)
        shapes = jax.eval_shape(
            lambda key, values: transformed.init(key, values, None), jax.random.key(0), x
        )
    zeros: dict[str, Any] = jax.tree.map(lambda s: np.zeros(s.shape, s.dtype), shapes)
    return zeros
