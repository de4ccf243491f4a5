"""Any source into an image of any format, whole or not at all.

What happens, in this order: the target is looked at (so that an hour's scan does not end in "exists"), the source is
opened, paths are left out, the tree is changed and the policy applied, the format's writer checks the tree and writes it
into a sink, the image is read back if that is asked for, the sink is made visible. The sink is opened after the scan: the
image may lie inside its source, and an older one there is left out.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import stat
from collections.abc import Callable, Iterator, Sequence
from typing import BinaryIO, Literal, TypeAlias

from imgcore import formats
from imgcore.blob import Blob, FileBlob, Sink, open_sink
from imgcore.blob.part import SinkBlob
from imgcore.build.source import AnyPath, Source, open_sources, plain_blob
from imgcore.build.spec import SourceSpec
from imgcore.engine import Engine, get_engine
from imgcore.errors import OutputError, TargetExists, VerificationFailed
from imgcore.events import Control, Finished, Planned, Warned
from imgcore.formats.base import Format, Options, Report
from imgcore.hosts import Mounts
from imgcore.limits import Limits
from imgcore.model import Loss, Tree, checked, diff, project
from imgcore.store.base import BlockStore
from imgcore.transforms import Globs, Policy
from imgcore.transforms import dereference as dereference_links
from imgcore.transforms import exclude as leave_out
from imgcore.values import value_class

__all__ = ["EngineName", "PackPlan", "PackSource", "choose_format", "pack", "plan_pack", "under_policy"]

EngineName: TypeAlias = Literal["auto", "native", "pure"]
PackSource: TypeAlias = "AnyPath | SourceSpec | Source | Tree | Sequence[AnyPath | SourceSpec]"
Change: TypeAlias = Callable[[Tree], Tree]


@value_class
class PackPlan:
    """What `pack` would write.

    Attributes:
        format: the format's name.
        options: the options it would be written with.
        tree: what would be in the image; its contents can be read while the source is open.
        files, bytes: distinct regular files and the bytes in them.
        losses: what the format cannot hold and the caller allowed, or is only warned of, and what the policy left out of it:
            marks of overlayfs.
    """

    format: str
    options: Options
    tree: Tree
    files: int
    bytes: int
    losses: tuple[Loss, ...]


def choose_format(dest: object, name: str | None) -> Format:
    """Return the format called `name`, or the one that the suffix of the path `dest` stands for. Raises ValueError."""
    written = [known for known in formats.FORMATS if known.writable]
    found = None
    if name is not None:
        found = formats.by_name(name)
    elif not isinstance(dest, (str, bytes, os.PathLike)):
        raise ValueError("a format has to be named where the target is no path")
    else:
        found = formats.by_suffix(os.fsdecode(dest))
    if found is None:
        known = ", ".join(suffix for known in written for suffix in known.suffixes)
        raise ValueError(f"no format for `{os.fsdecode(dest)}`: name one, or use a suffix of {known}")  # type: ignore[arg-type]
    if not found.writable:
        raise ValueError(f"{found.name} is only read, not written; choose one of {', '.join(known.name for known in written)}")
    return found


def pack(
    source: PackSource,
    dest: AnyPath | Sink | BinaryIO,
    *,
    format: str | None = None,
    options: Options | None = None,
    policy: Policy | None = None,
    exclude: Sequence[str | bytes] = (),
    transforms: Sequence[Change] = (),
    overwrite: bool = False,
    contents: Source | Tree | None = None,
    mounts: Mounts = "cross",
    dereference: bool = False,
    offset: int | None = None,
    outputs: Sequence[AnyPath] = (),
    engine: EngineName = "auto",
    force: bool = False,
    sync: bool = True,
    verify: bool = False,
    cache: str | bytes | os.PathLike[str] | BlockStore | None = None,
    base: AnyPath | None = None,
    limits: Limits | None = None,
    stdin: BinaryIO | None = None,
    control: Control | None = None,
) -> Report:
    """Write `source` to `dest` as an image; return what was done.

    Several sources are joined; with `overwrite` the later one wins. The format comes from the suffix of `dest` unless
    named, and so do the options where none are given (`.tar.zst` is a compressed tar). `exclude` are globs, as of a
    .gitignore; `transforms` are called with the tree, one after the other, and `policy` comes last. `contents` holds the
    files of a source that is a manifest. `mounts` and `dereference` are for sources that are directories, as in `scan`;
    other sources are dereferenced inside their own tree.
    `offset` writes the image into the file `dest` from that byte on, in place: what is before it stays.
    `outputs` are files that will be replaced too: like `dest` they are left out where they lie inside of a source.
    `cache` is a directory, a URL, or another store, of compressed blocks: what it has is not compressed again, what it has
    not is added; a cache that cannot be used is warned of, never an error. `base` is an older image, whose blocks are taken
    over where it was written with the same settings; otherwise there is a warning. The image does not depend on either.
    `force` replaces an existing image, `sync` forces it to disk before it appears, `verify` reads it back and
    compares before it appears. `limits` are for sources that are images. `stdin` is what a source called `-` reads.
    Raises ValueError for an unknown format or a bad glob, TargetExists, NotRepresentable, SourceError, FormatError,
    OutputError, VerificationFailed, Cancelled; then nothing is left behind, and an older image is intact.
    """
    control = control or Control()
    kind = choose_format(dest, format)
    options = kind.options_for(_name_of(dest)) if options is None else options
    globs = Globs(exclude)
    worker = get_engine(engine)
    skip = _look_at_target(dest, force, offset) + [place for path in outputs for place in _place_of(os.fsencode(path))]
    with contextlib.ExitStack() as stack:
        store = None if cache is None else stack.enter_context(_store(cache, control))
        if store is not None:
            skip += _places_of(store)
            options = _with(kind, options, store=store)
        if base is not None:
            options = _with(kind, options, base=stack.enter_context(FileBlob(os.fsencode(base))))
        reading = _Reading(limits, skip, overwrite, contents, mounts, dereference, stdin, control, worker)
        tree, lost = _prepared(reading.tree(source, stack), globs, transforms, policy or Policy(), control)
        files, total = tree.file_bytes()
        tree.limits.require("max_total_size", total)  # a tar of some bytes may claim files of any size, all holes
        control.check()
        control.emit(Planned("pack", files, total))
        with open_sink(dest, replace=force, sync=sync, start=offset) as sink:
            report = kind.write(tree, sink, options, control, worker)
            if lost:
                report = dataclasses.replace(report, losses=(*lost, *report.losses))
            if verify:
                _require_equal(tree, sink, kind, options, control)
            control.check()
    control.emit(Finished("pack", _summary(report)))
    return report


def _places_of(store: BlockStore) -> list[tuple[int, int, bytes]]:
    """Return the names of a store's directories, as `scan` takes them: they may lie inside of the source."""
    found: list[tuple[int, int, bytes]] = []
    for one in getattr(store, "stores", (store,)):
        path = getattr(one, "path", None)
        if isinstance(path, bytes):
            found += _place_of(path)
    return found


@contextlib.contextmanager
def _store(cache: str | bytes | os.PathLike[str] | BlockStore, control: Control) -> Iterator[BlockStore]:
    """Give the store that is named; afterwards tell what went wrong with it. Raises OutputError, SourceUnreadable."""
    if isinstance(cache, (str, bytes, os.PathLike)):
        from imgcore.store import LocalStore, RemoteStore  # late: few have one
        from imgcore.store.remote import is_url

        store: BlockStore = RemoteStore(str(cache)) if is_url(cache) else LocalStore(cache)
    else:
        store = cache
    done = False
    try:
        yield store
        done = True
    finally:
        if store is not cache:
            store.close(wait=done)
        for warning in store.warnings():
            control.emit(Warned(warning))


def _with(kind: Format, options: Options, **more: object) -> Options:
    for name in more:
        if not hasattr(options, name):
            what = "cache" if name == "store" else name
            raise ValueError(f"{kind.name} has no {what}: nothing in it is compressed by blocks")
    changed: Options = dataclasses.replace(options, **more)  # type: ignore[type-var]
    return changed


@contextlib.contextmanager
def plan_pack(
    source: PackSource,
    dest: object = None,
    *,
    format: str | None = None,
    options: Options | None = None,
    policy: Policy | None = None,
    exclude: Sequence[str | bytes] = (),
    transforms: Sequence[Change] = (),
    overwrite: bool = False,
    contents: Source | Tree | None = None,
    mounts: Mounts = "cross",
    dereference: bool = False,
    limits: Limits | None = None,
    stdin: BinaryIO | None = None,
    control: Control | None = None,
) -> Iterator[PackPlan]:
    """Give what `pack` would write, without reading any content; `dest` only says the format. Raises as `pack` does."""
    control = control or Control()
    kind = choose_format(dest, format)
    options = kind.options_for(_name_of(dest)) if options is None else options
    with contextlib.ExitStack() as stack:
        reading = _Reading(limits, [], overwrite, contents, mounts, dereference, stdin, control, get_engine())
        tree, lost = _prepared(reading.tree(source, stack), Globs(exclude), transforms, policy or Policy(), control)
        allowed = getattr(options, "allow_loss", ())
        caps = getattr(options, "capabilities", kind.capabilities)  # of some formats they depend on the options
        tree, losses = checked(tree, caps, allow=allowed, format_name=kind.name)
        files, total = tree.file_bytes()
        yield PackPlan(kind.name, options, tree, files, total, (*lost, *losses))


def _name_of(dest: object) -> str | None:
    return os.fsdecode(dest) if isinstance(dest, (str, bytes, os.PathLike)) else None


def _look_at_target(dest: object, force: bool, offset: int | None) -> list[tuple[int, int, bytes]]:
    """Return the name of an image that will be replaced, as `scan` takes it; raise for a target that cannot be written."""
    if offset is not None and not 0 <= offset < 1 << 62:
        raise ValueError(f"offset {offset} is outside of any file")
    if not isinstance(dest, (str, bytes, os.PathLike)):
        if offset is not None:
            raise ValueError("an offset is for an image in a file")
        return []
    path = os.fsencode(dest)
    try:
        found = os.stat(path)
    except FileNotFoundError:
        parent = os.path.dirname(os.path.realpath(path))
        if not os.path.isdir(parent):
            raise OutputError("cannot write: no such directory", path=parent) from None
        return []
    except OSError as error:
        raise OutputError(f"cannot write: {error.strerror}", path=path) from None
    if stat.S_ISDIR(found.st_mode):
        raise OutputError("cannot write: the target is a directory", path=path)
    if stat.S_ISREG(found.st_mode) or stat.S_ISBLK(found.st_mode):
        behind = stat.S_ISREG(found.st_mode) and offset is not None and found.st_size <= offset
        if not force and not behind:
            raise TargetExists("target exists", path=path, hint="--force replaces it")
        return _place_of(path)
    return []


def _place_of(path: bytes) -> list[tuple[int, int, bytes]]:
    """Return the name of something, as `scan` takes it to leave it out; none where its directory cannot be looked at."""
    whole = os.path.realpath(path)
    with contextlib.suppress(OSError):
        place = os.stat(os.path.dirname(whole))
        return [(place.st_dev, place.st_ino, os.path.basename(whole))]
    return []


@value_class
class _Reading:
    """How the sources are read."""

    limits: Limits | None
    skip: list[tuple[int, int, bytes]]
    overwrite: bool
    contents: Source | Tree | None
    mounts: Mounts
    dereference: bool
    stdin: BinaryIO | None
    control: Control
    engine: Engine

    def tree(self, source: PackSource, stack: contextlib.ExitStack) -> Tree:
        """Return the tree of `source`, whose files are open as long as `stack` is."""
        if isinstance(source, Tree):
            return dereference_links(source) if self.dereference else source
        if isinstance(source, Source):
            return dereference_links(source.tree) if self.dereference else source.tree
        single = isinstance(source, (str, bytes, os.PathLike, SourceSpec))
        opened = open_sources(
            [source] if single else source,  # type: ignore[list-item, arg-type]
            limits=self.limits,
            skip=self.skip,
            overwrite=self.overwrite,
            contents=self.contents.tree if isinstance(self.contents, Source) else self.contents,
            mounts=self.mounts,
            dereference=self.dereference,
            stdin=self.stdin,
            engine=self.engine,
            control=self.control,
        )
        return stack.enter_context(opened).tree


def _prepared(
    tree: Tree, globs: Globs, transforms: Sequence[Change], policy: Policy, control: Control
) -> tuple[Tree, list[Loss]]:
    """Return the tree that is to be written, and what the policy takes from it; tell of that and of globs without effect."""
    if globs:
        tree = leave_out(tree, globs)
        for glob in globs.unused():
            control.emit(Warned(f"exclude `{os.fsdecode(glob)}` matches nothing"))
    for change in transforms:
        control.check()
        tree = change(tree)
    return under_policy(tree, policy, control)


def under_policy(tree: Tree, policy: Policy, control: Control) -> tuple[Tree, list[Loss]]:
    """Return `tree` under the policy, and the marks of overlayfs that it had and that had a meaning; warn of these."""
    made = policy.apply(tree)
    lost = [] if made is tree else list(policy.lost(tree))
    for loss in lost:
        control.emit(Warned(f"lost: {loss.message}", loss.path))
    return made, lost


def _require_equal(tree: Tree, sink: Sink, kind: Format, options: Options, control: Control) -> None:
    """Raise VerificationFailed unless the image in `sink` holds `tree`, as far as the format can, and has no findings."""
    limits = Limits.trusted()
    with contextlib.ExitStack() as stack:
        blob, _ = plain_blob(SinkBlob(sink), limits, control, stack)
        _require_same(tree, blob, kind, options, limits, control)


def _require_same(tree: Tree, blob: Blob, kind: Format, options: Options, limits: Limits, control: Control) -> None:
    for finding in kind.check_blob(blob, limits, control):
        if finding.severity == "error":
            raise VerificationFailed(
                f"the image that was written is wrong: {finding.message}",
                path=finding.path,
                offset=finding.offset,
                structure=finding.structure,
                field=finding.field,
            )
    caps = getattr(options, "capabilities", kind.capabilities)
    rewritten: frozenset[bytes] = getattr(options, "rewritten", frozenset())  # what the writer itself changes: boot images, say
    with kind.open(blob, limits) as image:
        for change in diff(project(tree, caps), image.tree, control):
            if change.path in rewritten:
                continue
            raise VerificationFailed(
                f"the image that was written differs from its source in {change.kind}",
                path=change.path,
                found=change.new or None,
                allowed=change.old or None,
            )


def _summary(report: Report) -> dict[str, object]:
    """Return the report as plain values; losses were events already."""
    values = {field.name: getattr(report, field.name) for field in dataclasses.fields(report)}
    return values | {"losses": len(report.losses)}
