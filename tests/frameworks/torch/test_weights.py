"""``torch.nn`` with converted weights: results and autograd's gradients against the reference."""

from __future__ import annotations

from typing import Any

import pytest
import torch

import refrnn as rr
from refrnn.comparison import Case
from refrnn.oracle.weights import LAYOUTS

from ...oracle.agreement import Foreign, check, full_case, padded

CELLS = [
    ("RNN", rr.RNN(3, 4)),
    ("RNN", rr.RNN(3, 4, activation="relu", biases=0)),
    ("LSTM", rr.LSTM(3, 4)),
    ("LSTM", rr.LSTM(3, 4, biases=0)),
    ("LSTM", rr.LSTM(3, 4, proj_size=2)),
    ("GRU", rr.GRU(3, 4)),
    ("GRU", rr.GRU(3, 4, biases=0)),
]


def run(name: str, case: Case) -> Foreign:
    cell = case.cell
    options: dict[str, Any] = {"bias": cell.biases == 2}
    if isinstance(cell, rr.LSTM):
        options["proj_size"] = cell.proj_size
    if isinstance(cell, rr.RNN):
        options["nonlinearity"] = cell.activation.name
    dtype = getattr(torch, case.dtype.name)
    module = getattr(torch.nn, name)(cell.input_size, cell.hidden_size, dtype=dtype, **options)
    weights = LAYOUTS[f"torch.{name}"].to_foreign(cell, case.parameters)
    module.load_state_dict({f"{n}_l0": torch.from_numpy(a) for n, a in weights.items()})
    x, d_output = (torch.from_numpy(array) for array in padded(case))
    state_0 = [torch.from_numpy(array.copy())[None] for array in case.state_0]
    output, state = module(x, tuple(state_0) if len(state_0) == 2 else state_0[0])
    state_n = state if isinstance(state, tuple) else (state,)
    loss = (output * d_output).sum()
    for array, cotangent in zip(state_n, case.d_state_n, strict=True):
        loss = loss + (array[0] * torch.from_numpy(cotangent.copy())).sum()
    loss.backward()
    gradients = {
        parameter.removesuffix("_l0"): value.grad.numpy()
        for parameter, value in module.named_parameters()
    }
    return Foreign(
        output.detach().numpy(), [array[0].detach().numpy() for array in state_n], gradients
    )


# A projection takes another way through torch than the rest, and it says so.
@pytest.mark.filterwarnings("ignore:LSTM with projections is not supported with oneDNN")
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(("name", "cell"), CELLS, ids=str)
def test_torch_computes_what_refrnn_does(name: str, cell: Any, dtype: str) -> None:
    case = full_case(cell, dtype)
    check(LAYOUTS[f"torch.{name}"], case, run(name, case))


@pytest.mark.parametrize(("name", "cell"), CELLS, ids=str)
def test_the_cell_of_torchs_own_weights_computes_what_torch_does(name: str, cell: Any) -> None:
    layout = LAYOUTS[f"torch.{name}"]
    generator = torch.Generator().manual_seed(0)
    weights = {
        n: torch.empty(shape, dtype=torch.float64).normal_(generator=generator).numpy()
        for n, shape in layout.shapes(cell).items()
    }
    activation = {"activation": cell.activation} if isinstance(cell, rr.RNN) else {}
    assert layout.cell(weights, **activation) == cell
    case = full_case(cell)._replace(parameters=layout.from_foreign(cell, weights))
    check(layout, case, run(name, case))


@pytest.mark.parametrize(
    ("name", "cell"),
    [("RNN", rr.RNN(3, 4)), ("LSTM", rr.LSTM(3, 4)), ("GRU", rr.GRU(3, 4, biases=0))],
    ids=str,
)
def test_cells_of_torch_have_the_same_names(name: str, cell: Any) -> None:
    module = getattr(torch.nn, f"{name}Cell")(3, 4, bias=bool(cell.biases))
    shapes = {n: tuple(value.shape) for n, value in module.named_parameters()}
    assert shapes == LAYOUTS[f"torch.{name}"].shapes(cell)
