import os
from dataclasses import replace

import imageio.v3 as imageio
import numpy as np
import pytest

from losscape_mpi.errors import UserError
from losscape_mpi.figures.look import Look
from losscape_mpi.figures.movie.file import write_movie
from losscape_mpi.figures.movie.surfaces import frame_of, write_orbit, write_series

SMALL = Look(size=(4, 4))  # 480 x 480 pixels; of 2 x 3 points each is a tile, which is fast


def ramps(num, height=60, width=80):
    """Pictures whose colours run on from frame to frame, with a fixed blue corner."""
    x = np.add.outer(np.linspace(0, 1, height), np.linspace(0, 1, width)) / 2
    for k in range(num):
        shifted = (x + k / num) % 1
        frame = np.stack([255 * shifted, 255 * (1 - shifted), 0 * x + 128], axis=-1)
        frame[:16, :16] = (0, 0, 255)
        yield frame.astype("u1")


def read(path):
    plugin = "pillow" if path.suffix == ".gif" else "FFMPEG"
    return imageio.imread(path, plugin=plugin)[..., :3].astype(int)


@pytest.mark.parametrize(("name", "allowed"), [("m.mp4", 12), ("m.gif", 12)])
def test_movie_gives_the_pictures_back_in_order(tmp_path, name, allowed):
    frames = np.array(list(ramps(12)))
    write_movie(ramps(12), tmp_path / name, 10)
    got = read(tmp_path / name)
    assert got.shape == (12, 60, 80, 3)
    for k in range(12):
        distances = np.abs(got[k] - frames.astype(int)).mean(axis=(1, 2, 3))
        assert distances.argmin() == k
        assert distances[k] < allowed


def test_mp4_is_h264_that_every_player_knows(tmp_path):
    write_movie(ramps(5), tmp_path / "m.mp4", 25)
    facts = imageio.immeta(tmp_path / "m.mp4", plugin="FFMPEG")
    assert facts["codec"] == "h264"
    assert facts["pix_fmt"].startswith("yuv420p")
    assert facts["fps"] == 25
    assert facts["duration"] == pytest.approx(0.2, abs=0.01)
    content = (tmp_path / "m.mp4").read_bytes()
    assert content.index(b"moov") < content.index(b"mdat")  # plays before it is loaded


@pytest.mark.parametrize("name", ["m.mp4", "m.gif"])
def test_odd_sizes_grow_by_a_copy_of_the_last_row_and_column(tmp_path, name):
    write_movie(ramps(3, 61, 83), tmp_path / name, 10)
    got = read(tmp_path / name)
    assert got.shape == (3, 62, 84, 3)
    assert np.abs(got[:, 61] - got[:, 60]).mean() < 8
    assert np.abs(got[:, :, 83] - got[:, :, 82]).mean() < 8


def test_gif_does_not_flicker_and_has_no_more_than_one_palette(tmp_path):
    write_movie(ramps(8), tmp_path / "m.gif", 10)
    got = read(tmp_path / "m.gif")
    corner = got[:, :16, :16].reshape(-1, 3)
    assert len(np.unique(corner, axis=0)) == 1
    assert len(np.unique(got.reshape(-1, 3), axis=0)) <= 256


def test_gif_runs_for_ever_at_its_rate(tmp_path):
    write_movie(ramps(3), tmp_path / "m.gif", 10)
    facts = imageio.immeta(tmp_path / "m.gif", plugin="pillow")
    assert facts["loop"] == 0
    assert facts["duration"] == 100  # milliseconds


@pytest.mark.parametrize("name", ["m.mp4", "m.gif"])
def test_movie_replaces_an_older_one_and_has_the_same_bytes_each_time(tmp_path, name):
    path = tmp_path / "new folder" / name
    write_movie(ramps(3), path, 10)
    first = path.read_bytes()
    path.write_bytes(b"old")
    write_movie(ramps(3), path, 10)
    assert path.read_bytes() == first
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize("name", ["a:b.mp4", "-y.gif", "mov ie'\".mp4"])
def test_odd_names_are_names(tmp_path, name, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_movie(ramps(2), tmp_path / name, 10)
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_single_picture_is_a_movie(tmp_path):
    write_movie(ramps(1), tmp_path / "m.mp4", 10)
    assert len(read(tmp_path / "m.mp4")) == 1


# ---- what goes wrong ---------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["m.avi", "m", "m.mp4.png"])
def test_another_ending_is_refused_before_any_picture_is_made(tmp_path, name, bowl):
    def never():
        pytest.fail("a picture was made")
        yield

    message = r"expected a movie file that ends in \.gif or \.mp4"
    with pytest.raises(UserError, match=message):
        write_movie(never(), tmp_path / name, 10)
    with pytest.raises(UserError, match=message):
        write_orbit(bowl(), "train/loss", tmp_path / name, SMALL)
    with pytest.raises(UserError, match=message):
        write_series([bowl()], "train/loss", tmp_path / name, SMALL)
    assert list(tmp_path.iterdir()) == []


def test_error_between_two_pictures_leaves_the_old_movie(tmp_path):
    def broken():
        yield from ramps(2)
        raise ZeroDivisionError

    (tmp_path / "m.mp4").write_bytes(b"old")
    with pytest.raises(ZeroDivisionError):
        write_movie(broken(), tmp_path / "m.mp4", 10)
    assert [path.read_bytes() for path in tmp_path.iterdir()] == [b"old"]


def test_place_that_cannot_be_written_is_one_line(tmp_path):
    (tmp_path / "file").write_text("no folder")
    with pytest.raises(UserError, match="cannot be written") as caught:
        write_movie(ramps(2), tmp_path / "file" / "m.mp4", 10)
    assert "\n" not in str(caught.value)


def test_ffmpeg_that_fails_is_one_line_with_its_own_words(tmp_path, monkeypatch):
    program = tmp_path / "ffmpeg"
    program.write_text("#!/bin/sh\necho first >&2\necho No space left on device >&2\nexit 1\n")
    program.chmod(0o755)
    monkeypatch.setenv("IMAGEIO_FFMPEG_EXE", os.fspath(program))
    with pytest.raises(UserError, match="No space left on device") as caught:
        write_movie(ramps(40, 300, 400), tmp_path / "m.mp4", 10)
    assert "\n" not in str(caught.value)
    assert [path.name for path in tmp_path.iterdir()] == ["ffmpeg"]


def test_wrong_pictures_and_rates_are_refused(tmp_path):
    path = tmp_path / "m.gif"
    with pytest.raises(ValueError, match="at least one"):
        write_movie([], path, 10)
    with pytest.raises(ValueError, match="picture 0 is float64"):
        write_movie([np.zeros((4, 4, 3))], path, 10)
    with pytest.raises(ValueError, match="picture 1 has shape"):
        write_movie([np.zeros((4, 4, 3), "u1"), np.zeros((4, 6, 3), "u1")], path, 10)
    for fps in (0, 60):
        with pytest.raises(UserError, match=f"found {fps} pictures per second"):
            write_movie(ramps(1), path, fps)
    assert list(tmp_path.iterdir()) == []


# ---- flights and series ------------------------------------------------------------------------


def colors_of(frame):
    return np.ptp(frame, axis=-1) > 60


def test_orbit_turns_the_surface_and_leaves_the_colour_bar_in_place(tmp_path, bowl):
    write_orbit(bowl(2, 3), "train/loss", tmp_path / "o.gif", SMALL, frames=3, fps=8)
    got = read(tmp_path / "o.gif")
    assert got.shape == (3, 480, 480, 3)
    changed = (got != got[:1]).any(axis=(0, 3))  # (480, 480)
    bar = colors_of(got[0]) & (np.arange(480) > 400)
    assert bar.sum() > 500
    assert not changed[bar].any()
    assert changed[100:380, 50:350].mean() > 0.1
    assert not changed[:60].any()  # the title


@pytest.mark.slow
def test_orbit_starts_at_the_view_that_is_asked_for(tmp_path, bowl):
    from losscape_mpi.figures.map.panel import map_figure

    look = Look(size=(4, 4), view=(20, 100))
    write_orbit(bowl(2, 3), "train/loss", tmp_path / "o.gif", look, frames=3)
    first, second, _ = read(tmp_path / "o.gif")
    alone = replace(look, is_alone=True)  # a movie's words are always drawn
    whole = map_figure([bowl(2, 3)], "surface", "train/loss", alone)
    frame_of(whole)
    views = [(20, azimuth) for azimuth in (100, 220, 340)]  # the box has one size in all of them
    whole.axes[0].hold(whole.canvas.get_renderer(), views)
    figure = frame_of(whole).astype(int)
    assert 10 * np.abs(first - figure).mean() < np.abs(second - figure).mean()


def test_series_has_one_frame_each_on_one_fixed_scale(tmp_path, bowl):
    low, high = bowl(2, 3), bowl(2, 3)
    high.values["train/loss"][...] += 4
    write_series([low, high], "train/loss", tmp_path / "s.gif", SMALL, fps=2)
    got = read(tmp_path / "s.gif")
    assert got.shape == (2, 480, 480, 3)
    rows = [np.nonzero(colors_of(frame[:, :380]))[0].mean() for frame in got]
    assert rows[0] - 20 > rows[1]  # the second surface lies higher
    bar = np.ix_(range(2), range(120, 340), range(400, 480))
    assert colors_of(got[bar]).sum() > 500
    assert (got[bar] == got[bar][:1]).all()


@pytest.mark.slow
def test_series_does_not_jump_where_a_point_is_missing(tmp_path, bowl):
    whole, holed = bowl(5, 7), bowl(5, 7)
    holed.values["train/loss"][0, 0] = np.nan
    holed.status[0, 0] = 2
    write_series([whole, holed], "train/loss", tmp_path / "s.gif", SMALL)
    first, second = read(tmp_path / "s.gif")
    changed = np.abs(first - second).max(axis=-1) > 30
    assert changed[:, :200].mean() > 0.005  # the corner and the legend
    assert changed[60:400, 240:].mean() < 0.005


def test_frame_of_a_figure_has_its_size_in_pixels(bowl):
    from losscape_mpi.figures.map.panel import map_figure

    frame = frame_of(map_figure([bowl()], "filled", "train/loss", Look(size=(6, 5))), dpi=50)
    assert frame.shape == (250, 300, 3)
    assert frame.dtype == np.uint8


def test_profile_and_empty_series_are_refused(tmp_path, surface_of, bowl):
    line = surface_of(np.ones((5, 1)), is_line=True)
    with pytest.raises(UserError, match="expected a plane for a movie"):
        write_orbit(line, "train/loss", tmp_path / "m.gif", SMALL)
    with pytest.raises(UserError, match="expected a plane for a movie"):
        write_series([bowl(), line], "train/loss", tmp_path / "m.gif", SMALL)
    with pytest.raises(UserError, match="no surface file"):
        write_series([], "train/loss", tmp_path / "m.gif", SMALL)
    with pytest.raises(UserError, match="has no test/loss"):
        write_orbit(bowl(), "test/loss", tmp_path / "m.gif", SMALL)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_orbit_of_the_genuine_surface_is_whole(tmp_path, shared):
    from losscape_mpi.store.exchange.imports import read_any

    surface = read_any(shared / "reference" / "resnet56" / "surface.h5")
    write_orbit(surface, "train/loss", tmp_path / "o.mp4", Look(), frames=24, fps=12)
    got = read(tmp_path / "o.mp4")
    assert len(got) == 24
    for frame in got:
        assert colors_of(frame).mean() > 0.08
        border = np.concatenate([frame[:, :2], frame[:, -2:]], axis=1)
        assert (border > 200).all()  # nothing is cut at the sides
