"""The version of refrnn, in the one place that ``setup.py`` and ``refrnn.__version__`` read."""

__version__ = "0.1.0"
