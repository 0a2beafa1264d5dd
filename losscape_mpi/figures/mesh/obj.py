"""Wavefront OBJ: a text that every 3-D program reads."""

from __future__ import annotations

from losscape_mpi.figures.mesh.sheet import Sheet
from losscape_mpi.figures.text import short

LONGEST_FACT = 1000  # characters


def obj_content(sheet: Sheet, aspect: float) -> bytes:
    """Return a sheet as the bytes of an .obj file.

    Vertex 1 + i + j * n is the point (alpha[i], beta[j]); those without a value lie at the lowest
    height and belong to no face.

    Args:
        sheet: What to write.
        aspect: Range of z over the plane's longer side.
    """
    points, factor = sheet.points(aspect)
    surface = sheet.surface
    num_alpha, num_beta = surface.status.shape
    facts = {
        "study": surface.provenance.get("name"),
        "fingerprint": surface.manifest.get("fingerprint"),
        "axes": f"x = alpha, y = beta, z = {factor!r} * height (z points up)",
        "height": sheet.words,
        "vertices": f"{num_alpha} x {num_beta}, alpha fastest; those in no face have no value",
    }
    lines = [f"# {key}: {short(value, LONGEST_FACT)}" for key, value in facts.items() if value]
    lines += [f"v {x!r} {y!r} {z!r}" for x, y, z in points.tolist()]
    lines += ["f " + " ".join(map(str, quad)) for quad in (sheet.quads() + 1).tolist()]
    return ("\n".join(lines) + "\n").encode()
