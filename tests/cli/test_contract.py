"""What scripts rely on: help, usage errors, one exit code for each class of error."""

from __future__ import annotations

import base64
import importlib
import inspect
import json
import os
import re
from pathlib import Path

import click
import pytest

from imgcore import errors
from imgcore.cli import verb_ddi, verb_iso
from imgcore.cli.exits import EXIT_TEXTS, code_of
from imgcore.cli.main import VERBS, group
from imgcore.cli.verb_sysext import ACTIONS
from tests.conftest import Cli

CODES = {
    "FormatError": 3,
    "NotThisFormat": 3,
    "Corrupt": 3,
    "Unsupported": 3,
    "LimitExceeded": 5,
    "TreeError": 4,
    "NotRepresentable": 4,
    "OverlayError": 4,
    "MergeConflict": 4,
    "NoSuchPath": 1,
    "PathError": 1,
    "SourceError": 6,
    "SourceChanged": 6,
    "SourceUnreadable": 6,
    "OutputError": 6,
    "TargetExists": 2,
    "VerificationFailed": 7,
    "ConfigError": 2,
    "DependencyError": 4,
    "Cancelled": 130,
}


def test_every_error_has_its_exit_code() -> None:
    classes = {
        name: kind
        for name, kind in vars(errors).items()
        if inspect.isclass(kind) and issubclass(kind, errors.ImgcoreError) and kind is not errors.ImgcoreError
    }
    assert {name: code_of(kind("x")) for name, kind in classes.items()} == CODES
    assert code_of(OSError()) == 6
    assert code_of(BrokenPipeError()) == 141
    assert code_of(KeyboardInterrupt()) == 130
    with pytest.raises(ZeroDivisionError):
        code_of(ZeroDivisionError())


GROUPS = {"sysext": ACTIONS, "iso": verb_iso.ACTIONS, "ddi": verb_ddi.ACTIONS}
OTHERS = {("iso", "mkisofs")}  # whose flags are another program's
COMMANDS = [(name,) for name in VERBS if name not in GROUPS] + [
    (name, one) for name, actions in GROUPS.items() for one in actions if (name, one) not in OTHERS
]


@pytest.mark.parametrize("name", GROUPS)
def test_help_of_a_verb_with_actions(imgcore_cli: Cli, name: str) -> None:
    result = imgcore_cli(name, "--help")
    assert result.code == 0
    command = importlib.import_module(f"imgcore.cli.verb_{name}").command
    assert command.get_short_help_str(200) == VERBS[name]
    for action, summary in GROUPS[name].items():
        assert re.search(rf"^  {action} +{re.escape(summary)}", result.out, re.MULTILINE)


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_help_of_every_verb(imgcore_cli: Cli, words: tuple[str, ...]) -> None:
    result = imgcore_cli(*words, "--help")
    name = " ".join(words)
    assert result.code == 0 and result.err == ""
    command = importlib.import_module(f"imgcore.cli.verb_{words[0]}").command
    if len(words) > 1:
        command = command.get_command(click.Context(command), words[1])
    assert command.get_short_help_str(200) == (VERBS[name] if len(words) == 1 else GROUPS[words[0]][words[1]])
    assert "Examples:\n  imgcore " + name in result.out
    codes = result.out.partition("Exit codes:")[2]
    assert {int(code) for code in re.findall(r"^  ([0-9]+) ", codes, re.MULTILINE)} <= set(EXIT_TEXTS)
    assert max(map(len, result.out.partition("Examples:")[0].splitlines())) <= 80
    for flag in ("--json", "-q, --quiet", "-v, --verbose", "--progress"):
        assert flag in result.out
    for parameter in command.params:
        if isinstance(parameter, click.Option):
            assert parameter.help, f"{name} {parameter.name} has no help"


def test_help_of_the_program(imgcore_cli: Cli) -> None:
    result = imgcore_cli("--help")
    assert result.code == 0
    for verb, summary in VERBS.items():
        assert re.search(rf"^  {verb} +{summary}", result.out, re.MULTILINE)
    assert "Exit codes" in result.out
    assert list(group.list_commands(click.Context(group))) == list(VERBS)


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["nonsense"],
        ["pack"],
        ["pack", "x"],
        ["pack", "a", "b.unknown"],
        ["pack", "a", "-"],
        ["pack", "a", "b.raw", "--format", "nonsense"],
        ["pack", "a", "b.raw", "-c", "nonsense"],
        ["pack", "a", "b.raw", "-c", "zstd:x"],
        ["pack", "a", "b.raw", "-c", "none:1"],
        ["pack", "a", "b.raw", "-b", "5000"],
        ["pack", "a", "b.raw", "-b", "many"],
        ["pack", "a", "b.raw", "--owner", "me"],
        ["pack", "a", "b.raw", "--owner", "1:99999999999"],
        ["pack", "a", "b.raw", "--clock", "noon"],
        ["pack", "a", "b.raw", "--allow-loss", "everything"],
        ["pack", "a", "b.raw", "-O", "nonsense=1"],
        ["pack", "a", "b.raw", "-O", "nonsense"],
        ["pack", "a", "b.raw", "-j", "0"],
        ["pack", "a", "b.raw", "-j", "4", "-b", "1M", "--memory", "1M"],
        ["pack", "a", "b.raw", "--memory", "1X"],
        ["pack", "a", "b.raw", "--limits", "max_nonsense=1"],
        ["pack", "a", "b.raw", "--exclude", "/"],
        ["pack", "", "b.raw"],
        ["ls"],
        ["ls", ""],
        ["ls", "a", "b", "c"],
        ["ls", "--nonsense", "a"],
        ["unpack", "a", "b", "--owner", "you"],
        ["diff", "a"],
        ["info", "a", "--progress", "loud"],
    ],
)
def test_usage_errors(imgcore_cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str]) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a").mkdir()
    result = imgcore_cli(*arguments)
    assert (result.code, result.out) == (2, "")
    assert result.err.startswith(("error: ", "Usage: "))
    assert [path.name for path in tmp_path.iterdir()] == ["a"]
    if arguments:
        result = imgcore_cli(*arguments, "--json")
        error = json.loads(result.err.splitlines()[-1])
        assert (result.code, error["event"], error["schema"], error["exit"]) == (2, "error", 1, 2)


def test_error_text(imgcore_cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "o.raw").write_bytes(b"")
    (tmp_path / "s").mkdir()
    result = imgcore_cli("pack", tmp_path / "s", tmp_path / "o.raw")
    assert result.code == 2
    assert result.err.splitlines() == ["error: target exists", f"  path `{tmp_path}/o.raw`", "hint: --force replaces it"]
    error = json.loads(imgcore_cli("pack", "--json", tmp_path / "s", tmp_path / "o.raw").err)
    assert error == {
        "event": "error",
        "schema": 1,
        "kind": "TargetExists",
        "message": "target exists",
        "path": f"{tmp_path}/o.raw",
        "hint": "--force replaces it",
        "exit": 2,
    }


def test_exit_codes_of_sources(imgcore_cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "text").write_bytes(b"no image at all")
    assert imgcore_cli("ls", tmp_path / "none").code == 6
    assert imgcore_cli("ls", tmp_path / "text").code == 3
    assert imgcore_cli("ls", f"tar:{tmp_path}/text").code == 3
    assert imgcore_cli("pack", tmp_path, tmp_path / "none" / "o.raw").code == 6
    (tmp_path / "d").mkdir()
    (tmp_path / "d" / "f").write_bytes(b"12345")
    assert imgcore_cli("pack", tmp_path / "d", tmp_path / "o.raw").code == 0
    assert imgcore_cli("unpack", "--limits", "max_file_size=4", tmp_path / "o.raw", tmp_path / "u").code == 5
    assert imgcore_cli("cat", "--limits", "max_file_size=4", tmp_path / "o.raw", "/f").code == 5


def test_names_cannot_reach_the_terminal(imgcore_cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "s").mkdir()
    (tmp_path / "s" / "\x1b]0;evil\x07").write_bytes(b"")
    imgcore_cli("pack", "-q", tmp_path / "s", tmp_path / "o.raw")
    for verb in ("ls", "ls -l", "ls -R", "info", "info --layout", "manifest", "check"):
        result = imgcore_cli(*verb.split(), tmp_path / "o.raw")
        assert "\x1b" not in result.out + result.err
    result = imgcore_cli("cat", tmp_path / "o.raw", "\x1b[31m")
    assert result.code == 1 and "\x1b" not in result.err


def test_paths_in_json_errors_are_exact(imgcore_cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "s").mkdir()
    imgcore_cli("pack", tmp_path / "s", tmp_path / "o.raw")
    name = b"/a\nb\xff"
    found = imgcore_cli("cat", "--json", tmp_path / "o.raw", os.fsdecode(name))
    error = json.loads(found.err.splitlines()[-1])
    assert (found.code, error["event"]) == (1, "error")
    assert os.fsencode(error["path"]) == base64.b64decode(error["path_b64"]) == name


def test_quiet_json_has_no_warnings(imgcore_cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "s").mkdir()
    os.utime(tmp_path / "s", ns=(0, 1))
    assert "warning" in imgcore_cli("pack", "--json", tmp_path / "s", tmp_path / "a.raw").err
    assert imgcore_cli("pack", "--json", "-q", tmp_path / "s", tmp_path / "b.raw").err == ""


def test_a_flag_and_an_option_do_not_contradict(imgcore_cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "s").mkdir()
    for flag, setting in (("-czstd", "compression=xz"), ("-cxz:3", "level=4"), ("-b8K", "block-size=4K")):
        found = imgcore_cli("pack", flag, "-O", setting, tmp_path / "s", tmp_path / "o.raw")
        assert found.code == 2 and setting.split("=")[0] in found.err
    assert imgcore_cli("pack", "-cxz", "-Olevel=1", tmp_path / "s", tmp_path / "o.raw").code == 0
