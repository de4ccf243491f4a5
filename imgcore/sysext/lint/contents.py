"""Rules about files that do not do in an extension what they do in a system: L13 to L18, L24."""

from __future__ import annotations

import re
from collections.abc import Iterator

from imgcore.model import Device, Dir, File
from imgcore.sysext.lint.finding import Context, Found, at, rule
from imgcore.sysext.lint.naming import elves

__all__: list[str] = []

_INDEXES = (
    "gschemas.compiled",
    "icon-theme.cache",
    "mimeinfo.cache",
    "mime.cache",
    "ld.so.cache",
    "hwdb.bin",
    "giomodule.cache",
    "gconv-modules.cache",
    "locale-archive",
    "immodules.cache",
    "loaders.cache",
    "fonts.cache-1",
)
_INDEX_NAMES = frozenset(name.encode() for name in _INDEXES)
_INFO_DIR = re.compile(rb"/usr/share/info/dir(\.gz)?\Z")
_DEPMOD = re.compile(rb"/usr/lib/modules/[^/]+/modules\.(dep|alias|symbols|softdep|devname|builtin|order)[^/]*\Z")
_UNIT = re.compile(rb"/usr/lib/systemd/(system|user)/[^/]+\.(service|socket|timer|path|mount|target)\Z")
_LIBRARY_DIRS = re.compile(rb"/usr/lib(64|32)?(/[^/]+-linux-gnu[^/]*)?/[^/]+\Z")
_OWN_STATE = re.compile(
    rb"^(?:ExecStart\S*|EnvironmentFile|ConditionPathExists)\s*=\s*[-@:+!]*(/(?:etc|var)/\S+)", re.MULTILINE
)
_MOST_UNIT = 1 << 16


@rule(13, "index", "error", "one file takes the place of the host's whole index", "leave it out, and have it made on the host")
def _index(context: Context) -> Iterator[Found]:
    for path, _ in context.files():
        if path.rpartition(b"/")[2] in _INDEX_NAMES or _INFO_DIR.match(path):
            yield "error", path, "a generated index"


@rule(14, "depmod", "error", "the last extension's list of modules is the only one", "leave it out: depmod runs on the host")
def _depmod(context: Context) -> Iterator[Found]:
    for path, _ in context.files():
        if _DEPMOD.match(path):
            yield "error", path, "a file that depmod generates"


@rule(
    15, "library", "warning", "the linker finds it only once ldconfig has run", "run ldconfig after the merge, or use RUNPATH"
)
def _library(context: Context) -> Iterator[Found]:
    for path, found in elves(context):
        if found.soname and not _LIBRARY_DIRS.match(path):
            yield "warning", path, "a shared library outside of the linker's directories"
        elif found.soname and context.on_host(path) is None and context.host is not None:
            yield "warning", path, f"a library that is new to the host ({found.soname.decode('utf-8', 'replace')})"


@rule(
    16,
    "unit",
    "warning",
    "nothing enables it: presets and [Install] are not looked at after a merge",
    "link it in TARGET.wants or .upholds below /usr, and set EXTENSION_RELOAD_MANAGER=1",
)
def _units(context: Context) -> Iterator[Found]:
    links = {
        path.rpartition(b"/")[2]
        for path, _ in context.merged
        if b".wants/" in path or b".upholds/" in path or b".requires/" in path
    }
    reload = context.extension.release.values.get("EXTENSION_RELOAD_MANAGER", "")
    for path, node in context.files():
        if not _UNIT.match(path):
            continue
        text = node.content.read_at(0, min(node.content.size, _MOST_UNIT))
        if b"[Install]" in text and path.rpartition(b"/")[2] not in links:
            yield "warning", path, "a unit with [Install] that nothing below /usr pulls in"
        elif not reload:
            yield "warning", path, "a unit, without EXTENSION_RELOAD_MANAGER"
    for path, _ in context.files(b".preset"):
        yield "warning", path, "a preset, which is not applied after a merge"


@rule(
    17,
    "sysusers-tmpfiles",
    "warning",
    "it is applied only where the extension is merged before those services run",
    "run them again after the merge",
)
def _late(context: Context) -> Iterator[Found]:
    for path, _ in context.files(b".conf"):
        if path.startswith((b"/usr/lib/sysusers.d/", b"/usr/lib/tmpfiles.d/")):
            yield "warning", path, "is read early in the boot"


@rule(18, "own-state", "warning", "files in /etc and /var of an extension are not merged", "ship a default below /usr")
def _state(context: Context) -> Iterator[Found]:
    for path, node in context.files():
        if _UNIT.match(path):
            text = node.content.read_at(0, min(node.content.size, _MOST_UNIT))
            for name in _OWN_STATE.findall(text):
                if at(context.tree, name) is not None:
                    yield "warning", path, f"needs {name.decode('utf-8', 'backslashreplace')}, which is only in the extension"


@rule(
    24,
    "mount-flags",
    "warning",
    "a confext is mounted nosuid and noexec, both kinds nodev; setuid programs of a sysext have effect on every host",
    "do not rely on what has no effect, and let the host's own system bring what is privileged",
)
def _flags(context: Context) -> Iterator[Found]:
    for path, node in context.merged:
        if isinstance(node, Device) and (node.major or node.minor or node.kind == "block"):
            yield "info", path, "a device, which cannot be used"
        if isinstance(node, Dir):
            continue
        privileged = node.meta.mode & 0o6000 or b"security.capability" in node.meta.xattrs
        if context.kind.name != "confext":
            if isinstance(node, File) and privileged:
                yield "warning", path, "setuid, setgid or capabilities"
        elif privileged:
            yield "info", path, "setuid, setgid or capabilities, which have no effect"
        elif isinstance(node, File) and node.meta.mode & 0o111:
            yield "info", path, "a program, which cannot be run"
