"""W_hh read at every step on the device in software: prints, as JSON, digests of all results."""

from __future__ import annotations

import hashlib
import json
import sys

import numpy as np
from refrnn_accel.cuda.cut import columns_of
from refrnn_accel.cuda.stream_cut import StreamCut

from .device_recurrence import CELLS, case, run

#: Cell, dtype, H and lanes of a block: both numbers of chains, tails, and states in pieces.
CASES = [
    ("tanh", "f4", 40, 4), ("lstm", "f4", 40, 4), ("reset_after", "f4", 5, 1),
    ("reset_before", "f4", 40, 4), ("tanh", "f8", 1100, 4), ("lstm", "f8", 260, 4),
    ("reset_after", "f8", 40, 4), ("reset_before", "f8", 260, 4), ("lstm", "f4", 260, 1),
]  # fmt: skip


def digests() -> list[str]:
    """Of each case, in their order."""
    made = []
    for cell, dtype, hidden_size, lanes in CASES:
        cut = StreamCut(CELLS[cell][1], np.dtype(dtype), columns_of(hidden_size), lanes)
        given = case(cell, hidden_size, dtype, [2, 0, 1, 2], False)
        bits = run(given, cut, 3, min(3, lanes)).bits()
        made.append(hashlib.sha256(b"".join(bits[name] for name in sorted(bits))).hexdigest())
    return made


if __name__ == "__main__":
    json.dump(digests(), sys.stdout)
