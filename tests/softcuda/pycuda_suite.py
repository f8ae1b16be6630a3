"""Run PyCUDA's own tests, unmodified, on softcuda, and hold the outcome to its exact counts.

``python tests/softcuda/pycuda_suite.py [options of pytest]``, where PyCUDA was installed by
``softcuda install-pycuda``. The tests come from PyCUDA's source distribution.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tarfile
import tempfile
import xml.etree.ElementTree as ElementTree
from collections import Counter
from pathlib import Path

from refrnn_accel.softcuda.pycuda import VERSION

FILES = ("test_driver.py", "test_gpuarray.py", "test_cumath.py")
# Kernels that launch kernels: linked with a device runtime that is a library of SASS.
DESELECTED = ("test_recursive_launch", "test_jit_link_module")
# PyCUDA itself skips what a device does not offer: textures, surfaces, arrays, peers.
EXPECTED = {"passed": 292, "skipped": 20, "xfailed": 5}
#: What fails if lanes stay apart that have parted: the last warp of PyCUDA's reduction adds
#: through volatile memory without a __syncwarp, and here leaves a loop one lane after the other.
#: (As does the mutant of mutations/warp_sum.cu.)
IN_LOCKSTEP = {"test_dot[15391]"}
#: The exit status if softcuda reported a fault: nothing in this suite is one.
REPORTED = 77


def main() -> int:
    """0 if the counts are as expected."""
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        subprocess.run(
            [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--no-binary",
             "pycuda", "--dest", temporary, f"pycuda=={VERSION}"],
            check=True,
        )  # fmt: skip
        with tarfile.open(next(folder.glob("pycuda-*.tar.gz"))) as archive:
            archive.extractall(folder, filter="data")
        tests = next(folder.glob("pycuda-*/test"))
        report = folder / "report.xml"
        deselect = " and ".join(f"not {name}" for name in DESELECTED)
        done = subprocess.run(
            [sys.executable, "-m", "refrnn_accel.softcuda", "run", f"--error-exitcode={REPORTED}",
             sys.executable, "-m", "pytest",
             "-q", "-p", "no:cacheprovider", "-k", deselect, "--junitxml", str(report),
             *sys.argv[1:], *FILES],
            cwd=tests, check=False,
        )  # fmt: skip
        counts, failed = outcomes(report)
    expected = Counter(EXPECTED)
    fails = IN_LOCKSTEP if os.environ.get("SOFTCUDA_SCHEDULE") == "adversarial" else set()
    expected.subtract(passed=len(fails), failed=-len(fails))
    print(", ".join(f"{count} {what}" for what, count in sorted(counts.items())))  # noqa: T201
    if done.returncode == REPORTED:
        print("softcuda reported a fault")  # noqa: T201
    return 0 if counts == expected and failed == fails and done.returncode != REPORTED else 1


def outcomes(report: Path) -> tuple[Counter[str], set[str]]:
    """How many tests ended in which way, and the names of those that failed."""
    counts: Counter[str] = Counter()
    failed = set()
    for case in ElementTree.parse(report).iter("testcase"):
        what = "passed"
        for child in case:
            if child.tag in ("failure", "error"):
                what = "failed"
                failed.add(case.get("name", ""))
            elif child.tag == "skipped":
                what = "xfailed" if "xfail" in child.get("type", "") else "skipped"
        counts[what] += 1
    return counts, failed


if __name__ == "__main__":
    sys.exit(main())
