"""Weights of other frameworks: to and from :class:`refrnn.CellParameters`, gradients included.

In NumPy alone: no framework is imported. :data:`LAYOUTS` has a :class:`Layout` for each framework
and cell.
"""

from .layout import ANY, Layout
from .stacking import jax_flatten, jax_unflatten, onnx_stack, onnx_unstack
from .table import LAYOUTS, block_lstm

__all__ = [
    "ANY",
    "LAYOUTS",
    "Layout",
    "block_lstm",
    "jax_flatten",
    "jax_unflatten",
    "onnx_stack",
    "onnx_unstack",
]
