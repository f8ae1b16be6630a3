"""What Keras alone does wrong, as mistakes that the oracle can try."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from ...unroll import Packed
from ..evaluation import Setting, evaluate
from ..mistakes import Mistake
from ..network import AtPadding, Results
from ..padded import expected_output

__all__ = ["zeros_in_time_order"]


def zeros_in_time_order(setting: Setting) -> Iterator[Mistake]:
    """Outputs of a run backwards set to zero by a mask that was not turned round with them.

    Parameters
    ----------
    setting : Setting
        Of one direction backwards, or of one layer of two whose outputs stand side by side.
    """
    if setting.network.reverse[-1] and setting.network.merge == "concat":
        yield Mistake(
            "outputs of the backward direction set to zero by the mask in the order of time",
            lambda: _computed(setting),
            setting.semantics,
        )


def _computed(setting: Setting) -> Results:
    """The results, outputs in the padding included."""
    problem, width = setting.problem, setting.network.cells[-1].output_size
    own = slice(setting.network.output_size - width, None)  # the features of the backward run
    kept = problem.mask[:, ::-1]
    d_output = problem.d_output.copy()
    d_output[~kept[problem.mask], own] = 0
    changed = setting._replace(problem=problem._replace(d_output=d_output))
    right = evaluate(changed, Packed())
    shown = expected_output(right, problem, setting.semantics.lawful("padded_output")).array.copy()
    repeated = expected_output(
        right._replace(output=right.output[:, own]),
        problem,
        setting.semantics._replace(padded_output="repeat"),
        backwards=True,
    ).array
    shown[:, :, own] = np.where(kept[:, :, None], repeated, 0)
    d_input = np.zeros((*problem.mask.shape, setting.network.input_size), problem.dtype)
    return right._replace(output=shown[problem.mask], at_padding=AtPadding(shown, d_input))
