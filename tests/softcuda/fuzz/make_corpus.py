"""Compile the kernels that are damaged: ``python tests/softcuda/fuzz/make_corpus.py``.

Writes ``corpus.tar.xz``, so that fuzzing needs no nvcc: PTX of both dialects (sm_90 and sm_120),
one file a kernel with what it calls, cubins, and fatbins of every compression. Needs ``softcuda install-pycuda``.
"""

from __future__ import annotations

import io
import re
import subprocess
import tarfile
import tempfile
from pathlib import Path

from refrnn_accel.softcuda.device import nvidia_folder

HERE = Path(__file__).parent
ARCHITECTURES = ("sm_90", "sm_120")
WITH_CUBINS = ("memory", "warps")
WITH_FATBINS = "warps"
#: Zstandard and LZ4.
PACKINGS = {"zstd": "--compress-mode=size", "lz4": "--compress-mode=speed"}


def compile_kernels(source: Path, kind: str, *flags: str) -> bytes:
    """What nvcc makes of a file."""
    folder = nvidia_folder()
    assert folder is not None
    with tempfile.TemporaryDirectory() as temporary:
        made = Path(temporary, "made")
        subprocess.run(
            [folder / "bin" / "nvcc", f"-{kind}", *flags, source.name]
            + ["-o", made],
            check=True, cwd=source.parent,
        )  # fmt: skip
        return made.read_bytes()


def split(ptx: str) -> dict[str, str]:
    """A module for each entry, without the other entries."""
    ptx = "".join(line for line in ptx.splitlines(True) if line.strip()[:2] != "//")
    entries = list(re.finditer(r"(?ms)^\.visible \.entry (\w+)\(.*?^}\n", ptx))
    modules = {}
    for one in entries:
        text = ptx
        for other in reversed(entries):
            if other is not one:
                text = text[: other.start()] + text[other.end() :]
        modules[one[1]] = text
    return modules


def main() -> None:
    """Write the archive, the same bytes for the same nvcc."""
    files = {}
    for source in sorted(HERE.glob("kernels/*.cu")):
        for architecture in ARCHITECTURES:
            text = compile_kernels(source, "ptx", f"-arch={architecture}").decode()
            for name, module in split(text).items():
                files[f"{name}.{architecture}.ptx"] = module.encode()
            if source.stem in WITH_CUBINS:
                flags = [f"-arch={architecture}", "-lineinfo"]
                cubin = compile_kernels(source, "cubin", *flags)
                files[f"{source.stem}.{architecture}.cubin"] = cubin
    targets = [
        "-gencode=arch=compute_90,code=[sm_90,compute_90]",
        "-gencode=arch=compute_120,code=sm_120",
    ]
    for name, packing in PACKINGS.items():
        source = HERE / "kernels" / f"{WITH_FATBINS}.cu"
        fatbin = compile_kernels(source, "fatbin", "-lineinfo", *targets, packing)
        files[f"{WITH_FATBINS}.{name}.fatbin"] = fatbin
    with tarfile.open(HERE / "corpus.tar.xz", "w:xz", preset=9) as archive:
        for name, data in sorted(files.items()):
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            archive.addfile(entry, io.BytesIO(data))


if __name__ == "__main__":
    main()
