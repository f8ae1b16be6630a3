"""Read a corpus back, and hold refrnn to it."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ..types import Array
from ..unroll import Unroll
from .record import VectorCase
from .safetensors import load
from .writing import FORMAT, FORMAT_VERSION, MANIFEST

__all__ = ["Corpus", "Finding", "read", "verify"]

_NUMPY = {"F64": np.dtype(np.float64), "I64": np.dtype(np.int64)}


class Corpus(NamedTuple):
    """What :func:`read` returns.

    Attributes
    ----------
    manifest : dict
    cases : tuple of VectorCase
        In the order of the manifest.
    """

    manifest: dict[str, Any]
    cases: tuple[VectorCase, ...]


class Finding(NamedTuple):
    """Something wrong in a corpus, or in what was held to it.

    Attributes
    ----------
    case : str
    reason : str
    """

    case: str
    reason: str


def read(directory: str | os.PathLike[str]) -> Corpus:
    """Read every case of a corpus, and check that no file was changed.

    Parameters
    ----------
    directory : str or path
        What ``refrnn export`` wrote.

    Returns
    -------
    Corpus

    Raises
    ------
    OSError
        If a file is missing or cannot be read.
    ValueError
        If the manifest is none, or of a version this one cannot read; or a file is not the one
        whose checksum stands in the manifest.
    """
    root = Path(directory)
    manifest = _manifest(root)
    return Corpus(manifest, tuple(_case(root, entry) for entry in manifest["cases"]))


def verify(
    directory: str | os.PathLike[str],
    *,
    unroll: str | Unroll = "per_sequence",
    dtypes: Sequence[str] = ("float64", "float32"),
) -> list[Finding]:
    """Check every file against the manifest, and refrnn's own results against every file.

    Parameters
    ----------
    directory : str or path
    unroll : str or Unroll
        Who computes.
    dtypes : sequence of {"float64", "float32"}

    Returns
    -------
    list of Finding
        Empty if all files are sound and all results within tolerance.

    Raises
    ------
    OSError, ValueError
        If there is no manifest, or it cannot be read.
    """
    root = Path(directory)
    findings = []
    for entry in _manifest(root)["cases"]:
        try:
            case = _case(root, entry)
        except (OSError, ValueError) as error:
            findings.append(Finding(entry["name"], str(error)))
            continue
        for dtype in dtypes:
            deviations = case.compare(case.run(unroll, dtype), dtype)
            findings += [Finding(case.name, f"{dtype}: {d}") for d in deviations if not d.ok]
    return findings


def _manifest(root: Path) -> dict[str, Any]:
    path = root / MANIFEST
    try:
        manifest = json.loads(path.read_bytes())
    except ValueError as error:
        raise ValueError(f"directory has a {MANIFEST} that is no JSON ({error})") from error
    found = (manifest.get("format"), manifest.get("format_version"))
    if found != (FORMAT, FORMAT_VERSION):
        raise ValueError(
            f"directory has a {MANIFEST} of format {found}, expected {(FORMAT, FORMAT_VERSION)}"
        )
    checked: dict[str, Any] = manifest
    return checked


def _case(root: Path, entry: dict[str, Any]) -> VectorCase:
    name = entry["file"]
    data = (root / name).read_bytes()
    if hashlib.sha256(data).hexdigest() != entry["sha256"]:
        raise ValueError(
            f"{name} has another sha256 than stands in the manifest, expected the same"
        )
    arrays = load(data)
    facts = {**entry["inputs"], **entry["expected"]}
    if set(arrays) != set(facts):
        raise ValueError(f"{name} has arrays {sorted(arrays)}, expected {sorted(facts)}")
    for array_name, array in arrays.items():
        _check_array(f"{name}: {array_name}", array, facts[array_name])
    return VectorCase(entry, arrays)


def _check_array(name: str, array: Array, facts: dict[str, Any]) -> None:
    expected = (tuple(facts["shape"]), _NUMPY[facts["dtype"]])
    if (array.shape, array.dtype) != expected:
        raise ValueError(
            f"{name} has shape and dtype {array.shape, array.dtype}, expected {expected}"
        )
