"""From a name to an unroll: the built-in ones, and those that packages register."""

from __future__ import annotations

from typing import Any

from .base import Unroll
from .bucketed import Bucketed
from .lanes import Lanes
from .masked import Masked
from .packed import Packed
from .per_sequence import PerSequence

__all__ = ["BUILT_IN", "ENTRY_POINT_GROUP", "installed_unrolls", "resolve"]

#: The entry-point group under which packages register unroll classes.
ENTRY_POINT_GROUP = "refrnn.unrolls"

#: The unrolls of refrnn itself, the definition first.
BUILT_IN: dict[str, type[Any]] = {
    cls.name: cls for cls in (PerSequence, Masked, Bucketed, Packed, Lanes)
}


def resolve(unroll: str | Unroll) -> Unroll:
    """The unroll of a name, with its defaults; an unroll object is returned as it is.

    Entry points are read only when the name is none of the built-in ones.

    Parameters
    ----------
    unroll : str or Unroll

    Raises
    ------
    TypeError
        If it is neither a name nor an object with the members of :class:`refrnn.Unroll`.
    ValueError
        If no unroll of that name is installed, or it cannot be loaded; the message has the reason.
    """
    if not isinstance(unroll, str):
        return _check_unroll(unroll)
    if unroll in BUILT_IN:
        built_in: Unroll = BUILT_IN[unroll]()
        return built_in
    found = _entry_points()
    if unroll not in found:
        names = ", ".join([*BUILT_IN, *found])
        raise ValueError(f"unroll has name {unroll!r}, expected one of {names}, or an object")
    try:
        cls = found[unroll].load()
        reason = _unavailable(cls)
        made = cls() if reason is None else None
    except Exception as error:  # whatever a third party's import raises is the reason to report
        raise ValueError(f"unroll {unroll!r} is installed but cannot be loaded: {error}") from error
    if reason is not None:
        raise ValueError(f"unroll {unroll!r} is installed but cannot run here: {reason}")
    return _check_unroll(made)


def installed_unrolls() -> dict[str, type[Any] | str]:
    """Every unroll that can be asked for by name: its class, or the reason why it cannot be had.

    Returns
    -------
    dict of str to class or str
    """
    unrolls: dict[str, type[Any] | str] = dict(BUILT_IN)
    for name, entry_point in _entry_points().items():
        try:
            cls = entry_point.load()
            unrolls[name] = _unavailable(cls) or cls
        except Exception as error:  # reported, not hidden: the caller shows it
            unrolls[name] = f"{type(error).__name__}: {error}"
    return unrolls


def _unavailable(cls: Any) -> str | None:
    """Why an unroll cannot run on this machine, where its class knows."""
    ask = getattr(cls, "unavailable", None)
    reason: str | None = None if ask is None else ask()
    return reason


def _entry_points() -> dict[str, Any]:
    """The registered entry points that do not carry a built-in name."""
    from importlib.metadata import entry_points  # slow to import, and seldom needed

    found = entry_points(group=ENTRY_POINT_GROUP)
    return {point.name: point for point in found if point.name not in BUILT_IN}


def _check_unroll(unroll: Any) -> Unroll:
    """`unroll` if it has the members of an Unroll."""
    missing = [m for m in ("name", "supports", "forward", "backward") if not hasattr(unroll, m)]
    if missing or isinstance(unroll, type):
        kind = f"class {unroll.__name__}" if isinstance(unroll, type) else type(unroll).__name__
        raise TypeError(
            f"unroll has type {kind}, expected a name or an object with name, supports, forward "
            "and backward"
        )
    checked: Unroll = unroll
    return checked
