"""Every kernel of the products on the device in software: what they cost, and what comes out.

Prints, as JSON, what was counted and what the launches say of themselves, and digests of the
results.
"""

from __future__ import annotations

import hashlib
import json
import sys
from typing import Any

import numpy as np
from refrnn_accel import softcuda

from .device_products import DeviceProducts, load

#: N rows, M gates, D inputs: whole tiles, and tails of tiles, of vectors and of sectors.
SHAPES = [(5, 8, 3), (130, 71, 25), (2100, 9, 14), (64, 128, 64), (0, 2, 1), (1, 1, 0)]
LENGTHS = [3, 0, 1, 0, 0, 4]


def results(products: DeviceProducts, shape: tuple[int, int, int]) -> list[Any]:
    """Everything for N rows, M gates and D inputs."""
    n, m, d = shape
    rng = np.random.default_rng(n)
    x, w, d_a = (rng.standard_normal(size) for size in ((n, d), (m, d), (n, m)))
    states = [rng.standard_normal((len_, d)) for len_ in (sum(LENGTHS), len(LENGTHS))]
    return [
        products.gates(x, w, w.sum(1)),
        products.gates(x, w, None),
        products.input_gradient(d_a, w),
        products.weight_gradient(d_a, x),
        products.row_sums(d_a),
        *(products.previous_rows(*states, LENGTHS, direction) for direction in (1, -1)),
    ]


def main() -> None:
    """Run everything."""
    import pycuda.driver as cuda

    cuda.init()
    context = cuda.Device(0).retain_primary_context()
    context.push()
    module = load()
    counted, derived, digests, kernels = [], [], [], set()
    for dtype in ("f", "d"):
        for shape in SHAPES:
            for most in (None, 5000):
                products = DeviceProducts(module, dtype, 8 * (shape[0] % 2), most, 8)
                with softcuda.profile() as profile:
                    arrays = results(products, shape)
                digests.append([hashlib.sha256(array.tobytes()).hexdigest() for array in arrays])
                kernels |= {launch.kernel for launch in products.launches}
                for name in sorted({launch.kernel for launch in products.launches}):
                    one = profile[name]
                    keys = ("global_load_sectors", "global_store_sectors", "flops",
                            "shared_conflicts")  # fmt: skip
                    counted.append([name, shape, *(one[key] for key in keys)])
                    mine = [launch for launch in products.launches if launch.kernel == name]
                    derived.append(
                        [
                            name, shape,
                            sum(launch.load_sectors for launch in mine),
                            sum(launch.store_sectors for launch in mine),
                            sum(2 * launch.fused + launch.additions for launch in mine),
                            0,
                        ]
                    )  # fmt: skip
    context.pop()
    context.detach()
    json.dump(
        {"kernels": len(kernels), "counted": counted, "derived": derived, "digests": digests},
        sys.stdout,
    )


if __name__ == "__main__":
    main()
