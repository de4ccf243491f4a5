"""Packages of mkosi configurations: where they are taken from, and what is refused."""

from __future__ import annotations

import contextlib
from pathlib import Path

import pytest

from imgcore.build.mkosi_image import PackageRequest
from imgcore.build.mkosi_packages import Installer
from imgcore.errors import DependencyError, Unsupported
from imgcore.events import Control
from imgcore.model import Dir, Meta, Tree

PACKAGES = Path(__file__).resolve().parents[3] / "examples/tools-sysext/mkosi.packages"
EMPTY = Tree(Dir(Meta(0o755), {}))


def request(*names: str, distribution: str = "opensuse", places: tuple[Path, ...] = (PACKAGES,)) -> PackageRequest:
    return PackageRequest(names, places, distribution, "tumbleweed", "x86-64")


def test_what_is_required_comes_too() -> None:
    with contextlib.ExitStack() as stack:
        tree = Installer()(EMPTY, request("strace"), stack=stack, control=Control())
        programs = {path for path, _ in tree.walk() if path.startswith(b"/usr/bin/")}
        assert programs == {b"/usr/bin/grep", b"/usr/bin/strace", b"/usr/bin/strace-log-merge"}
        assert b"/usr/lib64/libunwind.so.8" in tree


def test_what_is_refused() -> None:
    with contextlib.ExitStack() as stack:
        with pytest.raises(Unsupported, match="those of debian"):
            Installer()(EMPTY, request("strace", distribution="debian"), stack=stack, control=Control())
        with pytest.raises(Unsupported, match="no place to take them from"):
            Installer()(EMPTY, request("strace", places=()), stack=stack, control=Control())
        with pytest.raises(DependencyError, match="gdb"):
            Installer()(EMPTY, request("gdb"), stack=stack, control=Control())
        with pytest.raises(Unsupported, match="not allowed"):
            Installer(("https://example.invalid/repo",))(EMPTY, request("strace"), stack=stack, control=Control())
