"""Tell nine speakers apart by their vowels: Masking -> LSTM(64) -> Dense(9), trained with Adam.

``python japanese_vowels.py`` trains five seeds on the training set and reports the accuracy on the
test set. ``python japanese_vowels.py --search`` is how the settings were chosen: by five-fold
cross-validation on the training set alone; the test set is not loaded.
"""

# ruff: noqa: T201 - a script prints

from __future__ import annotations

import argparse
import itertools
import sys
import time
from typing import Any, NamedTuple

import numpy as np

import refrnn as rr
from refrnn.datasets import japanese_vowels
from refrnn.layers import Dense, Masking, Recurrent, Sequential
from refrnn.losses import softmax_cross_entropy
from refrnn.optimizers import Adam, clip_grad_norm

HIDDEN_SIZE = 64
FOLDS = 5


class Settings(NamedTuple):
    """Everything that was chosen."""

    learning_rate: float = 1e-2
    batch_size: int = 10
    epochs: int = 10
    max_norm: float = 1.0


class Examples(NamedTuple):
    """Standardised sequences, padded with zeros: (B, T, 12); classes (B,)."""

    padded: Any
    labels: Any


class Scaling(NamedTuple):
    """Mean and standard deviation of each feature, over the real steps of a training set."""

    mean: Any
    deviation: Any

    @classmethod
    def of(cls, batch: rr.RaggedBatch) -> Scaling:
        """Measure a training set."""
        return cls(batch.values.mean(axis=0), batch.values.std(axis=0))

    def examples(self, batch: rr.RaggedBatch, labels: Any, dtype: str = "float32") -> Examples:
        """Standardise a batch and pad it."""
        rows = ((batch.values - self.mean) / self.deviation).astype(dtype)
        return Examples(batch.with_values(rows).to_padded(batch_first=True), labels)


def classifier(features: int, classes: int) -> Sequential:
    """The classic: the final state of an LSTM, and a linear read-out."""
    lstm = rr.LSTM(features, HIDDEN_SIZE)
    return Sequential(
        [Masking(0.0), Recurrent(lstm, return_sequences=False), Dense(HIDDEN_SIZE, classes)]
    )


def train(
    model: Sequential,
    examples: Examples,
    settings: Settings,
    seed: int,
    *,
    unroll: str = "lanes",
    max_updates: int | None = None,
    watch: Any = None,
) -> rr.CellParameters:
    """Train from a seed; the same seed gives the same bits on one machine.

    ``watch(epoch, loss, params)`` is called after every epoch.
    """
    rng = np.random.default_rng(seed)
    params = model.init_parameters(rng, examples.padded.dtype)
    optimizer = Adam(settings.learning_rate)
    state = optimizer.init(params)
    count, updates = len(examples.labels), 0
    for epoch in range(1, settings.epochs + 1):
        order = rng.permutation(count)
        total = 0.0
        for start in range(0, count, settings.batch_size):
            chosen = order[start : start + settings.batch_size]
            x, labels = examples.padded[chosen], examples.labels[chosen]
            logits, tape = model.forward(params, x, {1: {"unroll": unroll}})
            loss = softmax_cross_entropy(logits, labels, reduction="mean")
            gradients = model.backward(tape, loss.gradient).parameters
            _, gradients = clip_grad_norm(gradients, settings.max_norm)
            params, state = optimizer.update(gradients, state, params)
            total += float(loss.value) * len(chosen)
            updates += 1
            if updates == max_updates:
                return params
        if watch is not None:
            watch(epoch, total / count, params)
    return params


def evaluate(
    model: Sequential, params: rr.CellParameters, examples: Examples
) -> tuple[float, float]:
    """Accuracy and cross-entropy."""
    logits = model.forward(params, examples.padded).output
    loss = softmax_cross_entropy(logits, examples.labels, reduction="mean")
    return float((logits.argmax(axis=1) == examples.labels).mean()), float(loss.value)


def progress(text: str) -> None:
    """Overwrite one line of the terminal; silent where nobody watches."""
    if sys.stderr.isatty():
        print(f"\r{text:<60}", end="", file=sys.stderr, flush=True)


# --- choosing the settings, on the training set alone ------------------------------------------

SEARCH_EPOCHS = (5, 10, 15, 20, 30, 40)
SEARCH_GRID = tuple(itertools.product((1e-3, 3e-3, 1e-2, 3e-2), (10, 30, 90)))


def search() -> None:
    """Print cross-validated accuracy and loss for every setting; the best loss last."""
    data = japanese_vowels("train")
    number = np.concatenate([np.arange(n) for n in np.bincount(data.labels)])  # within a speaker
    table = []
    for rate, batch_size in SEARCH_GRID:
        settings = Settings(rate, batch_size, max(SEARCH_EPOCHS))
        scores: dict[int, list[tuple[float, float]]] = {epoch: [] for epoch in SEARCH_EPOCHS}
        for fold in range(FOLDS):
            inside = np.flatnonzero(number % FOLDS != fold)
            outside = np.flatnonzero(number % FOLDS == fold)
            scaling = Scaling.of(data.batch.permute(inside))
            fit_on = scaling.examples(data.batch.permute(inside), data.labels[inside])
            held_out = scaling.examples(data.batch.permute(outside), data.labels[outside])
            model = classifier(data.batch.features, data.num_classes)

            def watch(epoch: int, loss: float, params: rr.CellParameters) -> None:
                progress(f"{settings}, fold {fold + 1} of {FOLDS}, epoch {epoch}")  # noqa: B023
                if epoch in scores:  # noqa: B023
                    scores[epoch].append(evaluate(model, params, held_out))  # noqa: B023

            train(model, fit_on, settings, seed=fold, watch=watch)
        for epoch, pairs in scores.items():
            accuracy, loss = np.mean(pairs, axis=0)
            table.append((loss, accuracy, rate, batch_size, epoch))
            print(
                f"learning rate {rate:<6} batch {batch_size:<3} epochs {epoch:<3} "
                f"accuracy {accuracy:.4f}  cross-entropy {loss:.4f}",
                flush=True,
            )
    loss, accuracy, rate, batch_size, epoch = min(table)
    print(
        f"lowest cross-entropy {loss:.4f}: learning rate {rate}, batch {batch_size}, epochs {epoch}"
    )


# --- the run --------------------------------------------------------------------------------------


def main() -> None:
    """Train and report, or search."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--search", action="store_true", help="cross-validate the settings")
    parser.add_argument("--seeds", type=int, default=5, help="seeds 0, 1, ... (5)")
    parser.add_argument("--save", metavar="FILE", help="write the last seed's parameters")
    arguments = parser.parse_args()
    if arguments.search:
        search()
        return
    data, test = japanese_vowels("train"), japanese_vowels("test")
    scaling = Scaling.of(data.batch)
    examples = scaling.examples(data.batch, data.labels)
    unseen = scaling.examples(test.batch, test.labels)
    model, settings = classifier(data.batch.features, data.num_classes), Settings()
    print(f"{model}\n{settings}")
    accuracies = []
    for seed in range(arguments.seeds):
        began = time.perf_counter()
        params = train(
            model,
            examples,
            settings,
            seed,
            watch=lambda epoch, loss, _: progress(
                f"seed {seed}: epoch {epoch} of {settings.epochs}, loss {loss:.4f}"  # noqa: B023
            ),
        )
        seconds = time.perf_counter() - began
        accuracy, loss = evaluate(model, params, unseen)
        accuracies.append(accuracy)
        progress("")
        print(
            f"seed {seed}: test accuracy {accuracy:.4f}, cross-entropy {loss:.4f}, {seconds:.1f} s",
            flush=True,
        )
    print(f"median test accuracy {np.median(accuracies):.4f}")
    if arguments.save:
        params.save(arguments.save)


if __name__ == "__main__":
    main()
