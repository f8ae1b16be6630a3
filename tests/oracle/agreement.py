"""Results of foreign code, in foreign arrays, against the reference through a layout."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

import refrnn as rr
from refrnn.cases import random_case
from refrnn.comparison import Case, Reference, reference
from refrnn.oracle.weights import Layout
from refrnn.tolerances import Deviation, deviation
from refrnn.types import Array

LENGTH, BATCH = 5, 3


class Foreign(NamedTuple):
    """What foreign code computed: (T, B, R), states (B, size), gradients by name."""

    output: Array
    state_n: Sequence[Array]
    gradients: Mapping[str, Array] | None


def full_case(cell: Any, dtype: str = "float64", *, seed: int = 0) -> Case:
    """A case whose sequences are all as long, so that it needs no padding and no lengths."""
    rng = np.random.default_rng(seed)
    values = rng.normal(size=(LENGTH * BATCH, cell.input_size))
    batch = rr.RaggedBatch(values, [LENGTH] * BATCH)
    return random_case(cell, batch, rng).astype(dtype)


def padded(case: Case) -> tuple[Array, Array]:
    """The input and the cotangent of the output, (T, B, size) each."""
    return tuple(  # type: ignore[return-value]
        np.ascontiguousarray(case.batch.with_values(rows).to_padded(batch_first=False))
        for rows in (case.batch.values, case.d_output)
    )


def deviations(
    layout: Layout, case: Case, got: Foreign, truth: Reference | None = None
) -> list[Deviation]:
    """How far output, final state and the gradients of the foreign weights are off."""
    truth = reference(case) if truth is None else truth
    steps = case.batch.with_values(truth.results["output"]).to_padded(batch_first=False)
    expected = {"output": steps}
    found = {"output": got.output}
    scales = {"output": truth.scales["output"]}
    for letter, array in zip(case.cell.state_names, got.state_n, strict=True):
        name = f"{letter}_n"
        expected[name], found[name] = truth.results[name], array
        scales[name] = truth.scales[name]
    if got.gradients is not None:
        parameters = case.cell.parameter_shapes()
        d_parameters = {name: truth.results[f"d_{name}"] for name in parameters}
        scale = {n: np.full(s, truth.scales[f"d_{n}"]) for n, s in parameters.items()}
        expected.update(layout.gradient_to_foreign(case.cell, d_parameters))
        found.update(got.gradients)
        of_foreign = layout.gradient_to_foreign(case.cell, scale)
        scales.update({name: float(np.abs(array).max()) for name, array in of_foreign.items()})
    assert set(found) == set(expected)
    return [
        deviation(
            name,
            found[name],
            expected[name],
            scale=scales[name],
            dtype=case.dtype,
            max_length=case.batch.max_length,
        )
        for name in expected
    ]


def check(layout: Layout, case: Case, got: Foreign) -> None:
    """Fail with the worst deviation unless all are within tolerance."""
    wrong = [d for d in deviations(layout, case, got) if not d.ok]
    assert not wrong, max(wrong, key=lambda d: d.in_tolerances)
