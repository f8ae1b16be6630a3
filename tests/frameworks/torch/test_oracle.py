"""The oracle on PyTorch: its modules agree, and wrong ones are found and called by their names."""

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.utils.rnn import pad_packed_sequence

import refrnn as rr
from refrnn.errors import UnsupportedCase
from refrnn.oracle import check, standard_problem
from refrnn.oracle.adapters import adapt
from refrnn.oracle.adapters.torch import modules

from .own_lstm import OwnLSTM

MODULES = dict(modules())


@pytest.fixture(autouse=True)
def _seed():
    torch.manual_seed(0)
    torch.set_num_threads(1)  # the batches are small


@pytest.mark.parametrize("name", MODULES)
def test_modules_of_pytorch_agree(name):
    report = check(MODULES[name])
    assert report.ok, str(report)
    assert not report.failures
    # all that differs is that nothing empty can be packed, and the rest of such a batch is checked
    assert all("refuses" in finding.words for finding in report.deliberate)
    assert {f.words for f in report.unchecked} <= {
        "PyTorch packs no mask with holes",
        "a cell is given steps, and they have no holes",
    }
    checked = {e.problem for e in report.entries if e.deviation is not None}
    assert len(checked) >= 11


@pytest.mark.filterwarnings("ignore:LSTM with projections is not supported with oneDNN")
@pytest.mark.parametrize("name", ["LSTM", "GRU", "RNN", "LSTM projected"])
def test_a_padded_batch_is_checked_where_nothing_is_padding(name):
    report = check(MODULES[name], packed=False)
    assert report.ok, str(report)
    assert report.semantics == "padded"
    assert any(f.words.startswith("a padded batch without lengths") for f in report.unchecked)


@pytest.mark.parametrize("layers", [1, 2])
@pytest.mark.parametrize("both", [False, True])
def test_batch_first_is_laid_out_as_the_module_has_it(layers, both):
    module = nn.GRU(3, 4, layers, bidirectional=both, batch_first=True)
    report = check(module, standard_problem("unsorted", adapt(module).network))
    assert report.ok, str(report)
    assert report.worst("output").deviation.where[2] < 8
    assert {"d_weight_hh_l0", f"d_bias_ih_l{layers - 1}"} <= set(report.tensors)


def random_module(rng):
    """Any of the three, with any options that go together."""
    kind = rng.choice([nn.RNN, nn.LSTM, nn.GRU])
    hidden = int(rng.integers(1, 9))
    options = {
        "num_layers": int(rng.integers(1, 4)),
        "bidirectional": bool(rng.integers(2)),
        "bias": bool(rng.integers(2)),
        "batch_first": bool(rng.integers(2)),
        "dtype": (torch.float32, torch.float64)[rng.integers(2)],
    }
    if kind is nn.RNN:
        options["nonlinearity"] = str(rng.choice(["tanh", "relu"]))
    if kind is nn.LSTM and hidden > 1 and rng.integers(2):
        options["proj_size"] = int(rng.integers(1, hidden))
    module = kind(int(rng.integers(1, 6)), hidden, **options)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.mul_(float(rng.choice([0.5, 1.0, 2.0])))
    return module


def test_200_random_modules(record_property):
    rng = np.random.default_rng(11)
    worst = 0.0
    for _ in range(200):
        report = check(random_module(rng))
        assert report.ok, str(report)
        worst = max(
            [worst, *(e.deviation.in_tolerances for e in report.entries if e.deviation is not None)]
        )
    record_property("worst_in_tolerances", worst)


def test_ones_own_module_agrees():
    for module in (OwnLSTM(3, 4), OwnLSTM(3, 4, bidirectional=True, dtype=torch.float64)):
        report = check(module)
        assert report.ok, str(report)


# bug: is it seen with one direction or two, and the words
PLANTED = {
    "gate order": (1, "with the forget and cell gate rows swapped it agrees"),
    "bias doubled": (1, "with b_hh added twice it agrees"),
    "W_hh transposed": (1, "with W_hh transposed it agrees"),
    "h_0 ignored": (1, "with initial states ignored it agrees"),
    "h_0 detached": (1, "it is zero everywhere: the gradient is dropped"),
    "gradient cut": (1, "with the gradient not carried from step to step it agrees"),
    "forget bias": (1, "with 1 added to the forget gate it agrees"),
    "not put back": (1, "with final states left in the order of sorted sequences it agrees"),
    "steps through padding": (1, "with the final state taken from the zero padding it agrees"),
    "reverse from padding": (
        2,
        "with the reverse direction started in the zero padding, not at the last valid step, it",
    ),
}


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("bug", PLANTED)
def test_a_planted_bug_is_called_by_its_name(bug, dtype):
    directions, words = PLANTED[bug]
    module = OwnLSTM(3, 4, bug=bug, bidirectional=directions == 2, dtype=dtype)
    report = check(module, standard_problem("unsorted", adapt(module).network))
    assert not report.ok
    assert report.failures[0].words.startswith(words), str(report)


def test_a_mask_that_is_multiplied_leaks_nan():
    class Leaking(OwnLSTM):
        """Its packed input is unpacked with NaN in the padding, as a buffer may hold."""

        def _run(self, x, lengths, *rest):
            padding = torch.arange(x.shape[0])[:, None] >= lengths
            return super()._run(x.masked_fill(padding[:, :, None], torch.nan), lengths, *rest)

    report = check(Leaking(3, 4, bug="mask multiplied"))
    assert not report.ok
    assert any("not finite" in f.words or "NaN" in f.words for f in report.failures)


def test_what_no_mistake_explains_is_described():
    report = check(OwnLSTM(3, 4, bug="c_n is squared"))
    assert not report.ok
    assert "c_n" in report.failures[0].tensors
    assert any("no mistake that was tried explains it" in f.words for f in report.failures)


def test_a_wrong_backward_of_ones_own_function():
    class Slip(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            return x.clone()

        @staticmethod
        def backward(ctx, d_y):
            d_x = d_y.clone()
            d_x[3, 2] *= 1.001
            return d_x

    class Slipping(nn.LSTM):
        def forward(self, packed, hx=None):
            kept = self.weight_hh_l0
            del self._parameters["weight_hh_l0"]
            self.weight_hh_l0 = Slip.apply(kept)
            try:
                flat = (self.weight_ih_l0, self.weight_hh_l0, self.bias_ih_l0, self.bias_hh_l0)
                result = torch.lstm(
                    packed.data,
                    packed.batch_sizes,
                    tuple(s[:, packed.sorted_indices] for s in hx),
                    flat,
                    True,
                    1,
                    0.0,
                    False,
                    False,
                )
            finally:
                del self.weight_hh_l0
                self._parameters["weight_hh_l0"] = kept
            output, h, c = result
            back = packed.unsorted_indices
            packed = type(packed)(output, packed.batch_sizes, packed.sorted_indices, back)
            return packed, (h[:, back], c[:, back])

    module = Slipping(3, 4, dtype=torch.float64)
    report = check(module, standard_problem("unsorted", adapt(module).network))
    (finding,) = report.failures
    assert finding.tensors == ("d_weight_hh_l0",)
    assert finding.words.startswith("1 of 64 elements differs")
    assert report.worst("d_weight_hh_l0").deviation.where == (3, 2)


def test_the_module_is_left_as_it_was():
    module = nn.LSTM(3, 4)
    module.weight_hh_l0.grad = torch.ones_like(module.weight_hh_l0)
    before = {name: p.detach().clone() for name, p in module.named_parameters()}
    generator = torch.get_rng_state()
    assert check(module).ok
    assert module.training
    assert torch.equal(torch.get_rng_state(), generator)
    assert (module.weight_hh_l0.grad == 1).all()
    assert module.weight_ih_l0.grad is None
    for name, p in module.named_parameters():
        assert torch.equal(p, before[name])


def test_frozen_parameters_are_unchecked_not_passed():
    module = nn.LSTM(3, 4)
    module.weight_hh_l0.requires_grad_(False)
    report = check(module)
    assert report.ok
    assert any("d_weight_hh_l0" in f.tensors for f in report.unchecked)


def test_a_custom_module_with_the_same_parameters():
    class Wrapped(nn.Module):
        def __init__(self):
            super().__init__()
            inner = nn.GRU(3, 4)
            for name, p in inner.named_parameters():
                self.register_parameter(name, p)
            self._inner = [inner]

        def forward(self, packed, hx=None):
            return self._inner[0](packed, hx)

    assert check(Wrapped()).ok


FINDINGS = {
    "a crash": (lambda out, h: 1 / 0, "crashed: ZeroDivisionError"),
    "a count": (lambda out, h: out, "crashed"),
    "a shape": (lambda out, h: (out, h[:, :-1]), "it has shape"),
    "a dtype": (lambda out, h: (out, h.double()), "it has dtype float64, expected float32"),
    "a list": (lambda out, h: (out, h.tolist()), "crashed"),
}


@pytest.mark.parametrize("what", FINDINGS)
def test_whatever_a_module_does_is_a_finding(what):
    change, words = FINDINGS[what]

    class Broken(nn.GRU):
        def forward(self, packed, hx=None):
            return change(*super().forward(packed, hx))

    report = check(Broken(3, 4))
    assert not report.ok
    assert any(words in f.words for f in report.failures), str(report)


def test_ones_own_batch():
    rng = np.random.default_rng(0)
    batch = rr.RaggedBatch.from_sequences(
        [rng.normal(size=(n, 3)).astype("float32") for n in (4, 2, 9)]
    )
    report = check(nn.LSTM(3, 4), batch)
    assert report.ok
    assert report.problems == ("batch",)


@pytest.mark.parametrize(
    ("subject", "options", "error", "words"),
    [
        (lambda: nn.Linear(3, 4), {}, TypeError, "expected weight_ih_l0"),
        (lambda: nn.LSTM(3, 4, 2, dropout=0.5), {}, UnsupportedCase, "drops out with p = 0.5"),
        (lambda: nn.LSTM(3, 4).half(), {}, UnsupportedCase, "dtype float16"),
        (lambda: nn.LSTM(3, 4), {"nonlinearity": "relu"}, TypeError, "None for a LSTM"),
        (lambda: nn.LSTM(3, 4), {"cell": 3}, TypeError, "cell"),
        (lambda: nn.LSTMCell(3, 4), {"packed": False}, TypeError, "a cell takes steps"),
    ],
)
def test_what_cannot_be_checked_is_refused(subject, options, error, words):
    with pytest.raises(error, match=words):
        check(subject(), **options)


def test_dropout_in_eval_mode_is_none():
    assert check(nn.LSTM(3, 4, 2, dropout=0.5).eval()).ok


def test_pad_packed_sequence_is_what_the_layout_says():
    """Independent of the adapter's own use of it."""
    module = nn.GRU(3, 4)
    problem = standard_problem("unsorted", adapt(module).network, "float32")
    got = adapt(module).run(problem)["output"]
    packed = nn.utils.rnn.pack_padded_sequence(
        torch.from_numpy(problem.padded_input(batch_first=False)),
        torch.from_numpy(problem.lengths.copy()),
        enforce_sorted=False,
    )
    output, _ = module(packed, torch.from_numpy(np.stack([s.h for s in problem.state_0])))
    np.testing.assert_array_equal(got, pad_packed_sequence(output)[0].detach().numpy())
