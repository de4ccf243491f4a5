"""mkosi as an oracle: its own source, run as a program or by `mkosi_driver.py`; and the same machine as a `Host` for us."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from imgcore.mkosi import BY_NAME, Configuration, Host, load
from imgcore.mkosi.summary import as_values
from imgcore.sysext.envfile import parse_env_file
from tests.kit.oracles import missing

Values = dict[str, Any]
_DRIVER = Path(__file__).with_name("mkosi_driver.py")


def mkosi_source() -> Path:
    """Return mkosi's source tree, which `tools/oracles newest DIR` unpacked."""
    place = os.environ.get("IMGCORE_NEWEST_ORACLES")
    if place is None or not (Path(place) / "mkosi/mkosi/config.py").exists():
        missing("IMGCORE_NEWEST_ORACLES has no mkosi: `tools/oracles newest DIR` unpacks it")
    return (Path(place) / "mkosi").resolve()


def _environment() -> dict[str, str]:
    left_out = ("MKOSI_HOST_DISTRIBUTION", "MKOSI_HOST_RELEASE", "MKOSI_DNF")
    return {name: value for name, value in os.environ.items() if name not in left_out}


def run_mkosi(directory: Path, *arguments: str) -> list[Values]:
    """Return what `mkosi --json summary` prints of each image."""
    done = subprocess.run(
        [sys.executable, "-m", "mkosi", *arguments, "--json", "summary"],
        cwd=directory,
        env={**_environment(), "PYTHONPATH": str(mkosi_source())},
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )
    images: list[Values] = json.loads(done.stdout)["Images"]
    return images


class Driver:
    """mkosi's parser in a process that answers many questions; None is an error."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-P", str(_DRIVER)],
            env={**_environment(), "PYTHONPATH": str(mkosi_source())},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )

    def ask(self, directory: Path, arguments: Sequence[str] = ()) -> list[Values] | None:
        images: list[Values] | None = self._answer({"directory": str(directory), "arguments": list(arguments)}).get("images")
        return images

    def compare(self, versions: Sequence[tuple[str, str]]) -> list[int]:
        answer: list[int] = self._answer({"versions": versions})
        return answer

    def _answer(self, job: Values) -> Any:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(job) + "\n")
        self._process.stdin.flush()
        return json.loads(self._process.stdout.readline())

    def close(self) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.wait(timeout=60)
        self._process.stdout.close()


def this_host(directory: Path, builtin: Path | None = None) -> Host:
    """Return this machine as it is, for what mkosi finds out by itself."""
    release = Path("/etc/os-release")
    return Host(
        directory.resolve(),
        _environment(),
        platform.machine(),
        parse_env_file(release.read_bytes()) if release.exists() else {},
        home=lambda user: os.path.expanduser(f"~{user}"),
        builtin=builtin,
    )


def flags(arguments: Sequence[tuple[str, str]]) -> list[str]:
    """Return settings as options of mkosi's command line."""
    return [f"{BY_NAME[name].flag}={value}" for name, value in arguments]


def shown(configuration: Configuration) -> list[Values]:
    """Return the images as a reader of our JSON sees them."""
    images: list[Values] = json.loads(json.dumps([as_values(one) for one in configuration.images]))
    return images


def ours(directory: Path, arguments: Sequence[tuple[str, str]] = (), builtin: Path | None = None) -> list[Values]:
    """Return what we make of a configuration."""
    return shown(load(this_host(directory, builtin), arguments))


def unlike(theirs: Sequence[Values], ours: Sequence[Values]) -> list[str]:
    """Return the settings that differ. A seed that nobody set is a random one of mkosi's: it is not compared."""
    if len(theirs) != len(ours):
        return [f"{len(theirs)} images and {len(ours)}"]
    out = []
    for one, two in zip(theirs, ours, strict=True):
        for name in sorted(one.keys() | two.keys()):
            if name == "Seed" and two.get(name) is None and one.get(name) is not None:
                continue
            if one.get(name, "missing") != two.get(name, "missing"):
                out.append(f"{two.get('Image')}.{name}: {one.get(name, 'missing')!r} / {two.get(name, 'missing')!r}")
    return out


def write_files(directory: Path, files: Mapping[str, str | None]) -> Path:
    """Write files below a directory; a text that begins with #! is executable, None is an empty directory."""
    for name, text in files.items():
        path = directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if text is None:
            path.mkdir(exist_ok=True)
            continue
        path.write_bytes(os.fsencode(text))
        path.chmod(0o755 if text.startswith("#!") else 0o600 if name.endswith((".key", "rootpw", "passphrase")) else 0o644)
    directory.mkdir(parents=True, exist_ok=True)
    return directory
