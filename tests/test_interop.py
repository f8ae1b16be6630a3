"""Conversions without the library they are for: what is checked first, and what is said."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import refrnn as rr
from refrnn import interop
from refrnn.interop.checks import require

BATCH = rr.RaggedBatch(np.ones((3, 2)), [1, 2])
TO = [
    interop.to_awkward,
    interop.to_nested_tensor,
    interop.to_packed_sequence,
    interop.to_tf_ragged,
]
FROM = [
    interop.from_awkward,
    interop.from_nested_tensor,
    interop.from_packed_sequence,
    interop.from_tf_ragged,
]


class OnDevice:
    """An array on a device, as far as a batch looks at it."""

    def __init__(self) -> None:
        self.__cuda_array_interface__ = {"shape": (3, 2), "typestr": "<f8", "data": (0, True)}


def name_of(function: Callable[..., Any]) -> str:
    return function.__name__


@pytest.mark.parametrize("convert", [*TO, *FROM], ids=name_of)
def test_a_missing_package_is_named_with_what_to_install(
    convert: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    kind = convert.__name__.partition("_")[2]
    package = {"awkward": "awkward", "tf_ragged": "tensorflow"}.get(kind, "torch")
    monkeypatch.setitem(sys.modules, package, None)
    install = "tensorflow-cpu" if package == "tensorflow" else package
    message = rf"^{convert.__name__} needs {package}, which is not installed .*install {install}\)$"
    with pytest.raises(ImportError, match=message) as caught:
        convert(BATCH)
    assert caught.value.name == package


@pytest.mark.parametrize("convert", TO, ids=name_of)
def test_what_is_no_batch_on_the_host_is_refused_first(convert: Callable[..., Any]) -> None:
    with pytest.raises(TypeError, match="batch has type ndarray, expected a RaggedBatch"):
        convert(np.ones((3, 2)))
    with pytest.raises(TypeError, match="batch has values of type OnDevice in device memory"):
        convert(rr.RaggedBatch(OnDevice(), [1, 2]))


@pytest.mark.parametrize("convert", TO[1:], ids=name_of)
@pytest.mark.parametrize("dtype", ["longdouble", "complex128"])
def test_dtypes_that_the_container_lacks_are_refused(
    convert: Callable[..., Any], dtype: str
) -> None:
    batch = BATCH.with_values(BATCH.values.astype(dtype))
    with pytest.raises(TypeError, match=r"batch has dtype \w+, expected float32 or float64"):
        convert(batch)


def test_a_package_that_is_there_and_broken_raises_its_own_error(tmp_path: Any) -> None:
    (tmp_path / "a_broken_package.py").write_text("import a_module_nobody_has\n")
    sys.path.insert(0, str(tmp_path))
    try:
        with pytest.raises(ModuleNotFoundError, match="a_module_nobody_has") as caught:
            require("a_broken_package", "from_somewhere")
    finally:
        sys.path.remove(str(tmp_path))
    assert "needs" not in str(caught.value)


def test_packed_sequences_that_torch_does_not_pack_are_refused() -> None:
    with pytest.raises(ValueError, match=r"batch has length 0 at sequence 1, expected lengths >= "):
        interop.to_packed_sequence(rr.RaggedBatch(np.ones((3, 2)), [3, 0]))
    with pytest.raises(ValueError, match="batch has no sequences, expected at least one"):
        interop.to_packed_sequence(rr.RaggedBatch(np.ones((0, 2)), []))


def test_row_splits_are_of_a_dtype_that_counts_the_rows() -> None:
    many = rr.RaggedBatch(np.zeros((2**31, 0)), [2**31])  # rows without numbers take no memory
    with pytest.raises(ValueError, match=r"batch has 2147483648 rows, expected at most 2147483647"):
        interop.to_tf_ragged(many, row_splits_dtype="int32")
    with pytest.raises(ValueError, match=r"row_splits_dtype has value 'int16', expected 'int64' "):
        interop.to_tf_ragged(BATCH, row_splits_dtype="int16")
