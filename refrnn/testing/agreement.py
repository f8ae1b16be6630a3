"""P2, P3, P9 and the law of semantics: the right numbers, in the right records."""

from __future__ import annotations

import numpy as np

from ..comparison import Case, compare, run_case
from ..ragged import RaggedBatch
from ..unroll import Unroll, backward, forward
from .holding import hold, hold_bitwise

__all__ = [
    "agrees_with_the_definition",
    "empty_sequences_pass_the_state",
    "keeps_types_and_dtypes",
    "none_means_zero",
    "padding_reaches_nothing",
]


def agrees_with_the_definition(unroll: Unroll, case: Case) -> None:
    """P2, P9: outputs, states and every gradient lie within tolerance of ``per_sequence``.

    The definition runs in float64, so a float32 case holds float32 to float64.
    """
    hold(compare(case, unroll))


def keeps_types_and_dtypes(unroll: Unroll, case: Case) -> None:
    """The law: what comes out has the dtype that went in, and the records it must have."""
    cell, batch, B = case.cell, case.batch, case.batch.batch_size
    run = forward(cell, case.parameters, batch, case.state_0, reverse=case.reverse, unroll=unroll)
    gradients = backward(run.tape, case.d_output, case.d_state_n)
    for name, ragged, width in (
        ("output", run.output, cell.output_size),
        ("d_input", gradients.input, cell.input_size),
    ):
        assert isinstance(ragged, RaggedBatch), f"{name} has type {type(ragged)}"
        assert np.array_equal(ragged.lengths, batch.lengths), f"{name} has lengths {ragged.lengths}"
        assert ragged.features == width, f"{name} has {ragged.features} features, expected {width}"
        assert ragged.dtype == case.dtype, f"{name} has dtype {ragged.dtype}, expected {case.dtype}"
    for name, state in (("state_n", run.state_n), ("d_state_0", gradients.state_0)):
        assert type(state) is cell.state_type, f"{name} has type {type(state)}"
        for array, size in zip(state, cell.state_sizes, strict=True):
            assert array.shape == (B, size), f"{name} has shape {array.shape}, expected {(B, size)}"
            assert array.dtype == case.dtype, f"{name} has dtype {array.dtype}"
    shapes = {name: array.shape for name, array in gradients.parameters.items()}
    assert shapes == cell.parameter_shapes(), f"parameter gradients have shapes {shapes}"
    assert gradients.parameters.dtype == case.dtype, "parameter gradients have another dtype"
    plan = run.plan
    assert plan.unroll == unroll.name, f"plan.unroll has value {plan.unroll}"
    assert plan.real_steps == batch.total_steps, f"plan.real_steps has value {plan.real_steps}"
    assert plan.padded_steps >= 0, f"plan.padded_steps has value {plan.padded_steps}"


def none_means_zero(unroll: Unroll, case: Case) -> None:
    """The law: a state or cotangent that is None, whole or in part, is zero."""
    B, sizes = case.batch.batch_size, case.cell.state_sizes
    zero = case.cell.state_type(*(np.zeros((B, size), case.dtype) for size in sizes))
    blank = np.zeros((case.batch.total_steps, case.cell.output_size), case.dtype)
    only_h = case.d_state_n._replace(**dict.fromkeys(case.cell.state_names[1:]))
    for absent, present in (
        (case._replace(state_0=None), case._replace(state_0=zero)),
        (case._replace(d_output=None), case._replace(d_output=blank)),
        (case._replace(d_state_n=None), case._replace(d_state_n=zero)),
        (
            case._replace(d_state_n=only_h),
            case._replace(d_state_n=zero._replace(h=case.d_state_n.h)),
        ),
    ):
        hold_bitwise(run_case(absent, unroll), run_case(present, unroll))


def empty_sequences_pass_the_state(unroll: Unroll, case: Case) -> None:
    """The law: at length 0, state_n is state_0 and d_state_0 is d_state_n, bit for bit."""
    got = run_case(case, unroll)
    empty = np.flatnonzero(case.batch.lengths == 0)
    for k, name in enumerate(case.cell.state_names):
        hold_bitwise({f"{name}_n": got[f"{name}_n"][empty]}, {f"{name}_n": case.state_0[k][empty]})
        expected = {f"d_{name}_0": case.d_state_n[k][empty]}
        hold_bitwise({f"d_{name}_0": got[f"d_{name}_0"][empty]}, expected)


def padding_reaches_nothing(unroll: Unroll, case: Case) -> None:
    """P3: the same bits whatever stood in the padding, and zeros in the padding of the output."""
    expected = run_case(case, unroll)
    lengths, longest = case.batch.lengths, case.batch.max_length + 2
    for batch_first in (False, True):
        for poison in (np.nan, np.inf, 1e300):
            with np.errstate(over="ignore"):
                padded = case.batch.to_padded(batch_first, poison, longest)
            batch = RaggedBatch.from_padded(padded, lengths, batch_first)
            got = run_case(case._replace(batch=batch), unroll)
            hold_bitwise(got, expected)
    output = case.batch.with_values(expected["output"]).to_padded(True, max_length=longest)
    for rows, length in zip(output, lengths, strict=True):
        assert not rows[length:].any(), "the padding of the output is not zero"
