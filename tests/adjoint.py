"""Hold a backward run to the complex step of its forward run, argument by argument."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

_STEP = 1e-30


def adjoint_errors(
    function: Callable[[Mapping[str, Any]], Mapping[str, Any]],
    arguments: Mapping[str, Any],
    cotangents: Mapping[str, Any],
    gradients: Mapping[str, Any],
) -> dict[str, float]:
    """|<d, J v> - <J^T d, v>| / sum |J^T d| |v|, or absolute where the gradient is 0, per argument.

    `function` takes and gives named arrays, and accepts complex ones.
    """
    assert set(gradients) == set(arguments)
    rng = np.random.default_rng(0)
    errors = {}
    for name, array in arguments.items():
        assert gradients[name].shape == array.shape, name
        assert gradients[name].dtype == array.dtype, name
        v = rng.choice([-1.0, 1.0], array.shape) * rng.uniform(0.5, 1.5, array.shape)
        moved = {n: a.astype(complex) for n, a in arguments.items()}
        moved[name] += 1j * _STEP * v
        tangents = {n: a.imag / _STEP for n, a in function(moved).items()}
        assert set(tangents) == set(cotangents)
        forward = sum(float(np.vdot(cotangents[n], tangents[n])) for n in tangents)
        backward = float(np.vdot(gradients[name], v))
        size = float(np.abs(gradients[name] * v).sum())
        errors[name] = abs(forward - backward) / (size or 1.0)
    return errors
