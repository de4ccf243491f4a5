"""The table of edge and hostile images: what is special, whether Linux mounts it, whether it then reads everything right.

`rules` are the findings of severity error that `check` has to report; an image that Linux mounts and reads right has
none. The oracle tests ask the kernel whether this table is true.
"""

from __future__ import annotations

import lzma
import random
import struct
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import zstandard

from imgcore.formats.squashfs.layout import BLOCK_RAW, METADATA_SIZE, NO_TABLE, DirEntry, DirHeader, DirIndex, XattrId
from tests.kit.squashfs_images import Builder, Named, xattr_reference, xattr_value

BLOCK = 131072
TEXT = b"".join(b"line %d of a text that shrinks well\n" % number for number in range(4000))[:BLOCK]
CAPABILITY = bytes.fromhex("0100000200200000000000000000000000000000")


@dataclass(frozen=True)
class Case:
    """One image. `mounts`: Linux mounts it; `right`: and then reads everything as imgcore does, or as the table says."""

    name: str
    image: bytes
    rules: frozenset[str] = frozenset()
    mounts: bool = True

    @property
    def right(self) -> bool:
        return self.mounts and not self.rules


def _plain(**options: int) -> tuple[Builder, list[Named]]:
    made = Builder(**options)  # type: ignore[arg-type]
    return made, [made.file(b"a", 1, b"hello a\n"), made.file(b"b", 2, b"hello b\n" * 100), made.symlink(b"l", 3, b"a")]


def _root(made: Builder, entries: list[Named], number: int = 4, **options: object) -> Named:
    return made.directory(b"", number, entries, parent=number + 1, **options)  # type: ignore[arg-type]


def structure() -> Iterator[Case]:
    made, entries = _plain()
    yield Case("plain", made.build(_root(made, entries)))
    made, entries = _plain()
    yield Case("fragment-table-none", made.build(_root(made, entries), fragment_table_start=NO_TABLE))
    made, entries = _plain()
    yield Case("root-parent-zero", made.build(made.directory(b"", 4, entries, parent=0)))
    made, entries = _plain()
    yield Case("gap-after-ids", made.build(_root(made, entries), gap_after_ids=bytes(8)), frozenset(("table",)), mounts=False)
    made, entries = _plain()
    yield Case("gap-after-listings", made.build(_root(made, entries), gap_after_listings=bytes(8)))
    made, entries = _plain()
    yield Case("unsorted", made.build(_root(made, entries[::-1], sort=False)), frozenset(("unsorted",)))
    made = Builder()
    twins = [made.file(b"a", 1, b"AAAA\n"), made.file(b"b", 1, b"BBBB\n")]
    yield Case("inode-numbers-equal", made.build(_root(made, twins, 3), export=False), frozenset(("inode-twice",)))
    made, entries = _plain()
    entries[0].kind = 9
    yield Case("entry-of-extended-type", made.build(_root(made, entries)), frozenset(("entry-type",)))
    for length in (4095, 4096, 4097):
        made = Builder()
        link = made.symlink(b"l", 1, b"x" * length)
        rules = frozenset(("symlink",)) if length > 4095 else frozenset[str]()
        yield Case(f"symlink-{length}", made.build(_root(made, [link], 2)), rules)
    made = Builder()
    yield Case("name-255", made.build(_root(made, [made.file(b"n" * 255, 1, b"x")], 2)))
    made = Builder()
    number = made.fragment(random.Random(1).randbytes(4096))
    full = made.file(b"a", 1, size=4096, fragment=number, words=[])
    yield Case("fragment-of-full-block", made.build(_root(made, [full], 2)), frozenset(("fragment-full",)))
    for pad, fatal in ((1, True), (512, True), (1024, False), (4096, False)):
        made, entries = _plain()
        image = made.build(_root(made, entries), pad=pad)
        if pad == 512 and len(image) % 1024 == 0:
            image = made.build(_root(made, entries), pad=pad) + bytes(512)
        if fatal and len(image) % 1024 == 0:
            continue
        yield Case(f"pad-{pad}", image, frozenset(("padding",)) if fatal else frozenset(), mounts=not fatal)
    made, entries = _plain(flags=0x80)
    yield Case("export-flag-without-table", made.build(_root(made, entries), export=False))
    for compression in (2, 7):
        made, entries = _plain(compression=compression)
        rules = frozenset(("lzma",)) if compression == 2 else frozenset(("superblock",))
        yield Case(f"compression-{compression}", made.build(_root(made, entries)), rules, mounts=False)


def numbers() -> Iterator[Case]:
    made = Builder()
    yield Case(
        "inode-number-zero",
        made.build(_root(made, [made.file(b"a", 0, b"x\n")], 2), export=False),
        frozenset(("inode-number", "entry-number")),
    )
    made = Builder()
    yield Case("inode-number-above-count", made.build(_root(made, [made.file(b"a", 1000, b"x\n")], 2), export=False))
    for name, count in (("ids-none", 0), ("ids-65536", 65536), ("ids-65535", 65535)):
        made, entries = _plain()
        made.ids = list(range(max(count, 1)))
        fields = {"no_ids": 0} if count != 65535 else {}
        fatal = count != 65535
        yield Case(
            name,
            made.build(_root(made, entries), **fields),
            frozenset(("superblock", "table")) if fatal else frozenset(),
            mounts=not fatal,
        )
    made, entries = _plain()
    made.ids = [0, 0xFFFFFFFF]
    entries.append(made.named(b"nobody", made.inode(6, 5, struct.pack("<I", 1), uid=1)))
    yield Case("owner-that-is-none", made.build(_root(made, entries)), frozenset(("id-table",)))
    made = Builder()
    sizes = [made.directory(b"three", 1), made.directory(b"zero", 2, extra=0)]
    yield Case("empty-directories", made.build(_root(made, sizes, 3)))
    made = Builder()
    linked = made.file(b"a", 1, b"AA\n")
    yield Case("hard-link-of-basic-inode", made.build(_root(made, [linked, made.named(b"b", linked)], 2)))
    made = Builder()
    target = made.file(b"f", 1, b"AA\n")
    names = [Named(b"f%03d" % number, target.position, 1, 2) for number in range(300)]
    raw = struct.pack("<III", 299, 0, 1) + b"".join(struct.pack("<HhHH", 0, 0, 2, 3) + entry.name for entry in names)
    yield Case("300-entries-in-one-header", made.build(_root(made, names, 2, raw=raw)), frozenset(("listing",)))
    made = Builder()
    made.file(b"a", 1, b"AA\n")
    made.inodes.extend(bytes(METADATA_SIZE - len(made.inodes)))
    made.file(b"b", 2, b"BB\n")
    raw = b"".join(
        DirHeader(0, 0, number).pack() + DirEntry(offset, 0, 2, 0).pack() + name
        for number, offset, name in ((1, 0, b"a"), (2, 8192, b"b"))
    )
    yield Case("reference-to-block-end", made.build(_root(made, [], 3, raw=raw)), frozenset(("inode",)))
    made = Builder(payload=1000)
    many = [made.file(b"f%03d" % number, number + 1, b"x%03d\n" % number) for number in range(100)]
    yield Case("short-metadata-blocks", made.build(_root(made, many, 101), export=False))


def contents() -> Iterator[Case]:
    raw = 4096 | BLOCK_RAW
    made = Builder()
    start = made.put(b"D" * 4096)
    holes = [made.file(b"a", 1, start=start, size=3 * 4096, words=[0, raw, 0])]
    holes += [made.large_file(b"b", 2, words=[0] * 5, size=5 * 4096, sparse=5 * 4096 - 1)]
    holes += [made.file(b"c", 3, start=0, size=100, words=[0])]
    yield Case("holes", made.build(_root(made, holes)))
    made = Builder()
    number = made.fragment(b"F" * 100)
    yield Case(
        "tail-beyond-fragment",
        made.build(_root(made, [made.file(b"a", 1, size=100, fragment=number, offset=50, words=[])], 2)),
        frozenset(("fragment-end",)),
    )
    made = Builder()
    made.fragment(b"F" * 100)
    yield Case(
        "fragment-not-there",
        made.build(_root(made, [made.file(b"a", 1, size=100, fragment=7, words=[])], 2)),
        frozenset(("fragment",)),
    )
    made = Builder()
    start = made.put(b"D" * 8192)
    yield Case(
        "block-longer-than-a-block",
        made.build(_root(made, [made.file(b"a", 1, start=start, size=4096, words=[8192 | BLOCK_RAW])], 2)),
        frozenset(("block",)),
    )
    made = Builder()
    start = made.put(b"D" * 4096)
    yield Case(
        "size-word-bit-25",
        made.build(_root(made, [made.file(b"a", 1, start=start, size=4096, words=[raw | 1 << 25])], 2)),
        frozenset(("block",)),
    )
    made = Builder()
    yield Case(
        "4-GiB-file-of-4-words",
        made.build(_root(made, [made.file(b"a", 1, size=0xFFFFFFFF, words=[0] * 4, start=0)], 2), export=False),
        frozenset(("size-words",)),
    )
    made = Builder()
    yield Case(
        "negative-size", made.build(_root(made, [made.large_file(b"a", 1, words=[], size=1 << 63)], 2)), frozenset(("inode",))
    )
    made = Builder()
    yield Case(
        "block-beyond-image",
        made.build(_root(made, [made.file(b"a", 1, start=1 << 24, size=4096, words=[raw])], 2)),
        frozenset(("block",)),
    )
    made = Builder()
    start = made.put(b"".join(letter * 4096 for letter in (b"1", b"2", b"3", b"4")))
    run = [
        made.file(b"a", 1, start=start, size=3 * 4096, words=[raw] * 3),
        made.file(b"b", 2, start=start + 4096, size=3 * 4096, words=[raw] * 3),
    ]
    run += [made.file(b"c", 3, start=start + 8192, size=4096, words=[raw])]
    number = made.fragment(b"abcdefghij")
    run += [
        made.file(name, at, size=6, fragment=number, offset=offset, words=[])
        for name, at, offset in ((b"d", 4, 0), (b"e", 5, 4))
    ]
    yield Case("overlapping-runs-and-tails", made.build(_root(made, run, 6)))
    made = Builder()
    every = [made.device(b"c", 1), made.device(b"b", 2, 4, 0x801), made.pipe(b"f", 3), made.pipe(b"s", 4, 7)]
    yield Case("devices", made.build(_root(made, every, 5)))


def names() -> Iterator[Case]:
    for bad in (b"../evil", b"..", b"a/b", b"."):
        made = Builder()
        yield Case(
            f"name-{bad.decode()}".replace("/", "%"),
            made.build(_root(made, [made.file(bad, 1, b"x\n")], 2)),
            frozenset(("name",)),
        )
    made = Builder()
    raw = DirHeader(0, 0, 1).pack() + DirEntry(0, 0, 1, 3).pack() + b"loop"
    yield Case("directory-loop", made.build(made.directory(b"", 1, raw=raw, nlink=3, parent=2)), frozenset(("directory-loop",)))
    made = Builder()
    link = made.symlink(b"x", 1, b"../escape")
    inner = made.directory(b"x", 3, [made.file(b"pwn", 2, b"pwn\n")], parent=4)
    yield Case("name-twice-link-and-directory", made.build(_root(made, [link, inner])), frozenset(("name-twice",)))
    letters = ["\U0001f600", "\uffee", "z", "\u00e9"]
    for order, key in (("bytes", lambda name: name.encode()), ("utf-16", lambda name: name.encode("utf-16-be"))):
        made = Builder()
        entries = [made.file(name.encode(), number, name.encode()) for number, name in enumerate(sorted(letters, key=key), 1)]
        rules = frozenset(("unsorted",)) if order == "utf-16" else frozenset[str]()
        yield Case(f"names-in-order-of-{order}", made.build(_root(made, entries, 5, sort=False)), rules)


def index() -> Iterator[Case]:
    """A directory of 2000 names with a right and with wrong indices; Linux loses names where readers that ignore it do not."""
    for how in ("right", "none", "wrong-offset", "wrong-block", "greater-name"):
        made = Builder()
        target = made.file(b"f", 1, b"AA\n")
        entries = [Named(b"file_with_a_longish_name_%05d" % number, target.position, 1, 2) for number in range(2000)]
        raw, found = b"", []
        for at in range(0, 2000, 200):
            if at and how != "none":
                block = 0 if how == "wrong-block" else made.place(len(raw))[0]
                name = b"zzz" if how == "greater-name" else entries[at].name
                found.append(DirIndex(len(raw) + 4 * (how == "wrong-offset"), block, len(name) - 1).pack() + name)
            raw += made.listing(entries[at : at + 200])
        rules = frozenset(("index",)) if how.startswith("wrong") else frozenset[str]()
        yield Case(f"index-{how}", made.build(_root(made, [], 2, raw=raw, index=found)), rules)


def one_block(
    name: str,
    compression: int,
    data: bytes,
    rule: str | None = None,
    *,
    settings: bytes = b"",
    mounts: bool = True,
    raw: bool = False,
) -> Case:
    """Return the case of one file of one block that is stored as `data`."""
    made = Builder(compression, BLOCK, settings)
    start = made.put(data)
    file = made.file(b"a", 1, start=start, size=len(TEXT), words=[len(data) | (BLOCK_RAW if raw else 0)])
    return Case(name, made.build(_root(made, [file], 2)), frozenset((rule,)) if rule else frozenset(), mounts)


def xz() -> Iterator[Case]:
    def pack(dictionary: int, check: int, first: tuple[dict[str, int], ...] = (), **more: int) -> bytes:
        filters = [*first, {"id": lzma.FILTER_LZMA2, "preset": 6, "dict_size": dictionary, **more}]
        return lzma.compress(TEXT, format=lzma.FORMAT_XZ, check=check, filters=filters)

    crc = lzma.CHECK_CRC32
    yield one_block("xz-dictionary-8M", 4, pack(8 << 20, crc), "xz-dictionary")
    yield one_block("xz-dictionary-of-a-block", 4, pack(BLOCK, crc))
    yield one_block("xz-crc64", 4, pack(BLOCK, lzma.CHECK_CRC64), "xz-check")
    yield one_block("xz-no-check", 4, pack(BLOCK, lzma.CHECK_NONE))
    yield one_block("xz-sha256", 4, pack(BLOCK, lzma.CHECK_SHA256), "xz-check")
    yield one_block("xz-x86", 4, pack(BLOCK, crc, ({"id": lzma.FILTER_X86},)))
    yield one_block("xz-delta", 4, pack(BLOCK, crc, ({"id": lzma.FILTER_DELTA, "dist": 4},)), "xz-filter")
    yield one_block("xz-256K-announced", 4, pack(2 * BLOCK, crc), settings=struct.pack("<II", 2 * BLOCK, 0))
    yield one_block("xz-256K-not-announced", 4, pack(2 * BLOCK, crc), "xz-dictionary")
    yield one_block(
        "xz-5M-announced", 4, pack(BLOCK, crc), "compressor-options", settings=struct.pack("<II", 5 << 20, 0), mounts=False
    )


def zstd() -> Iterator[Case]:
    whole = zstandard.ZstdCompressor(level=19)
    yield one_block("zstd", 6, whole.compress(TEXT))
    yield one_block("zstd-without-size", 6, zstandard.ZstdCompressor(level=19, write_content_size=False).compress(TEXT))
    for level in (1, 19):
        streamed = zstandard.ZstdCompressor(level=level).compressobj()
        yield one_block(f"zstd-streamed-{level}", 6, streamed.compress(TEXT) + streamed.flush(), "zstd-window")
    yield one_block("zstd-two-frames", 6, whole.compress(TEXT[:65536]) + whole.compress(TEXT[65536:]), "zstd-frames")
    checked = zstandard.ZstdCompressor(level=3, write_checksum=True).compress(TEXT)
    yield one_block("zstd-checksum", 6, checked)
    yield one_block("zstd-bad-checksum", 6, checked[:-4] + bytes(4), "block")


def gzip_lz4() -> Iterator[Case]:
    def pack(window: int) -> bytes:
        stream = zlib.compressobj(9, zlib.DEFLATED, window)
        return stream.compress(TEXT) + stream.flush()

    good = zlib.compress(TEXT, 9)
    yield one_block("gzip", 1, good)
    yield one_block("gzip-raw-deflate", 1, pack(-15), "block")
    yield one_block("gzip-with-gzip-header", 1, pack(31), "block")
    yield one_block("gzip-small-window", 1, pack(9))
    yield one_block("gzip-bad-adler32", 1, good[:-4] + bytes(4), "block")
    yield one_block("gzip-trailing-bytes", 1, good + bytes(4))
    yield one_block("gzip-short-block", 1, zlib.compress(TEXT[:100000], 9), "block-length")
    yield one_block("gzip-stored", 1, TEXT, raw=True)
    yield one_block("gzip-cut", 1, good[: len(good) // 2], "block")
    made, entries = _plain(compression=5)
    yield Case("lz4-without-options", made.build(_root(made, entries)), frozenset(("compressor-options",)), mounts=False)
    made, entries = _plain(compression=5, settings=struct.pack("<ii", 2, 0))  # type: ignore[arg-type]
    yield Case("lz4-options-version-2", made.build(_root(made, entries)), frozenset(("compressor-options",)), mounts=False)


def xattrs() -> Iterator[Case]:
    def case(
        name: str,
        *entries: tuple[int, bytes, bytes],
        rule: str | None = None,
        xattr: int = 0,
        change: Callable[[Builder], None] | None = None,
    ) -> Case:
        made = Builder()
        file = made.large_file(b"a", 1, b"AA\n", xattr=xattr)
        made.xattrs(list(entries))
        if change is not None:
            change(made)
        return Case(name, made.build(_root(made, [file], 2)), frozenset((rule,)) if rule else frozenset())

    user = (0, b"foo", xattr_value(b"bar"))
    yield case("xattr-prefixes", user, (2, b"capability", xattr_value(CAPABILITY)), (1, b"trusty", xattr_value(b"y")))
    first = (0, b"a", xattr_value(b"a value that is long enough"))
    yield case("xattr-out-of-line", first, (0x100, b"b", xattr_reference(0, 5)))
    yield case("xattr-unknown-prefix", (3, b"sys", xattr_value(b"1")), user)
    yield case("xattr-set-not-there", user, rule="xattr", xattr=5)
    yield case("xattr-empty-set", user, xattr=1, change=lambda made: made.xattr_ids.append(XattrId(0, 0, 0)))
    yield case("xattr-without-name", (0, b"", xattr_value(b"x")), rule="xattr-name")
    yield case("xattr-value-beyond-table", (0, b"foo", struct.pack("<I", 1 << 31)), rule="xattr")
    yield case("xattr-reference-beyond-table", (0x100, b"foo", xattr_reference(1 << 20, 0)), rule="xattr")


def all_cases() -> list[Case]:
    """Return every case of the table."""
    groups = (structure, numbers, contents, names, index, xz, zstd, gzip_lz4, xattrs)
    return [case for group in groups for case in group()]
