"""Rules about what an extension is called, says of itself, and fits to: L1 to L5, L10, L20, L21, L23, L25, L26."""

from __future__ import annotations

from collections.abc import Iterator

from imgcore.errors import show
from imgcore.model import Dir, Symlink
from imgcore.sysext.architecture import near_misses
from imgcore.sysext.chase import directory_at
from imgcore.sysext.discovery import is_extension_name
from imgcore.sysext.kinds import Kind
from imgcore.sysext.layers import MOST_OPTIONS, bad_characters, option_length
from imgcore.sysext.lint.elf import Elf, read_elf
from imgcore.sysext.lint.finding import Context, Found, rule
from imgcore.sysext.match import match
from imgcore.sysext.order import compare_versions

__all__: list[str] = []

_MERGED_USR = (b"bin", b"lib", b"lib32", b"lib64", b"libx32", b"sbin")


def elves(context: Context) -> Iterator[tuple[bytes, Elf]]:
    """Yield the ELF files that are merged."""
    for path, node in context.files():
        found = read_elf(node.content)
        if found is not None:
            yield path, found


@rule(
    1,
    "release-file",
    "error",
    "without it a directory is ignored, and an image blocks all extensions",
    "imgcore sysext build writes it",
)
def _release(context: Context) -> Iterator[Found]:
    release = context.extension.release
    if release.path is None or not release.values:
        yield "error", context.kind.release_dir, release.why


@rule(2, "os-release", "error", "it would hide the host's, so systemd refuses the extension, or all of them", "leave it out")
def _os_release(context: Context) -> Iterator[Found]:
    found = context.extension.os_release
    if found.present:
        yield "error", found.path, "an extension brings an os-release"
    elif found.trouble:
        yield "error", found.path, "it cannot be said whether it is there, which blocks all: " + found.trouble


@rule(3, "host-mismatch", "error", "systemd ignores an extension that does not fit to the host", "build it for this host")
def _mismatch(context: Context) -> Iterator[Found]:
    if context.facts is not None and context.extension.release.values:
        verdict = match(context.extension.release, context.facts, context.kind, context.systemd)
        if not verdict.accepted:
            yield "error", context.extension.release.path or b"/", f"{verdict.found}, wanted {verdict.wanted}"


@rule(
    4,
    "any-host-native",
    "warning",
    "it merges on hosts whose libraries or kernel it was not built for",
    "say ID and VERSION_ID, or bring the libraries",
)
def _any_native(context: Context) -> Iterator[Found]:
    if context.extension.release.values.get("ID") != "_any":
        return
    own = {path.rpartition(b"/")[2] for path, _ in context.merged}
    for path, found in elves(context):
        missing = [name for name in found.needed if name not in own]
        if missing:
            yield "warning", path, f"needs {b', '.join(missing).decode('utf-8', 'replace')} of the host, and ID is _any"
            break
    for path, _ in context.files(b".ko", b".ko.xz", b".ko.zst", b".ko.gz"):
        yield "warning", path, "a kernel module, and ID is _any"
        break


@rule(5, "outside", "warning", "what is outside of the hierarchies is never merged", "move it, or leave it out")
def _outside(context: Context) -> Iterator[Found]:
    inside = {path.strip(b"/").split(b"/")[0] for path in context.kind.hierarchies}
    for name in sorted(context.tree.root.children):
        if name not in inside and name not in _MERGED_USR:
            yield "warning", b"/" + name, "is not merged"


@rule(
    10, "not-merged-usr", "warning", "only /usr is merged: /lib and /bin of an extension are dropped", "install it below /usr"
)
def _merged_usr(context: Context) -> Iterator[Found]:
    for name in _MERGED_USR:
        if name in context.tree.root.children:
            yield "warning", b"/" + name, "is dropped, since it is not below /usr"


@rule(
    20,
    "name",
    "error",
    "systemd finds directories and NAME.raw, and names the layers to the kernel in a text of 4095 bytes, where `:` ends one",
    "rename it",
)
def _name(context: Context) -> Iterator[Found]:
    name, base = context.extension.name, context.extension.path.rstrip(b"/").rpartition(b"/")[2]
    if not is_extension_name(name):
        yield "error", b"/", f"systemd passes over `{show(base)}`: no extension can be called so"
    elif context.extension.place is None and base not in (b"", b".", b"..") and _suffix(base, name, context.kind) is None:
        yield "error", b"/", f"systemd passes over `{show(base)}`: an image is called {show(name)}.raw"
    if bad := bad_characters(context.extension.name):
        yield "error", b"/", f"the name has {' '.join(bad.decode())}"
    names = [context.extension.name, *(one.name for one in context.others)]
    for path in context.kind.hierarchies:
        if (size := option_length(context.kind, names, path, True)) > MOST_OPTIONS:
            yield "error", path, f"{size} bytes of mount options, at most {MOST_OPTIONS}"


def _suffix(base: bytes, name: bytes, kind: Kind) -> bytes | None:
    """Return what a file name has behind the name of its extension; None for what systemd does not look at."""
    suffixes = (b"", b".raw", b"." + kind.name.encode(), b"." + kind.name.encode() + b".raw")
    return next((suffix for suffix in suffixes if base == name + suffix), None)


@rule(21, "rival", "warning", "which of two comes first is left to chance", "remove or rename one of them")
def _rival(context: Context) -> Iterator[Found]:
    for path in context.extension.rivals:
        yield "warning", path, "has the same name"
    for other in context.others:
        if other.name != context.extension.name and not compare_versions(other.name, context.extension.name):
            yield "warning", b"/", f"`{show(other.name)}` is an equal name to systemd: which lies above changes from run to run"


@rule(
    23,
    "hierarchy",
    "warning",
    "a hierarchy that is empty or no directory merges nothing, or blocks all extensions",
    "make it a directory with content",
)
def _hierarchy(context: Context) -> Iterator[Found]:
    for path in context.kind.hierarchies:
        node = context.tree.root.children.get(path.strip(b"/"))
        if isinstance(node, Dir) and not node.children:
            yield "warning", path, "an empty directory"
        elif isinstance(node, Symlink):
            if directory_at(context.tree, path) is None:
                yield "error", path, "a symbolic link that leads to no directory of the extension"
        elif node is not None and not isinstance(node, Dir):
            yield "error", path, "no directory"


@rule(
    25,
    "stored-inside",
    "warning",
    "an extension inside of what is merged blocks the merge, or is left mounted by the next one",
    "keep it in /var/lib",
)
def _stored(context: Context) -> Iterator[Found]:
    place = context.extension.place
    for path in context.kind.hierarchies if place is not None and context.host is not None else ():
        if place is not None and place.startswith(path + b"/"):
            yield "warning", place, f"is stored below {path.decode()}"


@rule(
    26,
    "architecture",
    "warning",
    "without ARCHITECTURE it merges on machines that cannot run it",
    "imgcore sysext build --arch NAME",
)
def _architecture(context: Context) -> Iterator[Found]:
    values = context.extension.release.values
    said = values.get("ARCHITECTURE", "")
    where = context.extension.release.path or b"/"
    if said and (better := near_misses(said)) is not None and better != said:
        yield "error", where, f"ARCHITECTURE={said}, which systemd calls {better}"
        return
    for path, found in elves(context):
        if said in ("", "_any"):
            yield "warning", path, f"native code for {found.machine or 'a machine'}, and ARCHITECTURE is {said or 'not set'}"
            return
        if found.machine and found.machine != said:
            yield "warning", path, f"native code for {found.machine}, and ARCHITECTURE={said}"
            return
