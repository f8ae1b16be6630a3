"""The gradient oracle: hold anybody's recurrent layer to the reference in one call.

``check(module)`` runs a framework's module, or a plain function, on a set of hard ragged batches,
compares outputs, final states and every gradient with the reference in float64, and says of what
differs what kind of mistake it looks like. ``refrnn.oracle.weights`` converts weights and their
gradients between refrnn and the frameworks; ``refrnn.oracle.onnx`` runs ONNX's recurrent operators.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from ..ragged import RaggedBatch
from .adapters import adapt
from .checking import check_subject
from .network import Network, Results
from .problem import PROBLEM_NAMES, Problem, problem_of, standard_problem, standard_problems
from .report import Entry, Finding, OracleError, Report, Status
from .semantics import LAW, PROFILES, Semantics
from .subject import Expected, FunctionSubject, Result, Subject

__all__ = [
    "LAW",
    "PROBLEM_NAMES",
    "PROFILES",
    "Entry",
    "Expected",
    "Finding",
    "FunctionSubject",
    "Network",
    "OracleError",
    "Problem",
    "Report",
    "Result",
    "Results",
    "Semantics",
    "Status",
    "Subject",
    "adapt",
    "check",
    "problem_of",
    "standard_problem",
    "standard_problems",
]


def check(
    subject: Any,
    batch: RaggedBatch | Problem | Iterable[Problem] | None = None,
    *,
    semantics: str | Semantics | None = None,
    progress: Callable[[str, int, int], None] | None = None,
    **options: Any,
) -> Report:
    """Hold a recurrent layer to the reference: outputs, final states and every gradient.

    Parameters
    ----------
    subject : object
        A framework's module (PyTorch, flax, haiku, Keras, MLX, an ONNX node, a model or the path of
        one, ...), a :class:`Subject`, or a plain function ``f(case) -> Result`` of NumPy arrays.
    batch : RaggedBatch, Problem, or iterable of Problem, optional
        What to run it on; the standard set of hard ragged problems if None. A RaggedBatch, in the
        subject's dtype, gets random initial states and cotangents.
    semantics : str or Semantics, optional
        What differs from refrnn's law on purpose: a name of :data:`PROFILES`, or a record; by
        default that of the subject's framework. ``"refrnn"`` forgives nothing.
    progress : callable, optional
        Told before each problem its name, how many are done, and of how many.
    **options
        What the subject's adapter takes: ``cell=`` for a function, ``packed=`` for a module of
        PyTorch, and so on; see the adapters.

    Returns
    -------
    Report
        Printing it shows a table; :meth:`Report.raise_if_failed` is for tests.

    Raises
    ------
    TypeError
        If nothing here knows what `subject` is, or an option is not known to its adapter.
    UnsupportedCase
        If it is known, and does something that the reference has no equations for.
    ValueError
        If an argument has a wrong value.

    Examples
    --------
    >>> import refrnn as rr
    >>> from refrnn.comparison import run_case
    >>> from refrnn.oracle import Result, check
    >>> def mine(case):
    ...     found = run_case(case, "packed")
    ...     return Result(found["output"], d_parameters={"W_hh": 2 * found["d_W_hh"]})
    >>> report = check(mine, cell=rr.RNN(3, 4))
    >>> report.ok
    False
    >>> report.failures[0].tensors, report.failures[0].words
    (('d_W_hh',), 'it is 2 times the reference')
    """
    return check_subject(
        adapt(subject, **options), batch, semantics, progress or (lambda name, done, total: None)
    )
