import xml.etree.ElementTree as ElementTree

import matplotlib.image
import pytest

from losscape_mpi.errors import UserError
from losscape_mpi.figures.look import Look
from losscape_mpi.figures.map.panel import map_figure
from losscape_mpi.figures.save import save_figure


@pytest.mark.parametrize(
    ("kind", "ending"), [("contour", "pdf"), ("filled", "svg"), ("surface", "png")]
)
def test_two_runs_give_the_same_bytes(bowl, tmp_path, kind, ending):
    paths = [tmp_path / f"{name}.{ending}" for name in ("first", "second")]
    for path in paths:
        save_figure(map_figure([bowl(5, 7)], kind, "train/loss", Look()), path, dpi=60)
    assert paths[0].read_bytes() == paths[1].read_bytes()
    assert len(list(tmp_path.iterdir())) == 2


def test_png_has_the_asked_number_of_pixels(bowl, tmp_path):
    figure = map_figure([bowl(5, 7)], "filled", "train/loss", Look(size=(5, 4)))
    save_figure(figure, tmp_path / "new" / "a.png", dpi=120)
    assert matplotlib.image.imread(tmp_path / "new" / "a.png").shape == (480, 600, 4)


def test_svg_is_xml_with_searchable_words_and_no_date(bowl, tmp_path):
    figure = map_figure([bowl(5, 7)], "contour", "train/loss", Look("log"))
    save_figure(figure, tmp_path / "a.svg")
    root = ElementTree.parse(tmp_path / "a.svg").getroot()
    text = " ".join("".join(root.itertext()).split())
    assert "training loss (log scale)" in text
    assert "resnet56" in text
    assert not root.findall(".//{http://purl.org/dc/elements/1.1/}date")


def test_pdf_is_whole_and_has_no_date(bowl, tmp_path):
    figure = map_figure([bowl(5, 7)], "filled", "train/loss", Look())
    save_figure(figure, tmp_path / "a.pdf")
    data = (tmp_path / "a.pdf").read_bytes()
    assert data.startswith(b"%PDF-")
    assert data.rstrip().endswith(b"%%EOF")
    assert b"CreationDate" not in data


def test_unwritable_folder_is_one_line_and_leaves_nothing(bowl, tmp_path):
    (tmp_path / "file").write_text("")
    figure = map_figure([bowl(5, 7)], "filled", "train/loss", Look())
    with pytest.raises(UserError, match="choose another folder by --out"):
        save_figure(figure, tmp_path / "file" / "a.png")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
