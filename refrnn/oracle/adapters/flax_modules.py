"""Modules of flax as functions of their weights: linen's are that, nnx's are split and merged."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from ...activations import Activation, activation
from ...errors import UnsupportedCase
from ...types import Array
from ...unroll.base import AnyCell
from ...validation import check_integer
from ..network import MERGES
from ..weights import LAYOUTS, Layout
from .jax_subject import Weights, draw, float_dtype, generator, x64

__all__ = ["CELLS", "LinenModule", "NnxModule", "Part", "PureModule", "merge_of", "parts_of"]

#: The cells that have equations here, in linen and in nnx.
CELLS = ("LSTMCell", "OptimizedLSTMCell", "GRUCell", "SimpleCell")


# --- which cells, where --------------------------------------------------------------------------


class Part(NamedTuple):
    """One direction: its cell, the layout of its weights, and where they stand in the module."""

    cell: Any
    layout: Layout
    prefix: tuple[str, ...]


def parts_of(module: Any, kind: str) -> list[Part]:
    """The cell of every direction of a module."""
    from flax import linen, nnx

    found: list[tuple[Any, tuple[str, ...]]]
    if isinstance(module, (linen.RNNCellBase, nnx.RNNCellBase)):
        found = [(module, ())]
    elif hasattr(module, "cell"):
        found = [(module.cell, ("cell",))]
    elif hasattr(module, "forward_rnn") and hasattr(module, "backward_rnn"):
        names = ("forward_rnn", "backward_rnn")
        found = [(getattr(getattr(module, n), "cell", None), (n, "cell")) for n in names]
        if module.forward_rnn is module.backward_rnn or found[0][0] is found[1][0]:
            raise UnsupportedCase(
                f"{type(module).__name__} has the same weights in both directions"
            )
    else:
        raise TypeError(
            f"{type(module).__name__} has neither a cell nor a forward_rnn and a backward_rnn, "
            "expected a module like flax's RNN or Bidirectional"
        )
    return [Part(cell, _layout(cell, kind), prefix) for cell, prefix in found]


def _layout(cell: Any, kind: str) -> Layout:
    """The layout of a cell's weights, by its class or one it derives from."""
    import flax

    package = getattr(flax, kind)
    for name in CELLS:
        if isinstance(cell, getattr(package, name)):
            if getattr(cell, "residual", False):
                raise UnsupportedCase("the cell has residual=True: refrnn has no such equation")
            return LAYOUTS[f"flax.{kind}.{name}"]
    raise UnsupportedCase(
        f"the cell has type {type(cell).__name__}, expected {', '.join(CELLS)} of flax.{kind}"
    )


def _options(cell: Any, layout: Layout) -> dict[str, Any]:
    """The options of refrnn's cell that a cell of flax has as functions."""
    named = {
        "SimpleCell": {"activation_fn": ("activation",)},
        "GRUCell": {
            "gate_fn": ("gate_activation",),
            "activation_fn": ("candidate_activation",),
        },
    }
    lstm = {
        "gate_fn": ("gate_activation",),
        "activation_fn": ("cell_activation", "output_activation"),
    }
    arguments = named.get(layout.name.rpartition(".")[2], lstm)
    return {
        option: _activation(getattr(cell, argument), argument)
        for argument, options in arguments.items()
        for option in options
    }


def _activation(function: Any, argument: str) -> Activation:
    """ONNX's name of an activation of JAX."""
    import jax
    import jax.numpy as jnp

    known = [
        (jax.nn.sigmoid, activation("sigmoid")),
        (jnp.tanh, activation("tanh")),
        (jax.nn.relu, activation("relu")),
        (jax.nn.softplus, activation("softplus")),
        (jax.nn.soft_sign, activation("softsign")),
        (jax.nn.elu, activation("elu")),
        (jax.nn.hard_sigmoid, activation("hardsigmoid", alpha=1 / 6)),
    ]
    for theirs, ours in known:
        if function is theirs:
            return ours
    names = ", ".join(ours.name for _, ours in known)
    shown = getattr(function, "__name__", repr(function))
    raise UnsupportedCase(f"{argument} has value {shown}, expected one of JAX's {names}")


def merge_of(merge_fn: Callable[..., Any]) -> str:
    """The name here of what a Bidirectional does with its two outputs."""
    a, b = np.array([[1.0, 5.0]], np.float32), np.array([[4.0, 2.0]], np.float32)
    results = dict(
        zip(MERGES, (np.concatenate([a, b], axis=1), a + b, a * b, (a + b) / 2), strict=True)
    )
    got = np.asarray(merge_fn(a, b))
    for name, result in results.items():
        if np.array_equal(got, result):
            return name
    raise UnsupportedCase(f"merge_fn is none of {', '.join(MERGES)}")


# --- modules as functions of their weights -------------------------------------------------------


class _Read(NamedTuple):
    """What there is to know about a module's weights."""

    weights: list[Weights]
    cells: list[AnyCell]
    dtype: np.dtype[Any]


class PureModule:
    """A module as a function of its weights, which have names."""

    kind = "flax.linen"
    separator = "/"

    def __init__(self, module: Any) -> None:
        self.module = module

    def apply(self, weights: Mapping[str, Any], *arguments: Any, **keywords: Any) -> Any:
        """Call the module with these weights instead of its own."""
        raise NotImplementedError

    def initial_carry(self, shape: tuple[int, int]) -> Any:
        """What a cell starts with for an input of this shape."""
        raise NotImplementedError

    def _arrays(
        self, variables: Any, parts: Sequence[Part], input_size: int | None
    ) -> dict[tuple[str, ...], Array]:
        """The module's weights by path, in NumPy."""
        raise NotImplementedError

    def read(
        self,
        parts: Sequence[Part],
        variables: Mapping[str, Any] | None,
        input_size: int | None,
        seed: int | None,
    ) -> _Read:
        """The weights of every direction; drawn from `seed` if it is given."""
        arrays = self._arrays(variables, parts, input_size)
        rng = generator(seed)
        read = _Read([], [], float_dtype(next(iter(arrays.values())).dtype, "the module"))
        for part in parts:
            paths = [path for path in arrays if path[: len(part.prefix)] == part.prefix]
            own = {"/".join(path[len(part.prefix) :]): arrays.pop(path) for path in paths}
            _check_compute_dtype(part.cell)
            cell = part.layout.cell(own, **_options(part.cell, part.layout))
            if rng is not None:
                own = draw(part.layout, cell, read.dtype, rng)
            full = {name: self.separator.join([*part.prefix, *name.split("/")]) for name in own}
            read.weights.append(Weights(part.layout, full, own))
            read.cells.append(cell)
        if arrays:
            names = ", ".join(self.separator.join(path) for path in arrays)
            raise TypeError(f"the module has weights {names}, expected those of its cells alone")
        return read


class LinenModule(PureModule):
    """A module of linen."""

    _rest: dict[str, Any]

    def apply(self, weights: Mapping[str, Any], *arguments: Any, **keywords: Any) -> Any:
        """Call the module with these weights."""
        from flax.traverse_util import unflatten_dict

        variables = {**self._rest, "params": unflatten_dict(dict(weights), sep="/")}
        return self.module.apply(variables, *arguments, **keywords)

    def initial_carry(self, shape: tuple[int, int]) -> Any:
        """What the cell starts with."""
        import jax

        return self.module.initialize_carry(jax.random.key(0), shape)

    def _arrays(
        self, variables: Any, parts: Sequence[Part], input_size: int | None
    ) -> dict[tuple[str, ...], Array]:
        from flax.core import unfreeze
        from flax.traverse_util import flatten_dict

        if variables is None:
            if input_size is None:
                raise TypeError("input_size is missing, expected it where there are no variables")
            size = check_integer(input_size, "input_size", minimum=1)
            variables = _linen_zeros(self.module, parts[0].cell, size)
        elif input_size is not None:
            raise TypeError("input_size is given beside variables, which say it")
        own = unfreeze(variables)
        if "params" not in own:
            raise ValueError(f"variables has collections {sorted(own)}, expected params among them")
        self._rest = {name: value for name, value in own.items() if name != "params"}
        return {path: np.asarray(a) for path, a in flatten_dict(own["params"]).items()}


def _linen_zeros(module: Any, cell: Any, input_size: int) -> dict[str, Any]:
    """Variables of the right shapes, without computing anything."""
    import jax
    from flax import linen

    with x64(cell.param_dtype):
        x = np.zeros((1, 1, input_size), cell.param_dtype)
        key = jax.random.key(0)
        if isinstance(module, linen.RNNCellBase):
            carry = module.initialize_carry(key, x[0].shape)
            shapes = jax.eval_shape(module.init, key, carry, x[0])
        else:
            shapes = jax.eval_shape(lambda k, a: module.init(k, a, return_carry=True), key, x)
    zeros: dict[str, Any] = jax.tree.map(lambda s: np.zeros(s.shape, s.dtype), shapes)
    return zeros


class NnxModule(PureModule):
    """A module of nnx, as the graph and the state that it is split into."""

    kind = "flax.nnx"
    separator = "."

    def __init__(self, module: Any) -> None:
        super().__init__(module)
        import jax
        from flax import nnx

        self._graph, own, self._rest = nnx.split(module, nnx.Param, ...)
        leaves, self._structure = jax.tree_util.tree_flatten_with_path(own)
        self._leaves = {
            tuple(str(key.key) for key in path if hasattr(key, "key")): leaf
            for path, leaf in leaves
        }

    def apply(self, weights: Mapping[str, Any], *arguments: Any, **keywords: Any) -> Any:
        """Call a copy of the module with these weights."""
        import jax
        from flax import nnx

        ordered = [weights[self.separator.join(path)] for path in self._leaves]
        own = jax.tree.unflatten(self._structure, ordered)
        # copies: what nnx.split gives shares its random counters with the module
        merged = nnx.merge(self._graph, own, self._rest, copy=True)
        return merged(*arguments, **keywords)

    def initial_carry(self, shape: tuple[int, int]) -> Any:
        """What the cell starts with."""
        from flax import nnx

        return self.module.initialize_carry(shape, nnx.Rngs(0))

    def _arrays(
        self, variables: Any, parts: Sequence[Part], input_size: int | None
    ) -> dict[tuple[str, ...], Array]:
        return {path: np.asarray(leaf) for path, leaf in self._leaves.items()}


def _check_compute_dtype(cell: Any) -> None:
    """Refuse a cell that computes in half precision with weights that are not."""
    if getattr(cell, "dtype", None) is not None:
        float_dtype(cell.dtype, "the cell")
