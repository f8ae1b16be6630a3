"""The peers ``onnxruntime`` and ``jax``, run on stand-ins that follow the specifications."""

import sys

import numpy as np
import pytest

import refrnn as rr
from refrnn.bench import contestants as contestants_module
from refrnn.bench import entries, jax_peer, onnx_peer, running, torch_peer, unroll_runner, worker
from refrnn.bench.contestants import PEERS, Contestant, Peer, find_contestants
from refrnn.bench.notes import thread_notes
from refrnn.bench.report import report
from refrnn.bench.results import Settings, Status
from refrnn.bench.running import run_bench
from refrnn.bench.workloads import WORKLOAD_SETS, Workload, find_workloads
from refrnn.cases import CELL_NAMES, make_cell
from refrnn.comparison import compare, reference

from . import bench_fakes
from .bench_results import MACHINE, TINY, result

BATCH = "uniform-b4-t5-h3-i2"


@pytest.fixture
def fake_onnx(monkeypatch):
    for name, module in bench_fakes.onnx_modules().items():
        monkeypatch.setitem(sys.modules, name, module)


@pytest.fixture
def fake_jax(monkeypatch):
    """What the peer configures, by name; and how many threads this process would be held to."""
    settings = {}
    monkeypatch.setattr(jax_peer, "hold", lambda threads: settings.update(threads=threads))
    for name, module in bench_fakes.jax_modules(settings).items():
        monkeypatch.setitem(sys.modules, name, module)
    return settings


def make_case(cell, dtype, *, reverse=False):
    """A workload's case with this cell."""
    case = Workload.parse(BATCH, dtype=dtype).make()
    rng = np.random.default_rng(5)
    d_output = rng.standard_normal((case.batch.total_steps, cell.output_size)).astype(dtype)
    parameters = cell.init_parameters(rng, dtype)
    return case._replace(cell=cell, parameters=parameters, d_output=d_output, reverse=reverse)


def assert_right(case, got):
    """Every array that `got` has is within tolerance of the definition's."""
    truth = reference(case)
    assert set(got) <= set(truth.results)
    wrong = [d for d in compare(case, {**truth.results, **got}, truth) if not d.ok]
    assert not wrong, "; ".join(map(str, wrong))


CELLS = [
    *(make_cell(name, 2, 3 if name != "lstm_projection" else 4) for name in CELL_NAMES),
    rr.LSTM(2, 3, biases=1),
    rr.LSTM(2, 3, biases=0, coupled=True, peepholes=True),
    rr.LSTM(2, 3, peepholes=True, gate_clip=0.4, cell_activation="relu"),
    rr.LSTM(2, 3, gate_activation="tanh", output_activation="sigmoid"),
    rr.GRU(2, 3, biases=1),
    rr.GRU(2, 3, biases=0, reset_after=False, gate_clip=0.3),
    rr.GRU(2, 3, gate_clip=0.3, candidate_activation="sigmoid"),
    rr.RNN(2, 3, biases=0, gate_clip=0.4),
]
NOT_IN_ONNX = {"proj_size", "cell_clip"}
IN_ONNX = [c for c in CELLS if not any(c.options().get(name) for name in NOT_IN_ONNX)]


# --- ONNX Runtime ----------------------------------------------------------------------------


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("cell", IN_ONNX, ids=repr)
def test_the_model_is_the_cell(fake_onnx, cell, reverse):
    case = make_case(cell, "float32", reverse=reverse)
    runner = onnx_peer.prepare(case, 3)
    got = runner.results()
    assert set(got) == {"output", *(f"{name}_n" for name in cell.state_names)}
    assert_right(case, got)
    facts = runner.facts()
    assert facts["computed_steps"] == case.batch.batch_size * case.batch.max_length
    assert facts["threads"] == 3
    assert facts["versions"] == {"onnxruntime": "fake", "onnx": "fake", "numpy": np.__version__}


@pytest.mark.parametrize(
    ("cell", "dtype", "reason"),
    [
        (rr.LSTM(2, 4, proj_size=2), "float32", "ONNX has no LSTM with proj_size"),
        (rr.LSTM(2, 3, cell_clip=0.5), "float32", "ONNX has no LSTM with cell_clip"),
        (rr.GRU(2, 3), "float64", "take float32, not float64"),
        (rr.GRU(2, 3, gate_activation="hardsigmoid"), "float32", "and relu, not hardsigmoid"),
    ],
)
def test_what_onnx_runtime_lacks_is_said_before_it_is_imported(cell, dtype, reason, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    assert reason in onnx_peer.prepare(make_case(cell, dtype), 1)
    with pytest.raises(ModuleNotFoundError):
        onnx_peer.prepare(make_case(rr.GRU(2, 3), "float32"), 1)


def test_onnx_runtime_is_timed_forward_only(fake_onnx):
    held = {}
    contestant = Contestant("onnxruntime", "peer", "onnxruntime")
    workload = Workload.parse(TINY)
    answer = worker._prepare(held, list(contestant), list(workload), 1)
    assert set(answer["calls"]) == {"forward"}
    assert "differentiate" in answer["facts"]["lacks"]["forward+backward"]
    with pytest.raises(NotImplementedError, match="differentiate"):
        onnx_peer.prepare(workload.make(), 1).forward_backward()


def test_onnx_runtime_keeps_no_memory_where_memory_is_measured(fake_onnx):
    contestant = Contestant("onnxruntime", "peer", "onnxruntime")
    kept = [
        contestants_module.prepare(contestant, Workload.parse(TINY).make(), 1, weighed=weighed)
        for weighed in (False, True)
    ]
    options = [runner._session.get_session_options() for runner in kept]
    assert [o.enable_cpu_mem_arena for o in options] == [True, False]


# --- JAX -------------------------------------------------------------------------------------


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("cell", CELLS, ids=repr)
def test_the_scan_is_the_cell(fake_jax, cell, reverse):
    case = make_case(cell, "float64", reverse=reverse)
    runner = jax_peer.prepare(case, 1)
    got = runner.results()
    names = {"output", "d_input", *(f"{n}_n" for n in cell.state_names)}
    assert set(got) == names | {f"d_{name}" for name in case.parameters}
    assert_right(case, got)
    output, state = runner.forward()
    padded = np.asarray(output)
    rows = [padded[:n, b] for b, n in enumerate(case.batch.lengths)]
    assert np.array_equal(np.concatenate(rows), got["output"])
    assert np.array_equal(state[0], got["h_n"])
    assert runner.facts()["computed_steps"] == case.batch.batch_size * case.batch.max_length


@pytest.mark.parametrize(("dtype", "wide"), [("float32", False), ("float64", True)])
def test_jax_runs_on_the_cpu_in_the_dtype_that_was_asked_for(fake_jax, dtype, wide):
    jax_peer.prepare(make_case(rr.RNN(2, 3), dtype), 5)
    assert fake_jax == {"jax_platforms": "cpu", "jax_enable_x64": wide, "threads": 5}


def test_what_the_scan_lacks_is_said_before_jax_is_imported(monkeypatch):
    held = []
    monkeypatch.setattr(jax_peer, "hold", held.append)
    monkeypatch.setitem(sys.modules, "jax", None)
    case = make_case(rr.RNN(2, 3, activation="softsign"), "float32")
    assert jax_peer.prepare(case, 1).endswith("relu, not softsign")
    assert held == []
    with pytest.raises(ModuleNotFoundError):
        jax_peer.prepare(make_case(rr.RNN(2, 3), "float32"), 1)
    assert held == [1]  # before the import: threads that are there already keep their cores


@pytest.mark.parametrize(("threads", "cores"), [(1, [2]), (2, [2, 4]), (3, [2, 4, 3])])
def test_threads_are_held_to_as_many_cores_each_of_its_own_first(monkeypatch, threads, cores):
    told = []
    monkeypatch.setattr(jax_peer.os, "sched_getaffinity", lambda pid: {5, 4, 3, 2}, raising=False)
    monkeypatch.setattr(
        jax_peer.os, "sched_setaffinity", lambda pid, cpus: told.append(cpus), raising=False
    )
    monkeypatch.setattr(jax_peer, "_core", lambda cpu: f"{cpu // 2 * 2}-{cpu // 2 * 2 + 1}")
    jax_peer.hold(threads)
    assert told == [cores]


def test_cores_that_tell_nothing_of_themselves_are_cores_of_their_own():
    assert jax_peer._core(10**9) == str(10**9)


def test_where_nothing_holds_threads_their_number_is_not_claimed(fake_jax, monkeypatch):
    runner = jax_peer.prepare(make_case(rr.RNN(2, 3), "float32"), 1)
    monkeypatch.setattr(jax_peer.os, "sched_getaffinity", lambda pid: {3, 7}, raising=False)
    assert runner.facts()["threads"] == 2
    monkeypatch.delattr(jax_peer.os, "sched_getaffinity")
    assert "threads" not in runner.facts()


def test_threads_that_nobody_knows_are_told():
    silent = result("jax", 0.1, kind="peer", pools=[{"user_api": "blas", "num_threads": 1}])
    (note,) = thread_notes([silent], 1)
    assert note.startswith("How many threads jax had is not known")


# --- the reverse direction of the others -----------------------------------------------------


def test_an_unroll_is_timed_in_the_direction_of_the_case():
    case = make_case(rr.GRU(2, 3), "float64", reverse=True)
    runner = unroll_runner.prepare(case, rr.Packed(), 1)
    assert_right(case, runner.results())
    assert np.array_equal(runner.forward().output.values, runner.results()["output"])


def test_torch_is_not_offered_the_reverse_direction(monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)
    case = make_case(rr.LSTM(2, 3), "float32", reverse=True)
    assert "reverse" in torch_peer.prepare(case, 1, padded=True)


# --- the table, and peers that lack something ------------------------------------------------


def test_every_module_a_peer_needs_must_be_there(monkeypatch):
    peer = Peer("nowhere", {}, "sys a_module_nobody_has", "pip install nothing", "a toy")
    monkeypatch.setattr(contestants_module, "PEERS", {"toy": peer})
    assert find_contestants([], [])[-1].missing == (
        "a_module_nobody_has is not installed: pip install nothing"
    )


def test_every_peer_of_the_table_says_what_it_is():
    assert list(PEERS) == ["torch-packed", "torch-padded", "onnxruntime", "jax"]
    for peer in PEERS.values():
        assert peer.module.startswith("refrnn.bench.")
        assert peer.install == "pip install 'refrnn[peers]'"


class Here:
    """In the place of a worker: answers in this process."""

    def __init__(self, threads):
        self._held = {}

    def __enter__(self):
        return self

    def __exit__(self, *error):
        return None

    def ask(self, do, **question):
        return worker._ANSWERS[do](self._held, **question)


@pytest.mark.parametrize(
    ("works", "status"),
    [
        (worker.WORKS, Status.TIMED),
        (("forward",), Status.TIMED),
        (("forward+backward",), Status.NOT_OFFERED),
    ],
)
def test_what_a_peer_lacks_is_not_timed_and_said(fake_onnx, monkeypatch, works, status):
    monkeypatch.setattr(running, "Worker", Here)
    monkeypatch.setattr(entries, "_PAUSE", 0.0)
    monkeypatch.setattr(worker, "give_memory_back", lambda: None)
    arenas = []

    def growth(call, *, least):
        arenas.append(call.__self__._session.get_session_options().enable_cpu_mem_arena)
        return 7

    monkeypatch.setattr(worker, "peak_growth", growth)
    contestant = Contestant("onnxruntime", "peer", "onnxruntime")
    settings = Settings(1, rounds=3, seconds=0.0, works=works)
    everything = run_bench([contestant], [Workload.parse(TINY)], settings)
    (timed,) = everything.results
    assert timed.status is status
    assert set(timed.summaries) == {"forward"} & set(works)
    said = "Not offered by onnxruntime: forward+backward: ONNX Runtime runs models"
    assert (said in report(everything, settings, MACHINE)) is ("forward+backward" in works)
    assert timed.facts.get("peak_bytes", {}) == dict.fromkeys(timed.summaries, 7)
    assert arenas == [False] * len(timed.summaries)


# --- the standard workloads ------------------------------------------------------------------


def test_the_standard_workloads():
    workloads = find_workloads(["standard"], cell="lstm", dtype="float32")
    assert len(workloads) == len(WORKLOAD_SETS["standard"]) == 12
    assert all(w.input_size == w.hidden_size for w in workloads)
    assert {w.law for w in workloads} == {"uniform", "lognormal", "zipf", "one", "equal"}
    assert sorted({w.hidden_size for w in workloads}) == [32, 64, 128, 256, 512, 1024]
    (single,) = (w for w in workloads if w.law == "one")
    assert single.lengths.tolist() == [200]
    (equal,) = (w for w in workloads if w.law == "equal")
    assert equal.lengths.tolist() == [50] * 32


class Threaded(rr.Packed):
    """An unroll that can be told how many threads to use."""

    def __init__(self, num_threads: int | None = None) -> None:
        super().__init__()
        self.num_threads = num_threads


def test_an_unroll_is_told_its_threads_where_it_does_not_say_them_itself() -> None:
    case = make_case(rr.GRU(2, 3), "float64")
    for given, expected in ((None, 2), (1, 1)):
        unroll = Threaded(given)
        runner = unroll_runner.prepare(case, unroll, 2)
        assert runner.forward().tape.unroll.num_threads == expected
        assert unroll.num_threads == given
