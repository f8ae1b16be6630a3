"""From a source of kernels to a module that is loaded.

First the PTX that the installation brought, if it was made of exactly these sources; where there is
none, or the driver is too old for it, nvcc compiles, and what it made is kept.
"""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any, NamedTuple

from refrnn.errors import DeviceError

from ..softcuda.build import BuildError
from .context import DeviceContext, driver
from .nvcc import compiled, find_nvcc
from .sources import PACKAGE, Defines, KernelSources, least_architecture

__all__ = ["LoadedModule", "load_module"]


class LoadedModule(NamedTuple):
    """A module in its context.

    Attributes
    ----------
    module : pycuda.driver.Module
    origin : str
        Where its code comes from, in words.
    """

    module: Any
    origin: str

    def function(self, name: str) -> Any:
        """A kernel of it, by its name in PTX: that of the source where it is ``extern "C"``.

        Parameters
        ----------
        name : str

        Returns
        -------
        pycuda.driver.Function

        Raises
        ------
        DeviceError
            If there is none of that name.
        """
        try:
            return self.module.get_function(name)
        except driver().Error as error:
            raise DeviceError(f"{self.origin} has no kernel {name}: {error}") from error


def load_module(
    context: DeviceContext,
    source: str,
    defines: Defines | None = None,
    *,
    sources: KernelSources = PACKAGE,
) -> LoadedModule:
    """Get the module of a source, loaded once for each context.

    Parameters
    ----------
    context : DeviceContext
        The current one.
    source : str
        Name of a file in ``sources.kernels``.
    defines : mapping of str to int or str, optional
        Macros.
    sources : KernelSources, optional
        Those of this package by default.

    Returns
    -------
    LoadedModule

    Raises
    ------
    DeviceError
        If there is neither PTX that the driver takes nor an nvcc that compiles; with both reasons.

    Warns
    -----
    RuntimeWarning
        If the driver is too old for the PTX that is there, so that nvcc had to compile.
    """
    macros = dict(defines or {})
    key = ("module", sources, source, tuple(sorted(macros.items())))
    architecture = context.device.architecture
    code = f"sm_{architecture}"
    if context.device.is_software:
        code = f"compute_{least_architecture(macros)}"
    made: LoadedModule = context.cached(
        key, lambda: _load(sources, source, macros, architecture, code)
    )
    return made


def _load(
    sources: KernelSources, source: str, defines: Defines, architecture: int, code: str
) -> LoadedModule:
    shipped = sources.shipped(source, defines, architecture)
    if shipped is None:
        reason = f"no PTX of {source} was shipped for compute capability {architecture / 10:.1f}"
    else:
        try:
            return _loaded(shipped, f"shipped PTX {shipped.name}")
        except driver().Error as error:
            if not _is_too_new(error):
                raise DeviceError(f"{shipped} cannot be loaded: {error}") from error
            reason = f"the driver is too old for the shipped PTX {shipped.name} ({error})"
    try:
        nvcc = find_nvcc()
        made = compiled(nvcc, sources, source, defines, code)
    except BuildError as error:
        raise DeviceError(f"{reason}, and {source} cannot be compiled: {error}") from error
    if shipped is not None:
        warnings.warn(f"{reason}: compiled with {nvcc} instead", RuntimeWarning, stacklevel=4)
    try:
        return _loaded(made, f"{source} compiled with {nvcc}")
    except driver().Error as error:
        raise DeviceError(f"{made}, of {nvcc}, cannot be loaded: {error}") from error


def _loaded(file: Path, origin: str) -> LoadedModule:
    """Load PTX or a cubin."""
    end = b"\0" if file.suffix == ".ptx" else b""  # the driver takes text as C does
    return LoadedModule(driver().module_from_buffer(file.read_bytes() + end), origin)


def _is_too_new(error: Exception) -> bool:
    """Whether the driver says that it does not know a version of PTX.

    CUDA_ERROR_UNSUPPORTED_PTX_VERSION, which PyCUDA tells by its text only; drivers before 11.0
    have the compiler's words instead.
    """
    text = str(error).lower()
    return "unsupported toolchain" in text or "unsupported .version" in text
