"""Write a tree into a directory of the host, which may hold traps, from an image, which may be one.

Safe by construction:

* everything happens beneath the descriptor of the target, one name at a time (`beneath`): no link is ever followed;
* names that could leave their directory are refused before anything is written;
* files are made new (O_EXCL), 0600, in directories that are 0700 until all is done; nothing that exists is written to,
  and a directory that exists keeps its owner, mode, times and attributes. With `force` an existing name is removed
  first, and made anew, and existing directories are given the tree's metadata;
* owner, extended attributes, mode and times come last, those of directories last of all and from the bottom up;
* setuid and setgid are dropped where ownership is not kept; devices are made by root only, or when asked for.

The names are made by the calling thread, in the tree's order; contents are written by `jobs` threads, each with one
piece of a file in memory (`unpacking`). Contents that lie in a stream (an RPM's) the calling thread writes in the stream's
order, when all else has its name, while another thread undoes what is next. Where the tree is that of an image, as it was
read, the C core makes the files (`table_files`). A failed run leaves what it made, but no file that is not whole, and says so.
"""

from __future__ import annotations

import contextlib
import os
from typing import TYPE_CHECKING, Literal, TypeAlias

from imgcore.blob import held_file
from imgcore.blob.faked import is_faked, plain
from imgcore.engine import native_unpacker
from imgcore.errors import ImgcoreError, LimitExceeded, NotRepresentable, Unsupported, context, show
from imgcore.events import Control, Finished, Planned
from imgcore.hosts.beneath import Chain, output_error
from imgcore.hosts.unpacking import Unpacking, UnpackReport
from imgcore.limits import Limits
from imgcore.model import Dir, File, Table, Tree, Whiteout

if TYPE_CHECKING:
    from imgcore.engine.native_unpack import NativeUnpack

__all__ = ["OwnerMode", "UnpackReport", "unpack"]

OwnerMode: TypeAlias = Literal["keep", "me"]


def unpack(
    tree: Tree,
    dest: str | bytes | os.PathLike[str] | os.PathLike[bytes],
    *,
    owner: OwnerMode | None = None,
    devices: bool | None = None,
    xattrs: bool = True,
    force: bool = False,
    limits: Limits | None = None,
    control: Control | None = None,
    jobs: int = 1,
    engine: Literal["auto", "native", "pure"] = "auto",
) -> UnpackReport:
    """Write `tree` into the directory `dest`, which is made where it is missing; return what was done.

    `owner` is "keep" for root and "me" else; `devices` None makes them as root only. With `force` files that exist are
    replaced, and directories that exist get the tree's metadata, which else they keep. The metadata of the tree's root is
    set on `dest` unless that held something before. `limits` bound the
    sizes, those of the tree its names. Where an image's tree comes unchanged, the native engine writes the files; `engine`
    chooses, as for `get_engine`. Raises OutputError (TargetExists without `force`), NotRepresentable,
    LimitExceeded, Cancelled, and what reading the contents raises.
    """
    if os.open not in os.supports_dir_fd or not hasattr(os, "O_NOFOLLOW"):
        raise Unsupported("this system cannot unpack safely: it has no openat with O_NOFOLLOW")
    if jobs < 1:
        raise ValueError("jobs has to be at least 1")
    if owner not in (None, "keep", "me"):
        raise ValueError(f"owner `{owner}` is neither keep nor me")
    root = getattr(os, "geteuid", lambda: -1)() == 0
    control = control or Control()
    table, unpacker = _native_way(tree, engine)
    if table is not None:
        files, total = _require_columns(table, limits or tree.limits)
    else:
        files, total = _require_unpackable(tree, limits or tree.limits, control)
    control.emit(Planned("unpack", files, total))
    target = os.fsencode(dest)
    root_fd, is_ours = _open_target(target)
    with Chain(root_fd, target) as chain:
        work = Unpacking(
            chain,
            control,
            keep_owner=owner == "keep" or (owner is None and root),
            devices=root if devices is None else devices,
            insist=devices is True,
            xattrs=xattrs,
            force=force,
            jobs=1 if is_faked() else jobs,
        )
        try:
            if table is not None and unpacker is not None:
                from imgcore.hosts.table_files import unpack_table

                report = unpack_table(work, table, unpacker, is_ours)
            else:
                report = work.run(tree, is_ours)
        except ImgcoreError as error:
            if error.hint is None and work.made:
                error.hint = f"what was unpacked before is left in `{show(target)}`, its directories with mode 0700"
            raise
    control.emit(Finished("unpack", {name: getattr(report, name) for name in UnpackReport.__dataclass_fields__}))
    return report


def _require_unpackable(tree: Tree, limits: Limits, control: Control) -> tuple[int, int]:
    """Return (files, bytes) of the tree; raise for names that no directory can hold, and for more than `limits` allow."""
    seen: set[int] = set()
    total = count = 0
    for path, node in tree.walk():
        control.check()
        count += 1
        name = path[path.rfind(b"/") + 1 :]
        if name in (b".", b"..") or b"\0" in name or (not name and path != b"/"):
            raise NotRepresentable("impossible name: it could leave the target", path=path)
        if isinstance(node, Dir):
            for child in node.children:
                if b"/" in child:
                    raise NotRepresentable(f"impossible name `{show(child)}`: it could leave the target", path=path)
        elif isinstance(node, Whiteout):
            raise NotRepresentable("a whiteout cannot be unpacked", path=path)
        elif isinstance(node, File) and id(node) not in seen:
            seen.add(id(node))
            total += node.content.size
            try:  # not `context`: this is done for every file, and a `with` costs as much as all the rest
                limits.require("max_file_size", node.content.size)
                limits.require("max_total_size", total)
            except LimitExceeded as error:
                error.path = path
                raise
    limits.require("max_entries", count)
    return len(seen), total


def _native_way(tree: Tree, engine: Literal["auto", "native", "pure"]) -> tuple[Table | None, type[NativeUnpack] | None]:
    """Return the tree's columns and what writes its files, where these lie in one image and C can decode them."""
    if engine == "pure" or is_faked():
        return None, None
    table = tree.columns()
    if table is None or table.stored is None:
        return None, None
    with held_file(table.stored.blob) as held:
        unpacker = native_unpacker(table.stored.codec, engine) if held is not None else None
    return (table, unpacker) if unpacker is not None else (None, None)


def _require_columns(table: Table, limits: Limits) -> tuple[int, int]:
    """Do what `_require_unpackable` does, by the column; the limits of the tree were held when it was read."""
    names = table.shape.names[1:]
    joined = b"/".join(names)
    if b"\0" in joined or joined.count(b"/") != max(0, len(names) - 1) or not {b"", b".", b".."}.isdisjoint(names):
        raise NotRepresentable("impossible name: it could leave the target")
    rows = table.file_rows()
    sizes = [table.sizes[row] for row in rows]
    total = sum(sizes)
    if sizes and max(sizes) > limits.max_file_size:
        with context(path=table.shape.path(rows[sizes.index(max(sizes))])):
            limits.require("max_file_size", max(sizes))
    limits.require("max_total_size", total)
    limits.require("max_entries", len(table))
    return len(rows), total


def _open_target(target: bytes) -> tuple[int, bool]:
    """Return (descriptor of the target directory, whether it held nothing)."""
    try:
        with contextlib.suppress(FileExistsError):
            os.mkdir(plain(target), 0o700)
        fd = os.open(plain(target), os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        raise output_error(error, target, "unpack into this directory") from None
    try:
        with os.scandir(fd) as entries:
            return fd, next(entries, None) is None
    except BaseException:
        os.close(fd)
        raise
