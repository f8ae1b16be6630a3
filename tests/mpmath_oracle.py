"""An independent implementation of the equations in docs/notation.rst at 50 digits.

Nothing of refrnn is imported. The forward pass is the page's equations on scalars; the backward
pass is reverse-mode differentiation of those scalars by a small tape that knows eight operations,
so that no adjoint line and no activation derivative is written down twice. Kinks take the side
that the page prescribes because the branch taken decides which operations are on the tape.

Used as ``run(Spec("lstm", peepholes=True), parameters, sequences, ...)``.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from mpmath.ctx_mp import MPContext

MP = MPContext()  # a context of our own: the precision of mpmath.mp stays the caller's business
MP.dps = 50

Number = Any  # an mpf of MP
Nested = Any  # a number, or a list of Nested


class Scalar:
    """A number on the tape: its value and (parent, partial derivative) for each operand."""

    __slots__ = ("cotangent", "parents", "tape", "value")

    def __init__(
        self, tape: list["Scalar"], value: Number, parents: Sequence[tuple["Scalar", Number]]
    ) -> None:
        self.tape, self.value, self.parents = tape, value, parents
        self.cotangent = MP.zero
        tape.append(self)

    def __add__(self, other: Any) -> "Scalar":
        if isinstance(other, Scalar):
            pairs = [(self, MP.one), (other, MP.one)]
            return Scalar(self.tape, self.value + other.value, pairs)
        return Scalar(self.tape, self.value + other, [(self, MP.one)])

    def __mul__(self, other: Any) -> "Scalar":
        if isinstance(other, Scalar):
            pairs = [(self, other.value), (other, self.value)]
            return Scalar(self.tape, self.value * other.value, pairs)
        return Scalar(self.tape, self.value * other, [(self, MP.convert(other))])

    __radd__, __rmul__ = __add__, __mul__

    def __neg__(self) -> "Scalar":
        return Scalar(self.tape, -self.value, [(self, -MP.one)])

    def __sub__(self, other: Any) -> "Scalar":
        return self.__add__(-other)

    def __rsub__(self, other: Any) -> "Scalar":
        return (-self).__add__(other)

    def reciprocal(self) -> "Scalar":
        return Scalar(self.tape, 1 / self.value, [(self, -1 / self.value**2)])

    def exp(self) -> "Scalar":
        value = MP.exp(self.value)
        return Scalar(self.tape, value, [(self, value)])

    def log(self) -> "Scalar":
        return Scalar(self.tape, MP.log(self.value), [(self, 1 / self.value)])


def pull_back(tape: list[Scalar]) -> None:
    """Spread every cotangent to the parents, last operation first."""
    for node in reversed(tape):
        if node.cotangent:
            for parent, partial in node.parents:
                parent.cotangent += partial * node.cotangent


def constant_like(a: Scalar, value: Any) -> Scalar:
    """Return a number without parents: what produced `a` gets no cotangent from it."""
    return Scalar(a.tape, MP.convert(value), [])


# Activations from their definitions -----------------------------------------------------------


def sigmoid(a: Scalar) -> Scalar:
    return (1 + (-a).exp()).reciprocal()


def tanh(a: Scalar) -> Scalar:
    # (e^a - e^-a) / (e^a + e^-a) would lose all 50 digits of its derivative at |a| = 58.
    return 1 - 2 * (1 + (2 * a).exp()).reciprocal()


def clip(a: Scalar, low: Any, high: Any) -> Scalar:
    """Identity inside and at the bounds, a constant outside."""
    if a.value < low:
        return constant_like(a, low)
    return constant_like(a, high) if a.value > high else a


def elu(a: Scalar, alpha: Any) -> Scalar:
    return a if a.value > 0 else alpha * (a.exp() - 1)


def thresholded_relu(a: Scalar, alpha: Any) -> Scalar:
    return a if a.value > alpha else constant_like(a, 0)


def softsign(a: Scalar) -> Scalar:
    magnitude = a if a.value > 0 else -a
    return a * (1 + magnitude).reciprocal()


ACTIVATIONS: dict[str, Callable[[Scalar, Any, Any], Scalar]] = {
    "relu": lambda a, alpha, beta: a if a.value > 0 else constant_like(a, 0),
    "tanh": lambda a, alpha, beta: tanh(a),
    "sigmoid": lambda a, alpha, beta: sigmoid(a),
    "affine": lambda a, alpha, beta: alpha * a + beta,
    "leakyrelu": lambda a, alpha, beta: a if a.value > 0 else alpha * a,
    "thresholdedrelu": lambda a, alpha, beta: thresholded_relu(a, alpha),
    "scaledtanh": lambda a, alpha, beta: alpha * tanh(beta * a),
    "hardsigmoid": lambda a, alpha, beta: clip(alpha * a + beta, 0, 1),
    "elu": lambda a, alpha, beta: elu(a, alpha),
    "softsign": lambda a, alpha, beta: softsign(a),
    "softplus": lambda a, alpha, beta: (1 + a.exp()).log(),
}


class Act(NamedTuple):
    """An activation: its lower-case name in ONNX's table, alpha and beta (0 where unused)."""

    name: str
    alpha: float = 0.0
    beta: float = 0.0

    def __call__(self, a: Scalar) -> Scalar:
        alpha, beta = MP.mpf(self.alpha), MP.mpf(self.beta)
        return ACTIVATIONS[self.name](a, alpha, beta)


def value_and_derivative(act: Act, a: Any) -> tuple[Number, Number]:
    """``act(a)`` and its derivative at the current precision of `MP`."""
    tape: list[Scalar] = []
    argument = Scalar(tape, MP.convert(a), [])
    result = act(argument)
    result.cotangent = MP.one
    pull_back(tape)
    return result.value, argument.cotangent


# Cells ----------------------------------------------------------------------------------------


class Spec(NamedTuple):
    """Which cell. Sizes, the number of biases and the projection follow from the parameters."""

    kind: str  # rnn, lstm, gru
    activation: Act = Act("tanh")  # rnn
    gate_activation: Act = Act("sigmoid")  # lstm, gru
    cell_activation: Act = Act("tanh")  # lstm: g; gru: n
    output_activation: Act = Act("tanh")  # lstm
    peepholes: bool = False
    coupled: bool = False
    reset_after: bool = True
    cell_clip: float | None = None
    gate_clip: float | None = None


Row = list[Scalar]
Parameters = dict[str, Any]  # name -> Row or list of Row


def dot(weights: Row, values: Row) -> Scalar:
    pairs = [(w, v.value) for w, v in zip(weights, values, strict=True)]
    pairs += [(v, w.value) for w, v in zip(weights, values, strict=True)]
    total = MP.fdot((w.value, v.value) for w, v in zip(weights, values, strict=True))
    return Scalar(weights[0].tape, total, pairs)


def times(a: Row, b: Row) -> Row:
    return [left * right for left, right in zip(a, b, strict=True)]


def plus(a: Row, b: Row) -> Row:
    return [left + right for left, right in zip(a, b, strict=True)]


class Block:
    """The rows of one gate in the stacked parameters: affine maps of input and hidden state."""

    def __init__(self, parameters: Parameters, gates: str, gate: str) -> None:
        size = len(parameters["W_hh"]) // len(gates)
        first = gates.index(gate) * size
        self.of: dict[str, Any] = {
            name: parameters[name][first : first + size]
            for name in ("W_ih", "W_hh", "b_ih", "b_hh")
            if name in parameters
        }

    def _affine(self, side: str, values: Row) -> Row:
        result = [dot(row, values) for row in self.of[f"W_{side}"]]
        return plus(result, self.of[f"b_{side}"]) if f"b_{side}" in self.of else result

    def input(self, x: Row) -> Row:
        return self._affine("ih", x)

    def hidden(self, h: Row) -> Row:
        return self._affine("hh", h)

    def both(self, x: Row, h: Row) -> Row:
        return plus(self.input(x), self.hidden(h))


def clipped(spec: Spec, a: Row) -> Row:
    if spec.gate_clip is None:
        return a
    bound = MP.mpf(spec.gate_clip)
    return [clip(value, -bound, bound) for value in a]


def rnn_step(spec: Spec, parameters: Parameters, x: Row, state: tuple[Row, ...]) -> tuple[Row, ...]:
    """R1, R2."""
    a = Block(parameters, "h", "h").both(x, state[0])
    return ([spec.activation(value) for value in clipped(spec, a)],)


def lstm_step(
    spec: Spec, parameters: Parameters, x: Row, state: tuple[Row, ...]
) -> tuple[Row, ...]:
    """L1 to L6."""
    h_prev, c_prev = state
    gates = "igo" if spec.coupled else "ifgo"
    a = {gate: Block(parameters, gates, gate).both(x, h_prev) for gate in gates}
    if spec.peepholes:
        for gate in gates.replace("g", "").replace("o", ""):
            a[gate] = plus(a[gate], times(parameters[f"p_{gate}"], c_prev))
    i = [spec.gate_activation(value) for value in clipped(spec, a["i"])]
    if spec.coupled:
        f = [1 - value for value in i]
    else:
        f = [spec.gate_activation(value) for value in clipped(spec, a["f"])]
    g = [spec.cell_activation(value) for value in clipped(spec, a["g"])]
    c = plus(times(f, c_prev), times(i, g))
    if spec.cell_clip is not None:
        bound = MP.mpf(spec.cell_clip)
        c = [clip(value, -bound, bound) for value in c]
    if spec.peepholes:
        a["o"] = plus(a["o"], times(parameters["p_o"], c))
    o = [spec.gate_activation(value) for value in clipped(spec, a["o"])]
    h = times(o, [spec.output_activation(value) for value in c])
    if "W_hr" in parameters:
        h = [dot(row, h) for row in parameters["W_hr"]]
    return h, c


def gru_step(spec: Spec, parameters: Parameters, x: Row, state: tuple[Row, ...]) -> tuple[Row, ...]:
    """G1 to G4."""
    (h_prev,) = state
    r_block, z_block, n_block = (Block(parameters, "rzn", gate) for gate in "rzn")
    r = [spec.gate_activation(value) for value in clipped(spec, r_block.both(x, h_prev))]
    z = [spec.gate_activation(value) for value in clipped(spec, z_block.both(x, h_prev))]
    if spec.reset_after:
        recurrent = times(r, n_block.hidden(h_prev))
    else:
        recurrent = n_block.hidden(times(r, h_prev))
    a_n = clipped(spec, plus(n_block.input(x), recurrent))
    n = [spec.cell_activation(value) for value in a_n]
    return (plus(times(z, h_prev), times([1 - value for value in z], n)),)


STEPS = {"rnn": rnn_step, "lstm": lstm_step, "gru": gru_step}


# Sequences ------------------------------------------------------------------------------------


class Result(NamedTuple):
    """Nested lists of mpf, indexed as the arrays of the same meaning; sequences are lists."""

    outputs: list[Nested]
    state_n: tuple[Nested, ...]
    d_x: list[Nested]
    d_state_0: tuple[Nested, ...]
    d_parameters: dict[str, Nested]


def as_lists(array: Any) -> Any:
    """Nested lists of Python floats, whatever array or list `array` is."""
    return array.tolist() if hasattr(array, "tolist") else array


def nested(function: Callable[[Any], Any], tree: Any) -> Any:
    if isinstance(tree, list | tuple):
        return [nested(function, branch) for branch in tree]
    return function(tree)


def leaves(tree: Any) -> Iterable[Any]:
    if isinstance(tree, list | tuple):
        for branch in tree:
            yield from leaves(branch)
    else:
        yield tree


def _checked_names(spec: Spec, parameters: Mapping[str, Any]) -> None:
    expected = {"W_ih", "W_hh"}
    if spec.peepholes:
        expected |= {"p_i", "p_o"} if spec.coupled else {"p_i", "p_f", "p_o"}
    optional = {"b_ih", "b_hh", "W_hr"} if spec.kind == "lstm" else {"b_ih", "b_hh"}
    if not expected <= set(parameters) <= expected | optional:
        raise ValueError(f"parameters has {sorted(parameters)}, expected {sorted(expected)}")


def _seed(states: Any, cotangents: Any) -> None:
    for scalar, cotangent in zip(leaves(states), leaves(as_lists(cotangents)), strict=True):
        scalar.cotangent += MP.convert(cotangent)


def run(
    spec: Spec,
    parameters: Mapping[str, Any],
    sequences: Sequence[Any],
    state_0: Sequence[Any],
    reverse: bool = False,
    d_outputs: Sequence[Any] | None = None,
    d_state_n: Sequence[Any] | None = None,
) -> Result:
    """Forward and backward of a ragged batch.

    ``sequences[b]`` has length L_b times input size, ``state_0`` is ``(h,)`` or ``(h, c)`` with B
    rows each, ``d_outputs[b]`` and ``d_state_n`` are shaped as what they belong to; None is zero.
    Floats are taken exactly; mpf are taken as they are.
    """
    _checked_names(spec, parameters)
    tape: list[Scalar] = []

    def variable(value: Any) -> Scalar:
        return Scalar(tape, MP.convert(value), [])

    p = {name: nested(variable, as_lists(array)) for name, array in parameters.items()}
    inputs = [nested(variable, as_lists(sequence)) for sequence in sequences]
    initial = [nested(variable, as_lists(state)) for state in state_0]
    outputs: list[list[Row]] = []
    final: list[list[Row]] = [[] for _ in initial]
    for b, sequence in enumerate(inputs):
        state = tuple(rows[b] for rows in initial)
        output: list[Row] = [[] for _ in sequence]
        steps = range(len(sequence))
        for t in reversed(steps) if reverse else steps:
            state = STEPS[spec.kind](spec, p, sequence[t], state)
            output[t] = state[0]
        outputs.append(output)
        for rows, row in zip(final, state, strict=True):
            rows.append(row)

    if d_outputs is not None:
        for output, cotangent in zip(outputs, d_outputs, strict=True):
            _seed(output, cotangent)
    if d_state_n is not None:
        for rows, cotangent in zip(final, d_state_n, strict=True):
            _seed(rows, cotangent)
    pull_back(tape)

    def value(scalar: Scalar) -> Number:
        return scalar.value

    def cotangent_of(scalar: Scalar) -> Number:
        return scalar.cotangent

    return Result(
        outputs=nested(value, outputs),
        state_n=tuple(nested(value, final)),
        d_x=nested(cotangent_of, inputs),
        d_state_0=tuple(nested(cotangent_of, initial)),
        d_parameters={name: nested(cotangent_of, tree) for name, tree in p.items()},
    )
