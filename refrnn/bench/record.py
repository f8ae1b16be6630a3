"""The timings as one JSON object: seconds and bytes throughout, and every single sample."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from .matmul import Product
from .memory import needed_bytes
from .ratios import best_peer, dense_ratio, flops, matmul_share, overall_ratios
from .results import Measured, Result, Settings
from .workloads import Workload

__all__ = ["FORMAT", "dump", "record"]

#: Name and version of the layout of the JSON.
FORMAT = "refrnn bench 1"


def record(
    measured: Measured,
    settings: Settings,
    machine: Mapping[str, Any],
    *,
    environment: Mapping[str, Any],
    exit_status: int,
) -> dict[str, Any]:
    """Everything as values that JSON can hold.

    Parameters
    ----------
    measured : Measured
    settings : Settings
    machine : mapping
        As :func:`refrnn.bench.machine.machine_facts` gives it.
    environment : mapping
        Versions, as ``refrnn info --json`` prints them.
    exit_status : int

    Returns
    -------
    dict
        Keys ``format``, ``exit_status``, ``machine``, ``environment``, ``settings``,
        ``workloads``, ``matmul``, ``mean_ratio_to_best_peer``, ``worst_ratio_to_best_peer``,
        ``results`` and ``dense``.
    """
    everything = [*measured.results, *measured.dense]
    workloads = dict.fromkeys(r.workload for r in everything)
    overall = {w: overall_ratios(measured.results, w) for w in settings.works}
    return {
        "format": FORMAT,
        "exit_status": exit_status,
        "machine": dict(machine),
        "environment": dict(environment),
        "settings": settings._asdict(),
        "workloads": {w.name: _workload(w, settings) for w in workloads},
        "matmul": [_product(p) for p in measured.products],
        "mean_ratio_to_best_peer": {
            w: {name: o.mean for name, o in found.items()} for w, found in overall.items()
        },
        "worst_ratio_to_best_peer": {
            w: {name: {"ratio": o.worst, "workload": o.where} for name, o in found.items()}
            for w, found in overall.items()
        },
        "results": [_result(r, measured) for r in measured.results],
        "dense": [_result(r, measured) for r in measured.dense],
    }


def dump(recorded: Mapping[str, Any]) -> str:
    """`recorded` as text: standard JSON.

    Parameters
    ----------
    recorded : mapping
    """
    return json.dumps(recorded, indent=1, allow_nan=False)


def _workload(workload: Workload, settings: Settings) -> dict[str, Any]:
    cell, lengths = workload.make_cell(), workload.lengths
    sizes = cell, lengths.size, int(lengths.sum()), workload.dtype
    return {
        **workload._asdict(),
        "lengths": lengths.tolist(),
        "dense": None if workload.dense is None else workload.dense.name,
        "flops": {work: flops(workload, work) for work in settings.works},
        "needed_bytes": {work: needed_bytes(*sizes, work) for work in settings.works},
    }


def _product(product: Product) -> dict[str, Any]:
    summary = product.summary
    return {
        "library": product.library,
        "size": product.size,
        "dtype": product.dtype,
        "reason": product.reason or None,
        "flops_a_second": product.rate,
        "timing": None if summary is None else summary._asdict(),
        "samples": [list(s) for s in product.samples],
    }


def _result(result: Result, measured: Measured) -> dict[str, Any]:
    everything = [*measured.results, *measured.dense]
    here = [r for r in everything if r.workload == result.workload]
    timings = {}
    for work, summary in result.summaries.items():
        best = best_peer(here, work)
        timings[work] = {
            **summary._asdict(),
            "ratio_to_best_peer": None if best is None else summary.median / best,
            "ratio_to_dense": dense_ratio(result, everything, work),
            "flops_a_second": flops(result.workload, work) / summary.median,
            "share_of_matmul": matmul_share(result, measured.products, work),
            "samples": [list(s) for s in result.samples[work]],
        }
    return {
        "workload": result.workload.name,
        "contestant": result.contestant.name,
        "kind": result.contestant.kind,
        "status": result.status.value,
        "reason": result.reason or None,
        "facts": result.facts,
        "timings": timings,
    }
