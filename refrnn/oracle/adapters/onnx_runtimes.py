"""What runs an ONNX model: ONNX Runtime, the reference evaluator, or any backend."""

from __future__ import annotations

import io
import subprocess
import sys
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import numpy as np

from ...errors import UnsupportedCase
from ...types import Array
from ..semantics import LAW, PROFILES, Semantics

__all__ = ["Runtime", "find_runtime"]

#: How often a batch of no sequence is run: what it does to ONNX Runtime does not show every time.
_TIMES = 100

_CHILD = """
import io, sys
sys.path[:] = sys.argv[1:]
import numpy as np
import onnxruntime
given = np.load(io.BytesIO(sys.stdin.buffer.read()), allow_pickle=False)
inputs = {name: given[name] for name in given.files}
model, times = inputs.pop("/model").tobytes(), int(inputs.pop("/times"))
options = onnxruntime.SessionOptions()
options.log_severity_level = 4
try:
    import resource
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # it may well crash: that needs no file
except ImportError:
    pass
session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
for _ in range(times):
    outputs = session.run(None, inputs)
file = io.BytesIO()
np.savez(file, *outputs)
sys.stdout.buffer.write(file.getvalue())
"""


class Runtime(Protocol):
    """What runs models."""

    @property
    def title(self) -> str:
        """Its name and version."""
        ...

    @property
    def semantics(self) -> Semantics:
        """What it does on purpose."""
        ...

    def check(self, model: Any, inputs: Mapping[str, Array]) -> None:
        """Raise UnsupportedCase where the runtime does not take a model at all."""
        ...

    def run(self, model: Any, inputs: Mapping[str, Array]) -> Sequence[Any]:
        """The outputs of a model."""
        ...


def find_runtime(chosen: Any) -> Runtime:
    """A runtime by its name, or a backend.

    Parameters
    ----------
    chosen : {"onnxruntime", "reference"} or a Backend
        ONNX Runtime on the CPU, ``onnx.reference.ReferenceEvaluator``, or an object, usually a
        class, with ``prepare(model)`` as ``onnx.backend.base.Backend`` has it.

    Raises
    ------
    TypeError, ValueError
        If it is none of these.
    """
    if isinstance(chosen, str):
        made: dict[str, type[Any]] = {"onnxruntime": _OnnxRuntime, "reference": _Reference}
        if chosen not in made:
            rule = f"{', '.join(made)} or a Backend"
            raise ValueError(f"runtime has value {chosen!r}, expected {rule}")
        named: Runtime = made[chosen]()
        return named
    if not callable(getattr(chosen, "prepare", None)):
        kind = type(chosen).__name__
        raise TypeError(f"runtime has type {kind}, expected a name or a Backend")
    return _Backend(chosen)


class _OnnxRuntime:
    """ONNX Runtime on the CPU."""

    semantics = PROFILES["onnx"]

    def __init__(self) -> None:
        import onnxruntime

        self.title = f"ONNX Runtime {onnxruntime.__version__}"
        self._sessions: dict[bytes, Any] = {}

    def check(self, model: Any, inputs: Mapping[str, Array]) -> None:
        """Some of what it does not have, it only says when it is run."""
        try:
            self._session(model.SerializeToString()).run(None, dict(inputs))
        except Exception as error:  # every kind of error of its own derives from Exception alone
            text = " ".join(str(error).split())
            raise UnsupportedCase(
                f"{self.title} does not run the node in {inputs['X'].dtype}: {text[:400]}"
            ) from error

    def run(self, model: Any, inputs: Mapping[str, Array]) -> Sequence[Any]:
        """Run it; a batch of no sequence in another process, which it may take down with it."""
        serialized = model.SerializeToString()
        if 0 in inputs["X"].shape[:2]:
            return _in_a_child(serialized, inputs, self.title)
        outputs: Sequence[Any] = self._session(serialized).run(None, dict(inputs))
        return outputs

    def _session(self, serialized: bytes) -> Any:
        """A session, made once for a model."""
        import onnxruntime

        if serialized not in self._sessions:
            options = onnxruntime.SessionOptions()
            options.log_severity_level = 4  # errors are raised, and need not be printed too
            self._sessions[serialized] = onnxruntime.InferenceSession(
                serialized, options, providers=["CPUExecutionProvider"]
            )
        return self._sessions[serialized]


def _in_a_child(model: bytes, inputs: Mapping[str, Array], title: str) -> list[Any]:
    """Run ONNX Runtime in a process of its own; how that ended is an error here."""
    file = io.BytesIO()
    arrays: dict[str, Any] = {
        **inputs,
        "/model": np.frombuffer(model, np.uint8),
        "/times": np.array(_TIMES),
    }
    np.savez(file, **arrays)
    command = [sys.executable, "-c", _CHILD, *sys.path]
    done = subprocess.run(
        command, input=file.getvalue(), capture_output=True, check=False, timeout=300
    )
    if done.returncode:
        text = done.stderr.decode(errors="replace").strip() or "no message"
        code = done.returncode
        how = f"by signal {-code}" if code < 0 else f"with status {code}"
        ended = "" if "Traceback" in text else f"{title} ends the process {how}: "
        raise RuntimeError(f"{ended}{text.splitlines()[-1]}")
    outputs = np.load(io.BytesIO(done.stdout), allow_pickle=False)
    return [outputs[f"arr_{k}"] for k in range(len(outputs.files))]


class _Reference:
    """The reference evaluator of onnx."""

    semantics = LAW

    def __init__(self) -> None:
        import onnx

        self.title = f"onnx.reference {onnx.__version__}"

    def check(self, model: Any, inputs: Mapping[str, Array]) -> None:
        """It takes every model, and fails where it runs it."""

    def run(self, model: Any, inputs: Mapping[str, Array]) -> Sequence[Any]:
        """Run it."""
        from onnx.reference import ReferenceEvaluator

        outputs: Sequence[Any] = ReferenceEvaluator(model).run(None, dict(inputs))
        return outputs


class _Backend:
    """A backend: ``prepare(model).run([...])``."""

    semantics = LAW

    def __init__(self, backend: Any) -> None:
        self._backend = backend
        self.title = getattr(backend, "__qualname__", type(backend).__qualname__)

    def check(self, model: Any, inputs: Mapping[str, Array]) -> None:
        """A backend says what it does not take where it prepares a model."""
        try:
            self._backend.prepare(model)
        except UnsupportedCase:
            raise
        except Exception:  # a crash is a finding, of every problem
            return

    def run(self, model: Any, inputs: Mapping[str, Array]) -> Sequence[Any]:
        """Prepare and run it."""
        outputs: Sequence[Any] = self._backend.prepare(model).run(list(inputs.values()))
        return outputs
