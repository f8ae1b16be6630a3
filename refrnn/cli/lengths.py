"""``refrnn lengths``: what padding, bucketing, packing and lanes cost on the user's own lengths."""

from __future__ import annotations

import argparse
import json
import sys
import tokenize
import zipfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from ..bucketing import WasteReport, waste_report
from ..types import IntArray
from ..validation import check_lengths

__all__ = ["add_parser", "read_lengths", "run"]

_GATES = {"rnn": 1, "lstm": 4, "gru": 3}

_DESCRIPTION = """\
Count the steps that padding, bucketing, packing and lanes compute for sequences of these lengths,
how many of them are useful, and how many must follow one another. Nothing is run."""


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the subcommand ``lengths``, which calls :func:`run`.

    Parameters
    ----------
    subparsers : what ``ArgumentParser.add_subparsers`` returned; gains one parser
    """
    parser = subparsers.add_parser(
        "lengths",
        help="Show what padding wastes on your lengths, and what bucketing and lanes save.",
        description=_DESCRIPTION,
    )
    parser.add_argument(
        "file",
        metavar="FILE",
        help="one integer a line; or .npy; or .npz with an array 'lengths'; - is standard input",
    )
    buckets = parser.add_mutually_exclusive_group()
    buckets.add_argument(
        "--buckets", type=int, metavar="K", help="use K optimal buckets (default: 4)"
    )
    buckets.add_argument(
        "--boundaries",
        type=_integers,
        metavar="8,16,32",
        help="use these buckets; a boundary is the first length of the next bucket",
    )
    parser.add_argument(
        "--lanes", type=int, metavar="S", help="number of lanes (default: the cheapest)"
    )
    tape = parser.add_argument_group("memory of the tape (with --hidden-size)")
    tape.add_argument("--hidden-size", type=int, metavar="H", help="count the memory of the tape")
    tape.add_argument("--input-size", type=int, metavar="I", help="with its copy of the input")
    tape.add_argument("--cell", choices=sorted(_GATES), help="default: lstm")
    tape.add_argument("--dtype", choices=["float32", "float64"], help="default: float32")
    parser.add_argument(
        "--json", metavar="FILE", help="write the figures as JSON; - prints them, not the table"
    )
    parser.add_argument(
        "--plot", metavar="OUT.svg", help="draw it (.svg, .png, .pdf); needs refrnn[plot]"
    )
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Print the report of one file of lengths; write JSON and picture where asked to.

    Parameters
    ----------
    args : Namespace
        As parsed by the parser of :func:`add_parser`.

    Returns
    -------
    int
        Exit status 0, or 2 with a message on standard error: a file that cannot be read or
        written, something in it that is no length, options that do not fit, matplotlib missing.
    """
    try:
        report = _report(args)
        figures = json.dumps(report.to_dict(), indent=2)
        if args.plot is not None:
            _plot(report, Path(args.plot))
        if args.json not in (None, "-"):
            Path(args.json).write_text(figures + "\n", encoding="utf-8")
    except (ImportError, OSError, TypeError, ValueError) as error:
        print(f"refrnn lengths: error: {error}", file=sys.stderr)
        return 2
    except MemoryError:
        print("refrnn lengths: error: lengths or lanes too large to count", file=sys.stderr)
        return 2
    # Outside of the try: a reader of a pipe that went away is the business of refrnn.cli.main.
    print(figures if args.json == "-" else report)
    return 0


def read_lengths(name: str) -> IntArray:
    """Read the lengths in a file.

    Parameters
    ----------
    name : str
        A path. With the suffix ``.npy`` or ``.npz`` it is an array, or an archive with an array
        ``lengths``; else text, one integer a line, where blank lines and lines that start with
        ``#`` are skipped. ``-`` is text on standard input.

    Returns
    -------
    ndarray of int64, shape (B,), B at least 1

    Raises
    ------
    OSError
        If the file cannot be read.
    TypeError
        If the array is not of integers.
    ValueError
        If the file is damaged or empty, a line or an element is no length (with its number), or
        the archive has no ``lengths``.
    """
    if name == "-":
        lengths = _parse(sys.stdin, "standard input")
    elif Path(name).suffix in (".npy", ".npz"):
        lengths = check_lengths(_load_array(Path(name)), name=f"{name}: lengths")
    else:
        with open(name, encoding="utf-8-sig") as file:
            lengths = _parse(file, name)
    if lengths.size == 0:
        raise ValueError(f"{name} has no lengths, expected at least one")
    return lengths


def _parse(lines: Iterable[str], name: str) -> IntArray:
    """Read one length a line."""
    lengths = []
    try:
        for number, line in enumerate(lines, start=1):
            text = line.strip()
            if text and not text.startswith("#"):
                # isdecimal and isascii: int() would also take 1_000, +1 and other scripts' digits.
                if not (text.isascii() and text.isdecimal() and len(text) <= 18):
                    shown = text if len(text) <= 40 else text[:40] + "..."
                    raise ValueError(
                        f"{name}, line {number} has {shown!r}, expected one integer >= 0"
                    )
                lengths.append(int(text))
    except UnicodeDecodeError:
        raise ValueError(
            f"{name} has bytes that are no text, expected one integer a line"
        ) from None
    return np.array(lengths, dtype=np.int64)


def _load_array(path: Path) -> Any:
    """Read the array of a .npy, or the array ``lengths`` of a .npz; the content says which."""
    with path.open("rb") as file:
        try:
            loaded = np.load(file, allow_pickle=False)
            if isinstance(loaded, np.ndarray):
                return loaded
            with loaded as archive:
                if "lengths" in archive.files:
                    return archive["lengths"]
                found = ", ".join(archive.files) or "no arrays"
        except (
            EOFError,
            MemoryError,
            RuntimeError,
            ValueError,
            tokenize.TokenError,
            zipfile.BadZipFile,
        ):
            # NumPy's own words suspect a pickle in whatever it does not know.
            raise ValueError(
                f"{path} has no readable NumPy array, expected a .npy or .npz file of integers"
            ) from None
    raise ValueError(f"{path} has {found}, expected an array named lengths")


def _report(args: argparse.Namespace) -> WasteReport:
    """Check what argparse could not, read the file and count."""
    if args.hidden_size is None:
        for option in ("input_size", "cell", "dtype"):
            if getattr(args, option) is not None:
                flag = option.replace("_", "-")
                raise ValueError(f"--{flag} has been given alone, expected --hidden-size with it")
    return waste_report(
        read_lengths(args.file),
        boundaries=args.boundaries,
        num_buckets=args.buckets,
        lanes=args.lanes,
        hidden_size=args.hidden_size,
        input_size=args.input_size,
        num_gates=None if args.cell is None else _GATES[args.cell],
        dtype=args.dtype,
    )


def _plot(report: WasteReport, path: Path) -> None:
    """Draw the report, or say which extra is missing."""
    try:
        from .lengths_plot import draw
    except ModuleNotFoundError as error:
        if error.name is None or error.name.partition(".")[0] != "matplotlib":
            raise
        raise ImportError(
            "--plot needs matplotlib, which is not installed: pip install 'refrnn[plot]'"
        ) from None
    draw(report, path)


def _integers(text: str) -> list[int]:
    """Read integers separated by commas; argparse turns the ValueError into a usage message."""
    return [int(part) for part in text.split(",")]


_integers.__name__ = "integers separated by commas,"
