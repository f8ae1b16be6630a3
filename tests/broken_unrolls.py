"""Unrolls that are wrong in one way each, for ``refrnn check --unroll``."""

from __future__ import annotations

from typing import Any

import numpy as np

from refrnn import Gradients, Lanes, Packed, RaggedBatch, Run, UnsupportedCase


class ForgetsInitialState(Packed):
    """Wrong on any case with an initial state."""

    name = "forgets_initial_state"

    def forward(self, cell: Any, parameters: Any, batch: Any, state_0: Any, reverse: bool) -> Run:
        zero = cell.zero_state(len(batch), batch.dtype)
        return super().forward(cell, parameters, batch, zero, reverse)


class WrongByTwoTolerances(Packed):
    """Right but for one element of one gradient."""

    name = "off_in_one_element"

    def backward(self, tape: Any, d_output: Any, d_state_n: Any) -> Gradients:
        gradients = super().backward(tape, d_output, d_state_n)
        arrays = {name: array.copy() for name, array in gradients.parameters.items()}
        arrays["W_hh"][2, 1] += 1e-3
        return gradients._replace(parameters=type(gradients.parameters)(arrays))


class Nan(Packed):
    """Gives NaN where there is any output."""

    name = "nan"

    def forward(self, cell: Any, parameters: Any, batch: Any, state_0: Any, reverse: bool) -> Run:
        run = super().forward(cell, parameters, batch, state_0, reverse)
        values = np.full_like(run.output.values, np.nan)
        return run._replace(output=run.output.with_values(values))


class Crashes(Lanes):
    """Raises in backward, in two lines and letters that ASCII lacks."""

    name = "crashes"

    def backward(self, tape: Any, d_output: Any, d_state_n: Any) -> Gradients:
        raise IndexError("lane 3\nof 2 ✗")


class Exits(Lanes):
    """Ends the process, or tries to."""

    name = "exits"

    def forward(self, cell: Any, parameters: Any, batch: Any, state_0: Any, reverse: bool) -> Run:
        raise SystemExit(0)


class Widens(Packed):
    """Right numbers in the wrong dtype."""

    name = "widens"

    def forward(self, cell: Any, parameters: Any, batch: Any, state_0: Any, reverse: bool) -> Run:
        run = super().forward(cell, parameters, batch, state_0, reverse)
        return run._replace(output=run.output.with_values(run.output.values.astype(np.float64)))


class OtherLengths(Packed):
    """Right numbers, given to other sequences."""

    name = "other_lengths"

    def forward(self, cell: Any, parameters: Any, batch: Any, state_0: Any, reverse: bool) -> Run:
        run = super().forward(cell, parameters, batch, state_0, reverse)
        return run._replace(output=RaggedBatch(run.output.values, batch.lengths[::-1]))


class BareState(Packed):
    """Right numbers in a tuple without names."""

    name = "bare_state"

    def forward(self, cell: Any, parameters: Any, batch: Any, state_0: Any, reverse: bool) -> Run:
        run = super().forward(cell, parameters, batch, state_0, reverse)
        return run._replace(state_n=tuple(run.state_n))  # type: ignore[arg-type]


class PlanOfWords(Packed):
    """Right numbers, and a plan that cannot be counted with."""

    name = "plan_of_words"

    def forward(self, cell: Any, parameters: Any, batch: Any, state_0: Any, reverse: bool) -> Run:
        run = super().forward(cell, parameters, batch, state_0, reverse)
        return run._replace(plan=run.plan._replace(computed_steps="many"))  # type: ignore[arg-type]


class WritesIntoParameters(Packed):
    """Right, but spoils what it was given, as native code can."""

    name = "writes"

    def backward(self, tape: Any, d_output: Any, d_state_n: Any) -> Gradients:
        gradients = super().backward(tape, d_output, d_state_n)
        d_output[...] = 0
        return gradients


class OffersNothing(Lanes):
    """Supports no case."""

    name = "offers_nothing"

    def supports(self, cell: Any, dtype: Any, *, reverse: bool = False) -> str | None:
        return "there is no device"


class OffersSome(Lanes):
    """Supports one direction, and says so late."""

    name = "offers_some"

    def forward(self, cell: Any, parameters: Any, batch: Any, state_0: Any, reverse: bool) -> Run:
        if reverse:
            raise UnsupportedCase("forward only")
        return super().forward(cell, parameters, batch, state_0, reverse)


class NeedsDevice(Lanes):
    """Cannot be made here."""

    name = "needs_device"

    def __init__(self) -> None:
        raise RuntimeError("no device found")


class Masked(Packed):
    """Right, under the name of a built-in one."""

    name = "masked"


class Incomplete:
    """No unroll."""

    name = "incomplete"


right = Lanes(lanes=2)
