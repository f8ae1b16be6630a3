"""Short checks of the kernels, without chance: ``python -m tests.cpu.kernel_checks KIND``.

What finds the planted bugs of ``kernel_bugs.txt``. The first check that fails is printed, by its
name and what it said, and is exit status 1. KIND is one of :data:`CHECKS`.
"""

from __future__ import annotations

import resource
import sys
import traceback
from collections.abc import Callable, Iterator

import numpy as np
from refrnn_accel.cpu import CythonUnroll

import refrnn as rr
from refrnn.cases import random_case
from refrnn.comparison import Case, run_case
from refrnn.testing.holding import hold_bitwise
from refrnn.testing.properties import PROPERTIES, agrees_with_the_definition

from ..kernel_cells import CELLS, bad_values_change_no_bit_of_others
from . import test_lanes_and_layout, test_threads, test_unroll, test_workspace
from .test_unroll import drawn_case
from .unrolls_and_cells import Poisoned

#: Input and hidden size, lengths, dtype, whether in reverse, and number of biases. Sizes around
#: those of vectors, groups and tiles, whole ones too.
SHAPES: tuple[tuple[int, int, list[int], str, bool, int], ...] = (
    (3, 5, [3, 0, 5, 1, 2, 4], "float64", False, 2),
    (17, 40, [9, 1, 1, 7, 4, 0, 12], "float32", True, 2),
    (16, 16, [4, 6, 2], "float32", False, 2),
    (8, 33, [7, 3, 5, 5, 1, 2, 0, 6, 4], "float64", True, 1),
)
#: Threads and lanes: teams with lanes of their own, and members that share units.
WAYS = ((1, 1), (2, None), (3, 2), (2, 6), (4, 1))


def shaped_cases(name: str) -> Iterator[Case]:
    """A cell in all shapes, with states and cotangents, none of them zero."""
    for seed, (inputs, units, lengths, dtype, reverse, biases) in enumerate(SHAPES):
        rng = np.random.default_rng(seed)
        cell = CELLS[name](inputs, units, biases=biases)
        batch = rr.RaggedBatch(rng.uniform(-2, 2, (sum(lengths), inputs)), lengths)
        made = random_case(cell, batch, rng, reverse=reverse)
        yield made.astype(dtype)._replace(name=f"{cell} {dtype}{' in reverse' * reverse}")


def unroll(threads: int, lanes: int | None) -> CythonUnroll:
    return CythonUnroll(num_threads=threads, lanes=lanes)


def agrees(name: str) -> None:
    for case, way in zip(shaped_cases(name), WAYS, strict=False):
        agrees_with_the_definition(unroll(*way), case)


def no_bit_depends_on_threads_or_lanes(name: str) -> None:
    for case in shaped_cases(name):
        expected = run_case(case, unroll(1, None))
        for way in WAYS:
            hold_bitwise(run_case(case, unroll(*way)), expected)


def what_memory_held_reaches_nothing(name: str) -> None:
    for case in shaped_cases(name):
        expected = run_case(case, unroll(1, None))
        for threads in (1, 3):
            poisoned = CythonUnroll(num_threads=threads, workspace=Poisoned())
            hold_bitwise(run_case(case, poisoned), expected)


def bad_values_stay(name: str) -> None:
    for case, bad in zip(shaped_cases(name), (np.nan, np.inf), strict=False):
        bad_values_change_no_bit_of_others(unroll(2, 2), case, bad)
    if name != "rnn_relu":
        for hidden_size in (5, 20):
            test_unroll.test_an_infinite_input_only_saturates(name, hidden_size)


def agrees_at_saturation_and_kinks(name: str) -> None:
    test_unroll.test_tiny_gradients_and_those_on_a_kink_agree_with_the_definition(name)


def holds_all_properties(name: str) -> None:
    number = list(CELLS).index(name) % 2  # every other cell in reverse
    case = list(shaped_cases(name))[number]
    for holds in PROPERTIES:
        if holds is not agrees_with_the_definition:
            holds(unroll(2, None), case)


def agrees_at_large_sizes(name: str) -> None:
    """More rows and columns than are multiplied, packed or added at a time."""
    sizes = {"lstm": (1100, 8), "gru_reset_before": (3, 530), "gru_reset_after": (3, 530)}
    if name in sizes:
        case = drawn_case(CELLS[name](*sizes[name]), "float32", [2, 0, 1])
        agrees_with_the_definition(unroll(3, None), case)
    if name == "gru_reset_before":
        test_unroll.test_many_rows_agree_with_the_definition(name)


def threads_and_memory(name: str) -> None:
    """Tests that have no cell: once is enough."""
    if name != "lstm":
        return
    for module in (test_threads, test_workspace):
        for key, test in vars(module).items():
            if key.startswith("test_") and callable(test):
                test()
    for lengths, hidden_size, threads, lanes in (([3, 0, 5, 1], 5, 2, None), ([], 5, 1, 3)):
        test_lanes_and_layout.test_every_sequence_is_on_one_lane.hypothesis.inner_test(  # type: ignore[attr-defined]
            lengths, hidden_size, threads, lanes
        )


def runs_on_threads(name: str) -> None:
    """For a build that watches memory: nothing is compared."""
    for case in shaped_cases(name):
        for way in WAYS:
            run_case(case, unroll(*way))


def runs_within_bounds(name: str) -> None:
    """The same, each array in memory of its own."""
    for case in shaped_cases(name):
        for threads in (1, 3):
            run_case(case, CythonUnroll(num_threads=threads, workspace=Poisoned()))


#: By what the kernels are compiled for: checks of a cell, those that find most first.
CHECKS: dict[str, tuple[Callable[[str], None], ...]] = {
    "values": (
        agrees, what_memory_held_reaches_nothing, no_bit_depends_on_threads_or_lanes,
        agrees_at_saturation_and_kinks, bad_values_stay, agrees_at_large_sizes,
        holds_all_properties,
    ),
    "threads": (threads_and_memory,),
    "races": (runs_on_threads,),
    "bounds": (runs_within_bounds,),
}  # fmt: skip


def first_failure(kind: str) -> str | None:
    """The check that fails first, and why; None if none does."""
    for check in CHECKS[kind]:
        for name in CELLS:
            try:
                check(name)
            except Exception as error:
                where = traceback.extract_tb(error.__traceback__)
                inner = next((f.name for f in reversed(where) if f.name != "hold"), "")
                return f"{check.__name__}({name}), {inner}: {' '.join(str(error).split())[:200]}"
    return None


if __name__ == "__main__":
    # Of what hangs a thread spins; and there is no limit of time that every machine keeps to.
    resource.setrlimit(resource.RLIMIT_CPU, (40, 45))
    found = first_failure(sys.argv[1])
    sys.stdout.write(f"{found}\n")
    sys.exit(found is not None)
