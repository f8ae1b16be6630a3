"""refrnn bench: the statistics, the protocol, the processes, and tiny runs from end to end.

How long anything takes is never looked at.
"""

from __future__ import annotations

import io
import json
import sys
import textwrap

import numpy as np
import pytest

import refrnn as rr
from refrnn.bench import contestants as contestants_module
from refrnn.bench import timing, torch_peer, worker
from refrnn.bench.contestants import Contestant, Peer, find_contestants, find_unroll
from refrnn.bench.entries import differences
from refrnn.bench.process import THREAD_VARIABLES, Worker, WorkerError, environment
from refrnn.bench.results import Settings
from refrnn.bench.running import run_bench
from refrnn.bench.timing import Sample, is_disturbed, quartiles, summarise
from refrnn.bench.workloads import WORKLOAD_SETS, Workload, find_workloads
from refrnn.cases import CELL_NAMES, make_cell
from refrnn.cli import main

from .bench_results import TINY

QUICK = ["--no-peers", "--workload", TINY, "--rounds", "3", "--seconds", "0.001", "--matmul", "0"]


# --- statistics ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("cpu", "typical", "threads", "disturbed"),
    [
        (1.0, 1.0, 1, False),
        (0.91, 1.0, 1, False),
        (0.89, 1.0, 1, True),  # a core was taken away
        (1.05, 1.0, 1, False),
        (1.2, 1.0, 1, True),  # more threads than were given
        (2.0, 2.0, 2, False),
        (1.75, 2.0, 2, False),
        (1.5, 2.0, 2, True),  # one of two threads was kept waiting
        (1.5, 1.5, 2, False),  # this work keeps one and a half busy
        (2.3, 2.0, 2, True),
        (0.8, 0.8, 2, True),  # however typical
    ],
)
def test_disturbed_is_too_little_or_too_much_cpu_time(cpu, typical, threads, disturbed):
    assert is_disturbed(Sample(1.0, cpu), typical, threads) is disturbed
    assert is_disturbed(Sample(0.01, 0.01 * cpu), typical, threads) is disturbed


def test_summary_drops_and_counts_disturbed_samples():
    good = [Sample(t, t) for t in (0.1, 0.2, 0.3, 0.4, 0.5)]
    bad = [Sample(9.0, 1.0), Sample(0.01, 0.05)]
    summary = summarise([bad[0], *good, bad[1]], threads=1)
    assert summary.median == 0.3
    assert (summary.low, summary.high) == pytest.approx((0.2, 0.4))
    assert summary.minimum == 0.1
    assert summary.cpu == 0.3
    assert (summary.kept, summary.dropped, summary.all_disturbed) == (5, 2, False)
    assert not summary.doubtful


def test_summary_of_disturbed_samples_only_says_so():
    summary = summarise([Sample(3.0, 1.0), Sample(4.0, 1.0)], threads=1)
    assert (summary.median, summary.kept, summary.dropped) == (3.5, 2, 2)
    assert summary.all_disturbed
    assert summary.doubtful


def test_what_chance_left_of_many_disturbed_samples_is_doubtful():
    summary = summarise([Sample(1.0, 1.0), Sample(1.0, 0.8), Sample(1.0, 0.7)], threads=1)
    assert (summary.kept, summary.dropped, summary.all_disturbed) == (1, 2, False)
    assert summary.doubtful


def test_typical_is_what_the_busier_samples_are():
    """Most samples of this work on two threads lost a core; the rule does not follow them down."""
    samples = [Sample(1.0, 2.0)] * 2 + [Sample(2.0, 2.0)] * 4
    summary = summarise(samples, threads=2)
    assert (summary.median, summary.kept, summary.dropped) == (1.0, 2, 4)


def test_summary_of_nothing_is_an_error():
    with pytest.raises(ValueError, match="expected at least one"):
        summarise([], threads=1)


@pytest.mark.parametrize(
    ("values", "expected"),
    [([7.0], (7.0, 7.0, 7.0)), ([1.0, 3.0], (1.5, 2.0, 2.5)), (range(9), (2.0, 4.0, 6.0))],
)
def test_quartiles(values, expected):
    assert quartiles(list(values)) == expected


def test_geometric_mean():
    assert timing.geometric_mean([0.5, 2.0, 8.0]) == pytest.approx(2.0)


@pytest.mark.parametrize(
    ("seconds", "calls"), [(1.0, 1), (0.02, 1), (0.002, 10), (1e-7, 10_000), (0.0, 10_000)]
)
def test_short_calls_are_sampled_together(seconds, calls):
    assert timing.calls_per_sample(seconds) == calls


def test_samples_are_means_over_calls_after_a_warm_up(monkeypatch):
    """Clocks of our own: 6 s of wall time and 3 s of CPU time pass with every call."""
    made = []
    monkeypatch.setattr(timing.time, "perf_counter", lambda: 6.0 * len(made))
    monkeypatch.setattr(timing.time, "process_time", lambda: 6.0 * len(made))
    taken = timing.sample(lambda: made.append(None), calls=5, seconds=0.001, least=3)
    assert taken == [Sample(6.0, 6.0)] * 3
    assert len(made) == 5 * (1 + 3)


@pytest.mark.parametrize(("busy", "samples"), [(1.0, 10), (0.5, 40)])
def test_disturbed_samples_are_made_up_for_within_bounds(monkeypatch, busy, samples):
    made = []
    monkeypatch.setattr(timing.time, "perf_counter", lambda: 1.0 * len(made))
    monkeypatch.setattr(timing.time, "process_time", lambda: busy * len(made))
    assert len(timing.sample(lambda: made.append(None), calls=1, seconds=10)) == samples


def test_garbage_collection_is_held_back_and_let_go_again():
    import gc

    seen = []
    timing.sample(lambda: seen.append(gc.isenabled()), calls=1, seconds=0.0)
    assert not any(seen)
    assert gc.isenabled()
    with pytest.raises(ZeroDivisionError):
        timing.sample(lambda: 1 // 0, calls=1, seconds=0.0)
    assert gc.isenabled()


# --- workloads -------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["zipf-b256-t400-h128", "one-b1-t200-h7-i12"])
def test_the_name_of_a_workload_is_the_workload(name):
    workload = Workload.parse(name)
    assert workload.name == name
    assert Workload.parse(workload.name) == workload


def test_what_is_meant_by_the_default():
    workloads = find_workloads([], cell="lstm", dtype="float32")
    assert [w.hidden_size for w in workloads] == [128, 256]
    for w in workloads:
        assert (w.law, w.batch_size, w.max_length) == ("lognormal", 64, 200)
        assert w.input_size == w.hidden_size


def test_sets_and_names_give_each_workload_once():
    names = ["laws", "equal-b32-t100-h128", TINY]
    found = find_workloads(names, cell="gru_reset_after", dtype="float64")
    assert [w.name for w in found] == [*WORKLOAD_SETS["laws"], TINY]
    assert {(w.cell, w.dtype) for w in found} == {("gru_reset_after", "float64")}


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("fast", {}, "expected LAW-bB-tT-hH.*sets default, laws"),
        ("normal-b1-t1-h1", {}, "law 'normal', expected one of uniform, lognormal"),
        ("one-b0-t1-h1", {}, "B has value 0, expected"),
        ("one-b1-t1-h1-i0", {}, "I has value 0, expected"),
        (TINY, {"cell": "elman"}, "cell has value 'elman', expected one of rnn_tanh"),
        (TINY, {"dtype": "float16"}, "dtype has value 'float16', expected one of float32"),
        ("one-b1-t1-h1", {"cell": "lstm_projection"}, "expected an integer >= 2"),
    ],
)
def test_a_workload_that_is_none_is_refused(name, options, message):
    with pytest.raises(ValueError, match=message):
        find_workloads([name], **{"cell": "lstm", "dtype": "float32", **options})


@pytest.mark.parametrize("cell", CELL_NAMES)
def test_a_workload_is_the_same_numbers_every_time(cell):
    workload = Workload.parse(TINY, cell=cell)
    first, second = workload.make(), workload.make()
    assert first.batch == second.batch
    assert first.dtype == np.float32
    assert np.array_equal(first.batch.lengths, workload.lengths)
    assert np.array_equal(first.parameters.flatten(), second.parameters.flatten())
    assert np.array_equal(first.d_output, second.d_output)
    assert first.d_output.shape == (first.batch.total_steps, first.cell.output_size)


# --- contestants -----------------------------------------------------------------------------


@pytest.fixture
def no_such_peer(monkeypatch):
    """A table with one peer whose library nobody has."""
    peer = Peer("nowhere", {}, "a_module_nobody_has", "pip install nothing", "a toy")
    monkeypatch.setattr(contestants_module, "PEERS", {"toy": peer})


def test_by_default_all_unrolls_but_the_definition(no_such_peer):
    found = find_contestants([], [])
    assert [c.name for c in found if c.kind == "unroll"][:4] == [
        "masked",
        "bucketed",
        "packed",
        "lanes",
    ]
    assert found[-1].name == "toy"
    assert "a_module_nobody_has is not installed: pip install nothing" in found[-1].missing


def test_by_name_the_definition_too():
    found = find_contestants(["per_sequence", "lanes", "lanes"], [], all_peers=False)
    assert [(c.name, c.missing) for c in found] == [("per_sequence", ""), ("lanes", "")]


@pytest.mark.parametrize(
    ("unrolls", "peers", "message"),
    [
        (["rolled"], [], "--unroll: .*'rolled', expected one of per_sequence"),
        (["refrnn:Nobody"], [], "--unroll: .*'refrnn:Nobody' cannot be loaded.*Nobody"),
        ([], ["flame"], "--peer has name 'flame', expected one of toy"),
        ([], ["toy"], "--peer toy: a_module_nobody_has is not installed: pip install nothing"),
    ],
)
def test_what_was_asked_for_by_name_must_be_there(no_such_peer, unrolls, peers, message):
    with pytest.raises(ValueError, match=message):
        find_contestants(unrolls, peers)


def test_an_unroll_is_found_by_class_and_by_object(tmp_path, monkeypatch):
    (tmp_path / "bench_objects.py").write_text("import refrnn\nmine = refrnn.Lanes(lanes=3)\n")
    monkeypatch.syspath_prepend(tmp_path)
    assert find_unroll("bench_objects:mine").lanes == 3
    assert isinstance(find_unroll("refrnn:Packed"), rr.Packed)


@pytest.mark.parametrize(
    ("cell", "reason"),
    [
        (make_cell("lstm_peepholes", 3, 4), "no LSTM with peepholes"),
        (make_cell("lstm_coupled", 3, 4), "no LSTM with coupled"),
        (make_cell("lstm_gate_clip", 3, 4), "no LSTM with gate_clip"),
        (make_cell("gru_reset_before", 3, 4), "no GRU with reset_after"),
        (rr.LSTM(3, 4, biases=1), "two biases or none"),
        (rr.RNN(3, 4, activation="softsign"), "tanh and relu, not softsign"),
    ],
)
def test_torch_does_not_offer_what_torch_nn_lacks(cell, reason, monkeypatch):
    """Said before PyTorch is imported."""
    monkeypatch.setitem(sys.modules, "torch", None)
    case = Workload.parse(TINY).make()._replace(cell=cell)
    assert reason in torch_peer.prepare(case, 1, padded=False)
    with pytest.raises(ModuleNotFoundError):
        torch_peer.prepare(case._replace(cell=rr.LSTM(3, 4)), 1, padded=False)


# --- the protocol ----------------------------------------------------------------------------


def ask(*questions):
    """Answers of a worker that runs here."""
    answers = io.StringIO()
    worker.serve(io.StringIO("".join(json.dumps(q) + "\n" for q in questions)), answers)
    return [json.loads(line) for line in answers.getvalue().splitlines()]


def prepare(contestant="lanes", kind="unroll"):
    return {
        "do": "prepare",
        "contestant": [contestant, kind, contestant],
        "workload": list(Workload.parse(TINY)),
        "threads": 1,
    }


def test_prepare_then_sample_then_quit():
    take = {"do": "sample", "workload": TINY, "calls": 2, "seconds": 0.0}
    prepared, forward, both = ask(
        prepare("masked"),
        {**take, "work": "forward"},
        {**take, "work": "forward+backward"},
        {"do": "quit"},
        {"do": "prepare"},
    )
    lengths = Workload.parse(TINY).lengths
    assert prepared["facts"]["computed_steps"] == lengths.size * lengths.max()
    assert prepared["facts"]["versions"] == {"numpy": np.__version__}
    assert set(prepared["prints"]) >= {"output", "h_n", "c_n", "d_input", "d_W_ih", "d_b_hh"}
    assert set(prepared["calls"]) == set(worker.WORKS)
    for answer in (forward, both):
        assert len(answer["samples"]) >= 2
        assert all(len(s) == 2 and s[0] > 0 for s in answer["samples"])


def test_an_exception_is_an_answer_and_not_the_end():
    wrong, fine = ask({"do": "sample", "workload": "x", "work": "forward"}, prepare())
    assert wrong["error"].startswith("TypeError: ")
    assert "Traceback" in wrong["traceback"]
    assert "facts" in fine


def test_a_peer_is_whatever_the_table_names(tmp_path, monkeypatch):
    source = """
        def prepare(case, threads, *, lacking):
            return f"{case.cell.hidden_size} units on {threads} threads: {lacking}"
    """
    (tmp_path / "bench_peer.py").write_text(textwrap.dedent(source))
    monkeypatch.syspath_prepend(tmp_path)
    peer = Peer("bench_peer", {"lacking": "no"}, "bench_peer", "", "a toy")
    monkeypatch.setattr(contestants_module, "PEERS", {"toy": peer})
    assert find_contestants(["lanes"], [])[-1] == Contestant("toy", "peer", "toy")
    assert ask(prepare("toy", "peer")) == [{"unsupported": "4 units on 1 threads: no"}]


def test_a_fingerprint_tells_arrays_apart():
    rng = np.random.default_rng(3)
    array = rng.standard_normal((5, 7)).astype(np.float32)
    same = {"a": worker.fingerprint(array)}
    noise = {"a": worker.fingerprint(array * np.float32(1 + 1e-6))}
    assert differences(noise, same, "float32") == []
    for other in (array[::-1], array.T.copy(), -array, array * 1.01, array + 0.01, array * 0):
        assert differences({"a": worker.fingerprint(other)}, same, "float32") == ["a"]
    assert differences({}, same, "float32") == []  # what a peer does not give is not compared
    nan = {"a": worker.fingerprint(np.full(3, np.nan))}
    assert differences(nan, same, "float32") == ["a"]
    assert differences(nan, nan, "float32") == []


# --- processes -------------------------------------------------------------------------------


def test_threads_reach_the_environment_and_the_rest_stays(monkeypatch):
    monkeypatch.setenv("OPENBLAS_CORETYPE", "Haswell")
    told = environment(3)
    assert {told[name] for name in THREAD_VARIABLES} == {"3"}
    assert told["OPENBLAS_CORETYPE"] == "Haswell"


def test_a_worker_is_told_its_threads_before_it_starts():
    code = "import os, json; print(json.dumps(dict(os.environ)), flush=True); input()"
    with Worker(2, code=code) as process:
        told = process.ask("anything")
    assert {told[name] for name in THREAD_VARIABLES} == {"2"}


def test_a_worker_measures_in_a_process_of_its_own():
    question = prepare("packed")
    with Worker(1) as process:
        prepared = process.ask(**question)
        assert "facts" in prepared
        with pytest.raises(WorkerError, match=r"^KeyError: 'nobody'$"):
            process.ask("sample", workload="nobody", work="forward", calls=1, seconds=0.0)
        taken = process.ask("sample", workload=TINY, work="forward", calls=1, seconds=0.0)
        assert taken["samples"]


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("import os; input(); os._exit(3)", "the process ended with exit status 3$"),
        ("input(); raise SystemExit('out of luck')", "exit status 1: out of luck$"),
        ("import os; input(); os.kill(os.getpid(), 9)", "the process ended with signal 9$"),
        ("raise ValueError('at the start')", "exit status 1: ValueError: at the start$"),
        ("import time; time.sleep(600)", "no answer within 1 s$"),
    ],
)
def test_a_worker_that_dies_or_hangs_is_an_error_in_one_line(code, message):
    with Worker(1, timeout=60.0 if "sleep" not in code else 1.0, code=code) as process:
        with pytest.raises(WorkerError, match=message) as caught:
            process.ask("anything")
        assert "\n" not in str(caught.value)


# --- from end to end -------------------------------------------------------------------------

TOYS = """
    import os, sys
    import refrnn

    class Loud(refrnn.Packed):
        name = "loud"
        def forward(self, *args):
            print('{"samples": []}', flush=True)
            os.write(1, b"beside Python, too")
            return super().forward(*args)

    class Wrong(refrnn.Packed):
        name = "wrong"
        def backward(self, *args):
            gradients = super().backward(*args)
            d_x = gradients.input
            return gradients._replace(input=d_x.with_values(1.1 * d_x.values))

    class Dies(refrnn.Packed):
        name = "dies"
        def backward(self, *args):
            print("no more room", file=sys.stderr, flush=True)
            os._exit(7)

    class Raises(refrnn.Packed):
        name = "raises"
        def forward(self, *args):
            raise MemoryError("not today")

    class Late(refrnn.Packed):
        '''Fails only once it is timed.'''
        name = "late"
        calls = 0
        def forward(self, *args):
            self.calls += 1
            if self.calls > 7:
                raise RuntimeError("enough")
            return super().forward(*args)

    class Nothing(refrnn.Packed):
        name = "nothing"
        def supports(self, cell, dtype, *, reverse=False):
            return "it can do nothing"
"""


@pytest.fixture
def toys(tmp_path, monkeypatch):
    """A working directory with a module of unrolls; workers find what is found here."""
    (tmp_path / "bench_toys.py").write_text(textwrap.dedent(TOYS))
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def bench(*arguments):
    return main(["bench", *QUICK, *arguments])


def test_a_tiny_run_prints_a_table_and_writes_everything(tmp_path, capsys):
    target = tmp_path / "bench.json"
    assert bench("--unroll", "masked", "--unroll", "lanes", "--json", str(target)) == 0
    out, _ = capsys.readouterr()
    assert out.startswith(f"refrnn bench {rr.__version__}, NumPy {np.__version__}, ")
    assert out.endswith("All results agree.\n")
    assert "NaN" not in out
    for text in (f"{TINY}: lstm, float32, I = 4, H = 4", "forward+backward", "cpu ms", "padded"):
        assert text in out
    data = json.loads(target.read_text())
    assert data["format"] == "refrnn bench 1"
    assert data["exit_status"] == 0
    assert data["settings"]["rounds"] == 3
    assert data["workloads"][TINY]["lengths"] == Workload.parse(TINY).lengths.tolist()
    assert [r["contestant"] for r in data["results"]] == ["masked", "lanes"]
    for result in data["results"]:
        assert result["status"] == "timed"
        for name in ("forward", "forward+backward"):
            timed = result["timings"][name]
            assert timed["ratio_to_best_peer"] is None
            assert len(timed["samples"]) >= 3 * 2
            assert timed["minimum"] <= timed["low"] <= timed["median"] <= timed["high"]


def test_json_on_standard_output_is_nothing_but_json(capsys):
    assert bench("--unroll", "packed", "--work", "forward", "--json", "-") == 0
    (result,) = json.loads(capsys.readouterr().out)["results"]
    assert set(result["timings"]) == {"forward"}


def test_one_contestant_that_fails_does_not_stop_the_others(toys, capsys):
    names = ("Dies", "Raises", "Late", "Wrong", "Nothing", "Loud")
    asked = [f for name in names for f in ("--unroll", f"bench_toys:{name}")]
    assert bench(*asked, "--json", "result.json") == 1
    out, _ = capsys.readouterr()
    assert f"FAILED bench_toys:Dies, {TINY}: the process ended with exit status 7: no more" in out
    assert f"FAILED bench_toys:Raises, {TINY}: MemoryError: not today" in out
    assert f"FAILED bench_toys:Late, {TINY}: RuntimeError: enough" in out
    assert f"WRONG bench_toys:Wrong!, {TINY}: results differ from those of packed: d_input" in out
    assert "Not offered by bench_toys:Nothing: it can do nothing" in out
    assert out.endswith("SOMETHING FAILED, see above.\n")
    data = json.loads((toys / "result.json").read_text())
    status = {r["contestant"].partition(":")[2]: r["status"] for r in data["results"]}
    assert status == {
        "Dies": "failed",
        "Raises": "failed",
        "Late": "failed",
        "Wrong": "differs",
        "Nothing": "not offered",
        "Loud": "timed",
    }
    assert all(r["timings"] for r in data["results"] if r["status"] in ("differs", "timed"))
    assert not any(r["timings"] for r in data["results"] if r["status"] == "failed")


def test_nothing_timed_is_2(toys, capsys):
    assert bench("--unroll", "bench_toys:Nothing") == 2
    assert capsys.readouterr().out.endswith("NOTHING WAS TIMED.\n")


def test_every_contestant_has_its_turn_in_every_round():
    told = []
    contestants = find_contestants(["packed", "lanes"], [], all_peers=False)
    workloads = find_workloads([TINY, "one-b2-t3-h2"], cell="rnn_tanh", dtype="float64")
    measured = run_bench(
        contestants,
        workloads,
        Settings(1, rounds=3, seconds=0.0, works=("forward",)),
        lambda text, done, total: told.append((text, done, total)),
    )
    assert [(r.workload.name, r.contestant.name) for r in measured.results] == [
        (w, c) for w in (TINY, "one-b2-t3-h2") for c in ("packed", "lanes")
    ]
    assert [len(r.samples["forward"]) for r in measured.results] == [6] * 4
    assert (measured.dense, measured.products) == ([], [])
    assert [(done, total) for _, done, total in told] == [(n, 20) for n in range(20)]
    turns = [t.split(", ")[:2] for t, _, _ in told if t.startswith("round") and TINY in t]
    assert turns == [
        ["round 1", "packed"],
        ["round 1", "lanes"],
        ["round 2", "lanes"],
        ["round 2", "packed"],
        ["round 3", "packed"],
        ["round 3", "lanes"],
    ]


# --- usage -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--rounds", "2"], "expected an integer >= 3"),
        (["--threads", "0"], "expected an integer >= 1"),
        (["--threads", "100000"], "--threads has value 100000, expected at most "),
        (["--seconds", "0"], "--seconds has value 0.0, expected more than 0"),
        (["--matmul", "-1"], "expected an integer >= 0"),
        (["--seconds", "nan"], "--seconds has value nan, expected more than 0"),
        (["--workload", "fast"], "workload has name 'fast', expected LAW-bB-tT-hH"),
        (["--unroll", "rolled"], "has name 'rolled', expected one of"),
        (["--peer", "flame"], "--peer has name 'flame', expected one of torch-packed"),
        (["--peer", "torch-packed", "--no-peers"], "not allowed with argument"),
        (["--cell", "elman"], "invalid choice: 'elman'"),
        (["--json", "no/such/folder/x.json"], "--json has value no/such/folder/x.json, and it"),
        (["--json", "."], "--json has value ., and that is a directory"),
    ],
)
def test_usage_errors_are_2_and_say_what_is_expected(arguments, message, capsys):
    assert main(["bench", *arguments]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert message in err


def test_a_peer_asked_for_that_is_not_installed_is_2(no_such_peer, capsys):
    assert main(["bench", "--peer", "toy"]) == 2
    assert "toy: a_module_nobody_has is not installed: pip install" in capsys.readouterr().err


def test_a_plot_without_matplotlib_is_2_before_any_work(monkeypatch, tmp_path, capsys):
    monkeypatch.delitem(sys.modules, "refrnn.cli.bench_plot", raising=False)
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    target = tmp_path / "bench.svg"
    assert bench("--plot", str(target)) == 2
    assert "--plot needs matplotlib, which is not installed" in capsys.readouterr().err
    assert not target.exists()


def test_a_picture_of_another_format_is_2_before_any_work(tmp_path, capsys):
    assert bench("--plot", str(tmp_path / "bench.txt")) == 2
    assert "--plot has suffix '.txt', expected one of " in capsys.readouterr().err


def test_help_lists_workloads_and_exit_status(capsys):
    assert main(["bench", "--help"]) == 0
    out = capsys.readouterr().out
    for text in ("usage: refrnn bench", "exit status", "lognormal", "LAW-bB-tT-hH", "torch-padded"):
        assert text in out


def test_a_broken_installation_is_told_in_one_line(monkeypatch, capsys):
    def broken(*args):
        raise WorkerError("the process ended with exit status 1")

    monkeypatch.setattr("refrnn.cli.bench.run_bench", broken)
    assert bench() == 1
    assert capsys.readouterr().err.count("\n") == 1
