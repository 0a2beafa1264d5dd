"""What a file says of itself is checked once, at the door."""

import json

import h5py
import numpy as np
import pytest

from losscape_mpi.errors import UserError
from losscape_mpi.store.content import columns_of
from losscape_mpi.store.layout import FORMAT, to_json
from losscape_mpi.store.reader import read_surface, surface_sha256
from losscape_mpi.store.surface import Trajectory
from losscape_mpi.store.text import parse_json
from losscape_mpi.store.trajectory import write_trajectory
from losscape_mpi.store.writer import SurfaceWriter
from losscape_mpi.study.identity import fingerprint

GRID = {"alpha": [-1, 1, 3], "beta": [-0.5, 0.25, 2]}
AXES = {"alpha": np.array([-1.0, 0.0, 1.0]), "beta": np.array([-0.5, 0.25])}


def manifest_of(study=None, **changes):
    """A manifest as a run makes it; keywords replace what is in it, None takes it away."""
    study = {"grid": GRID} | (study or {})
    hashes = {"center": "ab" * 32}
    whole = {
        "format": FORMAT,
        "study": study,
        "hashes": hashes,
        "choices": {"batch_size": 8, "layout": "channels_last"},
        "fingerprint": fingerprint(study, hashes),
    } | changes
    return {key: value for key, value in whole.items() if value is not None}


@pytest.fixture
def refused(create):
    """A function that makes a file of a manifest and returns why all readers refuse it."""

    def make(manifest, axes=AXES, **changes):
        text = manifest if isinstance(manifest, bytes) else json.dumps(manifest).encode()
        path = create(manifest=text, axes=axes, **changes)
        said = set()
        for read in (read_surface, SurfaceWriter):
            with pytest.raises(UserError) as caught:
                read(path)
            said.add(str(caught.value).replace(str(path), "FILE"))
        (one,) = said
        assert "\n" not in one
        path.unlink()
        return one

    return make


def test_a_manifest_of_a_run_is_read(create):
    path = create(manifest=to_json(manifest_of()), axes=AXES)
    assert read_surface(path).manifest == manifest_of()
    SurfaceWriter(path).close()


@pytest.mark.slow
def test_every_changed_byte_of_a_text_is_noticed(create):
    path = create(manifest=to_json(manifest_of()), axes=AXES)
    with h5py.File(path, "r") as file:
        data = {name: file[name].id for name in ("manifest", "provenance", "columns")}
        places = [
            place
            for each in data.values()
            for place in range(each.get_offset(), each.get_offset() + each.get_storage_size(), 7)
        ]
    sound = path.read_bytes()
    for number, place in enumerate(places):
        changed = bytearray(sound)
        changed[place] ^= 1 << number % 8
        path.write_bytes(changed)
        with pytest.raises(UserError, match="is not what it was when the file was made"):
            surface_sha256(path)


def test_an_axis_of_other_numbers_than_the_study_says_is_refused(refused):
    words = "its axis {} is not that of its study's grid"
    moved = AXES | {"alpha": np.array([-1.0, 0.0, 3.0])}
    assert words.format("alpha") in refused(manifest_of(), moved)
    nearly = AXES | {"beta": np.nextafter(AXES["beta"], 1)}
    assert words.format("beta") in refused(manifest_of(), nearly)
    endless = AXES | {"alpha": np.array([-1.0, 0.0, np.inf])}
    assert "finite coordinates" in refused(manifest_of(), endless)
    study = {"grid": GRID | {"alpha": [-1, 1, 2**31]}}
    assert "its study's grid" in refused(manifest_of(study))
    study = {"grid": GRID | {"alpha": [-1, 1, 10**9]}}
    assert "its study's grid" in refused(manifest_of(study))


def test_a_fingerprint_that_is_not_that_of_the_study_is_refused(refused):
    words = "its fingerprint is"
    assert words in refused(manifest_of(fingerprint="0" * 64))
    assert words in refused(manifest_of(hashes={"center": "cd" * 32}))
    other = fingerprint({"grid": GRID | {"beta": None}}, {"center": "ab" * 32})
    assert words in refused(manifest_of(fingerprint=other))
    for key in ("hashes", "choices", "fingerprint"):
        assert "manifest: Value error, expected hashes, choices" in refused(
            manifest_of(**{key: None})
        )


@pytest.mark.parametrize(
    ("place", "values"),
    [
        ("study", (None, [], "x", 1, {})),
        ("study.grid", ([], "x", {}, {"beta": {}}, {"beta": [0, 1]}, {"beta": [0, "1", 2]})),
        ("study.problem", ([], None, {"model": 3}, {"data": []}, {"data": {"name": []}})),
        ("study.plane", ([], None, "x")),
        ("study.evaluation", ([], {"estimator": "anchors"}, {"precision": 3}, {"batchnorm": []})),
        ("splits", ([], {"train": []}, {"train": {"samples": "5"}}, {"train": {"samples": -1}})),
        ("plane", ([], None, {"norms": []}, {"norms": {"alpha": "1"}}, {"axes": {"alpha": []}})),
        ("plane", ({"axes": {"alpha": {"shares": [""]}}}, {"sha256": {"alpha": 1}})),
        ("choices", ([], {}, {"batch_size": 0, "layout": ""}, {"batch_size": "8", "layout": ""})),
        ("choices", ({"batch_size": 8, "layout": "", "precision_error": {"max_relative": "x"}},)),
        ("path", ([], {"axis": "../x", "labels": []}, {"axis": "epoch"})),
        ("source", ([], 1)),
        ("fingerprint", ([], 1)),
    ],
)
def test_a_value_of_another_type_is_refused_where_it_stands(refused, place, values):
    *parents, key = place.split(".")
    for value in values:
        manifest = manifest_of()
        section = manifest
        for parent in parents:
            section = section[parent]
        section[key] = value
        assert f"manifest.{parents[0] if parents else key}" in refused(manifest).replace(
            "manifest: ", "manifest.study"
        )


@pytest.mark.parametrize(
    "text",
    [
        b'{"a":' * 5000 + b"1" + b"}" * 5000,
        b"[" * 1_000_000,
        b'{"format": 2, "study": {"grid": {"beta": null}}, "x": ' + b"[" * 99 + b"]" * 99 + b"}",
        b'{"format": 2, "x": NaN}',
        b'{"format": 2, "x": 1e999}',
        b'{"format": 2, "x": ' + b"9" * 5000 + b"}",
        b"\xff\xfe{}",
        b"",
        b"null",
    ],
)
def test_texts_that_are_no_plain_json_are_one_line(refused, text):
    assert "FILE is damaged or no losscape_mpi surface file (manifest" in refused(text)


def test_a_text_of_gigabytes_is_refused_before_it_is_read(create):
    path = create()
    with h5py.File(path, "r+") as file:
        del file["manifest"], file["checksums"]
        file.create_dataset("manifest", data=np.zeros((), "S17000000"))
    with pytest.raises(UserError, match="has 17000000 bytes, expected at most 16777216"):
        read_surface(path)


@pytest.mark.parametrize(
    "told",
    [{}, [], [1], [{}], ["loss"], ["a/b", "a/b"], ["/loss"], [{"split": "a", "quantity": 1}]]
    + [[{"split": "a", "quantity": "b", key: []}] for key in ("low", "role", "of", "description")],
)
def test_columns_that_are_none_are_refused(told):
    with pytest.raises(ValueError, match="column"):
        columns_of(told)


@pytest.mark.parametrize(
    "told", [[], {"versions": []}, {"name": 3}, {"center": "xy"}, {"versions": {"torch": 2}}]
)
def test_a_provenance_of_other_types_is_refused(create, told):
    path = create(provenance=json.dumps(told).encode())
    with pytest.raises(UserError, match="provenance"):
        read_surface(path)


@pytest.mark.parametrize(
    ("part", "value"),
    [
        ("alpha", np.zeros(3)),
        ("beta", np.zeros((2, 2))),
        ("residual", np.zeros(2, "f4")),
        ("record", np.bytes_(b'{"explained": []}')),
        ("values/train/loss", np.zeros(1)),
        ("values/train", np.zeros(2)),
        ("plane_values", np.zeros(2)),
        ("labels", np.zeros(())),
    ],
)
def test_a_training_path_whose_parts_do_not_fit_is_refused(create, part, value):
    path = create()
    two = np.zeros(2)
    with h5py.File(path, "r+") as file:
        values = {"train/loss": two}
        write_trajectory(file, "sgd", Trajectory(["a", "b"], two, two, two, values, values, {}))
    read_surface(path)
    with h5py.File(path, "r+") as file:
        del file[f"trajectories/sgd/{part}"]
        file[f"trajectories/sgd/{part}"] = value
    with pytest.raises(UserError, match="damaged"):
        read_surface(path)


def test_an_unknown_status_is_pending(create, store):
    path = create()
    with SurfaceWriter(path) as writer:
        store(writer, [0, 1], [[1.0, 0, 0], [2.0, 0, 0]])
    with h5py.File(path, "r+") as file:
        file["status"][0, 0] = 200
    assert read_surface(path).counts() == {
        "total": 6,
        "done": 1,
        "nonfinite": 0,
        "failed": 0,
        "pending": 5,
    }


def test_numbers_of_a_text_keep_their_bits():
    assert parse_json(b"[0.1, -0.0, 5e-324, 12345678901234567890]", "x") == [
        0.1,
        -0.0,
        5e-324,
        12345678901234567890,
    ]
