"""The conformance suite: strategies, properties, and a pytest plugin to run them on any unroll.

``pytest -p refrnn.testing.plugin --pyargs refrnn.testing --unroll mypackage:MyUnroll`` holds an
unroll to the properties P1 to P12 that every unroll of refrnn is held to. It needs pytest and
Hypothesis (the extra ``test``); ``refrnn.testing.properties`` alone needs NumPy only.
"""
