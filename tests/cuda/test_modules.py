"""From sources to modules: shipped PTX, nvcc, the cache, and versions of PTX."""

from __future__ import annotations

import os
import re
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from refrnn_accel.cuda import arrays, context, modules, nvcc, shipped
from refrnn_accel.cuda.context import use_context
from refrnn_accel.cuda.ptx import lowered
from refrnn_accel.cuda.sources import PACKAGE, KernelSources
from refrnn_accel.softcuda import BuildError

from refrnn.errors import DeviceError

KERNEL = """
#include "factor.cuh"
#include <refrnn/offset.h>
__device__ __forceinline__ float scaled(float x) { return FACTOR * x + OFFSET; }
extern "C" __global__ void scale(float* x) { x[threadIdx.x] = scaled(x[threadIdx.x]); }
"""


@pytest.fixture
def sources(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> KernelSources:
    """One kernel that includes a file beside it and a header, and an empty cache."""
    monkeypatch.setenv("REFRNN_CUDA_CACHE", str(tmp_path / "cache"))
    for folder in ("kernels", "include/refrnn", "ptx"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "kernels/scale.cu").write_text(KERNEL)
    (tmp_path / "kernels/factor.cuh").write_text("#ifndef FACTOR\n#define FACTOR 2\n#endif\n")
    (tmp_path / "include/refrnn/offset.h").write_text("#define OFFSET 1\n")
    return KernelSources(tmp_path / "kernels", tmp_path / "include", tmp_path / "ptx")


def run(module: modules.LoadedModule) -> float:
    """What the kernel makes of 10."""
    with use_context() as here:
        x = arrays.empty(here, (32,), "f4")
        context.driver().memcpy_htod(x.pointer, np.full(32, 10, "f4"))
        module.function("scale")(np.int64(x.pointer), grid=(1, 1), block=(32, 1, 1))
        values = x.get()
    assert (values == values[0]).all()
    return float(values[0])


def load(sources: KernelSources, **defines: int) -> modules.LoadedModule:
    with use_context() as here:
        return modules.load_module(here, "scale.cu", defines, sources=sources)


def ship(sources: KernelSources, *architectures: int, text: str | None = None) -> None:
    """Put PTX where an installation has it."""
    for architecture in architectures:
        entry = shipped.Entry("scale.cu", {}, architecture)
        made = shipped.make(nvcc.find_nvcc(), sources, entry) if text is None else text
        sources.ptx_file(*entry).write_text(made)


def cache(sources: KernelSources) -> list[str]:
    return sorted(path.name for path in (sources.kernels.parent / "cache").glob("*"))


@pytest.fixture
def no_nvcc(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("CUDA_HOME", str(tmp_path))


# --- nvcc and the cache ---


def test_a_source_is_compiled_once_and_loaded_once_a_context(sources: KernelSources) -> None:
    first = load(sources)
    assert run(first) == 21
    assert load(sources) is first
    assert str(nvcc.find_nvcc()) in first.origin
    (made,) = cache(sources)
    assert re.fullmatch(r"scale-[0-9a-f]{20}\.ptx", made)
    own = context.driver().Device(0).make_context()
    try:
        assert load(sources) is not first
    finally:
        own.pop()
        own.detach()
    assert cache(sources) == [made]


def test_macros_and_every_source_tell_modules_apart(sources: KernelSources) -> None:
    assert run(load(sources, FACTOR=3)) == 31
    assert run(load(sources, FACTOR=4)) == 41
    digest = sources.digest("scale.cu", {})
    for name in ("kernels/factor.cuh", "include/refrnn/offset.h", "kernels/another.cu"):
        path = sources.kernels.parent / name
        path.write_text((path.read_text() if path.exists() else "") + "// changed\n")
        assert sources.digest("scale.cu", {}) != digest
        digest = sources.digest("scale.cu", {})
    assert sources.digest("scale.cu", {}, "nvcc of another version") != digest
    assert sources.digest("scale.cu", {"A": 1, "B": 2}) == sources.digest(
        "scale.cu", {"B": 2, "A": 1}
    )


def test_several_at_once_make_whole_files(sources: KernelSources) -> None:
    def make(_: int) -> bytes:
        program = nvcc.find_nvcc()
        return nvcc.compiled(program, sources, "scale.cu", {}, "compute_86").read_bytes()

    with ThreadPoolExecutor(3) as pool:
        texts = set(pool.map(make, range(3)))
    assert len(texts) == 1
    assert len(cache(sources)) == 1


def test_a_cubin_is_made_for_a_gpu(sources: KernelSources) -> None:
    made = nvcc.compiled(nvcc.find_nvcc(), sources, "scale.cu", {}, "sm_86")
    assert made.suffix == ".cubin"
    assert made.read_bytes().startswith(b"\x7fELF")


def test_what_nvcc_says_reaches_the_user(sources: KernelSources) -> None:
    (sources.kernels / "scale.cu").write_text("nonsense;\n")
    with pytest.raises(DeviceError, match=r"no PTX of scale.cu was shipped(.|\n)*nonsense"):
        load(sources)
    assert cache(sources) == []


def test_a_cache_that_cannot_be_written_is_named(
    sources: KernelSources, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REFRNN_CUDA_CACHE", str(sources.kernels / "scale.cu"))
    with pytest.raises(DeviceError, match=r"cannot be written .* set REFRNN_CUDA_CACHE"):
        load(sources)


def test_a_kernel_that_is_not_there_is_named(sources: KernelSources) -> None:
    with pytest.raises(DeviceError, match="has no kernel absent"):
        load(sources).function("absent")


def test_nvcc_is_looked_for_in_one_order(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    folders = [tmp_path / name for name in ("home", "wheels", "path")]
    for folder in folders:
        (folder / "bin").mkdir(parents=True)
        (folder / "bin/nvcc").write_text("#!/bin/sh\n")
        (folder / "bin/nvcc").chmod(0o755)
    home, wheels, path = folders
    monkeypatch.setenv("CUDA_HOME", str(home))
    monkeypatch.setenv("PATH", f"{path / 'bin'}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setattr(nvcc, "nvidia_folder", lambda: wheels)
    assert nvcc.find_nvcc() == home / "bin/nvcc"
    monkeypatch.delenv("CUDA_HOME")
    assert nvcc.find_nvcc() == wheels / "bin/nvcc"
    monkeypatch.setattr(nvcc, "nvidia_folder", lambda: None)
    assert nvcc.find_nvcc() == path / "bin/nvcc"
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(BuildError, match=r"no nvcc: CUDA_HOME is not set, .* on the PATH"):
        nvcc.find_nvcc()


# --- shipped PTX ---


@pytest.mark.usefixtures("no_nvcc")
def test_without_ptx_and_nvcc_both_reasons_are_given(sources: KernelSources) -> None:
    with pytest.raises(
        DeviceError, match=r"no PTX of scale.cu was shipped for compute capability .*CUDA_HOME has"
    ):
        load(sources)


def test_the_newest_ptx_that_the_device_can_run_is_taken(
    sources: KernelSources, monkeypatch: pytest.MonkeyPatch
) -> None:
    ship(sources, 75, 80, 120)
    monkeypatch.setenv("CUDA_HOME", str(sources.kernels))
    module = load(sources)
    assert module.origin.startswith("shipped PTX scale-")
    assert module.origin.endswith(".compute_80.ptx")
    assert run(module) == 21
    with pytest.raises(DeviceError, match="no PTX of scale"):
        load(sources, FACTOR=3)
    (sources.kernels / "factor.cuh").write_text("#define FACTOR 5\n")
    assert sources.shipped("scale.cu", {}, 86) is None


def test_lines_of_shipped_ptx_name_the_source_and_no_folder(sources: KernelSources) -> None:
    text = shipped.make(nvcc.find_nvcc(), sources, shipped.Entry("scale.cu", {}, 75))
    assert '"scale.cu"' in text
    assert str(sources.kernels) not in text


class TooNew:
    """The driver as it is, but PTX is too new for it; what it says is CUDA's own text."""

    def __init__(self, real: Any) -> None:
        self.real = real

    def __getattr__(self, name: str) -> Any:
        return getattr(self.real, name)

    def module_from_buffer(self, image: bytes) -> Any:
        if b"too new" in image:
            raise self.real.LogicError(
                "cuModuleLoadDataEx failed: the provided PTX was compiled with an unsupported "
                "toolchain. - "
            )
        return self.real.module_from_buffer(image)


def test_ptx_that_is_too_new_is_said_and_compiled_anew(
    sources: KernelSources, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    ship(sources, 80, text="// too new")
    planted = TooNew(context.driver())
    monkeypatch.setattr(modules, "driver", lambda: planted)
    both = r"too old for the shipped PTX .*toolchain.*and scale.cu cannot be compiled: CUDA_HOME"
    with monkeypatch.context() as without:
        without.setenv("CUDA_HOME", str(tmp_path))
        with pytest.raises(DeviceError, match=both):
            load(sources)
    with pytest.warns(RuntimeWarning, match="too old for the shipped PTX scale-.* instead"):
        module = load(sources)
    assert run(module) == 21


def test_ptx_that_is_broken_is_an_error_and_nothing_else_is_tried(sources: KernelSources) -> None:
    ship(sources, 80, text=".version 7.0\n.target sm_80\nnonsense\n")
    with pytest.raises(DeviceError, match=r"compute_80.ptx cannot be loaded: .*nonsense"):
        load(sources)


# --- versions of PTX ---

#: For an architecture: instructions or directives, and the least version that ptxas takes them in.
VERSIONS = [
    (75, "membar.gl;", "6.3"),
    (80, "cp.async.ca.shared.global [%r1], [%rd1], 4;", "7.0"),
    (86, "membar.gl;", "7.1"),
    (89, "membar.gl;", "7.8"),
    (90, "membar.gl;", "7.8"),
    (100, "membar.gl;", "8.6"),
    (120, "membar.gl;", "8.7"),
    (80, "ld.global.L1::no_allocate.b32 %r1, [%rd1];", "7.4"),
    (80, "createpolicy.fractional.L2::evict_last.b64 %rd2, 1.0;", "7.4"),
    (80, "cvta.param.u64 %rd2, p;", "7.7"),
    (80, "ld.shared::cta.b32 %r1, [%r2];", "7.8"),
    (80, "ld.param::entry.u64 %rd2, [p];", "8.3"),
    (80, "ld.relaxed.gpu.global.b128 q, [%rd1];", "8.3"),
    (80, '.pragma "used_bytes_mask 0x3"; ld.global.b32 %r1, [%rd1];', "8.3"),
    (90, "atom.global.relaxed.gpu.exch.b128 q, [%rd1], q;", "8.3"),
    (90, "barrier.cluster.arrive.aligned; barrier.cluster.wait.aligned;", "7.8"),
    (90, "barrier.cluster.arrive.relaxed.aligned; barrier.cluster.wait.aligned;", "8.0"),
    (90, "mapa.shared::cluster.u32 %r1, %r2, 1; mov.u32 %r1, %cluster_ctarank;", "7.8"),
    (90, "fence.mbarrier_init.release.cluster;", "8.0"),
    (90, "elect.sync _|%p1, -1;", "8.0"),
    (100, "ld.global.v8.b32 {%r0,%r1,%r2,%r3,%r4,%r5,%r6,%r7}, [%rd1];", "8.8"),
]


def accepted(text: str, architecture: int, folder: Path) -> bool:
    """Whether ptxas takes a text."""
    file = folder / "text.ptx"
    file.write_text(text)
    command = [nvcc.find_nvcc().with_name("ptxas"), f"-arch=sm_{architecture}", file]
    done = subprocess.run(
        [*command, "-o", folder / "out"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0 or "version" in done.stderr, done.stderr
    return done.returncode == 0


@pytest.mark.parametrize(("architecture", "code", "version"), VERSIONS)
def test_a_version_is_the_least_that_ptxas_takes(
    tmp_path: Path, architecture: int, code: str, version: str
) -> None:
    quad = ".reg .b128 q;" if ".b128" in code else ""
    text = f""".version 9.0
.target sm_{architecture}
.address_size 64
.visible .entry k(.param .u64 p)
{{
.reg .pred %p<2>; .reg .b32 %r<8>; .reg .b64 %rd<3>; {quad}
ld.param.u64 %rd1, [p];
{code}
ret;
}}
"""
    result = lowered(text, architecture)
    assert re.search(r"(?m)^\.version (.+)$", result)[1] == version  # type: ignore[index]
    assert accepted(result, architecture, tmp_path)
    if version != "6.3":  # what ptxas knows begins with it
        below = {"7.0": "6.5", "8.0": "7.8"}.get(version, f"{float(version) - 0.1:.1f}")
        assert not accepted(
            result.replace(f".version {version}", f".version {below}"), architecture, tmp_path
        )


@pytest.mark.parametrize("architecture", [75, 80, 86, 89, 90, 100, 120])
def test_what_nvcc_writes_is_lowered_so_that_ptxas_takes_it(
    sources: KernelSources, architecture: int
) -> None:
    """`make` asks it; an inlined function with its lines needs 7.2."""
    text = shipped.make(nvcc.find_nvcc(), sources, shipped.Entry("scale.cu", {}, architecture))
    least = {75: "7.2", 80: "7.2", 86: "7.2", 89: "7.8", 90: "7.8", 100: "8.6", 120: "8.7"}
    assert re.search(r"(?m)^\.version (.+)$", text)[1] == least[architecture]  # type: ignore[index]


def test_a_version_is_never_raised() -> None:
    text = ".version 7.0\n.target sm_75\n// .version 9.5 and .b128 in a comment\n"
    assert lowered(text, 90) == text
    assert lowered(text, 75).startswith(".version 6.3\n")


@pytest.mark.parametrize(
    ("text", "architecture", "message"),
    [("no PTX", 80, "has no line .version"), (".version 9.5\n", 70, "expected at least 75")],
)
def test_what_is_no_ptx_is_refused(text: str, architecture: int, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        lowered(text, architecture)


def test_kernels_that_are_shipped_compile() -> None:
    """One with each set of macros' names; those of the recurrence are test_registers' too."""
    entries = {(entry.source, frozenset(entry.defines)): entry for entry in shipped.SHIPPED}
    assert len(entries) == 4
    for entry in entries.values():
        assert f".target sm_{entry.architecture}" in shipped.make(nvcc.find_nvcc(), PACKAGE, entry)
