"""P5: gradients are derivatives, and linear in what they pull back."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..comparison import Case, Reference, compare, reference, run_case
from ..gradcheck import check_gradients, raise_if_wrong
from ..unroll import Unroll
from .holding import hold

__all__ = ["backward_is_linear", "gradients_match_the_complex_step"]


def gradients_match_the_complex_step(unroll: Unroll, case: Case) -> None:
    """P5: every gradient matches a directional derivative, each argument by itself.

    The derivative is the complex step of the definition's forward run.
    """
    raise_if_wrong(check_gradients(case, unroll, directions=1))


def backward_is_linear(unroll: Unroll, case: Case) -> None:
    """P5: backward(u + 2v) = backward(u) + 2 backward(v)."""
    rng = np.random.default_rng(0)
    assert case.d_output is not None

    def drawn(array: Any) -> Any:
        return rng.uniform(-1, 1, array.shape).astype(case.dtype)

    v = case._replace(
        d_output=drawn(case.d_output),
        d_state_n=type(case.d_state_n)._make([drawn(a) for a in case.d_state_n]),
    )
    assert v.d_output is not None
    both = case._replace(
        d_output=case.d_output + 2 * v.d_output,
        d_state_n=type(case.d_state_n)._make(
            [a + 2 * b for a, b in zip(case.d_state_n, v.d_state_n, strict=True)]
        ),
    )
    of_u, of_v, of_both = (run_case(c, unroll) for c in (case, v, both))
    added = {n: a + 2 * of_v[n] if n.startswith("d_") else a for n, a in of_u.items()}
    # u and 2v may cancel in the sum: each has its own rounding, and so its own scale
    of_one, of_two = reference(case).scales, reference(v).scales
    scales = {name: of_one[name] + 2 * of_two[name] for name in added}
    hold(compare(both, added, Reference(of_both, scales)))
