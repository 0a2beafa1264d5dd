"""Names that a stranger's file may hold: every figure is drawn, in short words, without noise."""

import logging
import warnings
import xml.etree.ElementTree as ElementTree
from dataclasses import replace

import numpy as np
import pytest
from matplotlib import font_manager

from losscape_mpi.figures.drawing import Drawing
from losscape_mpi.figures.font import _candidates, _lookup, _path, _tell
from losscape_mpi.figures.kinds import kind_of
from losscape_mpi.figures.look import Look
from losscape_mpi.figures.map.panel import map_figure
from losscape_mpi.figures.mesh.write import write_mesh
from losscape_mpi.figures.page.write import page_html
from losscape_mpi.figures.save import save_figure
from losscape_mpi.point.column import Column, named
from losscape_mpi.store.surface import Trajectory

LONG = "x" * 200_000
NAMES = {
    "long": LONG,
    "long words": "ab " * 70_000,
    "lines": "first\nsecond\r\n\tthird",
    "math": r"$\frac{1}{$ and $x_{$ for $5",
    "even math": r"a$\undefined{x}$b",
    "controls": "a\x00b\x1b[31mred\x07\x7f",
    "surrogate": "bad \ud800 end",
    "direction": "abc\u202egnp.exe\u2066",
    "tags": "</title><script>alert(1)</script><img src=x onerror=alert(2)>&amp;\"'",
    "xml": "]]><!-- --><?php ?>",
    "chinese": "研究 \U00020000 损失",
}


@pytest.fixture(params=NAMES.values(), ids=NAMES)
def name(request):
    return request.param


@pytest.fixture
def foreign(surface_of):
    """Builds a surface in which every text of the file is one name."""

    def build(name, is_line=False, is_path=False):
        n, m = 9, 1 if is_line or is_path else 7
        axes = np.linspace(-1, 1, n), np.zeros(1) if m == 1 else np.linspace(-1, 1, m)
        values = np.add.outer(axes[0] ** 2, axes[1] ** 2)
        problem = {"model": name, "data": {"name": name}}
        plane = {"kind": name, "normalize": name, "ignore": name, "seed": name}
        evaluation = {"precision": name, "batchnorm": name}
        parts = {"problem": problem, "plane": plane, "evaluation": evaluation}
        surface = surface_of(values, *axes, is_line=is_line or is_path, **parts)
        column = Column(name, name, description=name)
        table = {column.name: values, f"{column.name}_stderr": 0 * values + 0.1}
        columns = [column, Column(name, f"{name}_stderr", "error", column.name)]
        surface.manifest.update(source=name, fingerprint=name, splits={name: {"samples": name}})
        path = Trajectory([name, name + "1"], *np.zeros((3, 2)), {}, {}, {})
        changes = {"provenance": {"name": name, "host": name, "versions": {name: name}}}
        changes |= {"trajectories": {} if m == 1 else {name: path, name + "2": path}}
        if is_path:
            surface.manifest["study"]["path"] = {"checkpoints": name}
            surface.manifest["path"] = {"labels": [name] * n, "axis": name}
            changes |= {"axis_names": (name,)}
        return replace(surface, values=table, columns=named(columns), **changes)

    return build


def drawn(surface, kind, tmp_path, ending="png"):
    (column, *_) = surface.columns.values()
    if kind_of(kind).figure is None:
        figure = map_figure([surface], kind, column.name, Look())
    else:
        drawing = Drawing([surface], [column.quantity], [column.split], Look(title=column.split))
        figure = kind_of(kind).figure(drawing)
    path = tmp_path / f"a.{ending}"
    save_figure(figure, path, dpi=40)
    return figure, path


@pytest.mark.parametrize(
    "kind", ["filled", "curve", pytest.param("trajectory", marks=pytest.mark.slow)]
)
def test_every_figure_of_every_name_is_drawn_in_few_words_without_a_warning(
    foreign, name, kind, tmp_path, words, caplog
):
    surface = foreign(name, kind == "profile", kind == "curve")
    forget()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        figure, _ = drawn(surface, kind, tmp_path)
        assert len(words(figure)) < 9000
    told = [record for record in caplog.records if record.levelno >= logging.WARNING]
    assert all("no font found here has" in record.message for record in told)
    assert not [c for c in words(figure) if c not in "\n\u00a0 " and not c.isprintable()]


def test_svg_of_every_name_is_well_formed_and_holds_no_tag_of_the_names(foreign, name, tmp_path):
    _, path = drawn(foreign(name, is_line=True), "profile", tmp_path, "svg")
    root = ElementTree.parse(path).getroot()
    assert not [e for e in root.iter() if e.tag.endswith(("script", "img"))]
    assert path.stat().st_size < 2_000_000


def test_dollar_signs_of_a_name_are_shown_as_they_are(bowl, tmp_path):
    surface = bowl()
    columns = named([Column("train", r"cost in $ or \$\frac{$", description="")])
    (column,) = columns
    surface = replace(surface, columns=columns, values={column: surface.values["train/loss"]})
    figure = map_figure([surface], "contour", column, Look("log", limits=(1e-9, 1.0)))
    save_figure(figure, tmp_path / "a.svg")
    text = " ".join("".join(ElementTree.parse(tmp_path / "a.svg").getroot().itertext()).split())
    assert r"training cost in $ or \$\frac{$ (log scale" in text


@pytest.mark.parametrize("ending", ["obj", "vtp", "stl"])
def test_meshes_of_every_name_are_written(foreign, name, ending, tmp_path):
    surface = foreign(name)
    write_mesh(surface, next(iter(surface.columns)), tmp_path / f"a.{ending}")
    content = (tmp_path / f"a.{ending}").read_bytes()
    if ending == "vtp":
        ElementTree.fromstring(content.decode())
    if ending == "obj":
        starts = {line[:2] for line in content.decode().splitlines()}
        assert starts == {"# ", "v ", "f "}


def test_page_of_every_name_is_text_without_a_tag_of_the_names(foreign, name):
    text = page_html([foreign(name), foreign(name, is_line=True)])
    text.encode()
    assert "<script>alert" not in text
    assert "<img src" not in text


@pytest.fixture
def chinese_font(tmp_path):
    """A font with the characters 研 and 究 alone, known to matplotlib while the test runs."""
    from fontTools.fontBuilder import FontBuilder
    from fontTools.pens.ttGlyphPen import TTGlyphPen

    pen = TTGlyphPen(None)
    pen.moveTo((100, 0)), pen.lineTo((100, 800)), pen.lineTo((900, 800)), pen.lineTo((900, 0))
    pen.closePath()
    box = pen.glyph()
    builder = FontBuilder(1000, isTTF=True)
    builder.setupGlyphOrder([".notdef", "one", "two"])
    builder.setupCharacterMap({ord("研"): "one", ord("究"): "two"})
    builder.setupGlyf({".notdef": box, "one": box, "two": box})
    builder.setupHorizontalMetrics(dict.fromkeys((".notdef", "one", "two"), (1000, 100)))
    builder.setupHorizontalHeader(ascent=800, descent=-200)
    builder.setupNameTable({"familyName": "Tiny CJK", "styleName": "Regular"})
    builder.setupOS2()
    builder.setupPost()
    builder.save(tmp_path / "tiny.ttf")
    before = list(font_manager.fontManager.ttflist)
    font_manager.fontManager.addfont(tmp_path / "tiny.ttf")
    forget()
    yield "Tiny CJK"
    font_manager.fontManager.ttflist[:] = before
    forget()


def forget():
    for function in (_lookup, _candidates, _path, _tell):
        function.cache_clear()
    font_manager.fontManager._findfont_cached.cache_clear()


def test_chinese_name_is_drawn_by_an_installed_font_that_has_it(bowl, chinese_font, tmp_path):
    surface = replace(bowl(), provenance={"name": "研究"})
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        figure = map_figure([surface], "filled", "train/loss", Look())
        save_figure(figure, tmp_path / "a.png", dpi=40)
    assert "研究" in figure._suptitle.get_text()
    assert chinese_font in figure._suptitle.get_fontfamily()
    assert chinese_font not in figure.axes[0].xaxis.label.get_fontfamily()


def test_name_that_no_font_has_is_written_as_escape_sequences_and_said_once(bowl, caplog):
    forget()
    surface = replace(bowl(), provenance={"name": "a \U000e0fff 研"})
    for _ in range(2):
        figure = map_figure([surface], "filled", "train/loss", Look())
        figure.canvas.draw()
    assert r"a \U000e0fff" in figure._suptitle.get_text().replace("\u00a0", " ")
    assert sum("no font found here has" in message for message in caplog.messages) <= 1
