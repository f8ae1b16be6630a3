"""Accelerated unrolls for refrnn, with the interface and the meaning of :mod:`refrnn.unroll`.

This package imports nothing, so that finding it costs nothing. Each accelerator is a subpackage
that is imported only when its unroll is asked for by name; inside this package imports are
relative. ``_build.json`` beside this file is written when the wheel is built: it tells which
native parts were built, and for each one that was not, the command and its first error line.
``refrnn info`` prints it.
"""
