"""CellParameters: the weights of a cell, as an immutable record."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from .types import Array
from .validation import check_array, check_dtype, convert

__all__ = ["CellParameters", "load_arrays", "save_arrays"]

#: Written to every file; raised when the layout of files changes.
FORMAT = "refrnn-parameters-1"

_FORMAT_KEY = "__format__"

# the last two are arguments of numpy.savez, which an array of that name would be taken for
_RESERVED = (_FORMAT_KEY, "file", "allow_pickle")


class CellParameters(Mapping[str, Array]):
    """The named arrays of one cell: an ordered, read-only mapping with attribute access.

    Gradients come in the same record: ``gradients.parameters.W_hh`` is the gradient of ``W_hh``.

    Parameters
    ----------
    arrays : mapping of str to array_like
        float32, float64, longdouble or complex, all of one dtype. The arrays are copied, so later
        changes to them change nothing here.

    Raises
    ------
    TypeError
        If `arrays` is no mapping of str, a dtype is not allowed, or dtypes are mixed.
    ValueError
        If a name begins with an underscore or is that of an attribute of the record (``dtype``).

    Examples
    --------
    >>> import numpy as np
    >>> from refrnn.parameters import CellParameters
    >>> p = CellParameters({"W_ih": np.ones((2, 3)), "W_hh": np.zeros((2, 2))})
    >>> p
    CellParameters(W_ih (2, 3), W_hh (2, 2), float64)
    >>> p.W_hh is p["W_hh"]
    True
    >>> p.flatten().shape
    (10,)
    """

    __slots__ = ("_arrays",)

    _arrays: dict[str, Array]

    def __init__(self, arrays: Mapping[str, Any]) -> None:
        if not isinstance(arrays, Mapping):
            raise TypeError(
                f"arrays has type {type(arrays).__name__}, expected a mapping of str to ndarray"
            )
        self._arrays = {}
        for name, value in arrays.items():
            _check_name(name)
            copy = check_array(value, name, ndim=None).copy(order="C")
            copy.flags.writeable = False
            self._arrays[name] = copy
        first = next(iter(self._arrays), None)
        for name, copy in self._arrays.items():
            if first is not None and copy.dtype != self._arrays[first].dtype:
                raise TypeError(
                    f"{name} has dtype {copy.dtype}, expected that of {first} = "
                    f"{self._arrays[first].dtype}"
                )

    @property
    def dtype(self) -> np.dtype[Any]:
        """The dtype of every array; float64 where there is none."""
        return next((a.dtype for a in self._arrays.values()), np.dtype(np.float64))

    def __getitem__(self, name: str) -> Array:
        return self._arrays[name]

    def __getattr__(self, name: str) -> Array:
        if name.startswith("__") or name == "_arrays":
            raise AttributeError(name)
        try:
            return self._arrays[name]
        except KeyError:
            have = ", ".join(self._arrays)
            raise AttributeError(f"no parameter {name!r}; this record has {have}") from None

    def __dir__(self) -> list[str]:
        return sorted({*super().__dir__(), *self._arrays})

    def __iter__(self) -> Iterator[str]:
        return iter(self._arrays)

    def __len__(self) -> int:
        return len(self._arrays)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, CellParameters):
            return NotImplemented
        return list(self) == list(other) and all(
            a.dtype == other[k].dtype and np.array_equal(a, other[k]) for k, a in self.items()
        )

    __hash__ = None  # type: ignore[assignment]  # holds arrays, compares by value

    def __reduce__(self) -> tuple[Any, ...]:
        return CellParameters, (self._arrays,)

    def __repr__(self) -> str:
        shown = "".join(f"{k} {a.shape}, " for k, a in self.items())
        return f"CellParameters({shown}{self.dtype})"

    def astype(self, dtype: Any) -> CellParameters:
        """A copy in another dtype; from complex to real is a TypeError."""
        target = check_dtype(dtype, "dtype")
        return CellParameters({k: convert(a, target, k, "") for k, a in self.items()})

    def flatten(self) -> Array:
        """All numbers as one new vector: array after array, each in C order."""
        return np.concatenate([np.zeros(0, self.dtype), *(a.ravel() for a in self.values())])

    def unflatten(self, vector: Any) -> CellParameters:
        """A record of the same names and shapes with the numbers of `vector`.

        Parameters
        ----------
        vector : array_like of shape (n,)
            As :meth:`flatten` lays them out; its dtype is the new record's.

        Raises
        ------
        ValueError
            If it has another number of numbers.
        """
        total = sum(a.size for a in self.values())
        numbers = check_array(vector, "vector", ndim=1, rule=f"({total},)")
        if numbers.size != total:
            raise ValueError(f"vector has shape {numbers.shape}, expected ({total},)")
        ends = np.cumsum([a.size for a in self.values()])
        pieces = np.split(numbers, ends[:-1]) if len(self) else []
        shaped = zip(self.items(), pieces, strict=True)
        return CellParameters({k: piece.reshape(a.shape) for (k, a), piece in shaped})

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write to an uncompressed .npz file with NumPy alone, no pickle; see :meth:`load`.

        Parameters
        ----------
        path : str or path
            Written as given; no suffix is added.
        """
        save_arrays(path, self)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> CellParameters:
        """Read what :meth:`save` wrote.

        Parameters
        ----------
        path : str or path

        Raises
        ------
        OSError
            If the file cannot be read.
        TypeError
            If it holds arrays of another kind than a record can.
        ValueError
            If it is no refrnn parameter file, is damaged, needs pickle, or is of a version this
            one cannot read.
        """
        return cls(load_arrays(path))


def save_arrays(path: str | os.PathLike[str], arrays: Mapping[str, Array]) -> None:
    """Write named arrays and a version tag to an .npz file that needs no pickle to read.

    Parameters
    ----------
    path : str or path
        Written as given; no suffix is added.
    arrays : mapping of str to ndarray

    Raises
    ------
    TypeError
        If an array holds objects.
    ValueError
        If a name is one that the file needs for itself.
    """
    for name, array in arrays.items():
        if array.dtype.hasobject:
            raise TypeError(f"{name} has dtype object, expected numbers: objects need pickle")
        if name in _RESERVED:
            raise ValueError(f"arrays has name {name!r}, expected none of {', '.join(_RESERVED)}")
    with open(_check_path(path), "wb") as file:
        tagged: dict[str, Any] = {_FORMAT_KEY: np.array(FORMAT), **arrays}
        np.savez(file, **tagged)


def load_arrays(path: str | os.PathLike[str]) -> dict[str, Array]:
    """Read what :func:`save_arrays` wrote; pickled content is never executed.

    Raises
    ------
    OSError
        If the file cannot be read.
    ValueError
        If it is no .npz archive, is damaged or holds pickled objects, or its version tag is
        missing or is not the one this version writes.
    """
    from tokenize import TokenError  # numpy.load loads them, and `import refrnn` need not
    from zipfile import BadZipFile
    from zlib import error as DeflateError

    shown = os.fspath(_check_path(path))
    with open(shown, "rb") as stream:
        if stream.read(4) != b"PK\x03\x04":
            raise ValueError(f"path has a file that is no .npz archive: {shown!r}")
        stream.seek(0)
        try:
            with np.load(stream, allow_pickle=False) as archive:
                arrays = {name: archive[name] for name in archive.files}
        except (
            BadZipFile,
            DeflateError,
            EOFError,
            MemoryError,
            OSError,
            RuntimeError,
            TokenError,
            ValueError,
        ) as error:  # whatever a damaged byte makes of the zip file or of an array's header
            raise ValueError(
                f"path has a file that cannot be read as arrays: {shown!r} ({error})"
            ) from error
    tag = arrays.pop(_FORMAT_KEY, None)
    if not isinstance(tag, np.ndarray) or str(tag) != FORMAT:
        raise ValueError(f"path has a file with format tag {tag!s}, expected {FORMAT}: {shown!r}")
    for name, array in arrays.items():
        if not isinstance(array, np.ndarray):  # numpy.load hands a foreign member out as bytes
            raise ValueError(f"path has a file whose member {name!r} is no array: {shown!r}")
    return arrays


def _check_name(name: Any) -> None:
    """Refuse what cannot be the name of an array in a record with attribute access."""
    if not isinstance(name, str):
        raise TypeError(f"arrays has a name of type {type(name).__name__}, expected str")
    if name.startswith("_") or hasattr(CellParameters, name):
        raise ValueError(f"arrays has name {name!r}, expected one that no attribute has")


def _check_path(path: Any) -> str | os.PathLike[str]:
    """`path` if it is one: open() would take a number for a file descriptor."""
    if not isinstance(path, (str, os.PathLike)):
        raise TypeError(f"path has type {type(path).__name__}, expected str or os.PathLike")
    checked: str | os.PathLike[str] = path
    return checked
