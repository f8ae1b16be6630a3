"""Cells and activations are records: what they are cannot be changed, and they say all of it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import refrnn as rr
from refrnn.activations import activation
from refrnn.arithmetic import EINSUM


def test_a_cell_cannot_be_changed() -> None:
    cell = rr.LSTM(3, 5)
    with pytest.raises(AttributeError, match="hidden_size of LSTM"):
        cell.hidden_size = 7
    assert cell.hidden_size == 5


def test_an_activation_cannot_be_changed() -> None:
    elu = activation("elu", alpha=2.0)
    with pytest.raises(AttributeError, match="alpha of activation"):
        elu.alpha = 3.0
    assert elu.value(np.array([-50.0]))[0] == -2.0


def test_unequal_cells_print_unlike() -> None:
    soft, hard = (rr.RNN(1, 2, activation=activation("elu", alpha=a)) for a in (1.0, 2.0))
    assert soft != hard
    assert repr(soft) == "RNN(1, 2, activation='elu')"
    assert repr(hard) == "RNN(1, 2, activation=activation('elu', alpha=2.0))"


@pytest.mark.parametrize("name", [None, 3, np.tanh])
def test_an_activation_is_a_name(name: Any) -> None:
    with pytest.raises(TypeError, match="activation has type"):
        activation(name)


@pytest.mark.parametrize(
    ("alpha", "kind"),
    [(np.nan, ValueError), (np.inf, ValueError), (True, TypeError), ("x", TypeError)],
)
def test_alpha_is_a_finite_number(alpha: Any, kind: type[Exception]) -> None:
    with pytest.raises(kind, match="alpha, has"):
        activation("elu", alpha=alpha)


@pytest.mark.parametrize("rng", [None, 0, np.random])
def test_weights_are_drawn_by_a_generator(rng: Any) -> None:
    with pytest.raises(TypeError, match="rng has type"):
        rr.GRU(1, 2).init_parameters(rng)


def test_a_state_has_a_dtype_and_a_size() -> None:
    with pytest.raises(TypeError, match="dtype has dtype float16"):
        rr.GRU(1, 2).zero_state(3, "float16")
    with pytest.raises(ValueError, match="batch_size has value -1"):
        rr.GRU(1, 2).zero_state(-1)


@pytest.mark.parametrize("unroll", [rr.Packed, rr.Lanes])
@pytest.mark.parametrize("arithmetic", [None, "blas"])
def test_arithmetic_is_one_of_refrnn(unroll: Any, arithmetic: Any) -> None:
    with pytest.raises(TypeError, match="arithmetic has type"):
        unroll(arithmetic=arithmetic)


def test_packed_takes_the_arithmetic_of_the_definition() -> None:
    rng = np.random.default_rng(0)
    cell = rr.LSTM(3, 4)
    params = cell.init_parameters(rng)
    batch = rr.RaggedBatch(rng.normal(size=(9, 3)), [4, 0, 5])
    packed = rr.forward(cell, params, batch, unroll=rr.Packed(arithmetic=EINSUM))
    truth = rr.forward(cell, params, batch, unroll="per_sequence")
    assert packed.output.values.tobytes() == truth.output.values.tobytes()
