"""A small corpus that finds every mutant, and a copy to damage."""

from __future__ import annotations

import pytest

from refrnn.vectors import (
    export,
)


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    """A small corpus; tests that change it change a copy."""
    root = tmp_path_factory.mktemp("vectors")
    export(root, cells=("rnn_softplus", "lstm_coupled_activations", "bidirectional_lstm"))
    return root


@pytest.fixture
def changed(corpus, tmp_path):
    """A copy of that corpus."""
    for path in corpus.rglob("*.*"):
        target = tmp_path / path.relative_to(corpus)
        target.parent.mkdir(exist_ok=True)
        target.write_bytes(path.read_bytes())
    return tmp_path
