"""What unrolls allocate: nothing of size B*T but where padding is the point, and a lean tape.

NumPy reports its buffers to tracemalloc, so the peak of a call is the sum of everything that was
alive at once; the largest single array cannot be larger.
"""

import tracemalloc
from collections.abc import Mapping

import numpy as np
import pytest

import refrnn as rr
from refrnn.cases import CELL_NAMES, make_cell

# One sequence of length 2000 and 500 of length 1: B*T is 400 times N.
LENGTHS = [1] * 200 + [2000] + [1] * 300
B, T, N = len(LENGTHS), max(LENGTHS), sum(LENGTHS)
FEATURES, H = 3, 4
SOME_LENGTHS = [7, 0, 30, 12, 1, 19, 30, 5]
LEAN = [rr.PerSequence(), rr.Packed(), rr.Lanes()]
PADDED = [rr.Masked(), rr.Bucketed(num_buckets=1)]
CELLS = ["rnn_tanh", "lstm", "gru_reset_after", "gru_reset_before"]


def named(unroll):
    return f"{unroll.name}{vars(unroll).get('lanes') or ''}"


def make_run(cell, unroll, lengths=LENGTHS, dtype="float32", reverse=False):
    """A call of forward, without its result."""
    rng = np.random.default_rng(0)
    parameters = cell.init_parameters(rng, dtype)
    values = rng.standard_normal((sum(lengths), cell.input_size)).astype(dtype)
    batch = rr.RaggedBatch(values, np.array(lengths))
    return lambda: rr.forward(cell, parameters, batch, unroll=unroll, reverse=reverse)


def peak(call):
    """Bytes allocated at once, at most, on top of what was there before; and the result."""
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        tracemalloc.reset_peak()
        result = call()
        highest = tracemalloc.get_traced_memory()[1] - before
    finally:
        tracemalloc.stop()
    return highest, result


def peaks(cell, unroll, reverse=False):
    """Peak of forward, and of backward on top of what forward left."""
    rr.backward(make_run(cell, unroll, SOME_LENGTHS)().tape)  # imports and caches are not meant
    forward, run = peak(make_run(cell, unroll, reverse=reverse))
    d_output = np.ones((N, cell.output_size), np.float32)
    backward, _ = peak(lambda: rr.backward(run.tape, d_output))
    return forward, backward


@pytest.mark.parametrize(("cell", "reverse"), [(name, False) for name in CELLS] + [("lstm", True)])
@pytest.mark.parametrize("unroll", LEAN, ids=named)
def test_no_array_of_size_b_times_t(unroll, cell, reverse):
    """All that is alive at once takes fewer bytes than a mask of booleans would."""
    for highest in peaks(make_cell(cell, FEATURES, H), unroll, reverse):
        assert highest < B * T


@pytest.mark.parametrize("unroll", PADDED, ids=named)
def test_padding_is_seen_by_the_same_measurement(unroll):
    """What pads holds B*T*H numbers at once, forward and backward."""
    for highest in peaks(make_cell("rnn_tanh", FEATURES, H), unroll):
        assert highest > B * T * H * 4


def roots(thing, found=None, seen=None):
    """The buffers that an object keeps alive: id of the array that owns each, and its bytes."""
    found = {} if found is None else found
    seen = set() if seen is None else seen
    if id(thing) in seen or isinstance(thing, (str, bytes, int, float, np.dtype, type)):
        return found
    seen.add(id(thing))
    if isinstance(thing, np.ndarray):
        while isinstance(thing.base, np.ndarray):
            thing = thing.base
        found[id(thing)] = thing
        return found
    parts = []
    if isinstance(thing, Mapping):
        parts += list(thing.values())
    elif isinstance(thing, (tuple, list)):
        parts += list(thing)
    parts += list(getattr(thing, "__dict__", {}).values())
    slots = [name for kind in type(thing).__mro__ for name in getattr(kind, "__slots__", ())]
    parts += [getattr(thing, name) for name in slots if hasattr(thing, name)]
    for part in parts:
        roots(part, found, seen)
    return found


def split(tape):
    """Bytes of real numbers and flags, and of everything else, that a tape keeps alive."""
    numbers = others = 0
    for array in roots(tape).values():
        if array.dtype.kind in "fb":
            numbers += array.nbytes
        else:
            others += array.nbytes
    return numbers, others


def allowed(cell, lengths, itemsize):
    """Bytes of real numbers: the rows of the tape, and copies of the arguments."""
    rows = sum(lengths)
    per_unit = 2 * cell.num_gates + 3
    if getattr(cell, "proj_size", 0) or getattr(cell, "cell_clip", None):
        per_unit += 1
    numbers = per_unit * rows * cell.hidden_size + rows * cell.input_size
    numbers += sum(int(np.prod(shape)) for shape in cell.parameter_shapes().values())
    numbers += len(lengths) * sum(cell.state_sizes)
    return numbers * itemsize


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", CELL_NAMES)
@pytest.mark.parametrize("unroll", [rr.Packed(), rr.Lanes(), rr.Lanes(lanes=3)], ids=named)
def test_tape_holds_no_more_than_it_may(unroll, name, dtype):
    """(2G + 3) N H numbers and the arguments; projection or clip N H more; indices by B and T."""
    cell = make_cell(name, 5, 16)
    tape = make_run(cell, unroll, SOME_LENGTHS, dtype)().tape
    numbers, indices = split(tape)
    assert numbers <= allowed(cell, SOME_LENGTHS, np.dtype(dtype).itemsize)
    steps = sum(SOME_LENGTHS) if unroll.name == "lanes" else max(SOME_LENGTHS)
    assert indices <= 8 * (3 * len(SOME_LENGTHS) + steps)


def test_tape_of_masked_is_larger_by_the_padding():
    """The same count, of an unroll that pads: it is the count that sees the difference."""
    cell = make_cell("lstm", 5, 16)
    numbers, _ = split(make_run(cell, rr.Masked(), SOME_LENGTHS)().tape)
    assert numbers > allowed(cell, SOME_LENGTHS, 4)
    padded = [max(SOME_LENGTHS)] * len(SOME_LENGTHS)
    before = 2 * sum(padded) * 16 * 4  # the state before each step
    assert numbers <= allowed(cell, padded, 4) + before


def test_count_sees_bases_mappings_and_slots_and_counts_nothing_twice():
    """A view keeps all of its base alive; the same buffer behind two views is one buffer."""

    class Slotted:
        __slots__ = ("array",)

        def __init__(self, array):
            self.array = array

    whole = np.zeros((10, 10))
    other = np.zeros(3, np.float32)
    thing = (whole[:1], {"a": whole[2:].T}, [Slotted(other)])
    assert sum(a.nbytes for a in roots(thing).values()) == 800 + 12
    cell = make_cell("lstm", 5, 16)
    tape = make_run(cell, rr.Packed(), SOME_LENGTHS)().tape
    assert split((tape, whole))[0] == split(tape)[0] + 800
