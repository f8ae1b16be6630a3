"""``refrnn bench --costs``: what the CUDA kernels do, counted, and what GPUs might make of it.

The accelerator is imported here when it is asked for.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ..bench import Workload, find_workloads
from ..cases import make_cell
from ..errors import DeviceError, UnsupportedCase

__all__ = ["run_costs"]

#: Name and version of the layout of the JSON.
FORMAT = "refrnn bench costs 1"
_VARIANTS = ("block", "cluster", "team", "stream")
_PREDICTION = "prediction, not a measurement: microseconds in which every lane makes a step"


def run_costs(args: argparse.Namespace) -> int:
    """Count, print the tables, write the JSON.

    Parameters
    ----------
    args : Namespace
        As parsed by the parser of ``refrnn bench``.

    Returns
    -------
    int
        0 if every number is what it must be, 1 if one is not, 2 where nothing could be counted.
    """
    try:
        workloads = find_workloads(args.workload, cell=args.cell, dtype=args.dtype)
        _activate()
        records = [record for workload in workloads for record in _records(workload)]
        text = json.dumps({"format": FORMAT, "cases": records}, indent=2)
        if args.json not in (None, "-"):
            Path(args.json).write_text(text + "\n", encoding="utf-8")
    except (DeviceError, ImportError, OSError, RuntimeError, ValueError) as error:
        print(f"refrnn bench: error: {error}", file=sys.stderr)
        return 2
    print(text if args.json == "-" else "\n\n".join(map(_table, records)))
    counted = [record for record in records if "costs" in record]
    if not counted:
        return 2
    return 0 if all(cost["holds"] for record in counted for cost in record["costs"]) else 1


def _activate() -> None:
    """Make the driver of this process softcuda, with the multiprocessors of a large GPU."""
    try:
        from refrnn_accel import softcuda
    except ImportError as error:
        raise ImportError(f"--costs needs refrnn_accel, which is not installed: {error}") from None
    softcuda.library(progress=lambda line: print(f"softcuda: {line}", file=sys.stderr))
    softcuda.activate(multiprocessors=132, compute_capability=90)


def _records(workload: Workload) -> Iterator[dict[str, Any]]:
    """For each variant the numbers, or why it does not fit."""
    from refrnn_accel.cuda.costs import costs
    from refrnn_accel.cuda.roofline import GPUS, predict

    cell = make_cell(workload.cell, workload.input_size, workload.hidden_size)
    for variant in _VARIANTS:
        about = {
            "cell": workload.cell, "dtype": workload.dtype, "workload": workload.name,
            "variant": variant,
        }  # fmt: skip
        try:
            found = costs(cell, workload.dtype, workload.lengths, variant=variant)
        except UnsupportedCase as error:
            yield {**about, "reason": str(error)}
            continue
        choice = found.counted.choice
        predictions = [
            predict(found.counted, gpu, kernel)
            for gpu in GPUS
            for kernel in ("forward", "backward")
        ]
        yield {
            **about,
            "steps": int(workload.lengths.sum()),
            "teams": choice.teams,
            "team": choice.blocks,
            "lanes_of_team": choice.lanes_of_team,
            "costs": [
                {**cost._asdict(), "ratio": cost.ratio, "holds": cost.holds} for cost in found.costs
            ],
            "polls": {k: found.counted.kernels[k].polls for k in ("forward", "backward")},
            "predictions": [made._asdict() for made in predictions if made is not None],
        }


def _table(record: dict[str, Any]) -> str:
    """One case as text."""
    title = f"{record['cell']} {record['dtype']} {record['workload']}"
    if "costs" not in record:
        return f"{title}: {record['variant']}: {record['reason']}"
    lanes = f"{record['lanes_of_team']} lane" + "s" * (record["lanes_of_team"] != 1)
    lines = [
        f"{title}: {record['steps']:,} steps; {record['variant']}: {record['teams']} teams of "
        f"{record['team']}, {lanes} each"
    ]
    kernel = None
    for cost in record["costs"]:
        if cost["kernel"] != kernel:
            kernel = cost["kernel"]
            lines += ["", f"{kernel:32}{'counted':>18}{'expected':>18}{'ratio':>10}{'limit':>8}"]
        limit = "" if cost["limit"] is None else f"{cost['limit']:g}"
        row = f"  {cost['what']:30}{cost['counted']:18,.0f}{cost['expected']:18,.0f}"
        row += f"{cost['ratio']:10.3f}{limit:>8}"
        lines.append(
            row.rstrip() if cost["holds"] else f"{row}  TOO MUCH" if limit else f"{row}  WRONG"
        )
    lines += ["", _PREDICTION]
    for made in record["predictions"]:
        lines.append(
            f"  {made['gpu']:10}{made['kernel']:10}{made['microseconds']:8.2f}  "
            f"limited by {made['bound']}"
        )
    return "\n".join(lines)
