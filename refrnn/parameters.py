"""CellParameters: the weights of a cell, as an immutable record."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from .types import Array
from .validation import check_array, check_dtype

__all__ = ["CellParameters", "load_arrays", "save_arrays"]

#: Written to every file; raised when the layout of files changes.
FORMAT = "refrnn-parameters-1"

_FORMAT_KEY = "__format__"


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
        If a dtype is not allowed or dtypes are mixed.

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
        self._arrays = {}
        for name, value in arrays.items():
            rule = "an array of floating-point numbers"
            copy = check_array(value, name, ndim=np.ndim(value), rule=rule).copy(order="C")
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
        """A copy in another dtype."""
        target = check_dtype(dtype, "dtype")
        return CellParameters({k: a.astype(target) for k, a in self.items()})

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
        """Write to an uncompressed .npz file with NumPy alone, no pickle; see :meth:`load`."""
        save_arrays(path, self)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> CellParameters:
        """Read what :meth:`save` wrote.

        Raises
        ------
        ValueError
            If the file is no refrnn parameter file, or of a version this one cannot read.
        """
        return cls(load_arrays(path))


def save_arrays(path: str | os.PathLike[str], arrays: Mapping[str, Array]) -> None:
    """Write named arrays and a version tag to an .npz file that needs no pickle to read.

    Parameters
    ----------
    path : str or path
        Written as given; no suffix is added.
    arrays : mapping of str to ndarray
    """
    for name, array in arrays.items():
        if array.dtype == object:
            raise TypeError(f"{name} has dtype object, expected numbers: objects need pickle")
    with open(path, "wb") as file:
        tagged: dict[str, Any] = {_FORMAT_KEY: np.array(FORMAT), **arrays}
        np.savez(file, **tagged)


def load_arrays(path: str | os.PathLike[str]) -> dict[str, Array]:
    """Read what :func:`save_arrays` wrote; pickled content is never executed.

    Raises
    ------
    ValueError
        If the version tag is missing or is not the one this version writes.
    """
    with open(path, "rb") as stream:
        if stream.read(2) != b"PK":
            raise ValueError(f"path has a file that is no .npz archive: {os.fspath(path)}")
        stream.seek(0)
        with np.load(stream, allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in archive.files}
    tag = arrays.pop(_FORMAT_KEY, None)
    if tag is None or str(tag) != FORMAT:
        raise ValueError(f"path has a file with format tag {tag!s}, expected {FORMAT}")
    return arrays
