"""Meshes of a surface: VTP for ParaView, OBJ for rendering, STL for printing."""

from __future__ import annotations

from pathlib import Path

from losscape_mpi.errors import UserError
from losscape_mpi.figures.mesh.obj import obj_content
from losscape_mpi.figures.mesh.sheet import make_sheet
from losscape_mpi.figures.mesh.stl import stl_content
from losscape_mpi.figures.mesh.vtp import vtp_content
from losscape_mpi.files import replaced
from losscape_mpi.store.surface import Surface

BOX_ASPECT = 0.72  # height over width of the 3-D figures
ENDINGS = (".vtp", ".obj", ".stl")


def write_mesh(
    surface: Surface,
    column: str,
    path: Path,
    scale: str = "linear",
    clip: float | None = None,
    aspect: float | None = None,
) -> None:
    """Write one column of a plane as a mesh, in the format that the file's name asks for.

    Cells with a missing or non-finite corner are left out, never filled in. x is alpha, y is beta
    and z the value or its logarithm:

    * .vtp: z in the values' own units; all columns of the surface as arrays of the points.
    * .obj: x and y in the units of the axes; z stretched to `aspect`.
    * .stl: a closed body in millimetres, 100 along the plane's longer side, on a base plate.

    Args:
        surface: A 2-D surface.
        column: Name such as "train/loss".
        path: File that ends in .vtp, .obj or .stl; replaced as a whole if it exists.
        scale: linear; log (base 10; symmetric for values of both signs); symlog; auto.
        clip: Largest value; larger ones are cut off there. None keeps all of them.
        aspect: Range of z over the plane's longer side, above 0; None takes 0.72 for .obj and
            .stl, and z as it is for .vtp.

    Raises:
        UserError: If the name ends in something else, the surface is a profile or has no complete
            cell, or the file cannot be written.
    """
    ending = path.suffix.lower()
    if ending not in ENDINGS:
        raise UserError(f"found {path.name}, expected a mesh file that ends in .vtp, .obj or .stl")
    sheet = make_sheet(surface, column, scale, clip)
    if ending == ".vtp":
        content = vtp_content(sheet, aspect)
    else:
        write = obj_content if ending == ".obj" else stl_content
        content = write(sheet, BOX_ASPECT if aspect is None else aspect)
    with replaced(path) as temporary:
        temporary.write_bytes(content)
