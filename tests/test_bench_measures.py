"""refrnn bench: arithmetic, memory, matrix products and workloads of equal lengths."""

import sys
import textwrap
from types import SimpleNamespace

import numpy as np
import pytest

import refrnn as rr
from refrnn.bench import matmul, memory
from refrnn.bench.contestants import find_contestants
from refrnn.bench.entries import ProductEntry
from refrnn.bench.flops import matmul_flops, work_flops
from refrnn.bench.process import Worker, WorkerError
from refrnn.bench.results import Settings
from refrnn.bench.running import run_bench
from refrnn.bench.workloads import Workload
from refrnn.cases import CELL_NAMES
from refrnn.cli import main
from refrnn.comparison import run_case

from .bench_results import TINY, product

# --- arithmetic ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("cell", "weights"),
    [
        (rr.LSTM(3, 5), 4 * 5 * (3 + 5)),
        (rr.GRU(3, 5), 3 * 5 * (3 + 5)),
        (rr.RNN(3, 5, biases=0), 5 * (3 + 5)),
        (rr.LSTM(3, 5, coupled=True, peepholes=True), 3 * 5 * (3 + 5)),
        (rr.LSTM(3, 5, proj_size=2), 4 * 5 * (3 + 2) + 2 * 5),
    ],
)
def test_two_operations_a_weight_and_step_forward_six_with_backward(cell, weights):
    assert work_flops(cell, 7, "forward") == 2 * 7 * weights
    assert work_flops(cell, 7, "forward+backward") == 6 * 7 * weights


def test_a_product_is_a_multiplication_and_an_addition_a_term():
    assert matmul_flops(10) == 2000


# --- matrix products -------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_product_is_one(dtype):
    out = matmul.make_product("numpy", 9, dtype, 1)()
    rng = np.random.default_rng(0)
    a, b = (rng.standard_normal((9, 9)).astype(dtype) for _ in range(2))
    assert out.dtype == dtype
    assert np.array_equal(out, a @ b)


def test_torch_multiplies_the_same_matrices_on_the_threads_it_is_given(monkeypatch):
    threads = []
    torch = SimpleNamespace(
        set_num_threads=threads.append, from_numpy=lambda array: array, mm=np.matmul
    )
    monkeypatch.setitem(sys.modules, "torch", torch)
    ours, theirs = (matmul.make_product(name, 9, "float32", 3)() for name in matmul.LIBRARIES)
    assert np.array_equal(ours, theirs)
    assert threads == [3]


def test_who_is_installed_multiplies(monkeypatch):
    monkeypatch.setattr(matmul, "LIBRARIES", ("numpy", "a_module_nobody_has"))
    assert matmul.installed() == ["numpy"]


def test_the_best_rate_is_that_of_the_shortest_time():
    products = [product("a", 0.4), product("b", 0.2), product("c", 0.1, dtype="float64")]
    products.append(product("d", 0.01)._replace(summary=None, reason="it broke"))
    assert matmul.best_rate(products, "float32") == pytest.approx(2e6 / 0.2)
    assert matmul.best_rate(products[3:], "float32") is None


def test_a_product_that_fails_gives_a_reason_and_no_time():
    asked = []

    def ask(do, **question):
        asked.append(do)
        if do == "matmul":
            return {"calls": 1}
        raise WorkerError("no more room")

    entry = ProductEntry("numpy", 8, "float32")
    entry.prepare(SimpleNamespace(ask=ask), Settings(1))
    for _ in range(2):
        entry.sample(SimpleNamespace(ask=ask), Settings(1))
    assert asked == ["matmul", "sample"]
    assert entry.result(1)[3:] == ("no more room", [], None)


# --- memory ----------------------------------------------------------------------------------

MB = 2**20


@pytest.fixture
def process(tmp_path, monkeypatch):
    """A process of 10 MB; call it with the high-water mark that the next call shall leave."""
    monkeypatch.setattr(memory, "_PROC", tmp_path)
    monkeypatch.setattr(memory, "give_memory_back", lambda: None)

    def resident(peak, now=10 * MB):
        text = f"Name:\tpython\nVmHWM:\t{peak // 1024} kB\nVmRSS:\t{now // 1024} kB\n"
        (tmp_path / "status").write_text(text)

    resident(10 * MB)
    (tmp_path / "clear_refs").write_text("")
    return resident


def test_growth_is_the_high_water_mark_less_what_was_there(process, tmp_path):
    assert memory.peak_growth(lambda: process(17 * MB), least=7 * MB) == 7 * MB
    assert (tmp_path / "clear_refs").read_text() == "5"


def test_growth_below_the_result_is_no_answer(process):
    """Some of the memory was there before: nobody sees how much."""
    assert memory.peak_growth(lambda: process(17 * MB), least=8 * MB) is None


def test_a_mark_that_cannot_be_set_back_is_no_answer(process, tmp_path):
    process(12 * MB)
    assert memory.peak_growth(lambda: process(17 * MB), least=0) is None
    process(10 * MB)
    (tmp_path / "clear_refs").unlink()
    (tmp_path / "clear_refs").mkdir()
    assert memory.peak_growth(lambda: process(17 * MB), least=0) is None


@pytest.mark.parametrize("text", ["", "VmRSS:\t10240 kB\n"])
def test_a_system_that_tells_less_gives_no_answer(process, tmp_path, text):
    (tmp_path / "status").write_text(text)
    assert memory.peak_growth(lambda: None, least=0) is None


def test_what_the_call_raises_is_not_hidden(process):
    with pytest.raises(LookupError, match="nobody"):
        memory.peak_growth(lambda: {}["nobody"], least=0)


def test_the_growth_of_a_real_process_is_what_the_call_held():
    """32 MB at once, 16 of them returned; wherever the system can tell."""
    code = """
        import json, sys
        sys.path[:] = json.loads(sys.argv.pop())
        import numpy as np
        from refrnn.bench.memory import give_memory_back, peak_growth

        def call():
            passing = np.ones(2 * 2**20)
            return passing + 1.0

        input()
        give_memory_back()
        grown = [peak_growth(call, least=16 * 2**20) for _ in range(3)]
        print(json.dumps({"grown": grown}), flush=True)
    """
    with Worker(1, code=textwrap.dedent(code)) as worker:
        grown = worker.ask("anything")["grown"]
    assert grown[0] is None or all(31 * MB < g < 36 * MB for g in grown)


@pytest.mark.parametrize("cell", CELL_NAMES)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_bytes_of_results_are_those_of_the_arrays(cell, dtype):
    workload = Workload.parse(TINY, cell=cell, dtype=dtype)
    case = workload.make()
    results = run_case(case, "packed")
    kept = {name: array.nbytes for name, array in results.items() if not name.endswith("_0")}
    forward = sum(size for name, size in kept.items() if not name.startswith("d_"))
    sizes = case.cell, 3, case.batch.total_steps, dtype
    assert memory.result_bytes(*sizes, "forward") == forward
    assert memory.result_bytes(*sizes, "forward+backward") == sum(kept.values())


def test_what_is_needed_is_the_results_and_the_tape_with_its_copies():
    N, H, inputs, B = 10, 5, 3, 2
    copies = N * inputs + (4 * H * (inputs + H) + 8 * H) + 2 * B * H
    tape = 2 * 4 * N * H + 3 * N * H
    needed = memory.needed_bytes(rr.LSTM(inputs, H), B, N, "float32", "forward")
    assert needed == 4 * (copies + tape + N * H + 2 * B * H)


# --- equal lengths, and all of it together ---------------------------------------------------


@pytest.mark.parametrize(
    ("name", "dense"),
    [
        ("one-b9-t8-h2", "equal-b2-t8-h2"),
        ("one-b3-t8-h2-i5", "equal-b1-t8-h2-i5"),
        ("equal-b4-t3-h2", None),
        ("one-b1-t200-h4", None),
        ("lognormal-b64-t200-h128", "equal-b18-t160-h128"),
    ],
)
def test_equal_lengths_are_as_long_as_the_longest_and_about_as_many_steps(name, dense):
    workload = Workload.parse(name, cell="gru_reset_after", dtype="float64")
    found = workload.dense
    assert (None if found is None else found.name) == dense
    if found is not None:
        assert (found.cell, found.dtype) == ("gru_reset_after", "float64")
        assert abs(found.lengths.sum() - workload.lengths.sum()) <= workload.lengths.max() / 2


def test_everything_takes_its_turn(monkeypatch):
    monkeypatch.setattr(matmul, "LIBRARIES", ("numpy",))
    told = []
    ragged, equal = Workload.parse("one-b3-t4-h2"), Workload.parse("equal-b2-t4-h2")
    assert ragged.dense == equal
    settings = Settings(1, rounds=3, seconds=0.0, works=("forward",), dense=True, matmul=8)
    lanes = find_contestants(["lanes"], [], all_peers=False)
    measured = run_bench(lanes, [ragged], settings, lambda *step: told.append(step))
    assert [r.workload for r in measured.results] == [ragged]
    assert [r.workload for r in measured.dense] == [equal]
    (multiplied,) = measured.products
    assert (multiplied.library, multiplied.size, multiplied.dtype) == ("numpy", 8, "float32")
    assert len(multiplied.samples) == 6
    assert multiplied.rate > 0
    assert [len(r.samples["forward"]) for r in measured.results + measured.dense] == [6, 6]
    assert [step[1:] for step in told] == [(n, 14) for n in range(14)]
    assert all(set(r.facts["peak_bytes"]) == {"forward"} for r in measured.results)
    second = [text for text, *_ in told if text.startswith("round 2")]
    assert second == [
        "round 2, matrix product of numpy, float32",
        "round 2, lanes, one-b3-t4-h2",
        "round 2, lanes, equal-b2-t4-h2",
    ]
    both = run_bench(lanes, [ragged, equal], settings._replace(matmul=0))
    assert [r.workload for r in both.results] == [ragged, equal]
    assert both.dense == []


def test_the_options_reach_the_report(monkeypatch, capsys):
    monkeypatch.setattr(matmul, "LIBRARIES", ("numpy",))
    options = ["--no-peers", "--unroll", "lanes", "--rounds", "3", "--seconds", "0.001"]
    options += ["--workload", "one-b3-t4-h2", "--dense", "--matmul", "8", "--threads", "1"]
    assert main(["bench", *options]) == 0
    out = capsys.readouterr().out
    assert "Product of 8 x 8 matrices, float32: numpy " in out
    assert "  of equal: equal-b2-t4-h2" in out
