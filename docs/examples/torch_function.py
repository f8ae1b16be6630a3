"""Any unroll of refrnn as a layer of PyTorch, to train with.

``RaggedFunction`` is a ``torch.autograd.Function``, ``RaggedLayer`` a module around it that goes
where ``torch.nn.LSTM``, ``GRU`` or ``RNN`` of one layer and direction would: the same parameter
names, the same initial weights from a seed, PackedSequence in and out.

``python torch_function.py --unroll cython`` trains an LSTM to tell nine speakers apart.
"""

# ruff: noqa: T201 - a script prints

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence, pack_sequence

import refrnn as rr
from refrnn.datasets import japanese_vowels
from refrnn.padding import row_coordinates
from refrnn.validation import check_lengths


class Walk(NamedTuple):
    """What is walked, in which direction, and how."""

    cell: rr.Cell[Any, Any]
    lengths: Any
    reverse: bool
    unroll: str | rr.Unroll


class RaggedFunction(torch.autograd.Function):
    """A cell over a ragged batch: ``apply(walk, rows, *state_0, *parameters)``.

    ``rows`` is (N, I), sequence after sequence; states are (B, size); parameters come in the order
    of ``cell.parameter_shapes()``. All are float32 or all float64, on the CPU. Gives the output
    (N, R) and the final state. Differentiable once, by every argument.
    """

    @staticmethod
    def forward(ctx: Any, walk: Walk, rows: Tensor, *tensors: Tensor) -> tuple[Tensor, ...]:
        """Run the unroll, which keeps copies of all that backward needs on its tape."""
        cell = walk.cell
        x, *arrays = (_array(tensor) for tensor in (rows, *tensors))
        count = len(cell.state_names)
        run = rr.forward(
            cell,
            dict(zip(cell.parameter_shapes(), arrays[count:], strict=True)),
            rr.RaggedBatch(x, walk.lengths),
            cell.state_type(*arrays[:count]),
            reverse=walk.reverse,
            unroll=walk.unroll,
        )
        ctx.tape = run.tape
        ctx.set_materialize_grads(False)  # None means zero to refrnn too
        return tuple(torch.tensor(array) for array in (run.output.values, *run.state_n))

    @staticmethod
    def backward(ctx: Any, *cotangents: Tensor | None) -> tuple[Tensor | None, ...]:
        """Walk the tape back."""
        if torch.is_grad_enabled():
            # torch's once_differentiable lets this pass where no cotangent requires a gradient, and
            # a gradient penalty then counts as a constant
            raise RuntimeError("create_graph has value True, expected False: refrnn derives once")
        d_output, *d_state_n = (None if d is None else _array(d) for d in cotangents)
        gradients = rr.backward(ctx.tape, d_output, tuple(d_state_n))
        arrays = (gradients.input.values, *gradients.state_0, *gradients.parameters.values())
        needed = ctx.needs_input_grad[1:]
        given = (torch.tensor(a) if n else None for a, n in zip(arrays, needed, strict=True))
        return None, *given


class RaggedLayer(nn.Module):
    """A recurrent layer of one direction.

    Parameters
    ----------
    cell : refrnn.RNN, LSTM or GRU
        With any options; those that ``torch.nn`` has too can exchange a ``state_dict`` with it.
    reverse : bool
        Step each sequence from its last step to its first; parameters then end in ``_reverse``.
    batch_first : bool
        Padded input and output are (B, T, ...) instead of (T, B, ...).
    unroll : str or refrnn.Unroll
        How time is walked: ``"cython"`` is fast, ``"lanes"`` needs NumPy only.
    dtype : torch.dtype, optional
        float32 or float64; torch's default if None.
    """

    def __init__(
        self,
        cell: rr.Cell[Any, Any],
        *,
        reverse: bool = False,
        batch_first: bool = False,
        unroll: str | rr.Unroll = "lanes",
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        self.cell, self.reverse, self.batch_first, self.unroll = cell, reverse, batch_first, unroll
        for name, shape in cell.parameter_shapes().items():
            name = name.replace("W_", "weight_").replace("b_", "bias_")
            parameter = nn.Parameter(torch.empty(shape, dtype=dtype))
            self.register_parameter(f"{name}_l0{'_reverse' * reverse}", parameter)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw the parameters as ``torch.nn`` does, in the same order."""
        bound = self.cell.hidden_size**-0.5
        for parameter in self.parameters():
            nn.init.uniform_(parameter, -bound, bound)

    def forward(
        self, input: PackedSequence | Tensor, hx: Any = None, lengths: Any = None
    ) -> tuple[Any, Any]:
        """Output and final state.

        Parameters
        ----------
        input : PackedSequence, or Tensor of shape (T, B, I) or (B, T, I)
        hx : Tensor, or for an LSTM a pair of Tensors, each (1, B, size); optional
            The initial state; zeros if None.
        lengths : array_like of int, shape (B,)
            Of a padded input. Length 0 is fine: such a sequence keeps its initial state.

        Returns
        -------
        output : as `input`
            Zero in the padding, whatever the input has there.
        h_n, or for an LSTM (h_n, c_n) : each (1, B, size)
        """
        if isinstance(input, PackedSequence):
            if lengths is not None:
                raise ValueError("lengths has a value, expected None beside a PackedSequence")
            sizes, place = _packed_layout(input)
            index = _packed_rows(sizes, place)
            output, state_n = self._run(input.data[index], sizes, hx)
            # the inverse: where the output of each packed row stands
            return input._replace(data=output[torch.argsort(index)]), state_n
        if lengths is None:
            raise ValueError("lengths has value None, expected one a sequence of a padded input")
        if input.ndim != 3:
            raise ValueError(f"input has shape {tuple(input.shape)}, expected three dimensions")
        batch_axis = 0 if self.batch_first else 1
        sizes = check_lengths(lengths, maximum=input.shape[1 - batch_axis])
        if sizes.size != input.shape[batch_axis]:
            raise ValueError(
                f"lengths has {sizes.size} values, expected B = {input.shape[batch_axis]}"
            )
        sequence, step = (torch.tensor(index) for index in row_coordinates(sizes))
        where = (sequence, step) if self.batch_first else (step, sequence)
        output, state_n = self._run(input[where], sizes, hx)
        padded = output.new_zeros(*input.shape[:2], output.shape[1])
        return padded.index_put(where, output), state_n

    def _run(self, rows: Tensor, lengths: Any, hx: Any) -> tuple[Tensor, Any]:
        """The function on the module's parameters, states in PyTorch's shape."""
        names, sizes = self.cell.state_names, self.cell.state_sizes
        single = len(names) == 1
        if hx is not None and isinstance(hx, Tensor) != single:
            expected = "a Tensor" if single else f"{len(names)} Tensors"
            raise TypeError(f"hx has type {type(hx).__name__}, expected {expected}")
        if hx is None:
            state = [rows.new_zeros(lengths.size, size) for size in sizes]
        else:
            state = [hx] if single else list(hx)
            for name, part, size in zip(names, state, sizes, strict=True):
                if part.shape != (1, lengths.size, size):
                    raise ValueError(
                        f"{name}_0 has shape {tuple(part.shape)}, expected (1, B, size) = "
                        f"{(1, lengths.size, size)}"
                    )
            state = [part[0] for part in state]
        walk = Walk(self.cell, lengths, self.reverse, self.unroll)
        output, *final = RaggedFunction.apply(walk, rows, *state, *self.parameters())
        state_n = tuple(part[None] for part in final)
        return output, state_n[0] if single else state_n


def _array(tensor: Tensor) -> Any:
    """A tensor's numbers, where they lie."""
    if tensor.device.type != "cpu":
        raise TypeError(f"a tensor has device {tensor.device}, expected cpu: refrnn takes arrays")
    return tensor.detach().numpy()


def _packed_layout(packed: PackedSequence) -> tuple[Any, Any]:
    """The length of each sequence, and at which packed place it stands."""
    batch_sizes = packed.batch_sizes.numpy()
    longest_first = (batch_sizes > np.arange(batch_sizes[0])[:, None]).sum(axis=1)
    if packed.unsorted_indices is None:
        return longest_first, np.arange(longest_first.size)
    place = packed.unsorted_indices.numpy()
    return longest_first[place], place


def _packed_rows(lengths: Any, place: Any) -> Tensor:
    """Which packed row each row of the sequences, one after the other, is."""
    sequence, step = row_coordinates(lengths)
    sizes = np.bincount(step)
    return torch.tensor((np.cumsum(sizes) - sizes)[step] + place[sequence])


# --- training with it -----------------------------------------------------------------------------


class Classifier(nn.Module):
    """A linear read-out of the final h of any recurrent layer, ours or torch's."""

    def __init__(self, layer: nn.Module, hidden_size: int, classes: int) -> None:
        super().__init__()
        self.layer = layer
        self.read_out = nn.Linear(hidden_size, classes, dtype=next(layer.parameters()).dtype)

    def forward(self, packed: PackedSequence) -> Tensor:
        """Class scores of each sequence."""
        _, state_n = self.layer(packed)
        h_n = state_n[0] if isinstance(state_n, tuple) else state_n
        scores: Tensor = self.read_out(h_n[0])
        return scores


def vowels(split: str, dtype: torch.dtype) -> tuple[list[Tensor], Tensor]:
    """Japanese Vowels as tensors, standardised by the training set."""
    data, train = japanese_vowels(split), japanese_vowels("train").batch
    values = (data.batch.values - train.values.mean(axis=0)) / train.values.std(axis=0)
    sequences = [torch.tensor(s, dtype=dtype) for s in data.batch.with_values(values)]
    return sequences, torch.tensor(data.labels)


def train(
    model: nn.Module,
    sequences: list[Tensor],
    labels: Tensor,
    *,
    epochs: int,
    batch_size: int = 10,
    watch: Callable[[int, float], None] | None = None,
) -> list[float]:
    """Train with Adam; returns the mean loss of each epoch."""
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    losses = []
    for epoch in range(epochs):
        total = 0.0
        for chosen in torch.randperm(len(labels)).split(batch_size):
            packed = pack_sequence([sequences[i] for i in chosen], enforce_sorted=False)
            loss = nn.functional.cross_entropy(model(packed), labels[chosen])
            optimizer.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            total += float(loss.detach()) * len(chosen)
        losses.append(total / len(labels))
        if watch is not None:
            watch(epoch + 1, losses[-1])
    return losses


def main() -> None:
    """Train an LSTM and report its accuracy on the test set."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--unroll", default="lanes", help="lanes, cython, ...; torch for nn.LSTM")
    parser.add_argument("--epochs", type=int, default=10)
    arguments = parser.parse_args()
    torch.manual_seed(0)
    layer: nn.Module
    if arguments.unroll == "torch":
        layer = nn.LSTM(12, 64)
    else:
        layer = RaggedLayer(rr.LSTM(12, 64), unroll=arguments.unroll)
    model = Classifier(layer, 64, 9)
    sequences, labels = vowels("train", torch.float32)
    began = time.perf_counter()
    train(
        model,
        sequences,
        labels,
        epochs=arguments.epochs,
        watch=lambda epoch, loss: print(f"epoch {epoch}: loss {loss:.4f}"),
    )
    seconds = time.perf_counter() - began
    unseen, answers = vowels("test", torch.float32)
    with torch.no_grad():
        scores = model(pack_sequence(unseen, enforce_sorted=False))
    accuracy = float((scores.argmax(dim=1) == answers).double().mean())
    print(f"{arguments.unroll}: test accuracy {accuracy:.4f}, {seconds:.1f} s")


if __name__ == "__main__":
    main()
