"""Debian packages read: every compression, control files, and what is wrong with some."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

import pytest

from imgcore.blob import BytesBlob, read_all
from imgcore.errors import Corrupt, FormatError, LimitExceeded, NotThisFormat, Unsupported
from imgcore.events import Control
from imgcore.formats import deb, detect, tar
from imgcore.formats.base import Finding
from imgcore.limits import Limits
from imgcore.model import File, directory, file, symlink, tree
from tests.kit.archives import written
from tests.kit.packages import COMPRESS, ar

CONTROL = b"Package: demo\nVersion: 1:1.0-2\nArchitecture: amd64\nDepends: libc6 (>= 2)\nDescription: short\n long\n .\n more\n"
SUFFIXES = {"none": "", "gzip": ".gz", "xz": ".xz", "zstd": ".zst", "bzip2": ".bz2", "lzma": ".lzma"}
FILES = {"/usr/bin/a": b"program", "/etc/demo.conf": b"key=1\n"}


def data_tar() -> bytes:
    made = tree(
        {**{name: file(data, mode=0o4755) for name, data in FILES.items()}, "/usr/bin/l": symlink("a"), "/d": directory()}
    )
    return written(tar.FORMAT, made)


def control_tar(files: Mapping[str, bytes] | None = None) -> bytes:
    sums = "".join(f"{hashlib.md5(data).hexdigest()}  {name[1:]}\n" for name, data in sorted(FILES.items()))
    have = {"control": CONTROL, "conffiles": b"/etc/demo.conf\n", "postinst": b"#!/bin/sh\n", "md5sums": sums.encode()}
    have |= {"triggers": b"interest x\n", **(files or {})}
    return written(tar.FORMAT, tree({f"/{name}": file(data) for name, data in have.items()}))


def package(*, compression: str = "none", files: Mapping[str, bytes] | None = None, data: bytes | None = None) -> bytes:
    pack, suffix = COMPRESS[compression], SUFFIXES[compression]
    return ar(
        ("debian-binary", b"2.0\n"),
        (f"control.tar{suffix}", pack(control_tar(files))),
        ("_gpgorigin", b"x"),
        (f"data.tar{suffix}", pack(data_tar() if data is None else data)),
    )


def opened(image: bytes, limits: Limits | None = None) -> deb.DebImage:
    return deb.open_image(BytesBlob(image), limits)


def findings(image: bytes) -> list[Finding]:
    return list(deb.FORMAT.check_blob(BytesBlob(image), Limits.default(), Control()))


@pytest.mark.parametrize("compression", sorted(SUFFIXES))
def test_every_compression(compression: str) -> None:
    image = package(compression=compression)
    found = detect(BytesBlob(image))
    assert found is not None and found.name == "deb"
    with opened(image) as one:
        contents = {path.decode(): read_all(node.content) for path, node in one.tree.walk() if isinstance(node, File)}
        assert contents == FILES and one.tree["/usr/bin/a"].meta.mode == 0o4755
        assert one.info()["data"] == compression
        assert sum(item.size for item in one.layout()) in (len(image), len(image) - 1, len(image) - 2, len(image) - 3)
    assert findings(image) == []


def test_what_the_package_is() -> None:
    with opened(package()) as image:
        one = image.package
        assert (one.name, one.version, one.arch) == ("demo", "1:1.0-2", "amd64")
        assert one.fields["Depends"] == "libc6 (>= 2)" and one.fields["Description"] == "short\n long\n .\n more"
        assert one.conffiles == (b"etc/demo.conf",) and one.triggers == ("interest x",)
        assert [(script.name, script.text) for script in one.scripts] == [("postinst", "#!/bin/sh\n")]
        assert image.info()["scripts"] == ["postinst"]


def test_sums() -> None:
    sums = b"0" * 32 + b"  usr/bin/a\n" + b"1" * 32 + b"  nothing\n"
    found = findings(package(files={"md5sums": sums}))
    assert [(one.severity, one.path) for one in found] == [("warning", b"/nothing"), ("error", b"/usr/bin/a")]


GOOD = (("debian-binary", b"2.0\n"), ("control.tar", control_tar()), ("data.tar", data_tar()))
BROKEN: dict[str, tuple[bytes, type[FormatError], str]] = {
    "no ar": (b"!<arch>", NotThisFormat, "not an ar"),
    "no package": (ar(("a", b"b")), NotThisFormat, "no Debian"),
    "empty": (ar(), NotThisFormat, "no Debian"),
    "another version": (ar(("debian-binary", b"3.0\n"), *GOOD[1:]), Unsupported, "another version"),
    "no data": (ar(*GOOD[:2]), Corrupt, "without control.tar and data.tar"),
    "wrong order": (ar(GOOD[0], GOOD[2], GOOD[1]), Corrupt, "no control.tar"),
    "suffix": (ar(*GOOD[:2], ("data.tar.rar", b"")), Corrupt, "no data.tar"),
    "compression": (ar(*GOOD[:2], ("data.tar.gz", data_tar())), Corrupt, "not compressed as its name says"),
    "no control": (ar(GOOD[0], ("control.tar", written(tar.FORMAT, tree({}))), GOOD[2]), Corrupt, "without a control file"),
    "no version": (package(files={"control": b"Package: x\nArchitecture: all\n"}), Corrupt, "without Version"),
    "no field": (package(files={"control": CONTROL + b"what\n"}), Corrupt, "without a field"),
    "twice": (package(files={"control": CONTROL + b"Package: y\n"}), Corrupt, "field twice"),
    "sums": (package(files={"md5sums": b"abc\n"}), Corrupt, "without a sum"),
    "data": (package(data=b"x" * 1024), Corrupt, "data.tar is no tar"),
    "size": (package().replace(b"4         `\n", b"x         `\n"), Corrupt, "no header of a member"),
    "cut": (package()[:-600], Corrupt, "member is cut"),
    "many": (ar(*GOOD[:1], *[("_x", b"")] * 70), Corrupt, "more members"),
}


@pytest.mark.parametrize("junk", [b"x", bytes(100), b"junk" * 50, ar(("more", b"x" * 90))[8:-50]])
def test_what_is_behind_the_package_is_warned_of(junk: bytes) -> None:
    image = package() + junk
    with opened(image) as one:
        assert b"/usr/bin/a" in one.tree
        assert len(list(one.layout())) == len(list(opened(package()).layout()))
    assert [(found.rule, found.severity) for found in findings(image)] == [("behind", "warning")]


@pytest.mark.parametrize("case", BROKEN)
def test_broken(case: str) -> None:
    image, kind, message = BROKEN[case]
    with pytest.raises(FormatError, match=message) as caught, opened(image) as one:
        assert one.tree
    assert isinstance(caught.value, kind)
    assert caught.value.offset is not None or caught.value.field is not None
    if kind is not NotThisFormat:
        assert [one.severity for one in findings(image)] == ["error"]


def test_limits_and_closing() -> None:
    with pytest.raises(LimitExceeded):
        opened(package(compression="xz"), Limits(max_stream=100))
    with pytest.raises(LimitExceeded):
        opened(package(), Limits(max_entries=2))
    image = opened(package(compression="zstd"))
    image.close()
    with pytest.raises(ValueError, match="closed"):
        assert image.tree
