"""PyTorch: nn.RNN, LSTM and GRU, their cells, and modules with the same parameters.

The module is called as its users call it, with a PackedSequence or a padded batch, on the device
and in the dtype that it is on. Gradients come from ``torch.autograd.grad``, so that ``.grad`` of
the parameters is neither read nor written.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from ...cells import GRU, LSTM, RNN
from ...errors import UnsupportedCase
from ...parameters import CellParameters
from ...types import Array
from ...unroll.base import AnyCell, State
from ..network import Network, Results
from ..padded import expected_d_input, expected_output
from ..problem import Problem
from ..semantics import LAW, PROFILES, Semantics
from ..subject import Expected, Subject

__all__ = ["adapt", "modules"]

# refrnn's name of a parameter, and PyTorch's
_NAMES = {
    "W_ih": "weight_ih",
    "W_hh": "weight_hh",
    "b_ih": "bias_ih",
    "b_hh": "bias_hh",
    "W_hr": "weight_hr",
}
_KINDS: dict[int, type[Any]] = {1: RNN, 3: GRU, 4: LSTM}


def adapt(
    module: Any,
    *,
    packed: bool = True,
    batch_first: bool | None = None,
    nonlinearity: str | None = None,
) -> Subject:
    """A subject of a module of PyTorch.

    Parameters
    ----------
    module : torch.nn.Module
        An ``nn.RNN``, ``nn.LSTM`` or ``nn.GRU``, a subclass of one, or any module whose parameters
        have the same names and that is called the same way; or one of the three cells, which is
        stepped along every sequence.
    packed : bool
        Call it with a PackedSequence (``enforce_sorted=False``), or with a padded batch, which
        suits only problems without padding. Not of a cell.
    batch_first : bool, optional
        Which axis of a padded batch is the first; what the module says itself, else False.
    nonlinearity : {"tanh", "relu"}, optional
        Of an RNN that does not say it itself.

    Returns
    -------
    Subject
        Profile ``packed`` for PackedSequences: PyTorch refuses to pack a length of 0.

    Raises
    ------
    TypeError
        If it is no module, or has no parameters of these names.
    UnsupportedCase
        If it drops out at random, or its dtype is neither float32 nor float64.
    """
    import torch

    if not isinstance(module, torch.nn.Module):
        raise TypeError(f"subject has type {type(module).__name__}, expected a torch.nn.Module")
    found = dict(module.named_parameters())
    is_cell = "weight_ih" in found
    if is_cell:
        if batch_first is not None or not packed:
            raise TypeError("packed and batch_first say how a batch is padded: a cell takes steps")
        return _CellSubject(module, nonlinearity)
    if "weight_ih_l0" not in found:
        raise TypeError(
            f"{type(module).__name__} has parameters {sorted(found)}, expected weight_ih_l0, "
            "weight_hh_l0, ... as torch.nn.LSTM has"
        )
    return _LayerSubject(module, packed, batch_first, nonlinearity)


def modules() -> Iterator[tuple[str, Any]]:
    """PyTorch's own recurrent modules, one of each kind: what ``refrnn check torch`` runs."""
    import torch
    from torch import nn

    generator = torch.get_rng_state()
    torch.manual_seed(0)
    try:
        yield "RNN", nn.RNN(3, 5)
        yield "RNN relu", nn.RNN(3, 5, nonlinearity="relu")
        yield "LSTM", nn.LSTM(3, 5)
        yield "LSTM stacked", nn.LSTM(3, 5, num_layers=2, bidirectional=True, batch_first=True)
        yield "LSTM projected", nn.LSTM(3, 5, proj_size=2)
        yield "LSTM without bias", nn.LSTM(3, 5, bias=False)
        yield "LSTM float64", nn.LSTM(3, 5, dtype=torch.float64)
        yield "GRU", nn.GRU(3, 5)
        yield "GRU stacked", nn.GRU(3, 5, num_layers=2, bidirectional=True)
        yield "GRU float64", nn.GRU(3, 5, dtype=torch.float64)
        yield "RNNCell", nn.RNNCell(3, 5)
        yield "LSTMCell", nn.LSTMCell(3, 5)
        yield "GRUCell", nn.GRUCell(3, 5)
    finally:
        torch.set_rng_state(generator)


class _TorchSubject:
    """What layers and cells share: tensors in and out, parameters by name."""

    network: Network
    semantics: Semantics

    def __init__(self, module: Any) -> None:
        first = next(module.parameters())
        self._module = module
        self._device = first.device
        self._tensor_dtype = first.dtype
        if first.device.type == "meta":
            raise UnsupportedCase("the module is on the device meta, where weights have no numbers")
        name = str(first.dtype).removeprefix("torch.")
        if name not in ("float32", "float64"):
            raise UnsupportedCase(f"the module has dtype {name}, expected float32 or float64")
        self.dtype = np.dtype(name)
        if getattr(module, "dropout", 0) and module.training and self._num_layers() > 1:
            raise UnsupportedCase(
                f"the module drops out with p = {module.dropout} and is in training mode: its "
                "results are random. Call module.eval() before"
            )

    @property
    def title(self) -> str:
        """The module as PyTorch prints it."""
        return " ".join(f"torch {self._module!r} on {self._device}".split())

    def parameters(self) -> tuple[CellParameters, ...]:
        """The weights, by run."""
        own = dict(self._module.named_parameters())
        return tuple(
            CellParameters(
                {
                    name: _array(own[self._foreign_name(name, run)])
                    for name in self.network.cell(run).parameter_shapes()
                }
            )
            for run in range(self.network.num_runs)
        )

    def run(self, problem: Problem) -> Mapping[str, Any]:
        """Run a problem with gradients and in the module's own dtype, whatever is switched on.

        TF32, which cuDNN uses for float32 unless told not to, has ten bits, and is off meanwhile.
        """
        import torch

        own = torch.backends.cudnn
        flags = {
            "enabled": own.enabled,
            "benchmark": own.benchmark,
            "deterministic": own.deterministic,
        }
        products = torch.backends.cuda.matmul
        allowed = products.allow_tf32
        products.allow_tf32 = False
        try:
            with (
                own.flags(**flags, allow_tf32=False),
                torch.inference_mode(False),
                torch.enable_grad(),
            ):
                return self._run(problem)
        finally:
            products.allow_tf32 = allowed

    def _run(self, problem: Problem) -> dict[str, Any]:
        raise NotImplementedError

    def _foreign_name(self, name: str, run: int) -> str:
        """PyTorch's name of a parameter."""
        raise NotImplementedError

    def _num_layers(self) -> int:
        return 1

    def _leaf(self, array: Array) -> Any:
        """An array as a tensor on the module's device that collects a gradient.

        A view with gaps stays one: PyTorch takes any positive strides.
        """
        import torch

        tensor = torch.from_numpy(array if array.size else np.ascontiguousarray(array))
        return tensor.to(self._device).requires_grad_(True)

    def _constant(self, array: Array) -> Any:
        import torch

        return torch.from_numpy(np.ascontiguousarray(array)).to(self._device)

    def _gradients(
        self, pairs: Sequence[tuple[Any, Any]], leaves: Mapping[str, Any]
    ) -> dict[str, Any]:
        """Gradients of <outputs, cotangents> by the leaves and by the parameters."""
        import torch

        own = dict(self._module.named_parameters())
        if any(y.shape != d_y.shape for y, d_y in pairs):
            return {}  # the shape is the finding; there is nothing to differentiate
        names, tensors = [*leaves, *own], [*leaves.values(), *own.values()]
        wanted = [(name, tensor) for name, tensor in zip(names, tensors, strict=True)]
        wanted = [(name, tensor) for name, tensor in wanted if tensor.requires_grad]
        pairs = [(y, d_y) for y, d_y in pairs if y.requires_grad]
        gradients = torch.autograd.grad(
            [y for y, _ in pairs],
            [tensor for _, tensor in wanted],
            [d_y for _, d_y in pairs],
            allow_unused=True,
        )
        return {
            f"d_{name}": np.zeros(tuple(tensor.shape), self.dtype) if g is None else _array(g)
            for (name, tensor), g in zip(wanted, gradients, strict=True)
        }

    def _present_parameters(self, results: Results) -> dict[str, Expected]:
        return {
            f"d_{self._foreign_name(name, run)}": Expected(array)
            for run, gradient in enumerate(results.d_parameters)
            for name, array in gradient.items()
        }


class _LayerSubject(_TorchSubject):
    """nn.RNN, nn.LSTM, nn.GRU, or what has their parameters."""

    def __init__(
        self, module: Any, packed: bool, batch_first: bool | None, nonlinearity: str | None
    ) -> None:
        super().__init__(module)
        own = bool(getattr(module, "batch_first", False))
        self._packed = packed
        self._batch_first = own if batch_first is None else batch_first
        self.network = _network(module, nonlinearity)
        self.semantics = PROFILES["packed" if packed else "padded"]

    def _num_layers(self) -> int:
        names = dict(self._module.named_parameters())
        return 1 + max(
            int(found.group(1)) for found in map(_LAYER.match, names) if found is not None
        )

    def _foreign_name(self, name: str, run: int) -> str:
        layer, direction = divmod(run, self.network.num_directions)
        return f"{_NAMES[name]}_l{layer}{'_reverse' * direction}"

    def supports(self, problem: Problem) -> str | None:
        """What packing can express; a padded batch alone has no lengths to keep."""
        if self._packed and problem.has_holes:
            return "PyTorch packs no mask with holes"
        if not self._packed and not problem.mask.all():
            return "a padded batch without lengths: the module cannot know its padding"
        return None

    def _run(self, problem: Problem) -> dict[str, Any]:
        """Call the module and differentiate."""
        x = self._leaf(problem.padded_input(self._batch_first))
        states = self._states(problem)
        given = {} if problem.default_state else states
        output, finals = self._call(x, problem, list(given.values()))
        pairs = [(output, self._constant(problem.padded_cotangent(self._batch_first)))]
        pairs += zip(finals, map(self._constant, _stacked(problem.d_state_n)), strict=True)
        leaves = {"input": x, **given}
        letters = self.network.cells[0].state_names
        named = {f"{n}_n": _array(f) for n, f in zip(letters, finals, strict=True)}
        return {"output": _array(output), **named, **self._gradients(pairs, leaves)}

    def _states(self, problem: Problem) -> dict[str, Any]:
        """The initial states as (L*D, B, size) tensors."""
        letters = self.network.cells[0].state_names
        arrays = _stacked(problem.state_0)
        return {f"{n}_0": self._leaf(a) for n, a in zip(letters, arrays, strict=True)}

    def _call(self, x: Any, problem: Problem, states: list[Any]) -> tuple[Any, list[Any]]:
        """Run the module; the output padded again."""
        import torch
        from torch.nn.utils.rnn import (
            PackedSequence,
            pack_padded_sequence,
            pad_packed_sequence,
        )

        argument = x
        if self._packed:
            lengths = torch.from_numpy(problem.lengths.copy())
            argument = pack_padded_sequence(x, lengths, self._batch_first, enforce_sorted=False)
        is_lstm = len(self.network.cells[0].state_names) == 2
        hx = (tuple(states) if is_lstm else states[0]) if states else None
        output, finals = _pair(self._module(argument, hx), "output and final state")
        if self._packed:
            if not isinstance(output, PackedSequence):
                kind = type(output).__name__
                raise TypeError(f"the output has type {kind}, expected a PackedSequence")
            output, _ = pad_packed_sequence(
                output, self._batch_first, total_length=problem.num_steps
            )
        finals = _pair(finals, "h_n and c_n") if is_lstm else [finals]
        return output, [_tensor(f, "a final state") for f in finals]

    def present(
        self, results: Results, problem: Problem, semantics: Semantics
    ) -> Mapping[str, Expected]:
        """PyTorch's names; states stacked (L*D, B, size)."""
        letters = self.network.cells[0].state_names
        named = {
            "output": expected_output(results, problem, semantics, batch_first=self._batch_first)
        }
        finals = _stacked(results.state_n)
        named.update({f"{n}_n": Expected(a) for n, a in zip(letters, finals, strict=True)})
        named["d_input"] = expected_d_input(results, problem, batch_first=self._batch_first)
        if not problem.default_state:
            first = _stacked(results.d_state_0)
            named.update({f"d_{n}_0": Expected(a) for n, a in zip(letters, first, strict=True)})
        return {**named, **self._present_parameters(results)}


class _CellSubject(_TorchSubject):
    """nn.RNNCell, nn.LSTMCell, nn.GRUCell: stepped along every sequence, exactly its length."""

    semantics = LAW

    def __init__(self, module: Any, nonlinearity: str | None) -> None:
        super().__init__(module)
        own = dict(module.named_parameters())
        self.network = Network([_cell(module, own, "", nonlinearity)])

    def _foreign_name(self, name: str, run: int) -> str:
        return _NAMES[name]

    def supports(self, problem: Problem) -> str | None:
        """Holes are a matter of padding, and a cell sees none."""
        return "a cell is given steps, and they have no holes" if problem.has_holes else None

    def _run(self, problem: Problem) -> dict[str, Any]:
        """Step every sequence, and differentiate all of it."""
        import torch

        letters = self.network.cells[0].state_names
        x = self._leaf(problem.rows())
        states = [self._leaf(a) for a in problem.state_0[0]]
        outputs, finals = [], []
        for b, (start, stop) in enumerate(
            zip(problem.batch.offsets[:-1], problem.batch.offsets[1:], strict=True)
        ):
            state = None if problem.default_state else [s[b : b + 1] for s in states]
            if state is None and start == stop:
                state = [s[b : b + 1] for s in states]
            for t in range(start, stop):
                state = self._step(x[t : t + 1], state)
                outputs.append(state[0])
            finals.append(state)
        empty = torch.zeros((0, self.network.output_size), dtype=x.dtype, device=x.device)
        output = torch.cat([empty, *outputs])
        ends = [
            torch.cat([s[:0], *(final[k] for final in finals if final is not None)])
            for k, s in enumerate(states)
        ]
        pairs = [(output, self._constant(problem.d_output))]
        pairs += zip(ends, map(self._constant, problem.d_state_n[0]), strict=True)
        leaves = {"input": x}
        leaves.update({f"{n}_0": s for n, s in zip(letters, states, strict=True)})
        named = {f"{n}_n": _array(f) for n, f in zip(letters, ends, strict=True)}
        gradients = self._gradients(pairs, leaves)
        if problem.default_state:
            gradients = {k: v for k, v in gradients.items() if k not in ("d_h_0", "d_c_0")}
        return {"output": _array(output), **named, **gradients}

    def _step(self, x: Any, state: list[Any] | None) -> list[Any]:
        """One call of the cell."""
        is_lstm = len(self.network.cells[0].state_names) == 2
        if state is None:
            after = self._module(x)
        else:
            after = self._module(x, tuple(state) if is_lstm else state[0])
        parts = _pair(after, "h and c") if is_lstm else [after]
        return [_tensor(part, "a state") for part in parts]

    def present(
        self, results: Results, problem: Problem, semantics: Semantics
    ) -> Mapping[str, Expected]:
        """Rows, as a cell knows no padding."""
        letters = self.network.cells[0].state_names
        named = {"output": Expected(results.output), "d_input": Expected(results.d_input)}
        named.update(
            {f"{n}_n": Expected(a) for n, a in zip(letters, results.state_n[0], strict=True)}
        )
        if not problem.default_state:
            first = zip(letters, results.d_state_0[0], strict=True)
            named.update({f"d_{n}_0": Expected(a) for n, a in first})
        return {**named, **self._present_parameters(results)}


_LAYER = re.compile(r"weight_ih_l(\d+)$")


def _network(module: Any, nonlinearity: str | None) -> Network:
    """The function that a module's parameters are of."""
    own = dict(module.named_parameters())
    cells: list[AnyCell] = []
    while f"weight_ih_l{len(cells)}" in own:
        cells.append(_cell(module, own, f"_l{len(cells)}", nonlinearity))
    both = "weight_ih_l0_reverse" in own
    return Network(cells, (False, True) if both else (False,))


def _cell(module: Any, own: Mapping[str, Any], suffix: str, nonlinearity: str | None) -> AnyCell:
    """A cell from the shapes of its weights."""
    for name in ("weight_ih", "weight_hh"):
        if f"{name}{suffix}" not in own:
            raise TypeError(f"the module has no parameter {name}{suffix}, expected one")
    rows, inputs = own[f"weight_ih{suffix}"].shape
    outputs = own[f"weight_hh{suffix}"].shape[1]
    projection = own.get(f"weight_hr{suffix}")
    hidden = outputs if projection is None else projection.shape[1]
    kind = _KINDS.get(rows // hidden)
    if kind is None or rows % hidden:
        raise TypeError(
            f"weight_ih{suffix} has {rows} rows, expected 1, 3 or 4 times hidden_size = {hidden}"
        )
    found = [name for name in ("bias_ih", "bias_hh") if f"{name}{suffix}" in own]
    if found == ["bias_hh"]:
        raise TypeError(f"the module has bias_hh{suffix} alone, expected bias_ih{suffix} beside it")
    biases = len(found)
    options: dict[str, Any] = {"biases": biases}
    if projection is not None:
        options["proj_size"] = outputs
    if kind is RNN:
        options["activation"] = nonlinearity or getattr(module, "nonlinearity", "tanh")
    elif nonlinearity is not None:
        raise TypeError(
            f"nonlinearity has value {nonlinearity!r}, expected None for a {kind.__name__}"
        )
    cell: AnyCell = kind(inputs, hidden, **options)
    return cell


def _pair(returned: Any, what: str) -> list[Any]:
    """What a module gives back as two; an error of its own where it is something else."""
    if not isinstance(returned, (tuple, list)) or len(returned) != 2:
        count = f" of {len(returned)}" if isinstance(returned, (tuple, list)) else ""
        kind = type(returned).__name__
        raise TypeError(f"the module returned a {kind}{count}, expected {what}")
    return list(returned)


def _tensor(part: Any, what: str) -> Any:
    """A tensor; an error of the module where it is something else."""
    import torch

    if not isinstance(part, torch.Tensor):
        raise TypeError(f"{what} has type {type(part).__name__}, expected a tensor")
    return part


def _array(tensor: Any) -> Array:
    """A tensor of any device as an array of its own; what is no tensor as it is."""
    if not hasattr(tensor, "detach"):
        other: Array = tensor
        return other
    array: Array = tensor.detach().cpu().numpy().copy()
    return array


def _stacked(states: Sequence[State]) -> list[Array]:
    """States by run as one (L*D, B, size) array for h and, of an LSTM, one for c."""
    return [np.stack(arrays) for arrays in zip(*states, strict=True)]
