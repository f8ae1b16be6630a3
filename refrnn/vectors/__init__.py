"""Test vectors for everyone else: cases in files that any language reads, and what must come out.

``refrnn export DIR`` writes them, :func:`read` reads them back, :func:`verify` holds refrnn to
them. The format is on :doc:`/vectors`.
"""

from .configurations import CONFIGURATIONS, Configuration, Spec, specs
from .drawing import draw
from .mutants import MUTANTS, Mutant, kills
from .reading import Corpus, Finding, read, verify
from .record import StackCase, VectorCase
from .writing import export

__all__ = [
    "CONFIGURATIONS",
    "MUTANTS",
    "Configuration",
    "Corpus",
    "Finding",
    "Mutant",
    "Spec",
    "StackCase",
    "VectorCase",
    "draw",
    "export",
    "kills",
    "read",
    "specs",
    "verify",
]
