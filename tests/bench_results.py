"""Results of ``refrnn bench`` that nobody measured."""

from refrnn.bench import worker
from refrnn.bench.contestants import Contestant
from refrnn.bench.matmul import Product
from refrnn.bench.results import Measured, Result, Status
from refrnn.bench.timing import Sample, summarise
from refrnn.bench.workloads import Workload

TINY = "uniform-b3-t5-h4"


def result(name, seconds, *, kind="unroll", status=Status.TIMED, workload=TINY, **facts):
    """A result whose samples all took this long."""
    samples = {} if seconds is None else {w: [Sample(seconds, seconds)] * 3 for w in worker.WORKS}
    return Result(
        Contestant(name, kind, name),
        Workload.parse(workload),
        status,
        "" if status is Status.TIMED else "a reason",
        {"computed_steps": 15, "pools": [], **facts},
        samples,
        {w: summarise(s, 1) for w, s in samples.items()},
    )


def product(library, seconds, *, size=100, dtype="float32"):
    """A matrix product whose samples all took this long."""
    samples = [Sample(seconds, seconds)] * 3
    return Product(library, size, dtype, "", samples, summarise(samples, 1))


def measured(results, dense=(), products=()):
    """Everything that was measured."""
    return Measured(list(results), list(dense), list(products))


MACHINE = {"processor": "a processor", "cores": 2, "load_average": 0.1, "variables": {}}
