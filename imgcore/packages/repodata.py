"""The XML files of a repository: repomd.xml, which says where the others are, primary.xml and filelists.xml."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final

from imgcore.errors import Corrupt
from imgcore.formats.rpm.package import Dependency, Package
from imgcore.limits import Limits
from imgcore.packages.xml import parse_xml
from imgcore.values import value_class

__all__ = ["Entry", "Part", "find_files", "read_primary", "read_repomd"]

_OPERATORS: Final = {"EQ": "=", "LT": "<", "LE": "<=", "GT": ">", "GE": ">="}
_LISTS: Final = ("provides", "requires", "conflicts", "obsoletes", "recommends", "suggests", "supplements", "enhances")
_ENTRY_COST: Final = 1024  # bytes that a package takes at least


@value_class
class Part:
    """A file of the repository, as repomd.xml has it."""

    kind: str
    location: str
    checksum: tuple[str, str]
    size: int | None


@value_class
class Entry:
    """A package of primary.xml: what it is, where it is, and its files as far as they are listed there."""

    package: Package
    location: str
    checksum: tuple[str, str]
    size: int | None
    files: tuple[bytes, ...]


def _number(text: str | None, what: str, field: str) -> int | None:
    """Return a number, None where it is not said. Raises Corrupt."""
    if not text:
        return None
    if not (text.isascii() and text.isdigit() and len(text) < 20):
        raise Corrupt("a number that is none", structure=what, field=field, found=text[:40])
    return int(text)


def read_repomd(data: bytes, limits: Limits) -> dict[str, Part]:
    """Return the parts of a repository by their kind. Raises Corrupt, LimitExceeded."""
    parts: dict[str, Part] = {}
    now: dict[str, str] = {}

    def begin(name: str, attributes: dict[str, str]) -> None:
        if name == "data":
            now.clear()
            now["type"] = attributes.get("type", "")
        elif name == "checksum":
            now["algorithm"] = attributes.get("type", "")
        elif name == "location":
            now["location"] = attributes.get("href", "")

    def end(name: str, text: str) -> None:
        if name in ("checksum", "size"):
            now[name] = text.strip()
        elif name == "data":
            for field in ("type", "location", "algorithm", "checksum"):
                if not now.get(field):
                    raise Corrupt(f"part of a repository without its {field}", structure="repomd.xml", field=field)
            size = _number(now.get("size"), "repomd.xml", "size")
            parts.setdefault(now["type"], Part(now["type"], now["location"], (now["algorithm"], now["checksum"]), size))

    parse_xml([data], begin, end, limits, "repomd.xml")
    return parts


class _Primary:
    """Takes the elements of primary.xml and gives packages away."""

    def __init__(self, give: Callable[[Entry], None], limits: Limits) -> None:
        self._give = give
        self._limits = limits
        self._count = 0
        self._held = 0
        self._start()

    def _start(self) -> None:
        self._values: dict[str, str] = {}
        self._lists: dict[str, list[Dependency]] = {}
        self._files: list[bytes] = []
        self._list: list[Dependency] | None = None
        self._file_type = ""

    def _charge(self, size: int) -> None:
        self._held += size
        self._limits.require("max_metadata", self._held)

    def begin(self, name: str, attributes: dict[str, str]) -> None:
        values = self._values
        if name == "package":
            self._start()
            self._values["type"] = attributes.get("type", "rpm")
            self._count += 1
            self._limits.require("max_entries", self._count)
            self._charge(_ENTRY_COST)
        elif name == "version":
            values |= {key: attributes.get(key, "") for key in ("epoch", "ver", "rel")}
        elif name == "checksum":
            values["algorithm"] = attributes.get("type", "")
        elif name == "location":
            values |= {"location": attributes.get("href", ""), "base": attributes.get("base", "")}
        elif name == "size":
            values |= {"size": attributes.get("package", ""), "installed": attributes.get("installed", "")}
        elif name == "time":
            values["build"] = attributes.get("build", "")
        elif name in _LISTS:
            self._list = self._lists.setdefault(name, [])
        elif name == "entry" and self._list is not None:
            self._list.append(self._dependency(attributes))
        elif name == "file":
            self._file_type = attributes.get("type", "")

    def _dependency(self, attributes: dict[str, str]) -> Dependency:
        name = attributes.get("name")
        if not name:
            raise Corrupt("dependency without a name", structure="primary.xml", field="entry")
        flags = attributes.get("flags", "")
        if flags and flags not in _OPERATORS:
            raise Corrupt("dependency with an unknown comparison", structure="primary.xml", field="entry", found=flags[:40])
        version = ""
        if flags:
            epoch, release = attributes.get("epoch") or "0", attributes.get("rel")
            version = f"{'' if epoch == '0' else f'{epoch}:'}{attributes.get('ver', '')}{f'-{release}' if release else ''}"
        self._charge(len(name) + 200)
        return Dependency(name, _OPERATORS.get(flags, ""), version)

    def end(self, name: str, text: str) -> None:
        if name in ("name", "arch", "checksum", "summary", "url", "license", "vendor", "sourcerpm"):
            self._values.setdefault(name, text.strip())
            self._charge(len(text))
        elif name in _LISTS:
            self._list = None
        elif name == "file":
            if self._file_type != "ghost":
                self._files.append(text.encode("utf-8", "surrogateescape"))
            self._charge(len(text) + 80)
        elif name == "package":
            self._finish()

    def _finish(self) -> None:
        values = self._values
        if values["type"] != "rpm" or values.get("arch") == "src":
            return
        for field in ("name", "arch", "ver", "rel", "location", "algorithm", "checksum"):
            if not values.get(field):
                raise Corrupt(f"package without its {field}", structure="primary.xml", field=field, found=values.get("name"))
        if values.get("base"):
            raise Corrupt("package of another place", structure="primary.xml", field="location", found=values["base"][:200])
        lists = {name: tuple(self._lists.get(name, ())) for name in _LISTS}
        package = Package(
            name=values["name"],
            version=values["ver"],
            release=values["rel"],
            arch=values["arch"],
            epoch=_number(values.get("epoch"), "primary.xml", "epoch") or None,
            summary=values.get("summary", ""),
            license=values.get("license", ""),
            vendor=values.get("vendor", ""),
            url=values.get("url", ""),
            source_rpm=values.get("sourcerpm", ""),
            build_time=_number(values.get("build"), "primary.xml", "time"),
            size=_number(values.get("installed"), "primary.xml", "size") or 0,
            provides=lists["provides"],
            requires=lists["requires"],
            conflicts=lists["conflicts"],
            obsoletes=lists["obsoletes"],
            recommends=lists["recommends"],
            suggests=lists["suggests"],
            supplements=lists["supplements"],
            enhances=lists["enhances"],
        )
        size = _number(values.get("size"), "primary.xml", "size")
        checksum = (values["algorithm"], values["checksum"])
        self._give(Entry(package, values["location"], checksum, size, tuple(self._files)))


def read_primary(chunks: Iterable[bytes], give: Callable[[Entry], None], limits: Limits) -> None:
    """Give every binary package of primary.xml to `give`. Raises Corrupt, Unsupported, LimitExceeded."""
    primary = _Primary(give, limits)
    parse_xml(chunks, primary.begin, primary.end, limits, "primary.xml")


def find_files(chunks: Iterable[bytes], path: bytes, limits: Limits) -> set[str]:
    """Return the checksums of the packages that have a file, by filelists.xml. Nothing else of it is kept."""
    wanted = path.decode("utf-8", "surrogateescape")
    found: set[str] = set()
    now = {"pkgid": "", "type": ""}

    def begin(name: str, attributes: dict[str, str]) -> None:
        if name == "package":
            now["pkgid"] = attributes.get("pkgid", "")
        elif name == "file":
            now["type"] = attributes.get("type", "")

    def end(name: str, text: str) -> None:
        if name == "file" and text == wanted and now["type"] != "ghost":
            found.add(now["pkgid"])

    parse_xml(chunks, begin, end, limits, "filelists.xml")
    return found
