"""A right LSTM on padded batches in JAX, and the mistakes that it can be told to make."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp

from refrnn.oracle import Report, check, standard_problem


def checked(subject: Any, *names: str) -> Report:
    """A report on some problems of the standard set."""
    return check(subject, [standard_problem(name, subject.network) for name in names])


def words(report: Report) -> dict[tuple[str, str], str]:
    """What is said of each array of each problem that failed."""
    return {(e.problem, e.tensor): e.words for e in report.entries if e.status.value == "FAILED"}


@jax.custom_vjp
def off_by_a_thousandth(a: Any) -> Any:
    """The identity; the gradient of its first element is 0.1 % too large."""
    return a


off_by_a_thousandth.defvjp(lambda a: (a, None), lambda _, d: (d.at[0, 0].multiply(1.001),))


def lstm(
    parameters: dict[str, Any],
    x: Any,
    mask: Any,
    state_0: Any,
    *,
    gates: Sequence[int] = (0, 1, 2, 3),
    bias: float = 1.0,
    change: Callable[[dict[str, Any]], dict[str, Any]] = lambda parameters: parameters,
    clean: bool = True,
    carry: str = "kept",
    turned: str = "",
    start: Callable[[Any], Any] = lambda state: state,
    end: Callable[[Any], Any] = lambda result: result,
) -> Any:
    """An LSTM, right unless it is told otherwise.

    Padding is replaced before it is computed with, so that NaN in it reaches nothing; the state is
    kept where there is none.
    """
    p = change(parameters)
    state_0 = start(state_0)
    if clean:
        x = jnp.where(mask[:, :, None], x, 0)
    lengths = mask.sum(axis=1)

    def turn(a: Any) -> Any:
        if turned == "within":
            steps = jnp.arange(a.shape[1])
            where = jnp.where(steps < lengths[:, None], lengths[:, None] - 1 - steps, steps)
            return jnp.take_along_axis(a, where[:, :, None], axis=1)
        return a[:, ::-1] if turned else a

    def step(state: Any, now: Any) -> tuple[Any, Any]:
        x_t, real = now
        h, c = state
        a = x_t @ p["W_ih"].T + h @ p["W_hh"].T + bias * (p["b_ih"] + p["b_hh"])
        blocks = jnp.split(a, 4, axis=-1)
        i, f, g, o = (blocks[gate] for gate in gates)
        c_t = jax.nn.sigmoid(f) * c + jax.nn.sigmoid(i) * jnp.tanh(g)
        h_t = jax.nn.sigmoid(o) * jnp.tanh(c_t)
        output = jnp.where(real[:, None], h_t, 0)
        if carry == "kept":
            h_t, c_t = jnp.where(real[:, None], h_t, h), jnp.where(real[:, None], c_t, c)
        return (h_t, c_t), output

    steps = jnp.ones_like(mask) if turned == "whole" else mask
    state_n, y = jax.lax.scan(step, tuple(state_0), (turn(x).swapaxes(0, 1), steps.T))
    y = jnp.where(mask[:, :, None], turn(y.swapaxes(0, 1)), 0)
    return end((y, state_n))


def with_mistake(**mistake: Any) -> Callable[..., Any]:
    """The LSTM with options of its own."""
    return partial(lstm, **mistake)
