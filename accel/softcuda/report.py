"""What kernels did, for people: the counters of a profile as tables."""

from __future__ import annotations

import json
import subprocess
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

__all__ = ["NOTE", "merged", "read", "run_with_table", "short_name", "table"]

#: Stands at the head of every report.
NOTE = "functional emulation of PTX, not a GPU: no SASS, no timing"

Kernel = dict[str, Any]


def read(paths: Iterable[Path]) -> list[Kernel]:
    """The kernels in files that ``SOFTCUDA_PROFILE`` named.

    Parameters
    ----------
    paths : iterable of Path
        One for each process.

    Returns
    -------
    list of dict
        As :func:`merged` returns them.

    Raises
    ------
    OSError
        If a file cannot be read.
    ValueError
        If it is no profile of softcuda.
    """
    kernels: list[Kernel] = []
    for path in paths:
        try:
            kernels += json.loads(path.read_text(encoding="utf-8"))["kernels"]
        except (KeyError, TypeError, ValueError) as error:
            message = f"{path} has other content, expected a profile that softcuda wrote"
            raise ValueError(message) from error
    return merged(kernels)


def merged(kernels: Iterable[Kernel]) -> list[Kernel]:
    """Add up what kernels of the same name did in different modules and processes.

    Parameters
    ----------
    kernels : iterable of dict
        As in the JSON of a profile.

    Returns
    -------
    list of dict
        Those with the most instructions first, and so their lines; registers are the most of any.
    """
    sums: dict[str, Kernel] = {}
    for kernel in kernels:
        known = sums.get(kernel["name"])
        sums[kernel["name"]] = _sorted(kernel if known is None else _sum(known, kernel))
    return sorted(sums.values(), key=_work, reverse=True)


def _work(counted: Mapping[str, Any]) -> int:
    return int(counted["lane_instructions"])


def _sorted(kernel: Kernel) -> Kernel:
    return {**kernel, "lines": sorted(kernel["lines"], key=_work, reverse=True)}


def _sum(a: Kernel, b: Kernel) -> Kernel:
    """Two dicts of counts, added up key by key; texts and truths are the same in both."""
    total: Kernel = {}
    for key in [*a, *(key for key in b if key not in a)]:
        one, two = a.get(key), b.get(key)
        if one is None or two is None:
            total[key] = two if one is None else one
        elif key == "registers":
            total[key] = max(one, two)
        elif key == "lines":
            total[key] = _sum_lines([*one, *two])
        elif isinstance(one, dict):
            total[key] = _sum(one, two)
        elif key == "line" or isinstance(one, (bool, str)):
            total[key] = one
        else:
            total[key] = one + two
    return total


def _sum_lines(lines: Sequence[Kernel]) -> list[Kernel]:
    places: dict[tuple[str, int], Kernel] = {}
    for line in lines:
        place = (line["file"], line["line"])
        places[place] = _sum(places[place], line) if place in places else line
    return list(places.values())


def table(kernels: Sequence[Kernel], *, lines: int = 10) -> str:
    """Kernels, and the lines of the source that executed most, as text.

    Parameters
    ----------
    kernels : sequence of dict
        As :func:`merged` returns them.
    lines : int, optional
        How many lines of the source at most.

    Returns
    -------
    str
        Several lines, the last one without a line break.
    """
    rows = [_kernel_row(kernel) for kernel in kernels]
    text = [f"softcuda: {NOTE}", ""]
    text += _columns(_KERNEL_HEAD, rows) if rows else ["no kernel was executed"]
    hot = [(kernel, line) for kernel in kernels for line in kernel["lines"]]
    hot.sort(key=lambda pair: _work(pair[1]), reverse=True)
    if hot[:lines]:
        text += ["", *_columns(_LINE_HEAD, [_line_row(*pair) for pair in hot[:lines]])]
    return "\n".join(text)


_KERNEL_HEAD = (
    "kernel", "launches", "registers", "warp instr.", "lane instr.", "flops", "load sect./req.",
    "store sect./req.", "shared conflicts", "atomics", "barriers", "divergent",
)  # fmt: skip
_LINE_HEAD = ("line", "kernel", "warp instr.", "lane instr.", "sectors", "wavefronts")


def _kernel_row(kernel: Kernel) -> tuple[str, ...]:
    counts = (
        "launches", "registers", "warp_instructions", "lane_instructions", "flops",
    )  # fmt: skip
    rest = ("shared_conflicts", "atomics", "barriers", "divergent_branches")
    return (
        _name(kernel),
        *(f"{kernel[key]:,}" for key in counts),
        _ratio(kernel["global_load_sectors"], kernel["global_load_requests"]),
        _ratio(kernel["global_store_sectors"], kernel["global_store_requests"]),
        *(f"{kernel[key]:,}" for key in rest),
    )


def _line_row(kernel: Kernel, line: Kernel) -> tuple[str, ...]:
    counts = ("warp_instructions", "lane_instructions", "global_sectors", "shared_wavefronts")
    place = f"{Path(line['file']).name}:{line['line']}"
    return (place, _name(kernel), *(f"{line[key]:,}" for key in counts))


def short_name(kernel: Kernel) -> str:
    """The name of a kernel as C++ spells it, without its parameters.

    Parameters
    ----------
    kernel : dict
        As in the JSON of a profile.

    Returns
    -------
    str
    """
    name = str(kernel["demangled"])
    depth = 0
    for place in range(len(name) - 1, 0, -1) if name.endswith(")") else ():
        depth += {")": 1, "(": -1}.get(name[place], 0)
        if depth == 0:
            return name[:place].removeprefix("void ")
    return name


def _name(kernel: Kernel) -> str:
    """Not too long for a table."""
    longest = 40
    name = short_name(kernel)
    return name if len(name) <= longest else name[: longest - 2] + ".."


def _ratio(a: int, b: int) -> str:
    return f"{a / b:.1f}" if b else "-"


def _columns(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """Texts to the left, numbers to the right."""
    widths = [max(map(len, column)) for column in zip(head, *rows, strict=True)]
    texts = [name in ("kernel", "line") for name in head]
    return [
        "  ".join(
            cell.ljust(width) if is_text else cell.rjust(width)
            for cell, width, is_text in zip(row, widths, texts, strict=True)
        ).rstrip()
        for row in (head, *rows)
    ]


def run_with_table(program: Sequence[str], environment: Mapping[str, str]) -> tuple[int, str]:
    """Run a program to its end, and count what kernels did in all its processes.

    Parameters
    ----------
    program : sequence of str
        Its name and arguments.
    environment : mapping
        Its environment, without ``SOFTCUDA_PROFILE``.

    Returns
    -------
    tuple of int and str
        The exit status, of a program that a signal ended 128 and its number, and the table.

    Raises
    ------
    OSError
        If it cannot be started.
    """
    with tempfile.TemporaryDirectory(prefix="softcuda-") as folder:
        changed = {**environment, "SOFTCUDA_PROFILE": f"{folder}/%p.json"}
        done = subprocess.run(program, env=changed, check=False)
        kernels = read(sorted(Path(folder).glob("*.json")))
    return done.returncode if done.returncode >= 0 else 128 - done.returncode, table(kernels)
