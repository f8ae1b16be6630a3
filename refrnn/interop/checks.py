"""What every conversion checks: that the other library is there, and what it is handed."""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from typing import Any

import numpy as np

from ..ragged import RaggedBatch
from ..types import Array

__all__ = ["check_host_batch", "require"]


def require(package: str, function: str, distribution: str | None = None) -> Any:
    """Import a package that refrnn does not need, for the function that does.

    Parameters
    ----------
    package : str
        What to import.
    function : str
        Who asks, for the message.
    distribution : str, optional
        What to install, where it is called otherwise.

    Raises
    ------
    ImportError
        If the package is not installed; one that is installed and broken raises its own error.
    """
    try:
        return importlib.import_module(package)
    except ModuleNotFoundError as error:
        if error.name != package:
            raise  # something the package itself misses
        raise ImportError(
            f"{function} needs {package}, which is not installed "
            f"(python -m pip install {distribution or package})",
            name=error.name,
        ) from error


def check_host_batch(batch: Any, function: str, dtypes: Sequence[str] = ()) -> Array:
    """The values of a batch in host memory, for a conversion.

    Parameters
    ----------
    batch : RaggedBatch
    function : str
        Who asks, for the message.
    dtypes : sequence of str
        The dtypes that the container holds; all that a batch may have if empty.

    Raises
    ------
    TypeError
        If it is no batch, its values are on a device, or they have another dtype.
    """
    if not isinstance(batch, RaggedBatch):
        raise TypeError(f"batch has type {type(batch).__name__}, expected a RaggedBatch")
    values = batch.values
    if not isinstance(values, np.ndarray):
        raise TypeError(
            f"batch has values of type {type(values).__name__} in device memory, expected a "
            f"NumPy array: {function} works on the host"
        )
    if dtypes and batch.dtype.name not in dtypes:
        raise TypeError(f"batch has dtype {batch.dtype}, expected {' or '.join(dtypes)}")
    return values
