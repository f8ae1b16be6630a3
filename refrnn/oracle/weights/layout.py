"""Layout: the weights of one cell as one framework keeps them, to and from refrnn's."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

import numpy as np

from ...cells import LSTM
from ...parameters import CellParameters
from ...types import Array
from ...unroll.base import AnyCell
from ...validation import check_finite
from .blocks import join, sources, split
from .expressions import Expression, number
from .shapes import check_record, named_arrays, read_sizes, sizes_of

__all__ = ["ANY", "Layout"]


class _Anything(Collection[Any]):
    """Contains every value: an option that the framework leaves open."""

    def __contains__(self, value: object) -> bool:
        return True

    def __iter__(self) -> Any:
        raise TypeError("an option that is left open has values without end")

    def __len__(self) -> int:
        raise TypeError("an option that is left open has values without end")


#: An option of a cell that the framework has with every value.
ANY: Collection[Any] = _Anything()


class Layout:
    """Where a framework keeps the weights of a cell.

    Parameters
    ----------
    name : str
        The framework and its name for the cell, ``"torch.LSTM"``.
    cell_type : type
        RNN, LSTM or GRU.
    arrays : mapping of str to Expression
        The framework's arrays by name, each written in blocks of the cell.
    options : mapping of str to collection, optional
        Options of the cell that the framework has, with the values it has; any other option stays
        at its default.
    defaults : mapping of str to object, optional
        Options whose default is not that of the cell.
    tied : tuple of str, optional
        Options for which the framework has one argument.
    forget_bias : float
        What the framework adds to the pre-activation of f at run time, beside its bias.

    Notes
    -----
    With w the framework's arrays and p refrnn's parameters, :meth:`from_foreign` is p = E w + e and
    :meth:`to_foreign` is w = F (p - e), with E and F linear and their entries 0, 1 and -1.
    :meth:`gradient_to_foreign` is the transpose of E, and :meth:`gradient_from_foreign` that of F:
    the gradient of a loss that depends on p only through w. Both are exact for every loss of the
    cell's outputs, because E F changes no output.

    E F is the identity, except where a framework has one bias for the sum of two (GRU of flax.linen
    and MLX: r and z). There it moves all of the sum into ``b_ih``. F E is the identity, except
    where the framework has weights that it does not use (the forget rows of ONNX under
    ``input_forget=1``): F puts zeros there, and so does the gradient. A `forget_bias` is subtracted
    and added with a rounding, and so are biases; everything else keeps every bit.

    Examples
    --------
    >>> import numpy as np
    >>> from refrnn.oracle.weights import LAYOUTS
    >>> layout = LAYOUTS["keras.GRU"]
    >>> print(layout)
    keras.GRU
        kernel            W_ih[z r n].T
        recurrent_kernel  W_hh[z r n].T
        bias              stack(b_ih[z r n], b_hh[z r n])
    >>> rng = np.random.default_rng(0)
    >>> shapes = {"kernel": (3, 12), "recurrent_kernel": (4, 12), "bias": (2, 12)}
    >>> weights = {name: rng.normal(size=shape) for name, shape in shapes.items()}
    >>> cell = layout.cell(weights)
    >>> cell
    GRU(3, 4)
    >>> parameters = layout.from_foreign(cell, weights)
    >>> np.array_equal(parameters.b_hh[4:8], weights["bias"][1, :4])  # z
    True
    """

    def __init__(
        self,
        name: str,
        cell_type: type[AnyCell],
        arrays: Mapping[str, Expression],
        *,
        options: Mapping[str, Collection[Any]] | None = None,
        defaults: Mapping[str, Any] | None = None,
        tied: tuple[str, ...] = (),
        forget_bias: float = 0.0,
    ) -> None:
        self.name = name
        self.cell_type = cell_type
        self.forget_bias = check_finite(forget_bias, "forget_bias")
        self._arrays = dict(arrays)
        self._defaults = {**cell_type._DEFAULTS, **(defaults or {})}
        self._options = dict(options or {})
        self._tied = tied

    def __repr__(self) -> str:
        return f"<Layout {self.name}>"

    def __str__(self) -> str:
        width = max(len(name) for name in (*self._arrays, "at run time" * bool(self.forget_bias)))
        lines = [f"    {name:{width}}  {written}" for name, written in self._arrays.items()]
        added = (
            [f"    {'at run time':{width}}  f + {self.forget_bias:g}"] if self.forget_bias else []
        )
        return "\n".join([self.name, *lines, *added])

    # --- which cell, which arrays ------------------------------------------------------------

    def cell(self, weights: Mapping[str, Any], **options: Any) -> AnyCell:
        """The cell that weights belong to.

        Parameters
        ----------
        weights : mapping of str to array_like
            The framework's arrays by name.
        **options
            What the arrays do not show, as arguments of the cell (``reset_after``, activations,
            clips); the framework's defaults where they are not given.

        Returns
        -------
        RNN, LSTM or GRU
            Sizes are read from the shapes; biases, peepholes and projection from the names.

        Raises
        ------
        TypeError
            If `weights` is no mapping of floating-point arrays of one dtype, or the cell has no
            such option.
        ValueError
            If names or shapes are not those of one cell, or the framework has no such option.
        """
        present = named_arrays(weights, self._arrays, self.name)
        has = frozenset().union(*(self._arrays[name].sources for name in present))
        shown: dict[str, Any] = {"biases": 2 if "b_hh" in has else int("b_ih" in has)}
        if issubclass(self.cell_type, LSTM):
            shown["peepholes"] = "p" in has
        sizes = read_sizes(present, self._arrays, self.name)
        if "W_hr" in has:
            shown["proj_size"] = sizes["R"]
        read = {"input_size": sizes["I"], "hidden_size": sizes["H"], **shown}
        cell = self.cell_type(**{**self._defaults, **read, **options})
        self._check_arrays(cell, weights, "weights")
        return cell

    def shapes(self, cell: AnyCell) -> dict[str, tuple[int, ...]]:
        """The framework's arrays for a cell: their names and shapes.

        Parameters
        ----------
        cell : Cell

        Raises
        ------
        TypeError
            If the cell is of another type.
        ValueError
            If the framework has no cell with these options.
        """
        self._check_cell(cell)
        has, sizes = sources(cell), sizes_of(cell)
        return {
            name: tuple(number(axis, sizes) for axis in array.shape)
            for name, array in self._arrays.items()
            if array.sources <= has
        }

    # --- weights -----------------------------------------------------------------------------

    def to_foreign(self, cell: AnyCell, parameters: Mapping[str, Any]) -> dict[str, Array]:
        """The framework's weights that compute what `parameters` do.

        Parameters
        ----------
        cell : Cell
        parameters : CellParameters
            The parameters of `cell`.

        Returns
        -------
        dict of str to ndarray
            New arrays in the dtype of the parameters, C-contiguous.

        Raises
        ------
        TypeError
            If the cell is of another type, or dtypes are mixed or not allowed.
        ValueError
            If the framework has no cell with these options, or the parameters are not the cell's.
        """
        return self._gather(cell, parameters, "parameters", offset=-self.forget_bias, summed=True)

    def from_foreign(self, cell: AnyCell, weights: Mapping[str, Any]) -> CellParameters:
        """The parameters that compute what the framework's `weights` do.

        Parameters
        ----------
        cell : Cell
            As :meth:`cell` makes it.
        weights : mapping of str to array_like
            The framework's arrays by name.

        Returns
        -------
        CellParameters
            In the dtype of the weights. Where the framework has one array for the sum of ``b_ih``
            and ``b_hh``, the rows of ``b_ih`` have all of it, and those of ``b_hh`` are zero.

        Raises
        ------
        TypeError
            If the cell is of another type, or dtypes are mixed or not allowed.
        ValueError
            If the framework has no cell with these options, or a name or shape is not that of the
            cell.
        """
        return self._scatter(cell, weights, "weights", offset=self.forget_bias, summed=False)

    # --- gradients ---------------------------------------------------------------------------

    def gradient_to_foreign(self, cell: AnyCell, gradient: Mapping[str, Any]) -> dict[str, Array]:
        """The gradient with respect to the framework's weights.

        Parameters
        ----------
        cell : Cell
        gradient : CellParameters
            The gradient with respect to the cell's parameters, ``gradients.parameters`` of
            :func:`refrnn.backward`.

        Returns
        -------
        dict of str to ndarray
            New arrays with the names and shapes of the weights; zero where the framework has a
            weight that it does not use.

        Raises
        ------
        TypeError, ValueError
            As :meth:`to_foreign`.
        """
        return self._gather(cell, gradient, "gradient", offset=0.0, summed=False)

    def gradient_from_foreign(self, cell: AnyCell, gradient: Mapping[str, Any]) -> CellParameters:
        """The gradient with respect to the cell's parameters, from the framework's.

        Parameters
        ----------
        cell : Cell
        gradient : mapping of str to array_like
            The gradient with respect to each of the framework's arrays.

        Returns
        -------
        CellParameters
            Where the framework has one array for the sum of ``b_ih`` and ``b_hh``, both have its
            gradient.

        Raises
        ------
        TypeError, ValueError
            As :meth:`from_foreign`.
        """
        return self._scatter(cell, gradient, "gradient", offset=0.0, summed=True)

    # --- both ways ---------------------------------------------------------------------------

    def _gather(
        self, cell: AnyCell, given: Any, argument: str, *, offset: float, summed: bool
    ) -> dict[str, Array]:
        """Foreign arrays of refrnn's."""
        names = self.shapes(cell)
        record = check_record(given, cell.parameter_shapes(), argument, str(cell))
        blocks = split(cell, record)
        if offset:
            blocks["b_ih", "f"] = blocks["b_ih", "f"] + offset
        gathered = {name: self._arrays[name].gather(blocks, summed=summed) for name in names}
        return {name: np.array(array, order="C") for name, array in gathered.items()}

    def _scatter(
        self, cell: AnyCell, given: Any, argument: str, *, offset: float, summed: bool
    ) -> CellParameters:
        """Arrays of refrnn of foreign ones."""
        arrays = self._check_arrays(cell, given, argument)
        blocks: dict[tuple[str, str], Array] = {}
        for name, array in arrays.items():
            self._arrays[name].scatter(array, blocks, sizes_of(cell), summed=summed)
        if offset:
            blocks["b_ih", "f"] = blocks["b_ih", "f"] + offset
        return join(cell, blocks)

    # --- checks ------------------------------------------------------------------------------

    def _check_cell(self, cell: AnyCell) -> None:
        """Refuse a cell that the framework does not have."""
        if not isinstance(cell, self.cell_type):
            has, wanted = type(cell).__name__, self.cell_type.__name__
            raise TypeError(f"cell has type {has}, expected {wanted} for {self.name}")
        chosen = cell.options()
        for name, value in chosen.items():
            if value not in self._options.get(name, (self._defaults[name],)):
                allowed = self._options.get(name, (self._defaults[name],))
                rule = " or ".join(map(repr, allowed))
                raise ValueError(f"cell has {name} = {value!r}, expected {rule} for {self.name}")
        if len({chosen[name] for name in self._tied}) > 1:
            has = ", ".join(f"{name} = {chosen[name]!r}" for name in self._tied)
            raise ValueError(f"cell has {has}, expected the same for {self.name}: it has one")

    def _check_arrays(self, cell: AnyCell, given: Any, argument: str) -> dict[str, Array]:
        """The foreign arrays, with exactly the names and shapes of a cell."""
        return check_record(given, self.shapes(cell), argument, f"{self.name} and {cell}")
