"""A user's script on a tree: unpacked for it at /buildroot, run in namespaces, and read back.

`run_script` is the only place where imgcore starts a program that a configuration names, and whoever calls it has been told to.
No root is needed: inside, the caller is root. What the unpacking could not set without being root (owners, devices, some
attributes) is taken from the tree as it was, wherever the script left it alone; a file that the script did not touch is the
tree's own node, so that nothing of it is read again. What the script makes belongs to whom it says: the caller is root. A
time that is that of the run becomes the newest one of the tree, so that two runs give the same.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import signal
import stat
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final, Literal

from imgcore import hosts
from imgcore.blob import HostFile
from imgcore.build import sandbox
from imgcore.build.scratch import unpack_to_scratch
from imgcore.errors import SourceError, Unsupported
from imgcore.events import Control
from imgcore.model import Device, Dir, File, Meta, Node, Pipe, Socket, Symlink, Tree
from imgcore.values import field, value_class

__all__ = ["Bind", "Surroundings", "output_of", "run_script"]

_SHIMS: Final = {"restorecon": "#!/bin/sh\n# labels are not set here, and a script that asks for it is not to fail\nexit 0\n"}
_STEP: Final = 0.1  # seconds between two looks at whether the caller wants to stop


@value_class
class Bind:
    """A file or directory of the host that a script sees at `target`; of `overlay` what it writes there is lost."""

    source: Path
    target: str
    mode: Literal["ro", "rw", "overlay"] = "ro"


@value_class
class Surroundings:
    """What is around a script.

    Attributes:
        environment: its variables; PATH and HOME are set where they are not in it.
        binds: what it sees of the host beside programs, in this order.
        network: whether it has the caller's network, or none at all.
        output: the descriptor that it prints to.
        search: directories of the host with programs, before those of the system; it sees them where they are.
        hidden: directories of the host that are empty where a bind shows them.
        directory: where it starts.
        role: what it is called in /work.
        time_ns: the time of what it makes; None: that of the tree's newest.
    """

    environment: Mapping[str, str]
    binds: Sequence[Bind] = ()
    network: bool = False
    output: int = 2
    search: Sequence[Path] = field(default_factory=tuple)
    hidden: Sequence[Path] = field(default_factory=tuple)
    directory: str = "/work/src"
    role: str = "script"
    time_ns: int | None = None


def run_script(
    tree: Tree | None,
    script: Path,
    scratch: Path,
    around: Surroundings,
    arguments: Sequence[str] = (),
    control: Control | None = None,
) -> Tree | None:
    """Run `script` with `tree` at /buildroot; return what it made of the tree. Without a tree there is no /buildroot.

    `scratch` is a directory that has to stay as long as the tree is used: contents are read from it later. Raises
    SourceError, with the script's path, where it does not end with 0, Unsupported where there are no namespaces, Cancelled,
    and what unpacking and scanning raise.
    """
    if not sys.platform.startswith("linux"):
        raise Unsupported("scripts run in namespaces of Linux", path=str(script))
    control = control or Control()
    place = Path(tempfile.mkdtemp(prefix="script-", dir=scratch))
    for name in ("root", "overlay", "bin"):
        (place / name).mkdir()
    for name, text in _SHIMS.items():
        (place / "bin" / name).write_text(text)
        (place / "bin" / name).chmod(0o755)
    binds = [Bind(place / "bin", "/work/bin"), Bind(script, f"/work/{around.role}"), *around.binds]
    binds += [Bind(path, str(path)) for path in around.search]
    before = None
    if tree is not None:
        unpack_to_scratch(tree, place / "tree", control)
        closed = _opened(place / "tree")
        before = _with_modes(hosts.scan(place / "tree", control=control), place / "tree", closed)
        for path, mode in closed.items():
            os.chmod(path, mode)
        binds.append(Bind(place / "tree", "/buildroot", "rw"))
    job: sandbox.Job = {
        "root": str(place / "root"),
        "overlay": str(place / "overlay"),
        "binds": [(str(one.source.resolve()), one.target, one.mode) for one in binds],
        "hidden": [str(path.resolve()) for path in around.hidden],
        "network": around.network,
        "directory": around.directory,
        "command": [f"/work/{around.role}", *arguments],
        "environment": _environment(around),
    }
    _run(job, script, around.output, control)
    if tree is None or before is None:
        return None
    now = os.stat(place / "bin" / "restorecon").st_mtime_ns
    closed = _opened(place / "tree")
    after = _with_modes(hosts.scan(place / "tree", control=control), place / "tree", closed)
    return _Reading(tree, before, after, now, around.time_ns).result()


def _opened(top: Path) -> dict[bytes, int]:
    """Let the owner read all of a tree; return the modes, by path, of what was closed to him, what is below first.

    Root reads everything, and so does a script, which is root in its namespace: it may leave what its owner cannot read.
    """
    found: dict[bytes, int] = {}
    if os.geteuid() == 0:
        return found
    inodes: dict[int, int] = {}
    todo = [os.fsencode(top)]
    while todo:
        path = todo.pop()
        with contextlib.suppress(OSError):  # whoever reads it says what is wrong
            state = os.lstat(path)
            mode, wanted = stat.S_IMODE(state.st_mode), 0o700 if stat.S_ISDIR(state.st_mode) else 0o400
            if (stat.S_ISDIR(state.st_mode) or stat.S_ISREG(state.st_mode)) and mode & wanted != wanted:
                os.chmod(path, mode | wanted)
                inodes[state.st_ino] = mode
            if state.st_ino in inodes:  # further names of a file too
                found[path] = inodes[state.st_ino]
            if stat.S_ISDIR(state.st_mode):
                with os.scandir(path) as entries:
                    todo += [entry.path for entry in entries if not entry.is_symlink()]
    return dict(reversed(found.items()))


def _with_modes(tree: Tree, top: Path, closed: Mapping[bytes, int]) -> Tree:
    """Return a tree that was scanned after `_opened` with the modes of before."""
    if not closed:
        return tree
    start = len(os.fsencode(top))
    modes = {path[start:] or b"/": mode for path, mode in closed.items()}

    def change(path: bytes, node: Node) -> Node:
        mode = modes.get(path)
        return node if mode is None else dataclasses.replace(node, meta=dataclasses.replace(node.meta, mode=mode))

    return tree.map(change)


def _environment(around: Surroundings) -> dict[str, str]:
    search = ["/work/bin", *map(str, around.search), "/usr/bin", "/usr/sbin", "/bin", "/sbin"]
    return {"HOME": "/", "LANG": "C.UTF-8", **around.environment, "PATH": ":".join(search)}


def _run(job: sandbox.Job, script: Path, output: int, control: Control) -> None:
    """Run a job to its end. Raises SourceError, Unsupported, Cancelled."""
    # -I and -S: no module of the caller's, and a start in some milliseconds.
    command = [sys.executable or "/usr/bin/python3", "-I", "-S", sandbox.__file__]
    try:
        process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=output, stderr=output, env={}, text=True, start_new_session=True
        )
    except OSError as error:
        raise Unsupported(f"a script needs the Python interpreter `{command[0]}`: {error.strerror}", path=str(script)) from None
    try:
        assert process.stdin is not None
        with contextlib.suppress(BrokenPipeError), process.stdin:
            json.dump(job, process.stdin)
        while True:
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(_STEP)
                break
            control.check()
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
    if process.returncode == sandbox.FAILED:
        raise Unsupported("the script could not be run: its last line says why", path=str(script))
    if process.returncode != 0:
        raise SourceError(
            f"the script ended with status {process.returncode}",
            path=str(script),
            hint="127: a program that it calls is not on the host" if process.returncode == 127 else None,
        )


def output_of(program: Path, directory: Path, environment: Mapping[str, str]) -> str:
    """Return what a program prints, run as it is. Raises SourceError."""
    try:
        done = subprocess.run([str(program)], cwd=directory, env=dict(environment), stdout=subprocess.PIPE, check=False)
    except OSError as error:
        raise SourceError(f"cannot run: {error.strerror}", path=str(program)) from None
    if done.returncode != 0:
        raise SourceError(f"the program ended with status {done.returncode}", path=str(program))
    return done.stdout.decode("utf-8", "surrogateescape")


class _Reading:
    """What a script made of a tree: the tree as it was, as it was unpacked, and as it is now."""

    def __init__(self, tree: Tree, before: Tree, after: Tree, start_ns: int, time_ns: int | None) -> None:
        self._tree, self._before, self._after = tree, before, after
        self._start = start_ns
        self._time = time_ns if time_ns is not None else max(node.meta.mtime_ns for _, node in tree.walk())
        self._made: dict[int, Node] = {}
        user, group = os.geteuid(), os.getegid()
        self._ids = (user, group) if user != 0 else (-1, -1)

    def result(self) -> Tree:
        """Return the tree as it is now."""
        root, old, unpacked = self._after.root, self._tree.root, self._before.root
        top = Dir(self._meta(root, unpacked, old), {})
        todo: list[tuple[Dir, Dir, Dir | None, Dir | None]] = [(top, root, unpacked, old)]
        while todo:
            target, now, was, said = todo.pop()
            assert isinstance(target.children, dict)
            for name, node in now.children.items():
                unpacked_node = None if was is None else was.children.get(name)
                original = None if said is None or unpacked_node is None else said.children.get(name)
                if isinstance(node, Dir):
                    made = Dir(self._meta(node, unpacked_node, original), {})
                    below = (one if isinstance(one, Dir) else None for one in (unpacked_node, original))
                    todo.append((made, node, *below))  # type: ignore[arg-type]
                    target.children[name] = made
                else:
                    target.children[name] = self._node(node, unpacked_node, original)
            if said is not None and was is not None:  # what could not be unpacked: a device, without being root
                for name in said.children.keys() - was.children.keys() - target.children.keys():
                    target.children[name] = said.children[name]
        return self._tree.with_root(top)

    def _node(self, node: Node, unpacked: Node | None, original: Node | None) -> Node:
        if id(node) in self._made:
            return self._made[id(node)]
        meta = self._meta(node, unpacked, original)
        if original is not None and unpacked is not None and _untouched(node, unpacked, original):
            made = original if meta == original.meta else dataclasses.replace(original, meta=meta)
        else:
            made = dataclasses.replace(node, meta=meta)
        self._made[id(node)] = made
        return made

    def _meta(self, node: Node, unpacked: Node | None, original: Node | None) -> Meta:
        """Return each property as the tree had it where the script did not change it."""
        now = node.meta
        if unpacked is not None and original is not None and type(unpacked) is type(node) is type(original):
            was, said = unpacked.meta, original.meta
            same = {name for name in _PROPERTIES if getattr(now, name) == getattr(was, name)}
            kept = {name: getattr(said, name) for name in same}
        else:
            kept = {}
        ours = {"uid": 0 if now.uid == self._ids[0] else now.uid, "gid": 0 if now.gid == self._ids[1] else now.gid}
        time = self._time if now.mtime_ns >= self._start else now.mtime_ns
        return dataclasses.replace(now, **{**ours, "mtime_ns": time, **kept})


_PROPERTIES: Final = ("mode", "uid", "gid", "mtime_ns", "xattrs")


def _untouched(node: Node, unpacked: Node, original: Node) -> bool:
    """Whether the content of what is no directory is what was unpacked."""
    if type(node) is not type(unpacked) or type(node) is not type(original):
        return False
    if isinstance(node, File) and isinstance(unpacked, File):
        one, two = node.content, unpacked.content
        return isinstance(one, HostFile) and isinstance(two, HostFile) and one.identity == two.identity
    if isinstance(node, Symlink) and isinstance(unpacked, Symlink):
        return node.target == unpacked.target
    if isinstance(node, Device) and isinstance(unpacked, Device):
        return (node.kind, node.major, node.minor) == (unpacked.kind, unpacked.major, unpacked.minor)
    return isinstance(node, (Pipe, Socket))
