"""Who is timed: unrolls of refrnn, and the table of peers from other libraries.

To add a peer, write a module with a function ``prepare(case, threads)`` that returns a
:class:`Prepared`, and add a row to :data:`PEERS`. The module is imported only in a process of its
own, so it may import its framework at the top.
"""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple, Protocol

from ..comparison import Case
from ..types import Array
from ..unroll import Unroll, installed_unrolls, resolve

__all__ = ["PEERS", "Contestant", "Peer", "Prepared", "find_contestants", "find_unroll", "prepare"]


class Prepared(Protocol):
    """One contestant that holds one workload, ready to be timed."""

    def forward(self) -> object:
        """Run forward once."""
        ...

    def forward_backward(self) -> object:
        """Run forward and backward once: the gradients of the input and of every parameter."""
        ...

    def results(self) -> Mapping[str, Array]:
        """Arrays as :func:`refrnn.comparison.run_case` names and orders them.

        What is not there is not compared.
        """
        ...

    def facts(self) -> Mapping[str, Any]:
        """What the report says of it.

        ``computed_steps`` (row steps, padding included), ``versions``, ``threads`` where the
        library tells how many it uses, and ``lacks`` where it does not do all kinds of work: the
        kind and the reason. What it lacks is never called.
        """
        ...


class Peer(NamedTuple):
    """A way to run the workload in another library.

    Attributes
    ----------
    module : str
        Where ``prepare`` is found.
    options : dict
        Keyword arguments of ``prepare``.
    requires : str
        The modules that must be installed, with spaces between.
    install : str
        What to install it with.
    about : str
        One line: what is timed.
    weighed : dict
        Further keyword arguments of ``prepare`` where memory is measured: what keeps memory from
        call to call must not do it there.
    """

    module: str
    options: dict[str, Any]
    requires: str
    install: str
    about: str
    weighed: Mapping[str, Any] = MappingProxyType({})


_INSTALL = "pip install 'refrnn[peers]'"
_TORCH = ("refrnn.bench.torch_peer", "torch", _INSTALL)

#: The peers by name.
PEERS: dict[str, Peer] = {
    "torch-packed": Peer(
        _TORCH[0], {"padded": False}, *_TORCH[1:], "torch.nn.LSTM, GRU or RNN, PackedSequence"
    ),
    "torch-padded": Peer(
        _TORCH[0], {"padded": True}, *_TORCH[1:], "torch.nn.LSTM, GRU or RNN, every padded step"
    ),
    "onnxruntime": Peer(
        "refrnn.bench.onnx_peer",
        {},
        "onnxruntime onnx",
        _INSTALL,
        "ONNX Runtime's LSTM, GRU or RNN with sequence_lens, forward only",
        {"arena": False},
    ),
    "jax": Peer("refrnn.bench.jax_peer", {}, "jax", _INSTALL, "a masked jax.lax.scan, jitted"),
}


class Contestant(NamedTuple):
    """Somebody to time.

    Attributes
    ----------
    name : str
        What the report calls it.
    kind : {"unroll", "peer"}
    spec : str
        How a process of its own finds it: the name of an unroll or peer, or ``module:Class``.
    missing : str
        Why it cannot be run here; empty where nothing is known to speak against it.
    """

    name: str
    kind: str
    spec: str
    missing: str = ""


def find_contestants(
    unrolls: Sequence[str], peers: Sequence[str], *, all_peers: bool = True
) -> list[Contestant]:
    """Those asked for, or everything installed but ``per_sequence``, which is far too slow.

    Parameters
    ----------
    unrolls : sequence of str
        Names of installed unrolls, or ``module:Class``. Empty means all but the definition.
    peers : sequence of str
        Names in :data:`PEERS`. Empty means all if `all_peers`, else none.
    all_peers : bool

    Returns
    -------
    list of Contestant
        Unrolls first. What nobody asked for by name and cannot be had stays in the list, with
        the reason.

    Raises
    ------
    ValueError
        If a name is unknown, or something asked for by name cannot be had; the message says why.
    """
    found = [_unroll(spec) for spec in dict.fromkeys(unrolls)]
    if not unrolls:
        installed = installed_unrolls()
        found = [
            Contestant(name, "unroll", name, entry if isinstance(entry, str) else "")
            for name, entry in installed.items()
            if name != "per_sequence"
        ]
    found += [_peer(name, asked=True) for name in dict.fromkeys(peers)]
    if not peers and all_peers:
        found += [_peer(name, asked=False) for name in PEERS]
    return found


def _unroll(spec: str) -> Contestant:
    """An unroll asked for by name, tried here so that a mistake shows before any work."""
    try:
        find_unroll(spec)
    except ValueError as error:
        raise ValueError(f"--unroll: {error}") from error
    return Contestant(spec, "unroll", spec)


def find_unroll(spec: str) -> Unroll:
    """The unroll object of a name, or of ``module:Class`` (an object there will do, too).

    Parameters
    ----------
    spec : str

    Raises
    ------
    ValueError
        If there is none, or it cannot be imported or made; the message has the reason.
    """
    if ":" not in spec:
        return resolve(spec)
    module, _, attribute = spec.partition(":")
    try:
        found: Any = importlib.import_module(module)
        for part in attribute.split("."):
            found = getattr(found, part)
        return resolve(found() if isinstance(found, type) else found)
    except Exception as error:  # whatever somebody's module raises is the reason
        raise ValueError(
            f"unroll {spec!r} cannot be loaded: {type(error).__name__}: {error}"
        ) from error


def _peer(name: str, *, asked: bool) -> Contestant:
    """A peer; one that was asked for by name must be installed."""
    if name not in PEERS:
        raise ValueError(f"--peer has name {name!r}, expected one of {', '.join(PEERS)}")
    peer = PEERS[name]
    missing = ""
    absent = [n for n in peer.requires.split() if importlib.util.find_spec(n) is None]
    if absent:
        missing = f"{' and '.join(absent)} is not installed: {peer.install}"
        if asked:
            raise ValueError(f"--peer {name}: {missing}")
    return Contestant(name, "peer", name, missing)


def prepare(
    contestant: Contestant, case: Case, threads: int, *, weighed: bool = False
) -> Prepared | str:
    """Make a contestant ready, in the process that will time it.

    Parameters
    ----------
    contestant : Contestant
    case : Case
    threads : int
        Threads it may use. The environment of the process has told NumPy's BLAS already.
    weighed : bool
        Memory is to be measured, and not time.

    Returns
    -------
    Prepared or str
        The reason, where it does not offer this cell or dtype.
    """
    if contestant.kind == "unroll":
        from . import unroll_runner

        return unroll_runner.prepare(case, find_unroll(contestant.spec), threads)
    peer = PEERS[contestant.spec]
    options = {**peer.options, **(peer.weighed if weighed else {})}
    prepared: Prepared | str = importlib.import_module(peer.module).prepare(
        case, threads, **options
    )
    return prepared
