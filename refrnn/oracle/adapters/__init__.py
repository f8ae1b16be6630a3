"""Adapters: subjects made of frameworks' modules.

Which adapter is asked depends on the packages that the subject's classes come from; none of them is
imported before somebody hands over something of it.
"""

from __future__ import annotations

import importlib
import os
from pathlib import Path
from typing import Any

from ..subject import FunctionSubject, Subject

__all__ = ["ADAPTERS", "adapt"]

#: The package that a class comes from, and the module here that adapts it.
ADAPTERS: dict[str, str] = {
    "torch": "torch",
    "flax": "flax",
    "haiku": "haiku",
    "jax": "jax",
    "jaxlib": "jax",  # of a function that jax.jit has been given
    "keras": "keras",
    "tensorflow": "tensorflow",
    "onnx": "onnx",
    "onnxruntime": "onnx",
    "mlx": "mlx",
}

_MEMBERS = ("network", "dtype", "semantics", "parameters", "supports", "run", "present")


def adapt(subject: Any, **options: Any) -> Subject:
    """Make a subject of anything that one can be made of.

    Parameters
    ----------
    subject : object
        A framework's module, the path of an ONNX model, a :class:`refrnn.oracle.Subject` or a plain
        function.
    **options
        Arguments of the adapter.

    Returns
    -------
    Subject

    Raises
    ------
    TypeError
        If there is no adapter for it, or an option is not one of the adapter's.
    """
    if all(hasattr(subject, member) for member in _MEMBERS):
        if options:
            raise TypeError(f"a Subject takes no options, and {', '.join(options)} were given")
        own: Subject = subject
        return own
    is_path = isinstance(subject, (str, os.PathLike)) and Path(subject).suffix == ".onnx"
    packages = [kind.__module__.partition(".")[0] for kind in type(subject).__mro__]
    for package in ["onnx"] if is_path else packages:
        if package in ADAPTERS:
            module = importlib.import_module(f".{ADAPTERS[package]}", __name__)
            adapted: Subject = module.adapt(subject, **options)
            return adapted
    if isinstance(subject, type):
        raise TypeError(f"subject is the class {subject.__name__}, expected an object of it")
    if callable(subject):
        if "cell" not in options:
            raise TypeError(
                "subject is a function, expected cell= beside it: the equations it computes"
            )
        return FunctionSubject(subject, **options)
    raise TypeError(
        f"subject has type {type(subject).__name__}, expected a module of "
        f"{', '.join(ADAPTERS)}, a function, or a Subject"
    )
