"""Calls of the ONNX operators RNN, GRU and LSTM: drawn ones, and what they are by the equations.

``by_equations`` is written from the text of the specification, one sequence and one step at a time,
and shares nothing with refrnn. It computes in complex numbers as well, for the complex step.
``deviations`` holds outputs to them by refrnn's tolerance.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from hypothesis import strategies as st

from refrnn.comparison import reference
from refrnn.oracle.onnx import cases
from refrnn.tolerances import Deviation, deviation

INPUTS = {
    "RNN": ("X", "W", "R", "B", "sequence_lens", "initial_h"),
    "GRU": ("X", "W", "R", "B", "sequence_lens", "initial_h"),
    "LSTM": ("X", "W", "R", "B", "sequence_lens", "initial_h", "initial_c", "P"),
}
GATES = {"RNN": 1, "GRU": 3, "LSTM": 4}
FUNCTIONS = {"RNN": 1, "GRU": 2, "LSTM": 3}

#: name -> (number of alphas, of betas), in the operators' own order of functions.
NUMBERS = {
    "Relu": (0, 0),
    "Tanh": (0, 0),
    "Sigmoid": (0, 0),
    "Affine": (1, 1),
    "LeakyRelu": (1, 0),
    "ThresholdedRelu": (1, 0),
    "ScaledTanh": (1, 1),
    "HardSigmoid": (1, 1),
    "Elu": (1, 0),
    "Softsign": (0, 0),
    "Softplus": (0, 0),
}
#: What alpha and beta are where none is given.
DEFAULTS = {
    "Affine": (1.0, 0.0),
    "LeakyRelu": (0.01, 0.0),
    "ThresholdedRelu": (1.0, 0.0),
    "HardSigmoid": (0.2, 0.5),
    "Elu": (1.0, 0.0),
}
_BOUNDED = ("Sigmoid", "Tanh", "Softsign", "HardSigmoid", "ScaledTanh")
_CONTINUOUS = (*_BOUNDED, "Relu", "LeakyRelu", "Affine", "Elu", "Softplus")


class Call(NamedTuple):
    """One call: its inputs without those that are absent, its attributes, and f, g, h spelt out."""

    operator: str
    inputs: dict[str, Any]
    attributes: dict[str, Any]
    functions: tuple[tuple[tuple[str, float, float], ...], ...]  # (name, alpha, beta) a direction

    @property
    def batch_first(self) -> bool:
        return self.attributes.get("layout", 0) == 1

    @property
    def lengths(self) -> list[int]:
        steps, batch = self.inputs["X"].shape[:2][:: -1 if self.batch_first else 1]
        given = self.inputs.get("sequence_lens")
        return [steps] * batch if given is None else [int(n) for n in given]

    def arrays(self) -> dict[str, Any]:
        """The inputs that can be differentiated by."""
        return {name: a for name, a in self.inputs.items() if name != "sequence_lens"}


def transposed(call: Call) -> Call:
    """The same call in the other layout."""
    swap = ("X", "initial_h", "initial_c")
    inputs = {n: a.swapaxes(0, 1) if n in swap else a for n, a in call.inputs.items()}
    layout = 1 - call.attributes.get("layout", 0)
    return call._replace(inputs=inputs, attributes={**call.attributes, "layout": layout})


# --- the equations ---------------------------------------------------------------------------


def apply(function: tuple[str, float, float], x: Any) -> Any:
    """An activation, by its line in the specification; branches look at the real part."""
    name, alpha, beta = function
    real = x.real
    if name == "Relu":
        return np.where(real > 0, x, 0)
    if name == "Tanh":
        return np.tanh(x)
    if name == "Sigmoid":
        return 1 / (1 + np.exp(-x))
    if name == "Affine":
        return alpha * x + beta
    if name == "LeakyRelu":
        return np.where(real >= 0, x, alpha * x)
    if name == "ThresholdedRelu":
        return np.where(real > alpha, x, 0)
    if name == "ScaledTanh":
        return alpha * np.tanh(beta * x)
    if name == "HardSigmoid":
        line = alpha * x + beta
        return np.where(line.real < 0, 0, np.where(line.real > 1, 1, line))
    if name == "Elu":
        return np.where(real >= 0, x, alpha * (np.exp(np.where(real >= 0, 0, x)) - 1))
    if name == "Softsign":
        return x / (1 + np.where(real < 0, -x, x))
    assert name == "Softplus"
    return np.log(1 + np.exp(x))


def by_equations(call: Call, arrays: dict[str, Any]) -> dict[str, Any]:
    """Y, Y_h and Y_c of `call` with the inputs `arrays`; the state passes where a length is 0."""
    if call.batch_first:
        other = transposed(call._replace(inputs={**call.inputs, **arrays}))
        outputs = by_equations(other, other.arrays())
        axes = {"Y": (2, 0, 1, 3)}
        return {n: a.transpose(axes.get(n, (1, 0, 2))) for n, a in outputs.items()}
    X = arrays["X"]
    T, B = X.shape[:2]
    D, H = len(call.functions), arrays["R"].shape[2]
    letters = "hc" if call.operator == "LSTM" else "h"
    outputs = {"Y": np.zeros((T, D, B, H), X.dtype)}
    outputs.update({f"Y_{letter}": np.zeros((D, B, H), X.dtype) for letter in letters})
    reverse = call.attributes.get("direction", "forward")
    for d in range(D):
        backwards = reverse == "reverse" or d == 1
        for b, length in enumerate(call.lengths):
            state = [
                arrays[f"initial_{letter}"][d, b]
                if f"initial_{letter}" in arrays
                else np.zeros(H, X.dtype)
                for letter in letters
            ]
            for t in range(length)[:: -1 if backwards else 1]:
                state = _step(call, arrays, d, X[t, b], state)
                outputs["Y"][t, d, b] = state[0]
            for letter, array in zip(letters, state, strict=True):
                outputs[f"Y_{letter}"][d, b] = array
    return outputs


def _step(call: Call, arrays: dict[str, Any], d: int, x: Any, state: list[Any]) -> list[Any]:
    """One step of one sequence."""
    G, H = GATES[call.operator], state[0].size
    W, R = (arrays[name][d].reshape(G, H, -1) for name in ("W", "R"))
    bias = arrays["B"][d] if "B" in arrays else np.zeros(2 * G * H)
    Wb, Rb = bias.reshape(2, G, H)
    bound = call.attributes.get("clip")

    def clip(a: Any) -> Any:
        if bound is None:
            return a
        return np.where(a.real > bound, bound, np.where(a.real < -bound, -bound, a))

    def f(gate: int, a: Any) -> Any:
        return apply(call.functions[d][gate], clip(a))

    h = state[0]
    if call.operator == "RNN":
        return [f(0, W[0] @ x + R[0] @ h + Wb[0] + Rb[0])]
    if call.operator == "GRU":
        z = f(0, W[0] @ x + R[0] @ h + Wb[0] + Rb[0])
        r = f(0, W[1] @ x + R[1] @ h + Wb[1] + Rb[1])
        if call.attributes.get("linear_before_reset", 0) == 0:
            n = f(1, W[2] @ x + R[2] @ (r * h) + Rb[2] + Wb[2])
        else:
            n = f(1, W[2] @ x + r * (R[2] @ h + Rb[2]) + Wb[2])
        return [(1 - z) * n + z * h]
    c = state[1]
    Pi, Po, Pf = (arrays["P"][d] if "P" in arrays else np.zeros(3 * H)).reshape(3, H)
    i = f(0, W[0] @ x + R[0] @ h + Pi * c + Wb[0] + Rb[0])
    forget = f(0, W[2] @ x + R[2] @ h + Pf * c + Wb[2] + Rb[2])
    if call.attributes.get("input_forget", 0) == 1:
        forget = 1 - i
    g = f(1, W[3] @ x + R[3] @ h + Wb[3] + Rb[3])
    c = forget * c + i * g
    o = f(0, W[1] @ x + R[1] @ h + Po * c + Wb[1] + Rb[1])
    return [o * apply(call.functions[d][2], c), c]


# --- holding outputs to them -----------------------------------------------------------------


def deviations(
    call: Call, got: dict[str, Any], expected: dict[str, Any] | None = None
) -> list[Deviation]:
    """How far outputs in the dtype of the call lie from `expected`, of float64.

    `expected` is what the equations give if None.
    """
    if expected is None:
        wide = {name: a.astype(np.float64) for name, a in call.arrays().items()}
        expected = by_equations(call, wide)
    assert set(got) == set(expected)
    truths = [reference(case) for case in cases(call.operator, call.inputs, **call.attributes)]
    of = {"Y": "output", "Y_h": "h_n", "Y_c": "c_n"}
    return [
        deviation(
            name,
            got[name],
            array,
            scale=max(truth.scales[of[name]] for truth in truths),
            dtype=call.inputs["X"].dtype,
            max_length=max(call.lengths),
        )
        for name, array in expected.items()
    ]


# --- drawing them ----------------------------------------------------------------------------


@st.composite
def calls(
    draw: st.DrawFn,
    dtype: str | None = None,
    layouts: tuple[int, ...] = (0, 1),
    without_numbers: tuple[str, ...] = tuple(DEFAULTS),
) -> Call:
    """A call with any options: structure from Hypothesis, numbers from a drawn seed.

    `without_numbers` are the activations that may rely on the default of alpha and beta.
    """
    operator = draw(st.sampled_from(sorted(INPUTS)))
    direction = draw(st.sampled_from(["forward", "reverse", "bidirectional"]))
    directions = 2 if direction == "bidirectional" else 1
    I, H = draw(st.integers(1, 3)), draw(st.integers(1, 4))  # noqa: E741
    lengths = draw(st.lists(st.integers(0, 5), min_size=1, max_size=4))
    T = max(1, max(lengths) + draw(st.integers(0, 2)))
    attributes: dict[str, Any] = {"hidden_size": H, "direction": direction}
    if draw(st.booleans()):
        attributes["clip"] = draw(st.sampled_from([0.25, 1.0, 30.0]))
    if operator != "RNN" and draw(st.booleans()):
        attributes["linear_before_reset" if operator == "GRU" else "input_forget"] = 1
    functions = draw(_functions(operator, directions, without_numbers, attributes))
    rng = np.random.default_rng(draw(st.integers(0, 2**16)))
    inputs = _draw_inputs(rng, operator, (T, len(lengths), I, H, directions))
    for name in INPUTS[operator][3:]:
        if name in inputs and not draw(st.booleans()):
            del inputs[name]
    if draw(st.sampled_from([True, True, True, False])):
        inputs["sequence_lens"] = np.array(lengths, np.int32)
        for b, n in enumerate(lengths):
            inputs["X"][n:, b] = np.nan
    chosen = dtype or draw(st.sampled_from(["float32", "float64"]))
    inputs = {n: a if n == "sequence_lens" else a.astype(chosen) for n, a in inputs.items()}
    call = Call(operator, inputs, attributes, functions)
    return transposed(call) if draw(st.sampled_from(layouts)) == 1 else call


def _draw_inputs(rng: np.random.Generator, operator: str, sizes: tuple[int, ...]) -> dict[str, Any]:
    """Every input but the lengths, none of them zero; weights in +-2/sqrt(H)."""
    T, B, I, H, D = sizes  # noqa: E741
    rows, scale = GATES[operator] * H, 2 / np.sqrt(H)
    inputs = {
        "X": rng.uniform(-2, 2, (T, B, I)),
        "W": rng.uniform(-scale, scale, (D, rows, I)),
        "R": rng.uniform(-scale, scale, (D, rows, H)),
        "B": rng.uniform(-scale, scale, (D, 2 * rows)),
        "initial_h": rng.uniform(-2, 2, (D, B, H)),
    }
    if operator == "LSTM":
        inputs["initial_c"] = rng.uniform(-2, 2, (D, B, H))
        inputs["P"] = rng.uniform(-scale, scale, (D, 3 * H))
    return inputs


@st.composite
def _functions(
    draw: st.DrawFn,
    operator: str,
    directions: int,
    without_numbers: tuple[str, ...],
    attributes: dict[str, Any],
) -> tuple[tuple[tuple[str, float, float], ...], ...]:
    """Functions of every direction; writes what `attributes` must say for them."""
    each = FUNCTIONS[operator]
    usual = {"RNN": ["Tanh"], "GRU": ["Sigmoid", "Tanh"], "LSTM": ["Sigmoid", "Tanh", "Tanh"]}
    if draw(st.booleans()):
        one = tuple((name, 0.0, 0.0) for name in usual[operator])
        return (one,) * directions
    with_numbers = draw(st.booleans())
    names, functions = [], []
    alphas: list[float] = []
    betas: list[float] = []
    for k in range(each * directions):
        # products of unbounded gates grow doubly exponentially
        pool = _CONTINUOUS if k % each or operator == "RNN" else _BOUNDED
        if not with_numbers:
            pool = tuple(n for n in pool if sum(NUMBERS[n]) == 0 or n in without_numbers)
        name = draw(st.sampled_from(pool))
        alpha, beta = DEFAULTS.get(name, (0.0, 0.0))
        if with_numbers and NUMBERS[name][0]:
            alpha = draw(st.sampled_from([0.25, 0.5, 0.75]))
            alphas.append(alpha)
        if with_numbers and NUMBERS[name][1]:
            beta = draw(st.sampled_from([0.375, 0.625]))
            betas.append(beta)
        names.append(name)
        functions.append((name, alpha, beta))
    attributes["activations"] = names
    if alphas:
        attributes["activation_alpha"] = alphas
    if betas:
        attributes["activation_beta"] = betas
    return tuple(tuple(functions[d * each : (d + 1) * each]) for d in range(directions))
