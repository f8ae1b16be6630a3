"""Fatbins and cubins put together by hand, as nvcc would: to load them, and to damage them."""

from __future__ import annotations

import struct
from dataclasses import dataclass, field

import numpy as np

PTX, CUBIN, GROUP = 1, 2, 0x100
LZ4, ZSTD, THIS_ONLY, FAMILY = 0x2000, 0x8000, 0x100000, 0x200000


def lz4(data: bytes) -> bytes:
    """An LZ4 block: the longest match at each place, found the slow way; literals elsewhere."""

    def lengths(literals: int, match: int) -> tuple[int, bytes, bytes]:
        token = min(literals, 15) << 4 | min(match, 15)
        more = [
            bytes([255] * ((n - 15) // 255) + [(n - 15) % 255]) if n >= 15 else b""
            for n in (literals, match)
        ]
        return token, more[0], more[1]

    out, start, at = b"", 0, 0
    while at < len(data) - 12:
        length = 4
        found = data.rfind(data[at : at + length], max(0, at - 65535), at)
        if found < 0:
            at += 1
            continue
        while at + length < len(data) - 5 and data[found + length] == data[at + length]:
            length += 1
        token, of_literals, of_match = lengths(at - start, length - 4)
        out += bytes([token]) + of_literals + data[start:at]
        out += struct.pack("<H", at - found) + of_match
        at += length
        start = at
    token, of_literals, _ = lengths(len(data) - start, 0)
    return out + bytes([token]) + of_literals + data[start:]


def zstd(data: bytes) -> bytes:
    """A Zstandard frame of raw and run-length blocks: the runs are what is not compressed here."""
    out = struct.pack("<IBQ", 0xFD2FB528, 0xE0, len(data))
    at = 0
    while at < len(data):
        run = len(data[at:]) - len(data[at:].lstrip(data[at : at + 1]))
        kind, size = (1, run) if run > 3 else (0, min(1000, len(data) - at))
        is_last = at + size == len(data)
        out += struct.pack("<I", size << 3 | kind << 1 | is_last)[:3]
        out += data[at : at + 1] if kind == 1 else data[at : at + size]
        at += size
    return out


def padded(data: bytes) -> bytes:
    return data + bytes(-len(data) % 8)


@dataclass
class Entry:
    """What a fatbin holds: `data` for sm_`architecture`, with the flags of its header."""

    kind: int
    architecture: int
    data: bytes
    flags: int = 0
    name: bytes = b"kernel.cu"
    options: bytes = b""
    members: list[Entry] = field(default_factory=list)

    def header(self, size: int, real: int, place: int | None = None) -> bytes:
        """Its header; in a group it says at which place the data begins."""
        name = padded(self.name + b"\0")
        table = b""
        if self.members:
            heads, at = [], 0
            for member in self.members:
                heads.append(member.header(len(member.data), 0, at))
                at += len(member.data)
            table = struct.pack("<II", len(heads), 8 + len(b"".join(heads))) + b"".join(heads)
            name = b""
        text = 64 + len(name) + 8
        options = struct.pack("<II", text, len(self.options)) + padded(self.options + b"\0")
        whole = 64 + len(name) + len(table or options)
        first = whole if place is None else place
        return (
            struct.pack(
                "<HHIQIIHHIIIQQQ", self.kind, 0x101, first, size,
                size if self.flags & (LZ4 | ZSTD) else 0, 64 + len(name), 5, 9, self.architecture,
                64 if name else 0, len(self.name) if name else 0, self.flags | 0x11, 0, real,
            )
            + name
            + (table or options)
        )  # fmt: skip

    def pack(self) -> bytes:
        data = b"".join(m.data for m in self.members) if self.members else self.data
        pack = lz4 if self.flags & LZ4 else zstd if self.flags & ZSTD else bytes
        stored = padded(pack(data))
        is_packed = bool(self.flags & (LZ4 | ZSTD))
        head = bytearray(self.header(len(stored), len(data) if is_packed else 0))
        if is_packed:  # the compressed size is without the zeros that pad it
            struct.pack_into("<I", head, 16, len(pack(data)))
        return bytes(head) + stored


def fatbin(*entries: Entry) -> bytes:
    body = b"".join(entry.pack() for entry in entries)
    return struct.pack("<IHHQ", 0xBA55ED50, 1, 16, len(body)) + body


def cubin(architecture: int, ptx: bytes | None, *, registers: int = 0, kernel: str = "k") -> bytes:
    """An ELF file with what softcuda looks for, and no code."""
    sections = [("", 0, 0, b""), (f".text.{kernel}", 1, registers << 24, bytes(16))]
    if ptx is not None:
        sections.append((".nv_debug_ptx_txt", 1, 0, ptx.replace(b"\n", b"\0")))
    names = b"".join(name.encode() + b"\0" for name, *_ in sections) + b".shstrtab\0"
    sections.append((".shstrtab", 3, 0, names))
    body, table = b"", b""
    for name, kind, info, data in sections:
        at = names.index(name.encode() + b"\0")
        table += struct.pack(
            "<IIQQQQIIQQ", at, kind, 0, 0, 64 + len(body), len(data), 0, info, 1, 0
        )
        body += padded(data)
    ident = b"\x7fELF" + bytes([2, 1, 1, 0x41, 8]) + bytes(7)
    header = struct.pack(
        "<HHIQQQIHHHHHH", 2, 190, 1, 0, 0, 64 + len(body), architecture << 8, 64, 56, 0, 64,
        len(sections), len(sections) - 1,
    )  # fmt: skip
    return ident + header + body + table


def damaged(good: bytes, rng: np.random.Generator, *, head: int) -> bytes:
    """A few bytes changed, more of them in the first `head` ones; at times the end is cut off."""
    bad = bytearray(good)
    for _ in range(int(rng.integers(1, 5))):
        most = head if rng.integers(2) else len(bad)
        bad[int(rng.integers(most))] = int(rng.choice([0, 1, 255, rng.integers(256)]))
    if rng.integers(4) == 0:
        del bad[int(rng.integers(len(bad))) :]
    return bytes(bad)
