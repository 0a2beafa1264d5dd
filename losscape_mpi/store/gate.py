"""What an HDF5 file may be made of, looked at before any of its data is read or written.

A file can name other files (external links, external storage, virtual datasets), ask for code
(filters) or declare more than it holds. Nothing of that is followed while looking: h5py's low-level
interface shows what a link or a dataset is without opening what it points to.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import h5py

MAX_LINKS = 50_000  # a network of 10,000 tensors has 20,000
MAX_DEPTH = 16
MAX_UNSTORED_BYTES = 256 << 20  # of all that a file declares beyond what it stores
SUPERBLOCK_BYTES = 96
VARIABLE_BYTES = 16  # length 4, address 8, number 4; format 1 has such a /provenance
PLAIN = (h5py.h5t.INTEGER, h5py.h5t.FLOAT, h5py.h5t.STRING, h5py.h5t.ENUM)
# Of other tools' files: they run code of the HDF5 library alone.
BUILT_IN_FILTERS = frozenset(
    {
        h5py.h5z.FILTER_DEFLATE,
        h5py.h5z.FILTER_SHUFFLE,
        h5py.h5z.FILTER_FLETCHER32,
        h5py.h5z.FILTER_SCALEOFFSET,
    }
)
LAYOUTS = {
    h5py.h5d.CHUNKED: "is stored in pieces",
    h5py.h5d.VIRTUAL: "is a view of other datasets (virtual)",
}


@dataclass
class _Findings:
    """What has been seen on the way through a file."""

    is_ours: bool
    size: int
    groups: set[int] = field(default_factory=set)
    objects: set[int] = field(default_factory=set)
    extents: dict[int, tuple[int, int, str]] = field(default_factory=dict)
    links: int = 0
    unstored: int = 0


def check_structure(file: h5py.File, size: int, *, is_ours: bool) -> None:
    """Check what an open file is made of.

    Args:
        file: The file; only its structure is read, but for datasets in pieces, which are read
            whole to try them.
        size: Its length in bytes.
        is_ours: Whether it must be as our writer makes it; another tool's may have datasets in
            pieces, with HDF5's own filters.

    Raises:
        ValueError: If it holds anything else than groups and plain datasets that lie in it.
    """
    found = _Findings(is_ours, size)
    root = h5py.h5o.get_info(file.id)
    waiting = [(h5py.h5g.open(file.id, b"/"), "", root.addr)]
    while waiting:
        group, name, address = waiting.pop()
        if address in found.groups or name.count("/") > MAX_DEPTH:
            raise ValueError(f"{name or '/'} is a group within itself")
        found.groups.add(address)
        waiting += _inner_groups(group, name, found)
    if is_ours:
        _check_apart(found)


def _inner_groups(
    group: h5py.h5g.GroupID, name: str, found: _Findings
) -> Iterator[tuple[h5py.h5g.GroupID, str, int]]:
    """Check what a group holds; yields the groups among it."""
    for key in group:
        inner = f"{name}/{key.decode()}"  # or it is refused: readers take names for texts
        found.links += 1
        if found.links > MAX_LINKS:
            raise ValueError(f"it has more than {MAX_LINKS} names")
        if group.links.get_info(key).type != h5py.h5l.TYPE_HARD:
            raise ValueError(f"{inner} is a link to another place or file")
        about = h5py.h5o.get_info(group, key)
        if about.type == h5py.h5o.TYPE_GROUP:
            yield h5py.h5g.open(group, key), inner, about.addr
        elif about.type != h5py.h5o.TYPE_DATASET:
            raise ValueError(f"{inner} is neither a group nor a dataset")
        elif about.addr not in found.objects:
            found.objects.add(about.addr)
            _check_dataset(h5py.h5d.open(group, key), inner, about.addr, found)


def _check_dataset(data: h5py.h5d.DatasetID, name: str, address: int, found: _Findings) -> None:
    _check_storage(data.get_create_plist(), name, found.is_ours)
    _check_type(data.get_type(), name)
    declared = data.get_space().get_simple_extent_npoints() * _item_bytes(data.get_type())
    stored, offset = data.get_storage_size(), data.get_offset()
    if offset is not None:
        if not SUPERBLOCK_BYTES <= offset <= offset + stored <= found.size:
            raise ValueError(f"{name} lies outside of the file")
        if stored:
            found.extents[address] = offset, offset + stored, name
    if stored == declared:
        return
    found.unstored += max(0, declared - min(stored, found.size))
    if found.is_ours or found.unstored > MAX_UNSTORED_BYTES:
        raise ValueError(f"{name} declares {declared} bytes and stores {stored}")
    h5py.Dataset(data)[()]


def _check_storage(plist: h5py.h5p.PropDCID, name: str, is_ours: bool) -> None:
    """Refuse what lies in other files or needs code."""
    layout = plist.get_layout()
    if layout == h5py.h5d.VIRTUAL or (is_ours and layout == h5py.h5d.CHUNKED):
        raise ValueError(f"{name} {LAYOUTS[layout]}, not contiguous")
    if plist.get_external_count():
        raise ValueError(f"{name} lies in another file (external storage)")
    filters = {plist.get_filter(k)[0] for k in range(plist.get_nfilters())}
    if unknown := filters - (set() if is_ours else BUILT_IN_FILTERS):
        raise ValueError(f"{name} needs the filter {min(unknown)}")


def _check_type(kind: h5py.h5t.TypeID, name: str) -> None:
    members = [kind]
    if isinstance(kind, h5py.h5t.TypeCompoundID):
        members = [kind.get_member_type(k) for k in range(kind.get_nmembers())]
    if any(member.get_class() not in PLAIN for member in members):
        raise ValueError(f"{name} holds neither numbers nor texts")


def _item_bytes(kind: h5py.h5t.TypeID) -> int:
    """Return how many bytes of a file one item takes; of a text of variable length, its address."""
    is_variable = isinstance(kind, h5py.h5t.TypeStringID) and kind.is_variable_str()
    return VARIABLE_BYTES if is_variable else int(kind.get_size())


def _check_apart(found: _Findings) -> None:
    """Refuse datasets that share bytes with one another, or with the head of an object."""
    heads = [(address, address + 1, "") for address in found.groups | found.objects]
    last = 0, ""
    for start, end, name in sorted([*found.extents.values(), *heads]):
        if start < last[0]:
            raise ValueError(f"{name or 'an object'} lies in the bytes of {last[1] or name}")
        last = max(last, (end, name))
