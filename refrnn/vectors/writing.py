"""Write the corpus: a file of arrays for each case, the manifest, and what the cases can tell."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from .._version import __version__
from .configurations import CONFIGURATIONS, Spec, specs
from .drawing import DTYPES, draw
from .mutants import MUTANTS, cover, kills
from .record import VectorCase
from .safetensors import dump

__all__ = ["EQUATIONS_VERSION", "FORMAT", "FORMAT_VERSION", "MANIFEST", "MUTANTS_FILE", "export"]

FORMAT = "refrnn-vectors"

#: Raised when a reader of the one before would misread the manifest or a file.
FORMAT_VERSION = 1

#: Raised when an equation of the notation page changes its meaning, and with it expected values.
EQUATIONS_VERSION = 1

MANIFEST = "manifest.json"
MUTANTS_FILE = "mutants.json"

_FORMULA = (
    "abs(got - expected) <= tolerance[dtype] for every number of the array; tolerance = 32 * "
    "max(1, max_length) * (eps * scale + tiny), with eps and tiny the machine epsilon and the "
    "smallest normal number of the dtype that was computed in (float64: 2**-52 and 2**-1022, "
    "float32: 2**-23 and 2**-126). scale = max(abs(expected)) + how far the array moves in eight "
    "runs whose products, activations and states are perturbed at random by up to 2**-40 of their "
    "size, divided by 2**-40. A number that is not finite is never right."
)
_VALUES = (
    "inputs: float32(bound * (2u + 1 - 2**24) / 2**24), u the upper 24 bits of each 64-bit word of "
    "PCG64(crc32(configuration/hard_case)); exactly representable in float32. expected: the "
    "equations evaluated with 100 decimal digits, rounded once to float64."
)


def export(
    directory: str | os.PathLike[str],
    *,
    cells: Iterable[str] | None = None,
    force: bool = False,
    tell: Callable[[str, int, int], None] = lambda text, done, total: None,
) -> int:
    """Write the corpus; the same bytes on every machine.

    Parameters
    ----------
    directory : str or path
        Made if it is not there.
    cells : iterable of str, optional
        Names of configurations; all by default.
    force : bool
        Write into a directory that has something in it. Files of the same names are replaced, no
        other is touched.
    tell : callable
        Told before each part what it is, how many parts are done, and of how many.

    Returns
    -------
    int
        How many cases were written.

    Raises
    ------
    ValueError
        If there is no configuration of a name, or none is asked for.
    FileExistsError
        If the directory is not empty and `force` is not set.
    OSError
        If it cannot be written. The manifest is written last: without one, a corpus is incomplete.
    """
    names = None if cells is None else tuple(cells)
    chosen = specs(names)
    if not chosen:
        raise ValueError("cells has no name, expected at least one")
    target = Path(directory)
    _check_target(target, force)
    target.mkdir(parents=True, exist_ok=True)
    (target / MANIFEST).unlink(missing_ok=True)
    entries, cases = [], []
    total = len(chosen) + len(MUTANTS)
    for done, spec in enumerate(chosen):
        tell(spec.name, done, total)
        case = draw(spec)
        entries.append(_write_case(target, case))
        cases.append(case)
    found = kills(cases, lambda name, done: tell(f"mutant: {name}", len(chosen) + done, total))
    _write_json(target / MUTANTS_FILE, {**_head(), "cover": cover(found), "mutants": found})
    _write_json(target / MANIFEST, _manifest(chosen, entries))
    return len(entries)


def _check_target(target: Path, force: bool) -> None:
    if target.exists() and not target.is_dir():
        raise FileExistsError(f"directory has value {str(target)!r}, and that is no directory")
    if target.is_dir() and not force and any(target.iterdir()):
        raise FileExistsError(
            f"directory has something in it: {str(target)!r}, expected an empty one, or force"
        )


def _write_case(target: Path, case: VectorCase) -> dict[str, Any]:
    """Write the arrays of a case; its entry, complete."""
    data = dump(case.arrays, {"format": f"{FORMAT}-{FORMAT_VERSION}", "case": case.name})
    name = f"{case.name}.safetensors"
    path = target / name
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(data)
    digest = hashlib.sha256(data).hexdigest()
    return {**case.entry, "file": name, "bytes": len(data), "sha256": digest}


def _head() -> dict[str, Any]:
    return {
        "format": FORMAT,
        "format_version": FORMAT_VERSION,
        "equations_version": EQUATIONS_VERSION,
        "refrnn_version": __version__,
    }


def _manifest(chosen: list[Spec], entries: list[dict[str, Any]]) -> dict[str, Any]:
    names = {spec.configuration.name for spec in chosen}
    return {
        **_head(),
        "complete": len(names) == len(CONFIGURATIONS),
        "dtypes": list(DTYPES),
        "values": _VALUES,
        "tolerance": _FORMULA,
        "mutants": MUTANTS_FILE,
        "configurations": [c.name for c in CONFIGURATIONS if c.name in names],
        "cases": entries,
    }


def _write_json(path: Path, content: dict[str, Any]) -> None:
    """One case or mutant a line: small, and readable in a difference."""
    (list_name, items), *_ = [(k, v) for k, v in content.items() if _is_list_of_objects(v)]
    head = {k: v for k, v in content.items() if k != list_name}
    lines = [json.dumps(item, allow_nan=False) for item in items]
    text = json.dumps(head, indent=1, allow_nan=False)[:-2]
    text += f',\n "{list_name}": [\n  ' + ",\n  ".join(lines) + "\n ]\n}\n"
    path.write_bytes(text.encode("ascii"))


def _is_list_of_objects(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(item, dict) for item in value)
