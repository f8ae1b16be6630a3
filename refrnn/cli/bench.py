"""``refrnn bench``: time the unrolls, and other libraries beside them."""

from __future__ import annotations

import argparse
import os
import sys
import textwrap
from collections.abc import Callable, Sequence
from pathlib import Path

from ..bench import (
    PEERS,
    WORKLOAD_SETS,
    WORKS,
    Result,
    Settings,
    Status,
    WorkerError,
    find_contestants,
    find_workloads,
    run_bench,
)
from ..bench.machine import available_cores, machine_facts
from ..bench.record import dump, record
from ..bench.report import report
from ..bench.workloads import DTYPES
from ..cases import CELL_NAMES
from ..datasets import LENGTH_LAWS
from .bench_costs import run_costs
from .info import collect
from .progress import Progress

__all__ = ["add_parser", "run"]

_DESCRIPTION = """\
Time forward, and forward with backward, of every installed unroll (but per_sequence, which is far
slower) and of every installed peer: the same cell, weights, sequences and cotangents. Each runs in
a process of its own, in turn, so that neither thread pools nor drift favour anybody; results are
compared before they are timed; samples that something else on the machine disturbed are dropped
and counted. Takes a few minutes."""

_SETS = "\n".join(
    textwrap.fill(
        f"{name}: {', '.join(members)}",
        width=100,
        initial_indent="  ",
        subsequent_indent="    ",
        break_on_hyphens=False,
    )
    for name, members in WORKLOAD_SETS.items()
)

_EPILOG = f"""\
workloads: LAW-bB-tT-hH or LAW-bB-tT-hH-iI: B sequences of at most T steps, H units, I input
features (H if not given). Laws: {", ".join(LENGTH_LAWS)}.
{_SETS}

exit status: 0 fine; 1 a contestant crashed or computed something else; 2 wrong usage, something
asked for by name is not installed, or nothing was timed.

examples:
  refrnn bench                                             all that is installed
  refrnn bench --unroll lanes --peer torch-packed          these two
  refrnn bench --workload zipf-b64-t400-h64 --threads 1    another batch, one thread each
  refrnn bench --json bench.json --plot bench.svg          to keep
  refrnn bench --costs --workload zipf-b64-t200-h64        what the CUDA kernels do, counted"""


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the subcommand ``bench``, which calls :func:`run`.

    Parameters
    ----------
    subparsers : what ``ArgumentParser.add_subparsers`` returned; gains one parser
    """
    parser = subparsers.add_parser(
        "bench",
        help="Time the unrolls, and other libraries beside them.",
        description=_DESCRIPTION,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument(
        "--unroll",
        action="append",
        default=[],
        metavar="NAME|module:Class",
        help="time this unroll, not all; may be repeated. The working directory is searched too",
    )
    peers = parser.add_mutually_exclusive_group()
    peers.add_argument(
        "--peer",
        action="append",
        default=[],
        metavar="NAME",
        help=f"time this peer, not all; may be repeated: {', '.join(PEERS)}",
    )
    peers.add_argument("--no-peers", action="store_true", help="time unrolls only")
    parser.add_argument(
        "--workload",
        action="append",
        default=[],
        metavar="NAME",
        help="a workload or a set of them, see below; may be repeated (default: default)",
    )
    parser.add_argument(
        "--cell",
        choices=CELL_NAMES,
        default="lstm",
        metavar="CELL",
        help=f"default: lstm; {', '.join(CELL_NAMES)}",
    )
    parser.add_argument("--dtype", choices=DTYPES, default="float32", help="default: float32")
    parser.add_argument(
        "--threads",
        type=_whole(1),
        metavar="K",
        help="threads of each contestant (default: the cores of this process)",
    )
    _add_sampling(parser)
    parser.add_argument(
        "--costs",
        action="store_true",
        help="count what the CUDA kernels do instead, on softcuda, and time nothing: exact "
        "numbers, beside those that they must be; predictions for GPUs",
    )
    parser.add_argument(
        "--json", metavar="FILE", help="write everything as JSON; - prints it, and no table"
    )
    parser.add_argument(
        "--plot", metavar="OUT.svg", help="draw it (.svg, .png, .pdf); needs refrnn[plot]"
    )


def _add_sampling(parser: argparse.ArgumentParser) -> None:
    """Options that say how much is measured."""
    parser.add_argument(
        "--dense",
        action="store_true",
        help="time each on sequences of equal length too, as long as the longest and about as many "
        "steps: what raggedness costs a real step",
    )
    parser.add_argument(
        "--matmul",
        type=_whole(0),
        default=2048,
        metavar="N",
        help="time a product of N x N matrices too, whose rate the others are held to; 0: none. "
        "default: 2048",
    )
    parser.add_argument(
        "--work", choices=WORKS, action="append", help="time this only (default: both)"
    )
    parser.add_argument(
        "--rounds", type=_whole(3), default=5, metavar="R", help="at least 3; default: 5"
    )
    parser.add_argument(
        "--seconds",
        type=float,
        default=0.5,
        metavar="S",
        help="how long each is sampled in a round, at least twice in any case; default: 0.5",
    )


def run(args: argparse.Namespace) -> int:
    """Time, print the report, write JSON and picture.

    Parameters
    ----------
    args : Namespace
        As parsed by the parser of :func:`add_parser`.

    Returns
    -------
    int
        0 fine, 1 a contestant crashed or computed something else, 2 usage or nothing timed.
    """
    here = str(Path.cwd())
    if here not in sys.path and "" not in sys.path:
        sys.path.insert(0, here)  # a console script does not look in the working directory
    if args.costs:
        return run_costs(args)
    try:
        settings = _settings(args)
        draw = _checked_outputs(args)
        workloads = find_workloads(args.workload, cell=args.cell, dtype=args.dtype)
        contestants = find_contestants(args.unroll, args.peer, all_peers=not args.no_peers)
    except (ImportError, OSError, ValueError) as error:
        return _usage(str(error))
    machine = machine_facts()
    progress = Progress(sys.stderr, "refrnn bench")
    try:
        measured = run_bench(contestants, workloads, settings, progress)
    except WorkerError as error:  # not a contestant's: those are in the results
        print(f"refrnn bench: error: packed, which all are compared with: {error}", file=sys.stderr)
        return 1
    finally:
        progress.close()
    status = exit_status([*measured.results, *measured.dense])
    environment = collect()
    text = dump(record(measured, settings, machine, environment=environment, exit_status=status))
    if args.json == "-":
        print(text)
    else:
        title = f"refrnn bench {environment['version']}, NumPy {environment['numpy']['version']}"
        body = report(measured, settings, machine, rule=_rule())
        print(_printable(f"{title}, {environment['python']}\n{body}\n\n{_verdict(status)}"))
    try:
        if args.json not in (None, "-"):
            Path(args.json).write_text(text + "\n", encoding="utf-8")
        if draw is not None and status != 2:
            draw(measured.results, settings)
    except OSError as error:
        return _usage(str(error))
    return status


def exit_status(results: Sequence[Result]) -> int:
    """0, 1 or 2: fine, something wrong, nothing timed.

    Parameters
    ----------
    results : sequence of Result
    """
    if any(r.status in (Status.FAILED, Status.DIFFERS) for r in results):
        return 1
    return 0 if any(r.summaries for r in results) else 2


def _verdict(status: int) -> str:
    """The last line."""
    return (
        "All results agree.",
        "SOMETHING FAILED, see above.",
        "NOTHING WAS TIMED.",
    )[status]


def _settings(args: argparse.Namespace) -> Settings:
    """How to measure, with what argparse could not check."""
    cores = available_cores()
    threads = cores if args.threads is None else args.threads
    if threads > cores:
        raise ValueError(
            f"--threads has value {threads}, expected at most {cores}, the cores of this process"
        )
    if not 0 < args.seconds <= 60:
        raise ValueError(f"--seconds has value {args.seconds}, expected more than 0, at most 60")
    works = tuple(w for w in WORKS if args.work is None or w in args.work)
    return Settings(threads, args.rounds, args.seconds, works, args.dense, args.matmul)


def _checked_outputs(
    args: argparse.Namespace,
) -> Callable[[Sequence[Result], Settings], None] | None:
    """Find out before minutes of work that a file cannot be written; how to draw, if to draw."""
    for option, name in (("--json", args.json), ("--plot", args.plot)):
        if name is None or (option, name) == ("--json", "-"):
            continue
        path = Path(name)
        if path.is_dir():
            raise OSError(f"{option} has value {name}, and that is a directory")
        target = path if path.exists() else path.absolute().parent
        if not os.access(target, os.W_OK):
            raise OSError(f"{option} has value {name}, and it cannot be written there")
    if args.plot is None:
        return None
    try:
        from .bench_plot import check_format, draw
    except ModuleNotFoundError as error:
        if error.name is None or error.name.partition(".")[0] != "matplotlib":
            raise
        raise ImportError(
            "--plot needs matplotlib, which is not installed: pip install 'refrnn[plot]'"
        ) from None
    path = Path(args.plot)
    check_format(path)
    return lambda results, settings: draw(results, settings, path)


def _whole(least: int) -> Callable[[str], int]:
    """A type for argparse: a whole number from `least` on."""

    def parse(text: str) -> int:
        if not (text.isascii() and text.isdecimal() and int(text) >= least):
            raise argparse.ArgumentTypeError(f"has value {text}, expected an integer >= {least}")
        return int(text)

    return parse


def _rule() -> str:
    """A box-drawing line where standard output can show one, else hyphens."""
    return "─" if _printable("─") == "─" else "-"


def _printable(text: str) -> str:
    """`text` with what standard output cannot show escaped: reasons come from anywhere."""
    encoding = sys.stdout.encoding or "ascii"
    return text.encode(encoding, "backslashreplace").decode(encoding)


def _usage(message: str) -> int:
    print(f"refrnn bench: error: {message}", file=sys.stderr)
    return 2
