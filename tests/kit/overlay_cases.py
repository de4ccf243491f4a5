"""Named sequences of calls on an overlay, after the groups of the testsuite for union mounts that the kernel's people use.

A group is the calls of one purpose, on a layer that has a file of every kind; each call has what it says, without and with
`redirect_dir=on` where that differs. Calls come twice where it matters: on what is in the lower layer, and on what has come
up meanwhile. `tests/oracle/test_overlay_cases.py` asks Linux, `tests/unit` needs no root.

Not here, since they are no matter of overlayfs: permissions of other users (each call is root's). Names with slashes at their
end, and other odd arguments, are in `overlay_arguments.py`.
"""

from __future__ import annotations

from typing import Any

from tests.kit.overlay_stacks import Spec

__all__ = ["GROUPS", "Line", "spec_of"]

Line = tuple[list[Any], str, str]


def _file(data: str, **more: object) -> dict[str, object]:
    return {"t": "f", "x": {}, "data": data, "mtime": 10**18, "mode": 0o644, **more}


def _link(target: str) -> dict[str, object]:
    return {"t": "l", "x": {}, "data": target, "mtime": 10**18}


def _dir(**children: object) -> dict[str, object]:
    return {"t": "d", "x": {}, "ch": children, "mtime": 10**18}


LOWER = _dir(
    f=_file("file"),
    g=_file("another"),
    h1=_file("two names", link="h2"),
    e=_dir(),
    d=_dir(a=_file("a"), b=_file("b"), sub=_dir(c=_file("c"), deeper=_dir(z=_file("z")))),
    s=_link("f"),
    s2=_link("s"),
    x=_link("nowhere"),
    ds=_link("d"),
    ds2=_link("ds"),
    p={"t": "p", "x": {}, "mtime": 10**18},
)


def _lines(text: str) -> list[Line]:
    """Return the calls of lines such as `rename /a /b = ok | EXDEV`: with redirects, then without."""
    made: list[Line] = []
    for line in text.strip().splitlines():
        call, _, said = line.strip().rpartition("=")
        words: list[Any] = call.split()
        on, _, off = said.strip().partition("|")
        made.append((_call(words), on.strip(), (off or on).strip()))
    return made


def _call(words: list[Any]) -> list[Any]:
    kind = words[0]
    if kind == "mkdir":
        return [*words, 0o755]
    if kind == "create":
        return [*words, 0o644, "new"]
    if kind == "rename":
        return [*words[:3], " ".join(words[3:]) or "replace"]
    if kind == "symlink":
        return [kind, words[2], words[1]]
    if kind == "truncate":
        return [kind, words[1], int(words[2])]
    if kind == "chmod":
        return [kind, words[1], int(words[2], 8)]
    if kind == "utime":
        return [kind, words[1], int(words[2]) * 10**9]
    if kind == "write":
        return [kind, words[1], "written", 0]
    if kind == "open":
        return ["flagged", words[1], " ".join(words[2:]), "data"]
    return words


def spec_of(group: str, *, redirect: bool) -> Spec:
    """Return a group as a sequence that `overlay_fuzz.compare_writes` takes."""
    return {
        "seed": 0,
        "upper": _dir(),
        "lowers": [LOWER],
        "data": [],
        "redirect_dir": "on" if redirect else None,
        "metacopy": None,
        "userxattr": False,
        "calls": [line[0] for line in GROUPS[group]],
    }


_TEXTS = {
    "open-plain": """
        open /f = ok
        open /f = ok
        open /d/a = ok
        open /d/a = ok
        open /d/sub/c = ok
        open /d/sub/c = ok
    """,
    "open-trunc": """
        open /f TRUNC = ok
        open /f TRUNC = ok
        open /d/a TRUNC = ok
        open /d/a TRUNC = ok
        open /d/sub/c TRUNC = ok
        open /d/sub/c TRUNC = ok
    """,
    "open-creat": """
        open /f CREAT = ok
        open /f CREAT = ok
        open /d/a CREAT = ok
        open /d/a CREAT = ok
        open /d/sub/c CREAT = ok
        open /d/sub/c CREAT = ok
    """,
    "open-creat-trunc": """
        open /f CREAT TRUNC = ok
        open /f CREAT TRUNC = ok
        open /d/a CREAT TRUNC = ok
        open /d/a CREAT TRUNC = ok
        open /d/sub/c CREAT TRUNC = ok
        open /d/sub/c CREAT TRUNC = ok
    """,
    "open-creat-excl": """
        open /f CREAT EXCL = EEXIST
        open /f CREAT EXCL = EEXIST
        open /d/a CREAT EXCL = EEXIST
        open /d/a CREAT EXCL = EEXIST
        open /d/sub/c CREAT EXCL = EEXIST
        open /d/sub/c CREAT EXCL = EEXIST
    """,
    "open-creat-excl-trunc": """
        open /f CREAT EXCL TRUNC = EEXIST
        open /f CREAT EXCL TRUNC = EEXIST
        open /d/a CREAT EXCL TRUNC = EEXIST
        open /d/a CREAT EXCL TRUNC = EEXIST
        open /d/sub/c CREAT EXCL TRUNC = EEXIST
        open /d/sub/c CREAT EXCL TRUNC = EEXIST
    """,
    "noent-plain": """
        open /none = ENOENT
        open /none = ENOENT
        open /d/none = ENOENT
        open /d/none = ENOENT
        open /none/below = ENOENT
        open /none/below = ENOENT
    """,
    "noent-trunc": """
        open /none TRUNC = ENOENT
        open /none TRUNC = ENOENT
        open /d/none TRUNC = ENOENT
        open /d/none TRUNC = ENOENT
        open /none/below TRUNC = ENOENT
        open /none/below TRUNC = ENOENT
    """,
    "noent-creat": """
        open /none CREAT = ok
        open /none CREAT = ok
        open /d/none CREAT = ok
        open /d/none CREAT = ok
        open /none/below CREAT = ENOTDIR
        open /none/below CREAT = ENOTDIR
    """,
    "noent-creat-trunc": """
        open /none CREAT TRUNC = ok
        open /none CREAT TRUNC = ok
        open /d/none CREAT TRUNC = ok
        open /d/none CREAT TRUNC = ok
        open /none/below CREAT TRUNC = ENOTDIR
        open /none/below CREAT TRUNC = ENOTDIR
    """,
    "noent-creat-excl": """
        open /none CREAT EXCL = ok
        open /none CREAT EXCL = EEXIST
        open /d/none CREAT EXCL = ok
        open /d/none CREAT EXCL = EEXIST
        open /none/below CREAT EXCL = ENOTDIR
        open /none/below CREAT EXCL = ENOTDIR
    """,
    "noent-creat-excl-trunc": """
        open /none CREAT EXCL TRUNC = ok
        open /none CREAT EXCL TRUNC = EEXIST
        open /d/none CREAT EXCL TRUNC = ok
        open /d/none CREAT EXCL TRUNC = EEXIST
        open /none/below CREAT EXCL TRUNC = ENOTDIR
        open /none/below CREAT EXCL TRUNC = ENOTDIR
    """,
    "sym1-plain": """
        open /s = ok
        open /s = ok
        open /ds/a = ok
        open /ds/a = ok
    """,
    "sym1-trunc": """
        open /s TRUNC = ok
        open /s TRUNC = ok
        open /ds/a TRUNC = ok
        open /ds/a TRUNC = ok
    """,
    "sym1-creat": """
        open /s CREAT = ok
        open /s CREAT = ok
        open /ds/a CREAT = ok
        open /ds/a CREAT = ok
    """,
    "sym1-creat-trunc": """
        open /s CREAT TRUNC = ok
        open /s CREAT TRUNC = ok
        open /ds/a CREAT TRUNC = ok
        open /ds/a CREAT TRUNC = ok
    """,
    "sym1-creat-excl": """
        open /s CREAT EXCL = EEXIST
        open /s CREAT EXCL = EEXIST
        open /ds/a CREAT EXCL = EEXIST
        open /ds/a CREAT EXCL = EEXIST
    """,
    "sym1-creat-excl-trunc": """
        open /s CREAT EXCL TRUNC = EEXIST
        open /s CREAT EXCL TRUNC = EEXIST
        open /ds/a CREAT EXCL TRUNC = EEXIST
        open /ds/a CREAT EXCL TRUNC = EEXIST
    """,
    "sym2-plain": """
        open /s2 = ok
        open /s2 = ok
        open /ds2/sub/c = ok
        open /ds2/sub/c = ok
    """,
    "sym2-trunc": """
        open /s2 TRUNC = ok
        open /s2 TRUNC = ok
        open /ds2/sub/c TRUNC = ok
        open /ds2/sub/c TRUNC = ok
    """,
    "sym2-creat": """
        open /s2 CREAT = ok
        open /s2 CREAT = ok
        open /ds2/sub/c CREAT = ok
        open /ds2/sub/c CREAT = ok
    """,
    "sym2-creat-trunc": """
        open /s2 CREAT TRUNC = ok
        open /s2 CREAT TRUNC = ok
        open /ds2/sub/c CREAT TRUNC = ok
        open /ds2/sub/c CREAT TRUNC = ok
    """,
    "sym2-creat-excl": """
        open /s2 CREAT EXCL = EEXIST
        open /s2 CREAT EXCL = EEXIST
        open /ds2/sub/c CREAT EXCL = EEXIST
        open /ds2/sub/c CREAT EXCL = EEXIST
    """,
    "sym2-creat-excl-trunc": """
        open /s2 CREAT EXCL TRUNC = EEXIST
        open /s2 CREAT EXCL TRUNC = EEXIST
        open /ds2/sub/c CREAT EXCL TRUNC = EEXIST
        open /ds2/sub/c CREAT EXCL TRUNC = EEXIST
    """,
    "symx-plain": """
        open /x = ENOENT
        open /x = ENOENT
    """,
    "symx-trunc": """
        open /x TRUNC = ENOENT
        open /x TRUNC = ENOENT
    """,
    "symx-creat": """
        open /x CREAT = ok
        open /x CREAT = ok
    """,
    "symx-creat-trunc": """
        open /x CREAT TRUNC = ok
        open /x CREAT TRUNC = ok
    """,
    "symx-creat-excl": """
        open /x CREAT EXCL = EEXIST
        open /x CREAT EXCL = EEXIST
    """,
    "symx-creat-excl-trunc": """
        open /x CREAT EXCL TRUNC = EEXIST
        open /x CREAT EXCL TRUNC = EEXIST
    """,
    "dir-open-plain": """
        open /d = EISDIR
        open /d = EISDIR
        open /e = EISDIR
        open /e = EISDIR
        open /ds = EISDIR
        open /ds = EISDIR
    """,
    "dir-open-trunc": """
        open /d TRUNC = EISDIR
        open /d TRUNC = EISDIR
        open /e TRUNC = EISDIR
        open /e TRUNC = EISDIR
        open /ds TRUNC = EISDIR
        open /ds TRUNC = EISDIR
    """,
    "dir-open-creat": """
        open /d CREAT = EISDIR
        open /d CREAT = EISDIR
        open /e CREAT = EISDIR
        open /e CREAT = EISDIR
        open /ds CREAT = EISDIR
        open /ds CREAT = EISDIR
    """,
    "dir-open-creat-trunc": """
        open /d CREAT TRUNC = EISDIR
        open /d CREAT TRUNC = EISDIR
        open /e CREAT TRUNC = EISDIR
        open /e CREAT TRUNC = EISDIR
        open /ds CREAT TRUNC = EISDIR
        open /ds CREAT TRUNC = EISDIR
    """,
    "dir-open-creat-excl": """
        open /d CREAT EXCL = EEXIST
        open /d CREAT EXCL = EEXIST
        open /e CREAT EXCL = EEXIST
        open /e CREAT EXCL = EEXIST
        open /ds CREAT EXCL = EEXIST
        open /ds CREAT EXCL = EEXIST
    """,
    "dir-open-creat-excl-trunc": """
        open /d CREAT EXCL TRUNC = EEXIST
        open /d CREAT EXCL TRUNC = EEXIST
        open /e CREAT EXCL TRUNC = EEXIST
        open /e CREAT EXCL TRUNC = EEXIST
        open /ds CREAT EXCL TRUNC = EEXIST
        open /ds CREAT EXCL TRUNC = EEXIST
    """,
    "hard-link": """
        link /f /n1 = ok
        link /f /n1 = EEXIST
        link /n1 /n2 = ok
        link /h1 /n3 = ok
        write /n3 = ok
        link /none /n4 = ENOENT
        link /f /d/n = ok
        link /f /e/n = ok
        link /f /none/n = ENOENT
        link /p /n5 = ok
        unlink /n1 = ok
        link /f /n1 = ok
    """,
    "hard-link-dir": """
        link /d /n1 = EPERM
        link /e /n2 = EPERM
        link /d /f = EEXIST
        link /d/sub /d/n = EPERM
        link /f /d = EEXIST
        link /f /d/sub = EEXIST
        mkdir /m = ok
        link /m /n = EPERM
    """,
    "hard-link-sym": """
        link /s /n1 = ok
        link /s /n1 = EEXIST
        link /x /n2 = ok
        link /ds /n3 = ok
        readlink /n1 = ok
        link /n1 /d/n4 = ok
        link /s /x = EEXIST
        link /f /s = EEXIST
        unlink /n1 = ok
        link /s2 /n1 = ok
    """,
    "mkdir": """
        mkdir /n = ok
        mkdir /n = EEXIST
        mkdir /d/n = ok
        mkdir /d = EEXIST
        mkdir /f = EEXIST
        mkdir /s = EEXIST
        mkdir /x = EEXIST
        mkdir /none/n = ENOENT
        mkdir /f/n = ENOTDIR
        mkdir /n/m = ok
        unlink /d/a = ok
        mkdir /d/a = ok
        rmdir /e = ok
        mkdir /e = ok
        rmtree /d/sub = ok
        mkdir /d/sub = ok
    """,
    "rmdir": """
        rmdir /e = ok
        rmdir /e = ENOENT
        rmdir /d = ENOTEMPTY
        rmdir /f = ENOTDIR
        rmdir /s = ENOTDIR
        rmdir /ds = ENOTDIR
        rmdir /x = ENOTDIR
        rmdir /none = ENOENT
        rmdir /d/sub = ENOTEMPTY
        unlink /d/sub/c = ok
        rmdir /d/sub = ENOTEMPTY
        rmtree /d/sub/deeper = ok
        rmdir /d/sub = ok
        mkdir /n = ok
        rmdir /n = ok
        mkdir /e = ok
        rmdir /e = ok
        rmdir / = EBUSY
    """,
    "rmtree": """
        rmtree /d = ok
        rmtree /d = ENOENT
        listdir /d = ENOENT
    """,
    "rmtree-new": """
        mkdir /n = ok
        mkdir /n/m = ok
        create /n/m/f = ok
        rmtree /n = ok
        mkdir /d/n = ok
        create /d/n/f = ok
        rmtree /d = ok
        mkdir /d = ok
        rmtree /d = ok
    """,
    "unlink": """
        unlink /f = ok
        unlink /f = ENOENT
        unlink /d = EISDIR
        unlink /e = EISDIR
        unlink /s = ok
        unlink /x = ok
        unlink /ds = ok
        unlink /none = ENOENT
        unlink /d/a = ok
        open /d/b = ok
        unlink /d/b = ok
        unlink /d/b = ENOENT
        unlink /h1 = ok
        write /h2 = ok
        unlink /h2 = ok
        create /f = ok
        unlink /f = ok
        unlink /p = ok
        unlink /f/below = ENOENT
    """,
    "truncate": """
        truncate /f 1 = ok
        truncate /f 0 = ok
        truncate /f 9 = ok
        truncate /f 2 = ok
        truncate /d/a 0 = ok
        truncate /none 1 = ENOENT
        truncate /h1 2 = ok
        truncate /g 7 = ok
    """,
    "readlink": """
        readlink /s = ok
        readlink /s2 = ok
        readlink /x = ok
        readlink /ds = ok
        readlink /f = EINVAL
        readlink /d = EINVAL
        readlink /none = ENOENT
        readlink /f/below = ENOTDIR
        symlink target /n = ok
        readlink /n = ok
    """,
    "utimes": """
        utime /f 5 = ok
        utime /d 6 = ok
        utime /s 7 = ok
        utime /none 8 = ENOENT
        utime /p 9 = ok
    """,
    "rename-file": """
        rename /f /n = ok
        rename /n /f = ok
        rename /f /f = ok
        rename /g /f = ok
        rename /f /e/f = ok
        rename /e/f /d/a = ok
        rename /d/a /n = ok
        rename /none /n2 = ENOENT
        rename /n /none/n = ENOENT
        rename /n /d = EISDIR
        rename /n /s = ok
        rename /h1 /h2 = ok
        rename /d/b /d/n no replace = ok
        rename /d/n /d/sub/c no replace = EEXIST
        rename /d/n /d/sub/c exchange = ok
        rename /d/n /none exchange = ENOENT
    """,
    "rename-empty-dir": """
        rename /e /n = ok | EXDEV
        rename /n /e = ok | ENOENT
        rename /e /e = ok
        rename /e /f = ENOTDIR
        rename /e /d = ENOTEMPTY | EXDEV
        rename /e /d/e = ok | EXDEV
        rename /none /e = ENOENT
        mkdir /m = ok
        rename /m /n2 = ok
        rename /n2 /e = ok
    """,
    "rename-dir": """
        rename /d /n = ok | EXDEV
        rename /n/sub /n/m = ok | ENOENT
        rename /n/m/c /c = ok | ENOENT
        rename /d /m = ENOENT | EXDEV
    """,
    "rename-new-dir": """
        mkdir /n = ok
        rename /n /m = ok
        rename /m /m = ok
        rename /m /f = ENOTDIR
        rename /m /d = ENOTEMPTY
        rename /m /e = ok
        rename /e /d/n = ok
        rename /d/n /n = ok
        mkdir /m = ok
        rename /n /m = ok
        rename /m /m/below = EINVAL
        rename /m /none/n = ENOENT
        rename /m /s = ENOTDIR
    """,
    "rename-pop-dir": """
        rename /d /n = ok | EXDEV
        rename /n /d = ok | ENOENT
        rename /d /d = ok
        rename /d /f = ENOTDIR
        rename /d /e = ok | EXDEV
        rename /d /d/sub = ENOENT | EINVAL
        rename /d/sub /e = ENOENT | EXDEV
        rename /d/sub /d/n = ENOENT | EXDEV
        rename /d/n /n = ENOENT
        rename /d /x = ENOENT | ENOTDIR
    """,
    "rename-new-pop-dir": """
        mkdir /n = ok
        create /n/f = ok
        rename /n /m = ok
        rename /m /n = ok
        rename /n /f = ENOTDIR
        rename /n /e = ok
        rename /e /n = ok
        rename /n /d = ENOTEMPTY
        rename /n /d/sub = ENOTEMPTY
        unlink /d/a = ok
        unlink /d/b = ok
        rename /n /d = ENOTEMPTY
        rmtree /d = ok
        rename /n /d = ok
        rename /d /d/below = EINVAL
        rename /d /n = ok
        listdir /n = ok
    """,
    "rename-move-dir": """
        mkdir /n = ok
        rename /n /d/n = ok
        rename /d/n /e/n = ok
        rename /e/n /d/sub/n = ok
        create /d/sub/n/f = ok
        rename /d/sub/n /n = ok
        rename /d/sub /e/sub = ok | EXDEV
        rename /e/sub /sub = ok | ENOENT
        rename /sub/deeper /deeper = ok | ENOENT
        rename /e /d/e = ok | EXDEV
        rename /d/e /e = ok | ENOENT
    """,
    "rename-exdev": """
        rename /d /n = ok | EXDEV
        rename /d/sub /n = ENOENT | EXDEV
        rename /d/sub /e = ENOENT | EXDEV
        rename /d/sub/deeper /d/n = ENOENT | EXDEV
    """,
    "rename-hard-link": """
        link /f /n = ok
        rename /n /f = ok
        rename /f /m = ok
        rename /m /n = ok
        rename /h1 /h2 = ok
        rename /h2 /n = ok
    """,
    "rename-mass": """
        rename /f /f0 = ok
        rename /f0 /f1 = ok
        rename /f1 /f2 = ok
        rename /f2 /f3 = ok
        rename /f3 /f4 = ok
        rename /f4 /f5 = ok
        rename /f5 /f = ok
    """,
    "rename-mass-2": """
        rename /g /g0 = ok
        rename /g0 /g1 = ok
        rename /g1 /g2 = ok
        rename /g2 /g3 = ok
        rename /g3 /g4 = ok
        rename /g4 /g5 = ok
        rename /g5 /g = ok
    """,
    "rename-mass-dir": """
        rename /e /e0 = ok | EXDEV
        rename /e0 /e1 = ok | ENOENT
        rename /e1 /e2 = ok | ENOENT
        rename /e2 /e3 = ok | ENOENT
        rename /e3 /e4 = ok | ENOENT
        rename /e4 /e5 = ok | ENOENT
        rename /e5 /e = ok | ENOENT
    """,
    "rename-mass-sym": """
        rename /s /s0 = ok
        rename /s0 /s1 = ok
        rename /s1 /s2 = ok
        rename /s2 /s3 = ok
        rename /s3 /s4 = ok
        rename /s4 /s5 = ok
        rename /s5 /s = ok
    """,
    "rename-mass-3": """
        rename /f /f0 = ok
        rename /f0 /f = ok
        rename /f /f1 = ok
        rename /f1 /f = ok
        rename /f /f2 = ok
        rename /f2 /f = ok
        rename /f /f3 = ok
        rename /f3 /f = ok
        rename /f /f4 = ok
        rename /f4 /f = ok
    """,
    "rename-mass-4": """
        rename /f /f0 = ok
        rename /g /f = ok
        rename /f0 /f1 = ok
        rename /f1 /f0 = ok
        rename /f1 /f2 = ENOENT
        rename /f2 /f1 = ENOENT
        rename /f2 /f3 = ENOENT
        rename /f3 /f2 = ENOENT
    """,
    "rename-mass-5": """
        rename /f /d/f = ok
        rename /g /d/g = ok
        rename /d/f /e/f = ok
        rename /d/g /e/g = ok
        rename /e /e2 = ok | EXDEV
        rename /e/f /f = ENOENT | ok
        rename /e/g /g = ENOENT | ok
        rename /e2/f /f = ok | ENOENT
    """,
}
GROUPS: dict[str, list[Line]] = {name: _lines(text) for name, text in _TEXTS.items()}
