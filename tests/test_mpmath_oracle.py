"""The 50-digit oracle against numbers worked out by hand and against difference quotients.

The literal cases use activations that are polynomials, or weights that make every sum short, so
that each expected number can be checked on paper from the equations alone. The difference
quotients (step 1e-20 at 50 digits: truncation 1e-40, rounding 1e-30) establish the tape.
"""

from typing import Any

import numpy as np
import pytest

from .mpmath_oracle import MP, Act, Result, Spec, leaves, run, value_and_derivative

LINE = Act("affine", 1.0, 0.0)  # the identity
LINEAR = Spec("lstm", gate_activation=LINE, cell_activation=LINE, output_activation=LINE)


def flat(tree: Any) -> list[float]:
    return [float(leaf) for leaf in leaves(tree)]


# Activations ----------------------------------------------------------------------------------

# f(a) and f'(a) to the digits that a table of exp or log gives.
POINTS = [
    (Act("relu"), 2.0, 2.0, 1.0),
    (Act("relu"), 0.0, 0.0, 0.0),
    (Act("relu"), -2.0, 0.0, 0.0),
    (Act("tanh"), 0.0, 0.0, 1.0),
    (Act("tanh"), 0.5, 0.46211715726000975850, 0.78644773296592741015),
    (Act("sigmoid"), 0.0, 0.5, 0.25),
    (Act("sigmoid"), 1.0, 0.73105857863000487926, 0.19661193324148185251),
    (Act("affine", 3.0, -1.0), 2.0, 5.0, 3.0),
    (Act("leakyrelu", 0.25), 2.0, 2.0, 1.0),
    (Act("leakyrelu", 0.25), 0.0, 0.0, 0.25),
    (Act("leakyrelu", 0.25), -2.0, -0.5, 0.25),
    (Act("thresholdedrelu", 1.0), 1.5, 1.5, 1.0),
    (Act("thresholdedrelu", 1.0), 1.0, 0.0, 0.0),
    (Act("thresholdedrelu", 1.0), 0.5, 0.0, 0.0),
    (Act("scaledtanh", 2.0, 0.5), 1.0, 0.92423431452001951700, 0.78644773296592741015),
    (Act("hardsigmoid", 0.25, 0.5), 1.0, 0.75, 0.25),
    (Act("hardsigmoid", 0.25, 0.5), 2.0, 1.0, 0.25),
    (Act("hardsigmoid", 0.25, 0.5), -2.0, 0.0, 0.25),
    (Act("hardsigmoid", 0.25, 0.5), 2.5, 1.0, 0.0),
    (Act("hardsigmoid", 0.25, 0.5), -2.5, 0.0, 0.0),
    (Act("elu", 2.0), 1.0, 1.0, 1.0),
    (Act("elu", 2.0), 0.0, 0.0, 2.0),
    (Act("elu", 2.0), -1.0, -1.2642411176571153568, 0.73575888234288464320),
    (Act("softsign"), 0.0, 0.0, 1.0),
    (Act("softsign"), 3.0, 0.75, 0.0625),
    (Act("softsign"), -3.0, -0.75, 0.0625),
    (Act("softplus"), 0.0, 0.69314718055994530942, 0.5),
]


@pytest.mark.parametrize(("act", "a", "value", "derivative"), POINTS)
def test_activations_at_points_worked_out_by_hand(
    act: Act, a: float, value: float, derivative: float
) -> None:
    assert tuple(map(float, value_and_derivative(act, a))) == pytest.approx(
        (value, derivative), rel=4e-16, abs=0
    )


def test_derivatives_keep_their_digits_when_saturated() -> None:
    # sech^2(30) = 4 e^-60 / (1 + e^-60)^2 and s'(30) = e^-30 / (1 + e^-30)^2
    for name, factor, exponent in (("tanh", 4, 60), ("sigmoid", 1, 30)):
        e = MP.exp(-exponent)
        for a in (-30, 30):
            _, derivative = value_and_derivative(Act(name), a)
            assert abs(derivative / (factor * e / (1 + e) ** 2) - 1) < MP.mpf(10) ** -20


# Cells on paper -------------------------------------------------------------------------------


def test_rnn_on_paper() -> None:
    # h_1 = 2*1 + 3*0.5 + 1 + 4 = 8.5 ; h_2 = 2*(-2) + 3*8.5 + 5 = 26.5, identity activation
    parameters = {"W_ih": [[2.0]], "W_hh": [[3.0]], "b_ih": [1.0], "b_hh": [4.0]}
    spec = Spec("rnn", activation=LINE)
    got = run(spec, parameters, [[[1.0], [-2.0]]], ([[0.5]],), False, [[[10.0], [1.0]]], ([[1.0]],))
    assert flat(got.outputs) == [8.5, 26.5]
    assert flat(got.state_n) == [26.5]
    # d_a_2 = 1 + 1 = 2 ; d_a_1 = 10 + 3*2 = 16
    assert flat(got.d_x) == [32.0, 4.0]
    assert flat(got.d_state_0) == [48.0]
    assert flat(got.d_parameters["W_ih"]) == [16.0 - 4.0]
    assert flat(got.d_parameters["W_hh"]) == [16 * 0.5 + 2 * 8.5]
    assert flat(got.d_parameters["b_ih"]) == flat(got.d_parameters["b_hh"]) == [18.0]


def lstm_parameters(**changes: Any) -> dict[str, Any]:
    """One unit, one input: gates i, f, g, o have input weight 1, 2, 3, 4 and nothing else."""
    parameters: dict[str, Any] = {
        "W_ih": [[1.0], [2.0], [3.0], [4.0]],
        "W_hh": [[0.0], [0.0], [0.0], [0.0]],
    }
    return parameters | changes


def test_lstm_gate_order_and_equations_on_paper() -> None:
    # x = 1: i, f, g, o = 1, 2, 3, 4 ; c = 2*5 + 1*3 = 13 ; h = 4*13 = 52
    got = run(LINEAR, lstm_parameters(), [[[1.0]]], ([[7.0]], [[5.0]]))
    assert flat(got.outputs) == [52.0]
    assert flat(got.state_n) == [52.0, 13.0]


def test_lstm_adjoint_on_paper() -> None:
    # d_h = 1, d_c_n = 2: d_o = 13, d_c = 2 + 4 = 6, d_f = 30, d_i = 18, d_g = 6, d_c_prev = 12
    got = run(
        LINEAR, lstm_parameters(), [[[1.0]]], ([[7.0]], [[5.0]]), False,
        [[[1.0]]], ([[0.0]], [[2.0]]),
    )  # fmt: skip
    assert flat(got.d_parameters["W_ih"]) == [18.0, 30.0, 6.0, 13.0]
    assert flat(got.d_parameters["W_hh"]) == [7 * 18.0, 7 * 30.0, 7 * 6.0, 7 * 13.0]
    assert flat(got.d_x) == [18 * 1 + 30 * 2 + 6 * 3 + 13 * 4]
    assert flat(got.d_state_0) == [0.0, 12.0]


def test_peepholes_look_at_the_old_and_the_new_cell_state_on_paper() -> None:
    # i = 1 + 10*5 = 51, f = 2 + 20*5 = 102, c = 102*5 + 51*3 = 663, o = 4 + 30*663 = 19894
    parameters = lstm_parameters(p_i=[10.0], p_f=[20.0], p_o=[30.0])
    spec = LINEAR._replace(peepholes=True)
    got = run(spec, parameters, [[[1.0]]], ([[7.0]], [[5.0]]), False, [[[1.0]]])
    assert flat(got.state_n) == [19894 * 663, 663]
    # d_o = 663, d_c = 19894 + 30*663 = 39784
    assert flat(got.d_parameters["p_o"]) == [663 * 663]
    assert flat(got.d_parameters["p_i"]) == [39784 * 3 * 5]
    assert flat(got.d_parameters["p_f"]) == [39784 * 5 * 5]
    assert flat(got.d_state_0[1]) == [39784 * 102 + 39784 * (3 * 10 + 5 * 20)]


def test_coupled_forget_gate_is_the_complement_on_paper() -> None:
    # rows i, g, o: i = 3, f = 1 - 3 = -2, g = 2, o = 4 ; c = -2*5 + 3*2 = -4 ; h = -16
    parameters = {"W_ih": [[3.0], [2.0], [4.0]], "W_hh": [[0.0]] * 3}
    spec = LINEAR._replace(coupled=True)
    got = run(spec, parameters, [[[1.0]]], ([[7.0]], [[5.0]]), False, [[[1.0]]])
    assert flat(got.state_n) == [-16.0, -4.0]
    # d_c = 4: d_a_i = 4*(2 - 5), d_a_g = 4*3, d_a_o = -4
    assert flat(got.d_parameters["W_ih"]) == [-12.0, 12.0, -4.0]
    assert flat(got.d_state_0[1]) == [-8.0]


def test_projection_comes_last_on_paper() -> None:
    # o*c = 52 as above ; h = (2, -1)*52 ; the hidden weights have two columns
    parameters = lstm_parameters(W_hh=[[0.0, 0.0]] * 4, W_hr=[[2.0], [-1.0]])
    got = run(
        LINEAR, parameters, [[[1.0]]], ([[7.0, 8.0]], [[5.0]]), False,
        [[[10.0, 1.0]]],
    )  # fmt: skip
    assert flat(got.state_n) == [104.0, -52.0, 13.0]
    assert flat(got.d_parameters["W_hr"]) == [520.0, 52.0]
    assert flat(got.d_parameters["W_hh"])[6:] == [19 * 13 * 7.0, 19 * 13 * 8.0]


def test_cell_clip_is_the_state_and_precedes_the_peephole_on_paper() -> None:
    # c = clip(13) = 10, o = 4 + 2*10 = 24, h = 240 ; nothing flows back through the clip
    parameters = lstm_parameters(p_i=[0.0], p_f=[0.0], p_o=[2.0])
    spec = LINEAR._replace(peepholes=True, cell_clip=10.0)
    got = run(spec, parameters, [[[1.0]]], ([[7.0]], [[5.0]]), False, [[[1.0]]], ([[0.0]], [[1.0]]))
    assert flat(got.state_n) == [240.0, 10.0]
    assert flat(got.d_parameters["W_ih"]) == [0.0, 0.0, 0.0, 10.0]
    assert flat(got.d_state_0[1]) == [0.0]
    at_bound = run(spec._replace(cell_clip=13.0), parameters, [[[1.0]]], ([[7.0]], [[5.0]]), False,
                   None, ([[0.0]], [[1.0]]))  # fmt: skip
    assert flat(at_bound.d_state_0[1]) == [2.0]


def test_gate_clip_is_on_the_pre_activation_of_every_gate_on_paper() -> None:
    # i, f, g, o = 1, 2, 2.5, 2.5 ; c = 10 + 2.5 ; h = 2.5*12.5
    spec = LINEAR._replace(gate_clip=2.5)
    got = run(spec, lstm_parameters(), [[[1.0]]], ([[7.0]], [[5.0]]), False, [[[1.0]]])
    assert flat(got.state_n) == [31.25, 12.5]
    assert flat(got.d_parameters["W_ih"]) == [2.5 * 2.5, 2.5 * 5, 0.0, 0.0]
    rnn = {"W_ih": [[3.0]], "W_hh": [[0.0]]}
    for clip, h, d_x in ((2.0, 2.0, 0.0), (3.0, 3.0, 3.0), (4.0, 3.0, 3.0)):
        out = run(Spec("rnn", activation=LINE, gate_clip=clip), rnn, [[[1.0]]], ([[0.0]],), False,
                  [[[1.0]]])  # fmt: skip
        assert (flat(out.outputs), flat(out.d_x)) == ([h], [d_x])


GRU_PARAMETERS = {
    "W_ih": [[2.0], [3.0], [4.0]],
    "W_hh": [[0.0], [0.0], [10.0]],
    "b_ih": [0.0, 0.0, 100.0],
    "b_hh": [0.0, 0.0, 1000.0],
}


@pytest.mark.parametrize(
    ("reset_after", "n", "d_h_prev", "d_w_hn", "d_b_hn"),
    [
        # n = 4 + 100 + 2*(10*5 + 1000) ; d_n = 1 - 3 = -2 ; d_h_prev = 3 - 2*2*10
        (True, 2204.0, 3 - 40.0, -4 * 5.0, -4.0),
        # n = 4 + 100 + 10*(2*5) + 1000 ; d_h_prev = 3 - 2*10*2
        (False, 1204.0, 3 - 40.0, -2 * 10.0, -2.0),
    ],
)
def test_gru_gate_order_and_reset_on_paper(
    reset_after: bool, n: float, d_h_prev: float, d_w_hn: float, d_b_hn: float
) -> None:
    # x = 1, h_prev = 5: r = 2, z = 3, h = 3*5 + (1 - 3)*n
    spec = Spec("gru", reset_after=reset_after, gate_activation=LINE, cell_activation=LINE)
    got = run(spec, GRU_PARAMETERS, [[[1.0]]], ([[5.0]],), False, [[[1.0]]])
    assert flat(got.outputs) == [15 - 2 * n]
    assert flat(got.d_state_0) == [d_h_prev]
    d_r = -2 * 1050.0 if reset_after else -2 * 50.0
    assert flat(got.d_parameters["b_ih"]) == [d_r, 5 - n, -2.0]
    assert flat(got.d_parameters["b_hh"]) == [d_r, 5 - n, d_b_hn]
    assert flat(got.d_parameters["W_hh"])[2] == d_w_hn


def test_gru_gate_clip_comes_after_the_reset_product_on_paper() -> None:
    # a_n = 2204 is clipped to 1500 although the recurrent part, 1050, is not above it
    spec = Spec("gru", gate_clip=1500.0, gate_activation=LINE, cell_activation=LINE)
    got = run(spec, GRU_PARAMETERS, [[[1.0]]], ([[5.0]],))
    assert flat(got.outputs) == [15 - 2 * 1500.0]


# Sequences on paper ---------------------------------------------------------------------------


def test_ragged_batch_reverse_and_length_zero_on_paper() -> None:
    # h_t = x_t + 10 h_prev, from h_0 = 1, 2, 3 ; reversed: position 0 is the last step
    parameters = {"W_ih": [[1.0]], "W_hh": [[10.0]]}
    sequences: list[Any] = [[[1.0], [2.0]], [], [[3.0]]]
    h_0 = ([[1.0], [2.0], [3.0]],)
    d_h_n = ([[1.0], [7.0], [0.0]],)
    spec = Spec("rnn", activation=LINE)
    forward = run(spec, parameters, sequences, h_0, False, None, d_h_n)
    assert flat(forward.outputs) == [11.0, 112.0, 33.0]
    assert [len(output) for output in forward.outputs] == [2, 0, 1]
    assert flat(forward.state_n) == [112.0, 2.0, 33.0]
    assert flat(forward.d_x) == [10.0, 1.0, 0.0]
    assert flat(forward.d_state_0) == [100.0, 7.0, 0.0]
    backward = run(spec, parameters, sequences, h_0, True, None, d_h_n)
    assert flat(backward.outputs) == [121.0, 12.0, 33.0]
    assert flat(backward.state_n) == [121.0, 2.0, 33.0]
    assert flat(backward.d_x) == [1.0, 10.0, 0.0]


def test_empty_batch() -> None:
    got = run(Spec("rnn"), {"W_ih": [[1.0]], "W_hh": [[1.0]]}, [], ([],))
    assert (got.outputs, got.state_n, got.d_state_0) == ([], ([],), ([],))
    assert flat(got.d_parameters["W_ih"]) == [0.0]


def test_floats_are_taken_exactly() -> None:
    got = run(
        Spec("rnn", activation=LINE),
        {"W_ih": np.array([[0.1]], np.float32), "W_hh": np.zeros((1, 1), np.float32)},
        [np.array([[3.0]], np.float32)],
        (np.zeros((1, 1), np.float32),),
    )
    assert next(iter(leaves(got.outputs))) == 3 * MP.mpf(float(np.float32(0.1)))


def test_an_unknown_parameter_is_refused() -> None:
    parameters = {"W_ih": [[1.0]], "W_hh": [[1.0]], "p_i": [1.0]}
    with pytest.raises(ValueError, match="p_i"):
        run(Spec("rnn"), parameters, [], ([],))


# Difference quotients -------------------------------------------------------------------------

SMOOTH = [Act("sigmoid"), Act("tanh"), Act("softplus"), Act("softsign"), Act("affine", 0.5, 0.25)]
OTHER = [
    Act("relu"),
    Act("leakyrelu", 0.25),
    Act("thresholdedrelu", 0.5),
    Act("scaledtanh", 1.5, 0.5),
    Act("hardsigmoid", 0.25, 0.5),
    Act("elu", 0.75),
]
SPECS = [
    *(Spec("rnn", activation=act) for act in SMOOTH + OTHER),
    Spec("rnn", gate_clip=0.5),
    Spec("lstm"),
    Spec("lstm", peepholes=True),
    Spec("lstm", coupled=True),
    Spec("lstm", coupled=True, peepholes=True, gate_clip=0.75),
    Spec("lstm", cell_clip=0.25, gate_clip=1.0, peepholes=True),
    *(
        Spec("lstm", gate_activation=act, cell_activation=OTHER[k], output_activation=SMOOTH[k])
        for k, act in enumerate(SMOOTH)
    ),
    Spec("gru"),
    Spec("gru", reset_after=False),
    Spec("gru", gate_clip=0.5),
    Spec("gru", reset_after=False, gate_clip=0.5, gate_activation=Act("hardsigmoid", 0.2, 0.5)),
    Spec("gru", cell_activation=Act("elu", 1.5)),
]


def random_case(spec: Spec, rng: np.random.Generator, projection: bool) -> list[Any]:
    """Parameters, sequences, state and cotangents of a small ragged batch with a length 0."""
    inputs, hidden, lengths = 2, 2, (3, 0, 2)
    gates = {"rnn": 1, "lstm": 3 if spec.coupled else 4, "gru": 3}[spec.kind]
    width = 3 if projection else hidden
    shapes = {
        "W_ih": (gates * hidden, inputs),
        "W_hh": (gates * hidden, width),
        "b_ih": (gates * hidden,),
        "b_hh": (gates * hidden,),
    }
    if spec.peepholes:
        shapes |= dict.fromkeys(("p_i", "p_f", "p_o"), (hidden,))
        if spec.coupled:
            del shapes["p_f"]
    if projection:
        shapes["W_hr"] = (width, hidden)
    sizes = [width, hidden] if spec.kind == "lstm" else [hidden]
    parameters = {name: rng.normal(size=shape) for name, shape in shapes.items()}
    states = [rng.normal(size=(len(lengths), size)) for size in sizes]
    return [
        parameters,
        [rng.normal(size=(length, inputs)) for length in lengths],
        states,
        [rng.normal(size=(length, width)) for length in lengths],
        [rng.normal(size=state.shape) for state in states],
    ]


def exact(tree: Any) -> Any:
    """Return the tree of arrays as nested lists of mpf."""
    if isinstance(tree, dict):
        return {name: exact(branch) for name, branch in tree.items()}
    if isinstance(tree, list | tuple):
        return [exact(branch) for branch in tree]
    return exact(tree.tolist()) if isinstance(tree, np.ndarray) else MP.mpf(tree)


def inner(a: Any, b: Any) -> Any:
    return MP.fdot(zip(leaves(a), leaves(b), strict=True))


def moved(tree: Any, direction: Any, step: Any) -> Any:
    if isinstance(tree, list):
        return [moved(a, d, step) for a, d in zip(tree, direction, strict=True)]
    return tree + step * direction


def random_like(tree: Any, rng: np.random.Generator) -> Any:
    if isinstance(tree, list):
        return [random_like(branch, rng) for branch in tree]
    return MP.mpf(rng.normal())


def gradient_of(result: Result, argument: str) -> Any:
    if argument == "sequences":
        return result.d_x
    return result.d_state_0 if argument == "states" else result.d_parameters[argument]


@pytest.mark.parametrize("reverse", [False, True], ids=["forward", "reverse"])
@pytest.mark.parametrize("spec", SPECS, ids=lambda spec: str(SPECS.index(spec)) + spec.kind)
def test_every_gradient_is_the_limit_of_difference_quotients(spec: Spec, reverse: bool) -> None:
    rng = np.random.default_rng(SPECS.index(spec))
    case = random_case(spec, rng, projection=spec.kind == "lstm" and not reverse)
    parameters, sequences, states, d_outputs, d_state_n = (exact(tree) for tree in case)
    base = run(spec, parameters, sequences, states, reverse, d_outputs, d_state_n)
    step = MP.mpf(10) ** -20

    def loss(**changes: Any) -> Any:
        arguments = {"sequences": sequences, "states": states, **parameters, **changes}
        x, s = arguments.pop("sequences"), arguments.pop("states")
        got = run(spec, arguments, x, s, reverse)
        return inner(got.outputs, d_outputs) + inner(got.state_n, d_state_n)

    arguments = {"sequences": sequences, "states": states, **parameters}
    for name, at in arguments.items():
        direction = random_like(at, rng)
        quotient = loss(**{name: moved(at, direction, step)})
        quotient -= loss(**{name: moved(at, direction, -step)})
        quotient /= 2 * step
        expected = inner(gradient_of(base, name), direction)
        assert abs(quotient - expected) <= MP.mpf(10) ** -25 * (1 + abs(expected)), name


def test_the_quotient_test_rejects_a_wrong_gradient() -> None:
    """What the previous test compares differs by more than it allows when one entry is off."""
    rng = np.random.default_rng(0)
    parameters, sequences, states, d_outputs, d_state_n = (
        exact(tree) for tree in random_case(Spec("gru"), rng, projection=False)
    )
    got = run(Spec("gru"), parameters, sequences, states, False, d_outputs, d_state_n)
    gradient = got.d_parameters["W_hh"]
    direction = random_like(gradient, rng)
    right = inner(gradient, direction)
    gradient[3][1] *= 1 + MP.mpf(10) ** -20
    assert abs(inner(gradient, direction) - right) > MP.mpf(10) ** -25 * (1 + abs(right))
