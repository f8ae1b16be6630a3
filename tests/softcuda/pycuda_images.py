"""What nvcc makes, in every wrapping: needs ``softcuda install-pycuda``.

Not collected by name; run it as ``pytest tests/softcuda/pycuda_images.py``.
"""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from refrnn_accel import softcuda
from refrnn_accel.softcuda.build import SOURCES, find_compiler
from refrnn_accel.softcuda.device import nvidia_folder

from .images import damaged

softcuda.activate()

import pycuda.driver as cuda  # noqa: E402 -- the driver must be there before it


@pytest.fixture(scope="module")
def context() -> Iterator[Any]:
    cuda.init()
    one = cuda.Device(0).make_context()
    yield one
    one.pop()


def tool(name: str) -> Path:
    toolkit = nvidia_folder()
    assert toolkit is not None
    return toolkit / "bin" / name


def nvcc(folder: Path, source: str, what: str, *flags: str) -> bytes:
    """The image that nvcc makes of a source: ``what`` is ``fatbin``, ``cubin`` or ``ptx``."""
    (folder / "kernel.cu").write_text(source)
    made = folder / f"kernel.{what}"
    command = [tool("nvcc"), f"-{what}", "-O3", *flags, "kernel.cu", "-o", made]
    subprocess.run(command, cwd=folder, check=True)
    return made.read_bytes()


# --- fatbins ---

ARCHITECTURE = """
extern "C" __global__ void which(int* out) { *out = __CUDA_ARCH__; }
"""


def which(image: bytes) -> int:
    """The architecture for which what is run was compiled, times 10."""
    out = np.zeros(1, np.int32)
    module = cuda.module_from_buffer(image)
    module.get_function("which")(cuda.Out(out), block=(1, 1, 1))
    return int(out[0])


def targets(*names: str) -> list[str]:
    """Flags: "sm_80" is machine code, "compute_80" PTX."""
    return [f"-gencode=arch=compute_{name.split('_')[1]},code={name}" for name in names]


@pytest.fixture(scope="module")
def parts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with kernel.compute_80.ptx, kernel.compute_80.sm_80.cubin and so on."""
    folder = tmp_path_factory.mktemp("parts")
    both = [
        f"-gencode=arch=compute_{n},code=[sm_{n},compute_{n}]" for n in ("75", "80", "90a", "100f")
    ]
    nvcc(folder, ARCHITECTURE, "fatbin", "-lineinfo", "--keep", *both)
    return folder


def fatbinary(parts: Path, names: list[str], *flags: str) -> bytes:
    """What nvcc does last: put the parts together. Names are those of `targets`."""
    made = parts / "made.fatbin"
    images = []
    for name in names:
        kind, number = name.split("_")
        file = f"kernel.compute_{number}" + (f".sm_{number}.cubin" if kind == "sm" else ".ptx")
        kind = "elf" if kind == "sm" else "ptx"
        images.append(f"--image3=kind={kind},sm={number},file={parts / file}")
    subprocess.run([tool("fatbinary"), "-64", f"--create={made}", *flags, *images], check=True)
    return made.read_bytes()


PACKINGS = [f"--compress-mode={mode}" for mode in ("default", "size", "speed", "balance", "none")]
PACKINGS += ["--compress-mode=size --concat", "--compress-mode=speed --concat"]


@pytest.mark.parametrize("packing", PACKINGS)
@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (["compute_75", "compute_80", "compute_90a"], 800),
        (["sm_75", "sm_80", "compute_80", "sm_90a"], 800),
        (["sm_75", "compute_75", "sm_100f", "compute_100f"], 750),
    ],
)
def test_fatbins_of_every_packing_are_run(
    context: Any, parts: Path, packing: str, names: list[str], expected: int
) -> None:
    assert which(fatbinary(parts, names, "--compress-all", *packing.split())) == expected


@pytest.mark.parametrize("flags", [[], ["-lineinfo"], ["-lineinfo", "--compress-mode=speed"]])
def test_what_has_no_line_information_is_run_from_its_ptx(
    context: Any, tmp_path: Path, flags: list[str]
) -> None:
    """Without -lineinfo no PTX is in the machine code: the fatbin's own is taken."""
    names = ["sm_80", "sm_86", "compute_75", "compute_80"]
    image = nvcc(tmp_path, ARCHITECTURE, "fatbin", *flags, *targets(*names))
    assert which(image) == (860 if "-lineinfo" in flags else 800)


def test_machine_code_that_cannot_be_run_is_refused(context: Any, tmp_path: Path) -> None:
    image = nvcc(tmp_path, ARCHITECTURE, "fatbin", *targets("sm_86", "sm_90"))
    with pytest.raises(cuda.LogicError, match="no PTX for the device"):
        cuda.module_from_buffer(image, message_handler=raise_message)
    other = nvcc(tmp_path, ARCHITECTURE, "cubin", "-lineinfo", "-arch=sm_90")
    with pytest.raises(cuda.LogicError, match="this cubin is for sm_90"):
        cuda.module_from_buffer(other, message_handler=raise_message)
    to_link = nvcc(tmp_path, ARCHITECTURE, "cubin", "-lineinfo", "-rdc=true", "-arch=sm_86")
    with pytest.raises(cuda.LogicError, match="-rdc=true: code that is linked"):
        cuda.module_from_buffer(to_link, message_handler=raise_message)


def raise_message(success: bool, _: str, errors: str) -> None:
    if not success:
        raise cuda.LogicError(errors)


@pytest.mark.parametrize("mode", ["size", "speed", "none"])
def test_damaged_fatbins_never_end_the_process(context: Any, parts: Path, mode: str) -> None:
    flags = ["--compress-all", f"--compress-mode={mode}"]
    good = fatbinary(parts, ["sm_80", "compute_80"], *flags)
    rng = np.random.default_rng(0)
    refused = 0
    for _ in range(300):
        try:
            cuda.module_from_buffer(damaged(good, rng, head=120))
        except cuda.Error:
            refused += 1
    assert refused > 100
    assert which(good) == 800


# --- registers ---

SUM = """
extern "C" __global__ void sum(const double* x, double* y, int n) {
  double a[16] = {};
  for (int k = 0; k < n; k++)
    for (int j = 0; j < 16; j++) a[j] += x[16 * k + (j + threadIdx.x) % 16] * a[(j + 1) % 16] + 1;
  for (int j = 0; j < 16; j++) y[j] = a[j];
}
"""


def test_registers_are_the_same_from_a_cubin_a_fatbin_and_ptxas(
    context: Any, tmp_path: Path
) -> None:
    images = [
        nvcc(tmp_path, SUM, "cubin", "-arch=sm_86", "-lineinfo"),
        nvcc(tmp_path, SUM, "fatbin", "-arch=sm_86"),
        nvcc(tmp_path, SUM, "ptx", "-arch=sm_86"),
    ]
    counts = [cuda.module_from_buffer(image).get_function("sum").num_regs for image in images]
    assert counts[0] > 32
    assert counts == counts[:1] * 3


# --- source lines ---

NESTED = """\
__device__ __forceinline__ double neighbour(double x, unsigned lanes) {
  return __shfl_down_sync(lanes, x, 1);  // HERE
}
extern "C" __global__ void k(double* x, unsigned lanes) {
  x[threadIdx.x] += 1;
  x[threadIdx.x] = neighbour(x[threadIdx.x], lanes);
}
"""


@pytest.mark.parametrize("what", ["cubin", "ptx", "fatbin"])
def test_the_line_is_the_users_and_the_header_is_named(
    context: Any, tmp_path: Path, capfd: pytest.CaptureFixture[str], what: str
) -> None:
    """A double takes two shuffles, in a function of a header that calls another."""
    image = nvcc(tmp_path, NESTED, what, "-arch=sm_86", "-lineinfo")
    one = cuda.Device(0).make_context()  # the fault stays in it
    try:
        kernel = cuda.module_from_buffer(image).get_function("k")
        memory = cuda.mem_alloc(8 * 32)
        cuda.memset_d32(memory, 0, 64)
        kernel(memory, np.uint32(0xFFFFFFFF), block=(32, 1, 1))
        one.synchronize()
        assert "softcuda: " not in capfd.readouterr().err
        kernel(memory, np.uint32(0xFFFFFFFF), block=(16, 1, 1))
        with pytest.raises(cuda.Error):
            one.synchronize()
    finally:
        one.pop()
    lines = capfd.readouterr().err.splitlines()
    assert lines[0] == "softcuda: missing lanes in kernel k"
    assert "kernel.cu:2 by thread (15,0,0) of block (0,0,0)" in lines[1]
    frames = lines[2].split(", inlined at ")
    assert frames[0].startswith("  in sm_30_intrinsics.hpp:")
    assert [frame.rsplit("/", 1)[-1] for frame in frames[-2:]] == ["kernel.cu:2", "kernel.cu:6"]


def many_kinds(number: str, name: str) -> str:
    """A kernel in which each line has memory accesses, barriers or warp operations of its own."""
    lines = [
        f'extern "C" __global__ void {name}({number}* g, {number}* out, unsigned* u, int n) {{',
        f"  __shared__ {number} s[512];",
        f"  extern __shared__ float4 d_of_{name}[];",
        f"  {number}* d = ({number}*)d_of_{name};",
        f"  {number} a = g[threadIdx.x];",
        "  int i = threadIdx.x;",
    ]
    for k in range(4):
        lines += [
            f"  s[i + {k}] = a * g[i + {7 * k}];",
            "  __syncthreads();",
            f"  a += s[(i * {k + 3}) % 512];",
            "  a += block_sum(a,",
            "                 s);",
            f"  d[i] = a; out[i + {k}] = d[i ^ 1];",
            f"  u[{k}] = __ballot_sync(0xffffffffu, a > {k});",
            f"  if (__any_sync(0xffffffffu, a > n)) atomicAdd(u + i, {k}u);",
            f"  atomicAdd(out + {k}, a);",
            f"  __threadfence(); a *= __ldg(g + i + {k});",
            f"  if (i == {k}) atomicMax(u, n), atomicCAS(u + 1, n, {k}u);",
            f"  __syncwarp(); u[i + {k}] = __match_any_sync(0xffffffffu, i & {k});",
            f"  a += __shfl_sync(0xffffffffu, a, {k}) + part(g, i + {k});",
            '  asm volatile("bar.sync 1, 64;");',
        ]
    lines += ["  ((float4*)out)[i] = ((float4*)g)[i];", "  out[i] = a;", "}", ""]
    return "\n".join(lines)


MANY = """\
template <class T> __device__ T warp_sum(T x) {
  for (int o = 16; o > 0; o /= 2)
    x += __shfl_xor_sync(0xffffffffu, x, o);
  return x;
}
template <class T> __device__ T block_sum(T x, T* s) {
  x = warp_sum(x);
  if (threadIdx.x % 32 == 0)
    s[threadIdx.x / 32] = x;
  __syncthreads();
  x = threadIdx.x < 32 ? s[threadIdx.x] : T(0);
  return warp_sum(x);
}
template <class T> __device__ __noinline__ T part(T* p, int k) {
  return p[k] + __shfl_down_sync(0xffffffffu, p[k + threadIdx.x], 3);
}
""" + many_kinds("float", "kf") + many_kinds("double", "kd")  # fmt: skip

ACCESSES = (
    "ld.global", "ld.shared", "st.global", "st.shared", "atom.", "red.", "shfl.", "vote.",
    "match.", "bar.", "barrier.", "fence.", "membar.",
)  # fmt: skip


@pytest.fixture(scope="module")
def source_lines(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The program of source_lines.cpp."""
    parts = ["image/cubin", "image/lines", "image/process_memory"]
    parts += [f"ptx/{source.stem}" for source in sorted((SOURCES / "ptx").glob("*.cpp"))]
    made = tmp_path_factory.mktemp("program") / "source_lines"
    sources = [Path(__file__).parent / "source_lines.cpp", *(SOURCES / f"{p}.cpp" for p in parts)]
    subprocess.run(
        [find_compiler(), "-std=c++17", "-O0", f"-I{SOURCES}", *sources, "-o", made], check=True
    )
    return made


@pytest.mark.parametrize("architecture", ["sm_75", "sm_86", "sm_90", "sm_100", "sm_120"])
def test_lines_of_a_cubin_are_those_of_its_ptx(
    source_lines: Path, tmp_path: Path, architecture: str
) -> None:
    """The join of the cubin's two tables against the .loc lines that the cubin's PTX has lost."""

    def instructions(what: str) -> dict[int, list[str]]:
        flags = [f"-arch={architecture}", "-lineinfo"]
        nvcc(tmp_path, MANY, what, *flags)
        done = subprocess.run(
            [source_lines, tmp_path / f"kernel.{what}"], capture_output=True, text=True, check=True
        )
        rows = (line.split("\t") for line in done.stdout.splitlines())
        return {int(number): rest for number, *rest in rows}

    of_ptx, of_cubin = instructions("ptx"), instructions("cubin")
    wanted = {k: row for k, row in of_ptx.items() if row[0].startswith(ACCESSES)}
    assert len(wanted) >= 200
    assert all("kernel.cu:" in row[1] for row in wanted.values())
    assert sum(".hpp:" in row[2] for row in wanted.values()) > 100
    assert {k: of_cubin[k][:2] for k in wanted} == {k: row[:2] for k, row in wanted.items()}
    # What was inlined is what ptxas makes of it, which may take two places for one.
    same = sum(of_cubin[k][2] == wanted[k][2] for k in wanted)
    assert same > 0.8 * len(wanted)
