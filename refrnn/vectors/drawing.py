"""Draw the inputs of a case, compute what must come out, and how far rounding may move it."""

from __future__ import annotations

import functools
from collections.abc import Iterable
from typing import Any

import numpy as np

from ..activations import Activation
from ..cases import HARD_CASES
from ..layers import Recurrent
from ..padding import pad
from ..tolerances import tolerance
from ..types import Array
from ..unroll.base import AnyCell
from .configurations import Spec
from .draws import Draws
from .portable import PortableArithmetic, decimal_context, exact, floats, rounded
from .record import VectorCase
from .walk import Problem, Walked, runs_of, walk, walk_stack

__all__ = ["DTYPES", "draw"]

#: What there are tolerances for.
DTYPES = ("float64", "float32")

_UNIT_VARIANCE = 3.0**0.5

# As in refrnn.comparison: far above float64's epsilon, and small enough to act linearly.
_UNIT = 2.0**-40
_RUNS = 8

_EQUATIONS = {
    "RNN": ["R1", "R2"],
    "LSTM": ["L1", "L2", "L3", "L4", "L5", "L6"],
    "GRU": ["G1", "G2", "G3", "G4"],
}


def draw(spec: Spec) -> VectorCase:
    """A case of the corpus: the same bits on every machine.

    Parameters
    ----------
    spec : Spec
        One of :func:`specs`.

    Returns
    -------
    VectorCase
        Its expected arrays are the exact results of the equations for these inputs, computed with
        100 digits and rounded once to float64. Its ``entry`` lacks ``file``, ``sha256`` and
        ``bytes``, which are those of a file.
    """
    arrays = _inputs(spec)
    problem = _problem(spec, arrays)
    with decimal_context():
        results = _named(spec, _walked(spec, problem.converted(exact), PortableArithmetic()))
    expected = {name: rounded(array) for name, array in results.items()}
    scales = _scales(spec, problem, expected)
    entry = _entry(spec, arrays, expected, scales)
    stored = {**arrays, **expected}
    if spec.padded:
        lengths = arrays["lengths"]
        for name in ("input", "d_output"):
            stored[name] = pad(stored[name], lengths, padding_value=np.nan)
        for name in ("output", "d_input"):
            stored[name] = pad(stored[name], lengths)
    return VectorCase(entry, stored)


# --- inputs ------------------------------------------------------------------------------------


def _inputs(spec: Spec) -> dict[str, Array]:
    """Every input, rows (N, F), in the order drawn; both directions have the same numbers."""
    cell, layer, hard = spec.configuration.cell, spec.configuration.layer, HARD_CASES[spec.hard]
    draws = Draws(f"{spec.configuration.name}/{spec.hard}")
    lengths = np.array(hard.lengths, np.int64)
    N, B = int(lengths.sum()), len(lengths)
    width = cell.output_size if layer is None else layer.output_size
    stack = () if layer is None else (layer.num_layers * layer.num_directions,)
    drawn = functools.partial(draws.uniform, _UNIT_VARIANCE)
    arrays = {"lengths": lengths, "input": hard.gain * drawn((N, cell.input_size))}
    shapes = cell.parameter_shapes() if layer is None else layer.parameter_shapes()
    bound = 2.0 * hard.gain / cell.hidden_size**0.5
    arrays.update({name: draws.uniform(bound, shape) for name, shape in shapes.items()})
    states = [
        (n, (*stack, B, size)) for n, size in zip(cell.state_names, cell.state_sizes, strict=True)
    ]
    only_h_n = spec.hard == "last_state"
    if not only_h_n:
        arrays.update({f"{letter}_0": drawn(shape) for letter, shape in states})
        arrays["d_output"] = drawn((N, width))
    arrays.update({f"d_{letter}_n": drawn(shape) for letter, shape in states})
    if only_h_n and "d_c_n" in arrays:
        arrays["d_c_n"] = np.zeros_like(arrays["d_c_n"])
    arrays["input"] = arrays["input"].astype(np.float32).astype(np.float64)
    return arrays


def _problem(spec: Spec, arrays: dict[str, Array]) -> Problem:
    """The inputs as the walk takes them: zeros for what is not given."""
    cell, layer = spec.configuration.cell, spec.configuration.layer
    shapes = cell.parameter_shapes() if layer is None else layer.parameter_shapes()
    width = cell.output_size if layer is None else layer.output_size
    d_state_n = [arrays[f"d_{letter}_n"] for letter in cell.state_names]
    state_0 = [
        arrays.get(f"{letter}_0", np.zeros_like(like))
        for letter, like in zip(cell.state_names, d_state_n, strict=True)
    ]
    return Problem(
        {name: arrays[name] for name in shapes},
        arrays["input"],
        arrays["lengths"],
        cell.state_type(*state_0),
        arrays.get("d_output", np.zeros((len(arrays["input"]), width))),
        cell.state_type(*d_state_n),
    )


# --- results -----------------------------------------------------------------------------------


def _walked(spec: Spec, problem: Problem, arithmetic: Any, copies: int = 1) -> Walked:
    cell, layer = spec.configuration.cell, spec.configuration.layer
    if layer is not None:
        return walk_stack(layer, problem, arithmetic, copies=copies)
    return walk(cell, problem, arithmetic, reverse=spec.reverse, copies=copies)


def _named(spec: Spec, walked: Walked) -> dict[str, Array]:
    """Results by name; of several copies stacked along a new first axis but the last two."""
    names = spec.configuration.cell.state_names
    copies = walked.d_parameters
    parameters = {
        name: array if len(copies) == 1 else np.stack([own[name] for own in copies])
        for name, array in copies[0].items()
    }
    return {
        "output": walked.output,
        **{f"{n}_n": a for n, a in zip(names, walked.state_n, strict=True)},
        "d_input": walked.d_input,
        **{f"d_{n}_0": a for n, a in zip(names, walked.d_state_0, strict=True)},
        **{f"d_{name}": array for name, array in parameters.items()},
    }


def _scales(spec: Spec, problem: Problem, expected: dict[str, Array]) -> dict[str, float]:
    """As :func:`refrnn.comparison.reference`: size, and movement in eight noisy runs.

    The runs are eight copies of the batch side by side, in float64 and portable functions.
    """
    arithmetic = _Noisy(Draws(f"{spec.name} noise"))
    noisy = _named(
        spec, _walked(spec, problem.converted(floats).repeated(_RUNS), arithmetic, _RUNS)
    )
    scales = {}
    for name, truth in expected.items():
        got = np.asarray(noisy[name])
        if got.shape[0] != _RUNS or got.shape[1:] != truth.shape:  # rows of all copies in one
            got = got.reshape(*truth.shape[:-2], _RUNS, *truth.shape[-2:])
            got = np.moveaxis(got, -3, 0)
        movement = float(np.abs(got - truth).max(initial=0.0))
        scales[name] = float(np.abs(truth).max(initial=0.0)) + movement / _UNIT
    return scales


class _Noisy(PortableArithmetic):
    """What :class:`refrnn.arithmetic.MonteCarlo` does, with portable sums and draws."""

    def __init__(self, draws: Draws) -> None:
        self._draws = draws

    def product(self, a: Array, b: Array, out: Array | None = None) -> Array:
        result = super().product(a, b, out)
        result += self._noise(super().product(np.abs(a), np.abs(b)))
        return result

    def product_plus(self, a: Array, b: Array, bias: Array | None, out: Array) -> Array:
        result = self.product(a, b, out)
        if bias is not None:
            result += bias
            result += self._noise(np.broadcast_to(np.abs(bias), result.shape))
        return result

    def sum_rows(self, a: Array) -> Array:
        total = super().sum_rows(a)
        total += self._noise(super().sum_rows(np.abs(a)))
        return total

    def rounded(self, y: Array) -> None:
        y += self._noise(np.abs(y))

    def _noise(self, size: Array) -> Array:
        noise: Array = _UNIT * np.asarray(size) * self._draws.noise(size.shape)
        return noise


# --- the entry in the manifest -----------------------------------------------------------------


def _entry(
    spec: Spec, arrays: dict[str, Array], expected: dict[str, Array], scales: dict[str, float]
) -> dict[str, Any]:
    cell, layer, hard = spec.configuration.cell, spec.configuration.layer, HARD_CASES[spec.hard]
    kind, T = type(cell).__name__, max(hard.lengths, default=0)
    about = hard.about if spec.padded else hard.about.replace(", an array full of NaN", "")
    axes = _axes(cell, layer, spec.padded)
    shapes = _stored_shapes(spec, {**arrays, **expected})

    def facts(name: str) -> dict[str, Any]:
        dtype = "I64" if name == "lengths" else "F64"
        return {"dtype": dtype, "shape": list(shapes[name]), "axes": axes[name]}

    return {
        "name": spec.name,
        "configuration": spec.configuration.name,
        "hard_case": spec.hard,
        "about": about + (", in the reverse direction" if spec.reverse else ""),
        "cell": kind,
        "equations": _EQUATIONS[kind],
        "options": _options(cell),
        "input_size": cell.input_size,
        "hidden_size": cell.hidden_size,
        "output_size": cell.output_size,
        "stacked": layer is not None,
        "num_layers": 1 if layer is None else layer.num_layers,
        "bidirectional": layer is not None and layer.bidirectional,
        "reverse": spec.reverse,
        "padded": spec.padded,
        "batch_size": len(hard.lengths),
        "max_length": T,
        "total_steps": sum(hard.lengths),
        "lengths": list(hard.lengths),
        "inputs": {name: facts(name) for name in arrays},
        "expected": {
            name: {
                **facts(name),
                "scale": scales[name],
                "tolerance": {d: tolerance(d, T, scales[name]) for d in DTYPES},
            }
            for name in expected
        },
    }


def _options(cell: AnyCell) -> dict[str, Any]:
    """Every option of the cell, an activation with its numbers."""
    return {
        name: {"name": value.name, "alpha": value.alpha, "beta": value.beta}
        if isinstance(value, Activation)
        else value
        for name, value in cell.options().items()
    }


def _stored_shapes(spec: Spec, arrays: dict[str, Array]) -> dict[str, tuple[int, ...]]:
    """Shapes in the file: rows (N, F) are (T, B, F) where they are padded."""
    lengths = HARD_CASES[spec.hard].lengths
    shapes = {name: array.shape for name, array in arrays.items()}
    for name in ("input", "d_output", "output", "d_input"):
        if spec.padded and name in shapes:
            shapes[name] = (max(lengths), len(lengths), shapes[name][1])
    return shapes


def _axes(cell: AnyCell, layer: Recurrent | None, padded: bool) -> dict[str, list[str]]:
    """What each axis of each array is, in the letters of the notation page."""
    rows = ["T", "B"] if padded else ["N"]
    R = "P" if getattr(cell, "proj_size", 0) else "H"
    stack = [] if layer is None else ["L*D"]
    width = R if layer is None or not layer.bidirectional else f"2*{R}"
    G = f"{cell.num_gates}*H" if cell.num_gates > 1 else "H"
    axes = {"lengths": ["B"], "input": [*rows, "I"], "output": [*rows, width]}
    for letter, size in zip(cell.state_names, (R, "H"), strict=False):
        axes[f"{letter}_0"] = axes[f"{letter}_n"] = [*stack, "B", size]
    of_parameter = {"W_ih": [G, "I"], "W_hh": [G, R], "b_ih": [G], "b_hh": [G], "W_hr": ["P", "H"]}
    suffixes: Iterable[str] = [""] if layer is None else [suffix for _, suffix in runs_of(layer)]
    for suffix in suffixes:
        for name in cell.parameter_shapes():
            own = of_parameter.get(name, ["H"])
            if name == "W_ih" and suffix and not suffix.startswith("_l0"):
                own = [G, width]
            axes[name + suffix] = own
    return {**axes, **{f"d_{name}": own for name, own in axes.items()}}
