"""The documentation's layer for PyTorch: its gradients, equality with torch.nn, training."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from torch.autograd.gradcheck import GradcheckError
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence, pack_sequence

import refrnn as rr
from refrnn.cases import random_case
from refrnn.comparison import Case, Results
from refrnn.interop import from_packed_sequence, to_packed_sequence
from refrnn.testing import assert_matches_reference

UNROLLS = ("lanes", "packed")
POSITIVE, WITH_ZERO = (3, 5, 1, 5), (2, 0, 3)

# what torch.nn has too, and how it is asked for it
NN_CELLS = {
    "rnn": (rr.RNN(3, 4), torch.nn.RNN, {}),
    "rnn_relu": (rr.RNN(3, 4, activation="relu"), torch.nn.RNN, {"nonlinearity": "relu"}),
    "rnn_no_bias": (rr.RNN(3, 4, biases=0), torch.nn.RNN, {"bias": False}),
    "lstm": (rr.LSTM(3, 4), torch.nn.LSTM, {}),
    "lstm_projection": (rr.LSTM(3, 4, proj_size=2), torch.nn.LSTM, {"proj_size": 2}),
    "gru": (rr.GRU(3, 4), torch.nn.GRU, {}),
}
OTHER_CELLS = {
    "peepholes": rr.LSTM(2, 3, peepholes=True),
    "one_bias": rr.LSTM(2, 3, biases=1),
    "reset_before": rr.GRU(2, 3, reset_after=False),
}


def load_example() -> ModuleType:
    """The example of the documentation, as a module."""
    path = Path(__file__).parents[3] / "docs" / "examples" / "torch_function.py"
    spec = importlib.util.spec_from_file_location("example_torch_function", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # where autograd looks for the class
    spec.loader.exec_module(module)
    return module


example = load_example()


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    """Tensors of a few numbers gain nothing from threads, which wait for one another."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(autouse=True)
def same_numbers() -> None:
    torch.manual_seed(0)


def make_case(cell: Any, lengths: Any, dtype: str = "float64", reverse: bool = False) -> Case:
    rng = np.random.default_rng(7)
    batch = rr.RaggedBatch(rng.normal(size=(sum(lengths), cell.input_size)), lengths)
    return random_case(cell, batch, rng, reverse=reverse).astype(dtype)


def make_layer(case: Case, unroll: Any, **options: Any) -> torch.nn.Module:
    """The layer with the parameters of a case."""
    dtype = getattr(torch, case.dtype.name)
    layer: torch.nn.Module
    layer = example.RaggedLayer(
        case.cell, reverse=case.reverse, unroll=unroll, dtype=dtype, **options
    )
    load(layer, case)
    return layer


def load(layer: torch.nn.Module, case: Case) -> None:
    """Copy the parameters of a case, which have the order of the layer's."""
    with torch.no_grad():
        for parameter, array in zip(layer.parameters(), case.parameters.values(), strict=True):
            parameter.copy_(torch.tensor(array))


def leaves_of(state: Any) -> list[torch.Tensor]:
    """A state in PyTorch's shape, as leaves."""
    return [torch.tensor(a[None], requires_grad=True) for a in state]


def hx_of(leaves: list[torch.Tensor]) -> Any:
    return leaves[0] if len(leaves) == 1 else tuple(leaves)


def name_results(
    case: Case, layer: torch.nn.Module, rows: Any, d_input: Any, state: Any, state_n: Any
) -> Results:
    """What came out, under refrnn's names."""
    names = case.cell.state_names
    parts = state_n if isinstance(state_n, tuple) else (state_n,)
    results = {"output": rows, "d_input": d_input}
    results.update({f"{n}_n": p.detach()[0] for n, p in zip(names, parts, strict=True)})
    results.update({f"d_{n}_0": s.grad[0] for n, s in zip(names, state, strict=True)})
    gradients = [p.grad for p in layer.parameters()]
    results.update({f"d_{n}": g for n, g in zip(case.parameters, gradients, strict=True)})
    return {name: np.asarray(array) for name, array in results.items()}


def run_packed(case: Case, layer: torch.nn.Module) -> Results:
    """Forward and backward of a layer, ours or torch's, on a PackedSequence."""
    packed = to_packed_sequence(case.batch)
    x, state = packed.data.requires_grad_(), leaves_of(case.state_0)
    output, state_n = layer(packed, hx_of(state))
    assert isinstance(output, PackedSequence)
    assert case.d_output is not None
    d_output = to_packed_sequence(case.batch.with_values(case.d_output)).data
    parts = state_n if isinstance(state_n, tuple) else (state_n,)
    d_state_n = [torch.tensor(d[None]) for d in case.d_state_n]
    torch.autograd.backward([output.data, *parts], [d_output, *d_state_n])
    rows = from_packed_sequence(output).values
    d_input = from_packed_sequence(packed._replace(data=x.grad)).values
    return name_results(case, layer, rows, d_input, state, state_n)


def run_padded(case: Case, layer: Any, batch_first: bool) -> Results:
    """Forward and backward of a layer on a padded tensor full of NaN, two steps too long."""
    longest = case.batch.max_length + 2
    x = torch.tensor(case.batch.to_padded(batch_first, np.nan, longest), requires_grad=True)
    state = leaves_of(case.state_0)
    output, state_n = layer(x, hx_of(state), lengths=case.lengths)
    assert case.d_output is not None
    d_rows = case.batch.with_values(case.d_output)
    d_output = torch.tensor(d_rows.to_padded(batch_first, 7.0, longest))  # padding is nobody's
    parts = state_n if isinstance(state_n, tuple) else (state_n,)
    d_state_n = [torch.tensor(d[None]) for d in case.d_state_n]
    torch.autograd.backward([output, *parts], [d_output, *d_state_n])
    assert x.grad is not None
    for padded in (output.detach(), x.grad):
        inside = rr.RaggedBatch.from_padded(padded.numpy(), case.lengths, batch_first)
        assert np.array_equal(inside.to_padded(batch_first, 0.0, longest), padded.numpy())
    rows, d_input = (
        rr.RaggedBatch.from_padded(t.detach().numpy(), case.lengths, batch_first).values
        for t in (output, x.grad)
    )
    return name_results(case, layer, rows, d_input, state, state_n)


# --- the gradients --------------------------------------------------------------------------------


def assert_gradients(cell: Any, unroll: Any, lengths: Any, reverse: bool = False) -> None:
    """Hold the function to finite differences, one entry of one argument after the other."""
    case = make_case(cell, lengths, reverse=reverse)
    walk = example.Walk(cell, case.lengths, reverse, unroll)
    arrays = (case.values, *case.state_0, *case.parameters.values())
    # NumPy's empty arrays have strides of 0, which gradcheck refuses
    tensors = [torch.zeros(a.shape, dtype=torch.float64).copy_(torch.tensor(a)) for a in arrays]
    for tensor in tensors:
        tensor.requires_grad_()
    torch.autograd.gradcheck(
        lambda *given: example.RaggedFunction.apply(walk, *given), tensors, fast_mode=False
    )


@pytest.mark.parametrize("unroll", UNROLLS)
@pytest.mark.parametrize(
    ("cell", "reverse"), [("rnn", True), ("lstm_projection", True), ("gru", False)]
)
def test_gradcheck_passes(cell: str, reverse: bool, unroll: str) -> None:
    assert_gradients(NN_CELLS[cell][0], unroll, WITH_ZERO, reverse)


@pytest.mark.parametrize("unroll", UNROLLS)
@pytest.mark.parametrize("cell", OTHER_CELLS)
def test_gradcheck_passes_with_what_torch_does_not_have(cell: str, unroll: str) -> None:
    assert_gradients(OTHER_CELLS[cell], unroll, (2, 0, 3))


@pytest.mark.parametrize("lengths", [(), (0, 0)], ids=str)
def test_gradcheck_passes_without_a_step(lengths: Any) -> None:
    assert_gradients(rr.GRU(2, 3), "lanes", lengths)


class Planted(rr.Lanes):
    """Right forward, and one thing wrong on the way back."""

    name = "planted"

    def __init__(self, what: str) -> None:
        super().__init__()
        self.what = what

    def backward(self, tape: Any, d_output: Any, d_state_n: Any) -> rr.Gradients:
        if self.what == "d_c_n is ignored":
            d_state_n = d_state_n._replace(c=np.zeros_like(d_state_n.c))
        gradients = super().backward(tape, d_output, d_state_n)
        if self.what == "one entry of d_W_hh is a tenth too large":
            arrays = {name: array.copy() for name, array in gradients.parameters.items()}
            arrays["W_hh"][5, 1] *= 1.1
            return gradients._replace(parameters=rr.CellParameters(arrays))
        if self.what == "one row of d_input is zero":
            rows = gradients.input.values.copy()
            rows[2] = 0
            return gradients._replace(input=gradients.input.with_values(rows))
        if self.what == "d_h_0 is lost at length 0":
            h = gradients.state_0.h.copy()
            h[1] = 0
            return gradients._replace(state_0=gradients.state_0._replace(h=h))
        return gradients


@pytest.mark.parametrize(
    "what",
    [
        "d_c_n is ignored",
        "one entry of d_W_hh is a tenth too large",
        "one row of d_input is zero",
        "d_h_0 is lost at length 0",
    ],
)
def test_a_planted_bug_is_found(what: str) -> None:
    with pytest.raises(GradcheckError, match="Jacobian mismatch"):
        assert_gradients(rr.LSTM(2, 3), Planted(what), WITH_ZERO)
    case = make_case(rr.LSTM(2, 3), WITH_ZERO)
    with pytest.raises(AssertionError, match="arrays are wrong"):
        assert_matches_reference(case, run_padded(case, make_layer(case, Planted(what)), False))


def test_nothing_planted_is_not_found() -> None:
    assert_gradients(rr.LSTM(2, 3), Planted("nothing"), WITH_ZERO)


# --- equality -------------------------------------------------------------------------------------


@pytest.mark.parametrize("unroll", UNROLLS)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", NN_CELLS)
def test_equals_torch_on_packed_sequences(name: str, dtype: str, unroll: str) -> None:
    """Both lie within the tolerance of one reference: outputs, states and every gradient."""
    cell, make, options = NN_CELLS[name]
    case = make_case(cell, POSITIVE, dtype)
    ours = make_layer(case, unroll)
    theirs = make(3, 4, dtype=getattr(torch, dtype), **options)
    theirs.load_state_dict(ours.state_dict())
    ours.load_state_dict(theirs.state_dict())
    found = run_packed(case, ours), run_packed(case, theirs)
    for results in found:
        assert_matches_reference(case, results)


@pytest.mark.parametrize("unroll", UNROLLS)
@pytest.mark.parametrize("batch_first", [False, True])
@pytest.mark.parametrize("name", ["lstm_projection", "gru"])
def test_padded_input_is_the_same_and_padding_reaches_nothing(
    name: str, batch_first: bool, unroll: str
) -> None:
    for reverse in (False, True):
        case = make_case(NN_CELLS[name][0], WITH_ZERO, reverse=reverse)
        layer = make_layer(case, unroll, batch_first=batch_first)
        assert_matches_reference(case, run_padded(case, layer, batch_first))


@pytest.mark.parametrize("unroll", UNROLLS)
def test_two_directions_are_those_of_torch(unroll: str) -> None:
    both = torch.nn.LSTM(3, 4, bidirectional=True, dtype=torch.float64)
    case = make_case(rr.LSTM(3, 4), POSITIVE)
    packed = to_packed_sequence(case.batch)
    expected, (h_n, c_n) = both(packed)
    for direction, reverse in enumerate((False, True)):
        layer = make_layer(case._replace(reverse=reverse), unroll)
        layer.load_state_dict({n: both.state_dict()[n] for n in layer.state_dict()})
        output, state_n = layer(packed)
        half = expected.data[:, 4 * direction : 4 * direction + 4]
        torch.testing.assert_close(output.data, half, rtol=0, atol=1e-14)
        torch.testing.assert_close(state_n[0][0], h_n[direction], rtol=0, atol=1e-14)
        torch.testing.assert_close(state_n[1][0], c_n[direction], rtol=0, atol=1e-14)


def test_a_packed_sequence_that_was_sorted_is_taken() -> None:
    case = make_case(rr.GRU(3, 4), (5, 3, 1))
    layer = make_layer(case, "lanes")
    x = torch.tensor(case.batch.to_padded())
    packed = pack_padded_sequence(x, torch.tensor(case.lengths), enforce_sorted=True)
    assert packed.unsorted_indices is None
    output, h_n = layer(packed)
    padded, also = layer(x, lengths=case.lengths)
    assert output.unsorted_indices is None
    assert torch.equal(from_packed(output, case), from_padded(padded, case))
    assert torch.equal(h_n, also)


def from_packed(output: PackedSequence, case: Case) -> torch.Tensor:
    return torch.tensor(from_packed_sequence(output._replace(data=output.data.detach())).values)


def from_padded(output: torch.Tensor, case: Case) -> torch.Tensor:
    return torch.tensor(rr.RaggedBatch.from_padded(output.detach().numpy(), case.lengths).values)


@pytest.mark.parametrize("name", NN_CELLS)
def test_a_seed_draws_the_weights_of_torch(name: str) -> None:
    cell, make, options = NN_CELLS[name]
    torch.manual_seed(3)
    ours = example.RaggedLayer(cell).state_dict()
    torch.manual_seed(3)
    theirs = make(3, 4, **options).state_dict()
    assert list(ours) == list(theirs)
    assert all(torch.equal(ours[key], theirs[key]) for key in ours)


# --- autograd -------------------------------------------------------------------------------------


def test_the_second_derivative_is_refused() -> None:
    case = make_case(rr.GRU(3, 4), POSITIVE)
    layer = make_layer(case, "lanes")
    x = to_packed_sequence(case.batch)
    x.data.requires_grad_()
    output, _ = layer(x)
    message = "create_graph has value True, expected False: refrnn derives once"
    for loss in (output.data.sum(), output.data.square().sum()):
        with pytest.raises(RuntimeError, match=message):
            torch.autograd.grad(loss, [x.data], create_graph=True)


def test_only_what_is_asked_for_gets_a_gradient() -> None:
    case = make_case(rr.LSTM(3, 4), POSITIVE)
    layer = make_layer(case, "lanes")
    layer.weight_hh_l0.requires_grad_(False)
    packed = to_packed_sequence(case.batch)
    output, (_, c_n) = layer(packed)
    (output.data.sum() + c_n.sum()).backward()
    assert layer.weight_hh_l0.grad is None
    assert layer.weight_ih_l0.grad is not None
    assert packed.data.grad is None
    with torch.no_grad():
        assert not layer(packed)[0].data.requires_grad


def test_backward_is_that_of_the_run_whatever_happened_since() -> None:
    case = make_case(rr.LSTM(3, 4), POSITIVE)
    layer = make_layer(case, "lanes")
    packed = to_packed_sequence(case.batch)
    output, _ = layer(packed)
    loss = output.data.square().sum()
    loss.backward(retain_graph=True)
    first = [p.grad.clone() for p in layer.parameters()]
    layer.zero_grad()
    with torch.no_grad():
        packed.data.zero_()
        for parameter in layer.parameters():
            parameter.zero_()
    loss.backward()
    assert all(torch.equal(p.grad, g) for p, g in zip(layer.parameters(), first, strict=True))


# --- arguments ------------------------------------------------------------------------------------


def test_bad_arguments_are_refused() -> None:
    case = make_case(rr.LSTM(3, 4), POSITIVE)
    layer = make_layer(case, "lanes")
    packed, padded = to_packed_sequence(case.batch), torch.tensor(case.batch.to_padded())
    state = torch.zeros(1, 4, 4, dtype=torch.float64)
    for kind, message, arguments in (
        (ValueError, "lengths has a value, expected None beside a Packed", (packed, None, [5])),
        (ValueError, "lengths has value None, expected one a sequence", (padded,)),
        (ValueError, r"lengths\[1\] has value 6, expected a length <= T", (padded, None, [1, 6])),
        (ValueError, "lengths has 2 values, expected B = 4", (padded, None, [1, 5])),
        (ValueError, r"input has shape \(5, 4\), expected three dim", (padded[..., 0], None, [5])),
        (TypeError, "hx has type Tensor, expected 2 Tensors", (packed, state)),
        (ValueError, r"h_0 has shape \(4, 4\), expected \(1, B, size\) =", (packed, state[:, 0:4])),
        (TypeError, "expected float64 as params", (pack_sequence([torch.ones(2, 3)]),)),
        (TypeError, "a tensor has device meta, expected cpu", (padded.to("meta"), None, [5] * 4)),
    ):
        if "h_0" in message:
            arguments = (packed, (state[0], state[0]))
        with pytest.raises(kind, match=message):
            layer(*arguments)
    with pytest.raises(TypeError, match="hx has type tuple, expected a Tensor"):
        make_layer(make_case(rr.GRU(3, 4), POSITIVE), "lanes")(packed, (state,))


# --- training -------------------------------------------------------------------------------------


@pytest.mark.parametrize("unroll", UNROLLS)
def test_training_on_japanese_vowels_lowers_the_loss_and_is_that_of_torch(unroll: str) -> None:
    sequences, labels = example.vowels("train", torch.float64)
    sequences, labels = sequences[::3], labels[::3]

    def losses(layer: torch.nn.Module) -> list[float]:
        torch.manual_seed(1)
        model = example.Classifier(layer, 16, 9)
        found: list[float] = example.train(model, sequences, labels, epochs=3)
        return found

    ours = example.RaggedLayer(rr.LSTM(12, 16), unroll=unroll, dtype=torch.float64)
    theirs = torch.nn.LSTM(12, 16, dtype=torch.float64)
    theirs.load_state_dict(ours.state_dict())
    first, second, third = losses(ours)
    assert first < np.log(9)  # what guessing gives
    assert third < second < first
    assert losses(theirs) == pytest.approx([first, second, third], rel=0, abs=1e-10)
