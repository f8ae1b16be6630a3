"""Network: the function that a foreign module is meant to compute, in refrnn's terms.

Layers of cells, each run in one direction or in both, and what is done with the two outputs. It is
as small as that because it has to be obvious: everything a module is compared with comes from here.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from ..cells import Cell
from ..parameters import CellParameters
from ..ragged import RaggedBatch
from ..types import Array
from ..unroll import Gradients, Run, Tape, Unroll, backward, forward
from ..unroll.base import AnyCell, State

__all__ = ["MERGES", "AtPadding", "Network", "NetworkRun", "Results"]

#: What a layer of two directions makes of its two outputs: side by side, or element by element.
MERGES = ("concat", "sum", "mul", "ave")


class AtPadding(NamedTuple):
    """What stands in the padding where a mistake puts something there.

    Attributes
    ----------
    output : ndarray of shape (B, T, features), or None
        None for what the semantics says.
    d_input : ndarray of shape (B, T, I), or None
        None for no gradient: the padding is of the module's own making.
    """

    output: Array | None = None
    d_input: Array | None = None


class Results(NamedTuple):
    """Everything that comes of running a network forward and backward.

    Attributes
    ----------
    output : ndarray of shape (N, features)
    state_n : tuple of NamedTuples of ndarrays (B, size)
        One a run, index layer * D + direction, as everywhere below.
    d_input : ndarray of shape (N, I)
    d_state_0 : tuple of NamedTuples of ndarrays (B, size)
    d_parameters : tuple of CellParameters
    at_padding : AtPadding or None
        None for what the semantics says, and no gradient.
    """

    output: Array
    state_n: tuple[State, ...]
    d_input: Array
    d_state_0: tuple[State, ...]
    d_parameters: tuple[CellParameters, ...]
    at_padding: AtPadding | None = None


class NetworkRun(NamedTuple):
    """A forward run of a network, ready to be walked back.

    Attributes
    ----------
    output : RaggedBatch
    state_n : tuple of NamedTuples of ndarrays (B, size)
    runs : tuple of refrnn.Run
        One for each layer and direction.
    """

    output: RaggedBatch
    state_n: tuple[State, ...]
    runs: tuple[Run, ...]

    @property
    def tapes(self) -> tuple[Tape, ...]:
        """The tapes of all runs."""
        return tuple(run.tape for run in self.runs)


class Network:
    """Layers of a cell, run in the given directions.

    Parameters
    ----------
    cells : sequence of Cell
        One a layer, the lowest first; the next takes the features that the layer below puts out.
    reverse : sequence of bool
        The directions of every layer: ``(False,)``, ``(True,)``, or ``(False, True)`` for both.
    merge : {"concat", "sum", "mul", "ave"}
        What is made of two outputs: [forward, reverse] side by side as PyTorch does, or their sum,
        product or mean as Keras can.

    Raises
    ------
    TypeError
        If a cell is none.
    ValueError
        If there is no cell or direction, or a layer does not take what the one below puts out.

    Examples
    --------
    >>> import refrnn as rr
    >>> from refrnn.oracle import Network
    >>> network = Network([rr.GRU(3, 4), rr.GRU(8, 4)], reverse=(False, True))
    >>> network.num_runs, network.output_size
    (4, 8)
    """

    def __init__(
        self, cells: Sequence[AnyCell], reverse: Sequence[bool] = (False,), merge: str = "concat"
    ) -> None:
        self.cells = tuple(cells)
        self.reverse = tuple(reverse)
        self.merge = merge
        if self.reverse not in ((False,), (True,), (False, True)):
            raise ValueError(
                f"reverse has value {self.reverse}, expected (False,), (True,) or (False, True)"
            )
        if merge not in (MERGES if len(self.reverse) == 2 else MERGES[:1]):
            rule = f"one of {', '.join(MERGES)}, and concat for one direction"
            raise ValueError(f"merge has value {merge!r}, expected {rule}")
        if not self.cells:
            raise ValueError("cells has no cell, expected one a layer")
        for number, cell in enumerate(self.cells):
            if not isinstance(cell, Cell):
                kind = type(cell).__name__
                raise TypeError(f"cells[{number}] has type {kind}, expected RNN, LSTM or GRU")
            if number and cell.input_size != self._width(self.cells[number - 1]):
                raise ValueError(
                    f"cells[{number}] has input size {cell.input_size}, expected what the layer "
                    f"below puts out = {self._width(self.cells[number - 1])}"
                )

    @property
    def num_directions(self) -> int:
        """D: 1 or 2."""
        return len(self.reverse)

    @property
    def num_runs(self) -> int:
        """L*D: a cell, its parameters and its states each."""
        return len(self.cells) * self.num_directions

    @property
    def input_size(self) -> int:
        """I, features of an input row."""
        return self.cells[0].input_size

    @property
    def output_size(self) -> int:
        """Features of an output row."""
        return self._width(self.cells[-1])

    def cell(self, run: int) -> AnyCell:
        """The cell of a run, index layer * D + direction."""
        return self.cells[run // self.num_directions]

    def _width(self, cell: AnyCell) -> int:
        """Features that a layer of this cell puts out."""
        side_by_side = self.num_directions if self.merge == "concat" else 1
        return side_by_side * cell.output_size

    def forward(
        self,
        parameters: Sequence[CellParameters],
        batch: RaggedBatch,
        state_0: Sequence[State],
        unroll: str | Unroll = "per_sequence",
    ) -> NetworkRun:
        """Run every layer and direction.

        Parameters
        ----------
        parameters : sequence of L*D CellParameters
        batch : RaggedBatch
        state_0 : sequence of L*D states, each a tuple of ndarrays (B, size)
        unroll : str or Unroll

        Returns
        -------
        NetworkRun
        """
        runs: list[Run] = []
        D = self.num_directions
        for number in range(self.num_runs):
            runs.append(
                forward(
                    self.cell(number),
                    parameters[number],
                    batch,
                    state_0[number],
                    reverse=self.reverse[number % D],
                    unroll=unroll,
                )
            )
            if number % D == D - 1:  # the layer is complete: its output goes up
                merged = self._merged([run.output.values for run in runs[-D:]])
                batch = batch.with_values(merged)
        return NetworkRun(batch, tuple(run.state_n for run in runs), tuple(runs))

    def backward(
        self,
        run: NetworkRun,
        d_output: Array,
        d_state_n: Sequence[State],
        tapes: Sequence[Tape] | None = None,
    ) -> Results:
        """Walk a run back.

        Parameters
        ----------
        run : NetworkRun
        d_output : ndarray of shape (N, features)
        d_state_n : sequence of L*D states, each a tuple of ndarrays (B, size)
        tapes : sequence of Tape, optional
            Other tapes than the run's own: how a backward pass is imitated that takes its numbers
            from the wrong places.

        Returns
        -------
        Results
        """
        D = self.num_directions
        walked = run.tapes if tapes is None else tuple(tapes)
        gradients: dict[int, Gradients] = {}
        d_y = d_output
        for layer in reversed(range(len(self.cells))):
            numbers = range(layer * D, layer * D + D)
            outputs = [run.runs[number].output.values for number in numbers]
            parts = self._merged_backward(outputs, d_y)
            for number, part in zip(numbers, parts, strict=True):
                gradients[number] = backward(walked[number], part, d_state_n[number])
            with np.errstate(all="ignore"):
                d_y = sum(gradients[number].input.values for number in numbers)  # type: ignore[assignment]
        in_order = [gradients[number] for number in range(self.num_runs)]
        return Results(
            run.output.values,
            run.state_n,
            d_y,
            tuple(g.state_0 for g in in_order),
            tuple(g.parameters for g in in_order),
        )

    def _merged(self, outputs: list[Array]) -> Array:
        """One output of the outputs of a layer's directions."""
        if self.merge == "concat":
            return np.concatenate(outputs, axis=1)
        with np.errstate(all="ignore"):
            merged: Array = np.multiply(*outputs) if self.merge == "mul" else np.add(*outputs)
            return merged / 2 if self.merge == "ave" else merged

    def _merged_backward(self, outputs: list[Array], d_y: Array) -> list[Array]:
        """Adjoint of :meth:`_merged`: a cotangent for each direction."""
        if self.merge == "concat":
            return np.split(d_y, self.num_directions, axis=1)
        if self.merge == "mul":
            with np.errstate(all="ignore"):
                return [d_y * outputs[1], d_y * outputs[0]]
        return [d_y / 2 if self.merge == "ave" else d_y] * 2

    def __repr__(self) -> str:
        cells = ", ".join(map(repr, self.cells))
        shown = "" if self.reverse == (False,) else f", reverse={self.reverse}"
        shown += "" if self.merge == "concat" else f", merge={self.merge!r}"
        return f"Network([{cells}]{shown})"
