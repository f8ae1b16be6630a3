"""Statements that PTX does not define, made from ones that it does: none of them may load.

Each way to spoil a statement is one that leaves nothing to argue: a name that nobody has, an
operand too many or too few, a register of a class that the instruction cannot have. (ptxas refuses
them too; ``pycuda_fuzzing.py`` holds this list to it.)
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from tests.softcuda.fuzz.corpus import samples

#: Registers of every class that the corpus uses, so that one module serves every statement.
HEAD = """\
.version 8.7
.target sm_80
.address_size 64
.visible .entry k(.param .u64 p0)
{
.local .align 8 .b8 depot[64];
.reg .b64 %SP, %SPL; .reg .b32 %temp;
.reg .pred %p<100>; .reg .b16 %rs<100>; .reg .b32 %r<400>; .reg .f32 %f<400>;
.reg .b64 %rd<400>; .reg .f64 %fd<400>;
"""
TAIL = "ret;\n}\n"

_STATEMENT = re.compile(r"(?m)^\s*(?:@!?%p\d+\s+)?([a-z][\w.:]*(?:\s[^;]*)?);")
_NUMBER = re.compile(r"0[fdx][0-9A-Fa-f]+|-?\b\d+\b")
_REGISTER = re.compile(r"%(pd|rs|rd|fd|p|r|f)\d+")
_FLOW = ("call", "bra", "brx", "ret", "exit", "trap")


def statements() -> list[str]:
    """One of each kind in the corpus, by its instruction and the classes of its operands."""
    found = {}
    for sample in samples():
        for match in _STATEMENT.finditer(sample.data.decode()) if sample.kind == "ptx" else ():
            text = " ".join(match[1].split())
            opcode, _, operands = text.partition(" ")
            bare = re.sub(r"%[\w.]+|0[fdx][0-9A-Fa-f]+", "", operands)
            if opcode.startswith(_FLOW) or re.search(r"[a-zA-Z_]", bare):
                continue  # it names what another module has not
            kind = _NUMBER.sub("0", _REGISTER.sub(r"%\1", text))
            found.setdefault(kind, text)
    return list(found.values())


def split(statement: str) -> tuple[list[str], list[str]]:
    """The words of the instruction, and its operands."""
    head, _, rest = statement.partition(" ")
    operands = re.findall(r"(?:[^,\[{]|\[[^\]]*\]|\{[^}]*\})+", rest)
    return head.split("."), [operand.strip() for operand in operands]


def spoilt(statement: str) -> Iterator[tuple[str, str]]:
    """Ways to spoil a statement: what was done, and what became of it."""

    def join(head: list[str], operands: list[str]) -> str:
        return f"{'.'.join(head)} {', '.join(operands)}".strip()

    head, operands = split(statement)
    yield "opcode", join([head[0] + "x", *head[1:]], operands)
    for k in range(1, len(head) + 1):
        yield "modifier", join([*head[:k], "bogus", *head[k:]], operands)
    for k in range(1, len(head)):
        yield "modifier", join([*head[:k], head[k] + "q", *head[k + 1 :]], operands)
    if head[0] not in ("atom", "bar", "barrier"):  # which may have one more or one less
        yield "one more", join(head, [*operands, "%r1"])
        yield "one more", join(head, [*operands, "%rd1"])
        if operands:
            yield "one less", join(head, operands[:-1])
    for k, operand in enumerate(operands):
        yield "no such register", join(head, [*operands[:k], "%r99999", *operands[k + 1 :]])
        yield "no such name", join(head, [*operands[:k], "nosuch", *operands[k + 1 :]])
        yield "no such name", join(head, [*operands[:k], "[nosuch]", *operands[k + 1 :]])
        register = _REGISTER.fullmatch(operand)
        if register is not None:
            for other in _others(register[1], head):
                yield "class", join(head, [*operands[:k], other, *operands[k + 1 :]])


def _others(kind: str, head: list[str]) -> Iterator[str]:
    """Registers of classes that cannot stand for one of this class."""
    if kind != "p":
        yield "%p1"
        if head[0] not in ("ld", "st", "cvt"):  # which take what is wider
            wide = kind in ("rd", "fd")
            yield "%r1" if wide else "%rd1"
            yield "%rs1" if kind != "rs" else "%r1"
    else:
        yield from ("%r1", "%rd1", "%f1")
