"""The conformance suite: strategies, properties, and a pytest plugin to run them on any unroll.

``pytest -p refrnn.testing.plugin --pyargs refrnn.testing --unroll mypackage:MyUnroll`` holds an
unroll to the properties P1 to P12 that every unroll of refrnn is held to. It needs pytest and
Hypothesis (the extra ``test``); ``refrnn.testing.properties`` and ``assert_matches_reference`` need
NumPy only.

The strategies ``activations``, ``cases``, ``cells``, ``lengths``, ``ragged_batches``, ``states``
and ``unrolls`` are loaded, and Hypothesis with them, when one is asked for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .assertions import assert_matches_reference
    from .strategies import (
        activations,
        cases,
        cells,
        lengths,
        ragged_batches,
        states,
        unrolls,
    )

# Hypothesis is optional, and an assertion needs none of it
_ROOM_OF = {"assert_matches_reference": "assertions"} | dict.fromkeys(
    ("activations", "cases", "cells", "lengths", "ragged_batches", "states", "unrolls"),
    "strategies",
)

__all__ = [
    "activations",
    "assert_matches_reference",
    "cases",
    "cells",
    "lengths",
    "ragged_batches",
    "states",
    "unrolls",
]


def __getattr__(name: str) -> Any:
    if name not in _ROOM_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    import importlib

    try:
        room = importlib.import_module(f".{_ROOM_OF[name]}", __name__)
    except ModuleNotFoundError as error:
        if error.name != "hypothesis":
            raise
        raise ImportError(
            f"{__name__}.{name} needs hypothesis, which is not installed "
            "(python -m pip install 'refrnn[test]')",
            name="hypothesis",
        ) from error
    return getattr(room, name)


def __dir__() -> list[str]:
    return sorted({*globals(), *_ROOM_OF})
