"""Bad input: refused before any work, in the same words by every unroll."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest

import refrnn as rr
from refrnn.unroll import BUILT_IN
from refrnn.validation import (
    check_bool,
    check_dtype,
    check_integer,
    check_lengths,
    check_padding_value,
    check_positive_float,
)

CELL = rr.LSTM(2, 3)
PARAMS = CELL.init_parameters(np.random.default_rng(0))
BATCH = rr.RaggedBatch(np.arange(6.0).reshape(3, 2), [1, 0, 2])
H = np.ones((3, 3))


def changed(name: str, value: Any) -> dict[str, Any]:
    """The parameters with one array replaced."""
    return {**PARAMS, name: value}


class Unreachable:
    """An unroll that supports everything and must not be asked to do it."""

    name = "unreachable"

    def supports(self, cell: Any, dtype: Any, *, reverse: bool = False) -> None:
        return None

    def forward(self, *arguments: Any) -> Any:
        raise AssertionError("work was begun")

    backward = forward


FORWARD: dict[str, tuple[dict[str, Any], type[Exception], str]] = {
    "cell: class": ({"cell": rr.LSTM}, TypeError, "cell has type ABCMeta, expected RNN, LSTM or"),
    "cell: name": ({"cell": "lstm"}, TypeError, "cell has type str, expected RNN, LSTM or GRU"),
    "params: None": ({"params": None}, TypeError, "params has type NoneType, expected a mapping"),
    "params: list": ({"params": [H]}, TypeError, "params has type list, expected a mapping"),
    "params: missing": ({"params": {"W_ih": PARAMS.W_ih}}, ValueError, "params has names ['W_ih']"),
    "params: extra": ({"params": changed("p_i", H)}, ValueError, "params has names ['W_hh', 'W_i"),
    "params: shape": (
        {"params": changed("W_hh", PARAMS.W_hh.T)},
        ValueError,
        "params.W_hh has shape (3, 12), expected the shape LSTM(2, 3) needs = (12, 3)",
    ),
    "params: mixed dtypes": (
        {"params": changed("W_hh", PARAMS.W_hh.astype("float32"))},
        TypeError,
        "W_hh has dtype float32, expected that of W_ih = float64",
    ),
    "params: integers": (
        {"params": changed("b_ih", np.zeros(12, int))},
        TypeError,
        "b_ih has dtype int64, expected float32, float64 or longdouble",
    ),
    "params: float16": (
        {"params": changed("b_ih", np.zeros(12, "float16"))},
        TypeError,
        "b_ih has dtype float16, expected float32, float64 or longdouble",
    ),
    "params: object": (
        {"params": changed("b_ih", None)},
        TypeError,
        "b_ih has type NoneType, expected float32, float64 or longdouble of any shape",
    ),
    "params: ragged": (
        {"params": changed("W_hh", [[1.0], [1.0, 2.0]])},
        ValueError,
        "W_hh has rows of different lengths, expected float32",
    ),
    "params: another dtype than the batch": (
        {"params": PARAMS.astype("float32")},
        TypeError,
        "batch has dtype float64, expected float32 as params",
    ),
    "batch: array": ({"batch": BATCH.values}, TypeError, "batch has type ndarray, expected a Rag"),
    "batch: list": ({"batch": list(BATCH)}, TypeError, "batch has type list, expected a RaggedB"),
    "batch: features": (
        {"batch": rr.RaggedBatch(np.ones((3, 4)), [3])},
        ValueError,
        "batch has 4 features, expected input_size = 2",
    ),
    "batch: dtype": (
        {"batch": rr.RaggedBatch(np.ones((3, 2), "float32"), [3])},
        TypeError,
        "batch has dtype float32, expected float64 as params",
    ),
    "batch: complex": (
        {"batch": BATCH.with_values(BATCH.values + 0j)},
        TypeError,
        "batch has dtype complex128, expected float64 as params",
    ),
    "reverse: 1": ({"reverse": 1}, TypeError, "reverse has type int, expected a bool"),
    "reverse: None": ({"reverse": None}, TypeError, "reverse has type NoneType, expected a bool"),
}

# a state and its cotangent are checked alike
STATE: dict[str, tuple[Any, type[Exception], str]] = {
    "array": (H, TypeError, "{} has type ndarray, expected a tuple (h, c)"),
    "list": ([H, H], TypeError, "{} has type list, expected a tuple (h, c)"),
    "dict": ({"h": H, "c": H}, TypeError, "{} has type dict, expected a tuple (h, c)"),
    "number": (0, TypeError, "{} has type int, expected a tuple (h, c)"),
    "one part": ((H,), ValueError, "{} has 1 parts, expected a tuple (h, c)"),
    "three parts": ((H, H, H), ValueError, "{} has 3 parts, expected a tuple (h, c)"),
    "another cell's": (rr.GRUState(H), ValueError, "{} has 1 parts, expected a tuple (h, c)"),
    "rank": ((H[0], H), ValueError, "{}.h has shape (3,), expected (B, size) = (3, 3)"),
    "batch size": ((H, H[:2]), ValueError, "{}.c has shape (2, 3), expected (B, size) = (3, 3)"),
    "stacked": ((H[None], H[None]), ValueError, "{}.h has shape (1, 3, 3), expected (B, size)"),
    "float32": ((H, H.astype("f4")), TypeError, "{}.c has dtype float32, expected float64 as the"),
    "integers": ((H.astype(int), H), TypeError, "{}.h has dtype int64, expected float32, float64"),
    "complex": ((H + 0j, H), TypeError, "{}.h has dtype complex128, expected float64 as the"),
    "objects": ((H, H.astype(object)), TypeError, "{}.c has dtype object, expected float32, float"),
    "strings": (("a", H), TypeError, "{}.h has dtype <U1, expected float32, float64 or longdouble"),
    "ragged": ((H, [[1.0], [1.0, 2.0]]), ValueError, "{}.c has rows of different lengths, expecte"),
}

D_OUTPUT: dict[str, tuple[Any, type[Exception], str]] = {
    "rank": (np.ones(3), ValueError, "d_output has shape (3,), expected (N, R) = (3, 3)"),
    "padded": (np.ones((2, 3, 3)), ValueError, "d_output has shape (2, 3, 3), expected (N, R) ="),
    "rows": (np.ones((4, 3)), ValueError, "d_output has shape (4, 3), expected (N, R) = (3, 3)"),
    "features": (np.ones((3, 2)), ValueError, "d_output has shape (3, 2), expected (N, R) = (3, 3"),
    "scalar": (1.0, ValueError, "d_output has shape (), expected (N, R) = (3, 3)"),
    "float32": (H.astype("f4"), TypeError, "d_output has dtype float32, expected float64 as the r"),
    "integers": (H.astype(int), TypeError, "d_output has dtype int64, expected float32, float64"),
    "complex": (H + 0j, TypeError, "d_output has dtype complex128, expected float64 as the run"),
    "objects": (H.astype(object), TypeError, "d_output has dtype object, expected float32, float6"),
    "another batch": (
        rr.RaggedBatch(H, [2, 0, 1]),
        ValueError,
        "d_output has lengths [2, 0, 1], expected those of the run = [1, 0, 2]",
    ),
    "another batch size": (
        rr.RaggedBatch(H, [1, 2]),
        ValueError,
        "d_output has lengths [1, 2], expected those of the run = [1, 0, 2]",
    ),
}


def refused(unroll: Any, kind: type[Exception], words: str, **change: Any) -> str:
    """Run forward with bad arguments; return the message of the error that it must raise."""
    good = {"cell": CELL, "params": PARAMS, "batch": BATCH, "state_0": None}
    with pytest.raises(kind, match=re.escape(words)) as error:
        rr.forward(**{**good, **change}, unroll=unroll)
    assert type(error.value) is kind
    return str(error.value)


@pytest.fixture
def no_work(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let every built-in unroll fail if it is reached."""
    for made in BUILT_IN.values():
        monkeypatch.setattr(made, "forward", Unreachable.forward)
        monkeypatch.setattr(made, "backward", Unreachable.forward)


def every_unroll() -> list[Any]:
    return [Unreachable(), *BUILT_IN]


@pytest.mark.usefixtures("no_work")
@pytest.mark.parametrize("what", FORWARD)
def test_forward_refuses_before_any_work_in_the_same_words(what: str) -> None:
    change, kind, words = FORWARD[what]
    assert len({refused(unroll, kind, words, **change) for unroll in every_unroll()}) == 1


@pytest.mark.usefixtures("no_work")
@pytest.mark.parametrize("what", STATE)
def test_a_bad_state_is_refused_before_any_work_in_the_same_words(what: str) -> None:
    state, kind, words = STATE[what]
    words = words.format("state_0")
    assert len({refused(unroll, kind, words, state_0=state) for unroll in every_unroll()}) == 1


@pytest.mark.usefixtures("no_work")
def test_good_input_would_have_reached_the_unroll() -> None:
    for unroll in every_unroll():
        with pytest.raises(AssertionError, match="work was begun"):
            rr.forward(CELL, PARAMS, BATCH, (H, H), unroll=unroll)


def backward_refused(
    monkeypatch: pytest.MonkeyPatch, kind: type[Exception], words: str, *cotangents: Any
) -> set[str]:
    """The messages of all unrolls; none of them is reached."""
    messages = set()
    for name, made in BUILT_IN.items():
        tape = rr.forward(CELL, PARAMS, BATCH, unroll=name).tape
        with monkeypatch.context() as patch:
            patch.setattr(made, "backward", Unreachable.forward)
            with pytest.raises(kind, match=re.escape(words)) as error:
                rr.backward(tape, *cotangents)
            assert type(error.value) is kind
            messages.add(str(error.value))
            with pytest.raises(AssertionError, match="work was begun"):
                rr.backward(tape)
    return messages


@pytest.mark.parametrize("what", D_OUTPUT)
def test_a_bad_d_output_is_refused_before_any_work(
    monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    d_output, kind, words = D_OUTPUT[what]
    assert len(backward_refused(monkeypatch, kind, words, d_output)) == 1


@pytest.mark.parametrize("what", STATE)
def test_a_bad_d_state_n_is_refused_before_any_work(
    monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    d_state_n, kind, words = STATE[what]
    words = words.format("d_state_n")
    assert len(backward_refused(monkeypatch, kind, words, None, d_state_n)) == 1


def test_a_tape_is_a_tape() -> None:
    run = rr.forward(CELL, PARAMS, BATCH)
    for wrong in (None, run, run.output):
        with pytest.raises(TypeError, match=r"tape has type .*, expected run.tape"):
            rr.backward(wrong)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("unroll", "kind", "words"),
    [
        (None, TypeError, "unroll has type NoneType, expected a name or an object"),
        (3, TypeError, "unroll has type int, expected a name or an object"),
        (object(), TypeError, "unroll has type object, expected a name or an object"),
        (rr.Lanes, TypeError, "unroll has type class Lanes, expected a name or an object"),
        ("Lanes", ValueError, "unroll has name 'Lanes', expected one of per_sequence, masked, "),
        ("", ValueError, "unroll has name '', expected one of"),
    ],
)
def test_an_unroll_is_a_name_or_an_object(unroll: Any, kind: type[Exception], words: str) -> None:
    refused(unroll, kind, words)


@pytest.mark.parametrize("unroll", BUILT_IN)
@pytest.mark.parametrize("poison", [np.nan, np.inf, -np.inf])
def test_nan_and_inf_are_no_bad_input(unroll: str, poison: float) -> None:
    batch = BATCH.with_values(np.full((3, 2), poison))
    params = PARAMS.unflatten(np.full(PARAMS.flatten().size, poison))
    state = (np.full((3, 3), poison),) * 2
    results = []
    for name in (unroll, "per_sequence"):
        run = rr.forward(CELL, params, batch, state, unroll=name)
        gradients = rr.backward(run.tape, np.full((3, 3), poison), state)
        results.append([run.output.values, *run.state_n, gradients.parameters.flatten()])
    for got, expected in zip(*results, strict=True):
        assert np.array_equal(got, expected, equal_nan=True)
    assert np.isnan(results[0][-1]).any()


# --- what a user may write instead ---------------------------------------------------------------


@pytest.mark.parametrize("unroll", BUILT_IN)
def test_array_likes_are_taken(unroll: str) -> None:
    """Plain tuples, lists, None parts, other layouts and byte orders are the same arguments."""
    rng = np.random.default_rng(0)
    h, c = rng.normal(size=(2, 3, 3))
    zero = np.zeros((3, 3))
    same: list[tuple[Any, Any]] = [
        ((h, c), rr.LSTMState(h, c)),
        ((h.tolist(), c.tolist()), rr.LSTMState(h, c)),
        ((np.asfortranarray(h), c.astype(">f8")), rr.LSTMState(h, c)),
        ((h, None), rr.LSTMState(h, zero)),
        ((None, c), rr.LSTMState(zero, c)),
        ((None, None), rr.LSTMState(zero, zero)),
        (None, rr.LSTMState(zero, zero)),
    ]
    lists = {name: array.tolist() for name, array in PARAMS.items()}
    shuffled = dict(reversed(list(PARAMS.items())))
    for params in (lists, shuffled):
        for given, meant in same:
            results = []
            for p, s in ((params, given), (PARAMS, meant)):
                run = rr.forward(CELL, p, BATCH, s, unroll=unroll)
                gradients = rr.backward(run.tape, H, s)
                results.append([run.output, *run.state_n, gradients.input, *gradients.state_0])
                results[-1].append(gradients.parameters)
            assert all(np.all(a == b) for a, b in zip(*results, strict=True))


@pytest.mark.parametrize("unroll", BUILT_IN)
def test_d_output_may_be_a_ragged_batch_or_none(unroll: str) -> None:
    tape = rr.forward(CELL, PARAMS, BATCH, unroll=unroll).tape
    flat = rr.backward(tape, H)
    assert rr.backward(tape, rr.RaggedBatch(H, BATCH.lengths)).input == flat.input
    assert rr.backward(tape, H.tolist()).parameters == flat.parameters
    none = rr.backward(tape)
    assert not none.parameters.flatten().any()
    assert not none.input.values.any()


def test_a_numpy_bool_is_a_bool() -> None:
    run = rr.forward(CELL, PARAMS, BATCH, reverse=np.True_)  # type: ignore[arg-type]
    assert run.tape.reverse is True


# --- unrolls that decline ------------------------------------------------------------------------


class Declines(Unreachable):
    name = "declines"

    def supports(self, cell: Any, dtype: Any, *, reverse: bool = False) -> Any:
        return "it has no such kernel" if reverse else None


def test_an_unroll_says_why_it_cannot() -> None:
    words = "unroll 'declines' cannot run LSTM(2, 3): it has no such kernel"
    assert refused(Declines(), rr.UnsupportedCase, words, reverse=True) == words
    assert issubclass(rr.UnsupportedCase, ValueError)
    with pytest.raises(AssertionError, match="work was begun"):
        rr.forward(CELL, PARAMS, BATCH, unroll=Declines())


def test_bad_input_is_named_before_a_case_is_declined() -> None:
    refused(Declines(), ValueError, "state_0 has 1 parts", reverse=True, state_0=(H,))


@pytest.mark.parametrize("name", BUILT_IN)
def test_the_built_in_unrolls_decline_nothing(name: str) -> None:
    unroll = BUILT_IN[name]()
    for cell in (rr.RNN(1, 1), CELL, rr.GRU(1, 1, reset_after=False)):
        for dtype in (np.float32, np.float64, np.longdouble, np.complex128):
            assert unroll.supports(cell, np.dtype(dtype), reverse=True) is None
    assert repr(unroll).startswith(type(unroll).__name__ + "(")


def test_an_unroll_shows_what_it_was_made_with() -> None:
    assert repr(rr.Lanes(3)) == "Lanes(lanes=3)"
    assert repr(rr.Masked(float("nan"))) == "Masked(padding_value=nan)"
    assert repr(rr.PerSequence()) == "PerSequence()"


@pytest.mark.parametrize(
    ("make", "kind", "words"),
    [
        (lambda: rr.Lanes(0), ValueError, "lanes has value 0, expected an integer >= 1"),
        (lambda: rr.Lanes(2.0), TypeError, "lanes has type float, expected an integer >= 1"),
        (lambda: rr.Lanes(True), TypeError, "lanes has type bool, expected an integer >= 1"),
        (lambda: rr.Masked("x"), TypeError, "padding_value has type str, expected a number"),
        (lambda: rr.Masked(None), TypeError, "padding_value has type NoneType, expected a number"),
        (lambda: rr.Bucketed([3, 2]), ValueError, "boundaries[1] has value 2, expected more than"),
        (lambda: rr.Bucketed([3.0]), TypeError, "boundaries has dtype float64, expected integers"),
        (lambda: rr.Bucketed(num_buckets=0), ValueError, "num_buckets has value 0"),
        (
            lambda: rr.Bucketed([3], num_buckets=2),
            ValueError,
            "num_buckets has value 2, expected N",
        ),
        (lambda: rr.Bucketed(padding_value=()), TypeError, "padding_value has type tuple"),
    ],
)
def test_unrolls_check_their_arguments(make: Any, kind: type[Exception], words: str) -> None:
    with pytest.raises(kind, match=re.escape(words)):
        make()


# --- the checks themselves -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("lengths", "kind", "words"),
    [
        (None, TypeError, "n has type NoneType, expected integers of shape (B,)"),
        ("3", TypeError, "n has dtype <U1, expected integers"),
        (b"", TypeError, "n has dtype |S1, expected integers"),
        ({3}, TypeError, "n has type set, expected integers of shape (B,)"),
        (iter([3]), TypeError, "n has type list_iterator, expected integers of shape (B,)"),
        ([1, 2.5], TypeError, "n has dtype float64, expected integers (n[1] is 2.5)"),
        ([1.0], TypeError, "n has dtype float64, expected integers (n[0] is 1.0)"),
        (np.zeros(0), TypeError, "n has dtype float64, expected integers"),
        ([True], TypeError, "n has dtype bool, expected integers (n[0] is True)"),
        ([2, True], TypeError, "n[1] has type bool, expected an integer"),
        (np.array([True]), TypeError, "n has dtype bool, expected integers"),
        ([1, None], TypeError, "n[1] has type NoneType, expected an integer"),
        (np.array([1], object), TypeError, "n has dtype object, expected integers of shape (B,)"),
        (np.array([3], "m8[s]"), TypeError, "n has dtype timedelta64[s], expected integers"),
        (3, ValueError, "n has shape (), expected integers of shape (B,)"),
        ([[3]], ValueError, "n has shape (1, 1), expected integers of shape (B,)"),
        ([3, [1, 2]], ValueError, "n has rows of different lengths, expected integers of shape"),
        ([3, -1], ValueError, "n[1] has value -1, expected a length >= 0"),
        ([3, 7, 8], ValueError, "n[1] has value 7, expected a length <= T = 6"),
        ([2**70], ValueError, "n[0] has value 1180591620717411303424, expected a number that fits"),
        ([2**63, 0], ValueError, "n[0] has value 9223372036854775808, expected a number that fits"),
        (np.array([0, 2**63], "u8"), ValueError, "n[1] has value 9223372036854775808, expected a"),
    ],
)
def test_lengths_are_integers_and_the_odd_one_is_named(
    lengths: Any, kind: type[Exception], words: str
) -> None:
    with pytest.raises(kind, match=re.escape(words)):
        check_lengths(lengths, name="n", maximum=6)


@pytest.mark.parametrize("dtype", ["float32", ">f4", float, "longdouble", np.dtype("f8"), "c16"])
def test_dtypes_that_are_computed_in(dtype: Any) -> None:
    assert check_dtype(dtype, "dtype") == np.dtype(dtype).newbyteorder("=")
    assert check_dtype(dtype, "dtype").isnative


@pytest.mark.parametrize("dtype", [None, "nonsense", "float16", int, object, 3, [("a", float)]])
def test_dtypes_that_are_not(dtype: Any) -> None:
    with pytest.raises(TypeError, match=r"^dtype has .*, expected float32, float64 or longdouble"):
        check_dtype(dtype, "dtype")
    with pytest.raises(TypeError, match="x has dtype complex128, expected float32"):
        check_dtype(complex, "x", complex_allowed=False)


@pytest.mark.parametrize("value", [0.0, -1, np.nan, np.inf, np.float32(-0.0)])
def test_a_positive_float_is_positive_and_finite(value: Any) -> None:
    with pytest.raises(ValueError, match=r"x has value .*, expected a finite number > 0"):
        check_positive_float(value, "x")


@pytest.mark.parametrize("value", [True, np.True_, "1", None, 1j, np.ones(1), [1.0]])
def test_a_number_is_a_number(value: Any) -> None:
    for check in (check_positive_float, check_padding_value):
        with pytest.raises(TypeError, match=f"x has type {type(value).__name__}, expected a num"):
            check(value, "x")


@pytest.mark.parametrize("value", [1.0, "1", None, True, np.False_, [1], np.ones(1)])
def test_an_integer_is_an_integer(value: Any) -> None:
    with pytest.raises(TypeError, match=r"x has type .*, expected an integer >= 1"):
        check_integer(value, "x", minimum=1)


@pytest.mark.parametrize("value", [0, 1, None, "True", np.ones(1, bool)])
def test_a_bool_is_a_bool(value: Any) -> None:
    with pytest.raises(TypeError, match=f"x has type {type(value).__name__}, expected a bool"):
        check_bool(value, "x")


def test_numpys_own_scalars_will_do() -> None:
    assert check_integer(np.uint8(3), "x", minimum=1) == 3
    assert check_positive_float(np.float32(0.5), "x") == 0.5
    assert check_positive_float(2, "x") == 2.0
    assert check_bool(np.False_, "x") is False
    assert np.isnan(check_padding_value(np.float32("nan")))
