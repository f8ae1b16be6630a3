"""Bucketing: group sequences of similar length so that padding inside a group wastes little.

Bucket boundaries (given, quantile, optimal), batches drawn from them or filled up to a budget
of tokens, and a report of what padding, bucketing, packing and lanes each cost on given lengths.
"""

from __future__ import annotations

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
