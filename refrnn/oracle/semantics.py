"""Semantics: what a framework does on purpose where refrnn's law says otherwise.

A profile turns the law into what a framework promises, so that a deliberate difference can be told
from a mistake. Each field is one question on which frameworks disagree, and its first answer is
the law's.
"""

from __future__ import annotations

from typing import NamedTuple

__all__ = ["LAW", "PROFILES", "Semantics", "semantics"]

_ANSWERS = {
    "empty": ("identity", "zeros", "padding"),
    "padded_output": ("zero", "repeat", "state", "any"),
    "float64": ("float64", "float32"),
    "activations": ("relative", "absolute"),
}

#: The words for an answer that is not the law's.
WORDS = {
    ("empty", "zeros"): "the final state of a sequence of length 0 is zero, not the initial state",
    ("empty", "padding"): "the final state of a sequence of length 0 is the state after its "
    "padding, not the initial state",
    ("padded_output", "repeat"): "outputs in the padding repeat the last valid one",
    ("padded_output", "state"): "outputs in the padding repeat the last valid one, and h_0 where "
    "there is none",
    ("padded_output", "any"): "outputs in the padding are left as they come",
    ("float64", "float32"): "float64 is computed in float32",
    ("activations", "absolute"): "activations are approximations, right to an absolute error of "
    "one unit at 1, so that the value of a gate that is nearly shut is lost",
}

#: What a framework may refuse, each a trait of a problem.
TRAITS = ("no sequence", "no step", "length 0", "holes")


class Semantics(NamedTuple):
    """The answers of one framework; a record.

    Attributes
    ----------
    name : str
        What the profile is called.
    empty : {"identity", "zeros", "padding"}
        The final state of a sequence of length 0: its initial state, zero, or the state after all
        its padded steps.
    padded_output : {"zero", "repeat", "state", "any"}
        Outputs at padded steps: zero, the last valid output before them (zero where there is
        none), the state h (the same, and h_0 where there is none), or anything, so that they are
        not compared.
    float64 : {"float64", "float32"}
        What float64 is computed in.
    activations : {"relative", "absolute"}
        What the error of sigmoid, tanh and other smooth activations is small against: their value,
        or 1. The latter is granted as measured: ``refrnn.oracle.reference``.
    refuses : tuple of str
        What the framework raises an error for: some of ``"no sequence"``, ``"no step"``,
        ``"length 0"`` and ``"holes"``.

    Examples
    --------
    >>> from refrnn.oracle import PROFILES
    >>> PROFILES["keras"].differences()
    ['outputs in the padding repeat the last valid one']
    """

    name: str = "refrnn"
    empty: str = "identity"
    padded_output: str = "zero"
    float64: str = "float64"
    activations: str = "relative"
    refuses: tuple[str, ...] = ()

    def differing_fields(self) -> tuple[str, ...]:
        """The fields whose answer is not the law's."""
        return tuple(f for f in _ANSWERS if getattr(self, f) != _ANSWERS[f][0])

    def differences(self) -> list[str]:
        """In words: what is done that the law does not say."""
        return [WORDS[field, getattr(self, field)] for field in self.differing_fields()]

    def lawful(self, field: str) -> Semantics:
        """The same semantics with the law's answer to one question."""
        return self._replace(**{field: _ANSWERS[field][0]})  # type: ignore[arg-type]


#: refrnn's own semantics: the design's chapter on the law.
LAW = Semantics()

#: What frameworks do on purpose, by name.
PROFILES: dict[str, Semantics] = {
    profile.name: profile
    for profile in (
        LAW,
        # torch.nn.utils.rnn.pack_padded_sequence raises for a length of 0 and for an empty batch
        Semantics("packed", refuses=("length 0", "no step", "no sequence")),
        # ONNX leaves length 0 open, ONNX Runtime chose zeros; its sigmoid is a rational
        # approximation: s(-18) is 5e-9 or 0, not 1.5e-8
        Semantics("onnx", empty="zeros", activations="absolute", refuses=("holes",)),
        # keras.layers.RNN reads the first step and the batch's first row, whatever the mask says
        Semantics("keras", padded_output="repeat", refuses=("no step", "no sequence")),
        # flax.linen.RNN gathers carry[length - 1] and masks no output
        Semantics("flax", empty="padding", padded_output="any", refuses=("holes",)),
        # jax.experimental.rnn.lstm_ref gathers as flax does, and masks its outputs
        Semantics("lstm_ref", empty="padding", refuses=("holes",)),
        # torch.nn.LSTM with a padded batch raises for a batch without a step or a sequence
        Semantics("padded", refuses=("no step", "no sequence")),
        # mlx.nn stacks the outputs of the steps, and mx.stack refuses to stack none
        Semantics("mlx", refuses=("length 0", "no step")),
    )
}


def semantics(chosen: str | Semantics) -> Semantics:
    """A profile by its name, or checked as given.

    Parameters
    ----------
    chosen : str or Semantics
        A key of :data:`PROFILES`, or one's own record.

    Raises
    ------
    TypeError
        If it is neither.
    ValueError
        If there is no such profile, or an answer is none of those listed.
    """
    if isinstance(chosen, str):
        if chosen not in PROFILES:
            names = ", ".join(PROFILES)
            raise ValueError(f"semantics has value {chosen!r}, expected one of {names}")
        return PROFILES[chosen]
    if not isinstance(chosen, Semantics):
        kind = type(chosen).__name__
        raise TypeError(f"semantics has type {kind}, expected a name or a Semantics")
    for field, answers in _ANSWERS.items():
        if getattr(chosen, field) not in answers:
            raise ValueError(
                f"semantics.{field} has value {getattr(chosen, field)!r}, expected one of "
                f"{', '.join(answers)}"
            )
    for trait in chosen.refuses:
        if trait not in TRAITS:
            rule = f"some of {', '.join(TRAITS)}"
            raise ValueError(f"semantics.refuses has value {trait!r}, expected {rule}")
    return chosen
