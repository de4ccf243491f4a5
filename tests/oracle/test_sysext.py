"""Our decisions about extensions, and the trees that follow, against systemd 252, 257 and 262 on the same roots."""

from __future__ import annotations

import errno
import json
import os
import random
import shutil
import stat
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest

import imgcore
from imgcore.blob import read_all
from imgcore.hosts import scan
from imgcore.model import Device, Dir, File, Node, Symlink, Tree
from imgcore.sysext.answers import list_entries, merge_answer, status_entries
from imgcore.sysext.chase import chase
from imgcore.sysext.merging import merge_plan
from imgcore.sysext.mutable import MODES, parse_mode
from imgcore.sysext.plan import Options, Plan, plan
from imgcore.sysext.policy import ImagePolicy
from imgcore.sysext.version import KNOWN, SystemdVersion
from tests.kit.sysext import Answer, Job, Root, ask

PARTS = 4
GENERATED = 150  # roots, each asked of every version


def squash(root: Root, name: str, image: str | None = None, *, at: Path | None = None) -> None:
    """Turn a directory extension into a raw image."""
    place = root.extensions / name
    target = (root.extensions if at is None else at) / f"{image or name}.raw"
    imgcore.pack(place, target, sync=False)
    shutil.rmtree(place)


def _random_root(chance: random.Random, root: Root) -> list[str]:
    """Fill a root; return the arguments to ask with."""
    host = {"ID": chance.choice(["testos", "testos", "other"]), "VERSION_ID": chance.choice(["1.0", "1.0", "2", ""])}
    level = f"{'SYSEXT' if root.kind == 'sysext' else 'CONFEXT'}_LEVEL"
    host |= {"ID_LIKE": chance.choice(["", "likeos other", "likeos"]), level: chance.choice(["", "", "2"])}
    root.write("usr/lib/os-release", "".join(f"{key}={json.dumps(value)}\n" for key, value in host.items() if value))
    for name in chance.sample(["a", "b", "c_1", "d+2", "e1.10", "e1.9", "Z", "f-x", "g~1", "10", "9"], chance.randrange(5)):
        lines = [f"ID={chance.choice(['_any', '_any', 'testos', 'testos', 'likeos', 'no', ''])}"]
        scope = level.replace("LEVEL", "SCOPE")
        for key, words in (
            ("VERSION_ID", ["1.0", "2", ""]),
            (level, ["2", "3", ""]),
            (scope, ["system", "initrd", "portable system"]),
            ("ARCHITECTURE", ["x86-64", "arm64", "_any"]),
        ):
            if chance.random() < 0.35:
                lines.append(f"{key}={json.dumps(chance.choice(words))}")
        release = chance.choice(["", "", "", "", "", None, "zz", name.split("_")[0].split("+")[0]])
        place = root.extension(name, *lines, release=release)
        if chance.random() < 0.05:
            (place / "usr/lib").mkdir(parents=True, exist_ok=True)
            (place / "usr/lib/os-release").write_text("ID=x\n")
        if chance.random() < 0.35:
            squash(root, name, chance.choice([name, name, f"{name}.{root.kind}"]))
        elif chance.random() < 0.15:
            place.rename(place.with_name(f"{name}.{root.kind}"))
    if chance.random() < 0.1 and root.kind == "sysext":
        (root.path / "etc/extensions" / chance.choice(["a", "b", "c_1"])).mkdir(exist_ok=True)
    arguments = ["--force"] if chance.random() < 0.15 else []
    if chance.random() < 0.3:
        arguments.append(f"--mutable={chance.choice(MODES)}")
        if chance.random() < 0.7:
            top = chance.choice(["usr", "opt"] if root.kind == "sysext" else ["etc"])
            root.write(f"var/lib/extensions.mutable/{top}/mine", "mutable")
            root.write(f"var/lib/extensions.mutable/{top}/bin/tool", "mutable")
            (root.path / f"var/lib/extensions.mutable/{top}").chmod(chance.choice([0o755, 0o755, 0o700]))
    return arguments


# What we say


def options_of(version: int, arguments: list[str]) -> Options:
    words = dict(word.partition("=")[::2] for word in arguments)
    return Options(
        systemd=SystemdVersion(version),
        force="--force" in words,
        mutable=parse_mode(words["--mutable"]) if "--mutable" in words else None,
        image_policy=ImagePolicy.parse(words["--image-policy"], SystemdVersion(version)) if "--image-policy" in words else None,
    )


def known(version: int, kind: str, arguments: list[str]) -> bool:
    """Whether a version has what is asked for."""
    return version != 252 or (
        kind == "sysext" and not any(word.startswith(("--mutable", "--image-policy")) for word in arguments)
    )


def names_of(made: Plan) -> list[str] | None:
    """Return what the marker would say, None where nothing is merged."""
    if not merge_answer(made).merged:
        return None
    return [os.fsdecode(one.name) for one in made.accepted]


MARKERS = {b".systemd-sysext", b".systemd-confext"}  # the driver leaves them out too


def walk_of(tree: Tree, hierarchy: str) -> dict[str, list[Any]]:
    """Return what is below a hierarchy, as the driver reads it."""
    top = chase(tree, os.fsencode(hierarchy))
    out: dict[str, list[Any]] = {}
    for path, node in Tree(top.node).walk() if top is not None and isinstance(top.node, Dir) else ():
        if path != b"/" and not MARKERS & set(path.split(b"/")):
            out[os.fsdecode(path)] = [_kind(node), node.meta.mode, node.meta.uid, node.meta.gid, _content(node)]
    return out


def _kind(node: Node) -> int:
    if isinstance(node, Device):
        return stat.S_IFCHR if node.kind == "char" else stat.S_IFBLK
    return {"Dir": stat.S_IFDIR, "File": stat.S_IFREG, "Symlink": stat.S_IFLNK}.get(type(node).__name__, stat.S_IFIFO)


def _content(node: Node) -> str:
    if isinstance(node, File):
        return read_all(node.content).decode("latin-1")
    return os.fsdecode(node.target) if isinstance(node, Symlink) else ""


def check(root: Root, tree: Tree, version: int, arguments: list[str], answer: Answer) -> Iterator[str]:
    """Yield what systemd and we disagree about; `tree` is the root before systemd made mount points in it."""
    try:
        options = options_of(version, arguments)
    except ValueError as error:
        if not answer.aborted:
            yield f"we do not know an option ({error}), systemd merges {answer.names}"
        return

    def listing(path: bytes) -> list[bytes]:
        return os.listdir(os.fsencode(root.path) + path)

    with plan(tree, kind=root.kind, options=options, listing=listing) as made:  # type: ignore[arg-type]
        code = merge_answer(made).code
        if code is not None and code != answer.code:
            yield f"merge: we end with {code}, systemd with {answer.code}: {answer.log[-300:]}"
        ours, theirs = names_of(made), answer.names
        if made.blocked != answer.aborted:
            yield f"we {'block' if made.blocked else 'do not block'}, systemd ends with {answer.code}: {answer.log[-300:]}"
        elif ours != theirs:
            yield f"we merge {ours}, systemd {theirs}: {[(one.name, one.rule, one.found) for one in made.decisions]}"
        elif ours is not None:
            merged = merge_plan(made)
            for hierarchy in made.hierarchies:
                place = os.fsdecode(hierarchy.target)
                seen = {
                    path: what
                    for path, what in answer.tree.get(place, {}).items()
                    if what[0] != "error" or what[1] != errno.ENOENT
                }
                mine = walk_of(merged.tree, place)
                for path in sorted({*seen, *mine}):
                    if seen.get(path) != mine.get(path):
                        yield f"{place}{path}: systemd {seen.get(path)}, we {mine.get(path)}"
        if "list" in answer.raw:
            yield from _arrays(made, answer, root)


def _arrays(made: Plan, answer: Answer, root: Root) -> Iterator[str]:
    listed: Any = answer.raw["list"]
    if (listed["code"] == 0) != (made.undiscovered is None):
        yield f"list: systemd ends with {listed['code']}, and we find {made.undiscovered}"
    if listed["code"] == 0 and listed["out"].strip():
        theirs = [{key: one[key] for key in ("name", "type", "path")} for one in json.loads(listed["out"])]
        ours = [{key: one[key] for key in ("name", "type", "path")} for one in list_entries(made)]
        theirs = [{**one, "path": str(one["path"]).removeprefix(str(root.path))} for one in theirs]
        if ours != theirs:
            yield f"list: we {ours}, systemd {theirs}"
    before: Any = answer.raw["status_before"]
    if before["code"] == 0 and before["out"].strip():
        theirs = [{key: one[key] for key in ("hierarchy", "extensions")} for one in json.loads(before["out"])]
        ours = [{key: one[key] for key in ("hierarchy", "extensions")} for one in status_entries(made)]
        theirs = [{**one, "hierarchy": str(one["hierarchy"]).removeprefix(str(root.path))} for one in theirs]
        if ours != theirs:
            yield f"status: we {ours}, systemd {theirs}"


def compare(made: list[tuple[str, Root, list[str]]], scratch: Path) -> list[str]:
    """Ask all versions about all roots; return what differs."""
    asked = [
        (name, root, arguments, version)
        for name, root, arguments in made
        for version in KNOWN
        if known(version, root.kind, arguments)
    ]
    jobs = [Job(root.path, version, root.kind, arguments, list=True) for _, root, arguments, version in asked]
    trees = {root.path: scan(root.path) for _, root, _ in made}
    answers = ask(jobs, scratch)
    assert len(answers) == len(asked)
    return [
        f"{name} ({version}{' ' if arguments else ''}{' '.join(arguments)}): {said}"
        for (name, root, arguments, version), answer in zip(asked, answers, strict=True)
        for said in check(root, trees[root.path], version, arguments, answer)
    ]


def compare_random(seeds: Iterable[int], place: Path) -> list[str]:
    """Make the roots of these seeds below `place`, and ask all versions about each; return what differs."""
    made = []
    for seed in seeds:
        chance = random.Random(seed)
        root = Root(place / f"root{seed}", "confext" if chance.random() < 0.25 else "sysext")
        made.append((f"seed {seed}", root, _random_root(chance, root)))
    return compare(made, place / "scratch")


@pytest.mark.parametrize("part", range(PARTS))
def test_random_roots(part: int, tmp_path: Path) -> None:
    assert compare_random(range(part, GENERATED, PARTS), tmp_path) == []
