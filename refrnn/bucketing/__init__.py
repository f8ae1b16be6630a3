"""Bucketing: group sequences of similar length so that padding inside a group wastes little.

Bucket boundaries (given, quantile, optimal), batches drawn from them or filled up to a budget
of tokens, and a report of what padding, bucketing, packing and lanes each cost on given lengths.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .batches import batches_by_bucket, token_budget_batches
    from .boundaries import bucket_ids, optimal_boundaries, quantile_boundaries
    from .waste import SchemeCost, WasteReport, waste_report

__all__ = [
    "SchemeCost",
    "WasteReport",
    "batches_by_bucket",
    "bucket_ids",
    "optimal_boundaries",
    "quantile_boundaries",
    "token_budget_batches",
    "waste_report",
]

# loaded at first use: the bucketed unroll needs the boundaries alone
_HOME = {
    "SchemeCost": "waste",
    "WasteReport": "waste",
    "batches_by_bucket": "batches",
    "bucket_ids": "boundaries",
    "optimal_boundaries": "boundaries",
    "quantile_boundaries": "boundaries",
    "token_budget_batches": "batches",
    "waste_report": "waste",
}


def __getattr__(name: str) -> Any:
    if name in _HOME:
        import importlib

        return getattr(importlib.import_module(f".{_HOME[name]}", __name__), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
