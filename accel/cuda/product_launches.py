"""What is launched for the matrix products and sums around the recurrence, and what it costs.

One product makes the gates of all rows before the recurrence, others the gradients after it. Every
bit is fixed: an element is one chain of fused multiply-adds over k in increasing order that begins
at 0. Sums over the rows of a batch are made of chunks of 1024 rows, added in increasing order; so
neither the device nor the scratch memory at hand enters. Nothing here needs a device.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import DTypeLike

__all__ = ["CHUNK", "NO_SCRATCH", "Launch", "Matrix", "ProductLaunches", "Scratch"]

#: Rows that are summed as one chain.
CHUNK = 1024

_SECTOR = 32  # bytes
# As in kernels/products.cuh and kernels/row_sums.cuh.
_TILE_ROWS = {4: 128, 8: 64}  # by bytes of an element
_TILE_COLUMNS = 64
_THREADS = 128  # of a block of a product
_WARP = 32
_WARPS = 4


class Matrix(NamedTuple):
    """A row-major matrix on the device; ``leading`` elements from row to row, else ``columns``."""

    pointer: int
    rows: int
    columns: int
    leading: int | None = None

    @property
    def pitch(self) -> int:
        """Elements from row to row."""
        return self.columns if self.leading is None else self.leading

    def from_row(self, row: int, itemsize: int) -> Matrix:
        """The rows from ``row`` on."""
        pointer = self.pointer + row * self.pitch * itemsize
        return Matrix(pointer, self.rows - row, self.columns, self.pitch)

    def sectors(self, itemsize: int) -> int:
        """How many sectors of 32 bytes the elements lie in, if every row begins with one."""
        aligned = self.pitch * itemsize % _SECTOR == 0 or (self.rows < 2 and self.leading is None)
        if self.pointer % _SECTOR or not aligned:
            raise ValueError(f"{self}: expected rows that begin at multiples of {_SECTOR} bytes")
        return self.rows * -(-self.columns * itemsize // _SECTOR)


class Scratch(NamedTuple):
    """Memory on the device, aligned to 32 bytes, that launches may overwrite; ``size`` in bytes."""

    pointer: int = 0
    size: int = 0


NO_SCRATCH = Scratch()


class Launch(NamedTuple):
    """A launch and what it costs: exact counts, which do not depend on the device.

    ``loads`` and ``stores``: how often which matrix passes. ``fused`` multiply-adds and
    ``additions`` are those of lanes, tiles that reach beyond the matrix included.
    """

    kernel: str
    blocks: int
    threads: tuple[int, int, int]
    arguments: tuple[int, ...]
    itemsize: int
    loads: tuple[tuple[int, Matrix], ...]
    stores: tuple[tuple[int, Matrix], ...]
    fused: int = 0
    additions: int = 0
    other_sectors: int = 0

    @property
    def load_sectors(self) -> int:
        """Sectors of global memory that are requested; ``ValueError`` if rows are not aligned."""
        passes = sum(times * matrix.sectors(self.itemsize) for times, matrix in self.loads)
        return passes + self.other_sectors

    @property
    def store_sectors(self) -> int:
        """Sectors of global memory that are written; ``ValueError`` if rows are not aligned."""
        return sum(times * matrix.sectors(self.itemsize) for times, matrix in self.stores)


class _Parts(NamedTuple):
    """Sums over chunks of rows, ``chunks`` of the layout of ``matrix`` one after the other."""

    matrix: Matrix
    chunks: int


class ProductLaunches:
    """What is launched for each product; nothing for results without elements.

    Parameters
    ----------
    dtype : dtype
        float32 or float64.
    """

    def __init__(self, dtype: DTypeLike) -> None:
        self.itemsize = np.dtype(dtype).itemsize
        self._suffix = {4: "f32", 8: "f64"}[self.itemsize]

    def gates(self, x: Matrix, w: Matrix, bias: int | None, out: Matrix) -> list[Launch]:
        """``out = x . w^T + bias``: x (N, D), w (M, D), bias M elements or None, out (N, M)."""
        _check(out, (x.rows, w.rows), (w.columns, x.columns))
        return self._product("nt", x, w, out, x.columns, bias=bias)

    def input_gradient(self, d_a: Matrix, w: Matrix, out: Matrix) -> list[Launch]:
        """``out = d_a . w``: d_a (N, M), w (M, D), out (N, D)."""
        _check(out, (d_a.rows, w.columns), (d_a.columns, w.rows))
        return self._product("nn", d_a, w, out, w.rows)

    def weight_gradient(
        self, d_a: Matrix, x: Matrix, out: Matrix, scratch: Scratch = NO_SCRATCH
    ) -> list[Launch]:
        """``out = d_a^T . x``: d_a (N, M), x (N, D), out (M, D).

        With more than a chunk of rows ``scratch`` holds one chunk at least: the more, the fewer
        launches. Its size does not change the result.
        """
        _check(out, (d_a.columns, x.columns), (d_a.rows, x.rows))
        if d_a.rows <= CHUNK:
            return self._product("tn", d_a, x, out, d_a.rows)
        parts = self._parts(out, d_a.rows, scratch)
        launches = []
        for row in range(0, d_a.rows, parts.chunks * CHUNK):
            a, b = d_a.from_row(row, self.itemsize), x.from_row(row, self.itemsize)
            depth = min(a.rows, parts.chunks * CHUNK)
            launches += self._product("tn", a, b, parts.matrix, depth)
            launches += self._add_chunks(parts._replace(chunks=_ceil(depth, CHUNK)), out, row > 0)
        return launches

    def row_sums(self, d_a: Matrix, out: int, scratch: Scratch = NO_SCRATCH) -> list[Launch]:
        """``out = sum of the rows of d_a``: d_a (N, M), out M elements; scratch as above."""
        total = Matrix(out, 1, d_a.columns)
        if d_a.rows <= CHUNK:
            return self._column_sums(d_a, d_a.rows, total)
        parts = self._parts(total, d_a.rows, scratch)
        launches = []
        for row in range(0, d_a.rows, parts.chunks * CHUNK):
            rest = d_a.from_row(row, self.itemsize)
            depth = min(rest.rows, parts.chunks * CHUNK)
            launches += self._column_sums(rest, depth, parts.matrix)
            launches += self._add_chunks(parts._replace(chunks=_ceil(depth, CHUNK)), total, row > 0)
        return launches

    def previous_rows(
        self, y: Matrix, h_0: Matrix, offsets: int, direction: int, out: Matrix,
        with_rows: int | None = None,
    ) -> list[Launch]:  # fmt: skip
        """The state before each row of a ragged batch: ``out`` (N, H).

        Parameters
        ----------
        y, h_0 : Matrix
            The state after each row (N, H), and before each sequence (B, H).
        offsets : int
            Pointer to B + 1 int64: sequence s has the rows ``offsets[s]`` to ``offsets[s + 1]``.
        direction : {1, -1}
            Whether a sequence is stepped from its first row or from its last.
        out : Matrix
            Must not overlap y.
        with_rows : int, optional
            How many sequences have rows: enters the costs only. All, if it is not given.
        """
        _check(out, (y.rows, y.columns), (h_0.columns, y.columns))
        if not y.rows or not y.columns:
            return []
        moved = Matrix(y.pointer, y.rows - 1, y.columns, y.pitch)
        firsts = h_0.rows if with_rows is None else with_rows
        ends = (y.rows, y.columns, direction)
        shift = (y.pointer, y.pitch, out.pointer, out.pitch, *ends)
        first = (h_0.pointer, h_0.pitch, offsets, out.pointer, out.pitch, h_0.rows, *ends[1:])
        blocks = _ceil(moved.rows, _WARPS)
        launches = [
            self._launch("shift_rows", blocks, shift, [(1, moved)], [(1, _like(out, moved))]),
            self._launch(
                "scatter_first_rows", _ceil(h_0.rows, _WARPS), first,
                [(1, Matrix(h_0.pointer, firsts, h_0.columns, h_0.pitch))],
                [(1, Matrix(out.pointer, firsts, out.columns, out.pitch))],
                other_sectors=2 * h_0.rows,
            ),
        ]  # fmt: skip
        return [launch for launch in launches if launch.blocks]

    def scratch_bytes(self, rows: int, out: Matrix, most: int | None = None) -> int:
        """How much scratch memory a sum over ``rows`` into ``out`` takes.

        Parameters
        ----------
        rows : int
        out : Matrix
            Of :meth:`weight_gradient`; of :meth:`row_sums` it has one row.
        most : int, optional
            Take no more than this, but always what one chunk needs, and use several launches.
        """
        chunks = _ceil(rows, CHUNK)
        if chunks < 2:
            return 0
        size = self._part(out).rows * self._part(out).pitch * self.itemsize
        return size * (chunks if most is None else min(chunks, max(1, most // max(1, size))))

    def _part(self, out: Matrix) -> Matrix:
        """Layout of the sum over one chunk: rows begin with a sector."""
        unit = _SECTOR // self.itemsize
        return Matrix(0, out.rows, out.columns, _ceil(out.columns, unit) * unit)

    def _parts(self, out: Matrix, rows: int, scratch: Scratch) -> _Parts:
        part = self._part(out)._replace(pointer=scratch.pointer)
        size = part.rows * part.pitch * self.itemsize
        if scratch.size < size:
            raise ValueError(f"scratch has {scratch.size} bytes, expected {size} at least")
        return _Parts(part, min(_ceil(rows, CHUNK), scratch.size // size if size else 1))

    def _product(
        self, kind: str, a: Matrix, b: Matrix, c: Matrix, depth: int, *, bias: int | None = None
    ) -> list[Launch]:
        chunk = CHUNK if kind == "tn" else depth
        chunks = max(1, _ceil(depth, CHUNK)) if kind == "tn" else 1
        row_tiles = _ceil(c.rows, _TILE_ROWS[self.itemsize])
        column_tiles = _ceil(c.columns, _TILE_COLUMNS)
        blocks = row_tiles * column_tiles * chunks
        tile = _TILE_ROWS[self.itemsize] * _TILE_COLUMNS
        rows_a, rows_b = (depth if kind == "tn" else a.rows), (b.rows if kind == "nt" else depth)
        loads = [(column_tiles, a._replace(rows=rows_a)), (row_tiles, b._replace(rows=rows_b))]
        if bias is not None:
            loads.append((row_tiles * _THREADS // _TILE_COLUMNS, Matrix(bias, 1, c.columns)))
        arguments = (
            a.pointer, a.pitch, b.pointer, b.pitch, bias or 0, c.pointer, c.pitch,
            c.rows, c.columns, depth, chunk, c.rows * c.pitch,
        )  # fmt: skip
        launch = self._launch(
            kind, blocks, arguments, loads, [(chunks, c)], threads=(_THREADS, 1, 1),
            fused=row_tiles * column_tiles * tile * depth,
            additions=0 if bias is None else c.rows * c.columns,
        )  # fmt: skip
        return [launch] if blocks else []

    def _column_sums(self, matrix: Matrix, rows: int, out: Matrix) -> list[Launch]:
        chunks = max(1, _ceil(rows, CHUNK))
        blocks = _ceil(chunks, _WARPS) * _ceil(out.columns, _WARP)
        arguments = (
            matrix.pointer, matrix.pitch, out.pointer, out.pitch, rows, out.columns, CHUNK,
        )  # fmt: skip
        launch = self._launch(
            "column_sums", blocks, arguments, [(1, matrix._replace(rows=rows))], [(chunks, out)],
            additions=rows * out.columns,
        )  # fmt: skip
        return [launch] if blocks else []

    def _add_chunks(self, parts: _Parts, out: Matrix, onto: bool) -> list[Launch]:
        part, chunks = parts
        blocks = _ceil(out.rows, _WARPS) * _ceil(out.columns, _WARP)
        arguments = (
            part.pointer, part.rows * part.pitch, part.pitch, chunks,
            out.pointer, out.pitch, out.rows, out.columns, int(onto),
        )  # fmt: skip
        launch = self._launch(
            "add_chunks", blocks, arguments, [(chunks, part), (int(onto), out)], [(1, out)],
            additions=(chunks - 1 + int(onto)) * out.rows * out.columns,
        )  # fmt: skip
        return [launch] if blocks else []

    def _launch(
        self, kernel: str, blocks: int, arguments: tuple[int, ...],
        loads: list[tuple[int, Matrix]], stores: list[tuple[int, Matrix]],
        threads: tuple[int, int, int] = (_WARP, _WARPS, 1), **counts: int,
    ) -> Launch:  # fmt: skip
        name = f"products_{kernel}_{self._suffix}"
        return Launch(
            name, blocks, threads, arguments, self.itemsize, tuple(loads), tuple(stores), **counts
        )


def _ceil(size: int, unit: int) -> int:
    return -(-size // unit)


def _like(out: Matrix, shape: Matrix) -> Matrix:
    return Matrix(out.pointer, shape.rows, shape.columns, out.pitch)


def _check(out: Matrix, shape: tuple[int, int], inner: tuple[int, int]) -> None:
    if (out.rows, out.columns) != shape or inner[0] != inner[1]:
        raise ValueError(f"result has shape {out[1:3]}, expected {shape}; inner sizes are {inner}")
