"""The oracle on Keras 3, each backend in a process of its own: Keras has one backend a process."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

PROGRAM = Path(__file__).with_name("program.py")
TIMEOUT = 540
NARROW = ("jax", "torch")

#: Problems of the standard set with padding before the first step, or a row without a step, and an
#: h_0 that is not zero.
WITHOUT_STEP = {"length_0_and_1", "nan_padding", "long_and_short", "holes", "strided"}
REPEATED = "with the rule that outputs in the padding repeat the last valid one"
REFUSED = {"all_empty", "empty_batch"}


@pytest.fixture(scope="module", params=["tensorflow", "jax", "torch"])
def found(request, tmp_path_factory):
    """What the program finds on one backend; run once, however many processes pytest has."""
    base = tmp_path_factory.getbasetemp()
    path = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / request.param
    try:
        path.mkdir()
    except FileExistsError:  # another process runs it
        done = path / "returncode"
        end = time.monotonic() + TIMEOUT
        while not done.exists() and time.monotonic() < end:
            time.sleep(0.2)
    else:
        run(request.param, path)
    assert (path / "returncode").read_text() == "0", (path / "stderr").read_text()
    read = json.loads((path / "found.json").read_text())
    assert read["backend"] == request.param
    return read


def run(backend, path):
    """The program on a backend, in a process of its own."""
    run = subprocess.run(
        [sys.executable, "-P", str(PROGRAM), str(path / "found.json")],
        env={**os.environ, "KERAS_BACKEND": backend},
        capture_output=True,
        text=True,
        timeout=TIMEOUT,
    )
    (path / "stderr").write_text(run.stderr)
    (path / "written").write_text(str(run.returncode))
    (path / "written").rename(path / "returncode")  # at once, or not at all


def failures(record):
    """Problem and tensor of everything that failed, with its words."""
    return {
        (e["problem"], e["tensor"]): e["words"]
        for e in record["entries"]
        if e["status"] == "FAILED"
    }


def on_purpose(record):
    """Problem and tensor of everything that differs as the profile says."""
    return {
        (e["problem"], e["tensor"]): e["words"]
        for e in record["entries"]
        if e["status"] == "on purpose"
    }


def gradients(record):
    return {e["tensor"] for e in record["entries"] if e["tensor"].startswith("d_")}


def outputs(record):
    return {e["tensor"] for e in record["entries"] if e["tensor"].startswith("output")}


UNROLLED_BACKWARDS = (
    "LSTM unrolled backwards",
    "LSTM unrolled backwards zeros",
    "Bidirectional unrolled",
)


# --- right layers: what fails is what Keras does wrong -------------------------------------------


def expected(backend, name, record):
    """Where a layer of Keras itself fails."""
    problems = {e["problem"] for e in record["entries"]}
    if backend == "torch" and name in UNROLLED_BACKWARDS:
        return {("holes", "")}
    if backend == "tensorflow" and name in UNROLLED_BACKWARDS[1:]:
        there = {e["tensor"] for e in record["entries"]}
        own = {n for n in there if n.startswith("d_") and "forward_layer" not in n}
        return {("holes", tensor) for tensor in {"output", *own}}
    wrong = set()
    if "nan_padding" in problems:
        leaking = {"d_kernel"} if name == "SimpleRNN relu" else gradients(record)
        wrong |= {("nan_padding", tensor) for tensor in leaking}
    if backend == "jax":
        zeros = name.startswith("Bidirectional") or name == "LSTM zeros"
        if name in ("LSTM unrolled zeros", *UNROLLED_BACKWARDS[1:]):
            wrong |= {("holes", "output")}
        elif not (zeros or "unrolled" in name):
            wrong |= {(problem, "output") for problem in problems & WITHOUT_STEP}
    return wrong


def test_right_layers_fail_only_where_keras_is_wrong(found):
    assert len(found["all_modules"]) == 24
    for name, record in found["all_modules"].items():
        assert set(failures(record)) == expected(found["backend"], name, record), name


def test_the_whole_standard_set_is_run(found):
    record = found["all_modules"]["LSTM"]
    assert len({e["problem"] for e in record["entries"]}) == 14
    refused = {p for (p, tensor), words in on_purpose(record).items() if tensor == ""}
    assert refused == REFUSED
    assert not [e for e in record["entries"] if e["status"] == "unchecked"]


def test_nan_in_the_padding_leaks_into_every_gradient(found):
    for name in ("LSTM", "GRU", "stacked cells", "Bidirectional concat"):
        record = found["all_modules"][name]
        own = failures(record)
        for name in gradients(record):
            assert "the NaN of the padding leaks into it" in own["nan_padding", name]


def test_outputs_in_the_padding_repeat_the_last_valid_one_on_purpose(found):
    words = on_purpose(found["all_modules"]["LSTM"])["unsorted", "output"]
    assert words == "outputs in the padding repeat the last valid one"


def test_jax_puts_h_0_where_there_is_no_valid_step_before(found):
    own = failures(found["all_modules"]["LSTM"])
    words = [w for (p, n), w in own.items() if n == "output"]
    assert len(words) == (5 if found["backend"] == "jax" else 0)
    rule = f"{REPEATED}, and h_0 where there is none"
    assert all(w.startswith(rule) for w in words)


def test_jax_ignores_zero_output_for_mask_where_it_is_unrolled(found):
    own = failures(found["all_modules"]["LSTM unrolled zeros"])
    if found["backend"] == "jax":
        words = own["holes", "output"]
        assert words.startswith(REPEATED)
        assert "h_0" not in words
    else:
        assert not own


def test_torch_crashes_unrolled_backwards_with_a_mask(found):
    for name in UNROLLED_BACKWARDS:
        own = failures(found["all_modules"][name])
        crash = "crashed: AttributeError: 'tuple' object has no attribute 'shape'"
        assert (own.get(("holes", "")) == crash) == (found["backend"] == "torch")
    if found["backend"] != "torch":
        assert not failures(found["all_modules"]["LSTM unrolled backwards"])


def test_tensorflow_puts_zeros_at_the_wrong_steps_unrolled_backwards(found):
    words = "with outputs of the backward direction set to zero by the mask in the order of time"
    for name in UNROLLED_BACKWARDS[1:]:
        own = failures(found["all_modules"][name])
        named = [n for (_, n), w in own.items() if w.startswith(words)]
        assert bool(named) == (found["backend"] == "tensorflow")
        assert len(named) in (0, len(own))


def test_jax_crashes_in_float64_without_a_mask(found):
    own = failures(found["options"]["SimpleRNN float64 without padding"])
    if found["backend"] == "jax":
        crash = (
            "crashed: TypeError: scan body function carry input and carry output must have equal"
        )
        assert set(own) == {("all_equal", "")}
        assert own["all_equal", ""].startswith(crash)
    else:
        assert not own


def test_float64_is_float32_on_jax_and_torch(found):
    for name in ("LSTM", "GRU", "SimpleRNN"):
        record = found["all_modules"][f"{name} float64"]
        narrow = [w for w in on_purpose(record).values() if "float64 is computed in float32" in w]
        assert bool(narrow) == (found["backend"] in NARROW)
        if not narrow:
            errors = [e["normwise"] for e in record["entries"] if e["tensor"].startswith("d_")]
            assert max(errors) < 1e-14


# --- planted mistakes ----------------------------------------------------------------------------

PLANTED = {
    "cell gates": ("output", "with the forget and cell gate rows swapped it agrees to"),
    "cell bias twice": ("d_bias", "with b_ih added twice it agrees to"),
    "cell transposed": ("d_recurrent_kernel", "with W_hh transposed it agrees to"),
    "layer mask ignored": ("d_kernel", "with lengths ignored, padding stepped like data,"),
    "layer final state": ("state_c", "with the final state taken from the padding it agrees to"),
    "layer rows": (
        "state_h",
        "along axis 0 its rows are those of the reference in the order [5, 4",
    ),
    "layer state dropped": ("d_initial_state_h", "it is zero everywhere: the gradient is dropped"),
    "layer crash": ("", "crashed: RuntimeError: out of order"),
    "layer shape": ("output", "it has shape (6, 5, 9), expected (6, 9, 5)"),
    "layer dtype": ("output", "it has dtype float16, expected float32"),
    "layer count": ("", "crashed: ValueError: the layer returned 2 arrays, expected 3"),
    "bidirectional": ("d_backward_layer.kernel", "with the reverse direction started in the"),
}


@pytest.mark.parametrize("name", PLANTED)
def test_a_planted_mistake_is_named(found, name):
    tensor, words = PLANTED[name]
    assert failures(found["planted"][name])["unsorted", tensor].startswith(words)


def test_without_a_mistake_nothing_is_found(found):
    assert found["planted"]["cell "]["ok"]
    assert found["planted"]["layer "]["ok"]


def test_one_entry_that_is_off_by_a_thousandth_is_found(found):
    own = failures(found["planted"]["cell one entry"])
    assert set(own) == {("unsorted", "d_kernel")}
    entries = found["planted"]["cell one entry"]["entries"]
    (entry,) = [e for e in entries if e["tensor"] == "d_kernel"]
    assert entry["where"] == [0, 7]
    assert entry["got"] == pytest.approx(1.001 * entry["expected"], rel=1e-5)


def test_what_a_misshapen_output_leaves_is_not_offered(found):
    record = found["planted"]["layer shape"]
    left = {e["tensor"] for e in record["entries"] if e["status"] == "unchecked"}
    assert left == gradients(record)


# --- options -------------------------------------------------------------------------------------

BATCH_OF_ITS_OWN = ("batch", "last sum", "last ave", "last concat", "last None")


def test_other_ways_to_say_what_is_checked(found):
    for name, record in found["options"].items():
        if name == "SimpleRNN float64 without padding":
            continue  # above
        wrong = set(failures(record))
        if found["backend"] == "jax" and name in BATCH_OF_ITS_OWN:  # h_0 for rows without a step
            assert {tensor for _, tensor in wrong} == outputs(record)
        else:
            assert not wrong, name
        assert any(e["status"] in ("ok", "on purpose") for e in record["entries"])


def test_what_a_layer_does_not_return_is_not_compared(found):
    shown = {e["tensor"] for e in found["options"]["last None"]["entries"]}
    assert {"output[0]", "output[1]", "d_sequences", "d_backward_layer.kernel"} <= shown
    assert not any(name.startswith("forward_layer.state") for name in shown)


REFUSALS = {
    "not built": "ValueError: input_size is None, expected a number: the layer is not built",
    "other size": "ValueError: input_size has value 4, expected 3: the layer is built",
    "stateful": "UnsupportedCase: stateful=True: what the layer returns depends on the calls",
    "float16": "UnsupportedCase: the layer has dtype mixed_float16, expected float32 or float64",
    "activation": "UnsupportedCase: activation is 'selu', expected one of tanh, sigmoid",
    "mul": "UnsupportedCase: merge_mode='mul' with return_sequences=False multiplies",
    "dense": "TypeError: subject has type Dense, expected a keras.layers.RNN",
    "option": "TypeError: adapt() got an unexpected keyword argument 'packed'",
    "gates": "TypeError: recurrent_activation was given, expected None: SimpleRNN has none",
}


def test_what_cannot_be_checked_is_refused_with_a_reason(found):
    assert set(found["refused"]) == set(REFUSALS)
    for name, words in REFUSALS.items():
        assert found["refused"][name].startswith(words)


def test_the_layer_is_not_changed(found):
    assert found["unchanged"] == {"variables": True, "gradients": True, "filtering": True}
