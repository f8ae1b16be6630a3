"""ONNX Runtime's LSTM, GRU and RNN as a peer. Imported only in a process of its own.

ONNX Runtime runs models and does not differentiate them: forward alone is timed. The peer gets its
input padded beforehand, weights as constants (which a session lays out for its kernels once, when
it is made) and the true lengths as ``sequence_lens``. See :doc:`/performance`.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import Any

import numpy as np

from ..cells import GRU, LSTM, RNN
from ..comparison import Case
from ..types import Array
from ..unroll.base import AnyCell

__all__ = ["OnnxRunner", "operator", "prepare"]

# Which gate of refrnn stands in each place of ONNX; None: coupled gates have no forget gate.
_ORDER: dict[type, tuple[int | None, ...]] = {LSTM: (0, 3, 1, 2), GRU: (1, 0, 2), RNN: (0,)}
_COUPLED_ORDER: tuple[int | None, ...] = (0, 2, None, 1)
_ACTIVATIONS = {"sigmoid": "Sigmoid", "tanh": "Tanh", "relu": "Relu"}

#: Opset 14 and IR 7 belong together: every ONNX Runtime since 1.7 knows them.
_OPSET, _IR = 14, 7

_NO_BACKWARD = "ONNX Runtime runs models and does not differentiate them"


class OnnxRunner:
    """A case as a model of one operator, in a session of ONNX Runtime on the CPU.

    Parameters
    ----------
    case : Case
        It must be one that :func:`prepare` accepts.
    threads : int
        Of the session's pool, the calling thread included.
    arena : bool
        Keep memory from call to call, as ONNX Runtime does by default.
    """

    def __init__(self, case: Case, threads: int, arena: bool = True) -> None:
        self._case = case
        self._runtime: Any = importlib.import_module("onnxruntime")
        options = self._runtime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.enable_cpu_mem_arena = arena
        self._session = self._runtime.InferenceSession(
            _model(case), options, providers=["CPUExecutionProvider"]
        )
        lengths = case.batch.lengths.astype(np.int32)
        self._feeds = {"X": case.batch.to_padded(), "sequence_lens": lengths}

    def forward(self) -> Any:
        """Run the model: output and final state."""
        return self._session.run(None, self._feeds)

    def forward_backward(self) -> Any:
        """Refuse: there is no backward to time."""
        raise NotImplementedError(_NO_BACKWARD)

    def results(self) -> Mapping[str, Array]:
        """As :meth:`refrnn.bench.contestants.Prepared.results`: no gradients."""
        output, *state = self.forward()  # (T, directions, B, H), (directions, B, H)
        rows = [output[:n, 0, b] for b, n in enumerate(self._case.batch.lengths.tolist())]
        named = {"output": np.concatenate(rows)}
        letters = self._case.cell.state_names
        named.update({f"{n}_n": array[0] for n, array in zip(letters, state, strict=True)})
        return named

    def facts(self) -> Mapping[str, Any]:
        """As :meth:`refrnn.bench.contestants.Prepared.facts`."""
        batch = self._case.batch
        onnx: Any = importlib.import_module("onnx")
        return {
            "computed_steps": batch.max_length * batch.batch_size,
            "versions": {
                "onnxruntime": self._runtime.__version__,
                "onnx": onnx.__version__,
                "numpy": np.__version__,
            },
            "threads": self._session.get_session_options().intra_op_num_threads,
            "lacks": {"forward+backward": _NO_BACKWARD},
        }


def prepare(case: Case, threads: int, *, arena: bool = True) -> OnnxRunner | str:
    """A runner, or the reason why ONNX Runtime has no such operator.

    Parameters
    ----------
    case : Case
    threads : int
        For ``SessionOptions.intra_op_num_threads``.
    arena : bool
        As in :class:`OnnxRunner`.
    """
    return _lacks(case) or OnnxRunner(case, threads, arena)


def _lacks(case: Case) -> str | None:
    """What of this case the operators, or their kernels for the CPU, do not have."""
    cell = case.cell
    if case.dtype != np.float32:
        return f"ONNX Runtime's recurrent kernels for the CPU take float32, not {case.dtype}"
    for name in ("proj_size", "cell_clip"):
        if getattr(cell, name, None):
            return f"ONNX has no {type(cell).__name__} with {name}"
    names = [getattr(cell, slot).name for slot in _activation_slots(cell)]
    unknown = sorted(set(names) - set(_ACTIVATIONS))
    if unknown:
        return f"this peer is given sigmoid, tanh and relu, not {', '.join(unknown)}"
    return None


def _activation_slots(cell: AnyCell) -> tuple[str, ...]:
    """The options of the cell that are ONNX's activations f, g and h, in this order."""
    if isinstance(cell, LSTM):
        return "gate_activation", "cell_activation", "output_activation"
    if isinstance(cell, GRU):
        return "gate_activation", "candidate_activation"
    return ("activation",)


def operator(case: Case) -> tuple[str, dict[str, Any], dict[str, Array]]:
    """The ONNX operator that is this case: its name, attributes and constant inputs.

    Parameters
    ----------
    case : Case

    Returns
    -------
    name : {"LSTM", "GRU", "RNN"}
    attributes : dict
    constants : dict of str to ndarray
        ``W`` (1, G*H, I) and ``R`` (1, G*H, H), ``B`` (1, 2*G*H) where there is a bias, ``P``
        (1, 3*H) where there are peepholes, with gates in the order of ONNX: i, o, f, c or z, r, h.
    """
    cell, parameters = case.cell, case.parameters
    attributes: dict[str, Any] = {
        "hidden_size": cell.hidden_size,
        "direction": "reverse" if case.reverse else "forward",
        "activations": [_ACTIVATIONS[getattr(cell, slot).name] for slot in _activation_slots(cell)],
    }
    if cell.gate_clip is not None:
        attributes["clip"] = cell.gate_clip
    if isinstance(cell, GRU):
        attributes["linear_before_reset"] = int(cell.reset_after)
    if isinstance(cell, LSTM):
        attributes["input_forget"] = int(cell.coupled)
    constants = {
        "W": _gates(cell, parameters["W_ih"])[None],
        "R": _gates(cell, parameters["W_hh"])[None],
    }
    if cell.biases:
        b_ih = _gates(cell, parameters["b_ih"])
        b_hh = _gates(cell, parameters["b_hh"]) if cell.biases == 2 else np.zeros_like(b_ih)
        constants["B"] = np.concatenate([b_ih, b_hh])[None]
    if isinstance(cell, LSTM) and cell.peepholes:
        p_i, p_o = parameters["p_i"], parameters["p_o"]
        p_f = np.zeros_like(p_i) if cell.coupled else parameters["p_f"]
        constants["P"] = np.concatenate([p_i, p_o, p_f])[None]
    return type(cell).__name__, attributes, constants


def _gates(cell: AnyCell, array: Array) -> Array:
    """The blocks of rows of `array`, one a gate, in the order of ONNX."""
    blocks = np.split(array, cell.num_gates)
    coupled = isinstance(cell, LSTM) and cell.coupled
    order = _COUPLED_ORDER if coupled else _ORDER[type(cell)]
    zero = np.zeros_like(blocks[0])
    return np.concatenate([zero if gate is None else blocks[gate] for gate in order])


def _model(case: Case) -> bytes:
    """The serialised model: inputs X (T, B, I) and sequence_lens (B,), outputs Y, Y_h, (Y_c)."""
    onnx: Any = importlib.import_module("onnx")
    helper, kinds = onnx.helper, onnx.TensorProto
    name, attributes, constants = operator(case)
    B, I = case.batch.batch_size, case.cell.input_size  # noqa: E741 - letters of the field
    inputs = ["X", "W", "R", "B" if "B" in constants else "", "sequence_lens"]
    if "P" in constants:
        inputs += ["", "", "P"]  # no initial_h, no initial_c
    outputs = ["Y", *(f"Y_{letter}" for letter in case.cell.state_names)]
    node = helper.make_node(name, inputs, outputs, **attributes)
    graph = helper.make_graph(
        [node],
        name,
        [
            helper.make_tensor_value_info("X", kinds.FLOAT, ["T", B, I]),
            helper.make_tensor_value_info("sequence_lens", kinds.INT32, [B]),
        ],
        [helper.make_tensor_value_info(slot, kinds.FLOAT, None) for slot in outputs],
        [onnx.numpy_helper.from_array(array, slot) for slot, array in constants.items()],
    )
    opset = [helper.make_opsetid("", _OPSET)]
    model = helper.make_model(graph, opset_imports=opset, ir_version=_IR)
    serialised: bytes = model.SerializeToString()
    return serialised
