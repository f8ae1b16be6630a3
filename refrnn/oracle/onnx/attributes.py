"""Attributes of the ONNX operators RNN, GRU and LSTM: what there is, and what it may be."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from ...activations import Activation, activation
from ...validation import check_integer, check_positive_float

__all__ = ["OPERATORS", "Attributes", "Operator", "check_attributes", "find_operator"]


class Operator(NamedTuple):
    """What tells the three operators apart.

    Attributes
    ----------
    name : {"RNN", "GRU", "LSTM"}
    inputs, outputs : tuple of str
        In ONNX' order.
    gates : int
        Blocks of rows in W and R.
    activations : tuple of str
        The default functions of one direction: f, or f and g, or f, g and h.
    own_attribute : str or None
        The attribute that the other two do not have.
    """

    name: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    gates: int
    activations: tuple[str, ...]
    own_attribute: str | None

    @property
    def attributes(self) -> tuple[str, ...]:
        """Names of its attributes."""
        return _ATTRIBUTES if self.own_attribute is None else (*_ATTRIBUTES, self.own_attribute)


_ATTRIBUTES = (
    "hidden_size",
    "direction",
    "layout",
    "clip",
    "activations",
    "activation_alpha",
    "activation_beta",
)
_INPUTS = ("X", "W", "R", "B", "sequence_lens", "initial_h")

#: The operators by name.
OPERATORS: dict[str, Operator] = {
    "RNN": Operator("RNN", _INPUTS, ("Y", "Y_h"), 1, ("Tanh",), None),
    "GRU": Operator("GRU", _INPUTS, ("Y", "Y_h"), 3, ("Sigmoid", "Tanh"), "linear_before_reset"),
    "LSTM": Operator(
        "LSTM",
        (*_INPUTS, "initial_c", "P"),
        ("Y", "Y_h", "Y_c"),
        4,
        ("Sigmoid", "Tanh", "Tanh"),
        "input_forget",
    ),
}

# Which of its directions are stepped from the end.
_DIRECTIONS = {"forward": (False,), "reverse": (True,), "bidirectional": (False, True)}

# No operator of this name ever had defaults for them.
_WITHOUT_DEFAULTS = ("scaledtanh",)


class Attributes(NamedTuple):
    """Checked attributes of a node.

    Attributes
    ----------
    operator : Operator
    hidden_size : int or None
        H; None where the shape of R has to say it.
    reverse : tuple of bool
        One a direction, whether it steps from the end.
    batch_first : bool
        ``layout=1``.
    clip : float or None
    activations : tuple of tuple of Activation
        One tuple a direction.
    variant : bool
        ``input_forget`` of LSTM, ``linear_before_reset`` of GRU.
    """

    operator: Operator
    hidden_size: int | None
    reverse: tuple[bool, ...]
    batch_first: bool
    clip: float | None
    activations: tuple[tuple[Activation, ...], ...]
    variant: bool


def find_operator(name: Any) -> Operator:
    """The operator of a name; TypeError or ValueError for anything else."""
    if not isinstance(name, str):
        raise TypeError(f"operator has type {type(name).__name__}, expected a name")
    if name not in OPERATORS:
        raise ValueError(f"operator has value {name!r}, expected one of {', '.join(OPERATORS)}")
    return OPERATORS[name]


def check_attributes(operator: Operator, given: Mapping[str, Any]) -> Attributes:
    """Check the attributes of a node and fill in ONNX' defaults.

    Parameters
    ----------
    operator : Operator
    given : mapping of str to object
        None counts as not given.

    Raises
    ------
    TypeError
        If a name is unknown, or a value is of the wrong kind.
    ValueError
        If a value is out of range, or there are more or fewer activations or numbers for them than
        the directions need.
    """
    unknown = sorted(set(given) - set(operator.attributes))
    if unknown:
        expected = ", ".join(operator.attributes)
        raise TypeError(f"{operator.name} has no attribute {unknown[0]}, expected {expected}")
    values = {name: value for name, value in given.items() if value is not None}
    direction = values.get("direction", "forward")
    if not isinstance(direction, str):
        raise TypeError(f"direction has type {type(direction).__name__}, expected a name")
    if direction not in _DIRECTIONS:
        raise ValueError(
            f"direction has value {direction!r}, expected one of {', '.join(_DIRECTIONS)}"
        )
    reverse = _DIRECTIONS[direction]
    size = values.get("hidden_size")
    clip = values.get("clip")
    return Attributes(
        operator,
        None if size is None else check_integer(size, "hidden_size", minimum=1),
        reverse,
        _check_switch(values.get("layout", 0), "layout"),
        None if clip is None else check_positive_float(clip, "clip"),
        _check_activations(operator, values, len(reverse)),
        _check_variant(operator, values),
    )


def _check_variant(operator: Operator, values: Mapping[str, Any]) -> bool:
    """Whether the attribute that only this operator has is set."""
    name = operator.own_attribute
    if name is None:
        return False
    if name == "linear_before_reset":  # the specification says "when != 0"
        return check_integer(values.get(name, 0), name, minimum=0) != 0
    return _check_switch(values.get(name, 0), name)


def _check_switch(value: Any, name: str) -> bool:
    """An attribute that is 0 or 1."""
    number = check_integer(value, name, minimum=0)
    if number > 1:
        raise ValueError(f"{name} has value {number}, expected 0 or 1")
    return number == 1


def _check_activations(
    operator: Operator, values: Mapping[str, Any], directions: int
) -> tuple[tuple[Activation, ...], ...]:
    """The functions of each direction, alpha and beta handed out in order."""
    each = len(operator.activations)
    names = _check_list(values.get("activations", operator.activations * directions), "activations")
    # ONNX writes RNN's default as two names, whatever the direction.
    if operator.name == "RNN" and directions == 1 and names == ["Tanh", "Tanh"]:
        names = names[:1]
    if len(names) != each * directions:
        raise ValueError(
            f"activations has {len(names)} names, expected {each} for each of {directions} "
            f"direction{'s' * (directions > 1)}"
        )
    supplies = {
        which: _check_list(values.get(f"activation_{which}", []), f"activation_{which}")
        for which in ("alpha", "beta")
    }
    left = {which: list(numbers) for which, numbers in supplies.items()}
    functions = [_make_activation(name, left) for name in names]
    for which, numbers in left.items():
        if numbers:
            total = len(supplies[which])
            raise ValueError(
                f"activation_{which} has {total} numbers, expected at most "
                f"{total - len(numbers)}: no more of {', '.join(names)} takes one"
            )
    return tuple(tuple(functions[start : start + each]) for start in range(0, len(functions), each))


def _make_activation(name: Any, left: dict[str, list[Any]]) -> Activation:
    """The function of a name with the next alpha and beta, taken out of `left`."""
    if isinstance(name, Activation):
        raise TypeError("activations has an Activation, expected names")
    function = activation(name)
    numbers: dict[str, Any] = {}
    for which, supply in left.items():
        if getattr(function, which) is None:
            continue
        if supply:
            numbers[which] = supply.pop(0)
        elif function.name in _WITHOUT_DEFAULTS:
            raise ValueError(
                f"activation_{which} has no number for {name}, expected one: there is no default"
            )
    return activation(name, **numbers)


def _check_list(value: Any, name: str) -> list[Any]:
    """An attribute that is a list, as a new one; a lone str is a list of letters and refused."""
    if isinstance(value, str) or not isinstance(value, Sequence):
        raise TypeError(f"{name} has type {type(value).__name__}, expected a list")
    return list(value)
