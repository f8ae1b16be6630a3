"""Memory comes back when nobody has it any more, and not before."""

from __future__ import annotations

import gc
import threading
import weakref

import numpy as np
import pytest
from refrnn_accel.cpu import CythonUnroll, Workspace

import refrnn as rr

from .test_unroll import drawn_case


def address(array: np.ndarray) -> int:
    found: int = array.__array_interface__["data"][0]
    return found


def test_memory_is_given_out_again() -> None:
    workspace = Workspace()
    first = workspace.empty((300, 100), np.float64)
    there = address(first)
    second = workspace.empty((300, 100), np.float64)
    assert not np.shares_memory(first, second)
    assert workspace.kept_bytes == 0
    del first
    assert workspace.kept_bytes >= 240_000
    assert address(workspace.empty((290, 100), np.float64)) == there


def test_a_view_keeps_the_memory() -> None:
    workspace = Workspace()
    view = workspace.empty((300, 100), np.float32)[7:9]
    view[...] = 3
    other = workspace.empty((300, 100), np.float32)
    other[...] = 5
    assert np.all(view == 3)
    del view
    assert workspace.kept_bytes > 0


def test_arrays_of_one_block_are_apart_and_begin_with_a_cache_line() -> None:
    workspace = Workspace()
    for rows in (3, 3000):  # of NumPy's own memory, and of the workspace's
        shapes = {"a": (rows, 7), "none": (rows, 0), "b": (rows,), "c": (5, 5)}
        made = workspace.empties(shapes, np.float32)
        assert {name: array.shape for name, array in made.items()} == shapes
        assert all(address(array) % 64 == 0 for array in made.values())
        for number, array in enumerate(made.values()):
            array[...] = number
        assert all(np.all(array == number) for number, array in enumerate(made.values()))


def test_arrays_do_not_keep_the_workspace() -> None:
    workspace = Workspace()
    array = workspace.empty((300, 100), np.float64)
    there = weakref.ref(workspace)
    del workspace
    assert there() is None
    array[...] = 1  # which is still its own
    del array


def test_memory_may_come_back_while_the_workspace_is_at_work() -> None:
    """The garbage collector ends arrays anywhere, also in a thread that has the lock."""
    workspace = Workspace()
    arrays = [workspace.empty((300, 100), np.float64)]

    def collect() -> None:
        with workspace._lock:
            arrays.clear()

    collecting = threading.Thread(target=collect, daemon=True)
    collecting.start()
    collecting.join(timeout=10)
    assert not collecting.is_alive()
    assert workspace.kept_bytes > 0


def test_no_more_is_held_than_was_in_use_at_once() -> None:
    workspace, most = Workspace(), 0
    for rows in range(1000, 3000, 100):
        array = workspace.empty((rows, 100), np.float32)
        most = max(most, array.nbytes)
        del array
        assert workspace.kept_bytes <= 1.25 * most


def test_small_arrays_are_numpys_own() -> None:
    workspace = Workspace()
    array = workspace.empty((3, 0), np.float32)
    assert array.shape == (3, 0)
    del array
    array = workspace.empty((10,), np.float64)
    array[...] = 3.0
    del array
    assert workspace.kept_bytes == 0


def test_a_result_outlives_the_unroll() -> None:
    case = drawn_case(rr.LSTM(20, 30), "float64", [200, 300])
    workspace = Workspace()
    run = rr.forward(
        case.cell, case.parameters, case.batch, unroll=CythonUnroll(workspace=workspace)
    )
    values = run.output.values.copy()
    output = run.output
    del run
    gc.collect()
    assert workspace.kept_bytes > 0
    rr.forward(case.cell, case.parameters, case.batch, unroll=CythonUnroll(workspace=workspace))
    assert np.array_equal(output.values, values)


def test_a_tape_can_be_walked_twice_and_beside_another() -> None:
    case = drawn_case(rr.GRU(20, 70), "float32", [30, 0, 40, 90])
    unroll = CythonUnroll()
    runs = [rr.forward(case.cell, case.parameters, case.batch, unroll=unroll) for _ in range(2)]
    gradients = [rr.backward(run.tape, case.d_output) for run in (*runs, *runs)]
    for made in gradients[1:]:
        assert made.input.values.tobytes() == gradients[0].input.values.tobytes()
        assert made.parameters["W_hh"].tobytes() == gradients[0].parameters["W_hh"].tobytes()


def test_what_is_no_workspace_is_refused() -> None:
    with pytest.raises(TypeError, match="workspace has type dict, expected a Workspace"):
        CythonUnroll(workspace={})  # type: ignore[arg-type]
