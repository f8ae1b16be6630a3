"""What a recurrent layer of Keras means: its network, its weights, and what it returns."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from ...activations import Activation, activation
from ...errors import UnsupportedCase
from ...parameters import CellParameters
from ...types import Array
from ...unroll.base import AnyCell
from ..network import Network
from ..weights import LAYOUTS, Layout

__all__ = ["Chosen", "Place", "Structure", "structure_of"]

#: Keras's names of activations, and what they are here.
_ACTIVATIONS: dict[str, Activation] = {
    "tanh": activation("tanh"),
    "sigmoid": activation("sigmoid"),
    "relu": activation("relu"),
    "hard_sigmoid": activation("hardsigmoid", 1 / 6, 0.5),
    "linear": activation("affine", 1.0, 0.0),
    "elu": activation("elu", 1.0),
    "leaky_relu": activation("leakyrelu", 0.2),
    "softplus": activation("softplus"),
    "softsign": activation("softsign"),
}


class Chosen(NamedTuple):
    """Activations that the caller says, where the layer's own are functions nobody knows."""

    activation: str | Activation | None
    recurrent_activation: str | Activation | None


class Place(NamedTuple):
    """Where the layer keeps the weights of one run.

    Attributes
    ----------
    prefix : str
        Before the names of its arrays: empty, ``forward_layer.`` or ``cells[0].``.
    keras_cell : keras.Layer
    layout : Layout
    cell : Cell
        The same cell of refrnn.
    """

    prefix: str
    keras_cell: Any
    layout: Layout
    cell: AnyCell

    def variables(self) -> dict[str, Any]:
        """The variables of the cell by their names in the report."""
        return {
            f"{self.prefix}{name}": getattr(self.keras_cell, name)
            for name in self.layout.shapes(self.cell)
        }

    def parameters(self) -> CellParameters:
        """The weights in refrnn's layout."""
        return self.layout.from_foreign(self.cell, _weights(self.keras_cell))

    def gradient(self, gradient: CellParameters) -> dict[str, Array]:
        """Gradients by their names in the report."""
        foreign = self.layout.gradient_to_foreign(self.cell, gradient)
        return {f"d_{self.prefix}{name}": array for name, array in foreign.items()}


class Structure(NamedTuple):
    """A recurrent layer as the oracle sees it.

    Attributes
    ----------
    network : Network
    places : tuple of Place
        One a run.
    merge : str or None
        ``merge_mode`` of a Bidirectional layer; None returns two arrays.
    nested : bool
        Whether its cells are stacked: then its states are lists of lists.
    return_sequences, return_state, go_backwards, zero_output : bool
        The layer's arguments; ``go_backwards`` of one direction alone.
    """

    network: Network
    places: tuple[Place, ...]
    merge: str | None
    nested: bool
    return_sequences: bool
    return_state: bool
    go_backwards: bool
    zero_output: bool


def structure_of(layer: Any, chosen: Chosen) -> Structure:
    """What a built layer means.

    Parameters
    ----------
    layer : keras.layers.RNN or keras.layers.Bidirectional
        Built.
    chosen : Chosen

    Raises
    ------
    UnsupportedCase
        If it does something that the reference has no equations for.
    """
    import keras

    if isinstance(layer, keras.layers.Bidirectional):
        return _bidirectional(layer, chosen)
    places = _places(layer, "", chosen)
    backwards = bool(layer.go_backwards)
    return Structure(
        Network([place.cell for place in places], (backwards,)),
        places,
        "concat",
        isinstance(layer.cell, keras.layers.StackedRNNCells),
        *_returns(layer),
        backwards,
        bool(layer.zero_output_for_mask),
    )


def _bidirectional(layer: Any, chosen: Chosen) -> Structure:
    """One layer of two directions."""
    runs = (layer.forward_layer, layer.backward_layer)
    if runs[0].go_backwards or not runs[1].go_backwards:
        raise UnsupportedCase(
            "forward_layer.go_backwards is True: its outputs come in the order in which it steps, "
            "and Bidirectional turns those of backward_layer"
        )
    names = ("forward_layer.", "backward_layer.")
    places = [_places(run, name, chosen) for run, name in zip(runs, names, strict=True)]
    if any(len(own) > 1 for own in places):
        raise UnsupportedCase(
            "the directions have stacked cells, expected one cell each: Bidirectional joins them "
            "above the stacks, and the reference between the layers"
        )
    both = tuple(place for own in places for place in own)
    if both[0].cell.options() != both[1].cell.options() or both[0].cell.hidden_size != (
        both[1].cell.hidden_size
    ):
        raise UnsupportedCase(
            f"the directions have cells {both[0].cell} and {both[1].cell}, expected the same"
        )
    if layer.merge_mode == "mul" and not layer.return_sequences:
        raise UnsupportedCase(
            "merge_mode='mul' with return_sequences=False multiplies two final states: the "
            "reference has no equations for the gradient of that"
        )
    merge = layer.merge_mode
    network = Network([both[0].cell], (False, True), "concat" if merge is None else merge)
    zero = all(bool(run.zero_output_for_mask) for run in runs)
    return Structure(network, both, merge, False, *_returns(layer), False, zero)


def _returns(layer: Any) -> tuple[bool, bool]:
    return bool(layer.return_sequences), bool(layer.return_state)


def _places(layer: Any, prefix: str, chosen: Chosen) -> tuple[Place, ...]:
    """The cells of one direction, the lowest first."""
    import keras

    if layer.stateful:
        raise UnsupportedCase(
            "stateful=True: what the layer returns depends on the calls before, and running it "
            "would change its state"
        )
    cell = layer.cell
    if not isinstance(cell, keras.layers.StackedRNNCells):
        return (_place(cell, prefix, chosen),)
    return tuple(
        _place(one, f"{prefix}cells[{number}].", chosen) for number, one in enumerate(cell.cells)
    )


def _place(keras_cell: Any, prefix: str, chosen: Chosen) -> Place:
    """One cell: its layout, and what it is here."""
    import keras

    own = chosen.activation or _known(keras_cell, "activation")
    options: dict[str, Any]
    if isinstance(keras_cell, keras.layers.SimpleRNNCell):
        if chosen.recurrent_activation is not None:
            raise TypeError("recurrent_activation was given, expected None: SimpleRNN has none")
        name, options = "keras.SimpleRNN", {"activation": own}
    else:
        gates = chosen.recurrent_activation or _known(keras_cell, "recurrent_activation")
        if isinstance(keras_cell, keras.layers.LSTMCell):
            name = "keras.LSTM"
            options = {"cell_activation": own, "output_activation": own}
        else:
            name = "keras.GRU" if keras_cell.reset_after else "keras.GRU(reset_after=False)"
            options = {"candidate_activation": own}
        options["gate_activation"] = gates
    layout = LAYOUTS[name]
    return Place(prefix, keras_cell, layout, layout.cell(_weights(keras_cell), **options))


def _weights(keras_cell: Any) -> Mapping[str, Array]:
    """The weights of a cell by name."""
    import keras

    names = ("kernel", "recurrent_kernel", *(["bias"] if keras_cell.use_bias else []))
    return {name: keras.ops.convert_to_numpy(getattr(keras_cell, name)) for name in names}


def _known(keras_cell: Any, argument: str) -> Activation:
    """The activation of a cell, if it is one of Keras's that the reference has."""
    import keras

    kinds = (keras.layers.SimpleRNNCell, keras.layers.LSTMCell, keras.layers.GRUCell)
    if not isinstance(keras_cell, kinds):
        raise UnsupportedCase(
            f"the layer has a cell of type {type(keras_cell).__name__}, expected SimpleRNNCell, "
            "LSTMCell, GRUCell or StackedRNNCells of them"
        )
    function = getattr(keras_cell, argument)
    for name, here in _ACTIVATIONS.items():
        if function is getattr(keras.activations, name):
            return here
    raise UnsupportedCase(
        f"{argument} is {getattr(function, '__name__', function)!r}, expected one of "
        f"{', '.join(_ACTIVATIONS)}, or what it is said beside it: {argument}="
    )
