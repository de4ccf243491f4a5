"""Rules about what an extension does to the host and to other extensions: L6 to L9, L11, L12, L19, L22, L27."""

from __future__ import annotations

from collections.abc import Iterator

from imgcore.errors import PathError
from imgcore.model import Dir, File, Node, Tree
from imgcore.sysext.chase import chase, directory_at
from imgcore.sysext.lint.finding import Context, Found, at, rule
from imgcore.transforms.overlay import merge, problems
from imgcore.transforms.overlay.layers import Markers

__all__: list[str] = []

_LABEL = b"security.selinux"
_DATABASES = (b"/usr/lib/sysimage/rpm", b"/usr/share/rpm", b"/var/lib/rpm", b"/var/lib/dpkg", b"/usr/lib/opkg", b"/usr/lib/apk")
_MOUNTED = (b"/usr/local",)


def _inside(node: Node) -> int:
    """Return how many paths are below a directory."""
    return sum(1 for _ in Tree(node).walk()) - 1 if isinstance(node, Dir) else 0


@rule(
    6,
    "hides-host-file",
    "error",
    "an extension should only add: which version is seen changes with the order of extensions",
    "leave the file out, or rename it",
)
def _hides(context: Context) -> Iterator[Found]:
    for path, node in context.merged:
        other = context.on_host(path)
        if other is None or isinstance(node, Dir) or isinstance(other, Dir):
            continue
        if context.same(node, other):
            yield "info", path, "is the same as the host's"
        else:
            yield "error", path, "hides a file of the host that differs"


@rule(7, "two-extensions", "error", "the extension whose name sorts last wins", "leave the file out of one of them")
def _two(context: Context) -> Iterator[Found]:
    for other in context.others:
        if other.tree is None:
            continue
        for path, node in context.merged:
            found = at(other.tree, path)
            if found is None or (isinstance(node, Dir) and isinstance(found, Dir)) or context.same(node, found):
                continue
            yield "error", path, f"is another one in `{other.name.decode('utf-8', 'backslashreplace')}`"


@rule(
    8,
    "overlay-mark",
    "error",
    "whiteouts, opaque directories and redirects hide the host and other extensions",
    "pack the files without the marks of overlayfs",
)
def _marks(context: Context) -> Iterator[Found]:
    marks = Markers(b"trusted.overlay.")
    for path, node in context.entries:
        if marks.is_whiteout(node):
            yield "error", path, "a whiteout"
        elif isinstance(node, Dir) and marks.opaque(node):
            yield "error", path, "an opaque directory"
        elif marks.redirect(node) is not None or marks.metacopy(node) is not None:
            yield "error", path, "a redirect, or a file without its content"
        elif any(name.startswith(b"user.overlay.") for name in node.meta.xattrs):
            yield "warning", path, "attributes user.overlay.*, which have no effect there"


@rule(
    9,
    "type-clash",
    "error",
    "a file or link over a directory makes everything below it vanish",
    "use the same layout as the host",
)
def _clash(context: Context) -> Iterator[Found]:
    for path, node in context.merged:
        other = context.on_host(path)
        if other is None or isinstance(node, Dir) == isinstance(other, Dir):
            continue
        if isinstance(other, Dir):
            yield "error", path, f"hides a directory of the host, with {_inside(other)} paths in it"
        else:
            yield "error", path, "a directory, where the host has none: that is hidden"


@rule(
    11,
    "directory-metadata",
    "error",
    "the merged directory has the extension's owner and mode",
    "imgcore sysext build --owner root, and the host's modes",
)
def _metadata(context: Context) -> Iterator[Found]:
    for path, node in context.merged:
        other = context.on_host(path)
        if isinstance(node, Dir) and isinstance(other, Dir):
            old, new = (f"{one.meta.mode:04o} {one.meta.uid}:{one.meta.gid}" for one in (other, node))
            if old != new:
                yield "error", path, f"has {new}, on the host {old}"
        elif node.meta.uid or node.meta.gid:
            yield "warning", path, f"belongs to {node.meta.uid}:{node.meta.gid}"


@rule(12, "selinux", "warning", "the label of a merged directory is the extension's", "label it: imgcore pack --selinux")
def _labels(context: Context) -> Iterator[Found]:
    for path, node in context.merged:
        other = context.on_host(path)
        if other is None or _LABEL not in other.meta.xattrs or not isinstance(node, Dir):
            continue
        if node.meta.xattrs.get(_LABEL) != other.meta.xattrs[_LABEL]:
            yield (
                "warning",
                path,
                "has no SELinux label" if _LABEL not in node.meta.xattrs else "has another SELinux label than the host",
            )


@rule(19, "below-mount", "warning", "what is mounted there on the host hides it", "install it elsewhere")
def _mounts(context: Context) -> Iterator[Found]:
    places = {*_MOUNTED, *_fstab(context)}
    for path, node in context.merged:
        for place in places:
            if path.startswith(place + b"/") and not isinstance(node, Dir):
                yield "warning", path, f"is below {place.decode('utf-8', 'backslashreplace')}, where hosts mount something"
                places = places - {place}
                break


def _fstab(context: Context) -> Iterator[bytes]:
    if context.host is None:
        return
    try:
        found = chase(context.host, b"/etc/fstab")
    except PathError:
        return
    if found is not None and isinstance(found.node, File):
        for line in found.node.content.read_at(0, 1 << 16).splitlines():
            words = line.split()
            if len(words) > 1 and not words[0].startswith(b"#") and words[1].startswith((b"/usr/", b"/opt/")):
                yield words[1].rstrip(b"/")


@rule(22, "ghost", "warning", "such a name is listed and cannot be looked up", "remove the whiteout")
def _ghosts(context: Context) -> Iterator[Found]:
    for path in context.kind.hierarchies:
        own = directory_at(context.tree, path)
        if own is None or not isinstance(own.node, Dir):
            continue
        lower = None if context.host is None else directory_at(context.host, path)
        below = lower.node if lower is not None and isinstance(lower.node, Dir) else Dir()
        for one in problems(merge([Tree(own.node), Tree(below)])):
            if one.rule in ("ghost", "error", "open-error"):
                yield "warning", path + one.path, one.message


@rule(27, "size", "info", "what the host has too need not be in the extension", "imgcore diff --layer leaves it out")
def _size(context: Context) -> Iterator[Found]:
    double = [
        node.content.size
        for path, node in context.files()
        if (other := context.on_host(path)) is not None and context.same(node, other)
    ]
    if double:
        yield "info", b"/", f"{len(double)} files of {sum(double)} bytes are the same on the host"
    for path in _DATABASES:
        if at(context.tree, path) is not None:
            yield "info", path, "a database of packages: of several extensions one is seen"
