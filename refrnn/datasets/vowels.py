"""Japanese Vowels: 640 utterances of 7 to 29 steps by nine speakers, shipped with refrnn."""

from __future__ import annotations

from importlib import resources
from typing import Literal, NamedTuple

import numpy as np

from ..ragged import RaggedBatch
from ..types import Array, IntArray

__all__ = ["Dataset", "japanese_vowels"]


class Dataset(NamedTuple):
    """Sequences with one label each.

    Attributes
    ----------
    batch : RaggedBatch
        The sequences.
    labels : ndarray of int64, shape (B,)
        Class of each sequence, ``0 .. num_classes - 1``.
    num_classes : int
    """

    batch: RaggedBatch
    labels: IntArray
    num_classes: int


def japanese_vowels(split: Literal["train", "test"] = "train") -> Dataset:
    """Load the Japanese Vowels data: tell nine speakers apart by their voices.

    Parameters
    ----------
    split : {"train", "test"}
        270 utterances, 30 of each speaker, or 370 others, 24 to 88 of each.

    Returns
    -------
    Dataset
        From [1]_. A float64 batch of 12 LPC cepstrum coefficients a step, 7 to 29 steps an
        utterance (N = 4274 or 5687 steps), not standardised; labels 0..8. The arrays are
        read-only and new at each call.

    Raises
    ------
    ValueError
        If `split` is neither of the two.

    References
    ----------
    .. [1] M. Kudo, J. Toyama, M. Shimbo: Japanese Vowels. UCI Machine Learning Repository, 1999.
       https://doi.org/10.24432/C5NS47. Licence CC BY 4.0; ``japanese_vowels_source.txt`` beside
       this module has the details.

    Examples
    --------
    >>> from refrnn.datasets import japanese_vowels
    >>> train = japanese_vowels("train")
    >>> train.batch
    RaggedBatch(B=270, N=4274, F=12, lengths 7..26, float64)
    >>> train.labels[:3], train.num_classes
    (array([0, 0, 0]), 9)
    """
    if split not in ("train", "test"):
        raise ValueError(f"split has value {split!r}, expected 'train' or 'test'")
    archive = resources.files(__package__) / "japanese_vowels.npz"
    with archive.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
        planes = arrays[f"{split}_planes"]
        lengths = arrays[f"{split}_lengths"].astype(np.int64)
        labels = arrays[f"{split}_labels"].astype(np.int64)
    labels.flags.writeable = False
    return Dataset(RaggedBatch(_from_planes(planes), lengths), labels, num_classes=9)


def _from_planes(planes: Array) -> Array:
    """Rows of float64 from bytes; bytes of equal weight lie together because they compress best."""
    low, middle, high = planes.astype(np.int64)
    millionths = low + (middle << 8) + (high << 16) - 2**23
    values: Array = np.ascontiguousarray(millionths.T) / 1e6
    values.flags.writeable = False
    return values
