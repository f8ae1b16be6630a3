"""TensorFlow's fused operators: BlockLSTM, BlockLSTMV2 and GRUBlockCell of ``tf.raw_ops``.

An operator is a function and has no weights, so its subjects are made here with sizes and options,
:func:`block_lstm` and :func:`gru_block_cell`, and given to :func:`refrnn.oracle.check`. All three
compute in float32 or float16 only; float32 is what is checked.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from ...cells import GRU, LSTM
from ...parameters import CellParameters
from ...types import Array
from ...unroll.base import AnyCell
from ...validation import check_bool, check_finite, check_integer
from .. import weights as layouts
from ..network import Network, Results
from ..padded import expected_d_input, expected_output
from ..problem import Problem
from ..semantics import LAW, Semantics
from ..subject import Expected, Subject
from ..weights import LAYOUTS, Layout

__all__ = ["adapt", "block_lstm", "gru_block_cell", "modules"]

_PEEPHOLES = ("wci", "wcf", "wco")
#: The attribute ``cell_clip`` where nobody sets it, by version.
_CLIPS = {1: 3.0, 2: 0.0}
_GRADIENTS = ("registered", "kernel")


def adapt(subject: Any) -> Subject:
    """TensorFlow's own layers are those of Keras; an operator is not an object that can be adapted.

    Parameters
    ----------
    subject : object
        Anything whose class comes from TensorFlow.

    Raises
    ------
    TypeError
        Always, and it says what to call instead.
    """
    raise TypeError(
        f"subject has type {type(subject).__name__}, expected a layer of Keras, or what block_lstm "
        "or gru_block_cell of refrnn.oracle.adapters.tensorflow make"
    )


def modules() -> Iterator[tuple[str, Any]]:
    """The fused operators, one of each option: what ``refrnn check tensorflow`` runs."""
    yield "BlockLSTM", block_lstm(3, 5, version=1)
    yield "BlockLSTM peepholes", block_lstm(3, 5, version=1, peepholes=True, forget_bias=0.5)
    yield "BlockLSTM clipped", block_lstm(3, 5, version=1, cell_clip=0.4)
    yield "BlockLSTMV2", block_lstm(3, 5)
    yield "BlockLSTMV2 peepholes", block_lstm(3, 5, peepholes=True)
    yield "BlockLSTMV2 by its kernel", block_lstm(3, 5, gradient="kernel")
    yield "GRUBlockCell", gru_block_cell(3, 5)


def block_lstm(
    input_size: int,
    hidden_size: int,
    *,
    version: int = 2,
    peepholes: bool = False,
    forget_bias: float | None = None,
    cell_clip: float | None = None,
    weights: Mapping[str, Any] | None = None,
    gradient: str = "registered",
) -> Subject:
    """``tf.raw_ops.BlockLSTM`` or ``BlockLSTMV2``, which run all steps of a batch.

    Parameters
    ----------
    input_size, hidden_size : int
    version : {1, 2}
        The operator: 1 keeps its gates in the order i c f o, 2 in the order i f c o.
    peepholes : bool
        The attribute ``use_peephole``.
    forget_bias : float, optional
        The attribute of version 1, added to f at run time; 1 if None. Version 2 has none.
    cell_clip : float, optional
        The attribute; 0 or less clips nothing. If None the operator's default: 3 in version 1, 0
        in version 2.
    weights : mapping of str to ndarray, optional
        ``w`` ((I + H), 4H), ``b`` (4H,) and, with peepholes, ``wci``, ``wcf``, ``wco`` (H,), all
        float32; drawn if None, uniform in +-2/sqrt(H).
    gradient : {"registered", "kernel"}
        What is checked as the gradient: what ``tf.GradientTape`` finds registered for the operator,
        or the operator ``BlockLSTMGrad`` or ``BlockLSTMGradV2``, called directly.

    Returns
    -------
    Subject
        Its arrays are (T, B, size), as the operator's. ``h[-1]`` and ``cs[-1]`` are read at the
        last step. The operator has one ``seq_len_max`` for a batch, so that only problems whose
        sequences have one length can be put to it.

    Raises
    ------
    ValueError
        If an option has a value, or a weight a shape, that the operator does not have.
    TypeError
        If a weight has another dtype, or `forget_bias` is given to version 2.
    """
    if version not in _CLIPS:
        raise ValueError(f"version has value {version!r}, expected 1 or 2")
    if gradient not in _GRADIENTS:
        raise ValueError(f"gradient has value {gradient!r}, expected one of {_GRADIENTS}")
    if forget_bias is not None and version == 2:
        raise TypeError(f"forget_bias has value {forget_bias}, expected None: BlockLSTMV2 has none")
    added = check_finite(1.0 if forget_bias is None else forget_bias, "forget_bias")
    clip = check_finite(_CLIPS[version] if cell_clip is None else cell_clip, "cell_clip")
    cell = LSTM(
        check_integer(input_size, "input_size", minimum=1),
        check_integer(hidden_size, "hidden_size", minimum=1),
        biases=1,
        peepholes=check_bool(peepholes, "peepholes"),
        cell_clip=clip if clip > 0 else None,
    )
    layout = layouts.block_lstm(added) if version == 1 else LAYOUTS["tf.BlockLSTMV2"]
    attributes = {"cell_clip": clip, "use_peephole": cell.peepholes}
    if version == 1:
        attributes["forget_bias"] = added
    return _BlockLSTM(cell, layout, weights, attributes, version, gradient == "kernel")


def gru_block_cell(
    input_size: int, hidden_size: int, *, weights: Mapping[str, Any] | None = None
) -> Subject:
    """``tf.raw_ops.GRUBlockCell``, one step, called along every sequence.

    Parameters
    ----------
    input_size, hidden_size : int
    weights : mapping of str to ndarray, optional
        ``w_ru`` ((I + H), 2H), ``w_c`` ((I + H), H), ``b_ru`` (2H,), ``b_c`` (H,), all float32;
        drawn if None, uniform in +-2/sqrt(H).

    Returns
    -------
    Subject
        Its arrays are the rows of the ragged batch. TensorFlow registers no gradient for the
        operator, so ``GRUBlockCellGrad`` is called, and the products that make weight gradients of
        what it gives are formed beside it.

    Raises
    ------
    TypeError, ValueError
        If a weight has another dtype or shape.
    """
    cell = GRU(
        check_integer(input_size, "input_size", minimum=1),
        check_integer(hidden_size, "hidden_size", minimum=1),
        biases=1,
        reset_after=False,
    )
    return _GRUBlockCell(cell, LAYOUTS["tf.GRUBlockCell"], weights)


class _Operator:
    """What the operators share: weights by name, and float32."""

    dtype: np.dtype[Any] = np.dtype(np.float32)
    semantics: Semantics = LAW

    def __init__(self, cell: AnyCell, layout: Layout, weights: Mapping[str, Any] | None) -> None:
        self.network = Network([cell])
        self._cell = cell
        self._layout = layout
        if weights is None:
            rng = np.random.default_rng(0)
            drawn = cell.init_parameters(rng, self.dtype, scale=2.0 / cell.hidden_size**0.5)
            weights = layout.to_foreign(cell, drawn)
        self._parameters = layout.from_foreign(cell, weights)
        for name in weights:
            if np.asarray(weights[name]).dtype != self.dtype:
                has = np.asarray(weights[name]).dtype
                raise TypeError(f"weights[{name!r}] has dtype {has}, expected float32")
        self._weights = {name: np.asarray(array) for name, array in weights.items()}

    def parameters(self) -> tuple[CellParameters, ...]:
        """The weights in refrnn's layout."""
        return (self._parameters,)

    def _present_parameters(self, results: Results) -> dict[str, Expected]:
        """The gradients of the weights, by the operator's names."""
        foreign = self._layout.gradient_to_foreign(self._cell, results.d_parameters[0])
        return {f"d_{name}": Expected(array) for name, array in foreign.items()}


class _BlockLSTM(_Operator):
    """BlockLSTM and BlockLSTMV2."""

    def __init__(
        self,
        cell: AnyCell,
        layout: Layout,
        weights: Mapping[str, Any] | None,
        attributes: dict[str, Any],
        version: int,
        kernel: bool,
    ) -> None:
        super().__init__(cell, layout, weights)
        self._attributes = attributes
        self._suffix = "" if version == 1 else "V2"
        self._kernel = kernel

    @property
    def title(self) -> str:
        """The operator and its attributes."""
        shown = ", ".join(f"{name}={value}" for name, value in self._attributes.items())
        how = f", gradient by BlockLSTMGrad{self._suffix}" if self._kernel else ""
        return f"tf.raw_ops.BlockLSTM{self._suffix}({shown}){how}"

    def supports(self, problem: Problem) -> str | None:
        """One length for all sequences of a batch, as there is one ``seq_len_max``."""
        if problem.has_holes:
            return "BlockLSTM takes a length and no mask, so that it has no holes"
        if len(set(problem.lengths.tolist())) > 1:
            return "BlockLSTM takes one seq_len_max for the whole batch, so that it is not ragged"
        return None

    def run(self, problem: Problem) -> Mapping[str, Any]:
        """Call the operator and differentiate."""
        import tensorflow as tf

        (state,), (d_state,) = problem.state_0, problem.d_state_n
        steps = int(problem.lengths.max(initial=0))
        leaves = {
            "x": tf.constant(problem.padded_input(batch_first=False)),
            "cs_prev": tf.constant(state.c),
            "h_prev": tf.constant(state.h),
            **{name: tf.constant(array) for name, array in self._weights.items()},
        }
        d_h = tf.constant(problem.padded_cotangent(batch_first=False))
        with tf.GradientTape() as tape:
            for tensor in leaves.values():
                tape.watch(tensor)
            saved = self._forward(tf, leaves, steps)
            ends = [saved["h"][steps - 1], saved["cs"][steps - 1]] if steps else []
            ends = ends or [tf.identity(leaves["h_prev"]), tf.identity(leaves["cs_prev"])]
        d_ends = [tf.constant(d_state.h), tf.constant(d_state.c)]
        if self._kernel and steps:
            gradients = self._backward(tf, leaves, saved, steps, d_h, d_ends)
        else:
            gradients = tape.gradient(
                [saved["h"], *ends],
                leaves,
                output_gradients=[d_h, *d_ends],
                unconnected_gradients=tf.UnconnectedGradients.ZERO,
            )
        if problem.default_state:
            gradients = {n: g for n, g in gradients.items() if not n.endswith("_prev")}
        named = {"h": saved["h"], "h[-1]": ends[0], "cs[-1]": ends[1]}
        named.update({f"d_{name}": gradient for name, gradient in gradients.items()})
        return {name: tensor.numpy() for name, tensor in named.items()}

    def _inputs(self, tf: Any, leaves: Mapping[str, Any], steps: int) -> dict[str, Any]:
        """The inputs of the operator and of its gradient; peepholes are there in any case."""
        unused = {name: tf.zeros(self._cell.hidden_size) for name in _PEEPHOLES}
        return {"seq_len_max": tf.constant(steps, tf.int64), **unused, **leaves}

    def _forward(self, tf: Any, leaves: Mapping[str, Any], steps: int) -> dict[str, Any]:
        """What the operator puts out, by name."""
        operator = getattr(tf.raw_ops, f"BlockLSTM{self._suffix}")
        outputs = operator(**self._inputs(tf, leaves, steps), **self._attributes)
        return dict(zip(("i", "cs", "f", "o", "ci", "co", "h"), outputs, strict=True))

    def _backward(
        self,
        tf: Any,
        leaves: Mapping[str, Any],
        saved: Mapping[str, Any],
        steps: int,
        d_h: Any,
        d_ends: list[Any],
    ) -> dict[str, Any]:
        """The gradients as the operator for them gives them."""
        last = tf.one_hot(steps - 1, d_h.shape[0])[:, None, None]
        found = getattr(tf.raw_ops, f"BlockLSTMGrad{self._suffix}")(
            **self._inputs(tf, leaves, steps),
            **saved,
            h_grad=d_h + last * d_ends[0],
            cs_grad=last * d_ends[1],
            use_peephole=self._attributes["use_peephole"],
        )
        names = ("x", "cs_prev", "h_prev", "w", *_PEEPHOLES, "b")
        return {n: g for n, g in zip(names, found, strict=True) if n in leaves}

    def present(
        self, results: Results, problem: Problem, semantics: Semantics
    ) -> Mapping[str, Expected]:
        """The operator's names, (T, B, size)."""
        (state_n,), (d_state_0,) = results.state_n, results.d_state_0
        named = {
            "h": expected_output(results, problem, semantics, batch_first=False),
            "h[-1]": Expected(state_n.h),
            "cs[-1]": Expected(state_n.c),
            "d_x": expected_d_input(results, problem, batch_first=False),
        }
        if not problem.default_state:
            named["d_h_prev"] = Expected(d_state_0.h)
            named["d_cs_prev"] = Expected(d_state_0.c)
        return {**named, **self._present_parameters(results)}


class _GRUBlockCell(_Operator):
    """GRUBlockCell, stepped along every sequence, exactly its length."""

    title = "tf.raw_ops.GRUBlockCell, gradient by GRUBlockCellGrad"

    def supports(self, problem: Problem) -> str | None:
        """Holes are a matter of padding, and a cell sees none."""
        return "a cell is given steps, and they have no holes" if problem.has_holes else None

    def run(self, problem: Problem) -> Mapping[str, Any]:
        """Step every sequence, and differentiate all of it."""
        import tensorflow as tf

        step = _gru_step(tf)
        weights = {name: tf.constant(array) for name, array in self._weights.items()}
        leaves = {
            "x": tf.constant(problem.batch.values),
            "h_prev": tf.constant(problem.state_0[0].h),
            **weights,
        }
        offsets = problem.batch.offsets
        with tf.GradientTape() as tape:
            for tensor in leaves.values():
                tape.watch(tensor)
            outputs, ends = [leaves["h_prev"][:0]], [leaves["h_prev"][:0]]
            for b in range(len(problem.batch)):
                h = leaves["h_prev"][b : b + 1]
                for t in range(offsets[b], offsets[b + 1]):
                    h = step(leaves["x"][t : t + 1], h, *weights.values())
                    outputs.append(h)
                ends.append(h)
            output, end = tf.concat(outputs, 0), tf.concat(ends, 0)
        gradients = tape.gradient(
            [output, end],
            leaves,
            output_gradients=[tf.constant(problem.d_output), tf.constant(problem.d_state_n[0].h)],
            unconnected_gradients=tf.UnconnectedGradients.ZERO,
        )
        if problem.default_state:
            del gradients["h_prev"]
        named = {"h": output, "h[-1]": end}
        named.update({f"d_{name}": gradient for name, gradient in gradients.items()})
        return {name: tensor.numpy() for name, tensor in named.items()}

    def present(
        self, results: Results, problem: Problem, semantics: Semantics
    ) -> Mapping[str, Expected]:
        """Rows, as a cell knows no padding."""
        named = {
            "h": Expected(results.output),
            "h[-1]": Expected(results.state_n[0].h),
            "d_x": Expected(results.d_input),
        }
        if not problem.default_state:
            named["d_h_prev"] = Expected(results.d_state_0[0].h)
        return {**named, **self._present_parameters(results)}


def _gru_step(tf: Any) -> Any:
    """GRUBlockCell as a function that GradientTape can differentiate."""

    def rows(gradient: Array) -> Any:
        return tf.reduce_sum(gradient, axis=0)

    def step(x: Any, h_prev: Any, w_ru: Any, w_c: Any, b_ru: Any, b_c: Any) -> Any:
        inputs = {"x": x, "h_prev": h_prev, "w_ru": w_ru, "w_c": w_c, "b_ru": b_ru, "b_c": b_c}
        r, u, c, h = tf.raw_ops.GRUBlockCell(**inputs)

        def backward(d_h: Any) -> tuple[Any, ...]:
            d_x, d_h_prev, d_c, d_ru = tf.raw_ops.GRUBlockCellGrad(**inputs, r=r, u=u, c=c, d_h=d_h)
            of_ru, of_c = tf.concat([x, h_prev], 1), tf.concat([x, r * h_prev], 1)
            d_w_ru = tf.matmul(of_ru, d_ru, transpose_a=True)
            d_w_c = tf.matmul(of_c, d_c, transpose_a=True)
            return d_x, d_h_prev, d_w_ru, d_w_c, rows(d_ru), rows(d_c)

        return h, backward

    return tf.custom_gradient(step)
