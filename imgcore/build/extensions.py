"""A host and extensions as somebody names them on a command line: opened, planned and merged.

An image that cannot be opened is still an extension, about which there is a decision. An archive, which systemd would not
look at, stands for the directory that it unpacks to: `hello.tar` is `hello` too.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Sequence
from typing import Final

from imgcore.blob import FileBlob
from imgcore.build.extension_name import extension_name
from imgcore.build.source import open_source
from imgcore.build.spec import SourceSpec
from imgcore.errors import SourceUnreadable
from imgcore.events import Control
from imgcore.limits import Limits
from imgcore.model import File, Meta
from imgcore.sysext.discovery import Candidate
from imgcore.sysext.extension import Extension, open_extension, with_tree
from imgcore.sysext.kinds import KINDS, KindName
from imgcore.sysext.version import NEWEST, SystemdVersion
from imgcore.transforms.overlay import Layer

__all__ = ["open_extensions", "open_layers"]

_ARCHIVES: Final = ("tar", "cpio", "zip")  # what stands for a directory


def open_extensions(
    sources: Sequence[SourceSpec],
    stack: contextlib.ExitStack,
    *,
    kind: KindName = "sysext",
    systemd: SystemdVersion = NEWEST,
    limits: Limits | None = None,
    control: Control | None = None,
) -> list[Extension]:
    """Return the extensions at these places; `stack` closes them.

    Raises SourceUnreadable where there is nothing, ValueError for two of one name; what is wrong with an image is in it.
    """
    limits = limits or Limits.default()
    found: dict[bytes, Extension] = {}
    for source in sources:
        name = extension_name(source.path, kind, systemd)
        if name in found:
            raise ValueError(f"two extensions are called `{os.fsdecode(name)}`: systemd takes one of them")
        found[name] = _open(source, name, kind, systemd, limits, control, stack)
    return list(found.values())


def _open(
    source: SourceSpec,
    name: bytes,
    kind: KindName,
    systemd: SystemdVersion,
    limits: Limits,
    control: Control | None,
    stack: contextlib.ExitStack,
) -> Extension:
    path = os.fsencode(source.path)
    if not os.path.lexists(path):
        raise SourceUnreadable("no such extension", path=path)
    plain = not source.parts and source.kind is None and source.partition is None
    if plain and os.path.isfile(path) and _is_image(path):
        blob = stack.enter_context(FileBlob(path))
        meta = Meta(mtime_ns=os.stat(path).st_mtime_ns)
        candidate = Candidate(name, "raw", path, path, File(meta, blob))
        return open_extension(candidate, KINDS[kind], systemd, limits, stack)
    opened = stack.enter_context(open_source(source, limits=limits, control=control))
    unpacked = opened.format is None or opened.format.name in _ARCHIVES
    return with_tree(name, path, opened.tree, "directory" if unpacked else "raw", KINDS[kind], systemd)


def _is_image(path: bytes) -> bool:
    """Whether a file is called as systemd wants an image to be; anything else is opened as a SRC is."""
    return path.endswith(b".raw")


def open_layers(
    sources: Sequence[SourceSpec],
    stack: contextlib.ExitStack,
    *,
    limits: Limits | None = None,
    control: Control | None = None,
) -> list[Layer]:
    """Return trees as layers of an overlay, named as they were written; `stack` closes them. Raises as `open_source`."""
    made = []
    for source in sources:
        tree = stack.enter_context(open_source(source, limits=limits, control=control)).tree
        made.append(Layer(source.text, tree))
    return made
