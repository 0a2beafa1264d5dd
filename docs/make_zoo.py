"""Make docs/zoo.md, the table of networks, from the zoo itself.

python docs/make_zoo.py
"""

import re
import sys
from inspect import Parameter, getmodule, getsource, signature
from pathlib import Path

import torch

from losscape_mpi.problem.zoo.registry import NETWORKS

PAGE = Path(__file__).resolve().parent / "zoo.md"
CIFAR = (3, 32, 32), 10
# What a network is counted for where that is not CIFAR-10: shape of a sample, number of classes.
COUNTED_FOR = {
    "digits_resnet": ((1, 8, 8), 10),
    "lenet5": ((1, 32, 32), 10),
    "mlp": ((2,), 3),
    "logistic": ((2,), 3),
}
HEAD = """\
# Networks

`problem.model` of a study, and of a training recipe, takes one of these names, `timm:NAME` for a
network of the package timm, or `package.module:callable` for [one of your own](own-problem.md).

The first layer and the last one are made for your data. Counted here are networks for CIFAR-10
(samples 3×32×32, 10 classes) unless the row says otherwise. *Parameters* are all of them. *Layers*
are those with weights; their filters are what a [random direction](directions.md#random) moves.
Names that end in `_noshort` have no shortcuts, names that end in `_a` have shortcuts without
parameters.

This page is made by `python docs/make_zoo.py`.
"""


def page_text():
    """Return the page as Markdown."""
    families = {}
    for name in NETWORKS:
        families.setdefault(getmodule(NETWORKS[name]), []).append(name)
    return "\n".join([HEAD, *(section(module, names) for module, names in families.items())])


def section(module, names):
    """Return heading, sources and table of the networks that one module makes."""
    title = module.__doc__.partition("\n")[0].rstrip(".")
    papers = dict.fromkeys(re.findall(r"arXiv:(\d{4}\.\d{4,5})", getsource(module)))
    links = ", ".join(f"[arXiv:{number}](https://arxiv.org/abs/{number})" for number in papers)
    head = [f"## {title}", "", *([f"Source: {links}.", ""] if links else [])]
    table = ["| name | parameters | layers | remarks |", "|---|--:|--:|---|"]
    return "\n".join([*head, *table, *map(row, names), ""])


def row(name):
    """Return the row of a network."""
    shape, num_classes = COUNTED_FOR.get(name, CIFAR)
    with torch.device("meta"):  # shapes alone: no memory, no draw
        sizes = [p.shape for p in NETWORKS[name](shape, num_classes).parameters()]
    parameters, layers = sum(size.numel() for size in sizes), sum(len(size) > 1 for size in sizes)
    return f"| `{name}` | {parameters:,} | {layers} | {remarks(name)} |"


def remarks(name):
    """Return what a network is counted for, where it is not CIFAR-10, and its model_args."""
    found = []
    if name in COUNTED_FOR:
        shape, num_classes = COUNTED_FOR[name]
        found.append(f"samples {'×'.join(map(str, shape))}, {num_classes} classes")
    options = signature(NETWORKS[name]).parameters.values()
    named = [f"{p.name}: {p.default}" for p in options if p.kind is Parameter.KEYWORD_ONLY]
    if named:
        found.append(f"`model_args: {{{', '.join(named)}}}`")
    return "; ".join(found)


if __name__ == "__main__":
    PAGE.write_text(page_text(), encoding="utf-8")
    sys.stdout.write(f"{PAGE.name}: {len(NETWORKS)} networks\n")
