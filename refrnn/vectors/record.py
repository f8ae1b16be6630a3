"""A case of the corpus as Python has it: its entry in the manifest and its arrays."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from ..activations import activation
from ..cells import GRU, LSTM, RNN
from ..comparison import Case, Reference, Results, run_case
from ..layers import Recurrent
from ..padding import unpad
from ..parameters import CellParameters
from ..ragged import RaggedBatch
from ..tolerances import Deviation, deviation
from ..types import Array
from ..unroll import Unroll
from ..unroll.base import AnyCell, State

__all__ = ["StackCase", "VectorCase", "run_stack"]

_KINDS: dict[str, Any] = {"RNN": RNN, "LSTM": LSTM, "GRU": GRU}


class StackCase(NamedTuple):
    """What :class:`refrnn.comparison.Case` is, for a stack: states are (L*D, B, size)."""

    layer: Recurrent
    parameters: CellParameters
    batch: RaggedBatch
    state_0: State = None
    d_output: Array | None = None
    d_state_n: State = None


def run_stack(case: StackCase, unroll: str | Unroll) -> Results:
    """Run a stack forward and backward and name its results as ``run_case`` does."""
    run = case.layer.forward(case.parameters, case.batch, case.state_0, unroll=unroll)
    gradients = case.layer.backward(run.tape, case.d_output, case.d_state_n)
    names = case.layer.cell.state_names
    return {
        "output": run.output.values,
        **{f"{n}_n": a for n, a in zip(names, run.state_n, strict=True)},
        "d_input": gradients.input.values,
        **{f"d_{n}_0": a for n, a in zip(names, gradients.state_0, strict=True)},
        **{f"d_{name}": a for name, a in gradients.parameters.items()},
    }


class VectorCase(NamedTuple):
    """One case: what goes in, and what must come out.

    Attributes
    ----------
    entry : dict
        Its entry in the manifest; see :doc:`/vectors`.
    arrays : dict of str to ndarray
        Every array of its file, as stored.

    Examples
    --------
    >>> from refrnn.vectors import draw, specs
    >>> case = draw(specs(("gru_reset_after",))[0])
    >>> case
    VectorCase('gru_reset_after/unsorted')
    >>> case.arrays["h_0"].shape, case.entry["options"]["reset_after"]
    ((6, 5), True)
    >>> max(d.in_tolerances for d in case.compare(case.run("lanes"))) < 1
    True
    """

    entry: dict[str, Any]
    arrays: dict[str, Array]

    @property
    def name(self) -> str:
        """``<configuration>/<hard case>``."""
        name: str = self.entry["name"]
        return name

    @property
    def cell(self) -> AnyCell:
        """The cell: the first layer's, of a stack."""
        options = {
            name: activation(**{k: v for k, v in value.items() if v is not None})
            if isinstance(value, dict)
            else value
            for name, value in self.entry["options"].items()
        }
        made: AnyCell = _KINDS[self.entry["cell"]](
            self.entry["input_size"], self.entry["hidden_size"], **options
        )
        return made

    @property
    def layer(self) -> Recurrent | None:
        """The stack; None for a single cell."""
        if not self.entry["stacked"]:
            return None
        count, both = self.entry["num_layers"], self.entry["bidirectional"]
        return Recurrent(self.cell, count, bidirectional=both)

    def rows(self, name: str) -> Array:
        """An array of the file, with (N, F) rows where it is stored padded."""
        array = self.arrays[name]
        padded = self.entry["padded"] and name in ("input", "output", "d_output", "d_input")
        return unpad(array, self.arrays["lengths"]) if padded else array

    def case(self, dtype: Any = "float64") -> Case | StackCase:
        """What to run, for :func:`refrnn.comparison.run_case` or for a stack.

        Parameters
        ----------
        dtype : dtype
            float64, or float32: the conversion is exact.
        """
        cell, layer = self.cell, self.layer
        shapes = cell.parameter_shapes() if layer is None else layer.parameter_shapes()
        parameters = CellParameters({name: self.arrays[name].astype(dtype) for name in shapes})
        batch = RaggedBatch(self.rows("input").astype(dtype), self.arrays["lengths"])
        d_output = self.rows("d_output").astype(dtype) if "d_output" in self.arrays else None
        states = [self._state(cell, form, dtype) for form in ("{}_0", "d_{}_n")]
        if layer is not None:
            return StackCase(layer, parameters, batch, states[0], d_output, states[1])
        reverse: bool = self.entry["reverse"]
        return Case(cell, parameters, batch, states[0], d_output, states[1], reverse, self.name)

    def _state(self, cell: AnyCell, form: str, dtype: Any) -> State:
        """A state record; None where the file has no such arrays."""
        names = [form.format(letter) for letter in cell.state_names]
        if names[0] not in self.arrays:
            return None
        return cell.state_type(*(self.arrays[name].astype(dtype) for name in names))

    def run(self, unroll: str | Unroll = "per_sequence", dtype: Any = "float64") -> Results:
        """Run refrnn on the case.

        Parameters
        ----------
        unroll : str or Unroll
        dtype : {"float64", "float32"}

        Returns
        -------
        dict of str to ndarray
            Under the names of the expected arrays, with (N, F) rows.
        """
        case = self.case(dtype)
        return run_stack(case, unroll) if isinstance(case, StackCase) else run_case(case, unroll)

    @property
    def truth(self) -> Reference:
        """Expected results, with (N, F) rows, and their scales."""
        expected = self.entry["expected"]
        return Reference(
            {name: self.rows(name) for name in expected},
            {name: facts["scale"] for name, facts in expected.items()},
        )

    def compare(self, got: Mapping[str, Any], dtype: Any = "float64") -> list[Deviation]:
        """Hold results to the expected ones.

        Parameters
        ----------
        got : mapping of str to ndarray
            Any of the expected arrays by name, rows (N, F): a forward pass has no gradients.
        dtype : {"float64", "float32"}
            What they were computed in.

        Returns
        -------
        list of Deviation

        Raises
        ------
        ValueError
            If an array is none of those expected, or has another shape.
        """
        truth = self.truth
        for name in got:
            if name not in truth.results:
                raise ValueError(f"got has array {name!r}, expected some of {list(truth.results)}")
        return [
            deviation(
                name,
                array,
                truth.results[name],
                scale=truth.scales[name],
                dtype=dtype,
                max_length=int(self.arrays["lengths"].max(initial=0)),
            )
            for name, array in got.items()
        ]

    def __repr__(self) -> str:
        return f"VectorCase({self.name!r})"
