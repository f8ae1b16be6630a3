"""check: what a function of one's own is told, and that nothing wrong gets through."""

import json

import numpy as np
import pytest

import refrnn as rr
from refrnn.cases import CELL_NAMES, make_cell
from refrnn.comparison import run_case
from refrnn.oracle import (
    Network,
    OracleError,
    Result,
    Semantics,
    Status,
    check,
    problem_of,
    standard_problem,
)
from refrnn.oracle.evaluation import Setting
from refrnn.oracle.reference import truth_of
from refrnn.oracle.subject import Expected, FunctionSubject


def right(case, unroll="packed", change=None):
    """A function that is right, unless `change` says otherwise."""
    found = {name: array.copy() for name, array in run_case(case, unroll).items()}
    if change is not None:
        change(found)
    letters = case.cell.state_names
    return Result(
        found["output"],
        tuple(found[f"{n}_n"] for n in letters),
        found["d_input"],
        tuple(found[f"d_{n}_0"] for n in letters),
        {name: found[f"d_{name}"] for name in case.parameters},
    )


def spoilt(change):
    return lambda case: right(case, change=change)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", CELL_NAMES)
def test_what_is_right_passes(name, dtype):
    report = check(right, cell=make_cell(name, 3, 5), dtype=dtype, reverse=name == "lstm")
    assert report.ok, str(report)
    assert not report.deliberate
    report.raise_if_failed()
    assert max(e.deviation.in_tolerances for e in report.entries if e.deviation) < 0.1


def test_derivatives_from_outputs_are_allowed_for_and_mistakes_are_not():
    """Saturated gates: 1 - y * y has few digits left, in everybody's float32."""
    cell = rr.RNN(3, 5)
    network = Network([cell])
    problem = standard_problem("saturating", network, "float32")

    def from_output(case):
        # the same RNN with the derivative that frameworks use, in float32 throughout
        p, (start, stop) = case.parameters, case.batch.offsets[:2]
        found = run_case(case, "packed")
        a_dtype = case.dtype
        d_x = np.zeros_like(case.batch.values)
        d_w = {n: np.zeros_like(a) for n, a in p.items()}
        d_h_0 = np.zeros_like(case.state_0.h)
        for b in range(len(case.batch)):
            start, stop = case.batch.offsets[b], case.batch.offsets[b + 1]
            y = found["output"][start:stop]
            before = np.concatenate([case.state_0.h[b : b + 1], y[:-1]])
            d_h = case.d_state_n.h[b].copy()
            for t in reversed(range(stop - start)):
                d_h = d_h + case.d_output[start + t]
                d_a = (d_h * (1 - y[t] * y[t])).astype(a_dtype)
                d_x[start + t] = d_a @ p.W_ih
                d_w["W_ih"] += np.outer(d_a, case.batch.values[start + t])
                d_w["W_hh"] += np.outer(d_a, before[t])
                d_w["b_ih"] += d_a
                d_w["b_hh"] += d_a
                d_h = d_a @ p.W_hh
            d_h_0[b] = d_h
        return Result(found["output"], (found["h_n"],), d_x, (d_h_0,), d_w)

    subject = FunctionSubject(from_output, cell, dtype="float32")
    report = check(subject, problem)
    assert report.ok, str(report)
    truth = truth_of(
        Setting(network, subject.parameters(), problem),
        lambda results: subject.present(results, problem, subject.semantics),
    )
    assert truth.allowance("d_W_ih", "float32") > 0
    wrong = check(
        FunctionSubject(
            lambda case: from_output(case)._replace(d_input=1.01 * from_output(case).d_input),
            cell,
            dtype="float32",
        ),
        problem,
    )
    assert {f.tensors for f in wrong.failures} == {("d_input",)}


def test_the_tolerance_rejects_twice_its_size_and_takes_half():
    cell = rr.LSTM(3, 4)
    subject = FunctionSubject(right, cell)
    problem = standard_problem("unsorted", subject.network)
    truth = truth_of(
        Setting(subject.network, subject.parameters(), problem),
        lambda results: subject.present(results, problem, subject.semantics),
    )
    for name, expected in truth.expected.items():
        exact = truth.deviation(name, expected.array, "float64")
        assert exact.in_tolerances == 0
        bound = exact.tolerance + truth.allowance(name, "float64")
        for factor, ok in ((2.0, False), (0.5, True)):
            moved = expected.array.copy()
            moved.flat[moved.size // 2] += factor * bound
            assert truth.deviation(name, moved, "float64").ok is ok


def test_what_is_not_compared_may_be_anything():
    cell = rr.LSTM(3, 4)
    subject = FunctionSubject(right, cell)
    problem = standard_problem("unsorted", subject.network)
    compared = np.ones((problem.batch.total_steps, 4), bool)
    compared[3, 2] = False

    def present(results):
        named = dict(subject.present(results, problem, subject.semantics))
        return {**named, "output": Expected(named["output"].array, compared)}

    truth = truth_of(Setting(subject.network, subject.parameters(), problem), present)
    moved = truth.expected["output"].array.copy()
    moved[3, 2] = np.nan
    assert truth.deviation("output", moved, "float64").ok
    moved[3, 1] += 1e-9
    found = truth.deviation("output", moved, "float64")
    assert not found.ok
    assert found.where == (3, 1)


def test_one_entry_wrong_by_a_thousandth_is_found_100_times_in_100():
    """What gradcheck's fast mode finds 0 times in 5, with the entry wrong by all of itself."""
    rng = np.random.default_rng(7)
    cell = rr.LSTM(5, 8)
    subject = FunctionSubject(right, cell)
    batch = rr.RaggedBatch.from_sequences([rng.normal(size=(n, 5)) for n in (6, 3, 0, 5)])
    problem = problem_of(subject.network, batch)
    found = 0
    for _ in range(100):
        name = str(rng.choice(["d_W_ih", "d_W_hh", "d_b_ih", "d_b_hh", "d_input", "d_h_0"]))
        index = []

        def change(results, name=name, index=index):
            gradient = results[name]
            large = np.flatnonzero(np.abs(gradient.ravel()) > 1e-6 * np.abs(gradient).max())
            index.append(int(rng.choice(large)))
            gradient.ravel()[index[0]] *= 1.001

        report = check(spoilt(change), problem, cell=cell)
        (failure,) = report.failures
        entry = report.worst(name)
        at = np.ravel_multi_index(entry.deviation.where, run_shape(report, name, problem, cell))
        found += failure.tensors == (name,) and at == index[0] and failure.words.startswith("1 of ")
    assert found == 100


def run_shape(report, name, problem, cell):
    """The shape of a result."""
    shapes = {f"d_{n}": s for n, s in cell.parameter_shapes().items()}
    shapes |= {"d_input": problem.batch.values.shape, "d_h_0": problem.state_0[0].h.shape}
    return shapes[name]


def test_only_refusals_are_nothing_checked():
    class Refusing(FunctionSubject):
        semantics = Semantics("mine", refuses=("no step",))

        def run(self, problem):
            raise RuntimeError("nothing to do")

    subject = Refusing(right, rr.GRU(3, 4))
    report = check(subject, standard_problem("all_empty", subject.network))
    assert not report.failures
    assert report.verdict == "nothing was checked"


def test_a_problem_of_another_network_is_refused():
    other = standard_problem("unsorted", Network([rr.GRU(3, 4)]))
    with pytest.raises(ValueError, match="state_0 of problem unsorted has shape"):
        check(right, other, cell=rr.LSTM(3, 4))
    with pytest.raises(ValueError, match=r"batch of problem unsorted has shape \(30, 3\)"):
        check(right, other, cell=rr.GRU(2, 4))


def test_numbers_that_are_not_finite_are_refused():
    batch = rr.RaggedBatch.from_sequences([np.full((2, 3), np.nan)])
    with pytest.raises(ValueError, match=r"batch of problem batch has nan at \[0, 0\]"):
        check(right, batch, cell=rr.GRU(3, 4))


def test_no_warning_where_numbers_leave_float32():
    cell = rr.RNN(3, 4, activation="relu")
    weights = cell.init_parameters(np.random.default_rng(0), "float32", scale=1e6)
    report = check(right, cell=cell, parameters=weights, dtype="float32")
    assert {e.problem for e in report.entries if e.status is Status.FAILED} <= {
        "one_sequence",
        "long_and_short",
        "unsorted",
        "saturating",
        "nan_padding",
        "strided",
        "last_state",
    }


def test_nothing_offered_is_nothing_checked():
    report = check(lambda case: Result(), cell=rr.GRU(3, 4))
    assert not report.ok
    assert report.verdict == "nothing was checked"
    with pytest.raises(OracleError, match="nothing was checked"):
        report.raise_if_failed()


def test_what_is_not_offered_is_said_and_does_not_count():
    report = check(lambda case: right(case)._replace(d_input=None), cell=rr.GRU(3, 4))
    assert report.ok
    assert any(f.tensors == ("d_input",) for f in report.unchecked)
    assert "Not offered, and not counted as passed" in str(report)


def exit_now():
    raise SystemExit(0)


FINDINGS = {
    "a crash": (lambda r: 1 / 0, "crashed: ZeroDivisionError: division by zero"),
    "a result of another kind": (lambda r: r[0], "crashed: TypeError: the result has type ndarray"),
    "a shape": (lambda r: r._replace(output=r.output[:, :-1]), "it has shape"),
    "a dtype": (
        lambda r: r._replace(d_input=r.d_input.astype("float32")),
        "it has dtype float32, expected float64",
    ),
    "a list": (lambda r: r._replace(output=r.output.tolist()), "it has type list"),
    "too many states": (
        lambda r: r._replace(state_n=(*r.state_n, r.state_n[0])),
        "crashed: ValueError: a state has 2 arrays, expected 1",
    ),
    "a gradient nobody knows": (
        lambda r: r._replace(d_parameters={**r.d_parameters, "input": r.output}),
        "nobody asked for an array of this name",
    ),
    "a masked array": (
        lambda r: r._replace(output=np.ma.masked_invalid(r.output)),
        "it has type MaskedArray, expected an ndarray",
    ),
    "leaving": (lambda r: exit_now(), "crashed: SystemExit"),
    "not finite": (
        lambda r: r._replace(d_input=np.full_like(r.d_input, np.inf)),
        "elements are not finite",
    ),
}


@pytest.mark.parametrize("what", FINDINGS)
def test_whatever_a_subject_does_is_a_finding(what):
    change, words = FINDINGS[what]
    report = check(lambda case: change(right(case)), cell=rr.GRU(3, 4))
    assert not report.ok
    assert any(words in finding.words for finding in report.failures), str(report)


def test_arguments_that_are_written_to_harm_nobody():
    def rude(case):
        found = right(case)
        case.batch.values.flags.writeable = True
        case.batch.values[...] = np.nan
        case.state_0.h[...] = 7
        return found

    report = check(rude, cell=rr.GRU(3, 4))
    assert report.ok, str(report)


def test_a_subject_that_writes_to_the_problem_harms_nobody():
    class Rude(FunctionSubject):
        def run(self, problem):
            found = super().run(problem)
            for array in (problem.d_output, problem.padding, *problem.state_0[0]):
                array[...] = 7
            problem.mask[...] = True
            return found

    report = check(Rude(right, rr.GRU(3, 4)))
    assert report.ok, str(report)


def test_the_report_as_json():
    def change(results):
        results["d_W_hh"][1, 2] = np.nan

    report = check(spoilt(change), cell=rr.GRU(3, 4))
    record = json.loads(report.to_json())
    assert record["ok"] is False
    assert record["format"] == "refrnn oracle 1"
    wrong = [e for e in record["entries"] if e["status"] == "FAILED"]
    assert {e["tensor"] for e in wrong} == {"d_W_hh"}
    assert wrong[0]["where"] == [1, 2]
    assert wrong[0]["got"] == "nan"
    assert record["findings"][0]["words"] == "1 of 48 elements are not finite"


def test_a_row_a_tensor_with_its_worst_element():
    def change(results):
        results["d_W_hh"][1, 2] += 1

    report = check(spoilt(change), cell=rr.GRU(3, 4))
    row = next(line for line in str(report).splitlines() if line.startswith("d_W_hh"))
    assert "FAILED" in row
    assert "[1, 2]" in row
    entry = report.worst("d_W_hh")
    assert entry.status is Status.FAILED
    assert entry.ulps > 1e9


@pytest.mark.parametrize(
    ("arguments", "options", "error", "words"),
    [
        ((right,), {}, TypeError, "expected cell= beside it"),
        ((3,), {}, TypeError, "subject has type int, expected a module of torch"),
        ((right, 3), {"cell": rr.GRU(3, 4)}, TypeError, "'int' object is not iterable"),
        ((right, [3]), {"cell": rr.GRU(3, 4)}, TypeError, r"batch\[0\] has type int"),
        ((right,), {"cell": rr.GRU(3, 4), "lengths": 3}, TypeError, "lengths"),
        ((FunctionSubject(right, rr.GRU(3, 4)),), {"cell": 3}, TypeError, "takes no options"),
        ((right,), {"cell": rr.GRU(3, 4), "dtype": "float16"}, TypeError, "float16"),
    ],
)
def test_bad_arguments_are_refused_before_any_work(arguments, options, error, words):
    with pytest.raises(error, match=words):
        check(*arguments, **options)


def test_a_batch_of_another_dtype_is_refused():
    batch = rr.RaggedBatch.from_sequences([np.ones((2, 3), "float32")])
    with pytest.raises(TypeError, match="batch has dtype float32, expected float64"):
        check(right, batch, cell=rr.GRU(3, 4))


def test_progress_is_told():
    told = []
    check(right, cell=rr.GRU(3, 4), progress=lambda *what: told.append(what))
    assert told[0] == ("unsorted", 0, 14)
    assert len(told) == 14


def test_float64_that_is_float32():
    def narrow(case):
        found = right(case.astype("float32"))
        return Result(
            found.output.astype("float64"),
            tuple(a.astype("float64") for a in found.state_n),
            found.d_input.astype("float64"),
        )

    report = check(narrow, cell=rr.GRU(3, 4))
    words = {f.words for f in report.failures}
    assert words == {"it has the accuracy of float32, not of float64"}, str(report)
    forgiving = Semantics("mine", float64="float32")
    report = check(narrow, cell=rr.GRU(3, 4), semantics=forgiving)
    assert report.ok, str(report)
    assert {f.words for f in report.deliberate} == {"float64 is computed in float32"}
