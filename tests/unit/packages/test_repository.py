"""Repositories: what is read of them, what is verified, and what is refused."""

from __future__ import annotations

import bz2
import gzip
import http.server
import lzma
import ssl
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import zstandard

from imgcore.blob import read_all
from imgcore.errors import (
    Corrupt,
    FormatError,
    ImgcoreError,
    LimitExceeded,
    PathError,
    SourceUnreadable,
    Unsupported,
    VerificationFailed,
)
from imgcore.events import Control, Event, Warned
from imgcore.limits import Limits
from imgcore.packages import PackageDirectory, Repository, install, resolve
from imgcore.packages.fetch import HttpsFiles, LocalFiles, files_at
from imgcore.packages.xml import parse_xml
from tests.kit.oracles import tool
from tests.kit.packages import Entry, Key, Rpm, sample
from tests.kit.repodata import Repo

PACKAGES = {
    "app.rpm": Rpm([Entry(b"/usr/bin/app", b"app")], name="app", epoch=1, requires=("lib >= 2-1", "/usr/share/data")),
    "lib.rpm": Rpm([Entry(b"/usr/lib/lib.so", b"lib")], name="lib", version="2", provides=("lib.so()(64bit)",)),
    "data.rpm": Rpm([Entry(b"/usr/share/data", b"data")], name="data", arch="noarch", conflicts=("x < 1",), obsoletes=("y",)),
}


def test_reading(tmp_path: Path) -> None:
    place = Repo(PACKAGES).write(tmp_path / "r")
    for location in (str(place), f"file://{place}", f"file://localhost{place}"):
        source = Repository(location)
        assert source.name == location
        found = resolve(["app"], [source], arch="x86_64")
        assert [str(one) for one in found.packages] == ["app-1:1.0-1.x86_64", "data-1.0-1.noarch", "lib-2-1.x86_64"]
        with install(found.packages) as made:
            assert [path for path, _ in made.tree.walk()][-3:] == [b"/usr/lib/lib.so", b"/usr/share", b"/usr/share/data"]


def test_as_the_packages_themselves(tmp_path: Path) -> None:
    place = Repo({"demo.rpm": sample().but(files=sample().files[:8]), **PACKAGES}).write(tmp_path / "r")
    listed = {str(one): one.package for one in Repository(str(place)).candidates()}
    read = {str(one): one.package for one in PackageDirectory(place).candidates()}
    assert listed.keys() == read.keys()
    for name, package in read.items():
        for kind in ("provides", "requires", "conflicts", "obsoletes"):
            assert list(map(str, getattr(listed[name], kind))) == list(map(str, getattr(package, kind)))


@pytest.mark.parametrize("compress", [bytes, gzip.compress, lzma.compress, bz2.compress, zstandard.ZstdCompressor().compress])
def test_compressions(tmp_path: Path, compress: Callable[[bytes], bytes]) -> None:
    assert len(Repository(str(Repo(PACKAGES, compress).write(tmp_path / "r"))).candidates()) == 3


def test_owners_of_files(tmp_path: Path) -> None:
    source = Repository(str(Repo(PACKAGES).write(tmp_path / "r")))
    assert [one.name for one in source.owners(b"/usr/bin/app")] == ["app"]
    assert [one.name for one in source.owners(b"/usr/lib/lib.so")] == ["lib"]  # by filelists.xml
    assert source.owners(b"/none") == source.owners(b"/none") == []


def repomd(old: str, new: str) -> dict[str, Callable[[str], str]]:
    return {"repomd": lambda text: text.replace(old, new)}


def primary(old: str, new: str) -> dict[str, Callable[[str], str]]:
    return {"primary": lambda text: text.replace(old, new)}


REFUSED: dict[str, tuple[dict[str, Callable[[str], str]], type[ImgcoreError], str]] = {
    "no XML": ({"repomd": lambda text: text[:-20]}, Corrupt, "no XML"),
    "no primary": (repomd('type="primary"', 'type="other"'), Corrupt, "without primary"),
    "outside": (repomd("repodata/primary", "../primary"), Corrupt, "leads out"),
    "absolute": (repomd("repodata/primary", "/etc/primary"), Corrupt, "leads out"),
    "a URL": (repomd("repodata/primary", "https://x/primary"), Corrupt, "leads out"),
    "weak": (repomd('type="sha256"', 'type="sha"'), Unsupported, "weak or unknown"),
    "no checksum": (repomd('type="sha256"', ""), Corrupt, "without its algorithm"),
    "another checksum": ({"repomd": lambda text: text.replace("</checksum>", "0</checksum>")}, VerificationFailed, "checksum"),
    "size": ({"repomd": lambda text: text.replace("<size>", "<size>1")}, VerificationFailed, "another size"),
    "smaller": (
        {"repomd": lambda text: text.replace("<size>", "<size>0<!--").replace("</size>", "--></size>")},
        Corrupt,
        "larger",
    ),
    "no number": (repomd("<size>", "<size>x"), Corrupt, "a number"),
    "no file": (repomd("repodata/primary", "repodata/nothing"), PathError, "no such file"),
    "no name": (primary("<name>app</name>", ""), Corrupt, "without its name"),
    "no dependency": (primary('<rpm:entry name="app"', "<rpm:entry"), Corrupt, "without a name"),
    "comparison": (primary('flags="GE"', 'flags="XX"'), Corrupt, "unknown comparison"),
    "base": (primary("<location ", '<location xml:base="https://x/" '), Corrupt, "another place"),
    "epoch": (primary('epoch="1"', 'epoch="-1"'), Corrupt, "a number"),
    "entity": (primary("<metadata", '<!DOCTYPE a [<!ENTITY b "c">]><metadata'), Corrupt, "document type"),
    "long text": (primary("<summary>a", "<summary>" + "a" * (5 << 20)), Corrupt, "too long"),
    "deep": (primary("<summary>", "<x>" * 40), Corrupt, "too deep"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_refused(tmp_path: Path, case: str) -> None:
    change, kind, message = REFUSED[case]
    place = Repo(PACKAGES, change=change).write(tmp_path / "r")
    with pytest.raises(kind, match=message) as caught:
        Repository(str(place)).candidates()
    assert caught.value.where()


def test_packages_are_verified(tmp_path: Path) -> None:
    swapped = Repo(PACKAGES, change_packages=lambda name, data: data[:-1] + b"x").write(tmp_path / "swapped")
    one = Repository(str(swapped)).candidates()[0]
    with pytest.raises(VerificationFailed, match="does not fit its checksum") as caught:
        one.source.open(one)
    assert str(caught.value.path).endswith("app.rpm")
    short = Repo(PACKAGES, change_packages=lambda name, data: data[:-1]).write(tmp_path / "short")
    with pytest.raises(VerificationFailed, match="another size"):
        Repository(str(short)).open(Repository(str(short)).candidates()[0])
    lied = Repo(PACKAGES, change=primary("<name>app</name>", "<name>other</name>")).write(tmp_path / "lied")
    source = Repository(str(lied))
    with pytest.raises(VerificationFailed, match="another one than the repository says"):
        source.open(source.candidates()[0])
    outside = Repo(PACKAGES, change=primary('href="app.rpm"', 'href="../app.rpm"')).write(tmp_path / "outside")
    source = Repository(str(outside))
    with pytest.raises(Corrupt, match="leads out"):
        source.open(source.candidates()[0])


def test_limits(tmp_path: Path) -> None:
    place = str(Repo(PACKAGES).write(tmp_path / "r"))
    for limits in (Limits(max_entries=2), Limits(max_metadata=500), Limits(max_metadata=3000)):
        with pytest.raises(LimitExceeded):
            Repository(place, limits=limits).candidates()
    control = Control()
    control.cancel()
    with pytest.raises(ImgcoreError, match="cancelled"):
        Repository(place, control=control).candidates()


# XML


BOMBS = {
    "laughs": '<!DOCTYPE a [<!ENTITY b "x">' + "".join(f'<!ENTITY b{n} "{"&b;" * 10}">' for n in range(9)) + "]><a>&b8;</a>",
    "quadratic": f'<!DOCTYPE a [<!ENTITY b "{"x" * 10_000}">]><a>{"&b;" * 10_000}</a>',
    "external": '<!DOCTYPE a SYSTEM "file:///etc/passwd"><a/>',
    "parameter": '<!DOCTYPE a [<!ENTITY % b SYSTEM "file:///etc/passwd"> %b;]><a/>',
    "undefined": "<a>&b;</a>",
    "attributes": "<a " + " ".join(f'a{n}="{n}"' for n in range(3)) + " a1='again'/>",
    "endless": "<a>" * 100_000,
    "no text": "",
    "text": "hello",
    "encoding": '<?xml version="1.0" encoding="none"?><a>\udcff</a>',
    "NUL": "<a>\0</a>",
}


@pytest.mark.parametrize("case", BOMBS)
def test_bombs(case: str) -> None:
    seen: list[str] = []
    text = BOMBS[case].encode("utf-8", "surrogateescape")
    with pytest.raises(FormatError) as caught:
        parse_xml([text], lambda name, attributes: seen.append(name), lambda name, text: None, Limits.default(), "x")
    assert caught.value.line is not None and len(seen) < 40


def test_a_long_token_is_bounded() -> None:
    def chunks() -> Iterator[bytes]:
        yield b"<a b='"
        while True:
            yield b"x" * 65536

    with pytest.raises(LimitExceeded, match="max_metadata"):
        parse_xml(chunks(), lambda name, attributes: None, lambda name, text: None, Limits(max_metadata=4 << 20), "x")


# Signatures


def signed(place: Path, key: Key) -> Path:
    (place / "repodata/repomd.xml.asc").write_bytes(key.sign((place / "repodata/repomd.xml").read_bytes()))
    return place


def test_signatures(tmp_path: Path) -> None:
    key, other = Key.make(), Key.make("Other <o@example.org>")
    place = signed(Repo(PACKAGES).write(tmp_path / "r"), key)
    assert len(Repository(str(place), keys=[key.public]).candidates()) == 3
    assert len(Repository(str(place), keys=[other.public, key.public]).candidates()) == 3
    for keys in ([other.public], [b"no key"]):
        with pytest.raises(VerificationFailed, match="signature"):
            Repository(str(place), keys=keys).candidates()
    path = place / "repodata/repomd.xml"
    path.write_bytes(path.read_bytes() + b"\n")
    with pytest.raises(VerificationFailed, match="signature"):
        Repository(str(place), keys=[key.public]).candidates()
    assert len(Repository(str(place)).candidates()) == 3
    (place / "repodata/repomd.xml.asc").write_bytes(b"nothing")
    with pytest.raises(VerificationFailed, match="signature"):
        Repository(str(place), keys=[key.public]).candidates()
    (place / "repodata/repomd.xml.asc").unlink()
    with pytest.raises(VerificationFailed, match="not signed"):
        Repository(str(place), keys=[key.public]).candidates()


def test_without_the_library_a_key_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place = Repo(PACKAGES).write(tmp_path / "r")
    (place / "repodata/repomd.xml.asc").write_bytes(b"-----BEGIN PGP SIGNATURE-----")
    monkeypatch.setitem(__import__("sys").modules, "pysequoia", None)
    with pytest.raises(Unsupported, match="cannot be verified here") as caught:
        Repository(str(place), keys=[b"key"]).candidates()
    assert "imgcore[openpgp]" in str(caught.value.hint)


# Places


def test_places(tmp_path: Path) -> None:
    assert isinstance(files_at("/a/b", network=False), LocalFiles)
    assert isinstance(files_at("https://example.org/", network=True), HttpsFiles)
    assert files_at("file:///a%20b", network=False).place("c") == "/a b/c"
    for location in ("https://example.org", "http://example.org", "ftp://x/y", "file://host/x"):
        with pytest.raises(Unsupported):
            files_at(location, network=location.startswith("http:"))
    with pytest.raises(PathError):
        Repository(str(tmp_path / "none")).candidates()
    with pytest.raises(SourceUnreadable):
        PackageDirectory(tmp_path / "none").candidates()


class _Handler(http.server.SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: Any) -> None:
        pass

    def do_GET(self) -> None:
        if self.path.startswith("/away"):
            self.send_response(302)
            self.send_header("Location", "http://example.invalid/")
            self.end_headers()
        elif self.path.startswith("/broken"):
            self.send_error(500)
        elif self.path.startswith("/mirror/"):
            self.send_response(302)
            self.send_header("Location", self.path.removeprefix("/mirror"))
            self.end_headers()
        else:
            super().do_GET()


@pytest.fixture
def server(tmp_path: Path) -> Iterator[tuple[str, ssl.SSLContext]]:
    """Serve `tmp_path/r` by HTTPS, with a certificate that only the given context knows."""
    request = ["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost"]
    request += ["-addext", "subjectAltName=DNS:localhost", "-keyout", "key.pem", "-out", "cert.pem"]
    subprocess.run([tool("openssl"), *request], cwd=tmp_path, check=True, capture_output=True)
    Repo(PACKAGES).write(tmp_path / "r")
    web = http.server.ThreadingHTTPServer(
        ("localhost", 0),
        lambda *args: _Handler(*args, directory=str(tmp_path / "r")),  # type: ignore[arg-type]
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "cert.pem", tmp_path / "key.pem")
    web.socket = context.wrap_socket(web.socket, server_side=True)
    thread = threading.Thread(target=web.serve_forever)
    thread.start()
    try:
        yield f"https://localhost:{web.server_address[1]}", ssl.create_default_context(cafile=str(tmp_path / "cert.pem"))
    finally:
        web.shutdown()
        thread.join()
        web.server_close()


def test_https(server: tuple[str, ssl.SSLContext], monkeypatch: pytest.MonkeyPatch) -> None:
    url, context = server
    for prefix in ("", "/mirror"):
        files = HttpsFiles(url + prefix, context=context)
        blob = files.fetch("repodata/repomd.xml", 1 << 20)
        assert read_all(blob).startswith(b"<?xml")
        blob.close()  # type: ignore[attr-defined]
    files = HttpsFiles(url, context=context)
    with pytest.raises(PathError, match="no such file"):
        files.fetch("none", 100)
    with pytest.raises(Corrupt, match="larger"):
        files.fetch("app.rpm", 100)
    with pytest.raises(SourceUnreadable, match="HTTP 500"):
        files.fetch("broken", 100)
    with pytest.raises(SourceUnreadable, match="away from HTTPS"):
        files.fetch("away", 100)
    with pytest.raises(SourceUnreadable, match="certificate"):
        HttpsFiles(url).fetch("repodata/repomd.xml", 1 << 20)
    monkeypatch.setattr("imgcore.packages.repository.files_at", lambda location, **more: files)
    events: list[Event] = []
    source = Repository(url, network=True, control=Control(events.append))
    found = resolve(["app"], [source], arch="x86_64")
    with install(found.packages) as made:
        assert "/usr/bin/app" in made.tree
    assert [event.message for event in events if isinstance(event, Warned)] == [f"repository {url} is verified by no key"]
