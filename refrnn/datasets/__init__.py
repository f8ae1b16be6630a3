"""Data to try ragged recurrent networks on: one real ragged set, and laws of length."""

from __future__ import annotations

from .length_laws import LENGTH_LAWS, synthetic_lengths
from .vowels import Dataset, japanese_vowels

__all__ = ["LENGTH_LAWS", "Dataset", "japanese_vowels", "synthetic_lengths"]
