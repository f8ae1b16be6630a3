"""A masked ``jax.lax.scan`` as a peer. Imported only in a process of its own.

JAX has no recurrent layer for the CPU that knows lengths; this is what its users write: the input
is projected in one product, one jitted scan steps all B padded rows T times, and a row keeps its
state where its sequence is over. Compilation is not timed. The gradients of the input and every
parameter come from ``jax.vjp``, jitted with the forward pass.
"""

from __future__ import annotations

import importlib
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ..cells import GRU, LSTM, RNN
from ..comparison import Case
from ..types import Array
from ..unroll.base import AnyCell

__all__ = ["JaxRunner", "hold", "prepare"]


class JaxRunner:
    """A case as two jitted functions: forward, and forward with gradients.

    Parameters
    ----------
    case : Case
        It must be one that :func:`prepare` accepts.
    """

    def __init__(self, case: Case) -> None:
        if case.d_output is None:
            raise ValueError("case has no d_output, expected one to pull back")
        jax: Any = importlib.import_module("jax")
        jnp: Any = importlib.import_module("jax.numpy")
        self._jax, self._case = jax, case
        batch = case.batch
        steps = np.arange(batch.max_length)[:, None, None]
        self._alive = jnp.asarray(steps < batch.lengths[:, None])  # (T, B, 1)
        self._x = jnp.asarray(batch.to_padded())
        self._parameters = {name: jnp.asarray(array) for name, array in case.parameters.items()}
        self._d_output = jnp.asarray(batch.with_values(case.d_output).to_padded())
        run = _unrolled(jax, jnp, case)

        def differentiate(parameters: Any, x: Any, alive: Any, d_output: Any) -> Any:
            output, pull_back, state = jax.vjp(
                lambda *arguments: run(*arguments, alive), parameters, x, has_aux=True
            )
            return output, state, pull_back(d_output)

        self._forward = jax.jit(run)
        self._differentiate = jax.jit(differentiate)

    def forward(self) -> Any:
        """Forward alone: nothing is kept for a backward pass."""
        return self._jax.block_until_ready(self._forward(self._parameters, self._x, self._alive))

    def forward_backward(self) -> Any:
        """Forward, then the gradients by input and parameters."""
        return self._jax.block_until_ready(
            self._differentiate(self._parameters, self._x, self._alive, self._d_output)
        )

    def results(self) -> Mapping[str, Array]:
        """As :meth:`refrnn.bench.contestants.Prepared.results`."""
        output, state, (d_parameters, d_x) = self.forward_backward()
        named = {"output": self._ragged(output), "d_input": self._ragged(d_x)}
        letters = self._case.cell.state_names
        named.update({f"{n}_n": np.asarray(s) for n, s in zip(letters, state, strict=True)})
        named.update({f"d_{n}": np.asarray(d_parameters[n]) for n in self._case.parameters})
        return named

    def facts(self) -> Mapping[str, Any]:
        """As :meth:`refrnn.bench.contestants.Prepared.facts`."""
        batch = self._case.batch
        facts: dict[str, Any] = {
            "computed_steps": batch.max_length * batch.batch_size,
            "versions": {"jax": self._jax.__version__, "numpy": np.__version__},
        }
        if hasattr(os, "sched_getaffinity"):
            facts["threads"] = len(os.sched_getaffinity(0))
        return facts

    def _ragged(self, values: Any) -> Array:
        """The real steps of a padded (T, B, ...) result, sequence by sequence."""
        array = np.asarray(values)
        lengths = self._case.batch.lengths.tolist()
        return np.concatenate([array[:n, b] for b, n in enumerate(lengths)])


def prepare(case: Case, threads: int) -> JaxRunner | str:
    """A runner, or the reason why this peer does not run the case.

    Parameters
    ----------
    case : Case
    threads : int
        Cores that this process is held to from now on, where the system can do that.
    """
    known = ("sigmoid", "tanh", "relu")
    options = case.cell.options()
    names = {option.name for slot, option in options.items() if slot.endswith("activation")}
    if not names.issubset(known):
        return f"this peer is given sigmoid, tanh and relu, not {', '.join(names - set(known))}"
    hold(threads)  # before XLA starts its threads
    jax: Any = importlib.import_module("jax")
    jax.config.update("jax_platforms", "cpu")
    jax.config.update("jax_enable_x64", bool(case.dtype == np.float64))
    return JaxRunner(case)


def hold(threads: int) -> None:
    """Hold this process to as many cores as it is given threads, different ones first.

    XLA reads the size of its pool from ``NPROC``, but the calling thread works beside the pool, and
    one thread was seen to keep 1.2 cores busy. Nothing but the cores themselves limits it.

    Parameters
    ----------
    threads : int
    """
    if not hasattr(os, "sched_setaffinity"):
        return
    seen: set[str] = set()
    first: list[int] = []
    siblings: list[int] = []
    for cpu in sorted(os.sched_getaffinity(0)):
        core = _core(cpu)
        (siblings if core in seen else first).append(cpu)
        seen.add(core)
    os.sched_setaffinity(0, [*first, *siblings][:threads])


def _core(cpu: int) -> str:
    """What the hardware threads of one core have in common, and those of another have not."""
    path = Path(f"/sys/devices/system/cpu/cpu{cpu}/topology/thread_siblings_list")
    try:
        return path.read_text(encoding="ascii")
    except OSError:
        return str(cpu)


# --- the cells, one step of all rows -------------------------------------------------------------


def _unrolled(jax: Any, jnp: Any, case: Case) -> Callable[..., Any]:
    """``run(parameters, x, alive)``: the states h of all steps (T, B, R), and the final state."""
    cell = case.cell
    make: Any = {LSTM: _lstm, GRU: _gru, RNN: _rnn}[type(cell)]
    activations = {"sigmoid": jax.nn.sigmoid, "tanh": jnp.tanh, "relu": jax.nn.relu}
    B = case.batch.batch_size
    start = [np.zeros((B, size), case.dtype) for size in cell.state_sizes]

    def run(parameters: Any, x: Any, alive: Any) -> Any:
        step = make(jnp, cell, parameters, activations)
        a = x @ parameters["W_ih"].T
        for name in _added_biases(cell):
            a = a + parameters[name]

        def masked(state: Any, inputs: Any) -> Any:
            a_t, alive_t = inputs
            pairs = zip(step(a_t, state), state, strict=True)
            after = tuple(jnp.where(alive_t, new, old) for new, old in pairs)
            return after, after[0]

        first = tuple(jnp.asarray(array) for array in start)
        state_n, output = jax.lax.scan(masked, first, (a, alive), reverse=case.reverse)
        return output, state_n

    return run


def _added_biases(cell: AnyCell) -> tuple[str, ...]:
    """The biases that add up before the scan: not b_hh where a reset gate multiplies it."""
    names = ("b_ih", "b_hh")[: cell.biases]
    return names[:1] if isinstance(cell, GRU) and cell.reset_after else names


def _lstm(jnp: Any, cell: LSTM, p: Any, activations: Any) -> Callable[..., Any]:
    """Equations L1 to L6."""
    gate, candidate, out = (
        activations[f.name]
        for f in (cell.gate_activation, cell.cell_activation, cell.output_activation)
    )

    def step(a: Any, state: Any) -> Any:
        h, c = state
        blocks = jnp.split(a + h @ p["W_hh"].T, cell.num_gates, axis=1)
        a_i, a_g, a_o = blocks[0], blocks[-2], blocks[-1]
        i = gate(_clipped(jnp, cell, a_i + p["p_i"] * c if cell.peepholes else a_i))
        if cell.coupled:
            f = 1 - i
        else:
            f = gate(_clipped(jnp, cell, blocks[1] + p["p_f"] * c if cell.peepholes else blocks[1]))
        c = f * c + i * candidate(_clipped(jnp, cell, a_g))
        if cell.cell_clip is not None:
            c = jnp.clip(c, -cell.cell_clip, cell.cell_clip)
        o = gate(_clipped(jnp, cell, a_o + p["p_o"] * c if cell.peepholes else a_o))
        m = o * out(c)
        return (m @ p["W_hr"].T if cell.proj_size else m), c

    return step


def _gru(jnp: Any, cell: GRU, p: Any, activations: Any) -> Callable[..., Any]:
    """Equations G1 to G4."""
    gate = activations[cell.gate_activation.name]
    candidate = activations[cell.candidate_activation.name]
    H = cell.hidden_size

    def step(a: Any, state: Any) -> Any:
        (h,) = state
        if cell.reset_after:
            recurrent = h @ p["W_hh"].T
            if cell.biases == 2:
                recurrent = recurrent + p["b_hh"]
        else:
            recurrent = h @ p["W_hh"][: 2 * H].T
        rz = gate(_clipped(jnp, cell, a[:, : 2 * H] + recurrent[:, : 2 * H]))
        r, z = rz[:, :H], rz[:, H:]
        q = r * recurrent[:, 2 * H :] if cell.reset_after else (r * h) @ p["W_hh"][2 * H :].T
        n = candidate(_clipped(jnp, cell, a[:, 2 * H :] + q))
        return (z * h + (1 - z) * n,)

    return step


def _rnn(jnp: Any, cell: RNN, p: Any, activations: Any) -> Callable[..., Any]:
    """Equations R1 and R2."""
    f = activations[cell.activation.name]
    return lambda a, state: (f(_clipped(jnp, cell, a + state[0] @ p["W_hh"].T)),)


def _clipped(jnp: Any, cell: AnyCell, a: Any) -> Any:
    """The pre-activation after the gate clip."""
    return a if cell.gate_clip is None else jnp.clip(a, -cell.gate_clip, cell.gate_clip)
