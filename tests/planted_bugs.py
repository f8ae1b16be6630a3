"""Bugs that people write into recurrent networks, each as an edit of refrnn's own source.

A bug in an unroll, or in one of the two passes of a cell, must be found by the public suite alone,
run on the unrolls named. A cell that is wrong consistently, forward and backward, is another cell,
and one whose derivatives die at saturation agrees with itself: those only the oracle at 50 digits
can find.
"""

from __future__ import annotations

from typing import NamedTuple

CELLS, UNROLL = "refrnn.cells.", "refrnn.unroll."
LSTM, GRU, RNN, BASE = CELLS + "lstm", CELLS + "gru", CELLS + "rnn", CELLS + "base"
ACTIVATIONS, EDGE = "refrnn.activations", "refrnn.unroll"
PER_SEQUENCE, MASKED, BUCKETED = (UNROLL + name for name in ("per_sequence", "masked", "bucketed"))
STEP_MAJOR = UNROLL + "step_major"

#: The oracle finds it; no unroll is named.
ORACLE: tuple[str, ...] = ()


class PlantedBug(NamedTuple):
    """One bug.

    Attributes
    ----------
    about : str
        What is wrong.
    module : str
    edits : tuple of (str, str)
        Text that stands exactly once in the module's source, and what takes its place.
    unrolls : tuple of str
        Whom the public suite is run on; none if it takes the oracle.
    """

    about: str
    module: str
    edits: tuple[tuple[str, str], ...]
    unrolls: tuple[str, ...] = ("per_sequence",)

    def __str__(self) -> str:
        return f"{self.module.removeprefix('refrnn.')}: {self.about}"


def bug(about: str, module: str, old: str, new: str, *unrolls: str) -> PlantedBug:
    """One edit, seen by the public suite."""
    return PlantedBug(about, module, ((old, new),), unrolls or ("per_sequence",))


def other_cell(about: str, module: str, *edits: tuple[str, str]) -> PlantedBug:
    """A cell that agrees with itself, seen by the oracle alone."""
    return PlantedBug(about, module, edits, ORACLE)


def swapped(gates: str, a: int, b: int) -> PlantedBug:
    """Two gates in each other's place, in both passes."""
    old = "return array[:, gate * self.hidden_size : (gate + count) * self.hidden_size]"
    swap = f"gate = {{{a}: {b}, {b}: {a}}}.get(gate, gate) if count == 1 else gate\n        "
    return other_cell(f"gate order: {gates}", BASE, (old, swap + old))


_CELL_BUGS = (
    swapped("i with f, r with z", 0, 1),
    swapped("g with o", 2, 3),
    PlantedBug(
        "cotangents of i and f in each other's place",
        LSTM,
        (
            ("g, out=self._block(d_i, 0)", "g, out=self._block(d_i, 1)"),
            ("c_prev, out=self._block(d_i, 1)", "c_prev, out=self._block(d_i, 0)"),
        ),
    ),
    bug(
        "gate order: z, r, n in a step of r, z, n",
        GRU,
        "_R, _Z, _N = 0, 1, 2",
        "_R, _Z, _N = 0, 2, 1",
    ),
    bug(
        "W_hh transposed where it is square",
        BASE,
        "name: np.ascontiguousarray(array.T)",
        "name: np.ascontiguousarray(array.T if len(set(array.shape)) > 1 else array)",
    ),
    bug(
        "W_hh transposed in the backward pass",
        RNN,
        'd_tape.a, weights.parameters["W_hh"])',
        'd_tape.a, weights.transposed["W_hh"])',
    ),
    bug("bias added twice", BASE, 'parameters["b_ih"] + p', '2 * parameters["b_ih"] + p'),
    bug(
        "b_hh ignored", BASE, 'parameters["b_ih"] + parameters["b_hh"] if', 'parameters["b_ih"] if'
    ),
    bug("no bias at all", BASE, "weights.bias, tape[0])", "None, tape[0])"),
    bug(
        "no gradient of b_hh",
        BASE,
        'gradients["b_ih"].copy()',
        'np.zeros_like(gradients["b_ih"])',
    ),
    bug(
        "clip of a gate without its derivative", BASE, "d_a[np.abs(a) > self.gate_clip] = 0", "pass"
    ),
    other_cell(
        "derivative of a clip 0 at the bound",
        BASE,
        ("(a) > self.gate_clip]", "(a) >= self.gate_clip]"),
    ),
    bug(
        "gradient of W_ih from absolute inputs",
        BASE,
        "arithmetic.product(d_a.T, x)",
        "arithmetic.product(d_a.T, np.abs(x))",
    ),
    # LSTM
    bug(
        "output activation without its derivative",
        LSTM,
        "self.output_activation.derivative(tape.c, tape.out_c)",
        "np.ones_like(tape.c)",
    ),
    bug("d_c not carried", LSTM, "d_c += d_state.c", "pass"),
    bug(
        "d_c of a forgotten state",
        LSTM,
        "d_c_prev = d_c * self._forget(tape)",
        "d_c_prev = d_c + 0",
    ),
    bug("peephole of o not in d_c", LSTM, 'd_c += d_a_o * p["p_o"]', "pass"),
    bug(
        "peephole of i not in d_c_prev", LSTM, 'd_c_prev += self._block(d_a, 0) * p["p_i"]', "pass"
    ),
    bug(
        "peephole of f not in d_c_prev", LSTM, 'd_c_prev += self._block(d_a, 1) * p["p_f"]', "pass"
    ),
    bug(
        "peephole of o sees the old c, forward",
        LSTM,
        'a_o += p["p_o"] * c',
        'a_o += p["p_o"] * prev.c',
    ),
    bug("gradient of p_o from the old c", LSTM, "self._o) * tape.c)", "self._o) * prev.c)"),
    bug(
        "gradient of p_f from the new c",
        LSTM,
        "self._block(d_tape.a, 1) * prev.c",
        "self._block(d_tape.a, 1) * tape.c",
    ),
    other_cell(
        "peephole of o sees the old c, both passes",
        LSTM,
        ('a_o += p["p_o"] * c', 'a_o += p["p_o"] * prev.c'),
        ('d_c += d_a_o * p["p_o"]', "pass"),
        ("d_c_prev += self._block(d_a, 0)", 'd_c_prev += d_a_o * p["p_o"] + self._block(d_a, 0)'),
        ("self._o) * tape.c)", "self._o) * prev.c)"),
    ),
    bug("cell clip without its derivative", LSTM, "d_c[tape.clipped] = 0", "pass"),
    PlantedBug(
        "cell clip after h",
        LSTM,
        (
            ("c[...] = clip(c, self.cell_clip)", "pass"),
            (
                "        return LSTMState(tape.h, c)",
                "        if self.cell_clip is not None:\n"
                "            c[...] = clip(c, self.cell_clip)\n"
                "        return LSTMState(tape.h, c)",
            ),
        ),
    ),
    bug(
        "gradient of the projection from h(c) without the gate",
        LSTM,
        "m = self._block(tape.gates, self._o) * tape.out_c",
        "m = tape.out_c",
    ),
    bug(
        "gradient of the projection from c",
        LSTM,
        "m = self._block(tape.gates, self._o) * tape.out_c",
        "m = self._block(tape.gates, self._o) * tape.c",
    ),
    bug("coupled gate: d_i without the forgotten part", LSTM, "d_c * (g - c_prev)", "d_c * g"),
    bug("d_f from the new c", LSTM, "np.multiply(d_c, c_prev, out", "np.multiply(d_c, tape.c, out"),
    other_cell(
        "forget bias of 1 added",
        LSTM,
        ("  # L1\n        if self.p", "\n        self._block(a, 1)[...] += 1.0\n        if self.p"),
    ),
    other_cell(
        "coupled gate: 1 - i from i",
        LSTM,
        (
            "return self.gate_activation.complement(self._clipped(self._block(tape.a, 0)))",
            "return 1 - self._block(tape.gates, 0)",
        ),
    ),
    # GRU
    other_cell(
        "reset before instead of after, and after instead of before",
        GRU,
        ('= check_bool(reset_after, "reset_after")', "= not reset_after"),
    ),
    other_cell(
        "b_hn merged with b_in",
        GRU,
        ("if self.biases < 2 or not self.reset_after:", "if True:"),
        ('tape.q[...] += weights.parameters["b_hh"][2 * H :]', "pass"),
        ('gradients["b_hh"] = arithmetic.sum_rows(d_recurrent)', "pass"),
    ),
    other_cell(
        "z and 1 - z swapped",
        GRU,
        ("np.multiply(z, h_prev, out=tape.h)", "np.multiply(1 - z, h_prev, out=tape.h)"),
        ("tape.h[...] += self._one_minus_z(a) * n", "tape.h[...] += z * n"),
        ("d_h_prev = d_h * z", "d_h_prev = d_h * (1 - z)"),
        ("d_h * (prev.h - n)", "d_h * (n - prev.h)"),
        ("d_n = d_h * self._one_minus_z(a)", "d_n = d_h * z"),
    ),
    other_cell(
        "1 - z from z",
        GRU,
        (
            "return self.gate_activation.complement(self._clipped(self._block(a, _Z)))",
            "return 1 - self.gate_activation.value(self._clipped(self._block(a, _Z)))",
        ),
    ),
    bug("sign of d_z", GRU, "d_h * (prev.h - n)", "d_h * (n - prev.h)"),
    bug("d_h not carried by z", GRU, "d_h_prev = d_h * z", "d_h_prev = np.zeros_like(d_h)"),
    bug(
        "gradient of W_hn past the reset gate",
        GRU,
        "product(d_recurrent.T, prev.h)",
        "product(d_tape.a.T, prev.h)",
    ),
    bug("gradient of b_hn past the reset gate", GRU, "sum_rows(d_recurrent)", "sum_rows(d_tape.a)"),
    bug("reset before: d_h_prev not carried by r", GRU, "d_h_prev += d_r_h * r", "pass"),
    bug(
        "reset before: gradient of W_hn from h",
        GRU,
        "product(d_a_n.T, r * prev.h)",
        "product(d_a_n.T, prev.h)",
    ),
    # activations
    other_cell(
        "sigmoid' from the output",
        ACTIVATIONS,
        ("result = sigmoid(-a)\n    result *= y", "result = y * (1 - y)"),
    ),
    other_cell(
        "tanh' from the output", ACTIVATIONS, ("lambda a, y: sech2(a)", "lambda a, y: 1 - y * y")
    ),
    other_cell(
        "1 - sigmoid from sigmoid",
        ACTIVATIONS,
        (
            "(sigmoid, _sigmoid_derivative, lambda a: sigmoid(-a))",
            "(sigmoid, _sigmoid_derivative, lambda a: 1 - sigmoid(a))",
        ),
    ),
    other_cell(
        "relu' of 1 at 0",
        ACTIVATIONS,
        (
            "lambda a: _where(a.real <= 0, 0, 1, like=a)",
            "lambda a: _where(a.real < 0, 0, 1, like=a)",
        ),
    ),
    other_cell(
        "hardsigmoid' of 0 at its bound",
        ACTIVATIONS,
        ("(line < 0) | (line > 1)", "(line <= 0) | (line >= 1)"),
    ),
)

_UNROLL_BUGS = (
    # the edge
    bug(
        "state_0 not copied",
        EDGE,
        'parts.append(array.copy(order="C") if isinstance(array, np.ndarray) else array)',
        "parts.append(array)",
    ),
    bug(
        "reverse ignored",
        EDGE,
        "walker.forward(cell, params, batch, state, reverse)",
        "walker.forward(cell, params, batch, state, False)",
    ),
    bug(
        "cotangent of the final state ignored",
        EDGE,
        "tape.unroll.backward(tape, cotangent, d_state)",
        "tape.unroll.backward(tape, cotangent, type(d_state)(*(0 * a for a in d_state)))",
    ),
    bug(
        "byte-swapped input taken as it lies",
        "refrnn.validation",
        "name, complex_allowed=complex_allowed)\n    if ndim",
        "name, complex_allowed=complex_allowed)\n    array = array.view(dtype)\n    if ndim",
    ),
    # per_sequence; packed is compared with it
    bug(
        "initial state ignored",
        PER_SEQUENCE,
        "state = gather(state_0, slice(b, b + 1))",
        "state = cell.zero_state(1, batch.dtype)",
        "packed",
    ),
    bug(
        "state carried into the next sequence",
        PER_SEQUENCE,
        "state = gather(state_0, slice(b, b + 1))",
        "state = state if b else gather(state_0, slice(b, b + 1))",
    ),
    bug(
        "last step of a sequence left out",
        PER_SEQUENCE,
        "for t in range(stop - start):",
        "for t in range(stop - start - 1):",
    ),
    bug(
        "first step left out on the way back",
        PER_SEQUENCE,
        "for t in reversed(range(stop - start)):",
        "for t in reversed(range(1, stop - start)):",
    ),
    bug(
        "cotangent of the final state ignored",
        PER_SEQUENCE,
        "d_state = gather(d_state_n, slice(b, b + 1))",
        "d_state = cell.zero_state(1, tape.dtype)",
    ),
    bug(
        "input kept on the tape as a view",
        PER_SEQUENCE,
        'copy = values.copy(order="C")',
        "copy = values.copy() if reverse else values",
    ),
    bug(
        "batch reversed as a whole",
        PER_SEQUENCE,
        "copy[start:stop] = values[start:stop][::-1]",
        "copy[...] = values[::-1]",
    ),
    bug(
        "last sequence dropped on the way back",
        PER_SEQUENCE,
        "in enumerate(_ranges(batch)):\n            if start == stop:",
        "in enumerate(_ranges(batch)[:-1]):\n            if start == stop:",
    ),
    bug("gradient of the initial state dropped", PER_SEQUENCE, "first[b] = d_first[0]", "pass"),
    bug(
        "state before the second step is the initial one",
        PER_SEQUENCE,
        "np.concatenate([f, a[:-1]])",
        "np.concatenate([f, f, a[1:-1]])[: len(a)]",
    ),
    bug(
        "parameter gradients of the last sequence only",
        UNROLL + "base",
        "total[name] += gradient",
        "total[name][...] = gradient",
    ),
    # masked
    bug(
        "final state from padding",
        MASKED,
        "kept[alive[t]] = stepped[alive[t]]",
        "kept[...] = stepped",
        "masked",
    ),
    bug(
        "state multiplied by the mask",
        MASKED,
        "kept[alive[t]] = stepped[alive[t]]",
        "kept[...] = kept * ~alive[t][:, None] + stepped * alive[t][:, None]",
        "masked of NaN",
    ),
    bug(
        "cotangent stepped through padding",
        MASKED,
        "d_kept[alive[t]] = d_stepped[alive[t]]",
        "d_kept[...] = d_stepped",
        "masked",
    ),
    bug(
        "cotangent multiplied by the mask",
        MASKED,
        "d_kept[alive[t]] = d_stepped[alive[t]]",
        "d_kept[...] = d_kept * ~alive[t][:, None] + d_stepped * alive[t][:, None]",
        "masked of NaN",
    ),
    bug(
        "padding in the parameter gradients",
        MASKED,
        "(weights, rows, prev, d_rows, saved.x[place])",
        "(weights, saved.tape, saved.before, d_tape, saved.x)",
        "masked",
    ),
    bug(
        "reverse with the padding first",
        MASKED,
        "step = lengths[sequence] - 1 - step",
        "step = lengths.max() - 1 - step",
        "masked",
    ),
    bug(
        "mask one step short",
        MASKED,
        "alive = sequence_mask(batch.lengths, T)",
        "alive = sequence_mask(np.maximum(batch.lengths - 1, 0), T)",
        "masked",
    ),
    bug(
        "d_output of each step twice",
        MASKED,
        "d_state.h[...] += d_outputs[start:stop]",
        "d_state.h[...] += 2 * d_outputs[start:stop]",
        "masked",
    ),
    # bucketed
    bug(
        "rows of a bucket permuted",
        BUCKETED,
        "final[chosen] = part",
        "final[chosen] = part[::-1]",
        "bucketed",
    ),
    bug(
        "initial states of the wrong sequences",
        BUCKETED,
        "gather(state_0, chosen)",
        "gather(state_0, slice(0, len(chosen)))",
        "bucketed",
    ),
    bug(
        "gradient of the initial state permuted",
        BUCKETED,
        "initial[chosen] = d_initial",
        "initial[chosen] = d_initial[::-1]",
        "bucketed",
    ),
    bug(
        "last bucket dropped",
        BUCKETED,
        "for k in np.unique(ids)]",
        "for k in np.unique(ids)[:-1]]",
        "bucketed",
    ),
    bug(
        "parameter gradients of the last bucket only",
        BUCKETED,
        "add_gradients(total, gradients.parameters)",
        "total = dict(gradients.parameters)",
        "bucketed",
    ),
    bug(
        "cotangents of the wrong sequences",
        BUCKETED,
        "gather(d_state_n, chosen)",
        "gather(d_state_n, chosen[::-1])",
        "bucketed",
    ),
    # packed and lanes
    bug(
        "state not reset where a lane begins a sequence",
        STEP_MAJOR,
        "lane_state[lanes] = initial[sequences]",
        "pass",
        "lanes",
    ),
    bug(
        "cotangent not cleared where a lane begins a sequence",
        STEP_MAJOR,
        "carried[lanes] = 0",
        "pass",
        "lanes",
    ),
    bug(
        "lane reset to its neighbour's state",
        STEP_MAJOR,
        "lane_state[lanes] = initial[sequences]",
        "lane_state[lanes] = initial[sequences - 1]",
        "lanes",
    ),
    bug(
        "gradient of the initial state added, not assigned",
        STEP_MAJOR,
        "initial[layout.sequences[begin:end]] = carried[lanes]",
        "initial[layout.sequences[begin:end]] += carried[lanes]",
        "packed",
    ),
    bug(
        "state before a step is the one after it",
        STEP_MAJOR,
        "step_rows[np.maximum(at - 1, 0)] + lane",
        "step_rows[at] + lane",
        "packed",
    ),
    bug(
        "final state one step early",
        STEP_MAJOR,
        "lengths[busy] - 1] +",
        "np.maximum(lengths[busy] - 2, 0)] +",
        "packed",
    ),
    bug(
        "final states in lane order",
        STEP_MAJOR,
        "final[layout.sequences] = rows[layout.last]",
        "final[: len(layout.last)] = rows[layout.last]",
        "packed",
    ),
    bug(
        "carried cotangent assigned, not added",
        STEP_MAJOR,
        "direct[: len(carried)] += carried",
        "direct[: len(carried)] = carried",
        "packed",
    ),
    bug(
        "cotangent of the final state assigned, not added",
        STEP_MAJOR,
        "direct[layout.last] += d_final[layout.sequences]",
        "direct[layout.last] = d_final[layout.sequences]",
        "packed",
    ),
    bug(
        "last input row left unwritten",
        STEP_MAJOR,
        "x[layout.place] = batch.values",
        "x[layout.place[:-1]] = batch.values[:-1]",
        "packed",
    ),
    bug(
        "initial states ignored in the weight gradient",
        STEP_MAJOR,
        "before[layout.first] = initial[layout.sequences]",
        "pass",
        "packed",
    ),
    bug(
        "reverse within the longest length",
        STEP_MAJOR,
        "step = lengths[sequence] - 1 - step",
        "step = (lengths.max() - 1 - step) % lengths[sequence]",
        "packed",
    ),
    bug(
        "cotangent of the input in step order",
        STEP_MAJOR,
        "d_x = cell.input_gradient(weights, d_tape)[layout.place]",
        "d_x = cell.input_gradient(weights, d_tape)",
        "packed",
    ),
    bug(
        "lane starts shifted by one sequence",
        UNROLL + "lanes",
        "Schedule(plan.lane, plan.start, plan.batch_sizes)",
        "Schedule(plan.lane, plan.start[::-1], plan.batch_sizes)",
        "lanes",
    ),
    bug(
        "lanes not numbered by load",
        "refrnn.lanes",
        "lane[order] = new_number[lane[order]]",
        "pass",
        "lanes",
    ),
    bug(
        "shortest first",
        "refrnn.packing",
        'np.argsort(-lengths, kind="stable")',
        'np.argsort(lengths, kind="stable")',
        "packed",
    ),
)

_BUGS_OF_THE_LAW = (
    bug(
        "gradients in a bare tuple",
        PER_SEQUENCE,
        "return Gradients(CellParameters(total), d_input, d_state_0)",
        "return Gradients(CellParameters(total), d_input, tuple(d_state_0))",
    ),
    bug(
        "no initial state counts as ones",
        BASE,
        "self.state_type(*(np.zeros(",
        "self.state_type(*(np.ones(",
    ),
    bug(
        "cotangent dropped at length 0",
        PER_SEQUENCE,
        "d_state_0 = type(d_state_n)._make([array.copy() for array in d_state_n])",
        "d_state_0 = type(d_state_n)._make([np.zeros_like(array) for array in d_state_n])",
    ),
    bug(
        "padding times 0 added to every row",
        "refrnn.padding",
        "batch_major[sequence_mask(checked, steps, batch_first=True)]",
        "batch_major[sequence_mask(checked, steps, batch_first=True)] + 0 * batch_major.sum()",
    ),
    bug(
        "other rows times 0 added to every row",
        BASE,
        'return weights.arithmetic.product(d_tape.a, weights.parameters["W_ih"])',
        'return weights.arithmetic.product(d_tape.a, weights.parameters["W_ih"]) '
        "+ 0 * d_tape.a.sum()",
        "packed",
    ),
    bug(
        "cotangents clipped",
        MASKED,
        "d_outputs[place] = d_output",
        "d_outputs[place] = np.clip(d_output, -0.5, 0.5)",
        "masked",
    ),
    bug(
        "output is a view of the tape",
        PER_SEQUENCE,
        "output = _in_step_order(cell.states(tape).h, batch, reverse)",
        "output = cell.states(tape).h\n"
        "        if reverse:\n"
        "            output = _in_step_order(output, batch, reverse)",
    ),
    bug("reverse not checked", EDGE, 'reverse = check_bool(reverse, "reverse")', "pass"),
)

#: All of them.
PLANTED_BUGS = _CELL_BUGS + _UNROLL_BUGS + _BUGS_OF_THE_LAW

#: Property -> a bug that it must find on its own: no property that cannot fail.
FOUND_ALONE = {
    "accepts_any_layout": "byte-swapped input taken as it lies",
    "agrees_with_the_definition": "final state from padding",
    "backward_is_linear": "cotangents clipped",
    "empty_sequences_pass_the_state": "cotangent dropped at length 0",
    "gradients_match_the_complex_step": "sign of d_z",
    "ignores_neighbours": "state carried into the next sequence",
    "inputs_stay_untouched": "state_0 not copied",
    "keeps_types_and_dtypes": "gradients in a bare tuple",
    "nan_stays_in_its_sequence": "other rows times 0 added to every row",
    "neighbours_change_no_bit": "state carried into the next sequence",
    "none_means_zero": "no initial state counts as ones",
    "padding_reaches_nothing": "padding times 0 added to every row",
    "partitions_add_up": "parameter gradients of the last sequence only",
    "permutes_with_the_batch": "batch reversed as a whole",
    "refuses": "reverse not checked",
    "repeats_bitwise": "last input row left unwritten",
    "results_are_their_own": "output is a view of the tape",
    "reverse_is_forward_on_reversed": "reverse within the longest length",
    "split_equals_whole": "reverse ignored",
}
