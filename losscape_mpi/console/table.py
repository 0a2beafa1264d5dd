"""The commands by name: a row each; a row's module is imported only when it is called."""

from __future__ import annotations

COMMANDS: dict[str, str] = {
    "init": "write a commented study of your own network, or copy the examples",
    "surface": "compute a surface, or the missing points of one",
    "status": "say how complete a surface file is, and what made it",
    "watch": "show files in the browser, live while a run writes them",
    "render": "draw figures, pages, meshes and movies from surface files",
    "train": "train networks by recipes, keeping the checkpoints of their paths",
    "trajectory": "put a training path on the plane of a surface",
    "animate": "let a training path grow over its surface",
    "submit": "submit surfaces and their figures to SLURM",
}
