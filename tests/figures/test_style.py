import matplotlib
import pytest

from losscape_mpi.errors import UserError
from losscape_mpi.figures.look import Look
from losscape_mpi.figures.map.panel import map_figure
from losscape_mpi.figures.style import line_colormap, read_style, settings


@pytest.fixture
def style(tmp_path):
    def write(text, name="style.yaml"):
        (tmp_path / name).write_text(text)
        return read_style(tmp_path / name)

    return write


def test_yaml_and_style_sheet_give_the_same_settings(style):
    want = {"font.size": 7.0, "axes.grid": True, "axes.facecolor": "#eeeeee"}
    yaml = style('font.size: 7\naxes.grid: true\naxes.facecolor: "#eeeeee"\n')
    text = '# mine\nfont.size: 7  # small\naxes.grid: True\n\naxes.facecolor: "#eeeeee"\n'
    assert yaml == style(text, "mine.mplstyle") == want


def test_every_text_of_a_figure_follows_the_font_size(bowl, style):
    def sizes(look):
        figure = map_figure([bowl()], "contour", "train/loss", look)
        axes = figure.axes[0]
        texts = [figure._suptitle, figure._supxlabel, axes.xaxis.label, axes.get_xticklabels()[0]]
        return [text.get_fontsize() for text in texts]

    small, large = (sizes(Look(style=style(f"font.size: {size}"))) for size in (10, 20))
    assert [2 * size for size in small] == pytest.approx(large)


def test_style_changes_colours_and_leaves_matplotlib_alone(bowl, style, pixel_at):
    before = dict(matplotlib.rcParams)
    look = Look("linear", style=style("image.cmap: gray"))
    picture = pixel_at(map_figure([bowl()], "filled", "train/loss", look), 0.6, 0.6)
    assert picture.max() - picture.min() <= 2
    assert dict(matplotlib.rcParams) == before


def test_size_of_a_style_holds_unless_one_is_asked_for(bowl, style):
    look = style("figure.figsize: [5, 4]")
    figure = map_figure([bowl()], "filled", "train/loss", Look(style=look))
    assert figure.get_size_inches().tolist() == [5, 4]
    figure = map_figure([bowl()], "filled", "train/loss", Look(size=(7, 6), style=look))
    assert figure.get_size_inches().tolist() == [7, 6]


@pytest.mark.parametrize(
    ("text", "name", "message"),
    [
        ("font.sise: 7", "a.yaml", r"font\.sise.*did you mean font\.size\?"),
        ("font.size: big", "a.yaml", r"a\.yaml: .*big"),
        ("font.size: big", "a.mplstyle", r"a\.mplstyle: .*big"),
        ("font.size 7", "a.mplstyle", "line 1: found font.size 7, expected KEY: VALUE"),
        ("- 1", "a.yaml", "expected a mapping"),
        ("1: 2", "a.yaml", "found 1, expected a setting of matplotlib"),
    ],
)
def test_wrong_style_is_one_line(style, text, name, message):
    with pytest.raises(UserError, match=message) as caught:
        style(text, name)
    assert "\n" not in str(caught.value)


def test_missing_style_sheet_is_one_line(tmp_path):
    with pytest.raises(UserError, match="expected a style sheet"):
        read_style(tmp_path / "none.mplstyle")


@pytest.mark.parametrize("name", ["viridis", "cividis", "gray", "YlGn"])
def test_colours_of_lines_leave_out_the_pale_end(name):
    with matplotlib.rc_context(settings({"image.cmap": name})):
        colors = [line_colormap()(k) for k in (0, 255)]
    assert max(sum(color[:3]) for color in colors) < 2.75
