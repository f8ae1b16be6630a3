"""Test vectors for everyone else: cases in files that any language reads, and what must come out.

``refrnn export DIR`` writes them; the format is on :doc:`/vectors`.
"""

from .configurations import CONFIGURATIONS, Configuration, Spec, specs
from .drawing import draw
from .record import StackCase, VectorCase

__all__ = ["CONFIGURATIONS", "Configuration", "Spec", "StackCase", "VectorCase", "draw", "specs"]
