"""RefrnnBackend: models of the operators RNN, GRU and LSTM, run through ``onnx.backend``.

Importing this module imports ``onnx``; ``refrnn.oracle.onnx.RefrnnBackend`` does so at first use.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ...errors import UnsupportedCase
from ...types import Array
from ...unroll import Unroll, resolve
from ...validation import check_bool
from .graph import Graph, pair, read_model, read_node

__all__ = ["RefrnnBackend", "RefrnnModel"]

_onnx: Any = importlib.import_module("onnx")
_base: Any = importlib.import_module("onnx.backend.base")


class RefrnnModel(_base.BackendRep):  # type: ignore[misc]  # onnx is not there for mypy
    """A model made ready by :meth:`RefrnnBackend.prepare`."""

    def __init__(self, graph: Graph, zero_state_on_empty: bool, unroll: Unroll) -> None:
        self._graph = graph
        self._zero_state_on_empty = zero_state_on_empty
        self._unroll = unroll

    def run(self, inputs: Any, **kwargs: Any) -> tuple[Array, ...]:
        """Run the model.

        Parameters
        ----------
        inputs : sequence of ndarray, or mapping of str to ndarray
            One for each input of the graph that is no initializer, in its order or by name. Its
            dtype and shape must be the declared ones.

        Returns
        -------
        tuple of ndarray
            The graph's outputs; they can be had by name as well.

        Raises
        ------
        TypeError, ValueError
            If an input is missing, is one too many, or is not what the graph declares; and as
            :func:`refrnn.oracle.onnx.lstm`.
        """
        _refuse(kwargs, "run")
        return _outputs(self._graph.run(inputs, self._zero_state_on_empty, self._unroll))


class RefrnnBackend(_base.Backend):  # type: ignore[misc]  # onnx is not there for mypy
    """An ``onnx.backend.base.Backend`` for models of RNN, GRU, LSTM and Identity nodes.

    Versions 7, 14 and 22 of the operators, in float32 and float64, with every input and attribute.
    Everything else is refused by name when a model is prepared. All methods are class methods.

    References
    ----------
    .. [1] ``onnx.backend.base``, and the node tests of ``onnx.backend.test``.
    """

    @classmethod
    def is_compatible(cls, model: Any, device: str = "CPU", **kwargs: Any) -> bool:
        """Whether :meth:`prepare` takes the model."""
        try:
            cls.prepare(model, device, **kwargs)
        except UnsupportedCase:
            return False
        return True

    @classmethod
    def prepare(
        cls,
        model: Any,
        device: str = "CPU",
        *,
        zero_state_on_empty: bool = False,
        unroll: str | Unroll = "lanes",
        **kwargs: Any,
    ) -> RefrnnModel:
        """Check a model and make it ready to run.

        Parameters
        ----------
        model : onnx.ModelProto
        device : str
            "CPU".
        zero_state_on_empty : bool
            Final state 0 for a sequence of length 0, as ONNX Runtime has it.
        unroll : str or Unroll
            See :func:`refrnn.forward`.

        Raises
        ------
        onnx.checker.ValidationError
            If the model is not valid ONNX, an attribute newer than its opset included.
        TypeError, ValueError
            If an attribute is wrong.
        UnsupportedCase
            If the model has anything else than what this backend is for; the message names it.
        """
        _refuse(kwargs, "prepare")
        if not isinstance(model, _onnx.ModelProto):
            raise TypeError(f"model has type {type(model).__name__}, expected onnx.ModelProto")
        cls._check_device(device)
        super().prepare(model, device)  # onnx.checker
        zero_state = check_bool(zero_state_on_empty, "zero_state_on_empty")
        return RefrnnModel(read_model(model), zero_state, resolve(unroll))

    @classmethod
    def run_model(
        cls, model: Any, inputs: Any, device: str = "CPU", **kwargs: Any
    ) -> tuple[Array, ...]:
        """:meth:`prepare` a model and run it once."""
        return cls.prepare(model, device, **kwargs).run(inputs)

    @classmethod
    def run_node(
        cls,
        node: Any,
        inputs: Any,
        device: str = "CPU",
        outputs_info: Sequence[tuple[Any, tuple[int, ...]]] | None = None,
        *,
        opset_version: int | None = None,
        zero_state_on_empty: bool = False,
        unroll: str | Unroll = "lanes",
        **kwargs: Any,
    ) -> tuple[Array, ...]:
        """Run one node.

        Parameters
        ----------
        node : onnx.NodeProto
        inputs : sequence of ndarray, or mapping of str to ndarray
            One for each of the node's inputs that has a name.
        device : str
            "CPU".
        outputs_info : sequence of (dtype, shape), optional
            What the outputs must be.
        opset_version : int, optional
            The newest that the installed onnx knows if None.
        zero_state_on_empty, unroll
            As in :meth:`prepare`.

        Returns
        -------
        tuple of ndarray
            Those of the node's outputs that have a name; they can be had by name as well.

        Raises
        ------
        TypeError, ValueError, UnsupportedCase
            As :meth:`prepare` and :meth:`RefrnnModel.run`; ValueError if the outputs are not as
            `outputs_info` says.
        """
        _refuse(kwargs, "run_node")
        cls._check_device(device)
        newest = _onnx.defs.onnx_opset_version()
        opset = newest if opset_version is None else opset_version
        super().run_node(node, inputs, device, opset_version=opset)  # onnx.checker
        zero_state = check_bool(zero_state_on_empty, "zero_state_on_empty")
        step = read_node(node, opset)
        names = list(dict.fromkeys(name for name in step.inputs if name))
        values = inputs if isinstance(inputs, Mapping) else pair(names, inputs)
        if set(values) != set(names):
            raise ValueError(f"inputs has names {sorted(values)}, expected {sorted(names)}")
        results = step.run(values, zero_state, resolve(unroll))
        if outputs_info is not None:
            _check_outputs(results, outputs_info)
        return _outputs(results)

    @classmethod
    def supports_device(cls, device: str) -> bool:
        """Whether `device` is the CPU: "CPU", or "CPU:0" and so on."""
        return device.partition(":")[0] == "CPU"

    @classmethod
    def _check_device(cls, device: str) -> None:
        if not cls.supports_device(device):
            raise UnsupportedCase(f"device has value {device!r}, expected 'CPU'")


def _refuse(kwargs: Mapping[str, Any], method: str) -> None:
    """Refuse arguments that nothing would look at."""
    if kwargs:
        raise TypeError(f"{method} has an unknown argument {next(iter(kwargs))!r}, expected none")


def _outputs(named: Mapping[str, Array]) -> tuple[Array, ...]:
    """A tuple whose entries can be had by name too, as onnx' backends return it."""
    made: tuple[Array, ...] = _base.namedtupledict("Outputs", list(named))(*named.values())
    return made


def _check_outputs(named: Mapping[str, Array], outputs_info: Sequence[tuple[Any, Any]]) -> None:
    """Raise ValueError unless the outputs are as the caller says."""
    found = [(array.dtype, array.shape) for array in named.values()]
    wanted = [(np.dtype(dtype), tuple(shape)) for dtype, shape in outputs_info]
    if found != wanted:
        raise ValueError(f"outputs_info has {wanted}, expected {found}")
