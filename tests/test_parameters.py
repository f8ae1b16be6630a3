"""CellParameters: a record that nothing changes, and files that run nothing."""

from __future__ import annotations

import copy
import pickle
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given

from refrnn import LSTM, CellParameters
from refrnn.parameters import load_arrays, save_arrays
from refrnn.testing.strategies import cells

TAG = "refrnn-parameters-1"


@pytest.fixture
def record() -> CellParameters:
    return CellParameters({"W": np.arange(6.0).reshape(2, 3), "b": np.array([7.0, 8.0])})


# --- the record ----------------------------------------------------------------------------------


def test_a_mapping_with_attributes(record: CellParameters) -> None:
    assert list(record) == ["W", "b"]
    assert len(record) == 2
    assert record["W"] is record.W
    assert "W" in record
    assert "nope" not in record
    assert record.get("nope") is None
    assert dict(record.items())["b"].tolist() == [7, 8]
    assert {"W", "b", "dtype", "flatten"} <= set(dir(record))
    assert repr(record) == "CellParameters(W (2, 3), b (2,), float64)"
    with pytest.raises(AttributeError, match="no parameter 'nope'; this record has W, b"):
        record.nope  # noqa: B018
    with pytest.raises(KeyError):
        record["nope"]


def test_nothing_can_be_changed(record: CellParameters) -> None:
    with pytest.raises(ValueError, match="read-only"):
        record.W[0, 0] = 1
    with pytest.raises(TypeError):
        record["W"] = np.zeros(2)  # type: ignore[index]
    for name in ("W", "new"):
        with pytest.raises(AttributeError):
            setattr(record, name, np.zeros(2))
    with pytest.raises(AttributeError):
        del record.W
    with pytest.raises(TypeError, match="unhashable"):
        hash(record)


def test_arrays_are_copied_in_c_order_and_native() -> None:
    source = np.asfortranarray(np.arange(6.0).reshape(2, 3).astype(">f8"))
    record = CellParameters({"W": source})
    source[...] = 0
    assert record.flatten().tolist() == [0, 1, 2, 3, 4, 5]
    assert record.W.flags.c_contiguous
    assert record.dtype.isnative


def test_equality(record: CellParameters) -> None:
    assert record == CellParameters(dict(record))
    assert record != CellParameters({**record, "b": record.b + 1})
    assert record != CellParameters({"b": record.b, "W": record.W})
    assert record != record.astype("float32")
    assert record != CellParameters({"W": record.W})
    assert record != dict(record)


@pytest.mark.parametrize(
    "copied",
    [copy.copy, copy.deepcopy, lambda r: pickle.loads(pickle.dumps(r))],
    ids=["copy", "deepcopy", "pickle"],
)
def test_a_copy_is_equal_and_read_only(record: CellParameters, copied: Any) -> None:
    other = copied(record)
    assert other == record
    assert not other.W.flags.writeable


@pytest.mark.parametrize("dtype", ["float32", "float64", "longdouble", "complex64", "complex128"])
def test_astype(record: CellParameters, dtype: str) -> None:
    other = record.astype(dtype)
    assert other.dtype == other.W.dtype == other.b.dtype == np.dtype(dtype)
    assert np.array_equal(other.W, record.W)


@pytest.mark.parametrize("dtype", ["float16", "int64", None, "nonsense"])
def test_astype_to_nothing_that_is_computed_in(record: CellParameters, dtype: Any) -> None:
    with pytest.raises(TypeError, match=r"^dtype has .*, expected float32, float64 or longdouble"):
        record.astype(dtype)


def test_an_imaginary_part_is_not_dropped(record: CellParameters) -> None:
    with pytest.raises(TypeError, match="W has dtype complex128, expected numbers that float64"):
        record.astype(complex).astype(float)


@given(cell=cells())
def test_unflatten_is_the_inverse_of_flatten(cell: Any) -> None:
    params = cell.init_parameters(np.random.default_rng(0))
    vector = params.flatten()
    assert vector.shape == (sum(a.size for a in params.values()),)
    assert params.unflatten(vector) == params
    vector[...] = np.arange(vector.size)
    numbered = params.unflatten(vector)
    assert numbered.flatten().tolist() == list(range(vector.size))
    vector[...] = -1
    assert numbered.flatten().min() >= 0  # no view of the vector
    assert params.unflatten(vector.astype("float32")).dtype == np.float32


@pytest.mark.parametrize(
    ("vector", "kind", "words"),
    [
        (np.zeros(7), ValueError, r"vector has shape \(7,\), expected \(8,\)"),
        (np.zeros((2, 4)), ValueError, r"vector has shape \(2, 4\), expected \(8,\)"),
        (np.zeros(8, int), TypeError, "vector has dtype int64"),
        (None, TypeError, "vector has type NoneType"),
    ],
)
def test_a_bad_vector_is_named(
    record: CellParameters, vector: Any, kind: type[Exception], words: str
) -> None:
    with pytest.raises(kind, match=words):
        record.unflatten(vector)


def test_an_empty_record() -> None:
    nothing = CellParameters({})
    assert nothing.dtype == np.float64
    assert nothing.flatten().shape == (0,)
    assert nothing.unflatten(np.zeros(0)) == nothing


@pytest.mark.parametrize(
    ("arrays", "kind", "words"),
    [
        (None, TypeError, "arrays has type NoneType, expected a mapping"),
        ([np.ones(2)], TypeError, "arrays has type list, expected a mapping"),
        ({3: np.ones(2)}, TypeError, "arrays has a name of type int, expected str"),
        ({"keys": np.ones(2)}, ValueError, "arrays has name 'keys', expected one that no attr"),
        ({"dtype": np.ones(2)}, ValueError, "arrays has name 'dtype'"),
        ({"_arrays": np.ones(2)}, ValueError, "arrays has name '_arrays'"),
        ({"__format__": np.ones(2)}, ValueError, "arrays has name '__format__'"),
        ({"a": np.ones(2), "b": np.ones(2, "f4")}, TypeError, "b has dtype float32, .* of a = flo"),
        ({"a": np.ones(2, int)}, TypeError, "a has dtype int64"),
        ({"a": np.ones(2, "f2")}, TypeError, "a has dtype float16"),
        ({"a": np.ones(2, object)}, TypeError, "a has dtype object"),
        ({"a": None}, TypeError, "a has type NoneType"),
        ({"a": "abc"}, TypeError, "a has dtype <U3"),
        ({"a": [[1.0], [1.0, 2.0]]}, ValueError, "a has rows of different lengths"),
        ({"a": np.ma.masked_array([1.0], [True])}, TypeError, "a has type MaskedArray"),
    ],
)
def test_bad_arrays_are_named(arrays: Any, kind: type[Exception], words: str) -> None:
    with pytest.raises(kind, match=words):
        CellParameters(arrays)


# --- files ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["float32", "float64", "longdouble", "complex128"])
def test_a_file_gives_back_the_bits(tmp_path: Path, dtype: str) -> None:
    cell = LSTM(3, 5, peepholes=True, proj_size=2)
    params = cell.init_parameters(np.random.default_rng(0)).astype(dtype)
    params.save(tmp_path / "no_suffix")
    loaded = CellParameters.load(str(tmp_path / "no_suffix"))
    assert loaded == params
    assert list(loaded) == list(params)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["no_suffix"]


def test_any_numpy_reads_the_file(tmp_path: Path, record: CellParameters) -> None:
    record.save(tmp_path / "p.npz")
    with np.load(tmp_path / "p.npz", allow_pickle=False) as archive:
        assert str(archive["__format__"]) == TAG
        assert np.array_equal(archive["W"], record.W)


def test_an_empty_record_and_odd_names_survive(tmp_path: Path) -> None:
    for record in (CellParameters({}), CellParameters({"0/l.W": np.ones(2), "x.npy": np.ones(1)})):
        record.save(tmp_path / "p")
        assert CellParameters.load(tmp_path / "p") == record


class Bomb:
    """Makes a file when it is unpickled."""

    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> Any:
        return Path.touch, (self.target,)


@pytest.mark.parametrize("member", ["W", "__format__"])
def test_pickled_content_is_never_executed(tmp_path: Path, member: str) -> None:
    fired = tmp_path / "fired"
    pickle.loads(pickle.dumps(Bomb(fired)))
    assert fired.exists()  # the bomb works
    fired.unlink()
    members: dict[str, Any] = {"W": np.ones(2), "__format__": np.array(TAG)}
    members[member] = np.array([Bomb(fired)], object)
    np.savez(tmp_path / "bomb.npz", **members)
    (tmp_path / "bomb.pkl").write_bytes(pickle.dumps(Bomb(fired)))
    for name in ("bomb.npz", "bomb.pkl"):
        with pytest.raises(ValueError, match=f"path has a file that .*{name}"):
            CellParameters.load(tmp_path / name)
    assert not fired.exists()


def test_objects_are_not_written_either(tmp_path: Path) -> None:
    structured = np.zeros(2, [("a", object)])
    for array in (np.array([None]), structured):
        with pytest.raises(TypeError, match="x has dtype object, expected numbers"):
            save_arrays(tmp_path / "p", {"x": array})
    assert not (tmp_path / "p").exists()


@pytest.mark.parametrize("name", ["file", "allow_pickle", "__format__"])
def test_names_that_the_file_needs_are_refused_not_dropped(tmp_path: Path, name: str) -> None:
    with pytest.raises(ValueError, match=f"arrays has name '{name}', expected none of"):
        save_arrays(tmp_path / "p", {name: np.ones(2)})
    assert not (tmp_path / "p").exists()


def test_another_version_is_refused(tmp_path: Path) -> None:
    np.savez(tmp_path / "new.npz", W=np.ones(2), __format__=np.array("refrnn-parameters-9"))
    with pytest.raises(ValueError, match=r"tag refrnn-parameters-9, expected refrnn-param.*new"):
        CellParameters.load(tmp_path / "new.npz")
    np.savez(tmp_path / "none.npz", W=np.ones(2))
    with pytest.raises(ValueError, match="format tag None, expected refrnn-parameters-1"):
        CellParameters.load(tmp_path / "none.npz")


def test_a_wrong_or_damaged_file_is_named(tmp_path: Path, record: CellParameters) -> None:
    record.save(tmp_path / "good")
    good = (tmp_path / "good").read_bytes()
    at = good.index(record.W.tobytes())
    bad = {
        "empty": b"",
        "text": b"PK, but no archive",
        "truncated": good[:-200],
        "flipped": good[:at] + bytes([good[at] ^ 0xFF]) + good[at + 1 :],
    }
    for name, content in bad.items():
        (tmp_path / name).write_bytes(content)
        with pytest.raises(ValueError, match=f"path has a file that .*{name}"):
            load_arrays(tmp_path / name)
    np.save(tmp_path / "array.npy", record.W)
    with pytest.raises(ValueError, match=r"path has a file that is no \.npz archive: .*array.npy"):
        CellParameters.load(tmp_path / "array.npy")


def test_damage_anywhere_is_a_value_error(tmp_path: Path, record: CellParameters) -> None:
    record.save(tmp_path / "good")
    good = (tmp_path / "good").read_bytes()
    rng = np.random.default_rng(0)
    refused = 0
    for place in rng.integers(4, len(good), 600):
        spoilt = bytearray(good)
        spoilt[place] = rng.integers(256)
        (tmp_path / "bad").write_bytes(spoilt)
        try:
            load_arrays(tmp_path / "bad")  # some bytes of a zip file mean nothing
        except ValueError:
            refused += 1
    assert refused > 200


def test_a_member_that_is_no_array_is_named(tmp_path: Path, record: CellParameters) -> None:
    record.save(tmp_path / "p")
    with zipfile.ZipFile(tmp_path / "p", "a") as archive:
        archive.writestr("notes.txt", b"hello")
    with pytest.raises(ValueError, match=r"path has a file whose member .notes\.txt. is no array"):
        CellParameters.load(tmp_path / "p")


def test_arrays_of_another_kind_are_no_parameters(tmp_path: Path) -> None:
    save_arrays(tmp_path / "p", {"W": np.arange(3)})
    assert load_arrays(tmp_path / "p")["W"].tolist() == [0, 1, 2]
    with pytest.raises(TypeError, match="W has dtype int64"):
        CellParameters.load(tmp_path / "p")


def test_a_path_is_a_path(tmp_path: Path, record: CellParameters) -> None:
    for path in (1, None, b"p"):  # 1 would be standard output
        with pytest.raises(TypeError, match="path has type"):
            record.save(path)  # type: ignore[arg-type]
        with pytest.raises(TypeError, match="path has type"):
            CellParameters.load(path)  # type: ignore[arg-type]
    with pytest.raises(FileNotFoundError, match="nowhere"):
        CellParameters.load(tmp_path / "nowhere")
