"""Fingers, the address, the player, the morph and the opening turn."""

import re

import numpy as np
import pytest

pytestmark = pytest.mark.slow

PHONE = {"is_mobile": True, "has_touch": True, "width": 390, "height": 844}
CAMERA = "plot => plot._fullLayout.scene._scene.getCamera().eye"
HEIGHTS = "plot => plot.data[0].z"


def swipe(page, plot, right=0, down=0, moves=12):
    """A finger on the middle of a figure: touches, out of which the browser makes its scrolling."""
    box = plot.bounding_box()
    client = page.context.new_cdp_session(page)
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    touches = [[{"x": x + right * k / moves, "y": y + down * k / moves}] for k in range(moves + 1)]
    kinds = ["touchStart", *["touchMove"] * moves, "touchEnd"]
    for kind, touch in zip(kinds, [*touches, []], strict=True):
        client.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": touch})


def wait_for_heights(page, heights):
    """Wait until the morph shows heights, told by the first of them."""
    shown = "document.querySelector('#morph .plot').data[0].z[0][0]"
    page.wait_for_function(f"height => Math.abs({shown} - height) < 1e-9", arg=heights[0, 0])


@pytest.mark.parametrize("view", ["solid", "map"])
def test_a_finger_that_goes_up_on_a_figure_scrolls_the_page(open_page, make_file, view):
    page = open_page(make_file(), fragment=f"#view={view}", **PHONE)
    plot = page.locator(f".{view} .plot")
    eye = "Object.values(plot.layout.scene?.camera?.eye ?? {})"
    state = f"plot => [...{eye}, ...(plot.layout.xaxis?.range ?? [])]"
    before = plot.evaluate(state)
    swipe(page, plot, down=-250)
    page.wait_for_function("scrollY > 150")
    assert len(before) >= 2
    assert plot.evaluate(state) == pytest.approx(before)


def test_a_finger_that_goes_sideways_turns_the_surface(open_page, make_file):
    page = open_page(make_file(), **PHONE)
    plot = page.locator(".solid .plot")
    before = plot.evaluate(CAMERA)
    swipe(page, plot, right=120)
    page.wait_for_function("files[0].camera !== null")
    after = plot.evaluate(CAMERA)
    assert page.evaluate("scrollY") == 0
    assert abs(np.arctan2(after["y"], after["x"]) - np.arctan2(before["y"], before["x"])) > 0.2
    assert after["z"] == pytest.approx(before["z"], abs=1e-6)


def test_a_tap_on_the_map_reads_its_point(open_page, make_file, numbers, place_of):
    path = make_file()
    page = open_page(path, fragment="#view=map", **PHONE)
    page.touchscreen.tap(*place_of(page.locator(".map .plot"), 0.5, -1 / 3))
    page.wait_for_function("document.querySelector('.readout').textContent.startsWith('α = 0.5')")
    said = float(re.search(r"training loss = (\S+)", page.inner_text(".readout"))[1])
    assert said == pytest.approx(numbers(path, "train/loss")[3, 1], rel=1e-4)
    assert said != numbers(path, "train/loss")[3, 1]  # five digits, not 17


def test_the_address_holds_what_is_seen_and_shows_it_again(open_page, make_path, drawing):
    page = open_page(make_path())
    drawing(page, lambda: page.select_option("#metric", "accuracy"))
    drawing(page, lambda: page.locator("#views input[value=solid]").check(force=True))
    page.locator(".solid .plot").press("ArrowRight")
    page.locator(".probe input").first.press("Home")
    page.locator(".player input").press("Home")
    page.wait_for_function("location.hash.includes('step')")
    page.wait_for_function("location.hash.includes('camera')")
    fragment = page.evaluate("location.hash")
    words, camera = page.inner_text(".readout"), page.locator(".solid .plot").evaluate(CAMERA)
    again = open_page(make_path("t.h5"), fragment=fragment)
    assert again.input_value("#metric") == "accuracy"
    assert again.evaluate("document.body.dataset.view") == "solid"
    assert again.locator(".solid .plot").evaluate(CAMERA) == pytest.approx(camera, abs=1e-4)
    assert again.inner_text(".readout") == words
    assert again.input_value(".player input") == "0"
    drawing(again, lambda: again.evaluate("location.hash = '#metric=loss&scale=linear'"))
    assert again.input_value("#metric") == "loss"
    assert again.input_value("#scale") == "linear"
    assert again.evaluate("document.body.dataset.view") == "both"  # what it does not say is usual


@pytest.mark.parametrize(
    "fragment",
    [
        "#metric=nothing&split=&scale=cubic&clip=x&view=<b>&files=99,-1&theme=pink&step=1e9&part=NaN",
        "#camera=1,2,NaN,0,0,0&zoom=3,1,0,0&point=1&camera=0,0,0,0,0,0&constructor=1&__proto__=2&%E0%A4%A",
    ],
)
def test_a_spoiled_address_is_ignored(open_page, make_file, fragment):
    page = open_page(make_file(), fragment=fragment)
    usual = page.evaluate("JSON.stringify(stateNow()) === JSON.stringify(usual)")
    assert usual
    page.wait_for_function("location.hash === ''")


def test_a_path_is_scrubbed_played_and_paused(open_page, make_path):
    page = open_page(make_path(), reduced_motion="no-preference", fragment="#camera=1,1,1,0,0,0")
    walked = "() => files[0].solid.data.find(t => t.meta === 'path').x.length"
    slider, button = page.locator(".player input"), page.locator(".player button")
    assert page.evaluate(walked) == 5
    slider.press("Home")
    slider.press("ArrowRight")
    page.wait_for_function(f"({walked})() === 2")
    assert "sgd: epoch_1  training loss = 0.4" in page.inner_text(".player output")
    ball = page.evaluate(
        "files[0].solid.data.find(t => t.mode === 'markers' && t.type === 'scatter3d').x"
    )
    assert ball == [0.5]
    assert page.evaluate("stepMarks(files[0]).at(-1).xanchor") == 0.5
    button.click()
    assert button.inner_text() == "Pause"
    # Pressed by the page itself: a busy machine would let the path end before a finger comes.
    pause = "document.querySelector('.player button').click()"
    page.wait_for_function(f"() => ({walked})() > 2 && (files[0].timer && {pause}, true)")
    assert button.inner_text() == "Play"
    stopped = slider.input_value()
    page.wait_for_timeout(700)  # a step lasts half a second here
    assert slider.input_value() == stopped
    button.click()
    page.wait_for_function("document.querySelector('.player button').textContent === 'Play'")
    assert page.evaluate(walked) == 5  # at its end it stops


def test_who_wants_less_motion_sees_a_step_each_second_and_no_turn(open_page, make_path):
    page = open_page(make_path())
    page.locator(".player input").press("Home")
    assert page.evaluate("files[0].camera") is None
    assert page.evaluate("isTurning") is False
    page.evaluate("""() => {
      const draw = showStep;
      window.moments = [];
      showStep = (...step) => { moments.push(performance.now()); return draw(...step); };
    }""")
    page.locator(".player button").click()
    page.wait_for_function("moments.length === 3")
    assert np.diff(page.evaluate("moments")).min() > 900  # later on a busy machine, never sooner


def test_a_morph_goes_from_one_file_to_the_other(open_page, make_file, drawing):
    page = open_page(
        make_file("a.h5"), make_file("b.h5", factor=30), fragment="#view=morph&scale=log"
    )
    plot = page.locator("#morph .plot")
    first = np.array(plot.evaluate(HEIGHTS))
    page.fill("#morph-part", "100")
    page.wait_for_function("document.querySelector('#morph-words').textContent === 'b'")
    last = first + np.log10(30)
    wait_for_heights(page, last)
    assert np.array(plot.evaluate(HEIGHTS)) == pytest.approx(last)
    page.fill("#morph-part", "50")
    page.wait_for_function("document.querySelector('#morph-words').textContent.startsWith('50 %')")
    wait_for_heights(page, (first + last) / 2)
    assert np.array(plot.evaluate(HEIGHTS)) == pytest.approx((first + last) / 2)
    assert "not measured" in page.inner_text("#morph-words")


def test_files_of_different_grids_are_not_mixed_and_the_page_says_why(open_page, make_file):
    page = open_page(make_file("a.h5"), make_file("b.h5", shape=(5, 9)), fragment="#view=morph")
    words = page.inner_text("#morph-words")
    assert "The grids differ: a has 5 × 7 points" in words
    assert "b has 5 × 9 points" in words
    assert not page.locator("#morph .plot").is_visible()


def test_the_opening_turn_ends_at_the_first_touch(open_page, make_file):
    page = open_page(make_file(), reduced_motion="no-preference")
    # Begun anew and touched by the page itself: on a busy machine the page's own may be over.
    touched = page.evaluate("""async () => {
      const turn = openingTurn(), hadBegun = isTurning;
      dispatchEvent(new PointerEvent("pointerdown"));
      const hasEnded = !isTurning;
      await turn;
      return [hadBegun, hasEnded];
    }""")
    assert touched == [True, True]
    plot = page.locator(".solid .plot")
    before = plot.evaluate(CAMERA)
    page.wait_for_timeout(300)
    assert plot.evaluate(CAMERA) == pytest.approx(before)
    assert page.evaluate("location.hash") == ""
