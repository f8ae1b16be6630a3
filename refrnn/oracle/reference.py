"""The reference's results in a subject's layout, and how far a right result may lie from them.

The tolerance is the one formula of :mod:`refrnn.tolerances`, its scale measured on the problem at
hand. Frameworks take derivatives from activations they have kept, ``1 - y * y`` for tanh, which
loses all digits where y is near 1. That is no mistake of the module under test. Where a result is
out of tolerance, what those formulas cost in this very problem is measured and added: ten times the
largest movement in eight runs of the reference with derivatives from outputs, each output off by up
to one unit in its last place. Where a profile says that activations have an absolute error, the
same is done with smooth activations that are off by up to one unit in the last place of 1.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import numpy as np

from ..activations import Activation
from ..arithmetic import BLAS, Arithmetic, MonteCarlo
from ..tolerances import Deviation, deviation
from ..types import Array
from ..unroll import Packed
from .evaluation import Setting, evaluate
from .network import Network, Results
from .subject import Expected

__all__ = ["Present", "Truth", "truth_of"]

#: How results look in a subject's names and layout.
Present = Callable[[Results], Mapping[str, Expected]]

# As in refrnn.comparison: far above float64's epsilon, small enough to act linearly.
_UNIT = 2.0**-40
_RUNS = 8
_ALLOWED_TIMES = 10.0
_SMOOTH = ("tanh", "sigmoid", "softsign", "softplus", "elu", "scaledtanh")


class Truth:
    """The reference's results of a setting, in a subject's layout.

    Parameters
    ----------
    setting : Setting
        Of float64, or whatever is wider.
    present : callable
        Results in the subject's names and layout.

    Attributes
    ----------
    results : Results
    expected : dict of str to Expected

    Raises
    ------
    ValueError
        If the results are not finite, so that nothing can be compared with them.
    """

    def __init__(self, setting: Setting, present: Present) -> None:
        self._setting = setting
        self._present = present
        with np.errstate(all="ignore"):
            self.results = evaluate(setting)
            self.expected = dict(present(self.results))
            self._scales = self._measured_scales()
        for name, scale in self._scales.items():
            if not np.isfinite(scale):
                raise ValueError(f"{name} has scale {scale}, expected a finite reference")
        self._allowances: dict[tuple[str, float], float] = {}

    def deviation(
        self, name: str, got: Array, dtype: Any, expected: Expected | None = None
    ) -> Deviation:
        """How far an array lies from the reference, or from what a mistake would make of it.

        Parameters
        ----------
        name : str
        got : ndarray
            Real, of the shape of ``expected[name]``.
        dtype : dtype
            What it was computed in.
        expected : Expected, optional
            Something else to compare with, by the tolerance of this array, or that of its own size
            where it is larger.

        Returns
        -------
        Deviation
            Within tolerance, or out of the tolerance that has the allowance in it.
        """
        wanted = self.expected[name] if expected is None else expected
        scale = self._scales[name]
        if expected is not None and np.isfinite(size := _largest(expected)):
            scale = max(scale, size)  # what is 0 in truth may be large in a mistake
        if wanted.compared is not None:  # what is not compared agrees
            got = np.where(wanted.compared, got, wanted.array)
        facts: dict[str, Any] = {
            "scale": scale,
            "dtype": dtype,
            "max_length": self._setting.problem.num_steps,
        }
        found = deviation(name, got, wanted.array, **facts)
        if found.ok or not np.isfinite(found.in_tolerances):
            return found
        allowance = self.allowance(name, dtype)
        return deviation(name, got, wanted.array, allowance=allowance, **facts)

    def allowance(self, name: str, dtype: Any) -> float:
        """What derivatives taken from outputs cost in this problem, for one array."""
        unit = float(np.finfo(dtype).eps)
        if (name, unit) not in self._allowances:
            with np.errstate(all="ignore"):
                moved = self._moved(unit)
            self._allowances.update({(n, unit): _ALLOWED_TIMES * m for n, m in moved.items()})
        return self._allowances[name, unit]

    def _measured_scales(self) -> dict[str, float]:
        """Size of each array, and how far rounding errors of one unit move it."""
        exact = self._presented(BLAS)
        moved = dict.fromkeys(self.expected, 0.0)
        for stream in np.random.default_rng(0).spawn(_RUNS):
            noisy = self._presented(MonteCarlo(_UNIT, stream))
            _keep_largest(moved, exact, noisy)
        return {
            name: _largest(expected) + moved[name] / _UNIT
            for name, expected in self.expected.items()
        }

    def _moved(self, unit: float) -> dict[str, float]:
        """Largest movement of each array by what a framework's own formulas cost."""
        moved = dict.fromkeys(self.expected, 0.0)
        exact = self.expected
        for stream in np.random.default_rng(1).spawn(_RUNS):
            _keep_largest(moved, exact, self._presented(_Outputs(unit, stream), unit, stream))
        if self._setting.semantics.activations == "absolute":
            more = dict.fromkeys(self.expected, 0.0)
            for stream in np.random.default_rng(2).spawn(_RUNS):
                approximate = partial(_Approximate, unit=unit, rng=stream)
                network = _with_activations(self._setting.network, approximate)
                results = evaluate(self._setting._replace(network=network), Packed())
                _keep_largest(more, exact, self._present(results))
            moved = {name: moved[name] + more[name] for name in moved}
        return moved

    def _presented(
        self,
        arithmetic: Arithmetic,
        unit: float | None = None,
        stream: np.random.Generator | None = None,
    ) -> Mapping[str, Expected]:
        """The setting run with other arithmetic, and with derivatives from outputs if `unit`."""
        setting = self._setting
        if unit is not None and stream is not None:
            from_output = partial(_FromOutput, unit=unit, rng=stream)
            setting = setting._replace(network=_with_activations(setting.network, from_output))
        return self._present(evaluate(setting, Packed(arithmetic=arithmetic)))


class _Outputs(MonteCarlo):
    """Exact products; activations and states off by up to a unit in the last place."""

    product = staticmethod(BLAS.product)
    product_plus = staticmethod(BLAS.product_plus)
    sum_rows = staticmethod(BLAS.sum_rows)


class _FromOutput(Activation):
    """An activation whose derivative and complement are computed from its value.

    What is piecewise linear has nothing to lose and keeps its own.
    """

    __slots__ = ()

    def __init__(self, exact: Activation, unit: float, rng: np.random.Generator) -> None:
        super().__init__(exact.name, exact.alpha, exact.beta)
        alpha = 1.0 if self.alpha is None else self.alpha
        beta = 1.0 if self.beta is None else self.beta
        formulas: dict[str, Callable[[Array], Array]] = {
            "tanh": lambda y: 1 - y * y,
            "sigmoid": lambda y: y * (1 - y),
            "softsign": lambda y: (1 - np.abs(y)) ** 2,
            "softplus": lambda y: 1 - np.exp(-y),
            "elu": lambda y: np.where(y > 0, 1.0, y + alpha),
            "scaledtanh": lambda y: alpha * beta * (1 - (y / alpha) ** 2),
        }
        if self.name not in formulas:
            return
        derivative = formulas[self.name]

        def complement(a: Array) -> Array:
            y = exact.value(a)
            rounded: Array = 1 - y * (1 + unit * rng.uniform(-1, 1, y.shape))
            return rounded

        changed = self._formulas._replace(
            derivative=lambda a, y: derivative(y), complement=complement
        )
        object.__setattr__(self, "_formulas", changed)


class _Approximate(Activation):
    """A smooth activation with an absolute error.

    What is piecewise linear needs no approximation and keeps its own.
    """

    __slots__ = ()

    def __init__(self, exact: Activation, unit: float, rng: np.random.Generator) -> None:
        super().__init__(exact.name, exact.alpha, exact.beta)
        if self.name not in _SMOOTH:
            return

        def value(a: Array, out: Array | None = None) -> Array:
            y = exact.value(a, out=out)
            y += unit * rng.uniform(-1, 1, y.shape)
            return y

        def complement(a: Array) -> Array:
            off: Array = exact.complement(a) + unit * rng.uniform(-1, 1, a.shape)
            return off

        changed = self._formulas._replace(value=value, complement=complement)
        object.__setattr__(self, "_formulas", changed)


def truth_of(setting: Setting, present: Present) -> Truth:
    """The reference's results of a setting; its numbers are taken as exact.

    Parameters
    ----------
    setting : Setting
        Of any real dtype; computed in float64, or in longdouble if that is what it is in.
    present : callable
        Results in the subject's names and layout.
    """
    wide = np.result_type(setting.problem.dtype, np.float64)
    return Truth(
        setting._replace(
            parameters=tuple(p.astype(wide) for p in setting.parameters),
            problem=setting.problem.astype(wide),
        ),
        present,
    )


def _with_activations(network: Network, change: Callable[[Activation], Activation]) -> Network:
    """The same network with its activations changed."""

    def changed(option: Any) -> Any:
        return change(option) if isinstance(option, Activation) else option

    cells = [
        type(cell)(
            cell.input_size,
            cell.hidden_size,
            **{name: changed(value) for name, value in cell.options().items()},
        )
        for cell in network.cells
    ]
    return Network(cells, network.reverse, network.merge)


def _keep_largest(
    moved: dict[str, float], exact: Mapping[str, Expected], noisy: Mapping[str, Expected]
) -> None:
    """Keep the largest movement of every array, **in place**."""
    for name, expected in noisy.items():
        difference = np.abs(expected.array - exact[name].array)
        if expected.compared is not None:
            difference = difference[expected.compared]
        moved[name] = max(moved[name], float(difference.max(initial=0.0)))


def _largest(expected: Expected) -> float:
    """The largest number of an array among those that are compared."""
    size = np.abs(expected.array)
    if expected.compared is not None:
        size = size[expected.compared]
    return float(size.max(initial=0.0))
