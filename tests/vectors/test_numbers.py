"""What is in the vectors, and that every expected number is exact."""

from __future__ import annotations

import zlib
from fractions import Fraction

import mpmath
import numpy as np
import pytest

from refrnn.activations import Activation
from refrnn.cases import CELL_NAMES, HARD_CASES, make_cell
from refrnn.comparison import reference
from refrnn.tolerances import tolerance
from refrnn.vectors import (
    CONFIGURATIONS,
    draw,
)
from refrnn.vectors.draws import Draws
from refrnn.vectors.portable import decimal_context, exact, floats, rounded

from ..mpmath_oracle import Act, Spec, leaves
from ..mpmath_oracle import run as run_oracle
from .chosen import SPECS

FUNCTIONS = {"exp": mpmath.exp, "expm1": mpmath.expm1, "tanh": mpmath.tanh, "log1p": mpmath.log1p}
ARGUMENTS = np.concatenate([np.linspace(-40, 40, 97), [-1e-3, 1e-9, 0.0, 0.349, 0.351, -0.351]])


@pytest.mark.parametrize("name", FUNCTIONS)
def test_portable_functions_are_right(name):
    x = np.linspace(0, 1, 50) if name == "log1p" else ARGUMENTS
    with decimal_context():
        digits = getattr(np, name)(exact(x))
    approximate = np.asarray(getattr(np, name)(floats(x)))
    with mpmath.workdps(120):
        truth = [FUNCTIONS[name](mpmath.mpf(float(a))) for a in x]
        for t, d, f in zip(truth, digits.tolist(), approximate.tolist(), strict=True):
            assert abs(mpmath.mpf(str(d)) - t) <= abs(t) * mpmath.mpf(10) ** -58
            assert abs(f - t) <= abs(t) * 2.0**-50


def test_portable_exp_at_its_ends():
    ends = floats(np.array([-800.0, -745.5, -740.0, 709.0, 711.0, 800.0]))
    got = np.asarray(np.exp(ends))
    assert got[[0, 1]].tolist() == [0.0, 0.0]
    assert got[2] > 0.0
    assert np.isfinite(got[3])
    assert np.isinf(got[4:]).all()


def test_rounding_is_to_nearest_even():
    with decimal_context():
        halfway = exact(np.array([1.0, 1.0])) + exact(np.array([2.0**-53, 3 * 2.0**-53]))
    assert rounded(halfway).tolist() == [1.0, 1.0 + 2.0**-51]


def test_draws_are_the_documented_formula():
    bound, name = 0.7, "a stream"
    got = Draws(name).uniform(bound, (2, 3))
    words = np.random.PCG64(zlib.crc32(name.encode())).random_raw(6).tolist()
    expected = [float(np.float32(bound * ((2 * (w >> 40) + 1 - 2**24) / 2**24))) for w in words]
    assert got.ravel().tolist() == expected
    many = Draws("b").uniform(1.0, (10000,))
    assert (many.astype(np.float32) == many).all()
    assert (np.abs(many) < 1.0).all()
    assert (many != 0.0).all()
    assert abs(many.mean()) < 0.03
    assert abs((many**2).mean() - 1 / 3) < 0.02


def test_noise_is_the_documented_formula():
    words = np.random.PCG64(zlib.crc32(b"c")).random_raw(2).tolist()
    expected = [float(Fraction(w >> 11, 2**52) - 1) for w in words]
    assert Draws("c").noise((2,)).tolist() == expected


def test_every_cell_hard_case_and_direction_is_there():
    names = [c.name for c in CONFIGURATIONS]
    assert set(CELL_NAMES) < set(names)
    assert len(set(names)) == len(names)
    for cell in CELL_NAMES:
        for hard in set(HARD_CASES) - {"strided"}:  # a file has no strides
            assert {f"{cell}/{hard}", f"{cell}/{hard}_reverse"} <= set(SPECS)
    cells = {c.name: c.cell for c in CONFIGURATIONS}
    assert all(cells[name] == make_cell(name, 3, 5) for name in CELL_NAMES)


def test_numbers_of_options_are_exact_in_float32():
    for configuration in CONFIGURATIONS:
        for value in configuration.cell.options().values():
            parts = (value.alpha, value.beta) if isinstance(value, Activation) else (value,)
            for number in parts:
                if isinstance(number, float):
                    assert float(np.float32(number)) == number


@pytest.mark.parametrize("name", [c.name for c in CONFIGURATIONS])
def test_a_case_of_every_configuration_holds(name):
    """Both precisions of refrnn, the entry, and every input exact in float32."""
    configuration = next(c for c in CONFIGURATIONS if c.name == name)
    for hard in configuration.hard[-2:]:
        case = draw(SPECS[f"{name}/{hard}"])
        for dtype in ("float64", "float32"):
            assert all(d.ok for d in case.compare(case.run("packed", dtype), dtype))
        facts = {**case.entry["inputs"], **case.entry["expected"]}
        assert set(facts) == set(case.arrays)
        sizes = {"N": case.entry["total_steps"], "T": case.entry["max_length"]}
        for array_name, fact in facts.items():
            array = case.arrays[array_name]
            assert list(array.shape) == fact["shape"]
            assert len(fact["axes"]) == array.ndim
            for axis, n in zip(fact["axes"], array.shape, strict=True):
                assert n == axis_size(axis, case.entry, sizes)
            if array_name in case.entry["inputs"] and array.dtype == np.float64:
                single = array.astype(np.float32).astype(np.float64)
                assert np.array_equal(single, array, equal_nan=case.entry["padded"])


def axis_size(axis, entry, sizes):
    """What an axis' letters say its length is."""
    options = entry["options"]
    sizes = {
        **sizes,
        "B": entry["batch_size"],
        "I": entry["input_size"],
        "H": entry["hidden_size"],
        "P": options.get("proj_size"),
        "L*D": entry["num_layers"] * (1 + entry["bidirectional"]),
    }
    if axis in sizes:
        return sizes[axis]
    factor, letter = axis.split("*")
    return int(factor) * sizes[letter]


def test_the_padded_case_has_nan_in_its_padding_and_zeros_in_its_results():
    case = draw(SPECS["gru_reset_after/nan_padding"])
    real = np.arange(7)[:, None] < np.array(case.entry["lengths"])
    for name, is_right in (
        ("input", np.isnan),
        ("d_output", np.isnan),
        ("output", lambda a: a == 0.0),
        ("d_input", lambda a: a == 0.0),
    ):
        assert is_right(case.arrays[name][~real]).all()
        assert np.isfinite(case.arrays[name][real]).all()
        assert case.rows(name).shape[0] == case.entry["total_steps"]


def test_what_is_not_given_is_not_in_the_file():
    case = draw(SPECS["lstm/last_state"])
    assert not {"h_0", "c_0", "d_output"} & set(case.arrays)
    assert (case.arrays["d_c_n"] == 0.0).all()
    assert case.case().state_0 is None


def as_act(f: Activation) -> Act:
    return Act(f.name, f.alpha or 0.0, f.beta or 0.0)


def as_oracle_spec(cell) -> Spec:
    """The oracle's words for a cell."""
    kind = type(cell).__name__.lower()
    found = {name: getattr(cell, name) for name in Spec._fields if hasattr(cell, name)}
    if kind == "gru":
        found["cell_activation"] = cell.candidate_activation
    acts = {n: as_act(v) if isinstance(v, Activation) else v for n, v in found.items()}
    return Spec(kind, **acts)


@pytest.mark.parametrize("name", [c.name for c in CONFIGURATIONS if c.layer is None])
def test_expected_values_are_exact_results_rounded_once(name):
    """Bit for bit what the independent implementation finds with 50 digits."""
    spec = SPECS[f"{name}/length_0_and_1_reverse"]
    case = draw(spec)
    inner = case.case()
    ends = inner.batch.offsets[1:-1]
    result = run_oracle(
        as_oracle_spec(inner.cell),
        inner.parameters,
        np.split(inner.batch.values, ends),
        inner.state_0,
        True,
        np.split(inner.d_output, ends),
        inner.d_state_n,
    )
    found = {"output": result.outputs, "d_input": result.d_x}
    for i, letter in enumerate(inner.cell.state_names):
        found |= {f"{letter}_n": result.state_n[i], f"d_{letter}_0": result.d_state_0[i]}
    found |= {f"d_{n}": a for n, a in result.d_parameters.items()}
    assert set(found) == set(case.entry["expected"])
    for array, tree in found.items():
        assert [float(x) for x in leaves(tree)] == case.arrays[array].ravel().tolist()


@pytest.mark.parametrize(
    "name", ["lstm/unsorted", "gru_reset_before/saturating", "rnn_relu/all_equal"]
)
def test_scales_are_those_of_the_comparison(name):
    """Measured with other random numbers: alike to a factor, and the formula is the one formula."""
    case = draw(SPECS[name])
    scales = reference(case.case()).scales
    for array, facts in case.entry["expected"].items():
        assert 0.4 < facts["scale"] / scales[array] < 2.5
        for dtype in ("float64", "float32"):
            length = case.entry["max_length"]
            assert facts["tolerance"][dtype] == tolerance(dtype, length, facts["scale"])
