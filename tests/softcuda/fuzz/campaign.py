"""Damage, load and run: ``python -m tests.softcuda.fuzz.campaign --seed=0 --count=10000``.

In one process, so that it is fast: input ``k`` of seed ``s`` is always the same, and the file
``--at`` says which one it is at. ``--only=k`` does that one again; ``--save=FILE`` keeps it.
Prints how many loads and launches ended in which way, as JSON.
"""

from __future__ import annotations

import argparse
import ctypes
import json
import mmap
import os
import signal
import sys
from collections import Counter
from functools import cache
from pathlib import Path
from random import Random

import numpy as np

from tests.softcuda.device import Device
from tests.softcuda.fuzz.corpus import Sample, samples
from tests.softcuda.fuzz.mutations import damage_elf, damage_fatbin, damage_text, words

#: What a damaged module may be refused with; 2 is no memory.
REFUSALS = {2, 200, 209, 218}
#: What a kernel may end in: a fault that is reported, or too much asked for.
ENDS = {1, 2, 700, 701, 702, 710, 714, 715, 716, 717, 718, 719}
#: No input takes this many seconds.
LIMIT = 20


class Guarded:
    """Memory behind which nothing can be read: who reads too far ends the process."""

    def __init__(self, size: int) -> None:
        page = mmap.PAGESIZE
        self._size = -(-size // page) * page
        self._map = mmap.mmap(-1, self._size + page)
        self._address = ctypes.addressof(ctypes.c_char.from_buffer(self._map))
        libc = ctypes.CDLL(None, use_errno=True)
        guard = ctypes.c_void_p(self._address + self._size)
        assert libc.mprotect(guard, ctypes.c_size_t(page), 0) == 0

    def put(self, data: bytes) -> int:
        """Place data against the end, and return its address."""
        data = data[-self._size :]
        self._map[self._size - len(data) : self._size] = data
        return self._address + self._size - len(data)


class Target:
    """The device, with the buffers that kernels are given."""

    def __init__(self) -> None:
        self._memory = Guarded(1 << 20)
        self._contents = [
            np.arange(256, dtype=np.uint32) * 2654435761 % 1000,
            np.linspace(-3, 3, 256, dtype=np.float32),
            np.linspace(-2, 5, 128),
        ]
        self._renew()

    def _renew(self) -> None:
        self._device = Device()
        self._buffers = [self._device.upload(array) for array in self._contents]
        # More parameters than any kernel of the corpus has: a damaged one may ask for them.
        parameters = np.zeros(512, np.uint64)
        parameters[:3] = self._buffers
        parameters[3:] = 37
        self._parameters = parameters

    def load(self, image: bytes) -> tuple[int, ctypes.c_void_p]:
        """The status, and the module if it is 0."""
        module = ctypes.c_void_p()
        address = ctypes.c_void_p(self._memory.put(image))
        return self._device.status("cuModuleLoadData", ctypes.byref(module), address), module

    def run(self, module: ctypes.c_void_p, kernel: str, blocks: int) -> int:
        """Launch a kernel and wait for it: the status."""
        function = ctypes.c_void_p()
        device = self._device
        if device.status("cuModuleGetFunction", ctypes.byref(function), module, kernel.encode()):
            return 0  # it has lost its name
        for address, array in zip(self._buffers, self._contents, strict=True):
            pointer = array.ctypes.data_as(ctypes.c_void_p)
            size = ctypes.c_size_t(array.nbytes)
            device.call("cuMemcpyHtoD_v2", ctypes.c_uint64(address), pointer, size)
        size = ctypes.c_size_t(self._parameters.nbytes)
        extra = (ctypes.c_void_p * 5)(
            1, self._parameters.ctypes.data, 2, ctypes.addressof(size), None
        )
        status = device.status(
            "cuLaunchKernel", function, 2, 1, 1, 48, 1, 1, 256, None, None, extra
        )
        if status:
            return status
        status = device.status("cuCtxSynchronize")
        if status:
            device.close()
            self._renew()
        return status

    def forget(self, module: ctypes.c_void_p) -> None:
        """Unload a module, which is gone where its context is, and what was counted of it."""
        self._device.status("cuModuleUnload", module)
        self._device.reset()


@cache
def pool_of(sample: Sample) -> list[str]:
    """The words of a sample, to take some from."""
    return words(sample.data.decode())


def make(rng: Random, all_samples: list[Sample], kind: str) -> tuple[Sample, bytes]:
    """A sample, and its damaged bytes."""
    wanted = [one for one in all_samples if one.kind == kind]
    # Small ones more often: a second is better spent on many.
    sample = rng.choices(wanted, [1 / (len(one.data) + 3000) for one in wanted])[0]
    pool = pool_of(rng.choice([one for one in all_samples if one.kind == "ptx"]))
    if kind == "ptx":
        return sample, damage_text(rng, pool_of(sample), pool) + b"\0"
    if kind == "fatbin":
        return sample, damage_fatbin(rng, sample.data)
    return sample, damage_elf(rng, sample.data, pool)


def main() -> int:
    """0 if every input ended as one may; what is printed says how."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kind", choices=("ptx", "cubin", "fatbin"), default="ptx")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--count", type=int, default=1000)
    parser.add_argument("--only", type=int)
    parser.add_argument("--save", type=Path)
    parser.add_argument("--at", type=Path, default=Path(os.devnull))
    args = parser.parse_args()
    all_samples, target = samples(), Target()
    outcomes: Counter[str] = Counter()
    bad = []
    inputs = range(args.first, args.first + args.count) if args.only is None else [args.only]
    marker = os.open(args.at, os.O_WRONLY | os.O_CREAT)
    for k in inputs:
        os.pwrite(marker, b"%20d" % k, 0)
        signal.setitimer(signal.ITIMER_REAL, LIMIT)  # whose signal ends the process
        rng = Random(f"{args.seed}/{k}")
        sample, image = make(rng, all_samples, args.kind)
        if args.save is not None:
            args.save.write_bytes(image)
        status, module = target.load(image)
        outcomes[f"load {status}"] += 1
        if status:
            if status not in REFUSALS:
                bad.append((k, sample.name, f"load {status}"))
            continue
        for kernel in sample.kernels:
            status = target.run(module, kernel, rng.choice((1, 2)))
            outcomes[f"run {status}"] += 1
            if status and status not in ENDS:
                bad.append((k, sample.name, f"run {status}"))
        target.forget(module)
    signal.setitimer(signal.ITIMER_REAL, 0)
    print(json.dumps({"outcomes": dict(sorted(outcomes.items())), "bad": bad[:20]}))  # noqa: T201
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
