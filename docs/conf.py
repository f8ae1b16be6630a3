"""Sphinx configuration. The build needs no network; `-n -W` holds every reference."""

import refrnn

project = "refrnn"
author = "refrnn contributors"
copyright = "2026, refrnn contributors"
release = version = refrnn.__version__

extensions = [
    "numpydoc",
    "sphinx.ext.autodoc",
    "sphinx.ext.doctest",
    "sphinx.ext.mathjax",
    "sphinx.ext.viewcode",
]
exclude_patterns = ["_build"]
default_role = "code"
nitpicky = True

# Shapes and dtypes stand in the docstrings, which say more than annotations can.
autodoc_typehints = "none"
autodoc_member_order = "bysource"
numpydoc_show_class_members = False

# Objects of Python and NumPy, whose inventories would have to be fetched.
nitpick_ignore_regex = [
    (r"py:.*", r"(numpy|np|collections|typing|abc|argparse)\..*"),
    (r"py:(class|obj|exc)", r"(int|float|bool|str|bytes|tuple|list|dict|object|type|optional)"),
    (r"py:exc", r"(ValueError|TypeError|RuntimeError|KeyError|IndexError|AttributeError|OSError)"),
]

html_theme = "furo"
html_title = f"refrnn {release}"

doctest_global_setup = """
import numpy as np
import refrnn as rr
"""
