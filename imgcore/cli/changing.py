"""The flags that change a tree before it is packed, and the order in which they act.

Links are replaced while the sources are read. Then filters come first, entries are added, owners and times set, modes,
attributes, labels, capabilities, the root. The order of flags on the command line says nothing.
"""

from __future__ import annotations

import dataclasses
import os
import re
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import click

from imgcore.blob import BytesBlob, FileBlob
from imgcore.build.host_files import HostFiles
from imgcore.build.pack import under_policy
from imgcore.cli.packing import parse_clock, parse_owner
from imgcore.errors import ImgcoreError, SourceUnreadable, context
from imgcore.events import Control, Warned
from imgcore.limits import Limits
from imgcore.model import Loss, Meta, Tree
from imgcore.transforms import (
    Clock,
    FileContexts,
    Globs,
    IdRange,
    ModeRule,
    Owners,
    Policy,
    Regexes,
    Rule,
    capability_value,
    change_modes,
    change_root,
    exclude,
    label,
    max_depth,
    only,
    prune_empty,
    read_ignore_file,
    set_capabilities,
    set_xattrs,
    strip_xattrs,
)

__all__ = ["Change", "changes", "tree_options"]

Change: TypeAlias = Callable[[Tree], Tree]

_NS = 10**9
_MAX_ID = (1 << 32) - 2


def _converted(convert: Callable[[str], Any]) -> Callable[[click.Context, click.Parameter, Any], Any]:
    """Return a callback that converts one text or each of several; its ValueError is the usage error."""

    def callback(ctx: click.Context, param: click.Parameter, value: Any) -> Any:
        try:
            if isinstance(value, tuple):
                return tuple(convert(one) for one in value)
            return None if value is None else convert(value)
        except (ValueError, ImgcoreError) as error:
            raise click.BadParameter(str(error), ctx, param) from None

    return callback


def _id_range(text: str) -> IdRange:
    match = re.fullmatch(r"([0-9]+):([0-9]+)(?::([0-9]+))?", text, re.ASCII)
    if match is None:
        raise ValueError(f"`{text}` is not FROM:TO or FROM:TO:COUNT")
    return IdRange(int(match[1]), int(match[2]), int(match[3] or 1))


def _glob_and_rest(text: str) -> tuple[str, str]:
    """Return the two sides of the first `=` that has no backslash before it."""
    match = re.fullmatch(r"((?:\\.|[^\\=])+)=(.*)", text, re.DOTALL)
    if match is None:
        raise ValueError(f"`{text}` is not GLOB=…")
    return re.sub(r"\\=", "=", match[1]), match[2]


def _capability(text: str) -> tuple[str, str]:
    glob, caps = _glob_and_rest(text)
    capability_value(caps)
    return glob, caps


def _xattr(text: str) -> tuple[str, bytes, bytes]:
    glob, rest = _glob_and_rest(text)
    name, equals, value = rest.partition("=")
    if not equals or "." not in name:
        raise ValueError(f"`{text}` is not GLOB=NAME=VALUE, with a NAME such as user.comment")
    from imgcore.listings.text import xattr_value

    return glob, os.fsencode(name), xattr_value(os.fsencode(value))


def _root(text: str) -> dict[str, str]:
    values = {}
    for pair in text.split(","):
        key, equals, value = pair.partition("=")
        if key not in ("mode", "owner", "time") or not equals:
            raise ValueError(f"`{pair}` is none of mode=RULE, owner=UID:GID, time=EPOCH")
        values[key] = value
    return values


_OPTIONS = (
    click.option("--exclude", multiple=True, metavar="GLOB", help="Leave out what GLOB matches, as in a .gitignore."),
    click.option("--exclude-regex", multiple=True, metavar="RE", help="Leave out paths in which RE is found."),
    click.option(
        "--exclude-from",
        multiple=True,
        type=click.Path(dir_okay=False),
        metavar="FILE",
        help="Globs, a line each, as in a .gitignore; `!` keeps.",
    ),
    click.option("--include", multiple=True, metavar="GLOB", help="Keep what GLOB matches, whatever leaves it out."),
    click.option("--include-regex", multiple=True, metavar="RE", help="The same, by regular expression."),
    click.option("--only", multiple=True, metavar="GLOB", help="Leave out all that no GLOB matches, and is not below one."),
    click.option("--max-depth", type=click.IntRange(min=0), metavar="N", help="Go down N levels below the root."),
    click.option("--one-file-system", is_flag=True, help="Leave directories empty that are mount points."),
    click.option("--dereference", is_flag=True, help="Put what a symbolic link leads to in its place."),
    click.option("--prune-empty", is_flag=True, help="Leave out directories that hold nothing."),
    click.option("--pseudo", multiple=True, metavar="TEXT", help="Add or change an entry, as mksquashfs's -p."),
    click.option(
        "--pseudo-file",
        multiple=True,
        type=click.Path(dir_okay=False),
        metavar="FILE",
        help="Add or change entries, as mksquashfs's -pf.",
    ),
    click.option(
        "--xattr-file",
        multiple=True,
        type=click.Path(dir_okay=False),
        metavar="FILE",
        help="Add extended attributes from a dump of getfattr.",
    ),
    click.option(
        "--owner",
        callback=parse_owner,
        default="keep",
        show_default=True,
        metavar="keep|root|UID:GID",
        help="Who owns everything in the image.",
    ),
    click.option(
        "--map-uid", multiple=True, callback=_converted(_id_range), metavar="FROM:TO[:N]", help="Give N users other numbers."
    ),
    click.option(
        "--map-gid", multiple=True, callback=_converted(_id_range), metavar="FROM:TO[:N]", help="Give N groups other numbers."
    ),
    click.option("--id-offset", type=click.IntRange(0, (1 << 32) - 1), metavar="N", help="Add N to all users and groups."),
    click.option(
        "--clock",
        callback=parse_clock,
        metavar="keep|clamp:EPOCH|EPOCH",
        help="What becomes of times: kept, none later than EPOCH, all EPOCH.  [default: keep, or clamp to SOURCE_DATE_EPOCH"
        " where that is set]",
    ),
    click.option(
        "--file-mode",
        callback=_converted(ModeRule.parse),
        metavar="RULE",
        help="Permissions of all but directories and links: 0644, or as chmod: go-w.",
    ),
    click.option("--dir-mode", callback=_converted(ModeRule.parse), metavar="RULE", help="Permissions of directories."),
    click.option(
        "--xattrs",
        default="keep",
        show_default=True,
        metavar="keep|all|none|GLOB",
        help="Extended attributes that stay; keep: all but *.overlay.*.",
    ),
    click.option("--strip-xattr", multiple=True, metavar="RE", help="Remove extended attributes in whose name RE is found."),
    click.option(
        "--set-xattr",
        multiple=True,
        callback=_converted(_xattr),
        metavar="GLOB=NAME=VALUE",
        help="Set an extended attribute; VALUE may be 0x hex or 0s base64.",
    ),
    click.option(
        "--cap",
        multiple=True,
        callback=_converted(_capability),
        metavar="GLOB=CAPS",
        help="File capabilities, as setcap takes them: cap_net_raw=ep.",
    ),
    click.option(
        "--selinux",
        type=click.Path(dir_okay=False),
        metavar="FILE",
        help="Labels by FILE, a file_contexts, and FILE.homedirs .local .subs_dist .subs beside it.",
    ),
    click.option(
        "--root",
        callback=_converted(_root),
        metavar="KEY=VALUE,...",
        help="Metadata of the root directory: mode=RULE, owner=UID:GID, time=EPOCH.",
    ),
)


def tree_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add the flags to a verb; `changes` takes what they say."""
    for option in reversed(_OPTIONS):
        function = option(function)
    return function


def changes(values: dict[str, Any], clock: Clock, limits: Limits | None, control: Control, lost: list[Loss]) -> list[Change]:
    """Return the changes that the flags ask for, in the order in which they act. Raises ValueError, ImgcoreError.

    When they act, what the policy takes away although it had a meaning is added to `lost`.
    """
    made = [*_filters(values, control.emit)]
    if values["pseudo"] or values["pseudo_file"]:
        made.append(_pseudo(values, limits, control))
    made += [_xattr_dump(path, limits) for path in values["xattr_file"]]
    owners: Owners = values["owner"] or Owners()
    owners = dataclasses.replace(owners, uid_map=values["map_uid"], gid_map=values["map_gid"], offset=values["id_offset"] or 0)
    policy = Policy(owners, clock, values["xattrs"])

    def apply(tree: Tree) -> Tree:
        changed, losses = under_policy(tree, policy, control)
        lost.extend(losses)
        return changed

    made.append(apply)
    if values["file_mode"] or values["dir_mode"]:
        made.append(lambda tree: change_modes(tree, files=values["file_mode"], dirs=values["dir_mode"]))
    made += _attributes(values)
    if values["root"]:
        made.append(_root_change(values["root"]))
    return made


def _filters(values: dict[str, Any], warn: Callable[[Warned], None]) -> list[Change]:
    made: list[Change] = []
    rules = []
    for path in values["exclude_from"]:
        with context(image=path):
            rules += read_ignore_file(_read(path))
    for name, matcher, keep in (
        ("exclude", Globs, False),
        ("exclude_regex", Regexes, False),
        ("include", Globs, True),
        ("include_regex", Regexes, True),
    ):
        if values[name]:
            rules.append(Rule(matcher(values[name]), keep))
    if rules:
        made.append(lambda tree: exclude(tree, rules))
        made.append(lambda tree: _tell_unused(tree, rules, warn))
    if values["only"]:
        made.append(lambda tree: only(tree, values["only"]))
    if values["max_depth"] is not None:
        made.append(lambda tree: max_depth(tree, values["max_depth"]))
    if values["prune_empty"]:
        made.append(prune_empty)
    return made


def _tell_unused(tree: Tree, rules: Sequence[Rule], warn: Callable[[Warned], None]) -> Tree:
    for rule in rules:
        for text in getattr(rule.matcher, "unused", tuple)():
            warn(Warned(f"{'include' if rule.keep else 'exclude'} `{os.fsdecode(text)}` matches nothing"))
    return tree


def _pseudo(values: dict[str, Any], limits: Limits | None, control: Control) -> Change:
    from imgcore.listings import apply_pseudo, parse_pseudo, read_pseudo_file  # late: few have any

    entries = []
    for text in values["pseudo"]:
        try:
            entry = parse_pseudo(os.fsencode(text))
        except ImgcoreError as error:
            raise ValueError(f"--pseudo: {error}") from None
        entries += [entry] if entry is not None else []
    blobs = []
    for path in values["pseudo_file"]:
        blobs.append(FileBlob(path))  # held open until the process ends: contents may lie in it
        with context(image=path):
            entries += read_pseudo_file(blobs[-1], limits)
    return lambda tree: apply_pseudo(tree, entries, files=HostFiles(control=control), limits=limits)


def _xattr_dump(path: str, limits: Limits | None) -> Change:
    from imgcore.listings import apply_xattr_dump

    text = BytesBlob(_read(path))

    def change(tree: Tree) -> Tree:
        with context(image=path):
            return apply_xattr_dump(tree, text, limits)

    return change


def _attributes(values: dict[str, Any]) -> list[Change]:
    made: list[Change] = []
    if values["strip_xattr"]:
        try:
            names = [re.compile(os.fsencode(text)) for text in values["strip_xattr"]]
        except re.error as error:
            raise ValueError(f"not a regular expression: {error}") from None
        made.append(lambda tree: strip_xattrs(tree, lambda name: any(one.search(name) for one in names)))
    for glob, name, value in values["set_xattr"]:
        made.append(
            _with_glob(glob, lambda tree, globs, n=name, v=value, g=glob: set_xattrs(tree, {n: v}, where=globs, required=g))
        )
    if values["selinux"]:
        contexts = _file_contexts(values["selinux"])
        made.append(lambda tree: label(tree, contexts))
    for glob, caps in values["cap"]:
        made.append(_with_glob(glob, lambda tree, globs, c=caps, g=glob: set_capabilities(tree, c, globs, required=g)))
    return made


def _with_glob(glob: str, change: Callable[..., Tree]) -> Change:
    matcher = Globs([glob])
    return lambda tree: change(tree, matcher.match)


def _file_contexts(path: str) -> FileContexts:
    """Return what the file and those that belong to it say, in the order in which libselinux loads them."""
    made = FileContexts()
    for suffix in ("", ".homedirs", ".local"):
        if not suffix or os.path.exists(path + suffix):
            with context(image=path + suffix):
                made.add(_text(path + suffix))
    for suffix in (".subs_dist", ".subs"):
        if os.path.exists(path + suffix):
            with context(image=path + suffix):
                made.add_substitutions(_text(path + suffix), local=suffix == ".subs")
    return made


def _root_change(values: dict[str, str]) -> Change:
    mode = ModeRule.parse(values["mode"]) if "mode" in values else None
    owner = re.fullmatch(r"([0-9]+):([0-9]+)", values.get("owner", "0:0"), re.ASCII)
    time = re.fullmatch(r"-?[0-9]{1,12}", values.get("time", "0"), re.ASCII)
    if owner is None or time is None or max(map(int, owner.groups())) > _MAX_ID:
        raise ValueError("the root's owner is UID:GID, its time seconds since 1970")

    def change(meta: Meta) -> Meta:
        if mode is not None:
            meta = dataclasses.replace(meta, mode=mode.apply(meta.mode, True))
        if "owner" in values:
            meta = dataclasses.replace(meta, uid=int(owner[1]), gid=int(owner[2]))
        return dataclasses.replace(meta, mtime_ns=int(time[0]) * _NS) if "time" in values else meta

    return lambda tree: change_root(tree, change)


def _read(path: str) -> bytes:
    try:
        with open(path, "rb") as stream:
            return stream.read()
    except OSError as error:
        raise SourceUnreadable(f"cannot open: {error.strerror}", path=os.fsencode(path)) from None


def _text(path: str) -> str:
    return _read(path).decode("utf-8", "surrogateescape")
