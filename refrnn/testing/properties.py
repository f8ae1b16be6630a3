"""The properties every unroll is held to, each a function of an unroll and a case.

Each returns nothing and raises AssertionError with the worst number named. They need NumPy only.
Where two runs are compared that the law does not promise to be bitwise equal, the one tolerance of
:mod:`refrnn.tolerances` decides, with the scale of the case. A case must have initial states and
cotangents; that all of them are random, none of them zero, is what gives a property its teeth.
"""

from __future__ import annotations

from .agreement import (
    agrees_with_the_definition,
    empty_sequences_pass_the_state,
    keeps_types_and_dtypes,
    none_means_zero,
    padding_reaches_nothing,
)
from .gradients import backward_is_linear, gradients_match_the_complex_step
from .independence import (
    ignores_neighbours,
    nan_stays_in_its_sequence,
    neighbours_change_no_bit,
    partitions_add_up,
    permutes_with_the_batch,
    reverse_is_forward_on_reversed,
    split_equals_whole,
)
from .ownership import (
    accepts_any_layout,
    inputs_stay_untouched,
    repeats_bitwise,
    results_are_their_own,
)
from .refusals import refuses

__all__ = [
    "PROPERTIES",
    "accepts_any_layout",
    "agrees_with_the_definition",
    "backward_is_linear",
    "empty_sequences_pass_the_state",
    "gradients_match_the_complex_step",
    "ignores_neighbours",
    "inputs_stay_untouched",
    "keeps_types_and_dtypes",
    "nan_stays_in_its_sequence",
    "neighbours_change_no_bit",
    "none_means_zero",
    "padding_reaches_nothing",
    "partitions_add_up",
    "permutes_with_the_batch",
    "refuses",
    "repeats_bitwise",
    "results_are_their_own",
    "reverse_is_forward_on_reversed",
    "split_equals_whole",
]

#: Those that hold for every unroll and any case, as the suite runs them.
PROPERTIES = (
    agrees_with_the_definition,
    keeps_types_and_dtypes,
    none_means_zero,
    empty_sequences_pass_the_state,
    padding_reaches_nothing,
    permutes_with_the_batch,
    ignores_neighbours,
    nan_stays_in_its_sequence,
    gradients_match_the_complex_step,
    backward_is_linear,
    split_equals_whole,
    reverse_is_forward_on_reversed,
    inputs_stay_untouched,
    results_are_their_own,
    accepts_any_layout,
    repeats_bitwise,
    partitions_add_up,
)
