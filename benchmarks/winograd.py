"""Whether Winograd's convolution, made of this library's products, beats the direct one.

    python -m benchmarks.winograd [--images 16] [--precision bfloat16]

F(2x2, 3x3) (Lavin & Gray 2016) needs 2.25 times fewer multiplications than the direct 3x3
convolution. Here its transforms are products with constant 16 x 16 and 4 x 16 matrices, so that
everything but moving data runs at the rate of matrix products. Layers of ResNet-56, one thread.
"""

import argparse
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from benchmarks.report import FOLDER, describe_machine, print_table, write_json
from benchmarks.timing import first_core, measure, one_thread

LAYERS = ((16, 32), (32, 16), (64, 8))  # channels and side of ResNet-56's three stages
INPUT = torch.tensor([[1.0, 0, -1, 0], [0, 1, 1, 0], [0, -1, 1, 0], [0, 1, 0, -1]])
KERNEL = torch.tensor([[1, 0, 0], [0.5, 0.5, 0.5], [0.5, -0.5, 0.5], [0, 0, 1]])
OUTPUT = torch.tensor([[1.0, 1, 1, 0], [0, 1, -1, -1]])


def main() -> None:
    parser = argparse.ArgumentParser(description="Winograd's convolution against the direct one.")
    parser.add_argument("--images", type=int, default=16)
    parser.add_argument("--precision", choices=("float32", "bfloat16"), default="bfloat16")
    options = parser.parse_args()
    dtype = getattr(torch, options.precision)
    print(describe_machine())
    with one_thread(first_core()), torch.inference_mode():
        rows = [compare(*layer, options.images, dtype) for layer in LAYERS]
    print_table(rows, f"µs of a layer, {options.images} images, {options.precision}")
    write_json(FOLDER / "winograd.json", {"precision": options.precision, "rows": rows})


def compare(channels: int, side: int, images: int, dtype: torch.dtype) -> dict[str, Any]:
    """Return µs of the direct convolution and of each step of Winograd's, and its error."""
    draw = torch.Generator().manual_seed(0)
    inputs = torch.randn(images, channels, side, side, generator=draw).to(dtype)
    inputs = inputs.contiguous(memory_format=torch.channels_last)
    kernel = torch.randn(channels, channels, 3, 3, generator=draw) / (9 * channels) ** 0.5
    low = kernel.to(dtype).contiguous(memory_format=torch.channels_last)
    weights = torch.einsum("ai,ocij,bj->aboc", KERNEL, kernel, KERNEL).reshape(16, channels, -1)
    weights = weights.transpose(1, 2).contiguous().to(dtype)  # (16, in, out)
    into, back = (torch.kron(m, m).to(dtype) for m in (INPUT, OUTPUT))
    tiles = gather(inputs)  # (16, tiles * channels)
    spectra = (into @ tiles).view(16, -1, channels)
    products = torch.bmm(spectra, weights)
    values = back @ products.view(16, -1)
    exact = F.conv2d(inputs.float(), low.float(), padding=1)
    error = (scatter(values, images, side).float() - exact).norm() / exact.norm()
    steps = {
        "copies": (lambda: gather(inputs), lambda: scatter(values, images, side)),
        "transforms": (lambda: into @ tiles, lambda: back @ products.view(16, -1)),
        "products": (lambda: torch.bmm(spectra, weights),),
    }
    found = {name: sum(map(microseconds, parts)) for name, parts in steps.items()}
    direct = microseconds(lambda: F.conv2d(inputs, low, padding=1))
    total = sum(found.values())
    row: dict[str, Any] = {"ch": channels, "side": side, "direct": direct, "Winograd": total}
    return row | found | {"x": direct / total, "error": float(error)}


def microseconds(step: Callable[[], Tensor]) -> float:
    return 1e6 * measure(step, calls=20, max_s=5).best


def gather(inputs: Tensor) -> Tensor:
    """Return all 4 x 4 tiles, two pixels apart, (16, images * tiles * channels)."""
    padded = F.pad(inputs, (1, 1, 1, 1)).permute(0, 2, 3, 1)
    tiles = padded.unfold(1, 4, 2).unfold(2, 4, 2)  # (images, t, t, channels, 4, 4)
    return tiles.permute(4, 5, 0, 1, 2, 3).reshape(16, -1)


def scatter(values: Tensor, images: int, side: int) -> Tensor:
    """Return the outputs, (images, channels, side, side) in channels_last order."""
    tiles = values.view(2, 2, images, side // 2, side // 2, -1).permute(2, 3, 0, 4, 1, 5)
    return tiles.reshape(images, side, side, -1).permute(0, 3, 1, 2)


if __name__ == "__main__":
    main()
