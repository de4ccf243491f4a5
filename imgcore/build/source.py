"""Open what a tree comes from: a directory, an image, an image in an image, several of them joined.

A `Source` keeps open what its tree reads from; leaving its `with` block closes that.
"""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
import os
import re
import stat
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from typing import BinaryIO, Self, TypeAlias

from imgcore import formats
from imgcore.blob import Blob, FileBlob, SliceBlob, Spool, read_chunks
from imgcore.build.half_changed import is_half_changed
from imgcore.build.listing_source import LISTINGS, is_manifest, read_listing
from imgcore.build.spec import Part, SourceSpec
from imgcore.codec.bounded import bounded_stream
from imgcore.codec.stream_detect import HEAD_SIZE, detect_stream
from imgcore.engine import Engine
from imgcore.errors import NotThisFormat, PathError, SourceUnreadable, Unsupported, context, show
from imgcore.events import Control, Warned
from imgcore.formats.base import Format, Image
from imgcore.hosts import Mounts, scan
from imgcore.limits import Limits, parse_size
from imgcore.model import Dir, File, Tree, normalize

__all__ = ["AnyPath", "Source", "find_format", "open_blob", "open_raw_blob", "open_source", "open_sources", "plain_blob"]

AnyPath: TypeAlias = "str | bytes | os.PathLike[str] | os.PathLike[bytes]"
_CHUNK = 256 << 10
_DISK = "gpt"  # the kind of a source that is a disk, by its one root or usr partition


class Source:
    """An open source.

    What is compressed as a whole (a `.tar.gz`) is decompressed into a temporary file first; offsets in errors and layouts
    then count in what comes out.

    Attributes:
        tree: what it holds.
        image: the image that the tree is in, None for a directory and for several sources joined.
        format: the image's format.
        stream: how the image is compressed as a whole (gzip, say), None where it is not.
        listing: the kind of text that it is (manifest, say), None where it is none.
        name: what it was opened by.
    """

    def __init__(
        self,
        name: str,
        tree: Tree,
        image: Image | None = None,
        format: Format | None = None,
        close: Callable[[], None] | None = None,
        stream: str | None = None,
        listing: str | None = None,
    ) -> None:
        self.name = name
        self.listing = listing
        self.stream = stream
        self.tree = tree
        self.image = image
        self.format = format
        self._close = close

    def describe(self) -> str:
        """Return one line for people."""
        what = self.listing or "directory" if self.format is None else f"{self.format.name} image"
        if self.stream is not None:
            what += f" ({self.stream})"
        return f"{what} `{show(self.name)}`"

    def close(self) -> None:
        """Close all files; the tree's contents cannot be read any more. Twice is fine."""
        if self._close is not None:
            self._close()
            self._close = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()


def open_source(
    source: AnyPath | SourceSpec | Blob,
    *,
    limits: Limits | None = None,
    xattrs: bool = True,
    skip: Collection[tuple[int, int, bytes]] = (),
    contents: Tree | None = None,
    mounts: Mounts = "cross",
    dereference: bool = False,
    stdin: BinaryIO | None = None,
    engine: Engine | None = None,
    control: Control | None = None,
) -> Source:
    """Return the directory or image at a path, in a blob, or that a `SourceSpec` names.

    A path is taken as it stands; `parse_source` knows the command line's grammar. `stdin` is what `-` reads from, where
    the source is a spec. `xattrs`, `skip`, `mounts` and `dereference` are for directories, as in `scan`; what is no
    directory is dereferenced inside its own tree. `contents` holds the files of a manifest, by path.
    Raises NotThisFormat for a file that is no known image, SourceUnreadable, PathError and what opening an image raises.
    """
    limits = limits or Limits.default()
    control = control or Control()
    spec = source if isinstance(source, SourceSpec) else None
    if spec is None and isinstance(source, Blob):
        with contextlib.ExitStack() as stack:
            opened = _open_image("image", (source, None), None, limits, control, stack)
            opened._close = stack.pop_all().close
            return opened
    path = os.fsdecode(source) if spec is None else spec.path  # type: ignore[arg-type]
    spec = spec or SourceSpec(path, path)
    with contextlib.ExitStack() as stack:
        is_directory = not spec.is_stdin and _is_directory(spec)
        if is_directory:
            found = scan(path, xattrs=xattrs, skip=skip, mounts=mounts, dereference=dereference, engine=engine, control=control)
            opened = Source(spec.text, found)
        else:
            blob, stream = _first_blob(spec, stdin, limits, control, stack)
            kind = spec.kind or ("manifest" if is_manifest(blob) else None)
            if kind in LISTINGS:
                trusted = spec.kind is not None  # the caller says that it is a listing
                text, _ = plain_blob(blob, limits, control, stack)
                found = read_listing(kind, path, text, contents=contents, trusted=trusted, limits=limits, control=control)
                opened = Source(path, found, listing=kind)
            else:
                opened = _open_image(path, (_part_of(blob, spec.partition), stream), kind, limits, control, stack)
        nesting = 1
        for part in spec.parts:
            opened, nesting = _go_down(opened, part, limits, nesting, control, stack)
        opened.name = spec.text
        if dereference and not (is_directory and not spec.parts):
            from imgcore.transforms.dereference import dereference as dereference_links  # late, as below: few want it

            opened.tree = dereference_links(opened.tree)
        if spec.place:
            from imgcore.transforms.join import place_tree

            opened.tree = place_tree(opened.tree, os.fsencode(spec.place))
        opened._close = stack.pop_all().close
        return opened


def open_sources(
    sources: Sequence[AnyPath | SourceSpec],
    *,
    limits: Limits | None = None,
    xattrs: bool = True,
    skip: Collection[tuple[int, int, bytes]] = (),
    overwrite: bool = False,
    contents: Tree | None = None,
    mounts: Mounts = "cross",
    dereference: bool = False,
    stdin: BinaryIO | None = None,
    engine: Engine | None = None,
    control: Control | None = None,
) -> Source:
    """Return several sources joined, each opened as by `open_source`.

    A path in two of them, unless a directory in both, is a MergeConflict; with `overwrite` the later source wins.
    """
    with contextlib.ExitStack() as stack:
        opened = [
            stack.enter_context(
                open_source(
                    one,
                    limits=limits,
                    xattrs=xattrs,
                    skip=skip,
                    contents=contents,
                    mounts=mounts,
                    dereference=dereference,
                    stdin=stdin,
                    engine=engine,
                    control=control,
                )
            )
            for one in sources
        ]
        if len(opened) == 1:
            opened[0]._close = stack.pop_all().close
            return opened[0]
        from imgcore.transforms.join import join_trees

        tree = join_trees([source.tree for source in opened], overwrite=overwrite)
        close = stack.pop_all().close
    return Source(" ".join(source.name for source in opened), tree, close=close)


def find_format(blob: Blob, kind: str | None, name: str) -> Format:
    """Return the format of `blob`, or the one called `kind`. Raises NotThisFormat, Unsupported."""
    if kind is not None:
        try:
            return formats.by_name(kind)
        except ValueError:
            raise Unsupported(f"sources of kind `{kind}` cannot be read yet", image=name) from None
    found = formats.detect(blob)
    if found is None:
        known = ", ".join(known.name for known in formats.FORMATS)
        raise NotThisFormat("not an image of a known format", image=name, hint=f"known formats: {known}")
    return found


@contextlib.contextmanager
def open_blob(
    spec: SourceSpec, *, limits: Limits, stdin: BinaryIO | None = None, control: Control | None = None
) -> Iterator[tuple[Blob, Format]]:
    """Give the bytes of the image that `spec` names, and its format, without opening that: it may be too broken.

    Of a disk with one root or usr partition they are that partition's.
    """
    with open_raw_blob(spec, limits=limits, stdin=stdin, control=control) as whole, context(image=spec.text):
        kind = None if spec.parts else spec.kind
        blob = _without_table(whole, kind)
        yield blob, find_format(blob, None if kind == _DISK else kind, spec.text)


@contextlib.contextmanager
def open_raw_blob(
    spec: SourceSpec, *, limits: Limits, stdin: BinaryIO | None = None, control: Control | None = None
) -> Iterator[Blob]:
    """Give the bytes that `spec` names, whatever they are; what is compressed as a whole is decompressed."""
    with contextlib.ExitStack() as stack:
        control = control or Control()
        found: tuple[Blob, str | None]
        if spec.parts:
            outer = dataclasses.replace(spec, place="", parts=spec.parts[:-1])
            source = stack.enter_context(open_source(outer, limits=limits, stdin=stdin, control=control))
            node = source.tree.lookup(os.fsencode(spec.parts[-1].path), follow=True)
            if not isinstance(node, File):
                raise PathError("not a file", path=os.fsencode(spec.parts[-1].path))
            found = _part_of(node.content, spec.parts[-1].partition), None
        else:
            whole, stream = _first_blob(spec, stdin, limits, control, stack)
            found = _part_of(whole, spec.partition), stream
        with context(image=spec.text):
            blob, _ = plain_blob(found[0], limits, control, stack)
        yield blob


def _without_table(blob: Blob, kind: str | None) -> Blob:
    """Return the one root or usr partition of a disk whose bytes are no image themselves, else `blob`."""
    if kind != _DISK and (kind is not None or formats.detect(blob) is not None):
        return blob
    from imgcore.build.parts import only_file_system  # late: most sources have a format

    return only_file_system(blob, required=kind == _DISK) or blob


def _is_directory(spec: SourceSpec) -> bool:
    """Return whether the path is a directory; raises SourceUnreadable when it is not there, or not what was asked for."""
    try:
        is_directory = stat.S_ISDIR(os.stat(spec.path).st_mode)
    except OSError as error:
        raise SourceUnreadable(f"cannot open: {error.strerror}", path=os.fsencode(spec.path)) from None
    if spec.kind is not None and is_directory != (spec.kind == "dir"):
        raise SourceUnreadable(f"not a {spec.kind} source", path=os.fsencode(spec.path))
    return is_directory


def plain_blob(blob: Blob, limits: Limits, control: Control, stack: contextlib.ExitStack) -> tuple[Blob, str | None]:
    """Return (what is in a blob that is one compressed stream, its kind), or the blob itself and None.

    `stack` closes the temporary file. Raises Corrupt, LimitExceeded, OutputError, Cancelled.
    """
    name = detect_stream(blob.read_at(0, HEAD_SIZE))
    if name is None or formats.detect(blob) is not None:
        return blob, None
    return _spooled(bounded_stream(name, read_chunks(blob, _CHUNK), limits), limits, control, stack), name


def _spooled(pieces: Iterable[bytes], limits: Limits, control: Control, stack: contextlib.ExitStack) -> Spool:
    """Return all of the pieces, held in an unnamed file until the source is closed."""
    spool = stack.enter_context(Spool())
    for data in pieces:
        control.check()
        spool.append(data)
        limits.require("max_stream", spool.size)
    return spool.seal()


def _first_blob(
    spec: SourceSpec, stdin: BinaryIO | None, limits: Limits, control: Control, stack: contextlib.ExitStack
) -> tuple[Blob, str | None]:
    """Return (the bytes that a source names, how they were compressed where that was undone already)."""
    if not spec.is_stdin:
        if is_half_changed(spec.path):
            message = "a change of this image was stopped, or is under way: `imgcore iso modify` settles it"
            control.emit(Warned(message, os.fsencode(spec.path)))
        return stack.enter_context(FileBlob(spec.path)), None
    if stdin is None:
        raise ValueError("standard input was named, but not handed in")
    chunks = _stream_chunks(stdin)
    head = b""
    while len(head) < HEAD_SIZE and (data := next(chunks, b"")):
        head += data
    chunks = itertools.chain([head] if head else [], chunks)
    name = detect_stream(head[:HEAD_SIZE])
    with context(image="standard input"):
        pieces = chunks if name is None else bounded_stream(name, chunks, limits)
        return _spooled(pieces, limits, control, stack), name


def _part_of(blob: Blob, partition: str | None) -> Blob:
    """Return the part of a blob that stands behind `#`: `offset:BYTES` is all from there on, else a partition's name.

    Raises PathError for one that is not there, NotThisFormat, Corrupt.
    """
    if partition is None:
        return blob
    match = re.fullmatch(r"offset:([0-9]{1,19}[KMGT]?)", partition, re.ASCII | re.IGNORECASE)
    if match is None:
        from imgcore.build.parts import find_part  # late: few name one

        return find_part(blob, partition)
    offset = parse_size(match[1])
    if offset > blob.size:
        raise NotThisFormat("an offset behind the end", found=offset, allowed=f"at most {blob.size}")
    return SliceBlob(blob, offset, blob.size - offset)


def _stream_chunks(stdin: BinaryIO) -> Iterator[bytes]:
    try:
        while data := stdin.read(_CHUNK):
            yield data
    except OSError as error:
        raise SourceUnreadable(f"cannot read standard input: {error.strerror}") from None


def _open_image(
    name: str,
    found: tuple[Blob, str | None],
    kind: str | None,
    limits: Limits,
    control: Control,
    stack: contextlib.ExitStack,
) -> Source:
    """Return the image in `found`, which is bytes and how they were compressed before."""
    with context(image=name):
        blob, stream = plain_blob(found[0], limits, control, stack)
        blob = _without_table(blob, kind)
        form = find_format(blob, None if kind == _DISK else kind, name)
        image = stack.enter_context(form.open(blob, limits))
        for warning in getattr(image, "warnings", ()):
            control.emit(Warned(warning))
        return Source(name, image.tree, image, form, stack.close, stream or found[1])


def _go_down(
    source: Source, part: Part, limits: Limits, nesting: int, control: Control, stack: contextlib.ExitStack
) -> tuple[Source, int]:
    """Return (the directory, or the image in the file, at a path of `source`; the images we are in)."""
    path = normalize(os.fsencode(part.path))
    node = source.tree.lookup(path, follow=True)
    if isinstance(node, Dir) and part.partition is None:
        return Source(source.name, source.tree.subtree(path), source.image, source.format, stream=source.stream), nesting
    if isinstance(node, Dir):
        raise Unsupported("a directory has no partitions", path=path, found=f"#{part.partition}")
    if not isinstance(node, File):
        raise PathError("neither a directory nor a file", path=path)
    nesting += 1
    limits.require("max_nesting", nesting)
    name = f"{source.name}@{os.fsdecode(path)}"
    return _open_image(name, (_part_of(node.content, part.partition), None), None, limits, control, stack), nesting
