"""Run every unroll on every cell and case, and say how far each lies from the definition."""

from __future__ import annotations

from .loading import Candidate, LoadError, find_candidates
from .running import VOWELS, Outcome, Selection, Status, run_checks

__all__ = [
    "VOWELS",
    "Candidate",
    "LoadError",
    "Outcome",
    "Selection",
    "Status",
    "find_candidates",
    "run_checks",
]
