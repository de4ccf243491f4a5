"""What control.tar says of a Debian package: its control fields, scripts, configuration files, and digests of its files."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from imgcore.blob import read_all
from imgcore.errors import Corrupt, context
from imgcore.limits import Limits
from imgcore.model import File, Tree
from imgcore.values import field, value_class

__all__ = ["Package", "Script", "read_package"]

_SCRIPTS: Final = ("preinst", "postinst", "prerm", "postrm", "config")
_MOST_TEXT: Final = 64 << 20


@value_class
class Script:
    """A program that dpkg would run, and imgcore does not."""

    name: str
    text: str


@value_class
class Package:
    """What a package is; `fields` are all of its control file, as they stand there.

    Attributes:
        conffiles: paths of configuration files, without their leading `/`.
        scripts: maintainer scripts.
        triggers: lines of its triggers file.
        md5sums: MD5 of files by path, without their leading `/`; empty where the package has none.
    """

    name: str
    version: str
    arch: str
    fields: Mapping[str, str] = field(default_factory=dict)
    conffiles: tuple[bytes, ...] = ()
    scripts: tuple[Script, ...] = ()
    triggers: tuple[str, ...] = ()
    md5sums: Mapping[bytes, str] = field(default_factory=dict)


def _raw(tree: Tree, name: str, limits: Limits) -> bytes | None:
    node = tree.root.children.get(name.encode())
    if not isinstance(node, File):
        return None
    with context(path=b"/" + name.encode()):
        if node.content.size > _MOST_TEXT:
            raise Corrupt("file of control.tar is too large", structure="control.tar", field=name, found=node.content.size)
        limits.require("max_metadata", node.content.size)
        return read_all(node.content)


def _text(raw: bytes | None) -> str:
    return (raw or b"").decode("utf-8", "surrogateescape")


def control_fields(text: str) -> dict[str, str]:
    """Return the fields of a control file; lines that go on are kept with their line ends. Raises Corrupt with the line."""
    fields: dict[str, str] = {}
    last = ""
    for number, line in enumerate(text.split("\n"), 1):
        if line.startswith((" ", "\t")) and last:
            fields[last] += "\n" + line
        elif line.startswith("#") or not line.strip():
            continue
        else:
            name, colon, value = line.partition(":")
            if not colon or not name.strip():
                raise Corrupt("line of a control file without a field", line=number, structure="control.tar", field="control")
            if name in fields:
                raise Corrupt(
                    "field twice in a control file", line=number, structure="control.tar", field="control", found=name
                )
            last = name
            fields[name] = value.strip()
    return fields


def read_package(tree: Tree, limits: Limits) -> Package:
    """Return what the tree of control.tar says. Raises Corrupt, LimitExceeded."""
    control = _raw(tree, "control", limits)
    if control is None:
        raise Corrupt("package without a control file", structure="control.tar", field="control")
    fields = control_fields(_text(control))
    for name in ("Package", "Version", "Architecture"):
        if not fields.get(name):
            raise Corrupt(f"control file without {name}", structure="control.tar", field="control")
    sums: dict[bytes, str] = {}
    for number, line in enumerate((_raw(tree, "md5sums", limits) or b"").split(b"\n"), 1):
        value, blank, path = line.partition(b"  ")
        if line and (not blank or len(value) != 32):
            raise Corrupt("line of md5sums without a sum", line=number, structure="control.tar", field="md5sums")
        if line:
            sums[path.removeprefix(b"./").lstrip(b"/")] = _text(value).lower()
    conffiles = [line.strip() for line in (_raw(tree, "conffiles", limits) or b"").split(b"\n")]
    scripts = [(name, _raw(tree, name, limits)) for name in _SCRIPTS]
    return Package(
        name=fields["Package"],
        version=fields["Version"],
        arch=fields["Architecture"],
        fields=fields,
        conffiles=tuple(line.lstrip(b"/") for line in conffiles if line.startswith(b"/")),
        scripts=tuple(Script(name, _text(raw)) for name, raw in scripts if raw is not None),
        triggers=tuple(line for line in _text(_raw(tree, "triggers", limits)).split("\n") if line.strip()),
        md5sums=sums,
    )
