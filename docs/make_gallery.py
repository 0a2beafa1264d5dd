"""Make docs/gallery.md and its pictures from the surface files in docs/examples/surfaces.

    python docs/make_gallery.py                  all pictures, and the page
    python docs/make_gallery.py --add FILE NAME  a surface file becomes the example NAME.h5

Needs neither torch nor data: the examples are surface files without their directions.
"""

from __future__ import annotations

import argparse
import json
import shlex
from dataclasses import dataclass
from pathlib import Path

import h5py

from losscape_mpi.render import main as render
from losscape_mpi.store.layout import to_json

DOCS = Path(__file__).resolve().parent
SURFACES, IMAGES, PAGE = DOCS / "examples" / "surfaces", DOCS / "images", DOCS / "gallery.md"
DPI = 110
HEAD = """\
# Gallery

Every picture here is the output of the command above it, run in `docs/examples/surfaces`. This page
and its pictures are made by `python docs/make_gallery.py`. The surface files lie in the repository,
without their directions; the networks and images that made them do not. The checkpoints of
ResNet-56 are those that the authors of Li et al. 2018 released (93.66 % and 86.69 % on the full
test set). Loss and accuracy are those of 500 training and 500 test images, chosen by seed from the
first 1,017 of each CIFAR-10 batch file, on 31×31 points along
filter-normalised Gaussian directions, seed 0. The surfaces were made by this command, in the root
of the repository, once with each study of configs/; `problem.checkpoint` and `problem.data.root`
say where yours lie. With a complete CIFAR-10 other images are drawn.

```bash
mpirun -n 3 python -m losscape_mpi.surface configs/resnet56.yaml \\
    --set 'grid.alpha=[-1, 1, 31]' --set 'grid.beta=[-1, 1, 31]' \\
    --set problem.data.samples=500 --set 'problem.data.splits=[train, test]'
```

What the pictures show is average behaviour along two random directions. Neither surface is convex:
the one with shortcuts flattens outside of its bowl, the other one has ridges everywhere. Within the
bowl no such proof is seen ([theory](theory.md)).
"""


@dataclass(frozen=True)
class Part:
    """A section of the page: one command and its pictures.

    Attributes:
        title: Heading.
        text: What to see, in Markdown.
        arguments: Of losscape_mpi.render.
        pictures: File name and description of each picture that the command makes.
    """

    title: str
    text: str
    arguments: str
    pictures: dict[str, str]


BOTH = "resnet56.h5 resnet56_noshort.h5"
PARTS = [
    Part(
        "Two surfaces, one scale",
        "A smooth bowl with shortcuts, ridges and gorges without. Values above the limit are cut "
        "off there, and the colour bar says so; the small print has the true maximum. The number "
        "under each name is its error on these 500 test images, read from the file.",
        f"{BOTH} --panel --kind surface --scale linear --clip 20",
        {"resnet56_panel_surface_linear.png": "two 3-D surfaces on a linear scale"},
    ),
    Part(
        "On a logarithmic scale",
        "It shows how deep the left minimum is. Nothing needs to be cut off.",
        f"{BOTH} --panel --kind surface,filled --scale log",
        {
            "resnet56_panel_surface_log.png": "two 3-D surfaces on a logarithmic scale",
            "resnet56_panel_filled_log.png": "two filled contour plots on a logarithmic scale",
        },
    ),
    Part(
        "A panel described in a file",
        "`figure1.yaml` names the files, their titles, and the look.",
        "--layout figure1.yaml",
        {"figure1_contour.png": "labelled contour lines of training and test loss, two by two"},
    ),
    Part(
        "Labelled lines, and what they do not resolve",
        "With 30 lines, some neighbours lie closer than two standard errors of the mean over 500 "
        "images. These bands are greyed: on which side of a line a point there lies is chance.",
        "resnet56_noshort.h5 --kind contour --scale linear --limits 0,15 --levels 30",
        {"resnet56_noshort_contour_linear.png": "thirty contour lines with greyed bands"},
    ),
    Part(
        "Exact cells, and any column of the file",
        "A heat map interpolates nothing. Every column of a file can be drawn: here the standard "
        "errors, and the time that each point took.",
        "resnet56.h5 --kind map --metric loss_stderr,seconds",
        {
            "resnet56_loss_stderr_map.png": "map of the standard error of the loss",
            "resnet56_seconds_map.png": "map of the seconds that each point took",
        },
    ),
    Part(
        "Training and test accuracy of one network",
        "Two splits of one file side by side.",
        "resnet56.h5 --panel --split train,test --metric accuracy --kind filled",
        {"resnet56_panel_train_test_accuracy_filled.png": "accuracy on training and test images"},
    ),
    Part(
        "Profiles",
        "Two 1-D files side by side with the same limits; bands are ± 2 standard errors.",
        "resnet56_line.h5 resnet56_noshort_line.h5 --panel",
        {"resnet56_line_panel_profile.png": "loss and accuracy along one direction, two networks"},
    ),
    Part(
        "A training path, and how far off the plane it runs",
        "Two optimizers from one start, on the plane of the two principal directions of SGD's "
        "path (`configs/digits_pca.yaml`). The height drawn under a path is not the path's loss: "
        "below the contours stand the share of each checkpoint's distance from the center that "
        "lies outside the plane, and the gap between its own loss and that of its projection. "
        "Adam's end has a residual of 0.88.",
        "digits_pca.h5 --kind trajectory",
        {"digits_pca_trajectory.png": "two training paths on contours with residuals and gaps"},
    ),
    Part(
        "A run that is going on",
        "A file that is not complete: what is known so far is drawn, and what is interpolated over "
        "points to come lies under the hatch; `--kind heatmap` shows the exact cells alone. With "
        "`--watch 5` the picture is drawn anew every five seconds, from coarse to fine, and each "
        "computed point fills its block of the coarser grid.",
        "digits_running.h5 --kind filled",
        {"digits_running_filled.png": "a partly computed surface, its guesses hatched"},
    ),
    Part(
        "In one column of a paper",
        "`--paper column` gives 3.3 inches, 7 pt, letters alone on the axes, and the caption as "
        "text in a file beside the picture. Without `--format` it is a PDF with embedded fonts.",
        "--layout figure1.yaml --paper column --kind filled --format png --dpi 200",
        {"figure1_filled.png": "four small filled contour plots above one colour bar"},
    ),
    Part(
        "In a style of one's own",
        "`narrow.yaml` holds settings of matplotlib: column width, serif font, grey map.",
        "resnet56.h5 --kind filled --scale log --style narrow.yaml",
        {"resnet56_filled_log.png": "a small grey figure with serif letters"},
    ),
]


def page_text() -> str:
    """Return the page as Markdown."""
    blocks = [HEAD]
    for part in PARTS:
        command = f"python -m losscape_mpi.render {part.arguments}"
        pictures = [f"![{text}](images/{name})" for name, text in part.pictures.items()]
        body = [f"## {part.title}", part.text, f"```bash\n{command}\n```", *pictures]
        blocks.append("\n\n".join([body[0], wrapped(body[1]), *body[2:]]) + "\n")
    return "\n".join(blocks)


def wrapped(text: str) -> str:
    """Return a paragraph broken at 100 columns, as the other pages are."""
    lines = [""]
    for word in text.split():
        if len(lines[-1]) + 1 + len(word) > 100:
            lines.append("")
        lines[-1] = f"{lines[-1]} {word}".strip()
    return "\n".join(lines)


def draw(part: Part, folder: Path) -> None:
    """Draw the pictures of a part into a folder."""
    words = shlex.split(part.arguments)
    named = {"--layout", "--style"}
    paths = [k for k, w in enumerate(words) if w.endswith(".h5") or words[k - 1] in named]
    for k in paths:
        words[k] = str(SURFACES / words[k])
    render(["--dpi", str(DPI), *words, "--out", str(folder)])
    for text in folder.glob("*_caption.txt"):
        text.unlink()


def add_example(source: Path, name: str) -> Path:
    """Copy a surface file without directions, paths and host names; return the new file."""
    target = SURFACES / f"{name}.h5"
    target.unlink(missing_ok=True)
    with h5py.File(source, "r", locking=False) as old, h5py.File(target, "w") as new:
        used = int(old["progress"]["workers"])
        for key in old:
            if key not in ("directions", "workers", "progress", "provenance"):
                old.copy(key, new, without_attrs=True)
        workers, progress = old["workers"][:used], old["progress"][()]
        workers["host"], progress["host"], progress["pid"] = b"example", b"example", 0
        new["workers"], new["progress"] = workers, progress
        provenance = json.loads(old["provenance"][()])
        provenance |= {"host": "example", "arguments": []}
        new["provenance"] = to_json(provenance)
    return target


def main() -> None:
    """Draw everything, or add an example."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--add", nargs=2, metavar=("FILE", "NAME"))
    options = parser.parse_args()
    if options.add:
        print(add_example(Path(options.add[0]), options.add[1]))
        return
    for part in PARTS:
        draw(part, IMAGES)
    PAGE.write_text(page_text(), encoding="utf-8")


if __name__ == "__main__":
    main()
