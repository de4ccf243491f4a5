"""RPM packages read: every form of payload, owners, capabilities, hard links, digests, and what is wrong with some."""

from __future__ import annotations

import stat
import threading

import pytest

from imgcore.blob import BytesBlob, read_all
from imgcore.errors import Corrupt, ImgcoreError, LimitExceeded, NotThisFormat, Unsupported, VerificationFailed
from imgcore.events import Control
from imgcore.formats import detect, rpm
from imgcore.formats.base import Finding
from imgcore.formats.rpm.layout import Kind, Lead, SigTag, Tag
from imgcore.limits import Limits
from imgcore.model import Accounts, Device, Dir, File, Pipe, Symlink, manifest_lines
from imgcore.model.filecaps import capability_text
from tests.kit.packages import COMPRESS, Entry, Rpm, folder, link, member, sample, text

END = member(b"TRAILER!!!", b"", 0)
KNOWN = Accounts({"demo": 412}, {"demo": 413})


def opened(package: Rpm | bytes, limits: Limits | None = None, accounts: Accounts | None = None) -> rpm.RpmImage:
    data = package if isinstance(package, bytes) else package.build()
    return rpm.open_image(BytesBlob(data), limits, accounts=accounts)


def findings(package: Rpm | bytes) -> list[Finding]:
    data = package if isinstance(package, bytes) else package.build()
    return list(rpm.FORMAT.check_blob(BytesBlob(data), Limits.default(), Control()))


def content(image: rpm.RpmImage, path: str) -> bytes:
    node = image.tree[path]
    assert isinstance(node, File)
    return read_all(node.content)


@pytest.mark.parametrize("compression", sorted(COMPRESS))
@pytest.mark.parametrize("form", ["newc", "crc", "stripped"])
@pytest.mark.parametrize("form_version", [3, 4, 6])
def test_every_form(compression: str, form: str, form_version: int) -> None:
    package = sample(compression=compression, form=form, format=form_version)
    data = package.build()
    found = detect(BytesBlob(data))
    assert found is not None and found.name == "rpm"
    with opened(data, accounts=KNOWN) as image, opened(sample(), accounts=KNOWN) as plain:
        assert image.package.format == form_version
        assert list(manifest_lines(image.tree)) == list(manifest_lines(plain.tree))
        assert image.info()["payload"] == compression
    assert findings(data) == []


def test_the_tree() -> None:
    with opened(sample(), accounts=KNOWN) as image:
        tree = image.tree
        assert [path for path, _ in tree.walk()] == [
            *(b"/", b"/etc", b"/etc/demo", b"/etc/demo/conf", b"/usr", b"/usr/bin", b"/usr/bin/a", b"/usr/bin/b"),
            *(b"/usr/bin/empty", b"/usr/bin/link", b"/usr/bin/ping", b"/usr/lib", b"/usr/lib/sysusers.d"),
            *(b"/usr/lib/sysusers.d/demo.conf", b"/usr/share", b"/usr/share/doc", b"/usr/share/doc/\xff odd"),
            *(b"/var", b"/var/fifo", b"/var/null"),
        ]
        owned = tree["/etc/demo"]
        assert isinstance(owned, Dir) and (owned.meta.mode, owned.meta.uid, owned.meta.gid) == (0o2750, 412, 413)
        assert tree["/usr/bin/a"] is tree["/usr/bin/b"] and tree["/usr/bin/a"].meta.mode == 0o4755
        assert tree["/usr/bin/a"].meta.mtime_ns == 1_700_000_000 * 10**9
        assert content(image, "/usr/bin/a") == b"program\n" * 1000 and content(image, "/usr/bin/empty") == b""
        assert capability_text(tree["/usr/bin/ping"].meta.xattrs[b"security.capability"]) == "cap_net_raw=ep"
        pointer, device = tree["/usr/bin/link"], tree["/var/null"]
        assert isinstance(pointer, Symlink) and pointer.target == b"../lib/x"
        assert isinstance(device, Device) and (device.kind, device.major, device.minor) == ("char", 1, 3)
        assert isinstance(tree["/var/fifo"], Pipe)
        assert image.warnings == ()
    with opened(sample()) as image:
        assert image.tree["/etc/demo"].meta.uid == 0
        assert image.warnings == ("user `demo` is not known: root instead", "group `demo` is not known: root instead")
        again, said = image.with_accounts(KNOWN)
        assert again["/etc/demo"].meta.uid == 412 and said == ()


def test_what_the_package_is() -> None:
    with opened(sample()) as image:
        package = image.package
        assert package.nevra == "demo-2:1.0-1.x86_64" and package.evr == "2:1.0-1"
        assert [str(one) for one in package.provides] == ["demo = 2:1.0-1", "demo(x) = 1", "feature"]
        assert [str(one) for one in package.requires] == [
            "/bin/sh",
            "libc.so.6()(64bit)",
            "rpmlib(FileDigests) <= 4.6.0-1",
        ]
        assert [str(one) for one in package.conflicts + package.obsoletes + package.recommends] == [
            "enemy < 2",
            "old-demo",
            "docs",
        ]
        assert [(one.name, one.program, one.text) for one in package.scriptlets] == [
            ("post", ("/bin/sh",), "echo hello\n"),
            ("preun", ("/sbin/ldconfig", "-X"), ""),
            ("triggerin", ("<lua>",), "echo trigger"),
        ]
        assert [str(one) for one in package.scriptlets[2].condition] == ["glibc > 2", "other"]
        assert [file.path for file in package.files if file.is_ghost] == [b"/var/ghost"]
        assert next(file for file in package.files if file.is_config).flag_names == ("config", "noreplace")
        info = image.info()
        assert info["flagged_files"] == ["/etc/demo/conf (config noreplace)", "/var/ghost (ghost)"]
        assert info["scriptlets"] == ["post (/bin/sh)", "preun (/sbin/ldconfig -X)", "triggerin (<lua>)"]
        names = [item.name for item in image.layout()]
        assert names[0] == "Lead" and "  BASENAMES" in names and names[-1] == "payload"


def test_source_and_old_packages() -> None:
    with opened(Rpm([Entry(b"/a.spec", b"x")], tags={Tag.SOURCERPM: None, Tag.SOURCEPACKAGE: (Kind.INT32, [1])})) as image:
        assert image.package.arch == "src" and content(image, "/a.spec") == b"x"
    names = {Tag.BASENAMES: None, Tag.DIRNAMES: None, Tag.DIRINDEXES: None, Tag.OLDFILENAMES: (Kind.STRING_ARRAY, [b"/usr/a"])}
    with opened(Rpm([Entry(b"/usr/a", b"x")], tags=names, format=3, algorithm=1)) as image:
        assert content(image, "/usr/a") == b"x" and image.package.format == 3
    with opened(Rpm()) as image:
        assert [path for path, _ in image.tree.walk()] == [b"/"]


@pytest.mark.parametrize("algorithm", [1, 2, 8, 10, 12])
def test_digests_of_files(algorithm: int) -> None:
    good = sample(algorithm=algorithm)
    assert findings(good) == []
    files = [Entry(b"/a", b"right"), Entry(b"/b", b"other")]
    package = Rpm(files, algorithm=algorithm)
    wrong = package.but(payload=package.cpio().replace(b"right", b"wrong"))
    with opened(wrong) as image, pytest.raises(VerificationFailed, match="content of a file") as caught:
        assert content(image, "/b") == b"other"
        content(image, "/a")
    assert caught.value.path == b"/a" and caught.value.field == "FILEDIGESTS" and caught.value.offset is not None
    assert [(one.rule, one.path) for one in findings(wrong)] == [("file-digest", b"/a")]
    with rpm.open_image(BytesBlob(wrong.build()), verify=False) as image:
        assert content(image, "/a") == b"wrong"


def test_digests_of_an_unknown_algorithm_are_a_finding() -> None:
    package = Rpm([Entry(b"/a", b"x")], tags={Tag.FILEDIGESTALGO: (Kind.INT32, [99])})
    assert [(one.rule, one.severity) for one in findings(package)] == [("unknown-algorithm", "warning")]


@pytest.mark.parametrize("tag", [SigTag.SHA1, SigTag.SHA256])
def test_a_wrong_digest_of_the_header(tag: SigTag) -> None:
    package = sample(signature={tag: text("0" * (40 if tag == SigTag.SHA1 else 64))})
    with pytest.raises(VerificationFailed, match="header does not fit") as caught:
        opened(package)
    assert caught.value.field == tag.name and caught.value.structure == "signature header"
    assert [one.rule for one in findings(package)] == ["header-digest"]


def test_wrong_digests_of_the_payload() -> None:
    package = sample(tags={Tag.PAYLOADSHA256: (Kind.STRING_ARRAY, [b"0" * 64])})
    with opened(package) as image, pytest.raises(VerificationFailed, match="payload does not fit") as caught:
        content(image, "/usr/bin/a")
    assert caught.value.field == "PAYLOADSHA256"
    assert [one.rule for one in findings(package)] == ["payload-digest"]
    later = sample(format=6, tags={Tag.PAYLOADSHA3_256: text("0" * 64), Tag.PAYLOADSHA256ALT: (Kind.STRING_ARRAY, [b"1" * 64])})
    assert [one.rule for one in findings(later)] == ["payload-digest", "unpacked-digest"]
    old = sample(format=3, signature={SigTag.MD5: (Kind.BIN, [bytes(16)])})
    with opened(old) as image, pytest.raises(VerificationFailed, match="header with the payload"):
        content(image, "/usr/bin/a")


def test_sizes_and_missing_digests_are_warned_of() -> None:
    data = sample(format=3, compression="gzip").build()
    rules = {(one.rule, one.severity) for one in findings(data + b"more")}
    assert rules == {("payload-digest", "error"), ("size", "warning")}
    none = {SigTag.MD5: None}
    assert [one.rule for one in findings(sample(format=3, signature=none))] == ["no-digest"]
    assert [one.rule for one in findings(sample(signature={SigTag.PAYLOADSIZE: (Kind.INT32, [1])}))] == ["unpacked-size"]


def test_hard_links() -> None:
    names = [Entry(b"/a", b"same", 0o100644, inode=3), Entry(b"/b", b"same", 0o104755, inode=3)]
    with opened(Rpm(names)) as image:  # as rpm: what holds is what the last name says
        assert image.tree["/a"] is image.tree["/b"] and image.tree["/a"].meta.mode == 0o4755
        assert content(image, "/a") == b"same"
    with pytest.raises(Corrupt, match="hard links with different contents") as caught:
        opened(Rpm([Entry(b"/a", b"one", inode=3), Entry(b"/b", b"other", inode=3)]))
    assert caught.value.path == b"/b"
    empty = [Entry(b"/a", inode=3), Entry(b"/b", inode=3)]
    with opened(Rpm(empty)) as image:
        assert image.tree["/a"] is image.tree["/b"] and content(image, "/b") == b""


BROKEN: dict[str, tuple[Rpm, str]] = {
    "absolute": (Rpm([Entry(b"//a", b"x")]), "absolute name"),
    "absolute in the payload": (Rpm([Entry(b"/a", b"x")], payload=member(b"//a", b"x", 0o100644) + END), "has not"),
    "dots in the payload": (Rpm([Entry(b"/a", b"x")], payload=member(b"./../a", b"x", 0o100644) + END), "has not"),
    "dots": (Rpm([Entry(b"/../a", b"x")]), r"`\.\.` in a name"),
    "twice in the header": (Rpm([Entry(b"/a", b"x"), Entry(b"/./a", b"x")]), "in the header twice"),
    "below a link": (Rpm([link(b"/a", b"/etc"), Entry(b"/a/b", b"x")]), "below something that is not"),
    "twice in the payload": (
        Rpm([Entry(b"/a", b"x")], payload=member(b"./a", b"x", 0o100644) * 2 + END),
        "payload twice",
    ),
    "no trailer": (Rpm([Entry(b"/a", b"x")], payload=member(b"./a", b"x", 0o100644)), "without TRAILER"),
    "missing": (Rpm([Entry(b"/a", b"x")], payload=END), "not in the payload"),
    "other size": (
        Rpm([Entry(b"/a", b"x")], payload=member(b"./a", b"xy", 0o100644) + END),
        "another size",
    ),
    "other type": (
        Rpm([Entry(b"/a", b"x")], payload=member(b"./a", b"x", 0o120777) + END),
        "another type",
    ),
    "other target": (
        Rpm([link(b"/a", b"x"), Entry(b"/z", b"z")], payload=member(b"./a", b"y", 0o120777) + END),
        "another target",
    ),
    "content of a directory": (
        Rpm([folder(b"/a"), Entry(b"/z", b"z")], payload=member(b"./a", b"y", 0o040755) + END),
        "no file",
    ),
    "cut content": (Rpm([Entry(b"/a", b"x" * 9)], payload=member(b"./a", b"x", 0o100644, size=9)), "payload is cut"),
    "wrong sum": (
        Rpm(
            [Entry(b"/a", b"x")],
            payload=sample(form="crc").but(files=[Entry(b"/a", b"x")]).cpio().replace(b"x\0\0\0", b"y\0\0\0"),
        ),
        "checksum of a file",
    ),
    "stripped number": (
        Rpm([Entry(b"/a", b"x")], payload=b"07070X00000009\0\0x\0\0\0" + END),
        "a file that is not there",
    ),
    "stripped digits": (Rpm([Entry(b"/a", b"x")], payload=b"07070X0000000z\0\0x\0\0\0"), "has no number"),
    "no archive": (Rpm([Entry(b"/a", b"x")], payload=b"hello"), "neither a cpio nor compressed"),
    "lz4": (Rpm([Entry(b"/a", b"x")], payload=b"\x04\x22\x4d\x18" + bytes(20)), "neither a cpio nor compressed"),
    "odd type": (Rpm([Entry(b"/a", mode=0o170000)]), "no type"),
    "bad capabilities": (Rpm([Entry(b"/a", b"x", caps=b"cap_none=ep")]), "file capabilities that are none"),
    "link to nothing": (Rpm([link(b"/a", b"")]), "without a target"),
    "no name": (Rpm(tags={Tag.NAME: None}), "without a name"),
    "short list": (Rpm([Entry(b"/a", b"x")], tags={Tag.FILEFLAGS: (Kind.INT32, [0, 0])}), "as many values"),
    "no modes": (Rpm([Entry(b"/a", b"x")], tags={Tag.FILEMODES: None}), "as many values"),
    "no directory": (Rpm([Entry(b"/a", b"x")], tags={Tag.DIRINDEXES: (Kind.INT32, [4])}), "no such directory"),
    "wrong type": (Rpm(tags={Tag.NAME: (Kind.INT32, [4])}), "another type"),
    "trigger": (sample().but(tags={**sample().tags, Tag.TRIGGERINDEX: (Kind.INT32, [0, 9])}), "trigger without a script"),
}


@pytest.mark.parametrize("case", BROKEN)
def test_broken(case: str) -> None:
    package, message = BROKEN[case]
    with pytest.raises(Corrupt, match=message) as caught, opened(package) as image:
        for path, node in image.tree.walk():
            if isinstance(node, File):
                content(image, path.decode())
    assert caught.value.offset is not None
    found = findings(package)
    assert found and found[0].severity == "error" and found[0].fatal


def test_refused() -> None:
    with pytest.raises(NotThisFormat):
        opened(b"\xed\xab\xee" + bytes(200))
    with pytest.raises(NotThisFormat, match="no signature header"):
        opened(sample().build()[: Lead.SIZE] + bytes(100))
    with pytest.raises(Corrupt, match="package is cut"):
        opened(sample().build()[:-1])
    with pytest.raises(Corrupt, match="package is cut"):
        opened(sample(format=6).build()[:-1])
    package = Rpm([Entry(b"/a", b"x")], tags={Tag.PAYLOADFORMAT: text("drpm")})
    with opened(package) as image, pytest.raises(Unsupported, match="another kind"):
        content(image, "/a")
    with pytest.raises(Unsupported, match="only read"):
        rpm.FORMAT.write(None, None, None, None, None)  # type: ignore[arg-type]


def test_limits() -> None:
    data = sample(compression="zstd").build()
    for name, most in (("max_metadata", 100), ("max_entries", 3), ("max_file_size", 10)):
        with pytest.raises(LimitExceeded, match=name):
            opened(data, Limits(**{name: most}))
    with opened(data, Limits(max_stream=100)) as image, pytest.raises(LimitExceeded, match="max_stream"):
        content(image, "/usr/bin/a")


def test_a_failure_is_found_once_and_told_to_everybody() -> None:
    package = Rpm([Entry(b"/a", b"x"), Entry(b"/b", b"y")], payload=END)
    with opened(package) as image:
        errors = []
        for path in ("/a", "/b", "/a"):
            with pytest.raises(ImgcoreError) as caught:
                content(image, path)
            errors.append(caught.value)
    assert len({id(error) for error in errors}) == 3 and len({str(error) for error in errors}) == 1


def test_threads_share_a_package() -> None:
    with opened(sample(compression="xz"), accounts=KNOWN) as image:
        found: list[bytes] = []
        threads = [threading.Thread(target=lambda: found.append(content(image, "/usr/bin/b"))) for _ in range(8)]
        for one in threads:
            one.start()
        for one in threads:
            one.join()
    assert found == [b"program\n" * 1000] * 8


def test_closed() -> None:
    image = opened(sample())
    image.close()
    image.close()
    with pytest.raises(ValueError, match="closed"):
        content(image, "/usr/bin/a")


def test_nothing_is_unpacked_for_names(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("imgcore.formats.rpm.payload.Spool", lambda: pytest.fail("the payload was unpacked"))
    with opened(sample(compression="xz")) as image:
        assert sum(node.content.size for _, node in image.tree.walk() if isinstance(node, File)) > 8000
        assert image.info() and list(image.layout())


def test_modes_are_whole() -> None:
    files = [Entry(b"/%o" % mode, b"x", stat.S_IFREG | mode) for mode in (0, 0o7777, 0o4711, 0o1777, 0o2755)]
    with opened(Rpm(files)) as image:
        assert [node.meta.mode for path, node in image.tree.walk() if path != b"/"] == [0, 0o1777, 0o2755, 0o4711, 0o7777]


@pytest.mark.parametrize("compression", ["none", "gzip"])
def test_holes_are_verified_too(compression: str) -> None:
    """Of a hole nothing is read; so who asks where the holes are is told of a wrong digest."""
    files = [Entry(b"/a", bytes(300_000)), Entry(b"/b", b"x" * 300_000)]
    good = Rpm(files, compression=compression)
    with opened(good) as image:
        for path in ("/a", "/b"):
            node = image.tree[path]
            assert isinstance(node, File)
            assert sum(segment.size for segment in node.content.segments()) == 300_000
            assert node.content.read_at(299_990, 100) == content(image, path)[-10:]
    wrong = good.but(payload=Rpm([files[0], Entry(b"/b", bytes(300_000))]).cpio())
    with opened(wrong) as image:
        node = image.tree["/b"]
        assert isinstance(node, File)
        assert content(image, "/a") == bytes(300_000)
        with pytest.raises(VerificationFailed, match="content of a file"):
            if all(not segment.hole for segment in node.content.segments()):
                node.content.read_at(5, 5)


def test_only_what_is_needed_is_undone() -> None:
    files = [Entry(b"/%04d" % number, bytes([number % 251]) * 50_000) for number in range(100)]
    with opened(Rpm(files, compression="gzip")) as image:
        assert content(image, "/0003") == bytes([3]) * 50_000
        stage = image.payload._stage
        assert stage is not None and not stage.done and len(stage.walk.places) < 100
        assert content(image, "/0099") == bytes([99]) * 50_000 and stage.done
    weak = Rpm(files, compression="gzip", format=3)  # whose header has no digest of its own
    with opened(weak) as image:
        assert content(image, "/0003") == bytes([3]) * 50_000
        assert image.payload._stage is not None and image.payload._stage.done


def test_the_last_content_waits_for_the_digest_of_the_payload() -> None:
    package = Rpm([Entry(b"/a", b"1"), Entry(b"/b", b"2")], tags={Tag.PAYLOADSHA256: (Kind.STRING_ARRAY, [b"0" * 64])})
    with opened(package) as image, pytest.raises(VerificationFailed, match="payload does not fit"):
        for path in ("/a", "/b"):
            content(image, path)
