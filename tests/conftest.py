"""Fixtures of all tests: the command line in this process, a directory that everybody may use, an unprivileged user."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from imgcore.cli.main import run

NOBODY = 65534

settings.register_profile("default", deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
settings.load_profile("default")


@dataclass(frozen=True)
class Result:
    code: int
    out: str
    err: str

    def objects(self) -> list[dict[str, object]]:
        """Return stdout's JSON lines."""
        return [json.loads(line) for line in self.out.splitlines()]


Cli = Callable[..., Result]


@pytest.fixture
def imgcore_cli(capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Cli:
    """Return a function that runs one command line in this process."""
    monkeypatch.delenv("SOURCE_DATE_EPOCH", raising=False)

    def call(*arguments: str | os.PathLike[str]) -> Result:
        capfd.readouterr()
        code = run([os.fspath(argument) for argument in arguments])
        out, err = capfd.readouterr()
        return Result(code, out, err)

    return call


@pytest.fixture
def shared_dir() -> Iterator[Path]:
    """Return a directory that every user may enter and write to."""
    path = Path(tempfile.mkdtemp(prefix="imgcore-test-"))
    path.chmod(0o777)
    yield path
    shutil.rmtree(path)


@pytest.fixture
def unprivileged() -> Callable[[], contextlib.AbstractContextManager[None]]:
    """Return a context manager inside of which this process is nobody; nothing new is imported there."""

    @contextlib.contextmanager
    def dropped() -> Iterator[None]:
        if os.geteuid() != 0:
            yield
            return
        groups = os.getgroups()
        gid = os.getegid()
        os.setgroups([])
        os.setegid(NOBODY)
        os.seteuid(NOBODY)
        try:
            yield
        finally:
            os.seteuid(0)
            os.setegid(gid)
            os.setgroups(groups)

    return dropped


@pytest.fixture
def needs_root() -> None:
    """Skip the test for a user who cannot make devices and give files away."""
    if os.geteuid() != 0:
        pytest.skip("needs root")


def supports_user_xattrs(path: Path) -> bool:
    probe = path / ".probe"
    probe.write_bytes(b"")
    try:
        os.setxattr(probe, b"user.probe", b"1")
    except OSError:
        return False
    finally:
        probe.unlink()
    return True


@pytest.fixture
def needs_xattrs(tmp_path: Path) -> None:
    """Skip the test where the temporary directory has no extended attributes."""
    if not supports_user_xattrs(tmp_path):
        pytest.skip("the temporary directory has no user.* extended attributes")
