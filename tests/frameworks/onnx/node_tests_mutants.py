"""How many wrong implementations pass ONNX' own node tests of RNN, LSTM and GRU.

``python -m tests.frameworks.onnx.node_tests_mutants`` needs the package onnx; its figures stand on
the page of the test vectors. Every mutant of :mod:`refrnn.vectors` that is wrong forward on a cell
that ONNX has is run on the 18 cases, by the rule of ONNX' backend tests. What is not in a case
(peepholes, clips, activations, ragged lengths) cannot be got wrong there, so it passes.
"""

# ruff: noqa: T201 - a script prints

from __future__ import annotations

import importlib
import re
import sys
from typing import Any, NamedTuple

import numpy as np

from refrnn import GRU, LSTM, RNN, CellParameters, RaggedBatch
from refrnn.comparison import Case, run_case
from refrnn.vectors import CONFIGURATIONS, MUTANTS, Mutant, draw, specs

# Where the gates of refrnn stand in ONNX' blocks: i o f c, z r h.
_PLACES = {"LSTM": (0, 2, 3, 1), "GRU": (1, 0, 2), "RNN": (0,)}


class NodeTest(NamedTuple):
    """One case: a refrnn case for each direction, and the outputs that ONNX wants."""

    name: str
    directions: list[Case]
    batch_first: bool
    expected: dict[str, Any]


def node_tests() -> list[NodeTest]:
    """The cases whose names begin with lstm, gru, rnn or simple_rnn."""
    numpy_helper: Any = importlib.import_module("onnx.numpy_helper")
    load_model_tests = importlib.import_module("onnx.backend.test.loader").load_model_tests
    found = []
    for test in load_model_tests(kind="node"):
        if re.fullmatch(r"test_(lstm|gru|rnn|simple_rnn)_\w+", test.name):
            inputs, outputs = test.data_sets[0]
            arrays = [
                [a if isinstance(a, np.ndarray) else numpy_helper.to_array(a) for a in group]
                for group in (inputs, outputs)
            ]
            found.append(_converted(test.name, test.model.graph.node[0], *arrays))
    return found


def _converted(name: str, node: Any, inputs: list[Any], outputs: list[Any]) -> NodeTest:
    helper: Any = importlib.import_module("onnx.helper")
    options = {a.name: helper.get_attribute_value(a) for a in node.attribute}
    known = {"hidden_size", "direction", "layout", "linear_before_reset"}
    assert set(options) <= known, f"{name} has attributes {set(options) - known}"
    given = iter(inputs)
    arrays = {i: next(given) for i in _input_names(node) if i}
    if options.get("layout", 0):
        for key in ("X", "initial_h", "initial_c"):
            if key in arrays:
                arrays[key] = arrays[key].swapaxes(0, 1)
    reverse = {b"forward": [False], b"reverse": [True], b"bidirectional": [False, True]}
    directions = reverse[options.get("direction", b"forward")]
    cases = [_case(node.op_type, options, arrays, d, r) for d, r in enumerate(directions)]
    wanted = [n for n, slot in zip(("Y", "Y_h", "Y_c"), node.output, strict=False) if slot]
    return NodeTest(
        name, cases, bool(options.get("layout", 0)), dict(zip(wanted, outputs, strict=True))
    )


def _input_names(node: Any) -> list[str]:
    """The operator's inputs in its order; empty where the node leaves one out."""
    slots = ["X", "W", "R", "B", "sequence_lens", "initial_h", "initial_c", "P"]
    return [slot if given else "" for slot, given in zip(slots, node.input, strict=False)]


def _case(
    kind: str, options: dict[str, Any], arrays: dict[str, Any], d: int, reverse: bool
) -> Case:
    """One direction in float64."""
    W, R, X = (arrays[key].astype(np.float64) for key in ("W", "R", "X"))
    T, B, size = X.shape
    extra: dict[str, Any] = {"biases": 2 if "B" in arrays else 0}
    if kind == "GRU":
        extra["reset_after"] = bool(options.get("linear_before_reset", 0))
    if kind == "LSTM":
        extra["peepholes"] = "P" in arrays
    cell = {"RNN": RNN, "LSTM": LSTM, "GRU": GRU}[kind](size, options["hidden_size"], **extra)

    def gates(stacked: Any) -> Any:
        blocks = np.split(stacked.astype(np.float64), cell.num_gates)
        return np.concatenate([blocks[k] for k in _PLACES[kind]])

    parameters = {"W_ih": gates(W[d]), "W_hh": gates(R[d])}
    if "B" in arrays:
        parameters["b_ih"], parameters["b_hh"] = (gates(b) for b in np.split(arrays["B"][d], 2))
    if "P" in arrays:
        i, o, f = np.split(arrays["P"][d].astype(np.float64), 3)
        parameters.update({"p_i": i, "p_f": f, "p_o": o})
    lengths = arrays.get("sequence_lens", np.full(B, T)).astype(np.int64)
    batch = RaggedBatch.from_padded(X, lengths)
    zeros = cell.zero_state(B)
    state = [
        arrays[f"initial_{n}"][d].astype(np.float64) if f"initial_{n}" in arrays else zero
        for n, zero in zip(cell.state_names, zeros, strict=True)
    ]
    # the name says that the input is stored padded, as mutants of the padding ask
    return Case(
        cell,
        CellParameters(parameters),
        batch,
        cell.state_type(*state),
        np.zeros((batch.total_steps, cell.output_size)),
        zeros,
        reverse,
        "onnx/nan_padding",
    )


def passes(test: NodeTest, mutant: Mutant | None) -> bool:
    """Whether a mutant, or refrnn itself, gives what ONNX wants: rtol 1e-3, atol 1e-7."""
    runs = []
    for case in test.directions:
        with np.errstate(all="ignore"):
            if mutant is not None and mutant.applies(case):
                runs.append(mutant.run(case))
            else:  # there is nothing that it gets wrong
                runs.append(run_case(case, "packed"))
    batch = test.directions[0].batch
    got = {"Y": np.stack([RaggedBatch(r["output"], batch.lengths).to_padded() for r in runs], 1)}
    for letter in test.directions[0].cell.state_names:
        got[f"Y_{letter}"] = np.stack([r[f"{letter}_n"] for r in runs])
    for name, expected in test.expected.items():
        array = got[name]
        if test.batch_first:  # (T, D, B, H) to (B, T, D, H), (D, B, H) to (B, D, H)
            array = np.moveaxis(array, -2, 0)
        if not np.allclose(array, expected, rtol=1e-3, atol=1e-7):
            return False
    return True


def forward_mutants() -> list[Mutant]:
    """Mutants that are wrong forward, on some case of the corpus with a cell that ONNX has."""
    names = tuple(
        c.name
        for c in CONFIGURATIONS
        if c.layer is None
        and not getattr(c.cell, "proj_size", 0)
        and not getattr(c.cell, "cell_clip", None)
    )
    cases = [draw(spec) for spec in specs(names) if spec.hard != "long_and_short"]
    prepared = [(case, case.case()) for case in cases]
    return [m for m in MUTANTS if any(_wrong_forward(m, c, inner) for c, inner in prepared)]


def _wrong_forward(mutant: Mutant, case: Any, inner: Any) -> bool:
    if not mutant.applies(inner):
        return False
    with np.errstate(all="ignore"):
        results = mutant.run(inner)
    forward = {n: a for n, a in results.items() if not n.startswith("d_")}
    return any(not d.ok for d in case.compare(forward))


def main() -> int:
    """Print the figures; 1 if refrnn itself does not pass."""
    tests = node_tests()
    failing = [test.name for test in tests if not passes(test, None)]
    print(f"{len(tests)} node tests; refrnn fails {failing or 'none'}")
    mutants = forward_mutants()
    survivors = [m for m in mutants if all(passes(test, m) for test in tests)]
    print(f"{len(survivors)} of {len(mutants)} wrong implementations pass all of them:")
    for mutant in mutants:
        mark = "passes" if mutant in survivors else "fails "
        print(f"  {mark}  {mutant.group:11} {mutant.name}")
    return 1 if failing else 0


if __name__ == "__main__":
    sys.exit(main())
