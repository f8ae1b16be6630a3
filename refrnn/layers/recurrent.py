"""Recurrent: a stack of cells over ragged time, in one direction or both."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from ..cells import Cell
from ..errors import UnsupportedCase
from ..parameters import CellParameters
from ..ragged import RaggedBatch
from ..types import Array, IntArray
from ..unroll import Gradients, Run, Tape, Unroll, backward, forward, resolve
from ..unroll.base import AnyCell, State
from ..validation import check_bool, check_dtype, check_integer
from .base import Layer, check_cotangent, check_rows, check_tape
from .dropout import check_dropout_masks, draw_dropout_mask
from .states import check_stacked_state, stack_states, state_of_run

__all__ = ["Recurrent", "RecurrentGradients", "RecurrentRun", "RecurrentTape"]


class RecurrentTape(NamedTuple):
    """What :meth:`Recurrent.backward` needs; treat it as opaque.

    Attributes
    ----------
    layer : Recurrent
    tapes : tuple of refrnn.Tape
        L*D of them, index layer * D + direction.
    dropout_masks : tuple of ndarray (N, D*R)
        L - 1 of them, or none.
    lengths : ndarray of int64, shape (B,)
    dtype : dtype
    state_n : NamedTuple of ndarrays (L*D, B, size)
        A result, kept here for :attr:`RecurrentRun.state_n`; not used to walk back.
    """

    layer: Recurrent
    tapes: tuple[Tape, ...]
    dropout_masks: tuple[Array, ...]
    lengths: IntArray
    dtype: np.dtype[Any]
    state_n: State


class RecurrentRun(NamedTuple):
    """Result of :meth:`Recurrent.forward`: ``y, tape = layer.forward(params, x)``.

    Attributes
    ----------
    output : RaggedBatch with D*R features, or ndarray of shape (B, D*R)
        Every step of the last layer or, without ``return_sequences``, its final h.
    tape : RecurrentTape
    """

    output: Any
    tape: RecurrentTape

    @property
    def state_n(self) -> State:
        """The final states, each (L*D, B, size): the initial one where the length is 0."""
        return self.tape.state_n


class RecurrentGradients(NamedTuple):
    """Result of :meth:`Recurrent.backward`; new arrays.

    Attributes
    ----------
    parameters : CellParameters
    input : RaggedBatch
    state_0 : NamedTuple of ndarrays (L*D, B, size)
    """

    parameters: CellParameters
    input: RaggedBatch
    state_0: State


class Recurrent(Layer):
    """L layers of a cell, each run forward or in both directions, as ``torch.nn.LSTM`` stacks them.

    Parameters
    ----------
    cell : RNN, LSTM or GRU
        The first layer's cell. Later layers have its hidden size and options, and take the D*R
        features of the layer below.
    num_layers : int
        L.
    bidirectional : bool
        D = 2: a second cell runs each sequence from its own last step to its first; after every
        layer the features of a step are [forward, reverse].
    return_sequences : bool
        Whether the output is every step, or the final h of the last layer as features (B, D*R),
        that of the reverse cell being its state after the *first* step of the sequence.

    Raises
    ------
    TypeError, ValueError
        If `cell` is no cell, `num_layers` no integer >= 1, or a flag no bool.

    Notes
    -----
    Parameters are named as in PyTorch: ``W_ih_l0``, ``W_hh_l0``, ... for layer 0, with
    ``_reverse`` at the end for the second direction. States are stacked (L*D, B, size), index
    layer * D + direction.

    Dropout is on the output of every layer but the last, as in PyTorch [1]_. The masks are an
    argument of :meth:`forward`: drawn by :meth:`draw_dropout_masks`, or anybody's.

    References
    ----------
    .. [1] ``torch.nn.LSTM``; Zaremba, Sutskever & Vinyals (2014) for the place of the dropout;
       Schuster & Paliwal (1997) for the two directions.

    Examples
    --------
    >>> import numpy as np, refrnn as rr
    >>> from refrnn.layers import Recurrent
    >>> rng = np.random.default_rng(0)
    >>> layer = Recurrent(rr.LSTM(3, 5), num_layers=2, bidirectional=True)
    >>> params = layer.init_parameters(rng)
    >>> batch = rr.RaggedBatch.from_sequences([rng.normal(size=(n, 3)) for n in (4, 0, 2)])
    >>> run = layer.forward(params, batch)
    >>> run.output.features, run.state_n.h.shape
    (10, (4, 3, 5))
    >>> layer.backward(run.tape, d_output=np.ones((6, 10))).parameters.W_hh_l1_reverse.shape
    (20, 5)
    """

    input_size: int
    output_size: int
    cell: AnyCell
    num_layers: int
    bidirectional: bool
    return_sequences: bool

    def __init__(
        self,
        cell: AnyCell,
        num_layers: int = 1,
        *,
        bidirectional: bool = False,
        return_sequences: bool = True,
    ) -> None:
        if not isinstance(cell, Cell):
            raise TypeError(f"cell has type {type(cell).__name__}, expected RNN, LSTM or GRU")
        self.cell = cell
        self.num_layers = check_integer(num_layers, "num_layers", minimum=1)
        self.bidirectional = check_bool(bidirectional, "bidirectional")
        self.return_sequences = check_bool(return_sequences, "return_sequences")
        self.input_size = cell.input_size
        self.output_size = self.num_directions * cell.output_size

    @property
    def num_directions(self) -> int:
        """D: 2 if bidirectional, else 1."""
        return 2 if self.bidirectional else 1

    @property
    def cells(self) -> tuple[AnyCell, ...]:
        """The cell of each layer; both directions of a layer have the same."""
        first = self.cell
        above = type(first)(self.output_size, first.hidden_size, **first.options())
        return (first, *[above] * (self.num_layers - 1))

    # --- parameters --------------------------------------------------------------------------

    def parameter_shapes(self) -> dict[str, tuple[int, ...]]:
        """Name and shape of every parameter, in order."""
        return {
            name + suffix: shape
            for cell, suffix in self._runs()
            for name, shape in cell.parameter_shapes().items()
        }

    def init_parameters(
        self, rng: np.random.Generator, dtype: Any = "float64", scale: float | None = None
    ) -> CellParameters:
        """Draw the parameters of every cell, layer after layer, as the cell draws them.

        Parameters
        ----------
        rng : numpy.random.Generator
        dtype : dtype
            float32, float64 or longdouble; drawn in float64 and rounded.
        scale : float, optional
            Uniform in +-scale; 1 / sqrt(hidden_size) by default.

        Returns
        -------
        CellParameters
        """
        arrays: dict[str, Array] = {}
        for cell, suffix in self._runs():
            drawn = cell.init_parameters(rng, dtype, scale)
            arrays.update({name + suffix: array for name, array in drawn.items()})
        return CellParameters(arrays)

    def _runs(self) -> list[tuple[AnyCell, str]]:
        """Cell and parameter suffix of every run, index layer * D + direction."""
        directions = ("", "_reverse")[: self.num_directions]
        return [(cell, f"_l{i}{d}") for i, cell in enumerate(self.cells) for d in directions]

    # --- states and masks --------------------------------------------------------------------

    def zero_state(self, batch_size: int, dtype: Any = np.float64) -> State:
        """A state of zeros, each array (L*D, batch_size, size)."""
        count = check_integer(batch_size, "batch_size", minimum=0)
        return self._check_state(None, "state_0", count, check_dtype(dtype, "dtype"))

    def draw_dropout_masks(
        self, rng: np.random.Generator, p: float, total_steps: int, dtype: Any = "float64"
    ) -> list[Array]:
        """Draw one mask for each gap between layers.

        Parameters
        ----------
        rng : numpy.random.Generator
        p : float
            Probability that an element is dropped, 0 <= p < 1.
        total_steps : int
            N of the batch the masks are for.
        dtype : dtype
            Of that batch.

        Returns
        -------
        list of L - 1 ndarrays of shape (N, D*R)
            0 with probability p, else 1 / (1 - p).
        """
        shape = (check_integer(total_steps, "total_steps", minimum=0), self.output_size)
        return [draw_dropout_mask(rng, p, shape, dtype) for _ in range(self.num_layers - 1)]

    # --- running -----------------------------------------------------------------------------

    def forward(
        self,
        params: Mapping[str, Any],
        x: RaggedBatch,
        state_0: Any = None,
        *,
        dropout_masks: Sequence[Any] | None = None,
        unroll: str | Unroll = "lanes",
    ) -> RecurrentRun:
        """Run the stack over every sequence, each exactly its own length.

        Parameters
        ----------
        params : CellParameters or mapping of str to ndarray
        x : RaggedBatch
            N rows of ``cell.input_size`` features, in the dtype of the parameters; complex ones
            run forward only.
        state_0 : tuple of ndarrays (L*D, B, size), optional
            The initial states; zeros if None, and so may be each part.
        dropout_masks : sequence of L - 1 arrays (N, D*R), optional
            Mask i is multiplied into the output of layer i, rows in the order of ``x.values``.
        unroll : str or Unroll
            How time is walked; all give the same result, to rounding.

        Returns
        -------
        RecurrentRun
            ``output``, ``tape``, ``state_n``.

        Raises
        ------
        TypeError, ValueError
            If an argument has another type, dtype, name or shape than stated.
        UnsupportedCase
            If the unroll cannot run this cell, dtype or direction. In all cases nothing was
            computed.
        """
        record = self.check_parameters(params)
        if not isinstance(x, RaggedBatch):
            raise TypeError(f"x has type {type(x).__name__}, expected a RaggedBatch")
        check_rows(x, record, self.input_size)
        state = self._check_state(state_0, "state_0", x.batch_size, x.dtype)
        shape = (x.total_steps, self.output_size)
        masks = check_dropout_masks(dropout_masks, self.num_layers - 1, shape, x.dtype)
        walker = self._check_unroll(unroll, x.dtype)
        runs: list[Run] = []
        D = self.num_directions
        for i, (cell, suffix) in enumerate(self._runs()):
            own = CellParameters({n: record[n + suffix] for n in cell.parameter_shapes()})
            initial = state_of_run(state, i)
            runs.append(forward(cell, own, x, initial, reverse=i % D == 1, unroll=walker))
            if i % D == D - 1:  # the layer is complete: its output goes up
                x = _side_by_side([run.output for run in runs[-D:]])
                if i // D < len(masks):
                    x = x.with_values(_times(x.values, masks[i // D]))
        state_n = stack_states([run.state_n for run in runs])
        tapes = tuple(run.tape for run in runs)
        tape = RecurrentTape(self, tapes, masks, x.lengths, x.dtype, state_n)
        return RecurrentRun(x if self.return_sequences else _features(state_n.h[-D:]), tape)

    def backward(
        self, tape: RecurrentTape, d_output: Any = None, d_state_n: Any = None
    ) -> RecurrentGradients:
        """Pull cotangents of the output and of the final states back to every argument.

        Parameters
        ----------
        tape : RecurrentTape
            Of a forward run; may be walked back any number of times.
        d_output : RaggedBatch or ndarray of shape (N, D*R), or ndarray of shape (B, D*R), optional
            Cotangent of the output; zero if None.
        d_state_n : tuple of ndarrays (L*D, B, size), optional
            Cotangent of ``run.state_n``; zero if None, and so may be each part. It adds to what
            arrives through the output.

        Returns
        -------
        RecurrentGradients
            The dropout masks count as constants.

        Raises
        ------
        TypeError, ValueError
            If a cotangent has another type, dtype or shape, or the run was complex.
        """
        check_tape(tape, RecurrentTape)
        layer, D = tape.layer, tape.layer.num_directions
        d_final = layer._check_state(d_state_n, "d_state_n", tape.lengths.size, tape.dtype)
        d_y = layer._rows_of_cotangent(tape, d_output, d_final)
        gradients: dict[int, Gradients] = {}
        for i in reversed(range(layer.num_layers)):
            if i < len(tape.dropout_masks):
                d_y = _times(d_y, tape.dropout_masks[i])
            for k, own in enumerate(np.split(d_y, D, axis=1), start=i * D):
                gradients[k] = backward(tape.tapes[k], own, state_of_run(d_final, k))
            d_y = gradients[i * D].input.values
            if D == 2:
                with np.errstate(all="ignore"):
                    d_y = d_y + gradients[i * D + 1].input.values
        parameters = {
            name + suffix: array
            for k, (_, suffix) in enumerate(layer._runs())
            for name, array in gradients[k].parameters.items()
        }
        d_state_0 = stack_states([gradients[k].state_0 for k in range(len(gradients))])
        d_x = RaggedBatch(d_y, tape.lengths)
        return RecurrentGradients(CellParameters(parameters), d_x, d_state_0)

    def _rows_of_cotangent(self, tape: RecurrentTape, d_output: Any, d_final: State) -> Array:
        """Cotangent of every step; what is given by sequence goes to `d_final`, **in place**."""
        D, rows = self.num_directions, int(tape.lengths.sum())
        if self.return_sequences:
            return check_cotangent(d_output, (rows, self.output_size), tape.dtype, tape.lengths)
        B = tape.lengths.size
        features = check_cotangent(d_output, (B, self.output_size), tape.dtype, None)
        d_final.h[-D:] += features.reshape(B, D, self.output_size // D).swapaxes(0, 1)
        return np.zeros((rows, self.output_size), tape.dtype)

    # --- checks ------------------------------------------------------------------------------

    def _check_state(self, state: Any, name: str, batch_size: int, dtype: np.dtype[Any]) -> State:
        """A full state record of new arrays (L*D, B, size)."""
        runs = self.num_layers * self.num_directions
        return check_stacked_state(state, name, self.cell, runs, batch_size, dtype)

    def _check_unroll(self, unroll: str | Unroll, dtype: np.dtype[Any]) -> Unroll:
        """The unroll, known to run every cell and direction of the stack."""
        walker = resolve(unroll)
        for cell in dict.fromkeys(self.cells):
            for reverse in (False, True)[: self.num_directions]:
                reason = walker.supports(cell, dtype, reverse=reverse)
                if reason is not None:
                    raise UnsupportedCase(f"unroll {walker.name!r} cannot run {cell}: {reason}")
        return walker

    def __repr__(self) -> str:
        shown = "" if self.num_layers == 1 else f", num_layers={self.num_layers}"
        shown += ", bidirectional=True" if self.bidirectional else ""
        shown += "" if self.return_sequences else ", return_sequences=False"
        return f"Recurrent({self.cell}{shown})"


def _side_by_side(batches: list[RaggedBatch]) -> RaggedBatch:
    """The features of one or two batches of equal lengths next to each other."""
    if len(batches) == 1:
        return batches[0]
    return batches[0].with_values(np.concatenate([batch.values for batch in batches], axis=1))


def _times(rows: Array, mask: Array) -> Array:
    """Rows times a dropout mask; NaN and Inf are the caller's."""
    with np.errstate(all="ignore"):
        product: Array = rows * mask
    return product


def _features(h: Array) -> Array:
    """Final states (D, B, R) as features (B, D*R), a new array."""
    D, B, R = h.shape
    return h.swapaxes(0, 1).reshape(B, D * R).copy()
