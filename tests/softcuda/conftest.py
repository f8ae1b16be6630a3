from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from refrnn_accel.softcuda import library

from .device import Device


@pytest.fixture
def device() -> Iterator[Device]:
    one = Device()
    yield one
    one.close()


@pytest.fixture
def new_device(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Device]]:
    """Devices that start with other settings: ``new_device(SOFTCUDA_STREAMS="lazy")``."""
    devices = []

    def start(**settings: str) -> Device:
        for name, value in settings.items():
            monkeypatch.setenv(name, value)
        copy = tmp_path / f"{len(devices)}-libcuda.so.1"
        shutil.copy(library(), copy)
        devices.append(Device(copy))
        return devices[-1]

    yield start
    for one in devices:
        one.close()
