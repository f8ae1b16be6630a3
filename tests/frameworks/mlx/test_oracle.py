"""MLX under the oracle: its modules, its float64, and modules with planted bugs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import mlx.core as mx
import numpy as np
import pytest
from mlx import nn

import refrnn as rr
from refrnn.errors import UnsupportedCase
from refrnn.oracle import PROBLEM_NAMES, Report, Status, adapt, check, standard_problem
from refrnn.oracle.adapters.mlx import modules

MODULES = dict(modules())
WITHOUT_LENGTH_0 = ("unsorted", "all_equal", "one_sequence")
NONE_TO_STACK = "(ValueError: [stack] No arrays provided for stacking)"


def make(kind: Any, dtype: Any = mx.float32, **options: Any) -> Any:
    """A module of 3 inputs and 5 units; the same weights each time."""
    module = kind(3, 5, **options)
    rng = np.random.default_rng(1)
    with mx.stream(mx.cpu):
        for name, array in module.parameters().items():
            drawn = rng.uniform(-0.9, 0.9, array.shape)
            module[name] = mx.array(drawn, dtype=mx.float64).astype(dtype)
        mx.eval(module.parameters())
    return module


def check_on(names: Sequence[str], subject: Any, semantics: Any = None, **options: Any) -> Report:
    adapted = adapt(subject, **options)
    problems = [standard_problem(name, adapted.network, adapted.dtype) for name in names]
    return check(adapted, problems, semantics=semantics)


# --- (a) what is right ---------------------------------------------------------------------------


@pytest.mark.parametrize("name", [n for n in MODULES if "float64" not in n])
def test_its_modules_are_right(name: str) -> None:
    report = check(MODULES[name])
    assert report.ok, report
    refused = {p for f in report.deliberate for p in f.problems}
    unchecked = {p for f in report.unchecked for p in f.problems}
    with_empty = {"length_0_and_1", "nan_padding", "long_and_short", "strided", "last_state"}
    if "padded" in name:
        assert refused == {"all_empty", "empty_batch"}
        checked = {"all_equal", "single_row", "one_sequence"}
        assert unchecked == set(PROBLEM_NAMES) - checked - refused
    else:
        assert refused == {"all_empty", *with_empty}
        assert unchecked == {"empty_batch", "holes"}
        assert {f"{p} (without empty)" for p in with_empty} < set(report.problems)
    assert all(f.words.endswith(NONE_TO_STACK) for f in report.deliberate)
    checked_tensors = {e.tensor for e in report.entries if e.status is Status.OK}
    assert {"output", "h_n", "d_x", "d_hidden"} < checked_tensors
    worst = [report.worst(t).deviation.in_tolerances for t in report.tensors]
    assert 0 < max(worst) < 0.2


def test_gradients_are_of_every_weight() -> None:
    report = check_on(["all_equal"], make(nn.GRU))
    names = ("output", "h_n", "d_x", "d_hidden", "d_Wx", "d_Wh", "d_b", "d_bhn")
    assert report.tensors == names
    assert report.ok
    report = check_on(["all_equal"], make(nn.LSTM))
    names = "output h_n c_n d_x d_hidden d_cell d_Wx d_Wh d_bias"
    assert report.tensors == tuple(names.split())
    assert report.ok


def test_the_law_forgives_no_refusal() -> None:
    report = check_on(["length_0_and_1"], make(nn.RNN), semantics="refrnn")
    assert [f.words for f in report.failures] == [f"crashed: {NONE_TO_STACK[1:-1]}"]


def test_a_users_batch() -> None:
    rng = np.random.default_rng(5)
    sequences = [rng.normal(size=(n, 3)).astype(np.float32) for n in (4, 1, 9)]
    report = check(make(nn.LSTM), rr.RaggedBatch.from_sequences(sequences))
    assert report.ok
    assert report.problems == ("batch",)


def test_a_module_is_left_as_it_was() -> None:
    module = make(nn.GRU)
    before = {name: id(array) for name, array in module.parameters().items()}
    values = {name: np.array(array) for name, array in module.parameters().items()}
    state, training = np.array(mx.random.state[0]), module.training
    list(modules())
    check_on(WITHOUT_LENGTH_0, module)
    assert {name: id(array) for name, array in module.parameters().items()} == before
    assert all(np.array_equal(module[name], array) for name, array in values.items())
    assert np.array_equal(mx.random.state[0], state)
    assert module.training == training


# --- (b) float64 ---------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [nn.LSTM, nn.GRU])
def test_float64_of_a_sigmoid_is_float32(kind: Any) -> None:
    report = check_on(["all_equal"], make(kind, mx.float64))
    (finding,) = report.failures
    assert finding.words == "it has the accuracy of float32, not of float64"
    assert finding.tensors == report.tensors
    assert 1e-9 < report.worst("output").deviation.normwise < 1e-6
    # and where somebody says so beforehand it is on purpose
    known = adapt(make(kind, mx.float64)).semantics._replace(float64="float32")
    report = check_on(["all_equal"], make(kind, mx.float64), semantics=known)
    assert [f.words for f in report.deliberate] == ["float64 is computed in float32"]
    assert not report.failures


def test_float64_of_tanh_is_float64() -> None:
    report = check_on(WITHOUT_LENGTH_0, make(nn.RNN, mx.float64))
    assert report.ok, report
    assert report.worst("d_Whh").deviation.normwise < 1e-14


# --- (c) planted bugs ----------------------------------------------------------------------------


class _Changed:
    """A module that computes with something else than what it shows, and is differentiated so."""

    def weights(self) -> dict[str, Any]:
        return {}

    def __call__(self, x: Any, *states: Any) -> Any:
        own = {name: self[name] for name in self.weights()}  # type: ignore[index]
        for name, array in self.weights().items():
            self[name] = array  # type: ignore[index]
        try:
            return super().__call__(x, *states)  # type: ignore[misc]
        finally:
            for name, array in own.items():
                self[name] = array  # type: ignore[index]


def gates(module: Any, order: Sequence[int]) -> dict[str, Any]:
    rows = mx.array([5 * k + j for k in order for j in range(5)])
    return {n: module[n][rows] for n in ("Wx", "Wh", "bias")}


class GatesSwapped(_Changed, nn.LSTM):
    def weights(self) -> dict[str, Any]:
        return gates(self, [0, 1, 3, 2])


class BiasDoubled(_Changed, nn.RNN):
    def weights(self) -> dict[str, Any]:
        return {"bias": 2 * self.bias}


class Transposed(_Changed, nn.RNN):
    def weights(self) -> dict[str, Any]:
        return {"Whh": self.Whh.T}


class PlusOne(_Changed, nn.LSTM):
    def weights(self) -> dict[str, Any]:
        one = mx.concatenate([mx.zeros(5), mx.ones(5), mx.zeros(10)])
        return {"bias": self.bias + one}


class ResetBefore(nn.GRU):
    def __call__(self, x: Any, hidden: Any = None) -> Any:
        x = x @ self.Wx.T + self.b
        h = mx.zeros(x[:, 0, :5].shape) if hidden is None else hidden
        steps = []
        for t in range(x.shape[1]):
            r, z = mx.split(mx.sigmoid(x[:, t, :10] + h @ self.Wh[:10].T), 2, axis=-1)
            n = mx.tanh(x[:, t, 10:] + (r * h) @ self.Wh[10:].T + self.bhn)
            h = (1 - z) * n + z * h
            steps.append(h)
        return mx.stack(steps, axis=1)


class NoGradientOfInitial(nn.RNN):
    def __call__(self, x: Any, hidden: Any = None) -> Any:
        return super().__call__(x, None if hidden is None else mx.stop_gradient(hidden))


class Truncated(nn.RNN):
    def __call__(self, x: Any, hidden: Any = None) -> Any:
        steps = []
        for t in range(x.shape[1]):
            held = None if hidden is None else (mx.stop_gradient(hidden) if t else hidden)
            hidden = super().__call__(x[:, t : t + 1], held)[:, 0]
            steps.append(hidden)
        return mx.stack(steps, axis=1)


class InitialIgnored(nn.LSTM):
    def __call__(self, x: Any, hidden: Any = None, cell: Any = None) -> Any:
        return super().__call__(x)


class StatesExchanged(nn.LSTM):
    def __call__(self, x: Any, hidden: Any = None, cell: Any = None) -> Any:
        return super().__call__(x, cell, hidden)


class Backwards(nn.GRU):
    def __call__(self, x: Any, hidden: Any = None) -> Any:
        return super().__call__(x[:, ::-1], hidden)[:, ::-1]


class Halved(nn.RNN):
    """A gradient that is half of what it should be; the value is right."""

    def __call__(self, x: Any, hidden: Any = None) -> Any:
        own = self.Wxh
        self.Wxh = 0.5 * own + mx.stop_gradient(0.5 * own)
        try:
            return super().__call__(x, hidden)
        finally:
            self.Wxh = own


PLANTED: list[tuple[Any, str, tuple[str, ...] | None]] = [
    (GatesSwapped, "with the cell and output gate rows swapped it agrees to ", None),
    (BiasDoubled, "with b_ih added twice it agrees to ", None),
    (Transposed, "with W_hh transposed it agrees to ", None),
    (PlusOne, "with 1 added to the forget gate it agrees to ", None),
    (ResetBefore, "with the reset gate before the matrix product it agrees to ", None),
    (NoGradientOfInitial, "it is zero everywhere: the gradient is dropped", ("d_hidden",)),
    (
        Truncated,
        "with the gradient not carried from step to step it agrees to ",
        ("d_x", "d_hidden", "d_Wxh", "d_Whh", "d_bias"),
    ),
    (InitialIgnored, "with initial states ignored it agrees to ", None),
    (StatesExchanged, "with h_0 and c_0 in each other's place it agrees to ", None),
    (Halved, "it is 0.5 times the reference", ("d_Wxh",)),
]


@pytest.mark.parametrize(("kind", "words", "tensors"), PLANTED)
def test_planted_bugs_are_found_and_named(
    kind: Any, words: str, tensors: tuple[str, ...] | None
) -> None:
    report = check_on(["unsorted"], make(kind))
    (finding,) = report.failures
    assert finding.words.startswith(words)
    assert finding.tensors == (report.tensors if tensors is None else tensors)


def test_time_turned_round_is_found_in_what_it_reaches() -> None:
    report = check_on(["unsorted"], make(Backwards))
    named = {t for f in report.failures for t in f.tensors if "direction of time" in f.words}
    assert "output" in named
    assert "d_x" not in named  # the last output is now the first step's, and so is its cotangent


def test_rows_of_a_padded_batch_exchanged() -> None:
    class Exchanged(nn.RNN):
        def __call__(self, x: Any, hidden: Any = None) -> Any:
            return super().__call__(x, hidden)[mx.array([1, 0, 2, 3])]

    report = check_on(["all_equal"], make(Exchanged), one_by_one=False)
    found = {f.words: f.tensors for f in report.failures}
    words = "along axis 0 its rows are those of the reference in the order [1, 0, 2, 3]"
    assert found[words] == ("output", "h_n")


def test_one_wrong_entry_of_a_gradient_in_float64_is_found() -> None:
    class Off(nn.RNN):
        def __call__(self, x: Any, hidden: Any = None) -> Any:
            own, factor = self.Whh, np.zeros((5, 5))
            factor[2, 3] = 1e-3
            share = mx.array(factor, dtype=mx.float64) * own
            self.Whh = own + share - mx.stop_gradient(share)
            try:
                return super().__call__(x, hidden)
            finally:
                self.Whh = own

    (finding,) = check_on(["unsorted"], make(Off, mx.float64)).failures
    assert finding.tensors == ("d_Whh",)
    assert finding.words.startswith("1 of 25 elements differ")


# --- (d) what is no result at all ----------------------------------------------------------------


class Crashes(nn.RNN):
    def __call__(self, x: Any, hidden: Any = None) -> Any:
        raise ZeroDivisionError("here")


class Misshapen(nn.RNN):
    def __call__(self, x: Any, hidden: Any = None) -> Any:
        return super().__call__(x, hidden)[:, :, :4]


class Wide(nn.RNN):
    def __call__(self, x: Any, hidden: Any = None) -> Any:
        return super().__call__(x, hidden).astype(mx.float16)


class HiddenAlone(nn.LSTM):
    def __call__(self, x: Any, hidden: Any = None, cell: Any = None) -> Any:
        return super().__call__(x, hidden, cell)[0]


class NotFinite(nn.RNN):
    def __call__(self, x: Any, hidden: Any = None) -> Any:
        return super().__call__(x, hidden) + mx.array(float("nan"))


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        (Crashes, "crashed: ZeroDivisionError: here"),
        (HiddenAlone, "crashed: ValueError: the module gives back 1 arrays, expected 2"),
        (Misshapen, "crashed: ValueError: "),
        (Wide, "it has dtype float16, expected float32"),
        (NotFinite, "are not finite"),
    ],
)
def test_what_is_no_result_is_a_finding(kind: Any, words: str) -> None:
    report = check_on(["all_equal"], make(kind))
    assert any(words in f.words for f in report.failures)
    assert not report.ok


# --- what is refused -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("make_subject", "options", "error", "message"),
    [
        (
            lambda: nn.Linear(3, 5),
            {},
            TypeError,
            "Linear has parameters ['bias', 'weight'], expected",
        ),
        (
            lambda: make(nn.RNN, mx.float16),
            {},
            UnsupportedCase,
            "the module has dtype mlx.core.float16, expected one of mlx.core.float32, mlx.core.flo",
        ),
        (
            lambda: nn.RNN(3, 5, nonlinearity=lambda a: a),
            {},
            UnsupportedCase,
            "say which it is by nonlinearity=",
        ),
        (lambda: nn.LSTM(3, 5), {"nonlinearity": "relu"}, TypeError, "expected None for mlx.LSTM"),
        (lambda: nn.RNN(3, 5), {"nonlinearity": "relux"}, ValueError, "relux"),
        (lambda: nn.RNN(3, 5), {"one_by_one": 1}, TypeError, "one_by_one"),
        (lambda: nn.RNN(3, 5), {"lengths": True}, TypeError, "lengths"),
        (lambda: mx.zeros(3), {}, TypeError, "expected an mlx.nn.Module"),
    ],
)
def test_what_cannot_be_put_to_the_reference_is_refused(
    make_subject: Any, options: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error) as raised:
        adapt(make_subject(), **options)
    assert message in str(raised.value)


@pytest.mark.parametrize(
    ("function", "name"),
    [
        (nn.relu, None),
        (mx.sigmoid, None),
        (nn.softsign, None),
        (lambda a: mx.maximum(a, 0), "relu"),
    ],
)
def test_nonlinearities(function: Any, name: str | None) -> None:
    module = make(nn.RNN, nonlinearity=function)
    report = check_on(["all_equal"], module, nonlinearity=name)
    assert report.ok, report


def test_a_padded_batch_has_no_padding() -> None:
    report = check_on(["unsorted"], make(nn.RNN), one_by_one=False)
    assert [f.words for f in report.unchecked] == [
        "a padded batch: MLX has no lengths, and cannot know its padding"
    ]
    assert not report.ok  # nothing was checked
