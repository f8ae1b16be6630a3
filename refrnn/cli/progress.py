"""Tell on standard error how far a long command has come."""

from __future__ import annotations

import shutil
import time
from typing import TextIO

__all__ = ["Progress"]


class Progress:
    """One line that is rewritten on a terminal; elsewhere a plain line now and then.

    Parameters
    ----------
    stream : text stream
        Where to write: standard error, so that results can be piped away.
    label : str
        What every line begins with.
    pause : float
        Seconds between plain lines.
    """

    def __init__(self, stream: TextIO, label: str, pause: float = 10.0) -> None:
        self._stream = stream
        self._label = label
        self._pause = pause
        self._start = self._last = time.monotonic()
        self._terminal = stream.isatty()

    def __call__(self, text: str, done: int, total: int) -> None:
        """Tell what is being done, how many parts are done, and of how many."""
        now = time.monotonic()
        line = (
            f"{self._label}: {done:>{len(str(total))}}/{total}, {now - self._start:.0f} s, {text}"
        )
        if self._terminal:
            self._rewrite(line)
        elif now - self._last >= self._pause:
            self._last = now
            print(line, file=self._stream, flush=True)

    def close(self) -> None:
        """Leave a clean line behind."""
        if self._terminal:
            self._rewrite("")

    def _rewrite(self, line: str) -> None:
        width = shutil.get_terminal_size().columns - 1
        self._stream.write(f"\r{line[:width]:<{width}}\r")
        self._stream.flush()
