"""What nvcc makes of kernels of every kind, as statements: the table ``opcodes.txt``.

``python -m tests.softcuda.opcodes.corpus`` writes it again: it needs nvcc (``softcuda
install-pycuda``), and PyCUDA's source distribution, whose tests it takes kernels from.
"""

from __future__ import annotations

import os
import re
import struct
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from refrnn_accel.softcuda.device import nvidia_folder

HERE = Path(__file__).parent
TABLE = HERE / "opcodes.txt"
ARCHITECTURES = (75, 80, 86, 89, 90, 100, 120)

UNARY = """acos acosh asin asinh atan atanh cbrt ceil cos cosh cospi cyl_bessel_i0 cyl_bessel_i1 erf
erfc erfcinv erfcx erfinv exp exp10 exp2 expm1 fabs floor j0 j1 lgamma log log10 log1p log2 logb
nearbyint normcdf normcdfinv rcbrt rint round rsqrt sin sinh sinpi sqrt tan tanh tgamma trunc y0
y1"""
BINARY = "atan2 copysign fdim fmax fmin fmod hypot nextafter pow remainder rhypot"
INTEGRAL = "llrint llround lrint lround ilogb"
PREDICATES = "isfinite isinf isnan signbit"
MODES = ("rn", "rz", "rd", "ru")
FAST = "cosf exp10f expf log10f log2f logf saturatef sinf tanf frsqrt_rn"
INTEGERS = {
    "int": "int", "uint": "unsigned", "ll": "long long", "ull": "unsigned long long",
    "short": "short", "ushort": "unsigned short", "char": "signed char", "uchar": "unsigned char",
}  # fmt: skip
OPERATORS = {
    "add": "a[i] + b[i]", "sub": "a[i] - b[i]", "mul": "a[i] * b[i]", "mad": "a[i] * b[i] + c[i]",
    "div": "a[i] / b[i]", "rem": "a[i] % b[i]", "and": "a[i] & b[i]", "or": "a[i] | b[i]",
    "xor": "a[i] ^ b[i]", "not": "~a[i]", "shl": "a[i] << n[i]", "shr": "a[i] >> n[i]",
    "neg": "-a[i]", "no": "!a[i]", "min": "a[i] < b[i] ? a[i] : b[i]", "shl5": "a[i] << 5",
    "max": "a[i] > b[i] ? a[i] : b[i]", "abs": "a[i] < 0 ? -a[i] : a[i]", "shr5": "a[i] >> 5",
    "choose": "n[i] > 3 ? a[i] : b[i]", "div7": "a[i] / 7", "rem10": "a[i] % 10",
    "mux": "(a[i] & b[i]) ^ (~a[i] & c[i])", "or_and": "(a[i] | b[i]) & c[i]",
    "majority": "(a[i] & b[i]) ^ (a[i] & c[i]) ^ (b[i] & c[i])", "parity": "a[i] ^ b[i] ^ c[i]",
}  # fmt: skip
COMPARISONS = {"lt": "<", "le": "<=", "gt": ">", "ge": ">=", "eq": "==", "ne": "!="}
#: name: type of operands, expression, type of the result
INTRINSICS = {
    "brev": ("unsigned", "__brev(a[i])", "unsigned"),
    "brevll": ("unsigned long long", "__brevll(a[i])", "unsigned long long"),
    "byte_perm": ("unsigned", "__byte_perm(a[i], b[i], c[i])", "unsigned"),
    "clz": ("int", "__clz(a[i])", "int"), "clzll": ("long long", "__clzll(a[i])", "int"),
    "ffs": ("int", "__ffs(a[i])", "int"), "ffsll": ("long long", "__ffsll(a[i])", "int"),
    "fns": ("unsigned", "__fns(a[i], b[i], n[i])", "unsigned"),
    "funnel_l": ("unsigned", "__funnelshift_l(a[i], b[i], c[i])", "unsigned"),
    "funnel_lc": ("unsigned", "__funnelshift_lc(a[i], b[i], c[i])", "unsigned"),
    "funnel_r": ("unsigned", "__funnelshift_r(a[i], b[i], c[i])", "unsigned"),
    "funnel_rc": ("unsigned", "__funnelshift_rc(a[i], b[i], c[i])", "unsigned"),
    "hadd": ("int", "__hadd(a[i], b[i])", "int"), "rhadd": ("int", "__rhadd(a[i], b[i])", "int"),
    "mul24": ("int", "__mul24(a[i], b[i])", "int"),
    "umul24": ("unsigned", "__umul24(a[i], b[i])", "unsigned"),
    "mul64hi": ("long long", "__mul64hi(a[i], b[i])", "long long"),
    "umul64hi": ("unsigned long long", "__umul64hi(a[i], b[i])", "unsigned long long"),
    "mulhi": ("int", "__mulhi(a[i], b[i])", "int"),
    "umulhi": ("unsigned", "__umulhi(a[i], b[i])", "unsigned"),
    "popc": ("unsigned", "__popc(a[i])", "int"),
    "popcll": ("unsigned long long", "__popcll(a[i])", "int"),
    "sad": ("int", "__sad(a[i], b[i], c[i])", "int"),
    "usad": ("unsigned", "__usad(a[i], b[i], c[i])", "unsigned"),
    "dp4a": ("int", "__dp4a(a[i], b[i], c[i])", "int"),
    "udp4a": ("unsigned", "__dp4a(a[i], b[i], c[i])", "unsigned"),
    "dp2a_lo": ("int", "__dp2a_lo(a[i], b[i], c[i])", "int"),
    "dp2a_hi": ("int", "__dp2a_hi(a[i], b[i], c[i])", "int"),
    "udp2a_lo": ("unsigned", "__dp2a_lo(a[i], b[i], c[i])", "unsigned"),
    "udp2a_hi": ("unsigned", "__dp2a_hi(a[i], b[i], c[i])", "unsigned"),
    "relu": ("int", "max(a[i] + b[i], 0)", "int"),
    "wide": ("int", "(long long)a[i] * b[i] + n[i]", "long long"),
    "uwide": ("unsigned", "(unsigned long long)a[i] * b[i] + c[i]", "unsigned long long"),
    "short_wide": ("short", "(int)a[i] * b[i] + n[i]", "int"),
    "rotate": ("unsigned", "(a[i] << 13 | a[i] >> 19) ^ (b[i] << 5 | b[i] >> 27)", "unsigned"),
    "rotate64": ("unsigned long long", "a[i] << 13 | a[i] >> 51", "unsigned long long"),
    "field": ("unsigned", "(a[i] >> 5) & 127", "unsigned"),
    "signed_field": ("int", "(a[i] << 7) >> 21", "int"),
    "insert": ("unsigned", "(a[i] & ~0xFF00u) | ((b[i] & 255) << 8)", "unsigned"),
    "add2": ("unsigned", "__vadd2(a[i], b[i])", "unsigned"),
    "sub2": ("unsigned", "__vsub2(a[i], b[i])", "unsigned"),
    "maxs2": ("unsigned", "__vmaxs2(a[i], b[i])", "unsigned"),
    "minu2": ("unsigned", "__vminu2(a[i], b[i])", "unsigned"),
    "cmpeq2": ("unsigned", "__vcmpeq2(a[i], b[i])", "unsigned"),
    "avgs2": ("unsigned", "__vavgs2(a[i], b[i])", "unsigned"),
    "viaddmax": ("int", "__viaddmax_s32(a[i], b[i], c[i])", "int"),
    "viaddmin_relu": ("int", "__viaddmin_s32_relu(a[i], b[i], c[i])", "int"),
    "vimax3": ("unsigned", "__vimax3_s16x2(a[i], b[i], c[i])", "unsigned"),
    "viaddmax_relu": ("unsigned", "__viaddmax_s16x2_relu(a[i], b[i], c[i])", "unsigned"),
    "int128": ("__int128", "a[i] * b[i] + c[i]", "__int128"),
    "div128": ("__int128", "a[i] / b[i] - a[i] % c[i]", "__int128"),
    "shift128": ("unsigned __int128", "a[i] >> 3 | b[i] << n[i]", "unsigned __int128"),
}  # fmt: skip
HALVES = """
extern "C" __global__ void halves(const __half* x, const double* d, float* y, __half* h,
                                  __half2* h2, const float2* f2, __nv_bfloat16* b,
                                  __nv_bfloat162* b2) {
  int i = threadIdx.x;
  y[i] = __half2float(x[i]) + __bfloat162float(b[i]);
  h[i] = __double2half(d[i]), h2[i] = __float22half2_rn(f2[i]);
  b2[i] = __float22bfloat162_rn(f2[i]);
  y[i + 64] = __low2float(h2[i + 1]) + __high2float(h2[i + 2]);
  h2[i + 3] = __halves2half2(x[i], x[i + 1]);
  b[i + 1] = __float2bfloat16_rn(y[i + 5]), b[i + 9] = __float2bfloat16_rz(y[i + 5]);
}
"""


def kernel(name: str, kind: str, result: str, statement: str) -> str:
    return (
        f'extern "C" __global__ void k_{name}(const {kind}* a, const {kind}* b, const {kind}* c,\n'
        f"    const int* n, {result}* r, long long* q, int* e)\n"
        f"{{ int i = blockIdx.x * blockDim.x + threadIdx.x; {statement} }}\n"
    )


def mathematics() -> Iterator[str]:
    """The whole of CUDA's math API, in float and double."""
    for kind, suffix in (("float", "f"), ("double", "")):

        def one(name: str, statement: str, kind: str = kind) -> str:
            return kernel(f"{name}_{kind}", kind, kind, statement)

        for f in UNARY.split():
            yield one(f, f"r[i] = {f}{suffix}(a[i]);")
        for f in BINARY.split():
            yield one(f, f"r[i] = {f}{suffix}(a[i], b[i]);")
        for f in INTEGRAL.split():
            yield one(f, f"q[i] = {f}{suffix}(a[i]);")
        for f in PREDICATES.split():
            yield one(f, f"q[i] = {f}(a[i]);")
        for f in ("sincos", "sincospi"):
            yield one(f, f"{f}{suffix}(a[i], r + i, r + i + 99);")
        for f in ("frexp", "ldexp", "scalbn"):
            yield one(f, f"r[i] = {f}{suffix}(a[i], {'e + i' if f == 'frexp' else 'e[i]'});")
        for f in ("norm3d", "rnorm3d", "fma"):
            yield one(f, f"r[i] = {f}{suffix}(a[i], b[i], c[i]);")
        for f in ("norm", "rnorm"):
            yield one(f"{f}4d", f"r[i] = {f}4d{suffix}(a[i], b[i], c[i], a[i + 1]);")
            yield one(f, f"r[i] = {f}{suffix}(5, a + i);")
        for f in ("jn", "yn"):
            yield one(f, f"r[i] = {f}{suffix}(e[i], a[i]);")
        yield one("modf", f"r[i] = modf{suffix}(a[i], r + i + 99);")
        yield one("remquo", f"r[i] = remquo{suffix}(a[i], b[i], e + i);")
        yield one("divided", "r[i] = a[i] / b[i];")
        yield one("limits", f"r[i] = fmin{suffix}(fmax{suffix}(a[i], ({kind})0), ({kind})1);")
        yield one("negative", f"r[i] = -fabs{suffix}(a[i]) - b[i];")
        for name, sign in COMPARISONS.items():
            yield one(name, f"e[i] = a[i] {sign} b[i];")
            yield one(f"not_{name}", f"e[i] = !(a[i] {sign} b[i]) ? 3 : 9;")
            yield one(f"if_{name}", f"if (!(a[i] {sign} b[i])) {{ r[i] = 5; __syncthreads(); }}")
            yield one(f"and_{name}", f"r[i] = a[i] {sign} b[i] && b[i] {sign} c[i] ? a[i] : c[i];")


def intrinsics() -> Iterator[str]:
    for f in FAST.split():
        yield kernel(f, "float", "float", f"r[i] = __{f}(a[i]);")
    for f in ("fdividef", "powf"):
        yield kernel(f, "float", "float", f"r[i] = __{f}(a[i], b[i]);")
    for mode in MODES:
        for kind, letter, fma in (("float", "f", "fmaf"), ("double", "d", "fma")):
            for op in ("add", "sub", "mul", "div"):
                f = f"{letter}{op}_{mode}"
                yield kernel(f, kind, kind, f"r[i] = __{f}(a[i], b[i]);")
            for op in ("sqrt", "rcp"):
                f = f"{letter}{op}_{mode}"
                yield kernel(f, kind, kind, f"r[i] = __{f}(a[i]);")
            yield kernel(f"{fma}_{mode}", kind, kind, f"r[i] = __{fma}_{mode}(a[i], b[i], c[i]);")
        yield kernel(f"ieee_{mode}", "float", "float",
                     f"r[i] = __fmaf_ieee_{mode}(a[i], b[i], c[i]);")  # fmt: skip


def conversions() -> Iterator[str]:
    kinds = INTEGERS | {"float": "float", "double": "double"}
    for source, kind in kinds.items():
        for to, result in kinds.items():
            yield kernel(f"{source}_{to}", kind, result, f"r[i] = ({result})a[i];")
    wide = {name: INTEGERS[name] for name in ("int", "uint", "ll", "ull")}
    halved = wide | {name: INTEGERS[name] for name in ("short", "ushort")}
    for mode in MODES:
        yield kernel(f"narrow_{mode}", "double", "float", f"r[i] = __double2float_{mode}(a[i]);")
        yield kernel(f"half_{mode}", "float", "__half", f"r[i] = __float2half_{mode}(a[i]);")
        for name, kind in wide.items():
            for real in ("float", "double"):
                f = f"{real}2{name}_{mode}"
                yield kernel(f, real, kind, f"r[i] = __{f}(a[i]);")
                if real == "float" or name in ("ll", "ull") or mode == "rn":
                    f = f"{name}2{real}_{mode}"
                    yield kernel(f, kind, real, f"r[i] = __{f}(a[i]);")
        for name, kind in halved.items():
            for f, a, r in ((f"half2{name}_{mode}", "__half", kind),
                            (f"{name}2half_{mode}", kind, "__half")):  # fmt: skip
                yield kernel(f, a, r, f"r[i] = __{f}(a[i]);")
    yield HALVES


def integers() -> Iterator[str]:
    for name, kind in INTEGERS.items():
        for op, expression in OPERATORS.items():
            yield kernel(f"{op}_{name}", kind, kind, f"r[i] = {expression};")
        for op, sign in COMPARISONS.items():
            yield kernel(f"{op}_{name}", kind, "int", f"r[i] = a[i] {sign} b[i];")
            both = f"a[i] {sign} b[i] && n[i] {sign} 4"
            yield kernel(f"and_{op}_{name}", kind, "int", f"r[i] = {both} ? 5 : 6;")
    for name, (kind, expression, result) in INTRINSICS.items():
        yield kernel(name, kind, result, f"r[i] = {expression};")


def sources() -> dict[str, str]:
    """CUDA C++ by name."""
    return {
        "mathematics": "".join(mathematics()),
        "intrinsics": "".join(intrinsics()),
        "conversions": "#include <cuda_fp16.h>\n#include <cuda_bf16.h>\n" + "".join(conversions()),
        "integers": "".join(integers()),
        "kernels": (HERE / "kernels.cu").read_text(encoding="utf-8"),
    }


def compile_ptx(name: str, text: str, architecture: int, *flags: str) -> str:
    """What nvcc -O3 makes of a source."""
    folder = nvidia_folder()
    if folder is None:
        raise SystemExit("nvcc is not in this environment: softcuda install-pycuda")
    with tempfile.TemporaryDirectory() as temporary:
        source = Path(temporary, f"{name}.cu")
        source.write_text(text, encoding="utf-8")
        target = source.with_suffix(".ptx")
        subprocess.run(
            [str(folder / "bin" / "nvcc"), "-O3", "-std=c++17", "-lineinfo", "-ptx", "-w",
             f"-arch=sm_{architecture}", "-I", str(folder / "include" / "cccl"), *flags,
             str(source), "-o", str(target)],
            check=True,
        )  # fmt: skip
        return target.read_text(encoding="utf-8")


# --- statements of a PTX text ---

COMMENTS = re.compile(r"/\*.*?\*/|//[^\n]*|\.section[^{]*\{[^}]*\}", re.S)
STATEMENT = re.compile(
    r"(?:^|[;{}:])\s*(?:@!?%\w+\s+)?((?!param\d|generic)[a-z][a-z0-9]*(?:\.[A-Za-z0-9_:]+)*"
    r"(?:\s[^;]*)?;)", re.M,
)  # fmt: skip
REGISTER = re.compile(r"%(p|rs|rd|r|fd|f|SPL?)(\d*)\b")
SPECIAL = re.compile(
    r"%(?:n?tid|n?ctaid|laneid|n?warpid|n?smid|gridid|lanemask_\w\w|clock\w*|globaltimer\w*|envreg\d+"
    r"|\w+_smem_size|cluster_?n?ct\w+|n?clusterid|is_explicit_cluster)(?:\.[xyz])?"
)
NAME = re.compile(r"(?<![\w.%$:])(?!0[xXfFdD])[A-Za-z_%$][\w$]*(?![\w.$:])")


def statements(text: str) -> Iterator[str]:
    for found in STATEMENT.finditer(COMMENTS.sub("", text)):
        yield " ".join(found.group(1).split())


def opcode(statement: str) -> str:
    return re.split(r"[\s;]", statement, maxsplit=1)[0]


def key(statement: str) -> str:
    """What has a row of its own: an opcode with modifiers, and with each special register."""
    special = SPECIAL.search(statement)
    return opcode(statement) + (f" {special.group()}" if special else "")


def canonical(statement: str) -> str:
    """With registers numbered from 1, and every other name by what it stands for."""
    numbers: dict[str, str] = {}

    def number(found: re.Match[str]) -> str:
        base = "rd" if found.group(1).startswith("SP") else found.group(1)
        if found.group() not in numbers:
            taken = sum(1 for name in numbers.values() if name.rstrip("0123456789") == f"%{base}")
            numbers[found.group()] = f"%{base}{taken + 1}"
        return numbers[found.group()]

    word = opcode(statement)
    operands = REGISTER.sub(number, statement[len(word) :])
    known = set(numbers.values()) | {"_"}

    def name(found: re.Match[str]) -> str:
        if found.group() in known or SPECIAL.match(found.group()):
            return found.group()
        if word.startswith("bra"):
            return "LABEL"
        if ".param" in word or "call" in word:
            return "NAME"
        return "%rd9" if word.endswith("64") else "%r9"

    return word + (operands if word.startswith("call") else NAME.sub(name, operands))


def examples(texts: Iterator[str]) -> dict[str, tuple[int, str]]:
    """Of every `key`: how often it stands there, and its shortest statement."""
    counts: Counter[str] = Counter()
    shortest: dict[str, str] = {}
    for text in texts:
        for statement in statements(text):
            word, one = key(statement), canonical(statement)
            counts[word] += 1
            rank = (one.count("NAME"), one.count("%r9") + one.count("%rd9"), len(one), one)
            best = shortest.get(word)
            if best is None or rank < (best.count("NAME"), best.count("%r9") + best.count("%rd9"),
                                       len(best), best):  # fmt: skip
                shortest[word] = one
    return {word: (counts[word], shortest[word]) for word in sorted(counts)}


def all_texts() -> Iterator[str]:
    """PTX for every architecture.

    For two of them with fast mathematics, of the libraries, and without optimisation, which makes
    addresses generic, too.
    """
    jobs: list[tuple[str, str, int, tuple[str, ...]]] = [
        (name, text, sm, ()) for sm in ARCHITECTURES for name, text in sources().items()
    ]
    for sm in (86, 100):
        jobs += [(name, text, sm, ("-use_fast_math",)) for name, text in sources().items()]
        jobs.append(("libraries", (HERE / "libraries.cu").read_text(encoding="utf-8"), sm, ()))
        jobs.append(("unoptimised", sources()["kernels"], sm, ("-G",)))
    with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:
        yield from pool.map(lambda job: compile_ptx(*job[:3], *job[3]), jobs)


def table() -> dict[str, tuple[int, str]]:
    """The table as it is kept."""
    rows = (line.split("\t") for line in TABLE.read_text(encoding="utf-8").splitlines())
    return {key(statement): (int(count), statement) for count, statement in rows}


def cubins(folder: Path) -> Iterator[str]:
    """PTX of the cubins in a folder, such as PYCUDA_CACHE_DIR after PyCUDA's own tests."""
    for path in sorted(folder.rglob("*.cubin")):
        image = path.read_bytes()
        start = struct.unpack_from("<Q", image, 0x28)[0]
        size, count, names = struct.unpack_from("<HHH", image, 0x3A)
        sections = [struct.unpack_from("<IIQQQQ", image, start + k * size) for k in range(count)]
        for name, _, _, _, offset, length in sections:
            at = sections[names][4] + name
            if image[at:].startswith(b".nv_debug_ptx_txt\0"):
                yield image[offset : offset + length].replace(b"\0", b"\n").decode()


def main() -> None:
    """Write the table; an argument is a folder with cubins to take in, too."""
    texts = list(all_texts())
    for argument in sys.argv[1:]:
        texts += cubins(Path(argument))
    found = examples(iter(texts))
    TABLE.write_text(
        "".join(f"{count}\t{statement}\n" for count, statement in found.values()), encoding="utf-8"
    )
    print(f"{len(found)} statements from {len(texts)} PTX texts")  # noqa: T201


if __name__ == "__main__":
    main()
