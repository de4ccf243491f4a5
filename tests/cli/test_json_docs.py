"""docs/json.md names every key that the command line prints."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from tests.conftest import Cli

PAGE = Path(__file__).resolve().parents[2] / "docs" / "json.md"
QUOTED = " ".join(re.findall(r"`([^`]+)`", PAGE.read_text()))
DOCUMENTED = {"event", "schema", *re.findall(r"[a-z0-9_]+", QUOTED)}
OPEN = {"compression_options", "xattrs", "capabilities", "options", "types"}  # their keys are names of other things


def keys_of(value: object) -> set[str]:
    if isinstance(value, dict):
        inner = (keys_of(item) for key, item in value.items() if key not in OPEN)
        return set(value) | {key for keys in inner for key in keys}
    if isinstance(value, list):
        return {key for item in value for key in keys_of(item)}
    return set()


COMMANDS = """
pack SRC o.raw | pack --dry-run SRC o.raw | pack --dry-run -v SRC o.raw
info i.raw | info --layout i.raw | ls -R i.raw | manifest i.raw | diff SRC i.raw | check cut.raw
pack --cache c SRC o.raw | cache info c0 | cache prune --all c0
doctor | formats | unpack i.raw u | cat i.raw /nope | info nope
"""


@pytest.mark.parametrize("command", [words.strip() for words in re.split(r"[|\n]", COMMANDS.strip())])
def test_every_key_is_documented(command: str, imgcore_cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = tmp_path / "SRC"
    source.mkdir()
    (source / "a").write_bytes(b"a" * 9000)
    (source / "link").symlink_to("a")
    (source / "same").hardlink_to(source / "a")
    (source / b"\xff".decode("utf-8", "surrogateescape")).write_bytes(b"")
    monkeypatch.chdir(tmp_path)
    imgcore_cli("pack", "--cache", "c0", "SRC", "i.raw")
    (tmp_path / "cut.raw").write_bytes((tmp_path / "i.raw").read_bytes()[:200])
    (source / "new").write_bytes(b"")
    found = imgcore_cli(*command.split(), "--json", "--progress", "json")
    objects = [json.loads(line) for line in (found.out + found.err).splitlines()]
    assert objects
    for item in objects:
        assert keys_of(item) <= DOCUMENTED, item
