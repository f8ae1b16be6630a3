"""The shipped data says what its source says; the laws follow their formulas."""

from __future__ import annotations

import hashlib
from importlib import resources

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import refrnn.datasets
from refrnn.datasets import LENGTH_LAWS, japanese_vowels, synthetic_lengths


@pytest.mark.parametrize(
    ("split", "lengths", "steps", "speakers"),
    [
        ("train", (270, 7, 26), 4274, [30] * 9),
        ("test", (370, 7, 29), 5687, [31, 35, 88, 44, 29, 24, 40, 50, 29]),
    ],
)
def test_vowels_have_the_published_sizes(split, lengths, steps, speakers):
    """Utterances, lengths, coefficients and speakers as the repository describes them."""
    batch, labels, num_classes = japanese_vowels(split)
    assert (len(batch), batch.lengths.min(), batch.lengths.max()) == lengths
    assert batch.values.shape == (steps, 12)
    assert batch.values.dtype == np.float64
    assert labels.dtype == np.int64
    assert labels.shape == (lengths[0],)
    assert num_classes == 9
    assert np.bincount(labels).tolist() == speakers


@pytest.mark.parametrize(
    ("split", "sequence", "step", "expected"),
    [
        (
            "train",
            0,
            0,
            [
                1.860936,
                -0.207383,
                0.261557,
                -0.214562,
                -0.171253,
                -0.118167,
                -0.277557,
                0.025668,
                0.126701,
                -0.306756,
                -0.213076,
                0.088728,
            ],
        ),
        (
            "train",
            269,
            -1,
            [
                0.966744,
                -0.323093,
                0.305467,
                -0.419457,
                0.514195,
                -0.31106,
                -0.033985,
                0.154038,
                -0.389686,
                -0.089183,
                0.16625,
                0.173642,
            ],
        ),
        (
            "train",
            2,
            0,
            [
                1.462484,
                0.174066,
                0.505133,
                -0.374302,
                -0.362125,
                -0.400335,
                -0.137429,
                -0.00083,
                0.053888,
                -0.23763,
                0.120636,
                0.193254,
            ],
        ),
        (
            "test",
            0,
            0,
            [
                1.635533,
                0.024848,
                0.432087,
                -0.361914,
                -0.074776,
                -0.693481,
                -0.229621,
                0.261503,
                -0.089421,
                -0.020431,
                -0.008612,
                0.139754,
            ],
        ),
        (
            "test",
            369,
            -1,
            [
                1.177449,
                -0.40408,
                0.052026,
                -0.284812,
                0.42984,
                -0.203484,
                -0.072393,
                -0.080955,
                -0.244424,
                -0.001849,
                -0.016634,
                0.224688,
            ],
        ),
    ],
)
def test_vowels_values(split, sequence, step, expected):
    """A few literal rows of the text files, to the bit."""
    assert japanese_vowels(split).batch[sequence][step].tolist() == expected


@pytest.mark.parametrize(
    ("split", "digest"),
    [
        ("train", "b3083dc693555067a58f8474237f44dd3f1054aea9b617a2daf303bfcf385d7d"),
        ("test", "f9d1796d8fc34047912e136ed20791f4d3fa7271cb94841a9661d73fedb717ae"),
    ],
)
def test_vowels_digest(split, digest):
    """All of it: SHA-256 of the little-endian float64 rows, lengths and labels."""
    batch, labels, _ = japanese_vowels(split)
    content = hashlib.sha256()
    content.update(batch.values.astype("<f8").tobytes())
    content.update(batch.lengths.astype("<i8").tobytes())
    content.update(labels.astype("<i8").tobytes())
    assert content.hexdigest() == digest


def test_vowels_have_at_most_six_decimals():
    """Each number is the float64 nearest to a decimal of six places."""
    for split in ("train", "test"):
        values = japanese_vowels(split).batch.values.ravel().tolist()
        assert all(float(f"{value:.6f}") == value for value in values)


def test_vowels_are_read_only_and_fresh():
    """A caller can neither write to the arrays nor reach those of another call."""
    one, other = japanese_vowels(), japanese_vowels("train")
    assert one.batch == other.batch
    assert not np.shares_memory(one.batch.values, other.batch.values)
    for array in (one.batch.values, one.batch.lengths, one.labels):
        with pytest.raises(ValueError, match="read-only"):
            array[0] = 0


@pytest.mark.parametrize("split", ["validation", "", None, 0])
def test_unknown_split(split):
    """The two names are said."""
    with pytest.raises(ValueError, match=r"split has value .*, expected 'train' or 'test'"):
        japanese_vowels(split)


def test_vowels_ship_without_pickle_and_with_their_licence():
    """The archive loads without pickle and stays small; source and licence lie beside it."""
    room = resources.files(refrnn.datasets)
    with resources.as_file(room / "japanese_vowels.npz") as path:
        assert path.stat().st_size < 300_000
        with np.load(path, allow_pickle=False) as archive:
            assert all(archive[name].dtype == np.uint8 for name in archive.files)
            assert len(archive.files) == 6
    text = (room / "japanese_vowels_source.txt").read_text(encoding="utf-8")
    for fact in ("Kudo", "10.24432/C5NS47", "CC BY 4.0", "UCI Machine Learning Repository"):
        assert fact in text


@given(
    st.sampled_from(sorted(LENGTH_LAWS)), st.integers(0, 50), st.integers(1, 300), st.integers(0, 9)
)
def test_laws_stay_in_range(law, batch_size, max_length, seed):
    """int64, from 1 to T, the same for the same seed."""
    lengths = synthetic_lengths(law, batch_size, max_length, seed=seed)
    assert lengths.shape == (batch_size,)
    assert lengths.dtype == np.int64
    assert np.all((lengths >= 1) & (lengths <= max_length))
    assert np.array_equal(lengths, synthetic_lengths(law, batch_size, max_length, seed=seed))


def test_laws_without_chance():
    """The two laws that draw nothing."""
    assert synthetic_lengths("equal", 3, 9, seed=0).tolist() == [9, 9, 9]
    assert synthetic_lengths("one", 3, 9, seed=0).tolist() == [9, 1, 1]
    assert synthetic_lengths("one", 0, 9, seed=0).tolist() == []


def test_uniform_covers_its_range_evenly():
    """Each of 1..T is as likely: within six standard deviations."""
    counts = np.bincount(synthetic_lengths("uniform", 60_000, 6, seed=0), minlength=7)
    assert counts[0] == 0
    assert np.all(np.abs(counts[1:] - 10_000) < 6 * np.sqrt(60_000 / 6 * 5 / 6))


def test_lognormal_has_its_median_and_spread():
    """Median T / 6, and 0.8 for the standard deviation of the logarithm below the clip."""
    lengths = synthetic_lengths("lognormal", 40_000, 6000, seed=0)
    assert np.median(lengths) == pytest.approx(1000, rel=0.03)
    one_deviation_below = np.quantile(lengths, 0.15865525393145707)
    assert one_deviation_below == pytest.approx(1000 * np.exp(-0.8), rel=0.03)
    assert np.mean(lengths == 6000) == pytest.approx(0.01255, abs=0.003)


def test_zipf_has_its_exponent():
    """Multiples of four below the clip; P(4) / P(8) = 2 ** 1.5."""
    lengths = synthetic_lengths("zipf", 60_000, 400, seed=0)
    assert np.all(lengths % 4 == 0)
    ratio = np.sum(lengths == 4) / np.sum(lengths == 8)
    assert ratio == pytest.approx(2**1.5, rel=0.05)
    assert np.any(synthetic_lengths("zipf", 60_000, 401, seed=0) == 401)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        (
            ("gauss", 3, 9, 0),
            ValueError,
            "law has value 'gauss', expected one of uniform, lognormal",
        ),
        (("equal", -1, 9, 0), ValueError, "batch_size has value -1"),
        (("equal", 3, 0, 0), ValueError, "max_length has value 0"),
        (("equal", 3, 9, -1), ValueError, "seed has value -1"),
        (("equal", 3.0, 9, 0), TypeError, "batch_size has type float"),
    ],
)
def test_bad_laws(arguments, error, message):
    """Each argument is refused with its name and the rule."""
    law, batch_size, max_length, seed = arguments
    with pytest.raises(error, match=message):
        synthetic_lengths(law, batch_size, max_length, seed=seed)
