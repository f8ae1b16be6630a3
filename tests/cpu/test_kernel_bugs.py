"""Bugs planted in the kernels are found; here a few, all of them by kernel_bugs_program.py."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from .kernel_bugs import PLANTED_BUGS, KernelBug, read
from .kernel_bugs_program import KINDS, ROOT, Verdict, Workshop, unedited
from .kernel_checks import CHECKS

#: A bug that numbers show, and one that they show by chance.
CHOSEN = ("schedule.h: lane not reset between sequences", "forward.h: no barrier after a step")


@pytest.fixture(scope="module")
def verdicts(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Verdict]]:
    """Of the kernels as they are, and with the bugs that were chosen, compiled two at a time."""
    planted = [bug for bug in PLANTED_BUGS if str(bug) in CHOSEN]
    workshop = Workshop(tmp_path_factory.mktemp("kernels"))
    with ThreadPoolExecutor(2) as pool:
        tried = pool.map(workshop.try_out, [unedited("values"), *planted])
        yield {str(one.bug): one for one in tried}


@pytest.mark.parametrize(
    ("name", "words"), [*zip(CHOSEN, ("agrees_with_the_definition", "data race"), strict=True)]
)
def test_a_bug_is_found(name: str, words: str, verdicts: dict[str, Verdict]) -> None:
    assert words in str(verdicts[name].found_by)


def test_nothing_is_found_where_there_is_no_bug(verdicts: dict[str, Verdict]) -> None:
    assert verdicts[str(unedited("values"))].found_by is None


@pytest.mark.parametrize("bug", PLANTED_BUGS, ids=str)
def test_an_edit_is_of_the_text_that_is_there(bug: KernelBug) -> None:
    text = (ROOT / "accel" / bug.file).read_text(encoding="utf-8")
    assert bug.edits
    assert bug.edited(text) != text


@pytest.mark.parametrize(("old", "times"), [("no such text", 0), ("sequence", 7)])
def test_an_edit_of_other_text_is_refused(old: str, times: int) -> None:
    bug = KernelBug("none", "cpu/src/schedule.h", ((old, ""),))
    with pytest.raises(ValueError, match=f"schedule.h has {times} times '{old}', expected once"):
        bug.edited("sequence " * 7)


AS_WRITTEN = """Words.

= a.h

all
- x
+ y
- u
-  v
+ w

[races] none
- z

= b/c.py

last
- 1
+ 2
"""


def test_bugs_are_read_as_they_are_written() -> None:
    assert list(read(AS_WRITTEN)) == [
        KernelBug("all", "a.h", (("x", "y"), ("u\n v", "w"))),
        KernelBug("none", "a.h", (("z", ""),), "races"),
        KernelBug("last", "b/c.py", (("1", "2"),)),
    ]
    with pytest.raises(ValueError, match="line has 'x', expected - or"):
        list(read("= a.h\n\nall\nx\n"))


def test_there_are_bugs_enough_of_every_kind_and_in_every_file() -> None:
    assert len({str(bug) for bug in PLANTED_BUGS}) == len(PLANTED_BUGS) >= 60
    assert {bug.kind for bug in PLANTED_BUGS} == set(KINDS) == set(CHECKS)
    kernels = {path.name for path in (ROOT / "accel/cpu/src").glob("*.h")}
    files = {Path(bug.file).name for bug in PLANTED_BUGS}
    assert kernels - files == {"kernels.h", "processor.h"}, "which only choose a cell or a module"
