"""refrnn bench: what is made of the timings, as text, as JSON and as a picture."""

import json

import pytest

from refrnn.bench import machine, worker
from refrnn.bench.memory import needed_bytes
from refrnn.bench.notes import thread_notes
from refrnn.bench.ratios import (
    best_peer,
    dense_ratio,
    flops,
    matmul_share,
    mean_ratios,
    overall_ratios,
)
from refrnn.bench.record import dump, record
from refrnn.bench.report import report
from refrnn.bench.results import Settings, Status
from refrnn.bench.timing import Sample, summarise
from refrnn.bench.workloads import Workload
from refrnn.cli.bench import exit_status

from .bench_results import MACHINE, TINY, measured, product, result

OTHER = "one-b2-t3-h2"


def test_ratios_are_to_the_fastest_peer_whose_results_are_right():
    results = [
        result("lanes", 0.3),
        result("slow", 0.4, kind="peer"),
        result("fast", 0.2, kind="peer"),
        result("liar", 0.1, kind="peer", status=Status.DIFFERS),
        result("dead", None, kind="peer", status=Status.FAILED),
    ]
    assert best_peer(results, "forward") == 0.2
    text = report(measured(results), Settings(1), MACHINE)
    rows = {line.split()[0]: line.split() for line in text.splitlines() if line.startswith("  ")}
    assert [rows[n][5] for n in ("lanes", "slow", "fast", "liar!")] == [
        "1.50",
        "2.00",
        "1.00",
        "0.50",
    ]
    steps = int(Workload.parse(TINY).lengths.sum())
    assert float(rows["lanes"][6]) == pytest.approx(0.3e6 / steps, rel=1e-2)
    assert rows["lanes"][-1] == str(15 - steps)
    assert "FAILED dead" in text
    assert "WRONG liar!" in text
    assert max(map(len, text.splitlines())) <= 100
    assert exit_status(results) == 1
    assert exit_status(results[:3]) == 0
    assert exit_status([result("gone", None, status=Status.MISSING)]) == 2


def test_without_a_peer_there_is_no_ratio():
    results = [result("lanes", 0.3), result("packed", 0.2)]
    assert best_peer(results, "forward") is None
    assert mean_ratios(results, "forward") == {}
    assert "Geometric mean" not in report(measured(results), Settings(1), MACHINE)


def test_means_are_over_all_workloads_or_not_given():
    results = [
        result("lanes", 0.2),
        result("packed", 0.2),
        result("peer", 0.1, kind="peer"),
        result("lanes", 0.4, workload=OTHER),
        result("peer", 0.8, kind="peer", workload=OTHER),
    ]
    assert mean_ratios(results, "forward") == pytest.approx({"lanes": 1.0, "peer": 1.0})
    text = report(measured(results), Settings(1), MACHINE)
    rows = [line.split() for line in text[text.index("Time over that") :].splitlines()]
    assert ["lanes", "1.00", "2.00", TINY] in rows
    assert ["peer", "1.00", "1.00", TINY] in rows
    assert not any(row[:1] == ["packed"] for row in rows)


def test_the_worst_workload_is_named_and_what_is_doubtful_is_marked():
    bad = {w: summarise([Sample(0.9, 0.1)], 1) for w in worker.WORKS}
    results = [
        result("lanes", 0.2),
        result("mine", 0.2),
        result("peer", 0.1, kind="peer"),
        result("lanes", 0.9, workload=OTHER),
        result("mine", 0.9, workload=OTHER)._replace(summaries=bad),
        result("peer", 0.3, kind="peer", workload=OTHER),
    ]
    overall = overall_ratios(results, "forward")
    assert overall["lanes"][1:] == (pytest.approx(3.0), OTHER, False)
    assert overall["mine"][1:] == (pytest.approx(3.0), OTHER, True)
    assert overall["lanes"].mean == pytest.approx(6**0.5)
    text = report(measured(results), Settings(1), MACHINE)
    assert "of 2 workloads" in text
    table = text[text.index("Time over that") :]
    assert "  mine!  " in table
    assert "  lanes  " in table


def test_a_peer_without_backward_is_compared_forward_only():
    forward = {"forward": summarise([Sample(0.1, 0.1)], 1)}
    results = [
        result("lanes", 0.3),
        result("runtime", 0.1, kind="peer")._replace(summaries=forward),
        result("torch", 0.2, kind="peer"),
    ]
    assert [best_peer(results, work) for work in worker.WORKS] == [0.1, 0.2]
    assert mean_ratios(results, "forward+backward") == pytest.approx({"lanes": 1.5, "torch": 1.0})


# --- rates -----------------------------------------------------------------------------------


def test_the_rate_is_held_to_that_of_the_fastest_product_of_the_dtype():
    products = [product("numpy", 0.5), product("torch", 0.2), product("x", 0.1, dtype="float64")]
    timed = result("lanes", 0.4)
    steps = int(Workload.parse(TINY).lengths.sum())
    needed = 2 * steps * 4 * 4 * (4 + 4)
    assert flops(timed.workload, "forward") == needed
    assert flops(timed.workload, "forward+backward") == 3 * needed
    share = (needed / 0.4) / (2 * 100**3 / 0.2)
    assert matmul_share(timed, products, "forward") == pytest.approx(share)
    assert matmul_share(timed, products, "forward+backward") == pytest.approx(3 * share)
    assert matmul_share(timed, products[2:], "forward") is None


def test_the_report_has_the_rates_and_the_shares():
    fast = result("lanes", 1e-6)
    products = [product("numpy", 0.002), product("torch", 0.001)]
    text = report(measured([fast], products=products), Settings(1), MACHINE)
    assert "Product of 100 x 100 matrices, float32: numpy 1.0 GFLOP/s, torch 2.0 GFLOP/s." in text
    percent = 100 * flops(fast.workload, "forward") / 1e-6 / 2e9
    assert f" {percent:.1f}% " in text
    without = report(measured([fast]), Settings(1), MACHINE)
    assert "GFLOP" not in without
    assert "%" not in without


def test_a_product_that_failed_is_told():
    failed = product("torch", 0.1)._replace(reason="it broke", samples=[], summary=None)
    text = report(measured([result("lanes", 0.1)], products=[failed]), Settings(1), MACHINE)
    assert "Not timed: matrix product of torch: it broke" in text
    assert "Product of" not in text


# --- equal lengths and memory ----------------------------------------------------------------


def test_a_real_step_is_compared_with_one_of_equal_lengths():
    ragged = Workload.parse("one-b3-t4-h2")  # 6 steps, 4 of them in one sequence
    assert ragged.dense == Workload.parse("equal-b2-t4-h2")
    ours, other = result("lanes", 0.6, workload=ragged.name), result("packed", 9.0)
    equal = result("lanes", 0.2, workload="equal-b2-t4-h2")
    assert dense_ratio(ours, [other, ours, equal], "forward") == pytest.approx(
        (0.6 / 6) / (0.2 / 8)
    )
    assert dense_ratio(ours, [other, ours], "forward") is None
    assert dense_ratio(equal, [ours, equal], "forward") is None
    text = report(measured([ours], [equal]), Settings(1, dense=True), MACHINE)
    assert "  of equal: equal-b2-t4-h2" in text
    (row,) = (line for line in text.splitlines() if line.split()[:3] == ["lanes", "-", "-"])
    assert row.split() == ["lanes", "-", "-", "4.00", "-", "-", "4.00"]
    assert "equal-b2-t4-h2: lstm" not in text  # nobody asked for that workload


def test_memory_is_shown_beside_what_is_needed():
    workload = Workload.parse(TINY)
    steps = int(workload.lengths.sum())
    needed = needed_bytes(workload.make_cell(), 3, steps, "float32", "forward")
    peaks = {"forward": 3 * needed, "forward+backward": None}
    timed = result("lanes", 0.1, peak_bytes=peaks)
    text = report(measured([timed]), Settings(1), MACHINE)
    (row,) = (line for line in text.splitlines() if line.endswith("-") and "lanes" in line)
    assert row.split()[2:] == ["3.00", "-", "-", "-", "-"]
    assert "That of lanes\ncannot be told" in text
    assert max(map(len, text.splitlines())) <= 100
    silent = report(measured([result("lanes", 0.1)]), Settings(1), MACHINE)
    assert "peak MB" not in silent


def test_everything_is_in_the_json():
    ours = result("lanes", 0.6, workload="one-b9-t8-h2", peak_bytes={"forward": 5})
    peer = result("peer", 0.3, kind="peer", workload="one-b9-t8-h2")
    equal = result("lanes", 0.2, workload="equal-b2-t8-h2")
    products = [product("numpy", 0.5), product("torch", 0.1)._replace(summary=None, reason="no")]
    everything = measured([ours, peer], [equal], products)
    settings = Settings(1, dense=True, matmul=100)
    recorded = record(everything, settings, MACHINE, environment={}, exit_status=0)
    data = json.loads(dump(recorded))
    assert [r["contestant"] for r in data["results"]] == ["lanes", "peer"]
    assert [r["workload"] for r in data["dense"]] == ["equal-b2-t8-h2"]
    assert data["workloads"]["one-b9-t8-h2"]["dense"] == "equal-b2-t8-h2"
    assert data["workloads"]["equal-b2-t8-h2"]["dense"] is None
    operations = 2 * 16 * 4 * 2 * (2 + 2)
    assert data["workloads"]["one-b9-t8-h2"]["flops"]["forward"] == operations
    assert data["workloads"]["one-b9-t8-h2"]["needed_bytes"]["forward"] > 0
    timing = data["results"][0]["timings"]["forward"]
    assert timing["ratio_to_best_peer"] == pytest.approx(2.0)
    assert timing["ratio_to_dense"] == pytest.approx(3.0)
    assert timing["flops_a_second"] == pytest.approx(operations / 0.6)
    assert timing["share_of_matmul"] == pytest.approx(operations / 0.6 / (2e6 / 0.5))
    assert data["results"][0]["facts"]["peak_bytes"] == {"forward": 5}
    assert data["worst_ratio_to_best_peer"]["forward"]["lanes"]["workload"] == "one-b9-t8-h2"
    assert [p["flops_a_second"] for p in data["matmul"]] == [pytest.approx(4e6), None]
    assert [p["reason"] for p in data["matmul"]] == [None, "no"]


# --- notes -----------------------------------------------------------------------------------


def test_doubtful_times_are_marked():
    bad = result("lanes", 0.2)
    bad = bad._replace(summaries={w: summarise([Sample(1.0, 0.1)], 1) for w in worker.WORKS})
    text = report(measured([bad]), Settings(1), MACHINE)
    assert "  lanes!  " in text
    assert "More samples were disturbed" in text
    assert "More samples were disturbed" not in report(
        measured([result("lanes", 0.2)]), Settings(1), MACHINE
    )


def test_threads_are_compared_with_what_pools_say():
    blas = {"user_api": "blas", "num_threads": 2}
    honest = result("lanes", 0.1, pools=[blas, {"user_api": "openmp", "num_threads": 9}])
    assert thread_notes([honest], 2) == []
    assert thread_notes([honest], 1) == ["lanes had a pool of 2 threads, asked for were 1."]
    said = result("torch-packed", 0.1, kind="peer", pools=None, threads=4)
    assert thread_notes([said], 1) == ["torch-packed had a pool of 4 threads, asked for were 1."]
    (unknown,) = thread_notes([result("lanes", 0.1, pools=None)] * 2, 2)
    assert "Without threadpoolctl" in unknown


def test_settings_that_change_timings_are_told():
    variables = {"OPENBLAS_CORETYPE": "Haswell", "OMP_PROC_BIND": "true", "HOME": "/"}
    kept = machine.settings_in(variables)
    assert kept == {"OMP_PROC_BIND": "true", "OPENBLAS_CORETYPE": "Haswell"}
    coretype, others, load = machine.setting_notes(
        {**MACHINE, "variables": kept, "load_average": 1.5}
    )
    assert coretype.startswith("OPENBLAS_CORETYPE=Haswell was set, and kept")
    assert "OMP_PROC_BIND=true" in others
    assert "1.5" in load
    assert machine.setting_notes(MACHINE) == []


def test_machine_facts_are_json():
    facts = machine.machine_facts()
    assert json.loads(json.dumps(facts)) == facts
    assert facts["cores"] >= 1
    assert facts["processor"]


@pytest.mark.parametrize(("suffix", "start"), [("svg", b"<?xml"), ("png", b"\x89PNG")])
def test_a_picture_shows_every_contestant_and_workload(tmp_path, suffix, start):
    from refrnn.cli.bench_plot import draw

    bad = [summarise([Sample(1.0, 0.1)], 1)] * 2
    results = [
        result("lanes", 0.2),
        result("mine", 1.0)._replace(summaries=dict(zip(worker.WORKS, bad, strict=True))),
        result("torch-packed", 0.1, kind="peer"),
        result("gone", None, kind="peer", status=Status.MISSING),
        result("lanes", 2e-5, workload="one-b2-t3-h2"),
    ]
    pictures = []
    for name in ("one", "other"):
        path = tmp_path / f"{name}.{suffix}"
        draw(results, Settings(1), path)
        pictures.append(path.read_bytes())
    assert pictures[0].startswith(start)
    assert pictures[0] == pictures[1]
    if suffix == "svg":
        comments = pictures[0].decode()
        for text in ("lanes", "mine", "torch-packed", "forward+backward", "best peer"):
            assert f"<!-- {text}" in comments
        assert "gone" not in comments
