"""Optimizers: pure functions from (gradients, state, parameters) to (parameters, state).

An optimizer is a record of its numbers; what it remembers is a state record that goes in and comes
out. A learning-rate schedule is a new optimizer for the next update, with the state of the old one.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from .parameters import CellParameters
from .types import Array
from .validation import check_bool, check_positive_float, check_shape

__all__ = [
    "SGD",
    "Adam",
    "AdamState",
    "Clipped",
    "SGDState",
    "Update",
    "clip_grad_norm",
]


class Update(NamedTuple):
    """Result of an optimizer's ``update``: ``params, state = optimizer.update(...)``.

    Attributes
    ----------
    params : CellParameters
        New parameters.
    state : SGDState or AdamState
        For the next update.
    """

    params: CellParameters
    state: Any


class SGDState(NamedTuple):
    """What SGD remembers.

    Attributes
    ----------
    velocity : CellParameters
        Zeros before the first update.
    """

    velocity: CellParameters


class AdamState(NamedTuple):
    """What Adam remembers.

    Attributes
    ----------
    step : int
        t, the number of updates made.
    mean, square : CellParameters
        m and v, the running means of g and g^2, biased towards their start at 0.
    """

    step: int
    mean: CellParameters
    square: CellParameters


class Clipped(NamedTuple):
    """Result of :func:`clip_grad_norm`.

    Attributes
    ----------
    norm : float
        Of all gradients together, before clipping.
    gradients : CellParameters
    """

    norm: float
    gradients: CellParameters


class SGD:
    """Gradient descent with momentum, as ``torch.optim.SGD``.

    Parameters
    ----------
    learning_rate : float
    momentum : float
        0 <= momentum < 1.
    nesterov : bool
        Look ahead: step along g + momentum * velocity. Needs a momentum.

    Raises
    ------
    TypeError, ValueError
        If a number is out of range, or `nesterov` has no momentum to work with.

    Notes
    -----
    With velocity V and learning rate lr: ``V = momentum V + g``; ``p = p - lr V`` or, for nesterov,
    ``p = p - lr (g + momentum V)``. [1]_

    References
    ----------
    .. [1] Sutskever et al. (2013), On the importance of initialization and momentum in deep
       learning; in the form of ``torch.optim.SGD``, where lr is outside the velocity.

    Examples
    --------
    >>> import numpy as np
    >>> from refrnn.optimizers import SGD
    >>> sgd = SGD(learning_rate=0.5)
    >>> params = {"w": np.array([1.0, 2.0])}
    >>> params, state = sgd.update({"w": np.array([1.0, -1.0])}, sgd.init(params), params)
    >>> params.w
    array([0.5, 2.5])
    """

    __slots__ = ("learning_rate", "momentum", "nesterov")

    learning_rate: float
    momentum: float
    nesterov: bool

    def __init__(
        self, learning_rate: float, *, momentum: float = 0.0, nesterov: bool = False
    ) -> None:
        self.learning_rate = check_positive_float(learning_rate, "learning_rate")
        self.momentum = _check_decay(momentum, "momentum")
        self.nesterov = check_bool(nesterov, "nesterov")
        if self.nesterov and self.momentum == 0:
            raise ValueError("nesterov has value True, expected False where momentum is 0")

    def init(self, params: Mapping[str, Any]) -> SGDState:
        """The state before the first update of `params`."""
        return SGDState(_zeros_like(_record(params)))

    def update(
        self, gradients: Mapping[str, Any], state: SGDState, params: Mapping[str, Any]
    ) -> Update:
        """Make one update; nothing given is changed.

        Parameters
        ----------
        gradients : CellParameters or mapping of str to ndarray
            Names, shapes and dtype of `params`.
        state : SGDState
            Of :meth:`init` or the update before.
        params : CellParameters or mapping of str to ndarray

        Returns
        -------
        Update
            ``params, state``.

        Raises
        ------
        TypeError, ValueError
            If the gradients or the state do not fit the parameters.
        """
        record = _record(params)
        _check_state(state, SGDState)
        g = _vector(gradients, "gradients", record)
        velocity = _vector(state.velocity, "state.velocity", record)
        with np.errstate(all="ignore"):  # NaN and Inf pass through
            velocity = self.momentum * velocity + g
            direction = g + self.momentum * velocity if self.nesterov else velocity
            updated = record.flatten() - self.learning_rate * direction
        return Update(record.unflatten(updated), SGDState(record.unflatten(velocity)))

    def __repr__(self) -> str:
        return f"SGD({self.learning_rate}, momentum={self.momentum}, nesterov={self.nesterov})"


class Adam:
    """Steps scaled by running means of the gradient and its square, as ``torch.optim.Adam``.

    Parameters
    ----------
    learning_rate : float
    beta_1, beta_2 : float
        0 <= beta < 1: how slowly the mean and the mean square forget.
    epsilon : float
        Added to the root of the mean square, after its bias is corrected.

    Raises
    ------
    TypeError, ValueError
        If a number is out of range.

    Notes
    -----
    ``m = beta_1 m + (1 - beta_1) g``; ``v = beta_2 v + (1 - beta_2) g^2``;
    ``p = p - lr m' / (sqrt(v') + epsilon)`` with ``m' = m / (1 - beta_1^t)`` and
    ``v' = v / (1 - beta_2^t)`` at update t = 1, 2, ... [1]_ Keras adds its epsilon to the root
    before the correction, which differs as long as t is small.

    References
    ----------
    .. [1] Kingma & Ba (2015), Adam: a method for stochastic optimization, algorithm 1.

    Examples
    --------
    >>> import numpy as np
    >>> from refrnn.optimizers import Adam
    >>> adam = Adam(learning_rate=0.1)
    >>> params = {"w": np.array([1.0, 2.0])}
    >>> params, state = adam.update({"w": np.array([3.0, -1e-3])}, adam.init(params), params)
    >>> params.w.round(5), state.step
    (array([0.9, 2.1]), 1)
    """

    __slots__ = ("beta_1", "beta_2", "epsilon", "learning_rate")

    learning_rate: float
    beta_1: float
    beta_2: float
    epsilon: float

    def __init__(
        self,
        learning_rate: float = 1e-3,
        *,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-8,
    ) -> None:
        self.learning_rate = check_positive_float(learning_rate, "learning_rate")
        self.beta_1 = _check_decay(beta_1, "beta_1")
        self.beta_2 = _check_decay(beta_2, "beta_2")
        self.epsilon = check_positive_float(epsilon, "epsilon")

    def init(self, params: Mapping[str, Any]) -> AdamState:
        """The state before the first update of `params`."""
        zeros = _zeros_like(_record(params))
        return AdamState(0, zeros, zeros)

    def update(
        self, gradients: Mapping[str, Any], state: AdamState, params: Mapping[str, Any]
    ) -> Update:
        """Make one update; nothing given is changed.

        Parameters
        ----------
        gradients : CellParameters or mapping of str to ndarray
            Names, shapes and dtype of `params`.
        state : AdamState
            Of :meth:`init` or the update before.
        params : CellParameters or mapping of str to ndarray

        Returns
        -------
        Update
            ``params, state``.

        Raises
        ------
        TypeError, ValueError
            If the gradients or the state do not fit the parameters.
        """
        record = _record(params)
        _check_state(state, AdamState)
        g = _vector(gradients, "gradients", record)
        m = _vector(state.mean, "state.mean", record)
        v = _vector(state.square, "state.square", record)
        step = state.step + 1
        rate = self.learning_rate / (1 - self.beta_1**step)
        with np.errstate(all="ignore"):  # NaN and Inf pass through
            m = self.beta_1 * m + (1 - self.beta_1) * g
            v = self.beta_2 * v + (1 - self.beta_2) * (g * g)
            root = np.sqrt(v / (1 - self.beta_2**step))
            updated = record.flatten() - rate * m / (root + self.epsilon)
        state = AdamState(step, record.unflatten(m), record.unflatten(v))
        return Update(record.unflatten(updated), state)

    def __repr__(self) -> str:
        return (
            f"Adam({self.learning_rate}, beta_1={self.beta_1}, beta_2={self.beta_2}, "
            f"epsilon={self.epsilon})"
        )


def clip_grad_norm(gradients: Mapping[str, Any], max_norm: float) -> Clipped:
    """Scale all gradients together so that their common norm is at most `max_norm`.

    Parameters
    ----------
    gradients : CellParameters or mapping of str to ndarray
        Not changed.
    max_norm : float

    Returns
    -------
    Clipped
        ``norm, gradients``: the Euclidean norm before clipping, and new gradients, scaled by
        ``max_norm / norm`` if that is below 1. A norm that is not finite scales nothing: look at
        it, NaN in gradients has a cause.

    Raises
    ------
    TypeError, ValueError
        If `gradients` is no mapping of arrays of one dtype, or `max_norm` is not > 0.

    References
    ----------
    .. [1] Pascanu, Mikolov & Bengio (2013), On the difficulty of training recurrent neural
       networks. ``torch.nn.utils.clip_grad_norm_`` adds 1e-6 to the norm it divides by.

    Examples
    --------
    >>> import numpy as np
    >>> from refrnn.optimizers import clip_grad_norm
    >>> norm, gradients = clip_grad_norm({"w": np.array([30.0, 40.0])}, max_norm=5.0)
    >>> norm, gradients.w
    (50.0, array([3., 4.]))
    """
    bound = check_positive_float(max_norm, "max_norm")
    record = _record(gradients, "gradients")
    g = record.flatten()
    largest = np.abs(g).max(initial=0)
    norm = float(largest)
    if 0 < norm < np.inf:  # divide first: squares of float32 overflow at 2e19
        norm *= float(np.sqrt(np.square(g / largest).sum(dtype=np.float64)))
    if bound < norm < np.inf:
        g = g * (bound / norm)
    return Clipped(norm, record.unflatten(g))


def _record(params: Any, name: str = "params") -> CellParameters:
    """A mapping of arrays as a record."""
    if not isinstance(params, Mapping):
        raise TypeError(f"{name} has type {type(params).__name__}, expected a mapping of arrays")
    return params if isinstance(params, CellParameters) else CellParameters(params)


def _zeros_like(record: CellParameters) -> CellParameters:
    """Zeros under the same names."""
    return record.unflatten(np.zeros_like(record.flatten()))


def _vector(other: Any, name: str, params: CellParameters) -> Array:
    """The numbers of `other` in the order of `params.flatten()`, which it must fit."""
    record = _record(other, name)
    if set(record) != set(params):
        raise ValueError(
            f"{name} has names {sorted(record)}, expected those of params = {sorted(params)}"
        )
    for key, array in params.items():
        check_shape(record[key], f"{name}.{key}", array.shape, "the shape of the parameter")
    if record.dtype != params.dtype:
        raise TypeError(f"{name} has dtype {record.dtype}, expected {params.dtype} as params")
    if list(record) != list(params):
        record = CellParameters({key: record[key] for key in params})
    return record.flatten()


def _check_decay(value: Any, name: str) -> float:
    """A number in [0, 1)."""
    if isinstance(value, (bool, np.bool_)) or not isinstance(
        value, (int, float, np.integer, np.floating)
    ):
        raise TypeError(f"{name} has type {type(value).__name__}, expected a number in [0, 1)")
    if not 0 <= value < 1:
        raise ValueError(f"{name} has value {value}, expected a number in [0, 1)")
    return float(value)


def _check_state(state: Any, kind: type[Any]) -> None:
    """Raise TypeError unless `state` is of this kind."""
    if not isinstance(state, kind):
        raise TypeError(
            f"state has type {type(state).__name__}, expected the {kind.__name__} of init or update"
        )
