"""MLX: nn.RNN, nn.LSTM and nn.GRU.

MLX has no lengths and no mask. Sequences of different lengths are therefore run one by one, each a
batch of one and exactly its length; or a padded batch is, where it has no padding. The module is a
copy whose weights are arguments, so that the module itself is not touched.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from ...errors import UnsupportedCase
from ...parameters import CellParameters
from ...types import Array
from ...validation import check_bool
from ..network import Network, Results
from ..padded import expected_d_input, expected_output
from ..problem import Problem
from ..semantics import PROFILES, Semantics
from ..subject import Expected, Subject
from ..weights import LAYOUTS, Layout

__all__ = ["adapt", "modules"]

_DTYPES = {"mlx.core.float32": "float32", "mlx.core.float64": "float64"}


def adapt(module: Any, *, one_by_one: bool = True, nonlinearity: str | None = None) -> Subject:
    """A subject of a recurrent layer of MLX.

    Parameters
    ----------
    module : mlx.nn.RNN, LSTM or GRU
        Or any module whose parameters have the same names and that is called the same way.
    one_by_one : bool
        Run every sequence alone, a batch of one and exactly its length; or run a padded batch,
        which suits only problems without padding.
    nonlinearity : str, optional
        The name in :data:`refrnn.activations.ACTIVATION_NAMES` of what an RNN has as its
        nonlinearity; found out if None, for those of ``mlx.nn`` that have no numbers.

    Returns
    -------
    Subject

    Raises
    ------
    TypeError
        If the module has other parameters, or a nonlinearity is given that is not an RNN's.
    UnsupportedCase
        If the dtype is neither float32 nor float64, or the nonlinearity is not known.
    """
    import mlx.nn

    if not isinstance(module, mlx.nn.Module):
        raise TypeError(f"subject has type {type(module).__name__}, expected an mlx.nn.Module")
    return _Subject(module, check_bool(one_by_one, "one_by_one"), nonlinearity)


def modules() -> Iterator[tuple[str, Any]]:
    """MLX's own recurrent modules, one of each kind: what ``refrnn check mlx`` runs."""
    import mlx.core as mx

    high, low = np.array(mx.random.state[0]).tolist()
    mx.random.seed(0)
    try:
        made = list(_modules())
    finally:
        mx.random.seed(high << 32 | low)
    yield from made


def _modules() -> Iterator[tuple[str, Any]]:
    """Them, with weights from MLX's own generator."""
    import mlx.core as mx
    from mlx import nn

    for kind in (nn.RNN, nn.LSTM, nn.GRU):
        name = kind.__name__
        yield name, kind(3, 5)
        yield f"{name} without bias", kind(3, 5, bias=False)
        yield f"{name} padded", adapt(kind(3, 5), one_by_one=False)
        wide = kind(3, 5)
        with mx.stream(mx.cpu):
            wide.set_dtype(mx.float64)
        yield f"{name} float64", wide
    yield "RNN relu", nn.RNN(3, 5, nonlinearity=nn.relu)


class _Subject:
    """A module, its weights as arguments."""

    semantics = PROFILES["mlx"]

    def __init__(self, module: Any, one_by_one: bool, nonlinearity: str | None) -> None:
        own = {n: a for n, a in module.items() if type(a).__module__.startswith("mlx")}
        self._weights = {n: a for n, a in own.items() if hasattr(a, "dtype")}
        names = {str(a.dtype) for a in self._weights.values()}
        if not names <= set(_DTYPES) or len(names) != 1:
            raise UnsupportedCase(
                f"the module has dtype {', '.join(sorted(names)) or 'none'}, expected one of "
                f"{', '.join(_DTYPES)}"
            )
        self._module = module
        self._one_by_one = one_by_one
        self.dtype = np.dtype(_DTYPES[names.pop()])
        arrays = {name: np.array(a) for name, a in self._weights.items()}
        self._layout = _layout(module, arrays)
        options = _activation(module, self._layout, nonlinearity)
        self._cell = self._layout.cell(arrays, **options)
        self.network = Network([self._cell])
        self._parameters = self._layout.from_foreign(self._cell, arrays)

    @property
    def title(self) -> str:
        """Its class and sizes, and how it is run."""
        import mlx.core as mx

        sizes = f"{self._cell.input_size}, {self._cell.hidden_size}"
        bias = "" if self._cell.biases else ", bias=False"
        way = "each sequence alone" if self._one_by_one else "a padded batch"
        return f"{type(self._module).__name__}({sizes}{bias}) of mlx {mx.__version__}, {way}"

    def parameters(self) -> tuple[CellParameters, ...]:
        """The weights; what MLX adds up before it keeps it stands in ``b_ih``."""
        return (self._parameters,)

    def supports(self, problem: Problem) -> str | None:
        """What can be put to a module without lengths."""
        if self._one_by_one:
            if problem.has_holes:
                return "a sequence that is run alone has no holes"
            return "no sequence to run alone" if "no sequence" in problem.traits else None
        if not problem.mask.all():
            return "a padded batch: MLX has no lengths, and cannot know its padding"
        return None

    def run(self, problem: Problem) -> Mapping[str, Any]:
        """Call the module, and pull the cotangents back through it."""
        import mlx.core as mx

        with mx.stream(mx.cpu):  # float64 is there only
            rows = list(range(len(problem.batch))) if self._one_by_one else [slice(None)]
            lengths = problem.lengths if self._one_by_one else [problem.num_steps]
            x, d_y = problem.padded_input(), problem.padded_cotangent()
            parts = [_rows(r, n) for r, n in zip(rows, lengths, strict=True)]
            inputs = {
                "x": [self._array(x[part]) for part in parts],
                "states": [] if problem.default_state else self._states(problem.state_0[0]),
                "weights": dict(self._weights),
            }
            cotangents = [self._array(d_y[part]) for part in parts]
            return self._pulled_back(inputs, cotangents, self._states(problem.d_state_n[0]))

    def _pulled_back(
        self, inputs: dict[str, Any], d_outputs: list[Any], d_finals: list[Any]
    ) -> dict[str, Any]:
        """Outputs, final states and gradients."""
        import mlx.core as mx
        from mlx.utils import tree_flatten, tree_unflatten

        paths, leaves = zip(*tree_flatten(inputs), strict=True)

        def called(*arrays: Any) -> list[Any]:
            outputs, finals = self._called(tree_unflatten(list(zip(paths, arrays, strict=True))))
            return [*outputs, *finals]

        found, gradients = mx.vjp(called, list(leaves), [*d_outputs, *d_finals])
        count = len(d_outputs)
        gradient = dict(zip(paths, gradients, strict=True))
        named = {"output": self._joined(found[:count])}
        letters = self._cell.state_names
        named.update({f"{n}_n": np.array(a) for n, a in zip(letters, found[count:], strict=True)})
        named["d_x"] = self._joined([gradient[f"x.{k}"] for k in range(count)])
        arguments = zip(("hidden", "cell"), inputs["states"], strict=False)
        named.update(
            {f"d_{n}": np.array(gradient[f"states.{k}"]) for k, (n, _) in enumerate(arguments)}
        )
        named.update({f"d_{n}": np.array(gradient[f"weights.{n}"]) for n in self._weights})
        return named

    def _called(self, given: Mapping[str, Any]) -> tuple[list[Any], list[Any]]:
        """Outputs of each call, and the final states of all sequences, (B, H) each."""
        import mlx.core as mx

        module = copy.copy(self._module)
        for name, array in given["weights"].items():
            module[name] = array
        count = len(self._cell.state_names)
        outputs: list[Any] = []
        finals: list[list[Any]] = [[] for _ in range(count)]
        for number, x in enumerate(given["x"]):
            row = slice(number, number + 1) if self._one_by_one else slice(None)
            steps = module(x, *(state[row] for state in given.get("states", [])))
            steps = list(steps) if isinstance(steps, (tuple, list)) else [steps]
            if len(steps) != count:
                raise ValueError(f"the module gives back {len(steps)} arrays, expected {count}")
            outputs.append(steps[0])
            for final, all_steps in zip(finals, steps, strict=True):
                final.append(all_steps[:, -1])
        return outputs, [mx.concatenate(final) for final in finals]

    def _states(self, states: Sequence[Array]) -> list[Any]:
        """States as arrays of MLX."""
        return [self._array(state) for state in states]

    def _array(self, array: Array) -> Any:
        """An array as one of MLX, which makes float32 of float64 unless it is told not to."""
        import mlx.core as mx

        return mx.array(array, dtype=getattr(mx, array.dtype.name))

    def _joined(self, arrays: Sequence[Any]) -> Array:
        """Sequences run alone as rows; a batch as it is."""
        if not self._one_by_one:
            return np.array(arrays[0])
        return np.concatenate([np.array(a)[0] for a in arrays])

    def present(
        self, results: Results, problem: Problem, semantics: Semantics
    ) -> Mapping[str, Expected]:
        """Rows, or a padded batch; the names of MLX's arguments and parameters."""
        if self._one_by_one:
            output, d_x = Expected(results.output), Expected(results.d_input)
        else:
            output = expected_output(results, problem, semantics)
            d_x = expected_d_input(results, problem)
        letters = self._cell.state_names
        named = {"output": output}
        named.update(
            {f"{n}_n": Expected(a) for n, a in zip(letters, results.state_n[0], strict=True)}
        )
        named["d_x"] = d_x
        if not problem.default_state:
            first = zip(("hidden", "cell"), results.d_state_0[0], strict=False)
            named.update({f"d_{n}": Expected(a) for n, a in first})
        weights = self._layout.gradient_to_foreign(self._cell, results.d_parameters[0])
        return {**named, **{f"d_{n}": Expected(a) for n, a in weights.items()}}


def _rows(row: Any, length: Any) -> tuple[Any, ...]:
    """What one call takes of a padded array, as a batch."""
    return (row if isinstance(row, slice) else slice(row, row + 1), slice(0, int(length)))


def _layout(module: Any, arrays: Mapping[str, Array]) -> Layout:
    """Which of the three the parameters are of."""
    if "Wxh" in arrays and "Whh" in arrays:
        return LAYOUTS["mlx.RNN"]
    if "Wx" in arrays and "Wh" in arrays and arrays["Wh"].ndim == 2:
        rows, hidden = arrays["Wh"].shape
        kinds = {4: "mlx.LSTM", 3: "mlx.GRU"}
        if rows in (3 * hidden, 4 * hidden):
            return LAYOUTS[kinds[rows // hidden]]
    raise TypeError(
        f"{type(module).__name__} has parameters {sorted(arrays)}, expected those of mlx.nn.RNN, "
        "LSTM or GRU"
    )


def _activation(module: Any, layout: Layout, given: str | None) -> dict[str, Any]:
    """The options of the cell that the weights do not show."""
    if layout.name != "mlx.RNN":
        if given is not None:
            raise TypeError(f"nonlinearity has value {given!r}, expected None for {layout.name}")
        return {}
    if given is not None:
        return {"activation": given}
    import mlx.core as mx
    from mlx import nn

    own: Callable[..., Any] = getattr(module, "nonlinearity", nn.tanh)
    known = {
        "tanh": (nn.tanh, mx.tanh),
        "sigmoid": (nn.sigmoid, mx.sigmoid),
        "relu": (nn.relu,),
        "softsign": (nn.softsign,),
        "softplus": (nn.softplus,),
    }
    for name, functions in known.items():
        if any(own is function for function in functions):
            return {"activation": name}
    raise UnsupportedCase(
        f"the nonlinearity is {own!r}, expected one of {', '.join(known)} of mlx.nn; say which it "
        "is by nonlinearity="
    )
