"""The undamaged inputs: PTX by kernel, and cubins and fatbins with the kernels in them."""

from __future__ import annotations

import tarfile
from pathlib import Path
from typing import NamedTuple

ARCHIVE = Path(__file__).parent / "corpus.tar.xz"


class Sample(NamedTuple):
    """A module: its bytes, and the kernels to launch."""

    name: str
    data: bytes
    kernels: tuple[str, ...]

    @property
    def kind(self) -> str:
        """``ptx``, ``cubin`` or ``fatbin``."""
        return self.name.rpartition(".")[2]


#: In cubins and fatbins; a text has the one that its name begins with.
KERNELS = {"memory": ("spaces", "atomics", "order"), "warps": ("shuffles", "barriers")}


def samples() -> list[Sample]:
    """All of them, in the order of their names."""
    found = []
    with tarfile.open(ARCHIVE) as archive:
        for entry in archive:
            file = archive.extractfile(entry)
            assert file is not None
            stem = entry.name.partition(".")[0]
            kernels = KERNELS.get(stem, (stem,))
            found.append(Sample(entry.name, file.read(), kernels))
    return found
