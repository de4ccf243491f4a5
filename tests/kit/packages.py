"""RPM and Debian packages made by hand, and by rpmbuild and dpkg-deb; repositories; keys."""

from __future__ import annotations

import bz2
import gzip
import hashlib
import lzma
import os
import stat
import struct
import subprocess
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import zstandard

from imgcore.formats.rpm.layout import HEADER_MAGIC, LEAD_MAGIC, Kind, Sense, SigTag, Tag
from tests.kit.oracles import missing, run, tool

COMPRESS: dict[str, Callable[[bytes], bytes]] = {
    "none": bytes,
    "gzip": lambda data: gzip.compress(data, mtime=0),
    "bzip2": bz2.compress,
    "xz": lzma.compress,
    "lzma": lambda data: lzma.compress(data, format=lzma.FORMAT_ALONE),
    "zstd": lambda data: zstandard.ZstdCompressor().compress(data),
}
_CODES = {Kind.INT8: "B", Kind.CHAR: "B", Kind.INT16: "H", Kind.INT32: "I", Kind.INT64: "Q"}
Values = tuple[Kind, Sequence[object]]
_SENSES = {"": 0, "<": 2, "<=": 10, "=": 8, ">=": 12, ">": 4}


def header(entries: Mapping[int, Values], region: int | None = None) -> bytes:
    """Return a header structure, entries by their tags, with a region trailer as rpmbuild makes it."""
    store, index = bytearray(), []
    for tag, (kind, values) in sorted(entries.items()):
        if kind in _CODES:
            data = struct.pack(f">{len(values)}{_CODES[kind]}", *values)
            store += bytes(-len(store) % struct.calcsize(_CODES[kind]))
        elif kind == Kind.BIN:
            data = bytes(values[0])  # type: ignore[call-overload]
        else:
            data = b"".join(value + b"\0" for value in values)  # type: ignore[operator]
        count = len(data) if kind == Kind.BIN else len(values)
        index.append(struct.pack(">IIiI", tag, kind, len(store), count))
        store += data
    if region is not None:
        index.insert(0, struct.pack(">IIiI", region, Kind.BIN, len(store), 16))
        store += struct.pack(">IIiI", region, Kind.BIN, -16 * len(index), 16)
    return HEADER_MAGIC + bytes(4) + struct.pack(">II", len(index), len(store)) + b"".join(index) + bytes(store)


@dataclass
class Entry:
    """A file of a package; `inode` makes hard links."""

    path: bytes
    content: bytes = b""
    mode: int = stat.S_IFREG | 0o644
    user: bytes = b"root"
    group: bytes = b"root"
    flags: int = 0
    target: bytes = b""
    caps: bytes = b""
    inode: int = 0
    rdev: int = 0
    mtime: int = 1_700_000_000


def text(value: str | bytes) -> Values:
    return Kind.STRING, [value.encode() if isinstance(value, str) else value]


def folder(path: bytes, mode: int = 0o755, **more: object) -> Entry:
    return Entry(path, mode=stat.S_IFDIR | mode, **more)  # type: ignore[arg-type]


def link(path: bytes, target: bytes) -> Entry:
    return Entry(path, mode=stat.S_IFLNK | 0o777, target=target)


@dataclass
class Rpm:
    """A package to be made; `build` gives its bytes. `form` is newc, crc or stripped; `format` is 3, 4 or 6."""

    files: Sequence[Entry] = ()
    name: str = "demo"
    version: str = "1.0"
    release: str = "1"
    epoch: int | None = None
    arch: str = "x86_64"
    provides: Sequence[str] = ()
    requires: Sequence[str] = ()
    conflicts: Sequence[str] = ()
    obsoletes: Sequence[str] = ()
    recommends: Sequence[str] = ()
    compression: str = "none"
    form: str = "newc"
    format: int = 4
    algorithm: int = 8
    tags: Mapping[int, Values | None] = field(default_factory=dict)
    signature: Mapping[int, Values | None] = field(default_factory=dict)
    payload: bytes | None = None

    def cpio(self) -> bytes:
        """Return the uncompressed payload: of hard links the last has the content."""
        out = bytearray()
        last = {one.inode: number for number, one in enumerate(self.files) if one.inode}
        for number, one in enumerate(self.files):
            if one.flags & 64:
                continue
            body = one.target if stat.S_ISLNK(one.mode) else one.content
            if one.inode and last[one.inode] != number:
                body = b""
            if self.form == "stripped":
                out += b"07070X%08x" % number + bytes(2)
            else:
                out += member(b"." + one.path, body, one.mode, crc=self.form == "crc")
                continue
            out += body + bytes(-len(body) % 4)
        return bytes(out + member(b"TRAILER!!!", b"", 0))

    def entries(self, plain: bytes, packed: bytes) -> dict[int, Values]:
        """Return the tags of the main header."""
        names = {1: "md5", 2: "sha1", 8: "sha256", 10: "sha512", 12: "sha3_256"}

        def digest(one: Entry) -> bytes:
            if not stat.S_ISREG(one.mode) or one.flags & 64:
                return b""
            return hashlib.new(names[self.algorithm], one.content).hexdigest().encode()

        found: dict[int, Values] = {
            Tag.NAME: text(self.name),
            Tag.VERSION: text(self.version),
            Tag.RELEASE: text(self.release),
            Tag.SUMMARY: (Kind.I18NSTRING, [b"a package"]),
            Tag.LICENSE: text("MIT"),
            Tag.ARCH: text(self.arch),
            Tag.SOURCERPM: text(f"{self.name}-{self.version}-{self.release}.src.rpm"),
            Tag.PAYLOADFORMAT: text("cpio"),
        }
        if self.epoch is not None:
            found[Tag.EPOCH] = Kind.INT32, [self.epoch]
        epoch = "" if self.epoch is None else f"{self.epoch}:"
        own = [f"{self.name} = {epoch}{self.version}-{self.release}", *self.provides]
        for kind, wanted in (
            ("PROVIDE", own),
            ("REQUIRE", self.requires),
            ("CONFLICT", self.conflicts),
            ("OBSOLETE", self.obsoletes),
            ("RECOMMEND", self.recommends),
        ):
            if wanted:
                rows = [(one, "", "") if one.startswith("(") else (*one.split(), "", "")[:3] for one in wanted]
                flags = [_SENSES[sense] | (Sense.RPMLIB if name.startswith("rpmlib(") else 0) for name, sense, _ in rows]
                found[Tag[f"{kind}NAME"]] = Kind.STRING_ARRAY, [name.encode() for name, _, _ in rows]
                found[Tag[f"{kind}FLAGS"]] = Kind.INT32, flags
                found[Tag[f"{kind}VERSION"]] = Kind.STRING_ARRAY, [version.encode() for _, _, version in rows]
        if self.files:
            folders = sorted({one.path.rpartition(b"/")[0] + b"/" for one in self.files})
            numbers = [folders.index(one.path.rpartition(b"/")[0] + b"/") for one in self.files]
            sizes = [len(one.target or one.content) for one in self.files]
            large = self.form == "stripped"
            found |= {
                Tag.BASENAMES: (Kind.STRING_ARRAY, [one.path.rpartition(b"/")[2] for one in self.files]),
                Tag.DIRNAMES: (Kind.STRING_ARRAY, folders),
                Tag.DIRINDEXES: (Kind.INT32, numbers),
                Tag.LONGFILESIZES if large else Tag.FILESIZES: (Kind.INT64 if large else Kind.INT32, sizes),
                Tag.FILEMODES: (Kind.INT16, [one.mode for one in self.files]),
                Tag.FILERDEVS: (Kind.INT16, [one.rdev for one in self.files]),
                Tag.FILEMTIMES: (Kind.INT32, [one.mtime for one in self.files]),
                Tag.FILEDIGESTS: (Kind.STRING_ARRAY, [digest(one) for one in self.files]),
                Tag.FILELINKTOS: (Kind.STRING_ARRAY, [one.target for one in self.files]),
                Tag.FILEFLAGS: (Kind.INT32, [one.flags for one in self.files]),
                Tag.FILEUSERNAME: (Kind.STRING_ARRAY, [one.user for one in self.files]),
                Tag.FILEGROUPNAME: (Kind.STRING_ARRAY, [one.group for one in self.files]),
                Tag.FILEDEVICES: (Kind.INT32, [1 for _ in self.files]),
                Tag.FILEINODES: (Kind.INT32, [one.inode or 1000 + number for number, one in enumerate(self.files)]),
            }
            if self.algorithm != 1:
                found[Tag.FILEDIGESTALGO] = Kind.INT32, [self.algorithm]
            if any(one.caps for one in self.files):
                found[Tag.FILECAPS] = Kind.STRING_ARRAY, [one.caps for one in self.files]
        if self.format >= 4:
            found[Tag.PAYLOADSHA256] = Kind.STRING_ARRAY, [hashlib.sha256(packed).hexdigest().encode()]
            found[Tag.PAYLOADSHA256ALT] = Kind.STRING_ARRAY, [hashlib.sha256(plain).hexdigest().encode()]
        if self.format == 6:
            found |= {
                Tag.RPMFORMAT: (Kind.INT32, [6]),
                Tag.PAYLOADSIZE: (Kind.INT64, [len(packed)]),
                Tag.PAYLOADSIZEALT: (Kind.INT64, [len(plain)]),
                Tag.PAYLOADSHA512: text(hashlib.sha512(packed).hexdigest()),
                Tag.PAYLOADSHA3_256: text(hashlib.sha3_256(packed).hexdigest()),
            }
        return _changed(found, self.tags)

    def build(self) -> bytes:
        """Return the package."""
        plain = self.cpio() if self.payload is None else self.payload
        packed = COMPRESS[self.compression](plain)
        head = header(self.entries(plain, packed), None if self.format == 3 else Tag.HEADERIMMUTABLE)
        signature: dict[int, Values] = {
            SigTag.SIZE: (Kind.INT32, [len(head) + len(packed)]),
            SigTag.MD5: (Kind.BIN, [hashlib.md5(head + packed).digest()]),
            SigTag.PAYLOADSIZE: (Kind.INT32, [len(plain)]),
        }
        if self.format == 4:
            signature[SigTag.SHA1] = text(hashlib.sha1(head).hexdigest())
            signature[SigTag.SHA256] = text(hashlib.sha256(head).hexdigest())
        elif self.format == 6:
            signature = {
                SigTag.SHA256: text(hashlib.sha256(head).hexdigest()),
                SigTag.SHA3_256: text(hashlib.sha3_256(head).hexdigest()),
            }
        sig = header(_changed(signature, self.signature), None if self.format == 3 else 62)
        lead = LEAD_MAGIC + struct.pack(">BBHH66sHH16s", 3, 0, 0, 1, self.name.encode(), 1, 5, b"")
        return lead + sig + bytes(-len(sig) % 8) + head + packed

    def but(self, **changes: object) -> Rpm:
        """Return the package with other values."""
        return replace(self, **changes)  # type: ignore[arg-type]


def _changed(entries: dict[int, Values], changes: Mapping[int, Values | None]) -> dict[int, Values]:
    found = {**entries, **changes}
    return {tag: values for tag, values in found.items() if values is not None}


def member(name: bytes, body: bytes, mode: int, *, crc: bool = False, size: int | None = None) -> bytes:
    """Return a member of a cpio."""
    total = sum(body) & 0xFFFFFFFF if crc else 0
    numbers = (1, mode, 0, 0, 1, 0, len(body) if size is None else size, 0, 0, 0, 0, len(name) + 1, total)
    head = (b"070702" if crc else b"070701") + b"".join(b"%08x" % number for number in numbers) + name + b"\0"
    return head + bytes(-len(head) % 4) + body + bytes(-len(body) % 4)


def sample(**changes: object) -> Rpm:
    """Return a package with everything in it."""
    files = (
        folder(b"/etc/demo", 0o2750, user=b"demo", group=b"demo"),
        Entry(b"/etc/demo/conf", b"key=1\n", flags=1 | 16),
        Entry(b"/usr/bin/a", b"program\n" * 1000, stat.S_IFREG | 0o4755, inode=7),
        Entry(b"/usr/bin/b", b"program\n" * 1000, stat.S_IFREG | 0o4755, inode=7),
        Entry(b"/usr/bin/empty"),
        link(b"/usr/bin/link", b"../lib/x"),
        Entry(b"/usr/bin/ping", b"\x7fELF", stat.S_IFREG | 0o755, caps=b"cap_net_raw=ep"),
        Entry(b"/usr/lib/sysusers.d/demo.conf", b'u demo 412 "A user" /\n'),
        Entry(b"/usr/share/doc/\xff odd", b"odd", flags=2),
        Entry(b"/var/fifo", mode=stat.S_IFIFO | 0o600),
        Entry(b"/var/ghost", b"", flags=64),
        Entry(b"/var/null", mode=stat.S_IFCHR | 0o666, rdev=0x0103),
    )
    return Rpm(
        files,
        epoch=2,
        provides=("demo(x) = 1", "feature"),
        requires=("/bin/sh", "libc.so.6()(64bit)", "rpmlib(FileDigests) <= 4.6.0-1"),
        conflicts=("enemy < 2",),
        obsoletes=("old-demo",),
        recommends=("docs",),
        tags={
            Tag.POSTIN: text("echo hello\n"),
            Tag.POSTINPROG: (Kind.STRING_ARRAY, [b"/bin/sh"]),
            Tag.PREUNPROG: (Kind.STRING_ARRAY, [b"/sbin/ldconfig", b"-X"]),
            Tag.TRIGGERSCRIPTS: (Kind.STRING_ARRAY, [b"echo trigger"]),
            Tag.TRIGGERSCRIPTPROG: (Kind.STRING_ARRAY, [b"<lua>"]),
            Tag.TRIGGERNAME: (Kind.STRING_ARRAY, [b"glibc", b"other"]),
            Tag.TRIGGERVERSION: (Kind.STRING_ARRAY, [b"2", b""]),
            Tag.TRIGGERFLAGS: (Kind.INT32, [Sense.TRIGGERIN | 4, Sense.TRIGGERIN]),
            Tag.TRIGGERINDEX: (Kind.INT32, [0, 0]),
        },
    ).but(**changes)


# Debian packages


def ar(*parts: tuple[str, bytes]) -> bytes:
    """Return an ar archive."""
    out = b"!<arch>\n"
    for name, data in parts:
        out += (
            b"%-16s%-12d%-6d%-6d%-8s%-10d`\n" % (name.encode(), 0, 0, 0, b"100644", len(data)) + data + b"\n" * (len(data) % 2)
        )
    return out


# Made by the programs themselves


def rpmbuild(place: Path, spec: str, *defines: str, newest: bool = False) -> list[Path]:
    """Return the binary packages that rpmbuild makes of a spec, sorted; `newest` is rpm 6."""
    place.mkdir(parents=True, exist_ok=True)
    (place / "BUILD").mkdir(exist_ok=True)
    (place / "a.spec").write_text(spec)
    command = [tool("rpmbuild", newest=newest), "-bb", str(place / "a.spec")]
    for one in (f"_topdir {place}", f"_rpmdir {place}/rpms", "debug_package %{nil}", "_build_id_links none", *defines):
        command += ["--define", one]
    environment = dict(os.environ)
    if newest:
        environment["RPM_CONFIGDIR"] = f"{os.environ['IMGCORE_NEWEST_ORACLES']}/root/usr/lib/rpm"
    done = subprocess.run(command, capture_output=True, text=True, errors="replace", env=environment, timeout=300, check=False)
    if done.returncode != 0:
        raise AssertionError(f"{command} ended with {done.returncode}:\n{done.stdout}\n{done.stderr}")
    return sorted((place / "rpms").rglob("*.rpm"))


def extracted(package: Path, place: Path) -> Path:
    """Return a directory in which rpm2cpio and cpio unpacked a package."""
    place.mkdir(parents=True)
    converter, cpio = tool("rpm2cpio"), tool("cpio")
    plain = subprocess.run([converter, str(package)], capture_output=True, check=True).stdout
    command = [cpio, "-idm", "--quiet", "--no-absolute-filenames"]
    done = subprocess.run(command, input=plain, cwd=place, capture_output=True, check=False)
    if done.returncode != 0 and os.geteuid() == 0:
        raise AssertionError(done.stderr.decode(errors="replace"))
    return place


def createrepo(place: Path, *options: str) -> Path:
    """Make a directory of packages a repository."""
    run(tool("createrepo_c"), "-q", *options, place)
    return place


@dataclass
class Key:
    """An OpenPGP key."""

    public: bytes
    _tsk: object

    @classmethod
    def make(cls, name: str = "Repository <repo@example.org>") -> Key:
        """Return a new key; the test is skipped without pysequoia."""
        try:
            import pysequoia
        except ImportError:
            missing("pysequoia is not installed")
        made = pysequoia.Tsk.generate(name)
        return cls(str(made.extract_certificate()).encode(), made)

    def sign(self, data: bytes) -> bytes:
        """Return an armored detached signature."""
        import pysequoia

        made = pysequoia.sign(self._tsk.signer(), data, mode=pysequoia.SignatureMode.DETACHED)  # type: ignore[attr-defined]
        return made if isinstance(made, bytes) else str(made).encode()
