"""What stands where on the screen of a desk, a laptop and a telephone."""

import numpy as np
import pytest

pytestmark = pytest.mark.slow

SIZES = {"desk": (1400, 900), "laptop": (1024, 700), "telephone": (390, 844)}
PHONE = {"is_mobile": True, "has_touch": True}


def box(locator):
    found = locator.bounding_box()
    return found["x"], found["y"], found["x"] + found["width"], found["y"] + found["height"]


def is_inside(inner, outer, room=1):
    low = all(a >= b - room for a, b in zip(inner[:2], outer[:2], strict=True))
    return low and all(a <= b + room for a, b in zip(inner[2:], outer[2:], strict=True))


def touching_edges(rgb):
    """How many pixels of the outermost rim differ from the corner, that is the background."""
    rim = np.concatenate([rgb[:2].reshape(-1, 3), rgb[-2:].reshape(-1, 3)])
    rim = np.concatenate([rim, rgb[:, :2].reshape(-1, 3), rgb[:, -2:].reshape(-1, 3)])
    return int((np.abs(rim - rgb[0, 0]).max(axis=-1) > 0.15).sum())


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("size", SIZES)
def test_surface_fills_its_half_above_the_fold_and_nothing_is_cut(
    open_page, make_file, picture, size, theme
):
    width, height = SIZES[size]
    phone = PHONE if size == "telephone" else {}
    page = open_page(make_file(), width=width, height=height, color_scheme=theme, **phone)
    plot = page.locator(".solid .plot")
    left, _, right, bottom = box(plot)
    fold = box(page.locator("#controls"))[1] if phone else height
    assert bottom <= fold
    assert (right - left) > 0.9 * width / (1 if phone else 2) - 40
    page.add_style_tag(content=".solid figcaption { visibility: hidden }")  # lies on it there
    rgb = picture(plot)
    columns = np.flatnonzero((np.ptp(rgb, axis=-1) > 0.2).any(axis=0))
    assert np.ptp(columns) > 0.6 * rgb.shape[1]
    assert touching_edges(rgb) == 0  # no tick and no title runs over
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    if not phone:
        assert box(page.locator(".cut .plot"))[3] <= height
        for figure in ("map", "cut"):
            frame = box(page.locator(f".{figure} .plot"))
            for text in page.locator(f".{figure} :is(.xtitle, .ytitle)").all():
                assert is_inside(box(text), frame)


def test_on_a_telephone_the_surface_comes_first_and_settings_unfold(open_page, make_file, drawing):
    page = open_page(make_file(), width=390, height=844, **PHONE)
    metric = page.locator("#metric")
    assert not metric.is_visible()
    assert box(page.locator(".solid .plot"))[1] < 200
    page.tap("#fold")
    assert page.get_attribute("#fold", "aria-expanded") == "true"
    assert metric.is_visible()
    drawing(page, lambda: metric.select_option("accuracy"))
    page.tap("#fold")
    assert not metric.is_visible()
    assert "accuracy" in page.inner_text("#bar-label")


def test_a_large_file_says_on_screen_that_it_is_thinned(open_page, make_file):
    page = open_page(make_file(shape=(5, 603)))
    note = page.locator(".note")
    assert note.is_visible()
    assert "of the file's 5 × 603 points" in note.inner_text()
    shown = int(page.locator(".map .plot").evaluate("plot => plot.data.at(-1).z.length"))
    assert f"5 × {shown} of" in note.inner_text()
    assert shown < 402


def test_cuts_follow_the_pointer(open_page, make_file, numbers, place_of):
    path = make_file()
    page = open_page(path)
    flat, cut = page.locator(".map .plot"), page.locator(".cut .plot")
    x, y = place_of(flat, 0.5, -1 / 3)
    page.mouse.move(x - 4, y)
    page.mouse.move(x, y)
    page.wait_for_function("document.querySelector('.cut .plot').data.at(-1).x[0] < -0.3")
    lines = cut.evaluate("plot => plot.data.filter(t => t.mode === 'lines').map(t => [t.x, t.y])")
    loss, kind = numbers(path, "train/loss"), page.input_value("#scale")
    heights = np.log10(loss) if kind == "log" else loss
    (alpha, along_alpha), (beta, along_beta) = lines
    assert along_alpha == pytest.approx(heights[:, 1])  # beta is -1/3: column 1 of 7
    assert along_beta == pytest.approx(heights[3, :])
    assert alpha == numbers(path, "axes/alpha").tolist()
    assert beta == numbers(path, "axes/beta").tolist()
    assert "0.5" in page.inner_text(".readout")
