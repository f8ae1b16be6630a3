"""PyTorch's LSTM, GRU and RNN as peers. Imported only in a process of their own.

The peer is given every advantage that a user could give it: its input is packed (or padded) and
sorted beforehand, its output is left as it is, and forward alone runs in inference mode, where no
graph is built. Forward and backward together differentiate by the input and every parameter, with
the same cotangent as everybody else.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import Any

import numpy as np

from ..cells import GRU, LSTM, RNN
from ..comparison import Case
from ..packing import PackedSequence, pack, unpack
from ..types import Array

__all__ = ["TorchRunner", "prepare"]


class TorchRunner:
    """A case in ``torch.nn``.

    Parameters
    ----------
    case : Case
        Its cell must be one that :func:`prepare` accepts.
    padded : bool
        Step all B*T padded rows of a (T, B, I) tensor instead of a PackedSequence. The cotangent
        of padding is zero. The final state is then the one after the padding, and not compared.
    """

    def __init__(self, case: Case, padded: bool) -> None:
        self._torch: Any = importlib.import_module("torch")
        self._case = case
        self._padded = padded
        self._module = _module(self._torch, case)
        batch, torch = case.batch, self._torch
        if case.d_output is None:
            raise ValueError("case has no d_output, expected one to pull back")
        cotangent = batch.with_values(case.d_output)
        self._wrap: Any = lambda x: x
        if padded:
            self._x = torch.tensor(batch.to_padded())
            self._d_output = torch.tensor(cotangent.to_padded())
        else:
            data, *layout = pack(batch)
            self._layout = layout
            self._x = torch.tensor(data)
            self._d_output = torch.tensor(pack(cotangent).data)
            indices = [torch.tensor(index) for index in layout]
            rnn: Any = importlib.import_module("torch.nn.utils.rnn")
            self._wrap = lambda x: rnn.PackedSequence(x, *indices)
        self._leaf = self._x.clone().requires_grad_()
        self._parameters = list(self._module.parameters())

    def forward(self) -> Any:
        """Forward without a graph."""
        with self._torch.inference_mode():
            return self._module(self._wrap(self._x))

    def forward_backward(self) -> Any:
        """Forward with a graph, then the gradients by input and parameters."""
        output, state = self._module(self._wrap(self._leaf))
        values = output if self._padded else output.data
        gradients = self._torch.autograd.grad(
            values, [self._leaf, *self._parameters], self._d_output
        )
        return values, state, gradients

    def results(self) -> Mapping[str, Array]:
        """As :meth:`refrnn.bench.contestants.Prepared.results`."""
        values, state, gradients = self.forward_backward()
        named = {"output": self._ragged(values), "d_input": self._ragged(gradients[0])}
        names = list(self._case.cell.parameter_shapes())
        named.update({f"d_{n}": g.numpy() for n, g in zip(names, gradients[1:], strict=True)})
        if not self._padded:
            parts = state if isinstance(state, tuple) else (state,)
            letters = self._case.cell.state_names
            named.update(
                {f"{n}_n": s.detach().numpy()[0] for n, s in zip(letters, parts, strict=True)}
            )
        return named

    def facts(self) -> Mapping[str, Any]:
        """As :meth:`refrnn.bench.contestants.Prepared.facts`."""
        batch = self._case.batch
        padded = batch.max_length * batch.batch_size
        return {
            "computed_steps": padded if self._padded else batch.total_steps,
            "versions": {"torch": self._torch.__version__, "numpy": np.__version__},
            "threads": self._torch.get_num_threads(),
        }

    def _ragged(self, values: Any) -> Array:
        """The rows of a result in the order of the batch."""
        array: Array = values.detach().numpy()
        batch = self._case.batch
        if self._padded:
            return np.concatenate([array[:n, b] for b, n in enumerate(batch.lengths.tolist())])
        return unpack(PackedSequence(array, *self._layout)).values


def prepare(case: Case, threads: int, *, padded: bool) -> TorchRunner | str:
    """A runner, or the reason why ``torch.nn`` has no such cell.

    Parameters
    ----------
    case : Case
    threads : int
        For ``torch.set_num_threads``.
    padded : bool
        As in :class:`TorchRunner`.
    """
    reason = _lacks(case)
    if reason is not None:
        return reason
    torch: Any = importlib.import_module("torch")
    torch.set_num_threads(threads)
    return TorchRunner(case, padded)


def _lacks(case: Case) -> str | None:
    """What of this cell torch.nn does not have."""
    cell = case.cell
    if case.reverse:
        return "torch.nn has the reverse direction beside the other only"
    allowed: dict[type, set[str]] = {
        LSTM: {"biases", "proj_size"},
        GRU: {"biases"},
        RNN: {"biases", "activation"},
    }
    options = cell.options()
    changed = {n for n, value in options.items() if value != cell._DEFAULTS[n]}
    unknown = sorted(changed - allowed[type(cell)])
    if unknown:
        return f"torch.nn has no {type(cell).__name__} with {', '.join(unknown)}"
    if cell.biases == 1:
        return "torch.nn has two biases or none"
    if isinstance(cell, RNN) and cell.activation.name not in ("tanh", "relu"):
        return f"torch.nn.RNN has tanh and relu, not {cell.activation.name}"
    return None


def _module(torch: Any, case: Case) -> Any:
    """The module with the weights of the case."""
    cell = case.cell
    options: dict[str, Any] = {"bias": cell.biases == 2}
    if isinstance(cell, RNN):
        options["nonlinearity"] = cell.activation.name
    if isinstance(cell, LSTM):
        options["proj_size"] = cell.proj_size
    dtype = getattr(torch, case.dtype.name)
    make = getattr(torch.nn, type(cell).__name__)
    module = make(cell.input_size, cell.hidden_size, dtype=dtype, **options)
    suffixed = {
        f"{name.replace('W_', 'weight_').replace('b_', 'bias_')}_l0": torch.tensor(array)
        for name, array in case.parameters.items()
    }
    module.load_state_dict(suffixed)
    return module
