"""Layers: records of sizes and options that run forward, leave a tape, and walk it back.

Parameters, initial states and dropout masks go in as arguments; results, tapes and gradients come
out as records. Nothing is remembered between calls.
"""

from __future__ import annotations

from .base import Layer, LayerGradients, LayerRun
from .dense import Dense, DenseTape
from .dropout import draw_dropout_mask
from .masking import Masking, MaskingTape
from .recurrent import Recurrent, RecurrentGradients, RecurrentRun, RecurrentTape
from .sequential import Sequential, SequentialGradients, SequentialTape

__all__ = [
    "Dense",
    "DenseTape",
    "Layer",
    "LayerGradients",
    "LayerRun",
    "Masking",
    "MaskingTape",
    "Recurrent",
    "RecurrentGradients",
    "RecurrentRun",
    "RecurrentTape",
    "Sequential",
    "SequentialGradients",
    "SequentialTape",
    "draw_dropout_mask",
]
