"""Attention with decomposed relative positions: fused kernel against two batched products.

Prints JSON: seconds of CPU time for the neck's windowed and global attention, by dtype, and their
ratio. Both sides run in one process, alternating.
"""

import argparse
import json
import time
from collections.abc import Callable

import torch
import torch.nn.functional as F


def cpu_seconds(function: Callable[[], object], repeats: int) -> float:
    """Return the least CPU time of several calls."""
    times = []
    for _ in range(repeats):
        start = time.process_time()
        function()
        times.append(time.process_time() - start)
    return min(times)


def measure(
    shape: tuple[int, ...], keys: int, dtype: torch.dtype, repeats: int
) -> dict[str, float]:
    """Compare both forms for queries of `shape` (B, M, T, D)."""
    batch, heads, queries, width = shape
    q = torch.randn(shape, dtype=dtype)
    k, v = (torch.randn(batch, heads, keys, width, dtype=dtype) for _ in range(2))
    bias = torch.randn(batch, heads, queries, keys, dtype=dtype)

    def products() -> torch.Tensor:
        flat = [x.flatten(0, 1) for x in (q, k, v, bias)]
        scores = torch.baddbmm(flat[3], flat[0], flat[1].transpose(1, 2), alpha=width**-0.5)
        return torch.bmm(scores.softmax(dim=-1), flat[2])

    fused = cpu_seconds(lambda: F.scaled_dot_product_attention(q, k, v, attn_mask=bias), repeats)
    two = cpu_seconds(products, repeats)
    return {"fused_s": round(fused, 4), "products_s": round(two, 4), "ratio": round(fused / two, 2)}


def main() -> None:
    """Measure the neck's two kinds of attention at 1024 pixels."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--repeats", type=int, default=3)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    results = {}
    with torch.inference_mode():
        for dtype in (torch.float32, torch.bfloat16):
            name = str(dtype).removeprefix("torch.")
            results[f"{name} windows"] = measure((25, 16, 196, 80), 196, dtype, arguments.repeats)
            results[f"{name} global, 128 queries"] = measure(
                (1, 16, 128, 80), 4096, dtype, arguments.repeats
            )
    print(json.dumps({"threads": arguments.threads, **results}, indent=1))


if __name__ == "__main__":
    main()
