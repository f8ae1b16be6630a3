from __future__ import annotations

from collections.abc import Iterator

import pytest

from .device import Device


@pytest.fixture
def device() -> Iterator[Device]:
    one = Device()
    yield one
    one.close()
