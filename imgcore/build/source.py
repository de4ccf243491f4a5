"""Open what a tree comes from: a directory, an image, an image in an image, several of them joined.

A `Source` keeps open what its tree reads from; leaving its `with` block closes that.
"""

from __future__ import annotations

import contextlib
import os
import stat
import tempfile
from collections.abc import Callable, Collection, Iterator, Sequence
from typing import BinaryIO, Self, TypeAlias

from imgcore import formats
from imgcore.blob import Blob, FileBlob
from imgcore.build.listing_source import LISTINGS, is_manifest, read_listing
from imgcore.build.spec import Part, SourceSpec
from imgcore.errors import NotThisFormat, PathError, SourceUnreadable, Unsupported, context, show
from imgcore.events import Control
from imgcore.formats.base import Format, Image
from imgcore.hosts import Mounts, scan
from imgcore.limits import Limits
from imgcore.model import Dir, File, Tree, normalize
from imgcore.transforms import dereference as dereference_links
from imgcore.transforms import join_trees, place_tree

__all__ = ["AnyPath", "Source", "find_format", "open_blob", "open_source", "open_sources"]

AnyPath: TypeAlias = "str | bytes | os.PathLike[str] | os.PathLike[bytes]"
_SPOOL = 1 << 20


class Source:
    """An open source.

    Attributes:
        tree: what it holds.
        image: the image that the tree is in, None for a directory and for several sources joined.
        format: the image's format.
        name: what it was opened by.
    """

    def __init__(
        self,
        name: str,
        tree: Tree,
        image: Image | None = None,
        format: Format | None = None,
        close: Callable[[], None] | None = None,
    ) -> None:
        self.name = name
        self.tree = tree
        self.image = image
        self.format = format
        self._close = close

    def describe(self) -> str:
        """Return one line for people."""
        what = "directory" if self.format is None else f"{self.format.name} image"
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
        return _open_image("image", source, None, limits, contextlib.ExitStack())
    path = os.fsdecode(source) if spec is None else spec.path  # type: ignore[arg-type]
    spec = spec or SourceSpec(path, path)
    if spec.partition is not None:
        raise Unsupported("partitions cannot be opened yet", found=f"#{spec.partition}")
    with contextlib.ExitStack() as stack:
        is_directory = not spec.is_stdin and _is_directory(spec)
        if is_directory:
            found = scan(path, xattrs=xattrs, skip=skip, mounts=mounts, dereference=dereference, control=control)
            opened = Source(spec.text, found)
        else:
            blob = _spooled(stdin, control, stack) if spec.is_stdin else stack.enter_context(FileBlob(path))
            kind = spec.kind or ("manifest" if is_manifest(blob) else None)
            if kind in LISTINGS:
                trusted = spec.kind is not None  # the caller says that it is a listing
                found = read_listing(kind, path, blob, contents=contents, trusted=trusted, limits=limits, control=control)
                opened = Source(path, found)
            else:
                opened = _open_image(path, blob, kind, limits, stack)
        nesting = 1
        for part in spec.parts:
            opened, nesting = _go_down(opened, part, limits, nesting, stack)
        opened.name = spec.text
        if dereference and not (is_directory and not spec.parts):
            opened.tree = dereference_links(opened.tree)
        if spec.place:
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
                    control=control,
                )
            )
            for one in sources
        ]
        tree = join_trees([source.tree for source in opened], overwrite=overwrite)
        close = stack.pop_all().close
    if len(opened) == 1:
        opened[0]._close = close
        return opened[0]
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
    """Give the bytes of the image that `spec` names, and its format, without opening that: it may be too broken."""
    with contextlib.ExitStack() as stack:
        if spec.partition is not None or any(part.partition is not None for part in spec.parts):
            raise Unsupported("partitions cannot be opened yet", found=spec.text)
        if spec.is_stdin:
            blob: Blob = _spooled(stdin, control or Control(), stack)
        elif spec.parts:
            outer = SourceSpec(spec.text, spec.path, kind=spec.kind, parts=spec.parts[:-1])
            source = stack.enter_context(open_source(outer, limits=limits, control=control))
            node = source.tree.lookup(os.fsencode(spec.parts[-1].path), follow=True)
            if not isinstance(node, File):
                raise PathError("not a file", path=os.fsencode(spec.parts[-1].path))
            blob = node.content
        else:
            blob = stack.enter_context(FileBlob(spec.path))
        yield blob, find_format(blob, None if spec.parts else spec.kind, spec.text)


def _is_directory(spec: SourceSpec) -> bool:
    """Return whether the path is a directory; raises SourceUnreadable when it is not there, or not what was asked for."""
    try:
        is_directory = stat.S_ISDIR(os.stat(spec.path).st_mode)
    except OSError as error:
        raise SourceUnreadable(f"cannot open: {error.strerror}", path=os.fsencode(spec.path)) from None
    if spec.kind is not None and is_directory != (spec.kind == "dir"):
        raise SourceUnreadable(f"not a {spec.kind} source", path=os.fsencode(spec.path))
    return is_directory


def _open_image(name: str, blob: Blob, kind: str | None, limits: Limits, stack: contextlib.ExitStack) -> Source:
    with context(image=name):
        found = find_format(blob, kind, name)
        image = stack.enter_context(found.open(blob, limits))
        return Source(name, image.tree, image, found, stack.close)


def _go_down(source: Source, part: Part, limits: Limits, nesting: int, stack: contextlib.ExitStack) -> tuple[Source, int]:
    """Return (the directory, or the image in the file, at a path of `source`; the images we are in)."""
    if part.partition is not None:
        raise Unsupported("partitions cannot be opened yet", found=f"#{part.partition}")
    path = normalize(os.fsencode(part.path))
    node = source.tree.lookup(path, follow=True)
    if isinstance(node, Dir):
        return Source(source.name, source.tree.subtree(path), source.image, source.format), nesting
    if not isinstance(node, File):
        raise PathError("neither a directory nor a file", path=path)
    nesting += 1
    limits.require("max_nesting", nesting)
    return _open_image(f"{source.name}@{os.fsdecode(path)}", node.content, None, limits, stack), nesting


def _spooled(stdin: BinaryIO | None, control: Control, stack: contextlib.ExitStack) -> Blob:
    """Return what a stream gives, held in an unnamed file until the source is closed."""
    if stdin is None:
        raise ValueError("standard input was named, but not handed in")
    spool = stack.enter_context(tempfile.TemporaryFile(prefix="imgcore-"))  # noqa: SIM115
    try:
        while data := stdin.read(_SPOOL):
            control.check()
            spool.write(data)
        spool.flush()
    except OSError as error:
        raise SourceUnreadable(f"cannot read standard input: {error.strerror}") from None
    return stack.enter_context(FileBlob(f"/dev/fd/{spool.fileno()}"))
