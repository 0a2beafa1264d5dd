"""The typed job file and site file: every key, its default and its meaning."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, NonNegativeInt, PositiveInt, field_validator

from losscape_mpi.scheduler import SLURM
from losscape_mpi.study.section import Section

# sbatch's own list: minutes, MM:SS, HH:MM:SS, D-HH, D-HH:MM, D-HH:MM:SS
_TIME = re.compile(r"\d+|\d+:\d\d(:\d\d)?|\d+-\d+(:\d\d){0,2}")


def _as_list(value: Any) -> Any:
    return value if isinstance(value, list) else [value]


def _as_text(value: Any) -> Any:
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


def _check_options(options: list[str]) -> list[str]:
    for option in options:
        if not re.match(r"--[a-z]", option) or re.search(r"[\x00-\x1f\x7f\"'\\]", option):
            raise ValueError(
                f"found {option!r}, expected long options such as --qos=long, each an item of the "
                "list, without quotes, backslashes and control characters"
            )
        key = SLURM.keys.get(re.split("[= ]", option)[0])
        if key:
            raise ValueError(f"found {option}, expected the key {key} instead")
    return options


def _check_line(line: str) -> str:
    if re.search(r"[\x00-\x08\x0a-\x1f\x7f]", line.strip()) or not line.strip():
        raise ValueError("expected one line of shell; join commands by &&")
    return line.strip()


Pair = Annotated[list[float], Field(min_length=2, max_length=2)]
Word = Annotated[str, Field(pattern=r"^[^\s\"'\\\x00-\x1f\x7f]+$")]


class SiteConfig(Section):
    """What is the same for all jobs on one cluster."""

    account: Word | None = Field(None, description="who pays (sbatch --account)")
    partition: Word | None = Field(None, description="queue (sbatch --partition)")
    modules: list[Word] | None = Field(None, description="what `module load` loads first")
    setup: str | None = Field(
        None, description="shell line after that; null: the Python that runs submit"
    )
    template: Literal["srun", "mpirun"] | None = Field(
        None, description="srun: the MPICH family; mpirun: Open MPI"
    )
    pmi: Word | None = Field(None, description="srun --mpi=..., e.g. cray_shasta (default pmi2)")
    sbatch: list[str] = Field([], description="further sbatch options, such as --qos=long")
    templates: Path | None = Field(
        None, description="folder of your own copies of the templates, relative to the site file"
    )

    _checked_options = field_validator("sbatch")(_check_options)
    _checked_setup = field_validator("setup")(lambda line: line and _check_line(line))


class RenderConfig(Section):
    """Options of losscape_mpi.render for the figures that follow."""

    kind: list[str] | None = Field(
        None,
        description="contour, filled, surface, heatmap, trajectory, map, profile, all",
    )
    scale: Literal["auto", "linear", "log", "symlog", "both"] | None = Field(
        None, description="of values"
    )
    metric: list[str] | None = Field(None, description="loss, accuracy, or any other column")
    split: list[str] | None = Field(None, description="train, test")
    format: (
        list[Literal["png", "pdf", "svg", "vtp", "obj", "stl", "csv", "npz", "gif", "mp4"]] | None
    ) = Field(None, description="of the files")
    panel: bool = Field(False, description="all surfaces side by side on one colour scale")
    rows: PositiveInt | None = Field(None, description="of a panel")
    share: bool = Field(False, description="a figure for each surface, the same scale for all")
    title: str | None = Field(None, description="goes before the title made from the file")
    clip: float | None = Field(None, description="largest value shown")
    limits: Pair | None = Field(None, description="[low, high] of the values shown")
    levels: PositiveInt | list[float] | None = Field(
        None, description="contour lines: number, or values"
    )
    view: Pair | None = Field(None, description="[elevation, azimuth] in degrees")
    samples: bool = Field(False, description="dots every computed point on the maps")
    paper: Literal["column", "page", "slide"] | None = Field(
        None, description="width and letters for a place in print or projection"
    )
    no_title: bool = Field(False, description="no title above the figures")
    no_caption: bool = Field(False, description="no small print, and no file of it")
    no_colorbar: bool = Field(False, description="maps without a colour bar")
    cmap: str | None = Field(None, description="colours of the values, by matplotlib's name")
    label: str | None = Field(None, description="what the values are called")
    style: Path | None = Field(None, description="settings of matplotlib, YAML or .mplstyle")
    out: Path | None = Field(None, description="folder of the figures")
    dpi: PositiveInt | None = Field(None, description="pixels per inch")
    size: str | None = Field(None, description="inches, e.g. 6x5")
    page: bool = Field(False, description="one HTML page with all surfaces")
    movie: Literal["orbit", "series"] | None = Field(None, description="a camera flight, or frames")
    export: Literal["2018"] | None = Field(None, description="the layout of the 2018 tool")

    def arguments(self) -> list[str]:
        """Return the options as words of a command line."""
        words: list[str] = []
        for key, value in self.model_dump(exclude_none=True).items():
            name = key.replace("_", "-")
            if value is True:
                words.append(f"--{name}")
            elif value is not False:
                text = ",".join(map(str, value)) if isinstance(value, list) else str(value)
                words.append(f"--{name}={text}")
        return words


class JobConfig(SiteConfig):
    """One job file: what is computed, on what, and what follows; over what the site file says."""

    study: Annotated[list[Path], BeforeValidator(_as_list), Field(min_length=1)] = Field(
        description="study file, or a list of them (a job array), relative to the job file"
    )
    nodes: PositiveInt = Field(1, description="nodes of each study")
    gpus_per_node: NonNegativeInt | None = Field(None, description="GPUs of each node; 0: none")
    gpus_per_task: PositiveInt | None = Field(
        None, description="instead of gpus_per_node: GPUs bound to each task (srun only)"
    )
    tasks_per_node: PositiveInt | None = Field(
        None, description="MPI ranks of each node; default: one for each GPU"
    )
    cpus_per_task: PositiveInt = Field(4, description="cores of each rank")
    time: Annotated[str, BeforeValidator(_as_text)] = Field(
        description="limit of one run: minutes, HH:MM:SS or D-HH:MM:SS; a longer one is requeued"
    )
    array_limit: PositiveInt | None = Field(
        None, description="studies of a list that run at a time; null: as many as fit"
    )
    then: RenderConfig | None = Field(
        RenderConfig(), description="options of the figures that follow; null: none follow"
    )

    @field_validator("time")
    @classmethod
    def _is_time(cls, text: str) -> str:
        if not _TIME.fullmatch(text):
            raise ValueError(f"found {text!r}, expected minutes, HH:MM:SS or D-HH:MM:SS")
        return text

    @property
    def ranks_per_node(self) -> int:
        """MPI ranks that are started on each node."""
        return self.tasks_per_node or max(1, self.gpus_per_node or 0)

    @property
    def time_s(self) -> int:
        """The time limit in seconds."""
        days, dash, clock = self.time.rpartition("-")
        parts = [int(part) for part in clock.split(":")]
        if dash:
            hours, minutes, seconds = [*parts, 0, 0][:3]
        elif len(parts) < 3:
            hours, (minutes, seconds) = 0, [*parts, 0][:2]
        else:
            hours, minutes, seconds = parts
        return int(days or 0) * 86_400 + hours * 3_600 + minutes * 60 + seconds
