"""Seeded changes of a surface file: damage as disks make it, and traps as people set them."""

import json
import random
from pathlib import Path

import h5py
import numpy as np

from losscape_mpi.store.text import CHECKSUMS, TEXTS, checksums

# What is put in a value's place: every type that JSON knows, and numbers that overflow.
VALUES = (None, True, -1, 0, 10**30, 0.5, -1e300, "", "x", "\x1b[2J\u202e", [], [[]], {}, {"a": 1})
DTYPES = ("f8", "f4", "i8", "u1", ">f8", "S7", "c16", [("a", "f4"), ("b", "u2")])


def flip(data: bytearray, rng: random.Random, start: int = 0, end: int | None = None) -> None:
    place = rng.randrange(start, end or len(data))
    data[place] ^= 1 << rng.randrange(8)


def one_bit(path: Path, rng: random.Random) -> None:
    data = bytearray(path.read_bytes())
    flip(data, rng)
    path.write_bytes(data)


def bit_of_the_manifest(path: Path, rng: random.Random) -> None:
    with h5py.File(path, "r") as file:
        start, size = file["manifest"].id.get_offset(), file["manifest"].id.get_storage_size()
    data = bytearray(path.read_bytes())
    flip(data, rng, start, start + size)
    path.write_bytes(data)


def bit_of_the_structure(path: Path, rng: random.Random) -> None:
    """A bit outside of all data: of headers, trees and heaps."""
    taken = [False] * path.stat().st_size
    with h5py.File(path, "r") as file:

        def take(_name, data):
            if isinstance(data, h5py.Dataset) and data.id.get_offset():
                start, size = data.id.get_offset(), data.id.get_storage_size()
                taken[start : start + size] = [True] * size

        file.visititems(take)
    data = bytearray(path.read_bytes())
    free = [place for place, is_data in enumerate(taken) if not is_data and data[place]]
    place = rng.choice(free)
    data[place] ^= 1 << rng.randrange(8)
    path.write_bytes(data)


def many_bits(path: Path, rng: random.Random) -> None:
    data = bytearray(path.read_bytes())
    for _ in range(rng.choice((3, 30, 300))):
        flip(data, rng)
    path.write_bytes(data)


def cut(path: Path, rng: random.Random) -> None:
    data = path.read_bytes()
    path.write_bytes(data[: rng.randrange(len(data))])


def overwritten(path: Path, rng: random.Random) -> None:
    data = bytearray(path.read_bytes())
    start, size = rng.randrange(len(data)), rng.choice((8, 64, 512, 4096))
    size = min(size, len(data) - start)
    data[start : start + size] = rng.choice((bytes(size), b"\xff" * size, rng.randbytes(size)))
    path.write_bytes(data)


def every_name(file: h5py.File, kind: type) -> list[str]:
    names: list[str] = []
    file.visititems(lambda name, data: names.append(name) if isinstance(data, kind) else None)
    return sorted(names)


def swapped_type(path: Path, rng: random.Random) -> None:
    with h5py.File(path, "r+") as file:
        name = rng.choice(every_name(file, h5py.Dataset))
        shape = file[name].shape
        shape = rng.choice((shape, shape, (*shape, 2), shape[::-1], (), (0,), (3,)))
        del file[name]
        file.create_dataset(name, data=np.zeros(shape, dtype=rng.choice(DTYPES)))


def swapped_attribute(path: Path, rng: random.Random) -> None:
    with h5py.File(path, "r+") as file:
        names = [n for n in every_name(file, h5py.Dataset) if len(file[n].attrs)]
        name = rng.choice(names or every_name(file, h5py.Dataset))
        key = rng.choice([*file[name].attrs, "own"])
        value = rng.choice((1, "text", np.zeros(7), h5py.Empty("f4"), file.ref))
        file[name].attrs[key] = value


def lost(path: Path, rng: random.Random) -> None:
    with h5py.File(path, "r+") as file:
        del file[rng.choice(every_name(file, h5py.Dataset) + every_name(file, h5py.Group))]


def changed_record(path: Path, rng: random.Random) -> None:
    """Another value somewhere in a JSON text; the checksums stay as they were."""
    _change_text(path, rng, is_forged=False)


def forged_record(path: Path, rng: random.Random) -> None:
    """The same by somebody who knows of the checksums."""
    _change_text(path, rng, is_forged=True)


def _change_text(path: Path, rng: random.Random, *, is_forged: bool) -> None:
    with h5py.File(path, "r+") as file:
        names = [*TEXTS, *(f"trajectories/{n}/record" for n in file.get("trajectories", {}))]
        name = rng.choice(names)
        told = json.loads(file[name][()])
        if isinstance(told, list):
            told = {"all": told}
        place = told
        while True:
            key = rng.choice(sorted(place))
            if not isinstance(place[key], dict) or not place[key] or rng.random() < 0.2:
                break
            place = place[key]
        if rng.random() < 0.3:
            del place[key]
        else:
            place[key] = rng.choice(VALUES)
        text = json.dumps(told.get("all", told)).encode()
        if rng.random() < 0.1:
            text = rng.choice(
                (b"[" * 100_000, b'{"a":' * 5000, b"1e999", b"NaN", b"\xff\xfe", text[:-1])
            )
        del file[name]
        file[name] = np.bytes_(text)
        if is_forged and CHECKSUMS in file:
            places = json.loads(file[CHECKSUMS][()])["places"]
            del file[CHECKSUMS]
            texts = {each: file[each][()] for each in TEXTS}
            file[CHECKSUMS] = np.bytes_(checksums(texts, places))


def trap(path: Path, rng: random.Random) -> None:
    """A file that points to another one, to itself, or declares what it does not hold."""
    victim, raw = path.with_name("victim.h5"), path.with_name("victim.raw")
    with h5py.File(path, "r+") as file:
        name = rng.choice(every_name(file, h5py.Dataset))
        shape, dtype = file[name].shape, file[name].dtype
        group = name.rpartition("/")[0] or "train"
        del file[name]
        kind = rng.randrange(11)
        if kind == 0:
            file[name] = h5py.ExternalLink(str(victim), "/data")
        elif kind == 1:
            file[name] = h5py.SoftLink(f"/{name}")
        elif kind == 2:
            file[name] = file[group]
        elif kind == 3:
            layout = h5py.VirtualLayout(shape or (1,), dtype)
            layout[...] = h5py.VirtualSource(
                rng.choice((".", str(victim))), rng.choice((name, "data")), shape or (1,)
            )
            file.create_virtual_dataset(name, layout)
        elif kind == 4:
            size = h5py.h5f.UNLIMITED
            file.create_dataset(name, shape or (1,), dtype, external=[(str(raw), 0, size)])
        elif kind == 5:
            file.create_dataset(name, (200_000, 200_000), "f8")
        elif kind == 6:
            file.create_dataset(
                name, (1 << 16, 1 << 12), "u1", chunks=(1 << 12, 1 << 12), compression="gzip"
            )[: 1 << 12] = 0
        elif kind == 7:
            file.create_dataset(name, (10**9,), "f8")
        elif kind == 8:
            file[name] = np.dtype("f8")
        elif kind == 9:
            file.create_dataset(name, data="x" * 1000, dtype=h5py.string_dtype())
        else:
            file[name] = h5py.Empty(dtype)


# How often each is drawn, and whether a manifest that differs afterwards must have been noticed.
MUTATIONS = (
    (one_bit, 4, True),
    (bit_of_the_manifest, 3, True),
    (bit_of_the_structure, 4, True),
    (many_bits, 2, True),
    (cut, 1, True),
    (overwritten, 3, True),
    (swapped_type, 3, False),
    (swapped_attribute, 1, True),
    (lost, 1, False),
    (changed_record, 3, True),
    (forged_record, 3, False),
    (trap, 4, True),
)


def mutate(path: Path, seed: int) -> tuple[str, bool]:
    """Change a file; returns how, and whether a changed manifest must be noticed."""
    rng = random.Random(seed)
    (change, _, is_noticed), *_ = rng.choices(MUTATIONS, [weight for _, weight, _ in MUTATIONS])
    change(path, rng)
    return change.__name__, is_noticed
