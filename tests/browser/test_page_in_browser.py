import re
import time
from dataclasses import replace

import matplotlib.image
import numpy as np
import pytest
from scipy.interpolate import RegularGridInterpolator

from losscape_mpi.figures.scale import Scale
from losscape_mpi.point.column import Column
from losscape_mpi.store.reader import read_surface
from losscape_mpi.store.surface import Trajectory

pytestmark = pytest.mark.slow

Z_RANGE = "plot => plot._fullLayout.scene.zaxis.range"
CAMERA = "plot => plot._fullLayout.scene._scene.getCamera().eye"
MAP_RANGES = "plot => [plot._fullLayout.xaxis.range, plot._fullLayout.yaxis.range]"
PLACE_OF = """(plot, [x, y]) => {
  const { xaxis, yaxis } = plot._fullLayout, box = plot.getBoundingClientRect();
  return [box.left + xaxis._offset + xaxis.l2p(x), box.top + yaxis._offset + yaxis.l2p(y)];
}"""
NAMES = "plot => plot.data.map(trace => trace.name)"


def solid(page, number=0):
    return page.locator(".solid .plot").nth(number)


def flat(page, number=0):
    return page.locator(".map .plot").nth(number)


def hover(page, plot, alpha, beta):
    """The lines that the map says under a pointer at (alpha, beta)."""
    plot.scroll_into_view_if_needed()
    x, y = plot.evaluate(PLACE_OF, [alpha, beta])
    label = plot.locator(".hoverlayer .hovertext")
    page.mouse.move(1, 1)
    label.wait_for(state="detached")  # the label of an earlier place
    page.mouse.move(x - 4, y - 4)
    page.mouse.move(x + 1, y + 1)
    label.wait_for()
    return label.locator("tspan.line").all_text_contents()


def wait_until(look, is_reached, seconds=60):
    """The first look at which a state is reached, else the last one: an assertion then shows it."""
    end = time.monotonic() + seconds
    while not is_reached(state := look()) and time.monotonic() < end:
        time.sleep(0.05)
    return state


def settle(page):
    """Waits until the browser has drawn twice: what was due has happened."""
    page.evaluate("() => new Promise(r => requestAnimationFrame(() => requestAnimationFrame(r)))")


def colorful(rgb):
    return np.ptp(rgb, axis=-1) > 0.2


def test_surface_and_map_are_drawn(open_page, make_file, picture):
    page = open_page(make_file())
    assert colorful(picture(solid(page))).mean() > 0.08
    assert colorful(picture(flat(page))).mean() > 0.15
    assert not page.locator("#message").is_visible()


def test_hover_says_the_number_of_the_file_and_its_standard_error(
    open_page, make_file, numbers, drawing
):
    path = make_file()
    page = open_page(path)
    lines = hover(page, flat(page), 0.5, -1 / 3)  # row 3 of 5, column 1 of 7
    loss, error = numbers(path, "train/loss")[3, 1], numbers(path, "train/loss_stderr")[3, 1]
    found = dict(line.split(" = ") for line in lines if " = " in line)
    assert found["training loss"] == f"{loss:.5g}"
    assert found["standard error"] == f"{error:.5g}"
    assert found["α"] == "0.5"
    assert found["β"] == "−0.33333"
    page.click("#more summary")
    drawing(page, lambda: page.check("#digits"))
    page.click("#more summary")
    lines = hover(page, flat(page), 0.5, -1 / 3)
    found = dict(line.split(" = ") for line in lines if " = " in line)
    assert float(found["training loss"]) == loss
    assert float(found["standard error"]) == error
    assert float(found["β"]) == numbers(path, "axes/beta")[1]
    assert lines[-1] == "status: done"


def test_surface_says_numbers_of_the_file_too(open_page, make_file, numbers):
    path = make_file(shape=(9, 9))
    page = open_page(path)
    box = solid(page).bounding_box()
    page.mouse.move(box["x"] + box["width"] / 2 - 9, box["y"] + box["height"] * 0.4)
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] * 0.4, steps=3)
    label = solid(page).locator(".hoverlayer text, g.hovertext").first
    label.wait_for()
    value = float(re.search(r"training loss = ([\d.e-]+?)(?=standard|$)", label.text_content())[1])
    assert np.isclose(numbers(path, "train/loss"), value, rtol=1e-4).any()


def test_log_scale_changes_the_z_range_to_decades(open_page, make_file, drawing, numbers):
    path = make_file()
    page = open_page(path)
    drawing(page, lambda: page.select_option("#scale", "linear"))
    linear = solid(page).evaluate(Z_RANGE)
    drawing(page, lambda: page.select_option("#scale", "log"))
    low, high = solid(page).evaluate(Z_RANGE)
    loss = np.log10(numbers(path, "train/loss"))
    assert high == pytest.approx(loss.max(), abs=0.05)
    assert low == pytest.approx(loss.min() - 0.3 * np.ptp(loss), abs=0.1)  # the floor
    assert [low, high] != pytest.approx(linear, abs=0.05)
    assert "log scale" in page.inner_text("#bar-label")


def test_clip_slider_lowers_the_largest_height_and_says_so(open_page, make_file, drawing, numbers):
    path = make_file()
    page = open_page(path)
    drawing(page, lambda: page.select_option("#scale", "linear"))
    drawing(page, lambda: page.fill("#clip", "500"))
    heights = "plot => Math.max(...plot.data[0].z.flat())"
    loss = numbers(path, "train/loss")
    middle = (loss.min() + loss.max()) / 2
    assert solid(page).evaluate(heights) == pytest.approx(middle, rel=0.05)
    assert solid(page).evaluate(Z_RANGE)[1] == pytest.approx(middle, rel=0.07)
    assert "clipped at" in page.inner_text("#bar-label")


def test_every_metric_of_every_split_can_be_chosen(open_page, make_file, drawing, numbers):
    path = make_file()
    page = open_page(path)
    drawing(page, lambda: page.select_option("#metric", "accuracy"))
    drawing(page, lambda: page.select_option("#split", "test"))
    lines = hover(page, flat(page), 0.5, -1 / 3)
    (line,) = [line for line in lines if line.startswith("test accuracy = ")]
    assert line.split(" = ")[1] == f"{numbers(path, 'test/accuracy')[3, 1]:.5g}"
    assert "no standard error in the file" in lines


def test_cameras_of_two_files_are_linked(open_page, make_file):
    page = open_page(make_file("a.h5"), make_file("b.h5", factor=3))
    before = solid(page, 1).evaluate(CAMERA)
    box = solid(page, 0).bounding_box()
    page.mouse.move(box["x"] + 200, box["y"] + 150)
    page.mouse.down()
    page.mouse.move(box["x"] + 320, box["y"] + 190, steps=6)
    page.mouse.up()
    state = wait_until(
        lambda: [solid(page, k).evaluate(CAMERA) for k in (0, 1)],
        lambda cameras: (
            cameras[1] != pytest.approx(before, abs=0.05)
            and cameras[0] == pytest.approx(cameras[1], abs=1e-6)
        ),
    )
    assert state[0] == pytest.approx(state[1], abs=1e-6)
    assert state[1] != pytest.approx(before, abs=0.05)


def test_views_that_are_not_linked_stay(open_page, make_file):
    page = open_page(make_file("a.h5"), make_file("b.h5"))
    page.click("#more summary")
    page.uncheck("#linked")
    before = solid(page, 1).evaluate(CAMERA)
    own = solid(page, 0).evaluate(CAMERA)
    solid(page, 0).press("ArrowLeft")
    turned = wait_until(
        lambda: solid(page, 0).evaluate(CAMERA),
        lambda camera: camera != pytest.approx(own, abs=0.05),
    )
    assert turned != pytest.approx(own, abs=0.05)
    settle(page)  # a linked view follows in the same step
    assert solid(page, 1).evaluate(CAMERA) == pytest.approx(before)


def test_zoom_into_a_map_zooms_all_maps_and_reset_undoes_it(open_page, make_file, drawing):
    page = open_page(make_file("a.h5"), make_file("b.h5"))
    before = flat(page, 1).evaluate(MAP_RANGES)
    flat(page).scroll_into_view_if_needed()
    x, y = flat(page).evaluate(PLACE_OF, [-0.5, 0.3])
    x2, y2 = flat(page).evaluate(PLACE_OF, [0.5, -0.2])
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(x2, y2, steps=5)
    page.mouse.up()
    alpha, beta = wait_until(
        lambda: flat(page, 1).evaluate(MAP_RANGES), lambda ranges: ranges != before
    )
    assert alpha == pytest.approx([-0.5, 0.5], abs=0.02)
    assert beta == pytest.approx([-0.2, 0.3], abs=0.02)
    drawing(page, lambda: page.click("#reset"))
    assert flat(page, 1).evaluate(MAP_RANGES) == before


def test_files_share_one_scale_and_can_be_left_out(open_page, make_file, drawing, numbers):
    paths = make_file("a.h5"), make_file("b.h5", factor=30)
    page = open_page(*paths)
    drawing(page, lambda: page.select_option("#scale", "log"))
    assert solid(page, 0).evaluate(Z_RANGE) == pytest.approx(solid(page, 1).evaluate(Z_RANGE))
    top = max(numbers(path, "train/loss").max() for path in paths)
    assert solid(page, 0).evaluate(Z_RANGE)[1] == pytest.approx(np.log10(top), abs=0.1)
    drawing(page, lambda: page.uncheck("#choices input >> nth=1"))
    assert not page.locator(".file").nth(1).is_visible()


def test_theme_follows_the_system_and_the_button(open_page, make_file, drawing, picture):
    page = open_page(make_file(), color_scheme="dark")
    assert picture(page.locator("body"))[2, 2].max() < 0.2
    drawing(page, lambda: page.click("#theme"))
    assert picture(page.locator("body"))[2, 2].min() > 0.9
    assert picture(flat(page))[2, 2].min() > 0.9


def test_keys_reach_the_clip_slider_and_move_it(open_page, make_file, drawing):
    page = open_page(make_file())
    for _ in range(20):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.id") == "clip":
            break
    before = page.inner_text("#clip-value")
    drawing(page, lambda: [page.keyboard.press("ArrowLeft") for _ in range(90)])
    assert page.inner_text("#clip-value") != before
    assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"


def test_keys_read_a_point_without_a_pointer(open_page, make_file, numbers):
    path = make_file()
    page = open_page(path)
    slider = page.locator(".probe input").first
    slider.press("Home")
    text = page.locator(".readout").inner_text()
    said = re.search(r"training loss = (\S+)", text)[1]
    assert said == f"{numbers(path, 'train/loss')[0, 3]:.5g}"
    assert slider.evaluate("input => input.ariaValueText") == text


def test_keys_turn_the_surface(open_page, make_file):
    page = open_page(make_file())
    before = solid(page).evaluate(CAMERA)
    solid(page).press("ArrowRight")
    after = wait_until(lambda: solid(page).evaluate(CAMERA), lambda camera: camera != before)
    turned = np.arctan2(after["y"], after["x"]) - np.arctan2(before["y"], before["x"])
    assert np.degrees(turned) == pytest.approx(10, abs=0.1)


def test_every_control_has_a_name_for_a_screen_reader(open_page, make_file):
    page = open_page(make_file("a.h5"), make_file("b.h5"))
    bare = """() => [...document.querySelectorAll('button, select, input, .plot')]
        .filter(e => !(e.ariaLabel || (e.closest('label') ?? e).textContent.trim()))
        .map(e => e.outerHTML.slice(0, 80))"""
    assert page.evaluate(bare) == []
    label = flat(page, 1).get_attribute("aria-label")
    assert re.search(r"Map of b.*minimum .* at α = .*, β = .*maximum", label)
    assert "Map of b" in page.locator("#announcement").text_content()


def test_missing_points_are_gaps_with_their_reasons(open_page, make_file, picture):
    status = np.ones((9, 11))
    status[7:], status[1, 1], status[3, 3], status[4, 8] = 0, 3, 2, 2
    special = {(3, 3): np.nan, (4, 8): np.inf}
    page = open_page(make_file(shape=(9, 11), status=status, special=special))
    words = {"not computed (22)", "failed (1)", "not finite (2)"}
    assert words <= set(flat(page).evaluate(NAMES))
    assert words <= set(solid(page).evaluate(NAMES))
    assert hover(page, flat(page), 0.0, 0.3)[2] == "training loss = inf"
    assert hover(page, flat(page), -0.75, -0.4)[-1] == "status: failed"
    heights = solid(page).evaluate("plot => plot.data[0].z")
    empty = {(i, j) for j in range(11) for i in range(9) if heights[j][i] is None}
    expected = {(1, 1), (3, 3), (4, 8)} | {(i, j) for i in (7, 8) for j in range(11)}
    assert empty == expected


def test_no_colour_is_drawn_between_a_point_and_its_missing_neighbour(open_page, make_file):
    page = open_page(make_file(shape=(5, 7), special={(2, 3): np.nan}))
    at = """plot => {
      const { x, y, z } = plot.data.find(trace => trace.name === 'values');
      const cell = (axis, value) => axis.findLastIndex(border => border <= value);
      return [[0.1, 0.05], [0.4, 0.05], [0.6, 0.05]].map(([a, b]) => z[cell(y, b)][cell(x, a)]);
    }"""
    near, far, outside = flat(page).evaluate(at)
    assert (near, far) == (None, None)
    assert outside is not None


def test_trajectory_lies_on_surface_and_map_until_it_is_unticked(open_page, make_file, drawing):
    along, loss = np.array([0.75, 0.5, 0.0]), {"train/loss": np.array([0.6, 0.3, 0.01])}
    path = Trajectory(["0", "1", "<b>2</b>"], along, along / 2, along, loss, loss, {})
    surface = replace(read_surface(make_file()), trajectories={"sgd": path})
    page = open_page(surface)
    drawing(page, lambda: page.select_option("#scale", "linear"))
    found = "plot => plot.data.filter(trace => trace.name?.startsWith('sgd'))"
    (line,), (curve,) = (plot.evaluate(found) for plot in (flat(page), solid(page)))
    assert (line["x"], line["y"]) == (along.tolist(), (along / 2).tolist())
    assert (curve["x"], curve["y"]) == (line["x"], line["y"])
    assert curve["z"] == pytest.approx([0.6, 0.3, 0.01], abs=0.04)  # a little above the surface
    assert "&lt;b&gt;2" in line["text"][2]
    page.click("#more summary")
    drawing(page, lambda: page.uncheck("#path"))
    assert flat(page).evaluate(found) == solid(page).evaluate(found) == []


def test_half_filled_file_shows_each_point_as_its_cell(open_page, make_file, numbers):
    status = np.zeros((9, 9))
    status[::2, ::2] = 1
    path = make_file(shape=(9, 9), status=status)
    page = open_page(path)
    z = flat(page).evaluate("plot => plot.data[0].z")
    shown = np.array(z, dtype=float).T
    loss = numbers(path, "train/loss")
    assert np.array_equal(np.isfinite(shown), status == 1)
    log = np.log10(loss[::2, ::2])
    assert np.allclose(shown[::2, ::2], log) or np.allclose(shown[::2, ::2], loss[::2, ::2])


def test_file_without_any_value_is_shown_with_its_state(open_page, make_file):
    page = open_page(make_file(shape=(3, 4), status=np.zeros((3, 4))))
    assert "0 of 12 points done, 12 not computed" in page.inner_text(".facts summary")
    assert "not computed (12)" in flat(page).evaluate(NAMES)


@pytest.mark.parametrize(("shape", "is_line"), [((9, 1), True), ((1, 9), False)])
def test_profile_has_a_curve_for_each_split_and_a_band(open_page, make_file, shape, is_line):
    page = open_page(make_file(shape=shape, is_line=is_line))
    names = flat(page).evaluate(NAMES)
    assert {"training loss", "test loss"} <= set(names)
    assert flat(page).evaluate("plot => plot.data[0].fill") == "toself"
    assert not solid(page).is_visible()
    axis = flat(page).evaluate("plot => plot.layout.xaxis.title.text")
    assert axis.startswith("α" if is_line else "β")


def test_a_training_path_has_curves_over_time_and_no_word_of_a_plane(open_page, make_file):
    line = read_surface(make_file(shape=(9, 1), is_line=True))
    study = {"problem": line.manifest["study"]["problem"], "path": {"checkpoints": "runs/a"}}
    labels = [f"epoch_{k:04}" for k in range(9)]
    manifest = line.manifest | {"study": study, "path": {"labels": labels, "axis": "epoch"}}
    time, part = np.arange(9.0), Column("train", "loss:conv1", "part", "train/loss")
    values = line.values | {part.name: line.values["train/loss"] / 2}
    columns = line.columns | {part.name: part}
    changes = {"manifest": manifest, "values": values, "columns": columns, "alpha": time}
    page = open_page(replace(line, **changes, axis_names=("epoch",)))
    assert page.locator("#metric option").all_text_contents() == ["loss", "accuracy"]
    assert {"training loss", "test loss"} <= set(flat(page).evaluate(NAMES))
    assert flat(page).evaluate("plot => plot.layout.xaxis.title.text") == "epoch"
    page.locator(".probe input").first.press("ArrowRight")
    assert page.locator(".readout").inner_text().startswith("checkpoint epoch_0001   epoch = 1")
    assert page.get_by_text("α", exact=False).filter(visible=True).count() == 0


def test_narrow_screen_shows_one_figure_at_a_time(open_page, make_file, drawing):
    page = open_page(make_file(), width=480)
    assert solid(page).is_visible()
    assert not flat(page).is_visible()
    drawing(page, lambda: page.locator("#views input[value=map]").check(force=True))
    assert flat(page).is_visible()
    assert page.evaluate("document.documentElement.scrollWidth") <= 480


def test_png_holds_the_figure_with_title_and_colour_bar(open_page, make_file, tmp_path):
    page = open_page(make_file())
    for number, name in enumerate(["solid", "map"]):
        with page.expect_download() as download:
            page.locator(".save").nth(number).click()
        assert download.value.suggested_filename == f"s_train_loss_{name}.png"
        download.value.save_as(tmp_path / f"{name}.png")
        image = matplotlib.image.imread(tmp_path / f"{name}.png")[..., :3]
        assert image.shape == (1600, 2000, 3)
        assert colorful(image).mean() > 0.08
        assert (image[:120].min(axis=-1) < 0.5).sum() > 500  # the title


def test_levels_and_notes_are_those_of_the_static_figures(open_page, make_file):
    page = open_page(make_file())
    code = """([kind, low, top, threshold]) => {
      const scale = makeScale(kind, { low, top, threshold }, Infinity);
      return [levels(scale, 12), levels(scale, 7), scale.note];
    }"""
    limits = [(0.0013, 106.0), (0.2, 0.95), (37.0, 41.5), (1e-9, 3e7)]
    cases = [(kind, *pair, 1.0) for kind in ("linear", "log") for pair in limits]
    cases += [("symlog", -high, high, low) for low, high in limits]
    for case in cases:
        scale = Scale(*case[:3], threshold=case[3])
        many, few, note = page.evaluate(code, case)
        assert many == pytest.approx(scale.levels(12)), case
        assert few == pytest.approx(scale.levels(7)), case
        assert case[0] == "symlog" or note == scale.note


def test_contour_lines_lie_where_the_value_is_the_level(open_page, make_file, numbers):
    path = make_file(shape=(31, 41))
    page = open_page(path)
    code = """() => {
      const file = files[0], column = columnNow(), scale = scaleNow(column);
      const heights = grid(file, (k) => scale.forwardOrGap(file.columns[column.name].values[k]));
      const shown = levels(scale, 12).slice(1, -1);
      return [scale.kind, shown, isolines(file, heights, shown.map(scale.forward))];
    }"""
    kind, shown, lines = page.evaluate(code)
    loss = numbers(path, "train/loss")
    heights = np.log10(loss) if kind == "log" else loss
    interpolate = RegularGridInterpolator(
        (numbers(path, "axes/alpha"), numbers(path, "axes/beta")), heights
    )
    for level, segments in zip(shown, lines, strict=True):
        ends = np.array(segments).reshape(-1, 2)  # each lies on an edge of a cell
        wanted = np.log10(level) if kind == "log" else level
        assert len(ends) > 10
        assert interpolate(ends) == pytest.approx(wanted, abs=1e-9)


@pytest.mark.parametrize(
    "name",
    [
        "</title><script>window.broken = 1</script><img src=x onerror='window.broken = 1'>&amp;",
        "</script><!-- $\\frac{ \u202e\x00\x1b[31m\ud800",
    ],
)
def test_names_of_a_hostile_file_are_shown_and_nothing_of_them_runs(open_page, make_file, name):
    surface = read_surface(make_file())
    surface.manifest["study"]["problem"] = {"model": name, "data": {"name": name}}
    path = Trajectory([name] * 3, *np.zeros((3, 3)), {}, {}, {"note": name})
    known = {"name": name, "host": name, "versions": {name: name}}
    page = open_page(replace(surface, provenance=known, trajectories={name: path}))
    page.locator(".probe input").first.press("Home")
    assert page.evaluate("window.broken") is None
    assert page.locator("img").count() == 0
    assert name[:12] in page.inner_text("h1")
    assert flat(page).evaluate("plot => plot.data.length") > 0
