"""How a property fails: with the worst number named."""

from __future__ import annotations

from ..comparison import Results
from ..tolerances import Deviation

__all__ = ["hold", "hold_bitwise"]


def hold(deviations: list[Deviation]) -> None:
    """Raise AssertionError with the worst deviation, if it is out of tolerance.

    Parameters
    ----------
    deviations : list of Deviation
        As :func:`refrnn.comparison.compare` gives them; at least one.
    """
    worst = max(deviations, key=lambda d: d.in_tolerances)
    assert worst.ok, str(worst)


def hold_bitwise(got: Results, expected: Results) -> None:
    """Raise AssertionError unless every expected array is there, equal bit for bit.

    Parameters
    ----------
    got, expected : dict of str to ndarray
    """
    for name, array in expected.items():
        other = got[name]
        alike = (other.dtype, other.shape) == (array.dtype, array.shape)
        assert alike, (
            f"{name} has {other.dtype} {other.shape}, expected {array.dtype} {array.shape}"
        )
        assert other.tobytes() == array.tobytes(), (
            f"{name} has {other}, expected the bits of {array}"
        )
