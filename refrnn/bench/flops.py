"""How much arithmetic a workload is: the one place that says it."""

from __future__ import annotations

from math import prod

from ..unroll.base import AnyCell

__all__ = ["matmul_flops", "work_flops"]


def work_flops(cell: AnyCell, steps: int, work: str) -> int:
    """Floating-point operations of the matrix products that a workload needs.

    Parameters
    ----------
    cell : Cell
    steps : int
        N, real steps: what is computed on padding is not work.
    work : {"forward", "forward+backward"}

    Notes
    -----
    Every real step multiplies its input and the state before it by W_ih and W_hh: two operations
    for each of G*H*(I + H) weights, so 2*N*G*H*(I + H) forward. (With a projection to P features
    it is 2*N*(G*H*(I + P) + P*H): two for each element of every matrix.) Backward has two such
    products for each one of forward, by the operand and by the weights: three times as much for
    both passes. Activations, biases and peepholes are not counted.

    Examples
    --------
    >>> from refrnn import LSTM
    >>> work_flops(LSTM(3, 5), 10, "forward") == 2 * 10 * 4 * 5 * (3 + 5)
    True
    """
    passes = {"forward": 1, "forward+backward": 3}[work]
    weights = sum(prod(shape) for shape in cell.parameter_shapes().values() if len(shape) == 2)
    return passes * 2 * steps * weights


def matmul_flops(size: int) -> int:
    """Floating-point operations of one product of two square matrices.

    Parameters
    ----------
    size : int
    """
    return 2 * size**3
