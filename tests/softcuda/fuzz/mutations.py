"""Ways to damage a module: its words, its statements, its numbers, its bytes.

All of them draw from a generator that is given, so that an input can be made again.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Callable
from random import Random

Words = list[str]

#: A word of PTX with the space before it; what is no word is a character by itself.
_WORD = re.compile(r"\s*(?:[%$\w]+|\"[^\"]*\"|\S|$)")
_EXTREMES = (
    "0", "1", "-1", "2", "7", "31", "32", "33", "63", "64", "127", "255", "1023", "1024", "1025",
    "32768", "65535", "65536", "1048575", "0x7fffffff", "0x80000000", "0xffffffff", "0x100000000",
    "0x7fffffffffffffff", "0x8000000000000000", "0xffffffffffffffff", "18446744073709551616",
    "0f7F800000", "0fFFC00000", "0f00000001", "0d7FF0000000000000", "0dFFF8000000000000", "1e999",
    "0x", "00", "9" * 40, "0b2", "1.5",
)  # fmt: skip
_STRUCTURE = ("{", "}", "(", ")", "[", "]", ";", ",", ":", ".", "@", "!", "|", "<", ">", "+", "-",
              "_", "//", "/*", '"', "\0", "WARP_SZ", "%tid.x", "%laneid", ".param", ".shared",
              ".align", ".v4", ".b8", ".pred", ".f16", ".b128")  # fmt: skip


def words(text: str) -> Words:
    """Cut a text into words; joined they are the text."""
    return _WORD.findall(text)


def _place(rng: Random, text: Words, is_wanted: Callable[[str], bool]) -> int:
    """A word of some kind, or any where a few tries find none."""
    for _ in range(20):
        place = rng.randrange(len(text))
        if is_wanted(text[place].strip()):
            return place
    return rng.randrange(len(text))


def _statement(rng: Random, text: Words) -> tuple[int, int]:
    """Where a statement begins and ends: from behind a ``;`` or brace to behind the next."""
    middle = rng.randrange(len(text))
    ends = (";", "{", "}")
    first = middle
    while first > 0 and text[first - 1].strip() not in ends:
        first -= 1
    last = middle
    while last < len(text) - 1 and text[last].strip() not in ends:
        last += 1
    return first, last + 1


def _is_number(word: str) -> bool:
    return word[:1].isdigit()


def _is_register(word: str) -> bool:
    return word[:1] == "%"


def _is_name(word: str) -> bool:
    return word[:1].isalpha()


def swap_words(rng: Random, text: Words, _: Words) -> None:
    """Two words of a statement change places."""
    first, last = _statement(rng, text)
    i, j = rng.randrange(first, last), rng.randrange(first, last)
    text[i], text[j] = text[j], text[i]


def take_word(rng: Random, text: Words, others: Words) -> None:
    """A word of another statement or module stands in the place of one."""
    source = text if rng.random() < 0.5 else others
    place = rng.randrange(len(text))
    text[place] = rng.choice(source)


def take_modifier(rng: Random, text: Words, others: Words) -> None:
    """A name, of an instruction or a modifier, becomes another."""
    source = text if rng.random() < 0.5 else others
    text[_place(rng, text, _is_name)] = source[_place(rng, source, _is_name)]


def rename_register(rng: Random, text: Words, _: Words) -> None:
    """A register becomes another, of its kind or of another."""
    text[_place(rng, text, _is_register)] = text[_place(rng, text, _is_register)]


def renumber_register(rng: Random, text: Words, _: Words) -> None:
    """A register becomes its neighbour, which may not be declared."""
    place = _place(rng, text, _is_register)
    text[place] = re.sub(r"\d+", lambda m: str(int(m[0][:9]) + rng.choice((-1, 1, 9))), text[place])


def extreme_number(rng: Random, text: Words, _: Words) -> None:
    """A number becomes one where something ends."""
    text[_place(rng, text, _is_number)] = " " + rng.choice(_EXTREMES)


def drop_word(rng: Random, text: Words, _: Words) -> None:
    """A word is lost."""
    del text[rng.randrange(len(text))]


def double_word(rng: Random, text: Words, _: Words) -> None:
    """A word stands twice."""
    place = rng.randrange(len(text))
    text.insert(place, text[place])


def insert_structure(rng: Random, text: Words, _: Words) -> None:
    """A bracket, a dot or the like where none belongs."""
    text.insert(rng.randrange(len(text)), rng.choice(_STRUCTURE))


def drop_statement(rng: Random, text: Words, _: Words) -> None:
    """A statement is lost."""
    first, last = _statement(rng, text)
    del text[first:last]


def move_statement(rng: Random, text: Words, _: Words) -> None:
    """A statement stands elsewhere."""
    first, last = _statement(rng, text)
    part = text[first:last]
    del text[first:last]
    place = _statement(rng, text)[0] if text else 0
    text[place:place] = part


def double_statement(rng: Random, text: Words, others: Words) -> None:
    """A statement of this or another module stands here too."""
    source = text if rng.random() < 0.7 else others
    first, last = _statement(rng, source)
    place = _statement(rng, text)[0]
    text[place:place] = source[first:last]


def repeat_statement(rng: Random, text: Words, _: Words) -> None:
    """A statement stands very often."""
    first, last = _statement(rng, text)
    text[first:first] = text[first:last] * rng.choice((3, 30, 300))


OF_WORDS: tuple[Callable[[Random, Words, Words], None], ...] = (
    swap_words, take_word, take_word, take_modifier, take_modifier, take_modifier, rename_register,
    rename_register, rename_register, renumber_register, extreme_number, extreme_number, drop_word,
    double_word, insert_structure, drop_statement, drop_statement, move_statement, move_statement,
    double_statement, double_statement, repeat_statement,
)  # fmt: skip


def damage_bytes(rng: Random, data: bytearray, first: int, last: int) -> None:
    """Flip, change, lose, double or zero a few bytes of a range."""
    place = rng.randrange(first, max(last, first + 1))
    length = rng.choice((1, 1, 1, 2, 4, 8, 40))
    what = rng.randrange(5)
    if what == 0 and place < len(data):
        data[place] ^= 1 << rng.randrange(8)
    elif what == 1:
        data[place : place + length] = rng.randbytes(len(data[place : place + length]))
    elif what == 2:
        del data[place : place + length]
    elif what == 3:
        data[place:place] = data[place : place + length]
    else:
        value = rng.choice((0, 0xFF))
        data[place : place + length] = bytes([value]) * len(data[place : place + length])


def damage_text(rng: Random, text: Words, others: Words) -> bytes:
    """A few kinds of damage, one after the other; seldom of its bytes only."""
    if rng.random() < 0.1:
        data = bytearray("".join(text).encode())
        for _ in range(rng.randint(1, 4)):
            damage_bytes(rng, data, 0, len(data))
        return bytes(data)
    cut = text.copy()
    for _ in range(rng.choice((1, 1, 1, 1, 2, 2, 3, 6))):
        rng.choice(OF_WORDS)(rng, cut, others)
        if not cut:
            break
    return "".join(cut).encode()


_SECTION = 64  # bytes of a header, of the file and of each section
_FIELDS = (0, 4, 8, 16, 24, 32, 40, 44, 48, 56)  # of a section's header


def sections(data: bytes) -> list[tuple[int, int, int]]:
    """Of an ELF file: where each section's header, its first byte and its end are."""
    table, count = struct.unpack_from("<Q", data, 0x28)[0], struct.unpack_from("<H", data, 0x3C)[0]
    found = []
    for k in range(count):
        at = table + k * _SECTION
        offset, size = struct.unpack_from("<QQ", data, at + 24)
        found.append((at, offset, min(offset + size, len(data))))
    return found


def damage_elf(rng: Random, data: bytes, others: Words) -> bytes:
    """Damage headers, tables of lines or the PTX inside; or cut the file off."""
    made = bytearray(data)
    for _ in range(rng.choice((1, 1, 2, 4))):
        headers = sections(data)
        at, first, last = rng.choice(headers)
        what = rng.randrange(6)
        if what == 0:
            field = at + rng.choice(_FIELDS) if rng.random() < 0.8 else rng.randrange(_SECTION)
            value = rng.choice((0, 1, 0xFF, 0x7FFFFFFF, 0xFFFFFFFF, 1 << 40, 2**63, 2**64 - 1))
            width = rng.choice((1, 2, 4, 8))
            made[field : field + width] = (value % (1 << 8 * width)).to_bytes(width, "little")
        elif what == 1 and last - first > 8:
            damage_bytes(rng, made, first, last)
        elif what == 2:
            del made[rng.randrange(len(made)) :]
        else:
            _damage_ptx(rng, made, headers, others)
        if len(made) < _SECTION:
            break
    return bytes(made)


def _damage_ptx(
    rng: Random, made: bytearray, headers: list[tuple[int, int, int]], others: Words
) -> None:
    """Damaged text at the end of the file, where its section's header now says that it is."""
    for at, first, last in headers:
        text = bytes(made[first:last])
        if b".version" in text[:200] and at + 40 <= len(made):
            lines = text.replace(b"\0", b"\n").decode("latin-1")
            damaged = damage_text(rng, words(lines), others)
            struct.pack_into("<QQ", made, at + 24, len(made), len(damaged))
            made += damaged.replace(b"\n", b"\0")
            return


def damage_fatbin(rng: Random, data: bytes) -> bytes:
    """Damage the headers of the container and of entries, or what is compressed; or cut it off."""
    made = bytearray(data)
    for _ in range(rng.choice((1, 1, 1, 2, 3))):
        what = rng.randrange(8)
        if what == 0:
            del made[rng.randrange(len(made)) :]
        elif what < 4:
            place = rng.choice((0, 16, 80)) + rng.randrange(64)
            width = rng.choice((1, 2, 4, 8))
            value = rng.choice((0, 1, 0xFF, 0x7FFFFFFF, 0xFFFFFFFF, 1 << 40, 2**63, 2**64 - 1))
            made[place : place + width] = (value % (1 << 8 * width)).to_bytes(width, "little")
        elif what < 6:
            # Where Zstandard and LZ4 have their headers and tables.
            damage_bytes(rng, made, 80, 400)
        else:
            damage_bytes(rng, made, 0, len(made))
        if len(made) < 96:
            break
    return bytes(made)
