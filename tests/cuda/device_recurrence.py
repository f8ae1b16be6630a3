"""The recurrence of a case on the device, with whatever cut of W_hh; the rest is NumPy's."""

from __future__ import annotations

import itertools
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from refrnn_accel.cuda.arguments import BACKWARD, FORWARD, arguments
from refrnn_accel.cuda.context import driver, use_context
from refrnn_accel.cuda.cut import Cut, KernelCell
from refrnn_accel.cuda.modules import load_module
from refrnn_accel.cuda.stream_cut import StreamCut

import refrnn as rr
from refrnn.comparison import Case
from refrnn.lanes import LaneSchedule

Array = NDArray[Any]

#: By name: a cell of I inputs and H units, and what the kernels call it.
CELLS: dict[str, tuple[Any, KernelCell]] = {
    "tanh": (rr.RNN, KernelCell("Rnn<refrnn::Activation::kTanh>", 1, 1)),
    "relu": (
        lambda size, hidden: rr.RNN(size, hidden, activation="relu"),
        KernelCell("Rnn<refrnn::Activation::kRelu>", 1, 1),
    ),
    "lstm": (rr.LSTM, KernelCell("Lstm", 4, 4, has_c=True)),
    "reset_after": (rr.GRU, KernelCell("GruResetAfter", 3, 4, has_q=True)),
    "reset_before": (
        lambda size, hidden: rr.GRU(size, hidden, reset_after=False),
        KernelCell("GruResetBefore", 3, 3, phases=2),
    ),
}


def case(
    cell: str, hidden_size: int, dtype: Any, lengths: list[int], reverse: bool, seed: int = 0
) -> Case:
    """Random numbers for everything, zeros of either sign among the cotangents."""
    rng = np.random.default_rng(seed)
    inputs = 3
    one = CELLS[cell][0](inputs, hidden_size)
    rows = [rng.normal(size=(n, inputs)).astype(dtype) for n in lengths]
    d_output = rng.uniform(-1, 1, (sum(lengths), hidden_size)).astype(dtype)
    d_output[rng.random(d_output.shape) < 0.2] = -0.0

    def state() -> Any:
        return one.state_type(
            *(
                rng.uniform(-1, 1, (len(lengths), hidden_size)).astype(dtype)
                for _ in one.state_type._fields
            )
        )

    batch = rr.RaggedBatch.from_sequences(rows, features=inputs, dtype=dtype)
    parameters = one.init_parameters(rng, dtype=dtype)
    return Case(one, parameters, batch, state(), d_output, state(), reverse)


class Recurrence(NamedTuple):
    """What the kernels leave."""

    a: Array
    y: Array
    h_n: Array
    d_a: Array
    d_h_0: Array
    c: Array | None = None
    c_n: Array | None = None
    q: Array | None = None
    rh: Array | None = None
    d_c_0: Array | None = None

    def bits(self) -> dict[str, bytes]:
        """Of every array, to be compared."""
        return {name: a.tobytes() for name, a in self._asdict().items() if a is not None}


def run(case: Case, cut: Cut | StreamCut, lanes: int, lanes_of_team: int) -> Recurrence:
    """Forward, then backward, on so many lanes. Outputs are NaN before."""
    return _Device(case, cut, lanes, lanes_of_team).run()


class _Device:
    def __init__(self, case: Case, cut: Cut | StreamCut, lanes: int, lanes_of_team: int) -> None:
        self.case, self.cut, self.of_team = case, cut, lanes_of_team
        self.lanes, self.teams = lanes, -(-lanes // lanes_of_team)
        self.memory: dict[str, Any] = {}
        self.shapes: dict[str, tuple[int, ...]] = {}

    def run(self) -> Recurrence:
        kernel, has = self.cut.cell, self.case.batch
        H, N, B = self.case.cell.hidden_size, has.total_steps, has.batch_size
        source = self.cut.source if isinstance(self.cut, StreamCut) else "recurrence.cu"
        with use_context() as context:
            module = load_module(context, source, self.cut.defines())
            self._schedule()
            self._inputs()
            outputs = {"y": (N, H), "h_n": (B, H)}
            gradients = {"d_a": (N, kernel.cotangents * H), "d_h_0": (B, H)}
            if kernel.has_c:
                outputs |= {"c": (N, H), "c_n": (B, H)}
                gradients |= {"d_c_0": (B, H)}
            if kernel.has_q:
                outputs |= {"q": (N, H)}
            if kernel.phases == 2:
                gradients |= {"rh": (N, H)}
            for name, shape in {**outputs, **gradients}.items():
                self._put(name, np.full(shape, np.nan, has.dtype))
            self._launch(module.function("forward"), FORWARD, 1)
            self._launch(module.function("backward"), BACKWARD, -1)
            left = {name: self._get(name) for name in ("a", *outputs, *gradients)}
            self.memory.clear()
        empty = np.asarray(has.lengths) == 0  # these the kernels do not see
        for name in ("h_n", "c_n", "d_h_0", "d_c_0"):
            if name in left:
                assert np.isnan(left[name][empty]).all()
                left[name][empty] = self._of_empty(name)[empty]
        return Recurrence(**left)

    def _of_empty(self, name: str) -> Array:
        state = self.case.state_0 if name.endswith("_n") else self.case.d_state_n
        assert state is not None
        return np.asarray(state[0] if "h_" in name else state[1])

    def _schedule(self) -> None:
        lengths = np.asarray(self.case.batch.lengths)
        made = LaneSchedule.from_lengths(lengths, lanes=self.lanes)
        real = np.flatnonzero(lengths)
        order = real[np.lexsort((made.start[real], made.lane[real]))]
        first = np.cumsum([0, *np.bincount(made.lane[real], minlength=self.lanes)])
        loads = np.zeros(self.teams * self.of_team, np.int64)
        loads[: self.lanes] = made.loads
        self._put("offsets", np.asarray(self.case.batch.offsets))
        self._put("order", order.astype(np.int32))
        self._put("first_of_lane", first.astype(np.int32))
        self._put("steps", loads.reshape(self.teams, -1).max(1).astype(np.int32))

    def _inputs(self) -> None:
        case, H = self.case, self.case.cell.hidden_size
        bias = case.parameters["b_ih"].copy()
        if self.cut.cell.has_q:
            bias[: 2 * H] += case.parameters["b_hh"][: 2 * H]
            self._put("b_hn", case.parameters["b_hh"][2 * H :])
        else:
            bias += case.parameters["b_hh"]
        gates = case.batch.values @ case.parameters["W_ih"].T + bias
        self._put("a", gates.astype(case.dtype))
        self._put("weights", self.cut.pack(case.parameters["W_hh"]))
        assert case.state_0 is not None
        assert case.d_state_n is not None
        assert case.d_output is not None
        for name, array, d in zip("hc", case.state_0, case.d_state_n, strict=False):
            self._put(f"{name}_0", array)
            self._put(f"d_{name}_n", d)
        self._put("d_y", case.d_output)
        slots = max(8, self.cut.slot_bytes(self.teams, self.of_team))
        self._put("slots", np.zeros(slots, np.uint8))

    def _launch(self, function: Any, layout: np.dtype[Any], walk: int) -> None:
        cuda, at = driver(), self._pointer
        self._put("words", np.zeros(2, np.uint32))
        units = self.cut.units if isinstance(self.cut, Cut) else self.case.cell.hidden_size
        blocks = -(-self.case.cell.hidden_size // units)  # of a team, that have a unit
        schedule = {n: at(n) for n in ("offsets", "order", "first_of_lane", "steps")}
        schedule |= {"lanes": self.lanes, "lanes_of_team": self.of_team}
        schedule["direction"] = -walk if self.case.reverse else walk
        meeting = {"slots": at("slots"), "tickets": at("words")}
        meeting |= {"error": at("words") + 4, "patience": 10**7, "blocks": blocks}
        meeting["epoch"] = 7 if walk > 0 else 7 + 10**6
        given = set(layout.names or ()) & set(self.memory)
        packed = arguments(
            layout, schedule=schedule, meeting=meeting, hidden_size=self.case.cell.hidden_size,
            **{name: at(name) for name in given},
        )  # fmt: skip
        bytes_of = self.cut.forward_bytes if walk > 0 else self.cut.backward_bytes
        shared = bytes_of(self.of_team)
        function.set_attribute(cuda.function_attribute.MAX_DYNAMIC_SHARED_SIZE_BYTES, shared)
        function.prepare([f"{len(packed)}s"])
        grid = (self.teams * blocks, 1)
        function.prepared_call(grid, (self.cut.threads, 1, 1), packed, shared_size=shared)
        assert self._get("words")[1] == 0

    def _put(self, name: str, array: Array) -> None:
        array = np.ascontiguousarray(array)
        self.memory[name] = driver().mem_alloc(max(1, array.nbytes)), array
        if array.nbytes:
            driver().memcpy_htod(self.memory[name][0], array)

    def _get(self, name: str) -> Array:
        memory, array = self.memory[name]
        now = np.empty_like(array)
        if now.nbytes:
            driver().memcpy_dtoh(now, memory)
        return now

    def _pointer(self, name: str) -> int:
        return int(self.memory[name][0])


def results(case: Case, got: Recurrence) -> dict[str, Array]:
    """Under the names of :func:`refrnn.comparison.run_case`."""
    H, d_a, parameters = case.cell.hidden_size, got.d_a, case.parameters
    gates = len(parameters["b_ih"]) // H
    d_sum = d_a[:, : gates * H].copy()
    if got.q is not None:
        d_sum[:, 2 * H :] = d_a[:, 3 * H :]
    d_a = d_a[:, : gates * H]
    before = _before(case, got.y)
    d_W_hh = d_sum.T @ before
    if got.rh is not None:
        d_W_hh[2 * H :] = d_sum[:, 2 * H :].T @ got.rh
    named = {
        "output": got.y, "h_n": got.h_n, "c_n": got.c_n, "d_h_0": got.d_h_0, "d_c_0": got.d_c_0,
        "d_input": d_a @ parameters["W_ih"], "d_W_ih": d_a.T @ case.batch.values,
        "d_W_hh": d_W_hh, "d_b_ih": d_a.sum(0), "d_b_hh": d_sum.sum(0),
    }  # fmt: skip
    return {name: array for name, array in named.items() if array is not None}


def _before(case: Case, y: Array) -> Array:
    """The state before every row."""
    assert case.state_0 is not None
    rows, walk = np.empty_like(y), -1 if case.reverse else 1
    offsets = np.asarray(case.batch.offsets)
    for sequence, (begin, end) in enumerate(itertools.pairwise(offsets)):
        if begin < end:
            walked = [case.state_0[0][sequence], *y[begin:end][::walk][:-1]]
            rows[begin:end] = np.array(walked)[::walk]
    return rows
