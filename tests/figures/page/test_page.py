import json
import zlib
from base64 import b64decode
from html.parser import HTMLParser

import numpy as np
import pytest

from losscape_mpi.errors import UserError
from losscape_mpi.figures.page import text as page_text
from losscape_mpi.figures.page.write import page_html, write_page
from losscape_mpi.point.column import loss_column
from losscape_mpi.store.create import create_surface
from losscape_mpi.store.layout import to_json
from losscape_mpi.store.reader import read_surface, surface_sha256
from losscape_mpi.store.surface import Trajectory

EVIL = "</script><b>\"'&<img src=x onerror=alert(1)>{{script}}<!--"
LARGEST = 8_000_000  # bytes


class Elements(HTMLParser):
    """The elements of a page: their names, attributes and texts."""

    def __init__(self, text):
        super().__init__()
        self.found = []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.found.append([tag, dict(attrs), ""])

    def handle_data(self, data):
        if self.found:
            self.found[-1][2] += data

    def named(self, tag):
        return [(attrs, text) for name, attrs, text in self.found if name == tag]


def content(html):
    """What the page's script reads: the description, its arrays in place."""
    scripts = {a.get("id"): text for a, text in Elements(html).named("script")}
    buffer = zlib.decompress(b64decode(scripts["numbers"]))

    def unpack(value):
        if isinstance(value, list):
            return [unpack(part) for part in value]
        if not isinstance(value, dict):
            return value
        if "array" in value:
            return np.frombuffer(buffer, "<" + value["array"], value["size"], value["at"])
        return {key: unpack(part) for key, part in value.items()}

    return unpack(json.loads(scripts["surfaces"]))


def spread(shape, seed=0):
    return np.random.default_rng(seed).uniform(0.1, 5, shape)


def test_page_holds_every_number_of_the_file_bit_for_bit(surface_of):
    loss = spread((3, 5))
    loss[1, 2], loss[2, 4] = np.inf, np.nan
    more = {"train/loss_stderr": spread((3, 5), 1), "test/accuracy": spread((3, 5), 2)}
    surface = surface_of(loss, more=more)
    (file,) = content(page_html([surface]))["files"]
    for name in ("train/loss", "test/accuracy"):
        assert file["columns"][name]["values"].tobytes() == surface.values[name].tobytes()
    stderr = file["columns"]["train/loss"]["stderr"]
    assert stderr.tobytes() == surface.values["train/loss_stderr"].tobytes()
    assert file["columns"]["test/accuracy"]["stderr"] is None
    assert file["alpha"].tobytes() == surface.alpha.tobytes()
    assert file["status"].tolist() == surface.status.ravel().tolist()


@pytest.mark.slow
def test_page_of_251_by_251_points_with_all_columns_stays_below_8_megabytes(bowl, tmp_path):
    shape = (251, 251)
    names = [f"{split}/{metric}" for split in ("train", "test") for metric in ("loss", "accuracy")]
    names += [f"{name}_stderr" for name in names]
    noise = {name: spread(shape, seed) for seed, name in enumerate(names)}  # the worst to compress
    write_page([bowl(*shape, more=noise)], tmp_path / "p.html")
    assert (tmp_path / "p.html").stat().st_size < LARGEST


def test_no_text_of_a_file_becomes_an_element(surface_of):
    path = Trajectory([EVIL], *np.zeros((3, 1)), {}, {}, {"note": EVIL})
    surface = surface_of(spread((3, 5)), problem={"model": EVIL, "data": {"name": EVIL}})
    surface.provenance["name"] = EVIL
    surface.trajectories[EVIL] = path
    html = page_html([surface, surface_of(spread((3, 5)))])
    usual = page_html([surface_of(spread((3, 5)))] * 2)
    found, expected = (
        [tag for tag, _, _ in Elements(h).found if tag != "details"] for h in (html, usual)
    )
    assert sorted(set(found)) == sorted(set(expected))
    assert found.count("script") == expected.count("script")
    assert "img" not in found
    assert content(html)["files"][0]["name"] == EVIL
    assert "<" not in content(html)["files"][0]["trajectories"][0]["text"][0].replace("<br>", "")


def test_page_may_ask_nothing_of_a_network(bowl):
    page = Elements(page_html([bowl()]))
    (policy,) = [a["content"] for a, _ in page.named("meta") if "http-equiv" in a]
    assert policy.startswith("default-src 'none'; script-src 'unsafe-inline'")
    assert not [a for _, a, _ in page.found if "src" in a]
    assert {a["href"] for _, a, _ in page.found if "href" in a} == {"data:,", "#files"}


def test_same_files_give_the_same_bytes(bowl, tmp_path):
    for name in ("a.html", "b.html"):
        write_page([bowl()], tmp_path / "new" / name)
    a, b = (tmp_path / "new" / name for name in ("a.html", "b.html"))
    assert a.read_bytes() == b.read_bytes()
    assert sorted(p.name for p in a.parent.iterdir()) == ["a.html", "b.html"]


def test_page_that_cannot_be_written_is_one_line_and_leaves_nothing(bowl, tmp_path):
    (tmp_path / "p.html").mkdir()
    with pytest.raises(UserError, match="cannot be written"):
        write_page([bowl()], tmp_path / "p.html")
    assert [p.name for p in tmp_path.iterdir()] == ["p.html"]


def test_page_without_files_is_refused():
    with pytest.raises(UserError, match="expected at least one"):
        page_html([])


def test_files_of_different_batchnorm_policies_are_refused(bowl):
    other = bowl(evaluation={"precision": "float32", "batchnorm": "recalibrate"})
    with pytest.raises(UserError, match="frozen, recalibrate"):
        page_html([bowl(), other])


def test_facts_name_fingerprint_hash_and_state(tmp_path):
    manifest = {"format": 1, "study": {"grid": {"beta": [0, 1, 2]}}, "fingerprint": "ab" * 32}
    axes = {"alpha": np.arange(3.0), "beta": np.arange(2.0)}
    path = tmp_path / "s.h5"
    create_surface(
        path, to_json(manifest), to_json({"name": "n"}), axes, [loss_column("train")], {}
    )
    html = page_html([read_surface(path)])
    assert f"<td>{'ab' * 32}</td>" in html
    assert f"<td>{surface_sha256(path)}</td>" in html
    assert "0 of 6 points done, 6 not computed" in html


def test_description_says_where_the_extremes_lie_and_what_is_missing(surface_of):
    loss = np.full((3, 5), 2.0)
    loss[0, 3], loss[2, 1], loss[1, 0] = 0.5, 7.0, np.inf
    status = np.ones((3, 5))
    status[1, 0], status[2, 4] = 2, 3
    loss[2, 4] = np.nan
    text = page_text.describe(surface_of(loss, status=status), "train/loss")
    assert text == (
        "Training loss: center 2; minimum 0.5 at α = −1, β = 0.5, maximum 7 at α = 1, β = −0.5; "
        "13 of 15 points have a finite value (1 failed, 1 not finite)."
    )


def test_outlines_cover_the_missing_cells_and_nothing_else(surface_of):
    status = np.ones((4, 6))
    status[1, 2:4], status[1, 5], status[3, :], status[0, 0] = 0, 0, 0, 0
    loss = np.where(status == 1, 1.0 + spread((4, 6)), np.nan)
    (file,) = content(page_html([surface_of(loss, status=status)]))["files"]
    (lost,) = file["columns"]["train/loss"]["missing"]
    x, y = (lost[axis].reshape(-1, 6) for axis in "xy")  # five corners and a gap
    assert np.isnan(x[:, 5]).all()
    covered = np.zeros((4, 6), dtype=int)
    for left, right, low, high in zip(x[:, 0], x[:, 1], y[:, 0], y[:, 2], strict=True):
        inside = [(left < a < right) for a in file["alpha"]], [low < b < high for b in file["beta"]]
        covered += np.outer(*inside).astype(int)
    assert covered.tolist() == (status == 0).astype(int).tolist()
    assert lost["points"].tolist() == np.flatnonzero(status == 0).tolist()
    assert lost["name"] == "not computed (10)"


def test_all_files_share_one_scale(surface_of):
    low, high = surface_of(np.full((3, 5), 0.5)), surface_of(spread((3, 5)) + 40)
    (column,) = content(page_html([low, high]))["columns"]
    assert column["low"] == 0.5
    assert column["top"] == high.values["train/loss"].max()


def test_files_of_the_same_network_get_different_names(surface_of):
    surfaces = [surface_of(spread((3, 5))) for _ in range(3)]
    assert len(set(page_text.names(surfaces))) == 3
    surfaces[1].provenance["name"] = "second look"
    assert page_text.names(surfaces[:2]) == ["resnet56 · first look", "resnet56 · second look"]


def test_checkpoint_says_its_place_and_both_losses(bowl):
    surface = bowl()
    values = {"train/loss": np.array([1.25])}
    on_plane = {"train/loss": np.array([0.1])}
    surface.trajectories["sgd"] = Trajectory(
        ["epoch 3"], np.array([0.5]), np.array([-0.25]), np.array([0.5]), values, on_plane, {}
    )
    assert page_text.checkpoint_words(surface, "sgd", 0) == [
        "sgd: epoch 3",
        "α = 0.5",
        "β = -0.25",
        "distance from the plane: 50 % of that from the center",
        "training loss = 1.25",
        "training loss on the plane = 0.1",
    ]


def test_first_eight_of_many_files_are_shown(surface_of):
    page = Elements(page_html([surface_of(spread((3, 5))) for _ in range(10)]))
    sections = [attrs for attrs, _ in page.named("section") if "data-file" in attrs]
    assert ["hidden" in attrs for attrs in sections] == [False] * 8 + [True] * 2
    boxes = [a for a, _ in page.named("input") if a.get("name") == "file"]
    assert ["checked" in attrs for attrs in boxes] == [True] * 8 + [False] * 2
