"""A repository made by hand: primary, filelists and repomd of packages, so that any of it can be made wrong."""

from __future__ import annotations

import gzip
import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from xml.sax.saxutils import quoteattr

from imgcore.blob import BytesBlob
from imgcore.formats.rpm import open_image
from imgcore.formats.rpm.package import Dependency, Package
from imgcore.packages import Evr
from tests.kit.packages import Rpm

_FLAGS = {"=": "EQ", "<": "LT", "<=": "LE", ">": "GT", ">=": "GE"}
_HEAD = '<?xml version="1.0" encoding="UTF-8"?>\n'


def entry(one: Dependency) -> str:
    out = f"<rpm:entry name={quoteattr(one.name)}"
    if one.operator:
        evr = Evr.parse(one.version)
        out += f' flags="{_FLAGS[one.operator]}" epoch="{evr.epoch}" ver="{evr.version}"'
        out += f' rel="{evr.release}"' if evr.release else ""
    return out + "/>"


@dataclass
class Repo:
    """Packages by their file names; the texts can be changed before they are written."""

    packages: Mapping[str, Rpm]
    compress: Callable[[bytes], bytes] = lambda data: gzip.compress(data, mtime=0)
    change: Mapping[str, Callable[[str], str]] = field(default_factory=dict)
    change_packages: Callable[[str, bytes], bytes] = lambda name, data: data

    def write(self, place: Path) -> Path:
        """Write the repository, and return its place."""
        (place / "repodata").mkdir(parents=True)
        lists = {"primary": "", "filelists": ""}
        for name, rpm in self.packages.items():
            data = rpm.build()
            (place / name).write_bytes(self.change_packages(name, data))
            with open_image(BytesBlob(data)) as image:
                package = image.package
            digest = hashlib.sha256(data).hexdigest()
            lists["primary"] += self.primary(package, name, digest, len(data))
            files = "".join(f"<file>{file.path.decode()}</file>" for file in package.files)
            lists["filelists"] += f'<package pkgid="{digest}" name="{package.name}" arch="{package.arch}">{files}</package>\n'
        repomd = ""
        for kind, body in lists.items():
            root = "metadata" if kind == "primary" else kind
            text = f'{_HEAD}<{root} xmlns="urn:a" xmlns:rpm="urn:b" packages="{len(self.packages)}">\n{body}</{root}>\n'
            data = self.compress(self.change.get(kind, str)(text).encode())
            (place / "repodata" / f"{kind}.xml.x").write_bytes(data)
            repomd += f'<data type="{kind}"><checksum type="sha256">{hashlib.sha256(data).hexdigest()}</checksum>'
            repomd += f'<location href="repodata/{kind}.xml.x"/><size>{len(data)}</size></data>\n'
        text = f'{_HEAD}<repomd xmlns="urn:c"><revision>1</revision>\n{repomd}</repomd>\n'
        (place / "repodata/repomd.xml").write_text(self.change.get("repomd", str)(text))
        return place

    @staticmethod
    def primary(package: Package, name: str, digest: str, size: int) -> str:
        """Return the element of a package."""
        lists = {kind: getattr(package, kind) for kind in ("provides", "requires", "conflicts", "obsoletes")}
        depends = "".join(f"<rpm:{kind}>{''.join(map(entry, found))}</rpm:{kind}>" for kind, found in lists.items())
        files = "".join(f"<file>{file.path.decode()}</file>" for file in package.files if b"bin/" in file.path)
        return (
            f'<package type="rpm"><name>{package.name}</name><arch>{package.arch}</arch>'
            f'<version epoch="{package.epoch or 0}" ver="{package.version}" rel="{package.release}"/>'
            f'<checksum type="sha256" pkgid="YES">{digest}</checksum><summary>a</summary><time file="1" build="2"/>'
            f'<size package="{size}" installed="3"/><location href="{name}"/>'
            f"<format>{depends}{files}</format></package>\n"
        )
