"""P10: bad arguments are refused in the same words by every unroll, before any work."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..cells import LSTM
from ..ragged import RaggedBatch
from ..unroll import PerSequence, Unroll, backward, forward

__all__ = ["BAD_BACKWARD", "BAD_FORWARD", "refuses"]

_CELL = LSTM(2, 3)
_PARAMS = dict(_CELL.init_parameters(np.random.default_rng(0)))
_BATCH = RaggedBatch(np.ones((3, 2)), [1, 2])
_SINGLE = np.zeros((2, 3), np.float32)

#: What is wrong -> (exception, how its message begins, arguments of forward that are wrong).
BAD_FORWARD: dict[str, tuple[type[Exception], str, dict[str, Any]]] = {
    "cell is a name": (TypeError, "cell has type str", {"cell": "LSTM"}),
    "cell is a class": (TypeError, "cell has type ABCMeta", {"cell": LSTM}),
    "batch is an array": (TypeError, "batch has type ndarray", {"batch": np.zeros((2, 2, 3))}),
    "batch is wider": (
        ValueError,
        "batch has 4 features",
        {"batch": RaggedBatch(np.ones((2, 4)), [2])},
    ),
    "batch is float32": (
        TypeError,
        "batch has dtype float32",
        {"batch": RaggedBatch(np.ones((3, 2), np.float32), [1, 2])},
    ),
    "params is a list": (TypeError, "params has type list", {"params": []}),
    "params is empty": (ValueError, "params has names []", {"params": {}}),
    "params lacks one": (
        ValueError,
        "params has names",
        {"params": {n: a for n, a in _PARAMS.items() if n != "b_hh"}},
    ),
    "params has one more": (ValueError, "params has names", {"params": {**_PARAMS, "p_i": 0.0}}),
    "params is transposed": (
        ValueError,
        "params.W_hh has shape (3, 12)",
        {"params": {**_PARAMS, "W_hh": _PARAMS["W_hh"].T}},
    ),
    "params has mixed dtypes": (
        TypeError,
        "b_ih has dtype float32",
        {"params": {**_PARAMS, "b_ih": np.zeros(12, np.float32)}},
    ),
    "params has integers": (
        TypeError,
        "b_ih has dtype int64",
        {"params": {**_PARAMS, "b_ih": np.zeros(12, np.int64)}},
    ),
    "state is a list": (TypeError, "state_0 has type list", {"state_0": [np.zeros((2, 3))] * 2}),
    "state is one array": (TypeError, "state_0 has type ndarray", {"state_0": np.zeros((2, 3))}),
    "state has one part": (ValueError, "state_0 has 1 parts", {"state_0": (np.zeros((2, 3)),)}),
    "state has three rows": (
        ValueError,
        "state_0.h has shape (3, 3)",
        {"state_0": (np.zeros((3, 3)), None)},
    ),
    "state has rank 3": (
        ValueError,
        "state_0.c has shape (1, 2, 3)",
        {"state_0": (None, np.zeros((1, 2, 3)))},
    ),
    "state is float32": (TypeError, "state_0.h has dtype float32", {"state_0": (_SINGLE, None)}),
    "state is of objects": (
        TypeError,
        "state_0.c has",
        {"state_0": (None, np.full((2, 3), None))},
    ),
    "reverse is 1": (TypeError, "reverse has type int", {"reverse": 1}),
}

#: What is wrong -> (exception, how its message begins, cotangents that are wrong).
BAD_BACKWARD: dict[str, tuple[type[Exception], str, dict[str, Any]]] = {
    "tape is a run": (TypeError, "tape has type", {"tape": None}),
    "d_output is padded": (
        ValueError,
        "d_output has shape (2, 2, 3)",
        {"d_output": np.zeros((2, 2, 3))},
    ),
    "d_output is short": (ValueError, "d_output has shape (2, 3)", {"d_output": np.zeros((2, 3))}),
    "d_output is float32": (
        TypeError,
        "d_output has dtype float32",
        {"d_output": np.zeros((3, 3), np.float32)},
    ),
    "d_output has other lengths": (
        ValueError,
        "d_output has lengths [3]",
        {"d_output": RaggedBatch(np.ones((3, 3)), [3])},
    ),
    "d_state_n is one array": (
        TypeError,
        "d_state_n has type ndarray",
        {"d_state_n": np.zeros((2, 3))},
    ),
    "d_state_n is transposed": (
        ValueError,
        "d_state_n.c has shape (3, 2)",
        {"d_state_n": (None, np.zeros((3, 2)))},
    ),
    "d_state_n is float32": (
        TypeError,
        "d_state_n.h has dtype float32",
        {"d_state_n": (_SINGLE, None)},
    ),
}


class _Idle:
    """The unroll under test, kept from working."""

    def __init__(self, unroll: Unroll) -> None:
        self._unroll = unroll
        self.name = unroll.name
        self.supports = unroll.supports

    def forward(self, *arguments: Any) -> Any:
        """Fail: an argument of forward was wrong."""
        raise AssertionError("forward has begun before its arguments were checked")

    def backward(self, *arguments: Any) -> Any:
        """Fail: an argument of backward was wrong."""
        raise AssertionError("backward has begun before its arguments were checked")


def refuses(unroll: Unroll, what: str) -> None:
    """P10: one line of the tables: the right exception, the same text as the definition's.

    Parameters
    ----------
    unroll : Unroll
    what : str
        A key of ``refrnn.testing.refusals.BAD_FORWARD`` or ``BAD_BACKWARD``.
    """
    kind, words, _ = {**BAD_FORWARD, **BAD_BACKWARD}[what]
    expected, got = _error(PerSequence(), what), _error(unroll, what)
    assert type(expected) is kind, f"{what}: {expected!r}, expected {kind.__name__}"
    assert str(expected).startswith(words), f"{what}: {expected}, expected {words!r}"
    assert (type(got), str(got)) == (type(expected), str(expected)), f"{what}: {got!r}"


def _error(unroll: Unroll, what: str) -> Exception | None:
    """What is raised for a line of the tables."""
    idle = _Idle(unroll)
    try:
        if what in BAD_FORWARD:
            good = {"cell": _CELL, "params": _PARAMS, "batch": _BATCH}
            forward(**{**good, **BAD_FORWARD[what][2]}, unroll=idle)
        else:
            tape = forward(_CELL, _PARAMS, _BATCH, unroll="per_sequence").tape
            backward(**{"tape": tape._replace(unroll=idle), **BAD_BACKWARD[what][2]})
    except (TypeError, ValueError) as error:
        return error
    return None
