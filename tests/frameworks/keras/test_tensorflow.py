"""The oracle on the fused operators of TensorFlow."""

import numpy as np
import pytest
import tensorflow as tf

import refrnn as rr
from refrnn.oracle import Status, adapt, check, problem_of
from refrnn.oracle.adapters.tensorflow import block_lstm, gru_block_cell, modules
from refrnn.padding import sequence_mask

# x, h_prev, cs_prev, w, b: everything that has a gradient without peepholes
ALL = {"d_x", "d_h_prev", "d_cs_prev", "d_w", "d_b"}


def failures(report):
    """Problem and tensor of everything that failed, with its words."""
    return {(e.problem, e.tensor): e.words for e in report.entries if e.status is Status.FAILED}


def wrong(report):
    return {tensor for _, tensor in failures(report)}


def padded_problem(subject, lengths, steps, fill=None, gain=1.0):
    """A problem of these lengths in an array of so many steps."""
    rng = np.random.default_rng(3)
    values = gain * rng.normal(size=(sum(lengths), 3)).astype(np.float32)
    batch = rr.RaggedBatch(values, np.array(lengths))
    problem = problem_of(subject.network, batch)
    mask = sequence_mask(batch.lengths, steps, batch_first=True)
    padding = rng.normal(size=(*mask.shape, 3)).astype(np.float32)
    if fill is not None:
        padding[...] = fill
    return problem._replace(mask=mask, padding=padding)


@pytest.fixture(scope="module")
def reports():
    return {name: check(subject) for name, subject in modules()}


def test_only_the_known_operators_fail(reports):
    fine = {name for name, report in reports.items() if report.ok}
    assert fine == {"BlockLSTM", "BlockLSTM peepholes", "BlockLSTMV2 by its kernel", "GRUBlockCell"}
    assert len(reports) == 7


@pytest.mark.parametrize("name", ["BlockLSTMV2", "BlockLSTMV2 peepholes"])
def test_the_registered_gradient_of_version_2_is_that_of_version_1(reports, name):
    report = reports[name]
    peepholes = {"d_wci", "d_wcf", "d_wco"} if "peepholes" in name else set()
    assert wrong(report) == ALL | peepholes
    (finding,) = report.failures
    assert finding.words.startswith(
        "with the forget and cell gate rows swapped in the backward pass it agrees to"
    )
    assert float(finding.words.rpartition(" ")[2]) < 1e-6
    assert finding.problems == ("all_equal", "single_row", "one_sequence")


def test_the_gradient_of_version_1_ignores_the_clip(reports):
    (finding,) = reports["BlockLSTM clipped"].failures
    assert set(finding.tensors) == ALL
    assert finding.words.startswith("with the derivative of cell_clip left out it agrees to")
    assert float(finding.words.rpartition(" ")[2]) < 1e-6


def test_a_clip_that_never_acts_is_right():
    assert check(block_lstm(3, 5, version=1, cell_clip=100.0)).ok
    assert check(block_lstm(3, 5, version=1, cell_clip=0)).ok


def test_ragged_problems_are_not_put_to_an_operator_with_one_length(reports):
    words = {e.words for e in reports["BlockLSTM"].entries if e.status is Status.UNCHECKED}
    assert words == {
        "BlockLSTM takes one seq_len_max for the whole batch, so that it is not ragged",
        "BlockLSTM takes a length and no mask, so that it has no holes",
    }
    run = {e.problem for e in reports["BlockLSTM"].entries if e.tensor == "h"}
    assert run == {"all_equal", "single_row", "one_sequence", "all_empty", "empty_batch"}


@pytest.mark.parametrize("version", [1, 2])
@pytest.mark.parametrize("fill", [None, np.nan])
def test_steps_behind_seq_len_max_reach_nothing(version, fill):
    subject = block_lstm(3, 5, version=version, gradient="kernel")
    assert check(subject, padded_problem(subject, (4, 4), 7, fill)).ok


def test_saturated_gates_are_within_tolerance():
    subject = block_lstm(3, 5, gradient="kernel", peepholes=True)
    assert check(subject, padded_problem(subject, (8, 8, 8), 8, gain=10.0)).ok


def test_weights_and_a_batch_of_ones_own():
    rng = np.random.default_rng(0)
    weights = {"w": rng.normal(size=(8, 20)), "b": rng.normal(size=20)}
    weights = {name: array.astype(np.float32) for name, array in weights.items()}
    batch = rr.RaggedBatch(rng.normal(size=(6, 3)).astype(np.float32), np.array([3, 3]))
    assert check(block_lstm(3, 5, version=1, forget_bias=2.0, weights=weights), batch).ok
    cell = {"w_ru": (8, 10), "w_c": (8, 5), "b_ru": (10,), "b_c": (5,)}
    cell = {name: rng.normal(size=shape).astype(np.float32) for name, shape in cell.items()}
    ragged = rr.RaggedBatch(rng.normal(size=(6, 3)).astype(np.float32), np.array([4, 0, 2]))
    assert check(gru_block_cell(3, 5, weights=cell), ragged).ok


# --- planted mistakes ----------------------------------------------------------------------------


def planted(monkeypatch, operator, change):
    """The operator of ``tf.raw_ops`` with something changed around it."""
    right = getattr(tf.raw_ops, operator)
    monkeypatch.setattr(tf.raw_ops, operator, lambda **arguments: change(right, arguments))


def swapped_gates(right, arguments):
    def swapped(name):
        i, c, f, o = tf.split(arguments[name], 4, axis=-1)
        return tf.concat([i, f, c, o], -1)

    return right(**{**arguments, "w": swapped("w"), "b": swapped("b")})


def bias_twice(right, arguments):
    return right(**{**arguments, "b": 2 * arguments["b"]})


def state_dropped(right, arguments):
    stopped = {n: tf.stop_gradient(arguments[n]) for n in ("h_prev", "cs_prev")}
    return right(**{**arguments, **stopped})


def rows_reversed(right, arguments):
    *others, h = right(**arguments)
    return (*others, tf.reverse(h, [1]))


def crash(right, arguments):
    raise RuntimeError("out of order")


PLANTED = {
    "h": (bias_twice, "with b_ih added twice it agrees to"),
    "d_w": (swapped_gates, "with the forget and cell gate rows swapped it agrees to"),
    "d_h_prev": (state_dropped, "it is zero everywhere: the gradient is dropped"),
    "h[-1]": (rows_reversed, "along axis 0 its rows are those of the reference in the order [3, 2"),
    "": (crash, "crashed: RuntimeError: out of order"),
}


@pytest.mark.parametrize("tensor", PLANTED)
def test_a_planted_mistake_is_named(monkeypatch, tensor):
    change, words = PLANTED[tensor]
    planted(monkeypatch, "BlockLSTM", change)
    subject = block_lstm(3, 5, version=1, forget_bias=0.0)
    report = check(subject, padded_problem(subject, (4, 4, 4, 4), 4))
    assert failures(report)["batch", tensor].startswith(words)


def test_a_wrong_shape_and_a_wrong_dtype_are_findings(monkeypatch):
    def transposed(right, arguments):
        *others, h = right(**arguments)
        return (*others, h[:, :, :4])

    planted(monkeypatch, "BlockLSTM", transposed)
    subject = block_lstm(3, 5, version=1)
    report = check(subject, padded_problem(subject, (4, 4), 4))
    assert not report.ok
    monkeypatch.undo()

    def halved(right, arguments):
        r, u, c, h = right(**arguments)
        return r, u, c, tf.cast(h, tf.float16)

    planted(monkeypatch, "GRUBlockCell", halved)
    cell = gru_block_cell(3, 5)
    assert not check(cell, padded_problem(cell, (1, 0), 1)).ok


def test_one_entry_of_a_gradient_is_found(monkeypatch):
    def nudged(right, arguments):
        d_x, d_h, d_c, d_ru = right(**arguments)
        return d_x, d_h, d_c, d_ru * (1 + 1e-3 * tf.one_hot([7], d_ru.shape[1]))

    planted(monkeypatch, "GRUBlockCellGrad", nudged)
    cell = gru_block_cell(3, 5)
    report = check(cell, padded_problem(cell, (3, 2), 3))
    assert wrong(report) == {"d_w_ru", "d_b_ru"}


# --- refusals ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("make", "error", "words"),
    [
        (lambda: block_lstm(3, 5, version=3), ValueError, "version has value 3, expected 1 or 2"),
        (lambda: block_lstm(3, 5, forget_bias=1.0), TypeError, "BlockLSTMV2 has none"),
        (lambda: block_lstm(3, 5, gradient="tape"), ValueError, "gradient has value 'tape'"),
        (lambda: block_lstm(0, 5), ValueError, "input_size has value 0"),
        (lambda: block_lstm(3, 5, weights={"w": np.zeros((8, 20))}), ValueError, "names"),
        (lambda: adapt(tf.Variable(0.0)), TypeError, "expected a layer of Keras, or what block_"),
    ],
)
def test_what_cannot_be_made_is_refused(make, error, words):
    with pytest.raises(error, match=words):
        make()


def test_float64_weights_are_refused_as_the_operators_have_none():
    weights = {"w": np.zeros((8, 20)), "b": np.zeros(20)}
    with pytest.raises(TypeError, match=r"weights\['w'\] has dtype float64, expected float32"):
        block_lstm(3, 5, weights=weights)
    zeros = {n: tf.zeros(s, tf.float64) for n, s in (("x", (1, 1, 3)), ("w", (8, 20)), ("b", 20))}
    states = {n: tf.zeros((1, 5), tf.float64) for n in ("h_prev", "cs_prev")}
    peepholes = {n: tf.zeros(5, tf.float64) for n in ("wci", "wcf", "wco")}
    with pytest.raises(tf.errors.InvalidArgumentError, match="half, float"):
        tf.raw_ops.BlockLSTMV2(seq_len_max=tf.constant(1, tf.int64), **zeros, **states, **peepholes)
