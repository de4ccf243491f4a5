"""The layers of each hierarchy, top first, and what stops systemd from mounting them.

    imported mutable directory : highest extension : … : lowest extension : the host's own

An extension is a layer where it has the hierarchy and something is in it; the host's own is one where something is in it.
Layers are handed to the kernel in a text of at most 4095 bytes, which names with certain characters break.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

from imgcore.errors import PathError
from imgcore.model import Dir, Tree, type_name
from imgcore.sysext.chase import Place, chase
from imgcore.sysext.extension import Extension
from imgcore.sysext.kinds import Kind
from imgcore.sysext.mutable import MutableMode, Writes, writes_of
from imgcore.sysext.version import SystemdVersion

__all__ = ["MOST_OPTIONS", "Block", "Hierarchy", "Layer", "bad_characters", "hierarchy_of", "option_length"]

MOST_OPTIONS: Final = 4095  # bytes: a page, less the NUL at its end
_WORKSPACE: Final = len("/run/systemd/sysext/")
_BREAK_PATHS: Final = b":,\\"
_BREAK_QUOTES: Final = b"'\""
_WRITE_OPTIONS: Final = ",redirect_dir=on,metacopy=off,index=off"

LayerOrigin: TypeAlias = Literal["mutable", "extension", "host"]


@dataclass(frozen=True, slots=True)
class Block:
    """Why nothing is merged: a rule, what it is about, what was found, what is wanted, what would help.

    `early`: systemd finds it out before it starts the child that merges.
    """

    rule: str
    subject: bytes
    found: str
    wanted: str
    fix: str
    early: bool = False

    @property
    def of_extension(self) -> bool:
        """Whether the subject is the name of an extension, and not a path of the host."""
        return self.rule in ("layer", "name", "overlap")


@dataclass(frozen=True, slots=True)
class Layer:
    """A layer: whose it is, the name of the extension, where it lies in the extension or on the host."""

    origin: LayerOrigin
    name: bytes
    path: bytes
    directory: Dir


@dataclass(frozen=True, slots=True)
class Hierarchy:
    """One hierarchy.

    Attributes:
        path: as it was asked for.
        target: where it is on the host, links resolved.
        merged: whether anything is mounted there; if not, the host's own stays as it is.
        created: it is missing on the host, and made as a mount point.
        layers: top first, without what takes the writes.
        writes: what takes them.
        options: length of the text that says all this to the kernel.
    """

    path: bytes
    target: bytes
    merged: bool
    created: bool
    layers: tuple[Layer, ...]
    writes: Writes
    options: int


def bad_characters(name: bytes) -> bytes:
    """Return the characters of a name that break the kernel's text of layers."""
    return bytes(char for char in _BREAK_PATHS + _BREAK_QUOTES if char in name)


def option_length(kind: Kind, names: Sequence[bytes], hierarchy: bytes, host: bool, prefix: int = 0) -> int:
    """Return the length of the text for these layers; `prefix` is the length of the path of the root."""
    meta = len("lowerdir=") + _WORKSPACE + len("meta") + len(hierarchy)
    each = len(":") + _WORKSPACE + len(kind.plural) + len("/") + len(hierarchy)
    return meta + sum(each + len(name) for name in names) + (len(":") + prefix + len(hierarchy) if host else 0)


def hierarchy_of(
    root: Tree,
    path: bytes,
    accepted: Sequence[Extension],
    kind: Kind,
    mode: MutableMode,
    prefix: int,
    systemd: SystemdVersion,
) -> tuple[Hierarchy, list[Block]]:
    """Return a hierarchy, and what stops it; `accepted` are in systemd's order, the lowest first."""
    blocks: list[Block] = []
    try:
        host = chase(root, path)
    except PathError as error:
        host = None
        blocks.append(Block("hierarchy", path, error.message, "a directory", f"make {_text(path)} a directory", early=True))
    if host is not None and not isinstance(host.node, Dir):
        found = f"a {type_name(host.node)} on the host"
        blocks.append(Block("hierarchy", path, found, "a directory", f"make {_text(path)} a directory"))
        host = None
    layers: list[Layer] = []
    for extension in reversed(accepted):
        layer, block = _layer(extension, path)
        layers += [layer] if layer is not None else []
        blocks += [block] if block is not None else []
    used = [layer.name for layer in layers]
    writes = writes_of(root, path, host, mode, follows=systemd.makes_linked_directories)
    merged = bool(layers) or (mode != "no" and systemd.mutable_alone)
    if merged and writes.trouble:
        fix = f"repair {_text(writes.path or b'')}, or merge with --mutable no"
        blocks.append(Block("mutable", path, writes.trouble, "a directory apart from the hierarchy, with its mode", fix))
    if merged:
        blocks += _unmountable(layers, path, host, accepted)
    if writes.imported is not None:
        assert isinstance(writes.imported.node, Dir)
        layers.insert(0, Layer("mutable", b"", writes.imported.path, writes.imported.node))
    has_host = host is not None and isinstance(host.node, Dir) and bool(host.node.children)
    if has_host and writes.upper != "host":
        assert host is not None
        assert isinstance(host.node, Dir)
        layers.append(Layer("host", b"", host.path, host.node))
    if merged and not layers and writes.upper == "none" and not writes.trouble:
        found = "nothing on the host, in the extensions or in a mutable directory"
        blocks.append(
            Block(
                "empty",
                path,
                found,
                "two layers, since Linux mounts no single one",
                f"put something into {_text(path)} of the host",
            )
        )
    options = _options(kind, used, path, host, has_host, writes, prefix)
    if merged and options > MOST_OPTIONS:
        found = f"{options} bytes of mount options for {len(used)} extensions"
        fix = "use fewer extensions, or shorter names"
        blocks.append(Block("too-long", path, found, f"at most {MOST_OPTIONS} bytes", fix))
    target = path if host is None else host.path
    return Hierarchy(path, target, merged, host is None and merged, tuple(layers), writes, options), blocks


def _layer(extension: Extension, path: bytes) -> tuple[Layer | None, Block | None]:
    """Return what an extension has of a hierarchy."""
    if extension.tree is None:
        return None, None
    try:
        found = chase(extension.tree, path)
    except PathError as error:
        fix = f"repair {_text(path)} in the extension"
        return None, Block("layer", extension.name, f"{_text(path)}: {error.message}", "a directory", fix)
    if found is None:
        return None, None
    if not isinstance(found.node, Dir):
        text = f"{_text(path)} is a {type_name(found.node)}"
        return None, Block("layer", extension.name, text, "a directory", f"remove {_text(path)} from the extension")
    if not found.node.children:
        return None, None
    return Layer("extension", extension.name, found.path, found.node), None


def _unmountable(layers: Sequence[Layer], path: bytes, host: Place | None, accepted: Sequence[Extension]) -> list[Block]:
    """Return what the kernel, or systemd before it, refuses of the layers."""
    blocks = []
    places = {one.name: one.place for one in accepted if one.image_type == "directory"}
    for layer in reversed(layers):
        if bad := bad_characters(layer.name):
            found = f"the characters {' '.join(bad.decode())} in the name"
            blocks.append(Block("name", layer.name, found, "a name without : , \\ ' \"", "rename it"))
        place = places.get(layer.name)
        if place is not None and host is not None and _below(place + layer.path, host.path):
            found = f"it is stored below {_text(path)}, which is a layer too"
            blocks.append(Block("overlap", layer.name, found, "a place outside of what is merged", "move it to /var/lib"))
    return blocks


def _below(path: bytes, parent: bytes) -> bool:
    return path == parent or path.startswith(parent.rstrip(b"/") + b"/")


def _options(
    kind: Kind, used: Sequence[bytes], path: bytes, host: Place | None, has_host: bool, writes: Writes, prefix: int
) -> int:
    length = option_length(kind, used, path, has_host, prefix)
    if has_host and host is not None:
        length += len(host.path) - len(path)
    if writes.imported is not None:
        length += 1 + prefix + len(writes.imported.path)
    if writes.upper in ("directory", "host") and writes.path is not None:
        length += 2 * (prefix + len(writes.path)) + len(",upperdir=,workdir=.systemd--workdir") + len(_WRITE_OPTIONS)
    return length


def _text(path: bytes) -> str:
    return path.decode("utf-8", "backslashreplace")
