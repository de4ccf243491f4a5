"""A program of its own: makes namespaces, mounts what a script is to see, and becomes the script.

Run as `python -I -S sandbox.py`, with a job as JSON on standard input (see `Job`): it imports nothing of imgcore, so that it
starts at once and has no thread when it makes a user namespace. It ends as the script ends, or with 125 and a line on
standard error, which begins with `sandbox:`, where the surroundings cannot be made.

The script sees: the host's programs read-only (/usr, …), of /etc what programs need to run (which library, which
certificate), a few devices, empty /tmp, /var/tmp and /run, and what the job binds, nothing else of the host, none of its
processes and, unless the job says so, no network. The root directory is a tmpfs, so that /buildroot and /work can be there
without root. Owners: whoever starts it is root inside; started by root, all ids are what they are outside.

Of the four processes the first stays outside, to say which ids the second's user namespace has; the third is the first one of
a new PID namespace, and the fourth the script. Each ends with the one before it, and nothing that the script left behind
outlives the third.
"""

from __future__ import annotations

import ctypes
import errno
import json
import os
import signal
import sys
from typing import Any, NoReturn, TypedDict

__all__ = ["FAILED", "Job"]

FAILED = 125

_CLONE_NEWNS, _CLONE_NEWUSER, _CLONE_NEWNET = 0x00020000, 0x10000000, 0x40000000
_CLONE_NEWIPC, _CLONE_NEWPID = 0x08000000, 0x20000000
_MS_RDONLY, _MS_MOVE, _MS_BIND, _MS_REC, _MS_PRIVATE = 1, 0x2000, 0x1000, 0x4000, 0x40000
_MS_NOSUID, _MS_NODEV, _MS_NOEXEC = 2, 4, 8
_MNT_DETACH = 2
_MOUNT_SETATTR = 442 + (110 if os.uname().machine == "alpha" else 0)
_AT_FDCWD, _AT_RECURSIVE, _MOUNT_ATTR_RDONLY = -100, 0x8000, 1
_PR_SET_PDEATHSIG = 1

_PROGRAMS = ("usr", "bin", "sbin", "lib", "lib32", "lib64", "libx32", "nix")
_CONFIGURATION = (  # what belongs to the programs; of keys beside certificates nothing
    *("etc/alternatives", "etc/ld.so.cache", "etc/ld.so.conf", "etc/ld.so.conf.d", "etc/static"),
    *("etc/ssl/certs", "etc/ssl/openssl.cnf", "etc/pki/ca-trust", "etc/pki/tls/certs", "etc/pki/tls/openssl.cnf"),
    *("etc/ca-certificates", "etc/crypto-policies", "var/lib/ca-certificates"),
)
_NETWORK = ("etc/resolv.conf", "etc/hosts", "etc/nsswitch.conf", "etc/services", "run/systemd/resolve")
_ACCOUNTS = {"passwd": "root:x:0:0:root:/root:/bin/sh\n", "group": "root:x:0:\n"}
_DEVICES = ("null", "zero", "full", "random", "urandom", "tty")
_DEVICE_LINKS = {"fd": "/proc/self/fd", "stdin": "/proc/self/fd/0", "stdout": "/proc/self/fd/1", "stderr": "/proc/self/fd/2"}
_EMPTY = ("etc", "tmp", "run", "var", "var/tmp", "root", "proc", "dev", "dev/shm")


class Job(TypedDict):
    """What to do: all paths are absolute.

    `root` is an empty directory; `binds` are (source, target, "ro", "rw" or "overlay"), mounted in their order; `overlay` is an
    empty directory for what a script writes to sources that it may not change; `hidden` are directories of the host that are
    empty where a bind shows them; `directory` is where the script starts.
    """

    root: str
    overlay: str
    binds: list[tuple[str, str, str]]
    hidden: list[str]
    network: bool
    directory: str
    command: list[str]
    environment: dict[str, str]


_libc = ctypes.CDLL(None, use_errno=True)


def _fail(what: str, number: int | None = None) -> NoReturn:
    text = what if number is None else f"{what}: {os.strerror(number)}"
    print(f"sandbox: {text}", file=sys.stderr, flush=True)
    os._exit(FAILED)


def _mount(source: str, target: str, kind: str | None, flags: int, options: str | None = None) -> None:
    words = [None if one is None else os.fsencode(one) for one in (source, target, kind, options)]
    if _libc.mount(words[0], words[1], words[2], ctypes.c_ulong(flags), words[3]) != 0:
        _fail(f"cannot mount {source} at {target}", ctypes.get_errno())


def _protect(target: str) -> None:
    """Make a mount and all below it read-only."""
    attributes = (ctypes.c_uint64 * 4)(_MOUNT_ATTR_RDONLY, 0, 0, 0)
    done = _libc.syscall(
        ctypes.c_long(_MOUNT_SETATTR),
        ctypes.c_int(_AT_FDCWD),
        ctypes.c_char_p(os.fsencode(target)),
        ctypes.c_uint(_AT_RECURSIVE),
        attributes,
        ctypes.c_size_t(ctypes.sizeof(attributes)),
    )
    if done != 0:
        _fail(f"cannot make {target} read-only (Linux 5.12 can)", ctypes.get_errno())


def _bind(source: str, target: str, mode: str, scratch: str) -> None:
    """Show a file or directory of the host at `target`."""
    if os.path.isdir(source):
        os.makedirs(target, exist_ok=True)
    else:
        os.makedirs(os.path.dirname(target), exist_ok=True)
        if not os.path.exists(target):
            os.close(os.open(target, os.O_CREAT | os.O_WRONLY, 0o600))
    if mode == "overlay":
        upper, work = (f"{scratch}/{len(os.listdir(scratch))}-{name}" for name in ("upper", "work"))
        os.mkdir(upper)
        os.mkdir(work)
        if any(char in source for char in ",:\\"):
            _fail(f"{source}: an overlay over a path with `,`, `:` or a backslash cannot be made")
        _mount("overlay", target, "overlay", 0, f"lowerdir={source},upperdir={upper},workdir={work},userxattr")
        return
    _mount(source, target, None, _MS_BIND | _MS_REC)
    if mode == "ro":
        _protect(target)


def _build_root(job: Job) -> None:
    """Mount the script's root directory and become its inhabitant."""
    root = job["root"]
    _mount("none", "/", None, _MS_REC | _MS_PRIVATE)
    _mount("tmpfs", root, "tmpfs", _MS_NOSUID | _MS_NODEV, "mode=755")
    for name in _EMPTY:
        os.mkdir(f"{root}/{name}", 0o755)
        if name.endswith(("tmp", "shm")):
            os.chmod(f"{root}/{name}", 0o1777)
    for name in (*_PROGRAMS, *_CONFIGURATION, *(_NETWORK if job["network"] else ())):
        if os.path.islink(f"/{name}") and name in _PROGRAMS:
            os.symlink(os.readlink(f"/{name}"), f"{root}/{name}")
        elif os.path.exists(f"/{name}"):
            _bind(f"/{name}", f"{root}/{name}", "ro", "")
    _show_processes(f"{root}/proc")
    for name in _DEVICES:
        if os.path.exists(f"/dev/{name}"):  # read-only: what is written to a device still reaches it, but its mode stays
            _bind(f"/dev/{name}", f"{root}/dev/{name}", "ro", "")
    for name, target in _DEVICE_LINKS.items():
        os.symlink(target, f"{root}/dev/{name}")
    _mount("tmpfs", job["overlay"], "tmpfs", _MS_NOSUID | _MS_NODEV, "mode=700")
    for source, target, mode in job["binds"]:
        _bind(source, root + target, mode, job["overlay"])
    for path in job["hidden"]:
        _hide(path, job["binds"], root)
    for name, text in _ACCOUNTS.items():
        _name_accounts(f"{root}/etc/{name}", f"{root}/buildroot/etc/{name}", text)
    _enter(root)
    os.makedirs(job["directory"], exist_ok=True)
    os.chdir(job["directory"])


def _show_processes(target: str) -> None:
    """Mount /proc of this PID namespace, or, where the host hides parts of its own, that one."""
    if _libc.mount(b"proc", os.fsencode(target), b"proc", ctypes.c_ulong(_MS_NOSUID | _MS_NODEV | _MS_NOEXEC), None) == 0:
        _protect(target)
    else:
        _bind("/proc", target, "ro", "")


def _hide(path: str, binds: list[tuple[str, str, str]], root: str) -> None:
    """Mount something empty over a directory of the host wherever a bind of what is above it shows it."""
    for source, target, _ in binds:
        below = os.path.relpath(path, source)
        place = f"{root}{target}/{below}"
        if below != "." and below.split("/")[0] != ".." and os.path.isdir(place):
            _mount("tmpfs", place, "tmpfs", _MS_NOSUID | _MS_NODEV | _MS_RDONLY, "mode=755")


def _name_accounts(place: str, image: str, text: str) -> None:
    """Name users or groups as the image does, where it has any."""
    if os.path.lexists(image):
        os.symlink(f"/buildroot/etc/{os.path.basename(place)}", place)
        return
    with open(place, "w") as stream:
        stream.write(text)


def _enter(root: str) -> None:
    """Make `root` the root directory, and let go of the host's mounts: while they are held, what they lie on is busy."""
    os.chdir(root)
    if _libc.pivot_root(b".", b".") == 0:
        if _libc.umount2(b".", _MNT_DETACH) != 0:  # the old root, which lies over the new one now
            _fail("cannot let go of the host's mounts", ctypes.get_errno())
        os.chdir("/")
        return
    _mount(root, "/", None, _MS_MOVE)  # where the root file system is an initramfs, which nothing can take the place of
    os.chroot(".")


def _identity_map(name: str) -> str:
    """Return a map that gives every id of this namespace to itself."""
    with open(f"/proc/self/{name}") as stream:
        return "".join(f"{start} {start} {count}\n" for start, _, count in (line.split() for line in stream))


def _write_maps(child: int) -> None:
    """Say which ids a process' new user namespace has."""
    user, group = os.geteuid(), os.getegid()
    maps = {"uid_map": f"0 {user} 1\n", "gid_map": f"0 {group} 1\n"}
    if user == 0:
        maps = {name: _identity_map(name) for name in maps}
    else:
        with open(f"/proc/{child}/setgroups", "w") as stream:
            stream.write("deny")
    for name, text in maps.items():
        with open(f"/proc/{child}/{name}", "w") as stream:
            stream.write(text)


def _child(job: Job, ready: int, go: int) -> NoReturn:
    """Make the namespaces, wait for the maps, and run the script."""
    _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    flags = _CLONE_NEWNS | _CLONE_NEWIPC | _CLONE_NEWPID | (0 if job["network"] else _CLONE_NEWNET)
    made_user = _libc.unshare(ctypes.c_int(flags | _CLONE_NEWUSER)) == 0
    if not made_user:
        number = ctypes.get_errno()
        # Root needs none, and in some containers gets none.
        if os.geteuid() != 0 or _libc.unshare(ctypes.c_int(flags)) != 0:
            hint = " (is kernel.unprivileged_userns_clone, or an AppArmor rule, in the way?)" if number == errno.EPERM else ""
            _fail(f"cannot make a user namespace{hint}", number)
    os.write(ready, b"u" if made_user else b"-")
    if not os.read(go, 1):
        _fail("the ids of the user namespace cannot be mapped")
    if made_user:
        os.setresgid(0, 0, 0)
        os.setresuid(0, 0, 0)
    os.umask(0o022)
    os.chdir("/")  # so that this process moves with the root directory too, and holds none of the host's mounts
    first = os.fork()
    if first == 0:
        try:
            _first(job)
        except OSError as error:
            _fail(f"{error.filename or 'the surroundings'}", error.errno)
    os._exit(_ended(first))


def _first(job: Job) -> NoReturn:
    """Be the first process of the PID namespace: run the script, and take in all that ends meanwhile."""
    _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    _build_root(job)
    script = os.fork()
    if script == 0:
        try:
            os.execve(job["command"][0], job["command"], job["environment"])
        except OSError as error:
            _fail(f"cannot run {job['command'][0]}", error.errno)
    while True:
        ended, status = os.wait()
        if ended == script:
            os._exit(_code(status))


def _ended(child: int) -> int:
    return _code(os.waitpid(child, 0)[1])


def _code(status: int) -> int:
    """Return how a process ended, as a shell says it."""
    code = os.waitstatus_to_exitcode(status)
    return code if code >= 0 else 128 - code


def _main() -> NoReturn:
    _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    job: Any = json.load(sys.stdin)
    nothing, closed = os.pipe()
    os.close(closed)
    os.dup2(nothing, 0)
    ready, go = os.pipe(), os.pipe()
    child = os.fork()
    if child == 0:
        os.close(ready[0])
        os.close(go[1])
        try:
            _child(job, ready[1], go[0])
        except OSError as error:
            _fail(f"{error.filename or 'the surroundings'}", error.errno)
    os.close(ready[1])
    os.close(go[0])
    if os.read(ready[0], 1) == b"u":
        try:
            _write_maps(child)
        except OSError as error:
            print(f"sandbox: ids cannot be mapped: {error.strerror}", file=sys.stderr, flush=True)
            os.close(go[1])
            os.waitpid(child, 0)
            os._exit(FAILED)
    os.write(go[1], b"g")
    os._exit(_ended(child))


if __name__ == "__main__":
    _main()
