"""What the header of an RPM says of the package: names and versions, dependencies, scriptlets, the list of its files.

All of it are plain values. Scriptlets and triggers are listed and never run.
"""

from __future__ import annotations

import stat
from typing import Final, TypeVar

from imgcore.formats.rpm.header import Header
from imgcore.formats.rpm.layout import FileFlag, Sense, Tag
from imgcore.values import value_class

__all__ = ["Dependency", "Package", "PackageFile", "Scriptlet", "read_package"]


@value_class
class Dependency:
    """A name, perhaps with a range of versions, that a package provides, requires, conflicts with or obsoletes.

    Attributes:
        name: of a package, a file (`/bin/sh`), or anything that is provided; a rich dependency is `(a or b)`.
        operator: `<`, `<=`, `=`, `>=`, `>`, or nothing.
        version: `EPOCH:VERSION-RELEASE` as far as it is said, or nothing.
        flags: the bits of rpm's own, which say more: which scriptlet needs it, say.
    """

    name: str
    operator: str = ""
    version: str = ""
    flags: int = 0

    def __str__(self) -> str:
        return f"{self.name} {self.operator} {self.version}" if self.operator else self.name


@value_class
class Scriptlet:
    """A program that rpm would run, and imgcore does not.

    Attributes:
        name: when it would be run: pre, post, preun, postun, pretrans, posttrans, preuntrans, postuntrans, verify; for a
            trigger triggerin and its like, filetrigger or transfiletrigger.
        program: what runs the text, or is itself what runs; `<lua>` is rpm's own interpreter.
        text: the script, empty where the program alone is run.
        condition: for triggers, what they wait for.
    """

    name: str
    program: tuple[str, ...]
    text: str
    condition: tuple[Dependency, ...] = ()


@value_class
class PackageFile:
    """A file as the header has it; `digest` is hexadecimal, of the package's `digest_algorithm`.

    `flags` are those of `layout.FileFlag`; `mode` has the type of the file in it.
    """

    path: bytes
    mode: int
    size: int
    mtime: int
    user: str
    group: str
    flags: int = 0
    digest: str = ""
    target: bytes = b""
    caps: str = ""
    rdev: int = 0
    device: int = 0
    inode: int = 0

    @property
    def is_ghost(self) -> bool:
        """Whether the file belongs to the package without being in it."""
        return bool(self.flags & FileFlag.GHOST)

    @property
    def is_config(self) -> bool:
        """Whether it is a configuration file."""
        return bool(self.flags & FileFlag.CONFIG)

    @property
    def flag_names(self) -> tuple[str, ...]:
        """The names of its flags, in lower case."""
        return tuple(flag.name.lower() for flag in FileFlag if self.flags & flag)


@value_class
class Package:
    """What a package is. `arch` is `src` for a source package; `epoch` is None where none is said.

    Attributes:
        format: 3, 4 or 6.
        size: bytes of all files when they are installed, as the header says.
        build_time: seconds since 1970, None where it is not said.
        digest_algorithm: number of the algorithm of the files' digests, as OpenPGP has them; 1 is MD5, 8 is SHA-256.
    """

    name: str
    version: str
    release: str
    arch: str
    epoch: int | None = None
    format: int = 4
    summary: str = ""
    license: str = ""
    vendor: str = ""
    url: str = ""
    source_rpm: str = ""
    build_time: int | None = None
    size: int = 0
    provides: tuple[Dependency, ...] = ()
    requires: tuple[Dependency, ...] = ()
    conflicts: tuple[Dependency, ...] = ()
    obsoletes: tuple[Dependency, ...] = ()
    recommends: tuple[Dependency, ...] = ()
    suggests: tuple[Dependency, ...] = ()
    supplements: tuple[Dependency, ...] = ()
    enhances: tuple[Dependency, ...] = ()
    scriptlets: tuple[Scriptlet, ...] = ()
    files: tuple[PackageFile, ...] = ()
    digest_algorithm: int = 1

    @property
    def evr(self) -> str:
        """`EPOCH:VERSION-RELEASE`, the epoch only where there is one."""
        return f"{'' if self.epoch is None else f'{self.epoch}:'}{self.version}-{self.release}"

    @property
    def nevra(self) -> str:
        """The whole name: `NAME-EPOCH:VERSION-RELEASE.ARCH`."""
        return f"{self.name}-{self.evr}.{self.arch}"


T = TypeVar("T")

_DEPENDENCIES: Final = {
    "provides": (Tag.PROVIDENAME, Tag.PROVIDEFLAGS, Tag.PROVIDEVERSION),
    "requires": (Tag.REQUIRENAME, Tag.REQUIREFLAGS, Tag.REQUIREVERSION),
    "conflicts": (Tag.CONFLICTNAME, Tag.CONFLICTFLAGS, Tag.CONFLICTVERSION),
    "obsoletes": (Tag.OBSOLETENAME, Tag.OBSOLETEFLAGS, Tag.OBSOLETEVERSION),
    "recommends": (Tag.RECOMMENDNAME, Tag.RECOMMENDFLAGS, Tag.RECOMMENDVERSION),
    "suggests": (Tag.SUGGESTNAME, Tag.SUGGESTFLAGS, Tag.SUGGESTVERSION),
    "supplements": (Tag.SUPPLEMENTNAME, Tag.SUPPLEMENTFLAGS, Tag.SUPPLEMENTVERSION),
    "enhances": (Tag.ENHANCENAME, Tag.ENHANCEFLAGS, Tag.ENHANCEVERSION),
}
_SCRIPTLETS: Final = {
    "pre": (Tag.PREIN, Tag.PREINPROG),
    "post": (Tag.POSTIN, Tag.POSTINPROG),
    "preun": (Tag.PREUN, Tag.PREUNPROG),
    "postun": (Tag.POSTUN, Tag.POSTUNPROG),
    "pretrans": (Tag.PRETRANS, Tag.PRETRANSPROG),
    "posttrans": (Tag.POSTTRANS, Tag.POSTTRANSPROG),
    "preuntrans": (Tag.PREUNTRANS, Tag.PREUNTRANSPROG),
    "postuntrans": (Tag.POSTUNTRANS, Tag.POSTUNTRANSPROG),
    "verify": (Tag.VERIFYSCRIPT, Tag.VERIFYSCRIPTPROG),
}
_TRIGGERS: Final = {
    "trigger": tuple(Tag[f"TRIGGER{part}"] for part in ("SCRIPTS", "SCRIPTPROG", "NAME", "FLAGS", "VERSION", "INDEX")),
    "filetrigger": tuple(Tag[f"FILETRIGGER{part}"] for part in ("SCRIPTS", "SCRIPTPROG", "NAME", "FLAGS", "VERSION", "INDEX")),
    "transfiletrigger": tuple(
        Tag[f"TRANSFILETRIGGER{part}"] for part in ("SCRIPTS", "SCRIPTPROG", "NAME", "FLAGS", "VERSION", "INDEX")
    ),
}
_TRIGGER_NAMES: Final = {
    Sense.TRIGGERIN: "in",
    Sense.TRIGGERUN: "un",
    Sense.TRIGGERPOSTUN: "postun",
    Sense.TRIGGERPREIN: "prein",
}


def operator_of(flags: int) -> str:
    """Return the comparison in a dependency's flags: `<`, `<=`, `=`, `>=`, `>` or nothing."""
    less, greater, equal = (flags & bit for bit in (Sense.LESS, Sense.GREATER, Sense.EQUAL))
    return ("<" if less else "") + (">" if greater else "") + ("=" if equal else "")


def _text(raw: bytes) -> str:
    return raw.decode("utf-8", "surrogateescape")


def _dependencies(header: Header, names: int, flags: int, versions: int) -> tuple[Dependency, ...]:
    """Return the dependencies of three tags, of which the last two are as long as the first, or not there."""
    found = header.texts(names)
    senses = _as_long(header, flags, header.numbers(flags), len(found), 0)
    ranges = _as_long(header, versions, header.texts(versions), len(found), b"")
    return tuple(
        Dependency(_text(name), operator_of(sense), _text(version), sense)
        for name, sense, version in zip(found, senses, ranges, strict=True)
    )


def _as_long(header: Header, tag: int, values: list[T], count: int, default: T) -> list[T]:
    """Return the values of a tag that has one for each of `count` things, defaults where it is not there."""
    if not values:
        return [default] * count
    if len(values) != count:
        raise header.wrong(tag, "as many values as there are things to be described", found=len(values), allowed=count)
    return values


def _scriptlets(header: Header) -> tuple[Scriptlet, ...]:
    found = []
    for name, (script, program) in _SCRIPTLETS.items():
        text, words = header.text(script), tuple(_text(word) for word in header.texts(program))
        if text is not None or words:
            found.append(Scriptlet(name, words or ("/bin/sh",), text or ""))
    for kind, (scripts, programs, names, flags, versions, index) in _TRIGGERS.items():
        texts = header.texts(scripts)
        runners = _as_long(header, programs, header.texts(programs), len(texts), b"/bin/sh")
        waits = _dependencies(header, names, flags, versions)
        of = _as_long(header, index, header.numbers(index), len(waits), 0)
        conditions: dict[int, list[Dependency]] = {}
        for number, wait in zip(of, waits, strict=True):
            if number >= len(texts):
                raise header.wrong(index, "trigger without a script", found=number, allowed=f"0 to {len(texts) - 1}")
            conditions.setdefault(number, []).append(wait)
        for number, (text_of, runner) in enumerate(zip(texts, runners, strict=True)):
            wanted = tuple(conditions.get(number, ()))
            ending = next((end for one in wanted for bit, end in _TRIGGER_NAMES.items() if one.flags & bit), "")
            found.append(Scriptlet(kind + ending, (_text(runner),), _text(text_of), wanted))
    return tuple(found)


def _paths(header: Header) -> list[bytes]:
    """Return the names of all files, from directories and names, or whole as old packages have them."""
    names = header.texts(Tag.BASENAMES)
    if not names:
        return header.texts(Tag.OLDFILENAMES)
    folders = header.texts(Tag.DIRNAMES)
    index = header.numbers(Tag.DIRINDEXES)
    if len(index) != len(names):
        raise header.wrong(Tag.DIRINDEXES, "as many values as there are files", found=len(index), allowed=len(names))
    if max(index) >= len(folders):
        raise header.wrong(Tag.DIRINDEXES, "no such directory", found=max(index), allowed=f"below {len(folders)}")
    lengths = [len(folder) for folder in folders]
    for number, name in zip(index, names, strict=True):  # a long directory may be that of many names
        header.require_path(lengths[number] + len(name))
    return [folders[number] + name for number, name in zip(index, names, strict=True)]


def _files(header: Header) -> tuple[PackageFile, ...]:
    paths = _paths(header)
    count = len(paths)

    def numbers(tag: int) -> list[int]:
        return _as_long(header, tag, header.numbers(tag), count, 0)

    def texts(tag: int, default: bytes = b"") -> list[bytes]:
        return _as_long(header, tag, header.texts(tag), count, default)

    modes = header.numbers(Tag.FILEMODES)
    if len(modes) != count:
        raise header.wrong(Tag.FILEMODES, "as many values as there are files", found=len(modes), allowed=count)
    names: dict[bytes, str] = {}  # owners are few, and files many

    def owners(tag: int) -> list[str]:
        return [names.get(raw) or names.setdefault(raw, _text(raw)) for raw in texts(tag, b"root")]

    return tuple(
        PackageFile(path, mode, size, mtime, user, group, flags, _text(digest), target, _text(caps), rdev, device, inode)
        for path, mode, size, mtime, user, group, flags, digest, target, caps, rdev, device, inode in zip(
            paths,
            modes,
            numbers(Tag.LONGFILESIZES if Tag.LONGFILESIZES in header else Tag.FILESIZES),
            numbers(Tag.FILEMTIMES),
            owners(Tag.FILEUSERNAME),
            owners(Tag.FILEGROUPNAME),
            numbers(Tag.FILEFLAGS),
            texts(Tag.FILEDIGESTS),
            texts(Tag.FILELINKTOS),
            texts(Tag.FILECAPS),
            numbers(Tag.FILERDEVS),
            numbers(Tag.FILEDEVICES),
            numbers(Tag.FILEINODES),
            strict=True,
        )
    )


def _needed(header: Header, tag: Tag) -> str:
    value = header.text(tag)
    if not value:
        raise header.wrong(tag, f"package without a {tag.name.lower()}")
    return value


def read_package(header: Header) -> Package:
    """Return what the main header says. Raises Corrupt, LimitExceeded."""
    is_source = Tag.SOURCEPACKAGE in header or Tag.SOURCERPM not in header
    depends = {name: _dependencies(header, *tags) for name, tags in _DEPENDENCIES.items()}
    package = Package(
        name=_needed(header, Tag.NAME),
        version=_needed(header, Tag.VERSION),
        release=_needed(header, Tag.RELEASE),
        arch="src" if is_source else header.text(Tag.ARCH) or "noarch",
        epoch=header.number(Tag.EPOCH),
        format=header.number(Tag.RPMFORMAT) or (4 if Tag.HEADERIMMUTABLE in header else 3),
        summary=header.text(Tag.SUMMARY) or "",
        license=header.text(Tag.LICENSE) or "",
        vendor=header.text(Tag.VENDOR) or "",
        url=header.text(Tag.URL) or "",
        source_rpm=header.text(Tag.SOURCERPM) or "",
        build_time=header.number(Tag.BUILDTIME),
        size=header.number(Tag.LONGSIZE, Tag.SIZE) or 0,
        provides=depends["provides"],
        requires=depends["requires"],
        conflicts=depends["conflicts"],
        obsoletes=depends["obsoletes"],
        recommends=depends["recommends"],
        suggests=depends["suggests"],
        supplements=depends["supplements"],
        enhances=depends["enhances"],
        scriptlets=_scriptlets(header),
        files=_files(header),
        digest_algorithm=header.number(Tag.FILEDIGESTALGO) or 1,
    )
    for file in package.files:
        kind = stat.S_IFMT(file.mode)
        if kind == stat.S_IFLNK and not file.target and not file.is_ghost:
            raise header.wrong(Tag.FILELINKTOS, "symbolic link without a target", found=repr(file.path)[2:-1])
    return package
