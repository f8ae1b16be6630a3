"""PTX that older drivers take: its ``.version`` lowered to what the text needs.

nvcc writes the newest version of PTX that it knows, whatever the code; a driver refuses a text
whose version is newer than itself. Imported by ``setup.py`` too: nothing but the standard library.
"""

from __future__ import annotations

import re

__all__ = ["lowered", "needed_version"]

#: The version in which PTX learnt an architecture, the newest that is not above one's own.
_ARCHITECTURES = {
    75: (6, 3), 80: (7, 0), 86: (7, 1), 87: (7, 4), 89: (7, 8), 90: (7, 8),
    100: (8, 6), 101: (8, 6), 103: (8, 8), 120: (8, 7), 121: (8, 8),
}  # fmt: skip

#: The version in which PTX learnt what a text contains, where that is newer than sm_80.
_FEATURES = {
    r"\b(inlined_at|function_name)\b": (7, 2),  # where -lineinfo meets an inlined function
    r"\b(alloca|stacksave|stackrestore)\b": (7, 3),
    r"\.L[12]::|\b(createpolicy|discard|applypriority)\b": (7, 4),
    r"\bcvta(\.to)?\.param\b": (7, 7),
    r"\b(mapa|barrier\.cluster|griddepcontrol|mbarrier\.try_wait)\b": (7, 8),
    r"\.shared::|\.cluster\b|%cluster|%is_explicit_cluster|%nclusterid": (7, 8),
    r"\.(explicitcluster|reqnctapercluster|maxclusterrank)\b": (7, 8),
    r"\bbarrier\.cluster\.arrive\.(relaxed|release)|\bbarrier\.cluster\.wait\.acquire": (8, 0),
    r"\bmbarrier\.\w+\.(release|acquire|relaxed)|\bfence\.(proxy|mbarrier_init)": (8, 0),
    r"\b(elect\.sync|setmaxnreg|wgmma)\b": (8, 0),
    r"\b(st\.async|red\.async|multimem)\b": (8, 1),
    r'\.pragma\s+"used_bytes_mask': (8, 3),
    r"\.b128\b|\.param::(entry|func)\b": (8, 3),
    r"\.f32x2\b": (8, 6),
    r"\.v8\.[bfsu]32\b|\.v4\.[bfsu]64\b": (8, 8),
    r"\.(unified|blocksareclusters|abi_preserve)\b": (9, 0),
}


def lowered(ptx_text: str, architecture: int) -> str:
    """A PTX text with the least ``.version`` that its architecture and its contents allow.

    Parameters
    ----------
    ptx_text : str
        As nvcc wrote it.
    architecture : int
        Of its target, 86 for ``sm_86``.

    Returns
    -------
    str
        The text, never with a higher version than before.

    Raises
    ------
    ValueError
        If it has no ``.version``, or the architecture is older than 75.
    """
    found = re.search(r"(?m)^\.version\s+(\d+)\.(\d+)", ptx_text)
    if found is None:
        raise ValueError("ptx_text has no line .version, expected PTX")
    version = min((int(found[1]), int(found[2])), needed_version(ptx_text, architecture))
    line = ".version {}.{}".format(*version)
    return ptx_text[: found.start()] + line + ptx_text[found.end() :]


def needed_version(ptx_text: str, architecture: int) -> tuple[int, int]:
    """The least version of PTX that has what a text contains.

    Parameters
    ----------
    ptx_text : str
    architecture : int

    Returns
    -------
    tuple of two ints
        Major and minor.
    """
    known = [version for number, version in _ARCHITECTURES.items() if number <= architecture]
    if not known:
        raise ValueError(f"architecture has value {architecture}, expected at least 75")
    code = re.sub(r"//[^\n]*", "", ptx_text)
    versions = [version for pattern, version in _FEATURES.items() if re.search(pattern, code)]
    return max([known[-1], *versions])
