"""What the device can do at most, and what a grid point must cost at least.

    python -m benchmarks.ceilings [--device cpu] [--samples 1000]

Measures the rate of matrix products and of 3x3 convolutions at each precision and the bandwidth
of a copy. The floor of a network is the larger of its own floating-point operations over the
best rate and one read of its activations over the bandwidth.
"""

import argparse
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from benchmarks.report import FOLDER, describe_machine, print_table, write_json
from benchmarks.timing import first_core, measure, one_thread
from benchmarks.work import Work, count_work
from losscape_mpi.problem.model import build_model
from losscape_mpi.study.config import DataConfig, ProblemConfig

PRECISIONS = {
    "float32": torch.float32,
    "tf32": torch.float32,
    "bfloat16": torch.bfloat16,
    "float16": torch.float16,
}
ON_CPU = ("float32", "bfloat16")  # torch's float16 arithmetic on a CPU is emulated
GEMM_SIZES = (512, 1024, 2048, 4096)
LARGE_GEMM = 8192  # a GPU needs it
# Batch, channels and side of 3x3 convolutions, the stages of CIFAR networks; a GPU takes 16 times
# the batch.
SHAPES = ((64, 16, 32), (64, 32, 16), (64, 64, 8), (32, 64, 32), (32, 128, 16), (32, 256, 8))
GPU_BATCHES = 16
LAYOUTS = {"contiguous": torch.contiguous_format, "channels_last": torch.channels_last}
COPY_BYTES = 256 << 20
ROUND_S = 0.02  # a round shorter than this is repeated inside
NETWORKS = ("resnet56", "resnet56_noshort", "resnet20", "vgg9", "wrn56_2")
SPIRALS_SAMPLES = 300


@dataclass(frozen=True)
class Ceilings:
    """The best rates that were measured on a device.

    Attributes:
        device: cpu or cuda.
        gemm: FLOP/s of matrix products by precision.
        convolution: FLOP/s of 3x3 convolutions by precision, counted as 2 per multiplication.
        copy_bytes_s: Bytes read plus bytes written per second by a copy in memory.
    """

    device: str
    gemm: dict[str, float]
    convolution: dict[str, float]
    copy_bytes_s: float

    def rate(self, precision: str) -> float:
        """Return the best rate at a precision, FLOP/s."""
        return max(self.gemm[precision], self.convolution[precision])


def main() -> None:
    options = parse()
    device = torch.device(options.device)
    print(describe_machine())
    with one_thread(options.core if device.type == "cpu" else None):
        ceilings = measure_ceilings(device, max_s=options.max_s)
        floors = floor_rows(ceilings, options.samples)
    print_table(ceiling_rows(ceilings), f"Ceilings of the {device.type}, one thread")
    print_table(floors, "Floors, seconds per point")
    write_json(options.output, {"ceilings": asdict(ceilings), "floors": floors})


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    found = "cuda" if torch.cuda.is_available() else "cpu"
    parser.add_argument("--device", default=found, help="cpu or cuda")
    parser.add_argument("--core", type=int, default=first_core(), help="the core that is used")
    parser.add_argument("--samples", type=int, default=1000, help="images of a point")
    parser.add_argument("--max-s", type=float, default=10.0, help="longest time for one number")
    parser.add_argument("--output", type=Path, default=FOLDER / "ceilings.json")
    return parser.parse_args()


def precisions_of(device: torch.device | str) -> tuple[str, ...]:
    """Return the names of the precisions that a kind of device computes in."""
    return tuple(PRECISIONS) if torch.device(device).type == "cuda" else ON_CPU


def measure_ceilings(device: torch.device | str = "cpu", *, max_s: float = 10.0) -> Ceilings:
    """Return the best rates of a device with torch's present number of threads.

    Args:
        device: Where to measure.
        max_s: Longest time for each of the numbers.
    """
    device = torch.device(device)
    names = precisions_of(device)
    return Ceilings(
        device.type,
        {name: gemm_rate(name, device, max_s=max_s) for name in names},
        {name: convolution_rate(name, device, max_s=max_s) for name in names},
        copy_bandwidth(device, max_s=max_s),
    )


@torch.inference_mode()
def gemm_rate(precision: str, device: torch.device | str = "cpu", *, max_s: float = 10.0) -> float:
    """Return the best FLOP/s of square matrix products of 512 to 4096 (8192 on a GPU) rows.

    Args:
        precision: float32, tf32, bfloat16 or float16.
        device: Where to measure.
        max_s: Longest time, shared by the sizes.
    """
    device = torch.device(device)
    sizes = GEMM_SIZES + ((LARGE_GEMM,) if device.type == "cuda" else ())
    rates = []
    for size in sizes:
        left, right = (_random((size, size), precision, device) for _ in range(2))
        out = torch.empty_like(left)
        with arithmetic(precision):
            seconds = _seconds(lambda: torch.mm(left, right, out=out), device, max_s / len(sizes))  # noqa: B023
        rates.append(2 * size**3 / seconds)
    return max(rates)


@torch.inference_mode()
def convolution_rate(
    precision: str, device: torch.device | str = "cpu", *, max_s: float = 10.0
) -> float:
    """Return the best FLOP/s of 3x3 convolutions over a few shapes and both memory layouts.

    It may exceed the rate of matrix products: the kernels are other ones.

    Args:
        precision: float32, tf32, bfloat16 or float16.
        device: Where to measure.
        max_s: Longest time, shared by the shapes.
    """
    device = torch.device(device)
    share_s = max_s / (len(SHAPES) * len(LAYOUTS))
    rates = []
    for batch, channels, side in SHAPES:
        count = batch * GPU_BATCHES if device.type == "cuda" else batch
        images = _random((count, channels, side, side), precision, device)
        kernels = _random((channels, channels, 3, 3), precision, device)
        for layout in LAYOUTS.values():
            x, w = (tensor.contiguous(memory_format=layout) for tensor in (images, kernels))
            with arithmetic(precision):
                seconds = _seconds(lambda: F.conv2d(x, w, padding=1), device, share_s)  # noqa: B023
            rates.append(2 * 9 * channels * images.numel() / seconds)
    return max(rates)


def copy_bandwidth(device: torch.device | str = "cpu", *, max_s: float = 10.0) -> float:
    """Return the bytes per second, read plus written, of copying 256 MiB."""
    device = torch.device(device)
    source = torch.ones(COPY_BYTES, dtype=torch.uint8, device=device)
    target = torch.zeros_like(source)  # its pages exist before the first copy
    seconds = _seconds(lambda: target.copy_(source), device, max_s)
    return 2 * COPY_BYTES / seconds


def floor_seconds(work: Work, num_samples: int, precision: str, ceilings: Ceilings) -> float:
    """Return the seconds that a point costs at least.

    The larger of FLOPs / best rate and bytes of one read of the activations / bandwidth. On a
    CPU, whose caches are faster than its memory, the second is a bound for large batches only.

    Args:
        work: Of one sample.
        num_samples: Samples of a point.
        precision: float32, tf32, bfloat16 or float16.
        ceilings: Of the device.
    """
    compute_s = num_samples * work.flops / ceilings.rate(precision)
    size = num_samples * work.activations * PRECISIONS[precision].itemsize
    return max(compute_s, size / ceilings.copy_bytes_s)


@contextmanager
def arithmetic(precision: str) -> Iterator[None]:
    """Allow TF32 inside for precision tf32 alone; let cuDNN look for its fastest convolution."""
    matmul, cudnn = torch.backends.cuda.matmul, torch.backends.cudnn
    before = matmul.allow_tf32, cudnn.allow_tf32, cudnn.benchmark
    matmul.allow_tf32 = cudnn.allow_tf32 = precision == "tf32"
    cudnn.benchmark = True
    try:
        yield
    finally:
        matmul.allow_tf32, cudnn.allow_tf32, cudnn.benchmark = before


def _random(shape: tuple[int, ...], precision: str, device: torch.device) -> Tensor:
    return torch.randn(shape, device=device).to(PRECISIONS[precision])


def _seconds(function: Callable[[], object], device: torch.device, max_s: float) -> float:
    """Return the least seconds of a short call, in rounds of 20 ms and more."""
    single_s = measure(function, device, patience=2, max_s=max_s / 4).best
    calls = max(1, round(ROUND_S / single_s))
    timing = measure(function, device, calls=calls, patience=8, max_s=max_s * 3 / 4)
    # One thread on a CPU: its own time is what the call costs, whoever else uses the core.
    alone = device.type == "cpu" and torch.get_num_threads() == 1
    return timing.cpu if alone else timing.best


def ceiling_rows(ceilings: Ceilings) -> list[dict]:
    rows = [
        {
            "precision": name,
            "GEMM GFLOP/s": ceilings.gemm[name] / 1e9,
            "3x3 convolution GFLOP/s": ceilings.convolution[name] / 1e9,
            "copy GB/s": None,
        }
        for name in ceilings.gemm
    ]
    rows[0]["copy GB/s"] = ceilings.copy_bytes_s / 1e9
    return rows


def floor_rows(ceilings: Ceilings, num_samples: int) -> list[dict]:
    """The floors of a few networks of the zoo, and of the spirals' MLP."""
    cifar10, spirals = DataConfig(name="cifar10"), DataConfig(name="spirals")
    cases: list[tuple] = [
        (name, ProblemConfig(model=name, data=cifar10), (3, 32, 32), 10, num_samples)
        for name in NETWORKS
    ]
    mlp = ProblemConfig(model="mlp", model_args={"layers": 2, "width": 100}, data=spirals)
    cases.append(("mlp 2x100", mlp, (2,), 3, SPIRALS_SAMPLES))
    rows = []
    for name, config, shape, classes, count in cases:
        model = build_model(config, shape, classes).eval()
        work = count_work(model, torch.zeros(2, *shape))
        row = {"network": name, "samples": count, "GFLOP": count * work.flops / 1e9}
        row["activations GB, float32"] = count * work.activations * 4e-9
        rows.append(row | {p: floor_seconds(work, count, p, ceilings) for p in ceilings.gemm})
    return rows


if __name__ == "__main__":
    main()
