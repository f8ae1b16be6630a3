"""Run cases with mutated kernels: ``python -m tests.cuda.mutation_program FOLDER CASES``.

Prints a digest of all results of each case, a line each. The folder holds the sources of the
recurrence; ``-`` are those of the package. Which device there is, and what it checks, is said by
the environment.
"""

from __future__ import annotations

import hashlib
import sys
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from refrnn_accel import softcuda

import refrnn as rr
from refrnn.comparison import Case, run_case

LENGTHS = [3, 0, 5, 1, 2, 4]
#: Of the sequences, whose input is no number in reverse: on a lane another comes after each.
BROKEN = (0, 4)


class Program(NamedTuple):
    """A cell, the size of its state, how it is cut, and on what device.

    The fewer multiprocessors, the more lanes has a team; some have a lane too many.
    """

    cell: str
    hidden_size: int
    multiprocessors: int
    options: dict[str, Any]
    capability: int = 86
    dtype: str = "float32"


PROGRAMS = {
    "block": Program("lstm", 5, 3, {"variant": "block", "lanes": 5}),
    "block of many warps": Program("gru", 40, 4, {"variant": "block", "lanes": 4}),
    "two phases": Program("gru_before", 40, 1, {"variant": "block", "lanes": 2}),
    "stream": Program("lstm", 20, 2, {"variant": "stream", "lanes": 5}),
    "stream, two phases": Program("gru_before", 20, 2, {"variant": "stream", "lanes": 3}),
    "stream, 32 chains": Program("gru_before", 270, 1, {"variant": "stream", "lanes": 2}),
    "team": Program("lstm", 40, 10, {"variant": "team", "team": 5, "lanes": 3}),
    "team, double": Program("gru_before", 20, 3, {"variant": "team", "team": 3}, dtype="float64"),
    "cluster": Program("lstm", 72, 6, {"variant": "cluster", "team": 3, "lanes": 3}, 90),
    "cluster, units beyond": Program("lstm", 96, 4, {"variant": "cluster", "team": 2}, 90),
    "cluster, two phases": Program("gru_before", 40, 4, {"variant": "cluster", "team": 2}, 90),
}

CELLS = {
    "lstm": rr.LSTM,
    "gru": rr.GRU,
    "gru_before": lambda *sizes: rr.GRU(*sizes, reset_after=False),
}


def case(program: Program, reverse: bool) -> Case:
    """A batch with states and cotangents, none of them zero; in reverse some are not finite."""
    rng = np.random.default_rng(0)

    def drawn(*shape: int) -> Any:
        return rng.uniform(-1, 1, shape).astype(program.dtype)

    cell = CELLS[program.cell](3, program.hidden_size)
    parameters = cell.init_parameters(rng, dtype=program.dtype)
    sequences = [drawn(n, 3) for n in LENGTHS]
    if reverse:
        sequences[BROKEN[1]][:] = np.nan
    batch = rr.RaggedBatch.from_sequences(sequences)
    state, d_state = (
        cell.state_type(*[drawn(len(LENGTHS), size) for size in cell.state_sizes]) for _ in range(2)
    )
    if reverse:
        state.h[BROKEN[0], 0] = np.inf
    d_output = drawn(sum(LENGTHS), program.hidden_size)
    return Case(cell, parameters, batch, state, d_output, d_state, reverse)


def main(folder: str, names: list[str]) -> None:
    """Print a digest a program."""
    softcuda.activate()
    from refrnn_accel.cuda import CudaUnroll, modules

    package = modules.PACKAGE
    load = modules.load_module
    if folder != "-":
        mutated = package._replace(kernels=Path(folder), ptx=Path(folder, "ptx"))

        def load_mutated(context: Any, source: str, defines: Any = None) -> Any:
            is_meant = source in ("recurrence.cu", "stream.cu")
            return load(context, source, defines, sources=mutated if is_meant else package)

        from refrnn_accel.cuda import recurrence

        recurrence.load_module = load_mutated  # type: ignore[assignment]
    for name in names:
        program = PROGRAMS[name]
        digest = hashlib.sha256()
        for reverse in (False, True):
            unroll = CudaUnroll(**program.options, patience=5.0)
            for key, array in sorted(run_case(case(program, reverse), unroll).items()):
                one_nan = np.where(np.isnan(array), np.nan, array)  # of all that there are
                digest.update(key.encode() + one_nan.astype(array.dtype).tobytes())
        print(name, digest.hexdigest(), flush=True)  # noqa: T201


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])
