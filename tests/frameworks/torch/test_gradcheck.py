"""What gradcheck sees of one wrong entry of a gradient, and what the oracle sees of it."""

import numpy as np
import pytest
import torch
from torch import nn
from torch.autograd import gradcheck
from torch.func import functional_call

from refrnn import RaggedBatch
from refrnn.oracle import check

ENTRY = (13, 5)  # of weight_hh_l0, (32, 8)


class WrongEntry(torch.autograd.Function):
    """The identity, with one entry of its gradient off by a factor."""

    @staticmethod
    def forward(ctx, x, factor):
        ctx.factor = factor
        return x.clone()

    @staticmethod
    def backward(ctx, d_y):
        d_x = d_y.clone()
        d_x[ENTRY] *= ctx.factor
        return d_x, None


class WrongLSTM(nn.LSTM):
    """An LSTM whose gradient of ``weight_hh_l0`` has one wrong entry."""

    def __init__(self, factor):
        torch.manual_seed(0)
        super().__init__(5, 8, dtype=torch.float64)
        self.factor = factor
        self.inside = False

    def forward(self, x, hx=None):
        if self.inside:
            return super().forward(x, hx)
        self.inside = True
        try:
            weights = dict(self.named_parameters())
            weights["weight_hh_l0"] = WrongEntry.apply(weights["weight_hh_l0"], self.factor)
            return functional_call(self, weights, (x, hx))
        finally:
            self.inside = False


def gradcheck_sees(factor, **options):
    """Whether gradcheck says that the gradient of the weight is wrong."""
    module = WrongLSTM(factor)
    x = torch.randn(6, 4, 5, dtype=torch.float64)

    def output(weight):
        own = {**dict(module.named_parameters()), "weight_hh_l0": weight}
        module.inside = True
        wrong = WrongEntry.apply(own["weight_hh_l0"], factor)
        y, _ = functional_call(module, {**own, "weight_hh_l0": wrong}, (x,))
        module.inside = False
        return y

    weight = module.weight_hh_l0.detach().clone().requires_grad_(True)
    return not gradcheck(output, (weight,), raise_exception=False, **options)


@pytest.mark.parametrize("factor", [2.0, 1.1, 1.001])
def test_the_fast_mode_of_gradcheck_sees_nothing(factor):
    assert not gradcheck_sees(factor, fast_mode=True)


def test_the_slow_mode_does_not_see_a_thousandth():
    assert gradcheck_sees(2.0, fast_mode=False)
    assert gradcheck_sees(1.01, fast_mode=False)
    assert not gradcheck_sees(1.001, fast_mode=False)


@pytest.mark.parametrize("factor", [2.0, 1.001, 1.00001])
def test_the_oracle_names_the_entry(factor):
    rng = np.random.default_rng(0)
    batch = RaggedBatch.from_sequences([rng.normal(size=(6, 5)) for _ in range(4)])
    report = check(WrongLSTM(factor), batch)
    (finding,) = report.failures
    assert finding.tensors == ("d_weight_hh_l0",)
    assert finding.words.startswith("1 of 256 elements differs")
    assert report.worst("d_weight_hh_l0").deviation.where == ENTRY


def test_the_same_module_without_the_error_agrees():
    assert check(WrongLSTM(1.0)).ok
