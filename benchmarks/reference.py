"""How far the losses of a network are from the truth: ours, and the 2018 code's own surface.

    python -m benchmarks.reference [--shared ../shared] [--points 81]

The truth is a float64 pass of a plain loop over the first 500 training images, at the 9x9 points
of the reference surface that the 2018 code gave for ResNet-56, on its own directions; and at the
center of ResNet-56 without shortcuts, where there is no reference surface.
"""

import argparse
import copy
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from rich.progress import track
from torch import nn

from benchmarks.report import FOLDER, describe_machine, print_table, write_json
from losscape_mpi.problem.data.split import Split
from losscape_mpi.run.compute import Never, compute
from losscape_mpi.run.prepare import Prepared, prepare
from losscape_mpi.run.ranks import local_pool
from losscape_mpi.store.exchange.surface import read_2018_surface
from losscape_mpi.store.reader import read_surface
from losscape_mpi.study.config import Study
from losscape_mpi.study.load import load_study

BATCH_SIZE = 20  # float64 convolutions are lowered to products, which then stay in the cache
SAMPLES = ["problem.data.samples=500", "problem.data.order=first"]
CENTER = ["grid.alpha=[0,0,1]", "grid.beta=null"]


def main() -> None:
    options = parse()
    reference = options.shared / "reference" / "resnet56"
    plane = ["grid.alpha=[-1,1,9]", "grid.beta=[-1,1,9]", "plane.kind=file"]
    plane += [f"plane.path={reference / 'directions.h5'}"]
    print(describe_machine())
    with tempfile.TemporaryDirectory() as folder:
        study = study_of("resnet56", options.shared, folder, plane)
        chosen = np.linspace(0, 80, options.points).round().astype(int)
        ours = ours_at(study, chosen)
        prepared = prepare(study)
        truth = truth_at(prepared, chosen)
        theirs = losses_and_hits(read_2018_surface(reference / "surface.h5"), chosen)
        rows = [errors("ours", ours, truth), errors("2018", theirs, truth)]
        center = study_of("resnet56_noshort", options.shared, folder, CENTER)
        at_center = np.zeros(1, dtype=int)
        found = ours_at(center, at_center)
        rows.append(errors("ours, no shortcuts", found, truth_at(prepare(center), at_center)))
    print_table(rows, "Losses against float64: relative errors; accuracies: images that differ")
    write_json(options.output, {"rows": rows, "truth": truth.tolist(), "ours": ours.tolist()})


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Losses against a float64 pass.")
    parser.add_argument("--shared", type=Path, default=Path("../shared"))
    parser.add_argument("--points", type=int, default=81, help="of the 81 points, evenly spaced")
    parser.add_argument("--output", type=Path, default=FOLDER / "reference.json")
    return parser.parse_args()


def study_of(name: str, shared: Path, folder: str, settings: Sequence[str]) -> Study:
    """The study of a genuine network, on the first 500 training images."""
    data = shared.resolve() / "data"
    overrides = [
        *(f"problem.data.root={data / 'cifar-10-batches-py'}", f"output={folder}/{name}.h5"),
        f"problem.checkpoint={data / 'checkpoints' / (name + '.t7')}",
    ]
    return load_study(Path("configs") / f"{name}.yaml", [*overrides, *SAMPLES, *settings])


def ours_at(study: Study, chosen: np.ndarray) -> np.ndarray:
    """Loss and hits at flat indices, (points, 2), by the engine of `losscape_mpi.surface`."""
    with local_pool(study.farm) as pool:
        compute(study, pool, Never())
    return losses_and_hits(read_surface(study.output), chosen)


def losses_and_hits(surface: Any, chosen: np.ndarray) -> np.ndarray:
    """Loss and number of right images at flat indices, (points, 2)."""
    hits = 500 * surface.values["train/accuracy"].ravel()
    return np.stack([surface.values["train/loss"].ravel(), hits.round()], axis=1)[chosen]


def truth_at(prepared: Prepared, chosen: np.ndarray) -> np.ndarray:
    """Loss and hits at flat indices, (points, 2), by a plain loop in float64."""
    split = prepared.problem.splits["train"]
    rows = [float64_pass(moved(prepared, int(k)), split) for k in track(chosen, "float64")]
    return np.array(rows)


def moved(prepared: Prepared, index: int) -> nn.Module:
    """The network at a point of the grid in float64, formed one tensor at a time."""
    model = copy.deepcopy(prepared.problem.model).double().eval()
    directions = prepared.directions.values()
    point = prepared.places.point(index)  # type: ignore[attr-defined]
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            for step, direction in zip(point, directions, strict=False):
                if name in direction:
                    parameter.add_(step * torch.from_numpy(direction[name]).double())
    return model


@torch.inference_mode()
def float64_pass(model: nn.Module, split: Split) -> tuple[float, int]:
    """Mean loss and number of right images of one network."""
    total, hits = 0.0, 0
    pairs = zip(split.inputs.split(BATCH_SIZE), split.targets.split(BATCH_SIZE), strict=True)
    for images, targets in pairs:
        outputs = model(images.double())
        total += float(F.cross_entropy(outputs, targets, reduction="sum"))
        hits += int((outputs.argmax(dim=1) == targets).sum())
    return total / len(split.targets), hits


def errors(name: str, found: np.ndarray, truth: np.ndarray) -> dict[str, Any]:
    """Relative errors of the loss over the points, and the most images that differ."""
    apart = np.abs(found[:, 0] - truth[:, 0]) / truth[:, 0]
    images = int(np.abs(found[:, 1] - truth[:, 1]).max())
    row = {"who": name, "points": len(found), "max": apart.max(), "median": np.median(apart)}
    return row | {"images": images}


if __name__ == "__main__":
    main()
