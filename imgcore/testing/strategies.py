"""Hypothesis strategies: trees that a format with given capabilities can hold, biased to where formats break.

A tree is drawn in three steps: a pool of nodes, directories to put them in, names. A node that gets several names is a
hard link, in one directory or across several. Contents come from a small alphabet of blocks, so that equal blocks, equal
tails and whole duplicates are common, and their sizes lie around multiples of the block size. Nothing is drawn that
`caps` cannot hold, except what the caller asks for with `lossy`: times out of range and of a fraction of a second, and
extended attributes with foreign prefixes, which a writer has to report.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator

from hypothesis import strategies as st
from hypothesis.strategies import DrawFn, SearchStrategy

from imgcore.blob import Blob, BytesBlob, Segment, ZeroBlob
from imgcore.model import (
    Capabilities,
    Device,
    Dir,
    File,
    Meta,
    Node,
    Pipe,
    Socket,
    Symlink,
    Tree,
)

__all__ = ["HolesBlob", "blobs", "metas", "names", "trees"]

_SECOND = 10**9
_IDS = (0, 1, 1000, 65534, 65535, 65536, (1 << 31) - 1, 1 << 31, (1 << 32) - 2)
_TIMES = (0, 1, 1_700_000_000, (1 << 31) - 1, 1 << 31, (1 << 32) - 1)
_BEYOND = (-1, -(1 << 31), 1 << 32, 1 << 33)
_ODD_NAMES = (
    b"a", b"b", b"ab", b"a.b", b"a-b", b"A", b"\xff", b"\xc3\x28", b"new\nline", b" ", b"-rf", b"...", b".hidden",
    b"\xf0\x9f\x98\x80", b"back\\slash", b"*", b"\x01\x7f", b"e\xcc\x81", b"\xc3\xa9", b"x" * 255, b"\xe9" * 255,
)  # fmt: skip
_POSSIBLE = bytes.maketrans(b"/\0", b"_0")
_FOREIGN_XATTRS = (b"system.imgcore-test", b"os2.extended")


class HolesBlob:
    """Data and holes: `runs` are data, or the size of a hole."""

    def __init__(self, runs: list[bytes | int]) -> None:
        self._runs = runs
        self._flat = b"".join(bytes(run) if isinstance(run, int) else run for run in runs)

    @property
    def size(self) -> int:
        """Bytes in the blob, holes included."""
        return len(self._flat)

    def read_at(self, at: int, size: int) -> bytes:
        """Return bytes of the blob."""
        return self._flat[at : at + size] if at >= 0 else b""

    def segments(self) -> Iterator[Segment]:
        """Yield data and holes; neighbours of one kind as one."""
        at = start = 0
        hole = None
        for run in [*self._runs, None]:
            is_hole = None if run is None else isinstance(run, int)
            if is_hole != hole:
                if hole is not None and at > start:
                    yield Segment(start, at - start, hole)
                start, hole = at, is_hole
            at += 0 if run is None else run if isinstance(run, int) else len(run)

    def __repr__(self) -> str:
        return f"HolesBlob({self._runs!r})" if self.size < 200 else f"<HolesBlob of {self.size} bytes>"


@functools.cache  # a strategy is checked when it is first drawn from: the same one again costs nothing
def names(caps: Capabilities | None = None) -> SearchStrategy[bytes]:
    """Return a strategy of names: any bytes but `/` and NUL, of the lengths that `caps` allow."""
    longest = caps.max_name if caps is not None else 255
    drawn = st.binary(min_size=1, max_size=min(longest, 20)).map(lambda name: name.translate(_POSSIBLE))
    odd = st.sampled_from(_ODD_NAMES).map(lambda name: name[:longest])
    return st.one_of(odd, drawn).map(lambda name: b"dots" if name in (b".", b"..") else name)


@functools.cache
def metas(caps: Capabilities | None = None, *, lossy: bool = False) -> SearchStrategy[Meta]:
    """Return a strategy of metadata that `caps` can hold, and with `lossy` of some that they cannot."""
    caps = caps or Capabilities(xattr_prefixes=(b"user.", b"trusted.", b"security."))
    return st.builds(
        Meta,
        mode=st.one_of(st.sampled_from((0o644, 0o755, 0o4755, 0o2755, 0o1777, 0, 0o7777)), st.integers(0, 0o7777)),
        uid=st.sampled_from(_IDS),
        gid=st.sampled_from(_IDS),
        mtime_ns=_times(caps, lossy),
        xattrs=_xattrs(caps, lossy),
    )


def _times(caps: Capabilities, lossy: bool) -> SearchStrategy[int]:
    def fit(time_ns: int) -> int:
        clamped = min(max(time_ns, caps.min_time_ns), caps.max_time_ns)
        return clamped - clamped % caps.time_step_ns

    usual = st.one_of(st.sampled_from(_TIMES), st.integers(0, (1 << 32) - 1)).map(lambda time: time * _SECOND)
    usual = st.builds(int.__add__, usual, st.sampled_from((0, 0, 1, 999_999_999))).map(fit)
    beyond = st.sampled_from(_BEYOND).map(lambda time: time * _SECOND)
    if lossy:
        return st.one_of(usual, beyond, beyond.map(lambda time: time + 1))
    return st.one_of(usual, beyond.map(fit))


def _xattrs(caps: Capabilities, lossy: bool) -> SearchStrategy[dict[bytes, bytes]]:
    if not caps.xattr_prefixes and not lossy:
        return st.just({})
    suffix = st.one_of(st.sampled_from((b"a", b"b", b"mime_type", b"overlay.opaque")), names(caps).map(lambda name: name[:200]))
    known = [st.builds(bytes.__add__, st.just(prefix), suffix) for prefix in caps.xattr_prefixes]
    keys = st.one_of(*known, st.sampled_from(_FOREIGN_XATTRS)) if lossy else st.one_of(*known)
    big = st.builds(lambda byte, size: bytes([byte]) * size, st.integers(0, 255), st.sampled_from((255, 256, 4096, 9000)))
    values = st.one_of(st.just(b""), st.just(b"same value, many times"), st.binary(max_size=40), big)
    some = st.dictionaries(keys, values, min_size=1, max_size=4)
    return st.one_of(st.just({}), st.just({}), some)


def blobs(*, block_size: int = 4096, max_blocks: int = 4) -> SearchStrategy[Blob]:
    """Return a strategy of contents: sizes around multiples of the block size, equal blocks often, holes sometimes."""
    return _blobs(block_size, max_blocks)


@functools.cache
def _blobs(block_size: int, max_blocks: int) -> SearchStrategy[Blob]:
    small: SearchStrategy[Blob] = st.one_of(st.just(b"the same small file"), st.binary(max_size=100)).map(BytesBlob)
    blocks = st.lists(st.integers(0, 5), max_size=max_blocks)
    more = st.sampled_from((-1, 0, 1, 7))

    def data(numbers: list[int], extra: int) -> bytes:
        whole = b"".join(_block(number, block_size) for number in [*numbers, 3])
        return whole[: max(0, len(numbers) * block_size + extra)]

    def zeros(count: int, extra: int, hole: bool) -> Blob:
        size = max(0, count * block_size + extra)
        return ZeroBlob(size) if hole else BytesBlob(bytes(size))

    def holed(numbers: list[int], extra: int, holes: list[tuple[int, int]]) -> Blob:
        whole = data(numbers, extra)
        runs: list[bytes | int] = [whole[at : at + block_size] for at in range(0, len(whole), block_size)]
        for place, size in holes:
            runs.insert(place % (len(runs) + 1), size)
        return HolesBlob(runs)

    full: SearchStrategy[Blob] = st.builds(data, blocks, more).map(BytesBlob)
    sizes = st.sampled_from((block_size, block_size - 1, 1, 4 * block_size, block_size // 2))
    holes = st.lists(st.tuples(st.integers(0, 7), sizes), min_size=1, max_size=3)
    empty: SearchStrategy[Blob] = st.builds(zeros, st.integers(0, max_blocks), more, st.booleans())
    return st.one_of(full, full, small, empty, st.builds(holed, blocks, more, holes))


@functools.cache
def _block(number: int, block_size: int) -> bytes:
    """Return one of six blocks: zeros, text that shrinks, noise that does not."""
    if number == 0:
        return bytes(block_size)
    if number <= 3:
        return (b"imgcore block %d; " % number * (block_size // 16 + 1))[:block_size]
    out, state = bytearray(), number
    while len(out) < block_size:  # a fixed sequence of pseudo-random numbers, that every run and machine agrees on
        state = (state * 6364136223846793005 + 1442695040888963407) & (1 << 64) - 1
        out += (state >> 16).to_bytes(6, "little")
    return bytes(out[:block_size])


@functools.cache
def _leaves(caps: Capabilities, block_size: int, lossy: bool) -> SearchStrategy[Node]:
    """Return a strategy of nodes that are no directories, files more often than others."""
    meta = metas(caps, lossy=lossy)
    odd = st.sampled_from((b"a", b"..", b"/", b"../../etc/passwd", b"\xff\xfe", b"l" * 200, b"t" * 4095))
    targets = st.one_of(odd, names(caps)).map(lambda target: target[: caps.max_target])
    majors = st.sampled_from((0, 1, 8, 255, 256, caps.max_major)).map(lambda number: min(number, caps.max_major))
    minors = st.sampled_from((0, 3, 255, 256, 4095, caps.max_minor)).map(lambda number: min(number, caps.max_minor))
    files = st.builds(File, meta, _blobs(block_size, 4))
    kinds: dict[str, SearchStrategy[Node]] = {
        "symlink": st.builds(Symlink, meta, targets),
        "char": st.builds(Device, meta, st.just("char"), majors, minors),
        "block": st.builds(Device, meta, st.just("block"), majors, minors),
        "fifo": st.builds(Pipe, meta),
        "socket": st.builds(Socket, meta),
    }
    return st.one_of(files, files, files, *(kind for name, kind in kinds.items() if name in caps.types))


_NUMBERS = st.integers(0, 15)
_STEPS = st.sampled_from(("node", "node", "node", "directory", "link"))


@st.composite
def trees(
    draw: DrawFn,
    caps: Capabilities | None = None,
    *,
    max_entries: int = 24,
    block_size: int = 4096,
    lossy: bool = False,
) -> Tree:
    """Draw a tree that a format with `caps` can hold; `lossy` adds times and extended attributes that it cannot."""
    caps = caps or Capabilities(xattr_prefixes=(b"user.", b"trusted.", b"security."))
    root: dict[bytes, Node] = {}
    levels = [root]
    pool: list[Node] = []
    for _ in range(draw(st.integers(0, max_entries))):
        parent = levels[draw(_NUMBERS) % len(levels)]
        name = draw(names(caps))
        if name in parent:
            continue
        step = draw(_STEPS)
        if step == "directory":
            children: dict[bytes, Node] = {}
            parent[name] = Dir(draw(metas(caps, lossy=lossy)), children)
            levels.append(children)
        elif step == "link" and pool and caps.hardlinks:
            parent[name] = pool[draw(_NUMBERS) % len(pool)]
        else:
            node = draw(_leaves(caps, block_size, lossy))
            pool.append(node)
            parent[name] = node
    return Tree(Dir(draw(metas(caps, lossy=lossy)), root))
