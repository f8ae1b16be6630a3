"""``refrnn info``: what is installed, and why something is not.

Needs NumPy only. Nothing is imported to find out whether it is there, except the unrolls that
packages register and PyCUDA: those are loaded, since only loading shows whether they can be.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import importlib.util
import json
import platform
import re
from pathlib import Path
from typing import Any

import numpy as np

from .. import _version
from ..unroll.registry import BUILT_IN, ENTRY_POINT_GROUP, installed_unrolls
from . import device

__all__ = ["add_parser", "collect", "run"]


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the subcommand ``info``, which calls :func:`run`.

    Parameters
    ----------
    subparsers : what ``ArgumentParser.add_subparsers`` returned; gains one parser
    """
    text = (
        "Show versions, BLAS, unrolls, native parts, CUDA and extras, and what is missing and why."
    )
    parser = subparsers.add_parser("info", help=text, description=text)
    parser.add_argument("--json", action="store_true", help="print one JSON object instead")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Print what is installed.

    Parameters
    ----------
    args : Namespace
        ``json``: whether to print JSON.

    Returns
    -------
    int
        Exit status 0. What is missing is an answer, not a failure.
    """
    facts = collect()
    print(json.dumps(facts, indent=2) if args.json else "\n".join(_lines(facts)))
    return 0


def collect() -> dict[str, Any]:
    """Gather what ``refrnn info`` prints, as values that JSON can hold.

    Returns
    -------
    dict
        Keys ``version``, ``location``, ``python``, ``platform``, ``numpy``, ``unrolls``,
        ``native``, ``cuda`` and ``extras``.
    """
    return {
        "version": _version.__version__,
        "location": str(Path(_version.__file__).parent),
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "platform": f"{platform.system()} {platform.machine()}",
        "numpy": _numpy(),
        "unrolls": _unrolls(),
        "native": _native_parts(),
        "cuda": device.describe(),
        "extras": _extras(),
    }


def _numpy() -> dict[str, Any]:
    """Version of NumPy, its BLAS, and the instruction sets it found on this machine."""
    config: Any = np.show_config(mode="dicts")  # type: ignore[no-untyped-call, unused-ignore]
    blas = config.get("Build Dependencies", {}).get("blas", {})
    return {
        "version": np.__version__,
        "blas": {
            "name": blas.get("name", "unknown"),
            "version": blas.get("version", "unknown"),
            "threads": _blas_threads(),
        },
        "simd": config.get("SIMD Extensions", {}).get("found", []),
    }


def _blas_threads() -> int | None:
    """Number of threads of NumPy's BLAS; None where threadpoolctl is not there to ask."""
    try:
        from threadpoolctl import threadpool_info
    except ModuleNotFoundError:
        return None
    pools = [pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"]
    return max(pools) if pools else None


def _unrolls() -> list[dict[str, Any]]:
    """Every unroll by name: where it comes from, and why it cannot be loaded if it cannot."""
    origins = {
        point.name: f"{point.dist.name} {point.dist.version}" if point.dist else "unknown"
        for point in importlib.metadata.entry_points(group=ENTRY_POINT_GROUP)
    }
    rows = []
    for name, found in installed_unrolls().items():
        reason = found if isinstance(found, str) else None
        origin = "refrnn" if name in BUILT_IN else origins[name]
        rows.append({"name": name, "origin": origin, "reason": reason})
    return rows


def _native_parts() -> dict[str, Any]:
    """What the build left in ``refrnn_accel/_build.json``, read without importing that package."""
    spec = importlib.util.find_spec("refrnn_accel")
    if spec is None or spec.origin is None:
        return {"parts": {}, "reason": "refrnn_accel is not installed"}
    record = Path(spec.origin).with_name("_build.json")
    if not record.exists():
        return {"parts": {}, "reason": f"{record} is missing, so what was built is unknown"}
    parts = json.loads(record.read_text(encoding="utf-8"))["parts"]
    return {"parts": parts, "reason": None if parts else "none are part of this release"}


def _extras() -> dict[str, Any]:
    """For each extra of refrnn, its requirements and the versions installed (None if missing)."""
    try:
        requirements = importlib.metadata.requires("refrnn") or []
    except importlib.metadata.PackageNotFoundError:
        return {}
    extras: dict[str, dict[str, str | None]] = {}
    for requirement in requirements:
        marked = re.fullmatch(r"(.+?)\s*;\s*extra == [\"'](.+?)[\"']", requirement)
        if marked:
            extras.setdefault(marked[2], {})[marked[1]] = _installed_version(marked[1])
    return extras


def _name(requirement: str) -> str:
    """The distribution that a requirement names."""
    return re.split(r"[^\w.-]", requirement, maxsplit=1)[0]


def _installed_version(requirement: str) -> str | None:
    """Version of the distribution that a requirement names; None if it is not installed."""
    try:
        return importlib.metadata.version(_name(requirement))
    except importlib.metadata.PackageNotFoundError:
        return None


def _lines(facts: dict[str, Any]) -> list[str]:
    """Lay the facts out for a terminal."""
    blas = facts["numpy"]["blas"]
    threads = blas["threads"]
    count = "threads unknown without threadpoolctl" if threads is None else f"{threads} thread(s)"
    return [
        f"refrnn {facts['version']} in {facts['location']}",
        f"{facts['python']} on {facts['platform']}",
        f"NumPy {facts['numpy']['version']}, BLAS {blas['name']} {blas['version']}, {count}",
        f"SIMD: {' '.join(facts['numpy']['simd']) or 'baseline only'}",
        "",
        "unrolls",
        *(_unroll_line(row) for row in facts["unrolls"]),
        "",
        "native parts of refrnn_accel",
        *_native_lines(facts["native"]),
        "",
        "cuda",
        *_cuda_lines(facts["cuda"]),
        "",
        "extras",
        *_extra_lines(facts["extras"]),
    ]


def _unroll_line(row: dict[str, Any]) -> str:
    state = "ready" if row["reason"] is None else f"cannot be loaded: {row['reason']}"
    return f"  {row['name']:<14}from {row['origin']}: {state}"


def _native_lines(native: dict[str, Any]) -> list[str]:
    """One line a part; two more where it was not built."""
    lines = [] if native["reason"] is None else [f"  {native['reason']}"]
    for name, part in native["parts"].items():
        lines.append(f"  {name}: {'built' if part['built'] else 'not built'}")
        if not part["built"]:
            lines += [f"    command: {part['command']}", f"    error:   {part['error']}"]
    return lines


def _cuda_lines(cuda: dict[str, Any]) -> list[str]:
    """The device or why there is none, PyCUDA, and where kernels come from."""
    shown = f"{cuda['device']}, compute capability {cuda['compute_capability']}"
    return [
        f"  device        {shown if cuda['device'] else 'none: ' + cuda['reason']}",
        f"  PyCUDA        {cuda['pycuda'] or 'not installed'}",
        f"  kernels       {cuda['kernels']}",
    ]


def _extra_lines(extras: dict[str, Any]) -> list[str]:
    """One line an extra: the versions found, and the command that brings what is missing."""
    if not extras:
        return ["  unknown: refrnn is not installed here"]
    lines = []
    for extra, requirements in extras.items():
        found = [f"{_name(text)} {version}" for text, version in requirements.items() if version]
        missing = [f"'{text}'" for text, version in requirements.items() if not version]
        command = f"missing: python -m pip install {' '.join(missing)}" if missing else ""
        lines.append(f"  {extra:<14}{', '.join([*found, *filter(None, [command])])}")
    return lines
