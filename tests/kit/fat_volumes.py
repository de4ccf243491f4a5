"""FAT volumes: trees that are hard for it, what mtools and fsck.fat say of one, and one thing broken at a time.

Every case of damage says which rule of `check` finds it, and whether fsck.fat is to find it too.
"""

from __future__ import annotations

import dataclasses
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path

from imgcore.blob import BytesBlob, read_all
from imgcore.formats import fat
from imgcore.formats.fat.edit import FatEditor
from imgcore.formats.fat.entries import Entry, entries_of
from imgcore.formats.fat.layout import ENTRY, BootSector, DirEntry, Extension32
from imgcore.formats.fat.reader import FatImage
from imgcore.formats.fat.table import encode_entries
from imgcore.limits import Limits
from imgcore.model import Dir, File, Meta, Node, Tree
from tests.kit.archives import written
from tests.kit.oracles import run, tool

SECOND = 10**9
TIME = 1_700_000_000 * SECOND


def file(content: bytes = b"", time: int = TIME, mode: int = 0o755) -> File:
    return File(Meta(mode, 0, 0, time), BytesBlob(content))


def folder(children: Mapping[bytes, Node], time: int = TIME) -> Dir:
    return Dir(Meta(0o755, 0, 0, time), children)


def hard_tree() -> Tree:
    """Return a tree with every kind of name, sizes around clusters, the first and the last time, many names in a directory."""
    many: dict[bytes, Node] = {b"entry with a long name %03d.conf" % number: file(b"%d" % number) for number in range(150)}
    names: dict[bytes, Node] = {
        name: file(name)
        for name in (
            b"UPPER.TXT",
            b"lower.txt",
            b"stem.EXT",
            b"OTHER.ext",
            b"Mixed.Cas",
            b"noext",
            b"12345678.123",
            b"123456789.123",
            b"12345678.1234",
            b"two.dots.conf",
            b".hidden",
            b"a b",
            b"plus+comma,semi;eq=[brackets]",
            b"LONGNA~1.TXT",
            b"longname one.txt",
            b"longname two.txt",
            b"x" * 255,
            "Straße".encode(),
            b"STRASSE",
            "日本語のファイル.txt".encode(),
            b"thirteen-char",
            b"twenty-six-characters-long",
            b"~",
            b"a~1",
            "é".encode(),
            "\u00e5".encode(),
        )
    }
    sizes: dict[bytes, Node] = {
        b"size%d" % size: file(bytes(number & 0xFF for number in range(size)))
        for size in (0, 1, 511, 512, 513, 2047, 2048, 4096, 4097, 70000)
    }
    times: dict[bytes, Node] = {b"first": file(time=315532800 * SECOND), b"last": file(time=4354819198 * SECOND)}
    deep: dict[bytes, Node] = {}
    for number in range(12):
        deep = {b"level %d" % number: folder(deep), b"here": file(b"%d" % number)}
    boot = {b"BOOT": folder({b"BOOTX64.EFI": file(b"MZ" + bytes(range(256)) * 300)})}
    return Tree(
        folder(
            {
                b"EFI": folder(boot),
                b"many": folder(many),
                b"names": folder(names),
                b"sizes": folder(sizes),
                b"times": folder(times),
                b"deep": folder(deep),
                b"empty": folder({}),
                b"read-only": file(b"x", mode=0o555),
            }
        )
    )


def contents(tree: Tree) -> dict[str, bytes | None]:
    """Return what is at each path: bytes of a file, None of a directory."""
    return {
        path.decode(): read_all(node.content) if isinstance(node, File) else None for path, node in tree.walk() if path != b"/"
    }


def fsck(image: Path) -> str:
    """Return what fsck.fat says of a volume that it finds something in, "" else."""
    done = run(tool("fsck.fat"), "-n", image, ok=False)
    assert done.returncode in (0, 1), done.stderr
    return done.stdout + done.stderr if done.returncode else ""


def mtools(program: str, image: Path, *words: str | Path) -> str:
    """Run a program of mtools on a volume, with times in UTC; return what it printed."""
    command = [tool(program), "-i", str(image), *(str(word) for word in words)]
    done = subprocess.run(
        command,
        capture_output=True,
        text=True,
        env={"TZ": "UTC", "LC_ALL": "C.UTF-8", "PATH": "/usr/bin:/bin"},
        stdin=subprocess.DEVNULL,
        check=False,
    )
    assert done.returncode == 0, f"{command}: {done.stderr}"
    return done.stdout


def mcopied(image: Path, into: Path) -> dict[str, bytes | None]:
    """Return what mtools reads of a volume, as `contents` does; times of the files are kept in `into`."""
    into.mkdir()
    mtools("mcopy", image, "-s", "-p", "-m", "-n", "::", into)
    return {
        "/" + str(path.relative_to(into)): path.read_bytes() if path.is_file() else None for path in sorted(into.rglob("*"))
    }


def applied(data: bytes, editor: FatEditor) -> bytes:
    """Return a volume with the patches of an editor."""
    out = bytearray(data)
    for patch in editor.patches():
        out[patch.at : patch.at + patch.content.size] = read_all(patch.content)
    return bytes(out)


# Damage


def small_volume(kind: int) -> bytes:
    """Return a volume with a file of several clusters, one beside it, a directory, and long names."""
    tree = Tree(
        folder(
            {
                b"A long name.txt": file(b"x" * 5000),
                b"OTHER.TXT": file(b"y" * 3000),
                b"dir": folder({b"below": file(b"z" * 10), b"sub": folder({})}),
            }
        )
    )
    size = {12: 1 << 20, 16: 8 << 20, 32: 40 << 20}[kind]
    return written(fat.FORMAT, tree, fat.Options(type=kind, size=size, label="LABEL"))


class Broken:
    """A volume that is being broken."""

    def __init__(self, data: bytes) -> None:
        self.data = bytearray(data)
        self.image = FatImage(BytesBlob(data), Limits.default())
        self.geometry = self.image.geometry
        self.table = self.image.table()[:]

    def entry(self, *names: bytes) -> tuple[Entry, int]:
        """Return an entry, and where its short form is in the volume."""
        cluster, place = 0, 0
        found: Entry | None = None
        for name in names:
            base = self.geometry.at(cluster) if cluster else self.geometry.root_at
            if not cluster and self.geometry.kind == 32:
                base = self.geometry.at(2)
            found = next(one for one in entries_of(self.image.listing(cluster)) if one.name == name and not one.is_label)
            cluster, place = found.cluster, base + found.end - ENTRY
        assert found is not None
        return found, place

    def set_entry(self, names: tuple[bytes, ...], **fields: int | bytes) -> None:
        _, at = self.entry(*names)
        self.data[at : at + ENTRY] = _with(DirEntry.unpack_unchecked(self.data, at), fields)

    def set_boot(self, **fields: int) -> None:
        self.data[: BootSector.SIZE] = _with(BootSector.unpack_unchecked(self.data), fields)

    def set_extension(self, **fields: int) -> None:
        kind = type(self.image.extension)
        self.data[36 : 36 + kind.SIZE] = _with(kind.unpack_unchecked(self.data, 36), fields)

    def set_table(self, cluster: int, value: int, *, copies: int = 2) -> None:
        self.table[cluster] = value
        data = encode_entries(self.geometry, self.table)
        for copy in range(copies):
            at = self.geometry.fat_at + copy * len(data)
            self.data[at : at + len(data)] = data

    def first(self, *names: bytes) -> int:
        return self.entry(*names)[0].cluster


def _with(record: object, fields: Mapping[str, int | bytes]) -> bytes:
    for name, value in fields.items():
        setattr(record, name, value)
    values = [getattr(record, place.name) for place in record.LAYOUT]  # type: ignore[attr-defined]
    packed: bytes = record._struct.pack(*values)  # type: ignore[attr-defined]
    return packed


@dataclasses.dataclass(frozen=True)
class Damage:
    """One thing broken: the rule of the finding, in which kinds of volume, whether the exit code of fsck.fat tells."""

    name: str
    rule: str
    severity: str
    do: Callable[[Broken], None]
    kinds: tuple[int, ...] = (12, 16, 32)
    fsck: bool = True


LONG, OTHER, DIR = b"A long name.txt", b"OTHER.TXT", b"dir"


def _cross(broken: Broken) -> None:
    broken.set_entry((OTHER,), cluster_low=broken.first(LONG) + 1, size=100)


def _orphan(broken: Broken) -> None:
    entry, at = broken.entry(LONG)
    broken.data[at] = 0xE5
    for cluster in range(entry.cluster, entry.cluster + -(-5000 // broken.geometry.cluster)):
        broken.set_table(cluster, 0)
    if broken.geometry.kind == 32:
        broken.data[512 + 488 : 512 + 492] = broken.table[2:].count(0).to_bytes(4, "little")


def _loop(broken: Broken) -> None:
    cluster = broken.first(DIR)
    broken.set_table(cluster, cluster)


def _label(broken: Broken) -> None:
    at = 36 + next(place.offset for place in type(broken.image.extension).LAYOUT if place.name == "label")
    broken.data[at : at + 11] = b"ANOTHER    "
    if isinstance(broken.image.extension, Extension32):
        broken.data[6 * 512 : 7 * 512] = broken.data[:512]


DAMAGE = [
    Damage("table-copy", "copies", "warning", lambda b: b.set_table(9, 0, copies=1)),
    Damage("media", "media", "warning", lambda b: b.set_table(0, b.table[0] ^ 1), fsck=False),
    Damage("dirty-boot", "dirty", "warning", lambda b: b.set_extension(state=1)),
    Damage("dirty-table-16", "dirty", "warning", lambda b: b.set_table(1, 0x7FFF), (16,)),
    Damage("dirty-table-32", "dirty", "warning", lambda b: b.set_table(1, 0x07FFFFFF), (32,)),
    Damage("lost", "lost", "warning", lambda b: b.set_table(len(b.table) - 3, 0xFFFFFFF & (1 << b.geometry.kind) - 1)),
    Damage("chain-short", "chain", "error", lambda b: b.set_entry((LONG,), size=500000)),
    Damage("chain-long", "chain", "warning", lambda b: b.set_entry((LONG,), size=10)),
    Damage("chain-free", "chain", "error", lambda b: b.set_table(b.first(LONG), 0)),
    Damage("chain-outside", "chain", "error", lambda b: b.set_entry((LONG,), cluster_low=len(b.table)), (12, 16)),
    Damage("chain-far", "chain", "error", lambda b: b.set_entry((LONG,), cluster_high=9), (32,)),
    Damage("chain-round", "chain", "error", lambda b: b.set_table(b.first(LONG) + 1, b.first(LONG))),
    Damage("dir-round", "chain", "error", _loop),
    Damage("dir-no-cluster", "chain", "error", lambda b: b.set_entry((DIR, b"sub"), cluster_low=0)),
    Damage("cross", "cross", "error", _cross),
    Damage("dir-loop", "loop", "error", lambda b: b.set_entry((DIR, b"sub"), cluster_low=b.first(DIR))),
    Damage("dir-size", "size", "warning", lambda b: b.set_entry((DIR,), size=512)),
    Damage("dot", "dots", "warning", lambda b: b.data.__setitem__(b.geometry.at(b.first(DIR)) + 26, 0x77)),
    Damage("dot-dot", "dots", "warning", lambda b: b.data.__setitem__(b.geometry.at(b.first(DIR)) + 58, 0x77)),
    Damage("orphan", "orphan", "warning", _orphan),
    Damage("checksum", "orphan", "warning", lambda b: b.data.__setitem__(b.entry(LONG)[1] - 19, 0xAA), fsck=False),
    Damage("short-name", "name", "warning", lambda b: b.set_entry((OTHER,), name=b'OTH"R   TXT')),
    Damage("short-twice", "twice", "warning", lambda b: b.set_entry((OTHER,), name=b"ALONGN~1TXT")),
    Damage("label", "label", "warning", _label),
    Damage("info-free", "info", "warning", lambda b: b.data.__setitem__(512 + 488, 1), (32,)),
    Damage("info-lost", "info", "warning", lambda b: b.data.__setitem__(512, 1), (32,)),
    Damage("backup", "backup", "warning", lambda b: b.data.__setitem__(6 * 512 + 0x18, 1), (32,), fsck=False),
    Damage("mirror", "mirror", "error", lambda b: b.set_extension(flags=0x81), (32,), fsck=False),
]


CASES = [(damage, kind) for damage in DAMAGE for kind in damage.kinds]


def broken_volume(damage: Damage, kind: int) -> bytes:
    """Return a volume with one thing broken."""
    made = Broken(small_volume(kind))
    damage.do(made)
    return bytes(made.data)
