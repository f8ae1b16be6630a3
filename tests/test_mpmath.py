"""The reference against an independent implementation at 50 digits, within the one tolerance.

Small ragged batches through every cell and every option: ordinary ones, saturating ones (weights
so large that pre-activations reach 30 and more), cancelling ones (terms of the products, and
cotangents of the sequences, that cancel to a few parts in a thousand) and long ones, 40 steps with
weights from small to huge. Run with ``-s`` for the largest error of each case in tolerances.
"""

from typing import Any, NamedTuple

import numpy as np
import pytest

import refrnn as rr
from refrnn.activations import Activation
from refrnn.activations import activation as find_activation
from refrnn.comparison import Case, Reference, Results, reference, run_case
from refrnn.tolerances import Deviation, deviation

from .mpmath_oracle import Act, Spec, leaves, run

INPUTS, HIDDEN, PROJECTED = 3, 3, 2
LENGTHS = (5, 0, 1, 3)
LONG = (40, 0, 1, 17)
WEIGHTS = {"plain": 2.0, "saturating": 24.0, "cancelling": 2.0}  # weights lie in +-this/sqrt(H)
WEIGHTS |= {f"long-{size:g}": size for size in (0.5, 2.0, 8.0, 50.0)}


class Row(NamedTuple):
    """One line of the table: a cell in the oracle's words, and the data to run it on."""

    name: str
    spec: Spec
    data: str = "plain"
    biases: int = 2
    projection: bool = False
    reverse: bool = False

    def __str__(self) -> str:
        return f"{self.spec.kind}-{self.name}-{self.data}"


def act(name: str, alpha: float = 0.0, beta: float = 0.0) -> Act:
    return Act(name, alpha, beta)


ACTS = [
    act("relu"),
    act("sigmoid"),
    act("affine", 0.5, 0.25),
    act("leakyrelu", 0.125),
    act("thresholdedrelu", 0.25),
    act("scaledtanh", 1.75, 0.5),
    act("hardsigmoid", 0.25, 0.5),
    act("elu", 1.5),
    act("softsign"),
    act("softplus"),
]
DATA = ("plain", "saturating", "cancelling")
RNN, LSTM, GRU = Spec("rnn"), Spec("lstm"), Spec("gru")

TABLE = [
    *(Row("tanh", RNN, data) for data in DATA),
    *(Row(a.name, RNN._replace(activation=a)) for a in ACTS),
    *(Row(a.name, RNN._replace(activation=a), "saturating", reverse=True) for a in ACTS),
    Row("gate-clip", RNN._replace(gate_clip=0.5)),
    Row("gate-clip-relu", RNN._replace(gate_clip=1.5, activation=act("relu")), "saturating"),
    *(Row(f"biases-{n}", RNN, biases=n) for n in (0, 1)),
    Row("reverse", RNN, reverse=True),
    *(Row("default", LSTM, data) for data in DATA),
    *(Row("reverse", LSTM, data, reverse=True) for data in DATA),
    *(Row(f"biases-{n}", LSTM, biases=n) for n in (0, 1)),
    *(Row("peepholes", LSTM._replace(peepholes=True), data) for data in DATA),
    *(Row("coupled", LSTM._replace(coupled=True), data) for data in DATA),
    *(Row("projection", LSTM, data, projection=True) for data in DATA),
    *(Row("cell-clip", LSTM._replace(cell_clip=0.5), data) for data in DATA),
    *(Row("gate-clip", LSTM._replace(gate_clip=0.75), data) for data in DATA),
    *(
        Row(
            "as-in-tensorflow",
            LSTM._replace(peepholes=True, cell_clip=0.5),
            data,
            biases=1,
            projection=True,
            reverse=True,
        )
        for data in DATA
    ),
    *(
        Row("as-in-onnx", LSTM._replace(peepholes=True, coupled=True, gate_clip=1.5), data)
        for data in DATA
    ),
    *(
        Row("coupled-projected", LSTM._replace(peepholes=True, coupled=True), data, projection=True)
        for data in DATA
    ),
    *(Row(f"gates-{a.name}", LSTM._replace(gate_activation=a)) for a in ACTS),
    *(Row(f"coupled-{a.name}", LSTM._replace(gate_activation=a, coupled=True)) for a in ACTS),
    *(Row(f"cell-{a.name}", LSTM._replace(cell_activation=a)) for a in ACTS),
    *(Row(f"output-{a.name}", LSTM._replace(output_activation=a)) for a in ACTS),
    *(Row("after", GRU, data) for data in DATA),
    *(Row("before", GRU._replace(reset_after=False), data) for data in DATA),
    *(Row("after-reverse", GRU, data, reverse=True) for data in DATA),
    *(Row(f"after-biases-{n}", GRU, biases=n) for n in (0, 1)),
    *(Row(f"before-biases-{n}", GRU._replace(reset_after=False), biases=n) for n in (0, 1)),
    *(Row("after-clip", GRU._replace(gate_clip=0.75), data) for data in DATA),
    *(
        Row("before-clip", GRU._replace(gate_clip=0.75, reset_after=False), data, reverse=True)
        for data in DATA
    ),
    *(Row(f"gates-{a.name}", GRU._replace(gate_activation=a)) for a in ACTS),
    *(
        Row(f"before-gates-{a.name}", GRU._replace(gate_activation=a, reset_after=False))
        for a in ACTS
    ),
    *(Row(f"candidate-{a.name}", GRU._replace(cell_activation=a)) for a in ACTS),
    *(Row("tanh", RNN, data) for data in WEIGHTS if data.startswith("long")),
    *(Row("default", LSTM, data) for data in WEIGHTS if data.startswith("long")),
    *(Row("after", GRU, data) for data in WEIGHTS if data.startswith("long")),
]


# Building a case ------------------------------------------------------------------------------


def as_activation(a: Act) -> Activation:
    known = find_activation(a.name)
    return find_activation(
        a.name,
        None if known.alpha is None else a.alpha,
        None if known.beta is None else a.beta,
    )


def as_cell(row: Row) -> Any:
    """Return the refrnn cell of a line of the table."""
    spec = row.spec
    options: dict[str, Any] = {"biases": row.biases, "gate_clip": spec.gate_clip}
    if spec.kind == "rnn":
        return rr.RNN(INPUTS, HIDDEN, activation=as_activation(spec.activation), **options)
    options["gate_activation"] = as_activation(spec.gate_activation)
    candidate = as_activation(spec.cell_activation)
    if spec.kind == "gru":
        options |= {"reset_after": spec.reset_after, "candidate_activation": candidate}
        return rr.GRU(INPUTS, HIDDEN, **options)
    return rr.LSTM(
        INPUTS,
        HIDDEN,
        peepholes=spec.peepholes,
        coupled=spec.coupled,
        proj_size=PROJECTED if row.projection else 0,
        cell_clip=spec.cell_clip,
        cell_activation=candidate,
        output_activation=as_activation(spec.output_activation),
        **options,
    )


def cancelling_columns(rng: np.random.Generator, shape: tuple[int, ...]) -> Any:
    """Return rows of pairs (v, -v) and a small third element, so that a product with 1s cancels."""
    rows = rng.normal(size=shape) * 1e-3
    rows[..., 0] += 5.0
    rows[..., 1] -= 5.0
    return rows


def as_case(row: Row, dtype: str) -> Case:
    """Draw parameters, a ragged batch, a non-zero state and cotangents."""
    rng = np.random.default_rng(sum(map(ord, str(row))))
    cell = as_cell(row)
    size = WEIGHTS[row.data] / np.sqrt(HIDDEN)
    lengths = LONG if row.data.startswith("long") else LENGTHS
    arrays = {
        name: rng.uniform(-size, size, shape) for name, shape in cell.parameter_shapes().items()
    }
    x = [rng.normal(size=(length, INPUTS)) for length in lengths]
    state = [rng.normal(size=(len(lengths), n)) for n in cell.state_sizes]
    d_output = [rng.normal(size=(length, cell.output_size)) for length in lengths]
    d_state = [rng.normal(size=part.shape) for part in state]
    if row.data == "cancelling":  # each sequence twice, with cotangents that cancel in every sum
        arrays["W_ih"] = cancelling_columns(rng, arrays["W_ih"].shape)
        x = [1 + 1e-3 * part for part in x] * 2
        state = [np.concatenate([part, part]) for part in state]
        d_output = d_output + [-part * (1 + 1e-3) for part in d_output]
        d_state = [np.concatenate([part, -part * (1 + 1e-3)]) for part in d_state]
    record = type(cell.zero_state(1, "float64"))
    return Case(
        cell=cell,
        parameters=rr.CellParameters(arrays),
        batch=rr.RaggedBatch.from_sequences(x),
        state_0=record._make(state),
        d_output=np.concatenate(d_output),
        d_state_n=record._make(d_state),
        reverse=row.reverse,
        name=str(row),
    ).astype(dtype)


def split(values: Any, case: Case) -> list[Any]:
    """Return rows as one array a sequence."""
    return np.split(values, np.cumsum(case.batch.lengths)[:-1])


def exact_results(row: Row, case: Case) -> Results:
    """Return what the oracle computes for a case, rounded to longdouble, under refrnn's names."""
    assert case.state_0 is not None
    assert case.d_state_n is not None
    got = run(
        row.spec,
        case.parameters,
        split(case.batch.values, case),
        case.state_0,
        case.reverse,
        split(case.d_output, case),
        case.d_state_n,
    )
    names = case.cell.state_names
    width, rows = case.cell.output_size, len(case.batch.values)
    results = {"output": rounded(got.outputs, (rows, width))}
    for name, part, like in zip(names, got.state_n, case.state_0, strict=True):
        results[f"{name}_n"] = rounded(part, like.shape)
    results["d_input"] = rounded(got.d_x, (rows, INPUTS))
    for name, part, like in zip(names, got.d_state_0, case.state_0, strict=True):
        results[f"d_{name}_0"] = rounded(part, like.shape)
    for name, like in case.parameters.items():
        results[f"d_{name}"] = rounded(got.d_parameters[name], like.shape)
    return results


def rounded(tree: Any, shape: tuple[int, ...]) -> Any:
    """Return nested mpf as an array that carries more digits than what is compared with it."""
    high = [float(leaf) for leaf in leaves(tree)]
    low = [float(leaf - first) for leaf, first in zip(leaves(tree), high, strict=True)]
    return (np.array(high, np.longdouble) + np.array(low, np.longdouble)).reshape(shape)


def deviations(case: Case, got: Results, exact: Results, truth: Reference) -> list[Deviation]:
    """Compare by the formula, with the scales that the reference measured."""
    assert set(got) == set(exact) == set(truth.scales)
    return [
        deviation(
            name,
            got[name],
            exact[name],
            scale=truth.scales[name],
            dtype=case.dtype,
            max_length=case.batch.max_length,
        )
        for name in exact
    ]


# The comparison -------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("row", TABLE, ids=str)
def test_per_sequence_is_within_tolerance_of_50_digits(row: Row, dtype: str) -> None:
    case = as_case(row, dtype)
    got = run_case(case, rr.PerSequence())
    assert {array.dtype for array in got.values()} == {case.dtype}
    found = deviations(case, got, exact_results(row, case), reference(case))
    worst = max(found, key=lambda one: one.in_tolerances)
    normwise = max(one.normwise for one in found)
    report = f"{row!s:45s} {dtype} {worst.in_tolerances:.4f} in {worst.name}, norm {normwise:.1e}"
    print(f"\n{report}", end="")  # noqa: T201 -- shown with -s
    assert worst.ok, str(worst)


@pytest.mark.parametrize("lengths", [(0, 0), ()], ids=["only-length-0", "no-sequence"])
@pytest.mark.parametrize("spec", [RNN, LSTM, GRU], ids=lambda spec: spec.kind)
def test_nothing_to_compute_is_exact(spec: Spec, lengths: tuple[int, ...]) -> None:
    row = Row("empty", spec)
    cell = as_cell(row)
    rng = np.random.default_rng(0)
    states = [rng.normal(size=(len(lengths), n)) for n in cell.state_sizes]
    record = type(cell.zero_state(1, "float64"))
    case = Case(
        cell=cell,
        parameters=cell.init_parameters(rng),
        batch=rr.RaggedBatch.from_sequences(
            [np.empty((0, INPUTS)) for _ in lengths], features=INPUTS, dtype="float64"
        ),
        state_0=record._make(states),
        d_output=np.empty((0, cell.output_size)),
        d_state_n=record._make([part + 1 for part in states]),
    )
    got = run_case(case, rr.PerSequence())
    for name, part, start in zip(cell.state_names, states, cell.state_names, strict=True):
        assert np.array_equal(got[f"{name}_n"], part)
        assert np.array_equal(got[f"d_{start}_0"], part + 1)
    for name in case.parameters:
        assert not got[f"d_{name}"].any()


# The tests are tested -------------------------------------------------------------------------


def test_saturating_cases_saturate() -> None:
    for row in (Row("tanh", RNN, "saturating"), Row("default", LSTM, "saturating")):
        case = as_case(row, "float64")
        a = case.batch.values @ case.parameters["W_ih"].T
        assert np.abs(a).max() > 30, row


def test_cancelling_cases_cancel() -> None:
    """Sums over rows and over inputs are small beside the terms that they add up."""
    row = Row("default", LSTM, "cancelling")
    case = as_case(row, "float64")
    x, w = case.batch.values, case.parameters["W_ih"]
    assert np.abs(x @ w.T).max() < 0.01 * (np.abs(x) @ np.abs(w).T).min()
    gradient = exact_results(row, case)["d_W_hh"]
    assert case.d_output is not None
    assert case.d_state_n is not None
    half, b = len(x) // 2, len(case.batch) // 2
    alone = case._replace(
        batch=rr.RaggedBatch.from_sequences(split(x, case)[:b]),
        state_0=type(case.d_state_n)._make([part[:b] for part in case.state_0 or ()]),
        d_output=case.d_output[:half],
        d_state_n=type(case.d_state_n)._make([part[:b] for part in case.d_state_n]),
    )
    assert np.abs(gradient).max() < 0.01 * np.abs(exact_results(row, alone)["d_W_hh"]).max()


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("data", ["plain", "saturating", "cancelling", "long-2"])
@pytest.mark.parametrize("spec", [RNN, LSTM, GRU], ids=lambda spec: spec.kind)
def test_an_error_of_twice_the_tolerance_is_rejected_in_every_array(
    spec: Spec, data: str, dtype: str
) -> None:
    row = Row("rejection", spec, data)
    case = as_case(row, dtype)
    exact, truth = exact_results(row, case), reference(case)
    allowed = {one.name: one.tolerance for one in deviations(case, exact, exact, truth)}
    for name, tolerance in allowed.items():
        for factor, accepted in ((2.0, False), (0.5, True)):
            wrong = exact[name].copy()
            wrong.flat[wrong.size // 2] += factor * tolerance
            found = deviations(case, exact | {name: wrong}, exact, truth)
            assert [one.name for one in found if not one.ok] == ([] if accepted else [name])


@pytest.mark.parametrize("data", ["plain", "cancelling"])
def test_the_other_reset_is_rejected(data: str) -> None:
    """The table would see a GRU that resets on the wrong side of the product."""
    row = Row("swapped", GRU, data)
    case = as_case(row, "float32")
    swapped = exact_results(row._replace(spec=GRU._replace(reset_after=False)), case)
    got = run_case(case, rr.PerSequence())
    assert any(not one.ok for one in deviations(case, got, swapped, reference(case)))
