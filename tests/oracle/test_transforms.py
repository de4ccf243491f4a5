"""File capabilities against setcap and getcap, SELinux labels against libselinux, ignore files against git."""

from __future__ import annotations

import contextlib
import os
import stat
import subprocess
from pathlib import Path

import pytest

from imgcore.model import Dir, tree
from imgcore.transforms import FileContexts, capability_text, capability_value, exclude, read_ignore_file
from tests.kit.oracles import missing, run, tool

pytestmark = pytest.mark.oracle

CAPS = [
    "cap_net_raw=ep", "cap_net_raw+ep", "cap_net_raw,cap_net_admin=eip", "cap_chown=p cap_kill=i", "cap_chown=p cap_kill+p",
    "all=p", "=p", "=ep", "all=ep cap_chown-ep", "cap_bpf=i", "cap_checkpoint_restore,cap_chown=p", "cap_chown=eip cap_chown-i",
    "cap_chown=ei", "CAP_CHOWN=p", "5=p", "40=ep", "cap_chown=p-p cap_kill=p", "cap_chown+ep-e", "=", "cap_chown=",

    "cap_chown=e", "all=eip cap_kill,cap_setuid-eip", "cap_kill=ep =p",
]  # fmt: skip
REFUSED = ["cap_chown=ep cap_kill=p", "cap_nothing=p", "cap_chown", "cap_chown=x", "net_raw=ep", "64=p"]


@pytest.mark.usefixtures("needs_root")
@pytest.mark.parametrize("text", CAPS)
def test_setcap_and_getcap(text: str, tmp_path: Path) -> None:
    path = tmp_path / "f"
    path.touch()
    run(tool("setcap"), text, path)
    theirs = os.getxattr(path, "security.capability")
    assert capability_value(text) == theirs
    if text == "cap_chown=e":
        return  # nothing but the effective bit: getcap has no words for it
    shown = run(tool("getcap"), path).stdout.strip().removeprefix(str(path)).strip() or "="
    assert capability_value(shown) == theirs
    assert capability_value(capability_text(theirs)) == theirs
    os.setxattr(path, "security.capability", capability_value(capability_text(theirs)))
    run(tool("setcap"), capability_text(theirs), path)
    assert os.getxattr(path, "security.capability") == theirs


@pytest.mark.usefixtures("needs_root")
@pytest.mark.parametrize("text", REFUSED)
def test_setcap_refuses_too(text: str, tmp_path: Path) -> None:
    path = tmp_path / "f"
    path.touch()
    assert run(tool("setcap"), text, path, ok=False).returncode != 0
    with pytest.raises(ValueError, match="capabilit"):
        capability_value(text)


@pytest.mark.usefixtures("needs_root")
def test_a_root_of_a_namespace(tmp_path: Path) -> None:
    path = tmp_path / "f"
    path.touch()
    run(tool("setcap"), "-n", "1000", "cap_net_raw=ep", path)
    assert os.getxattr(path, "security.capability") == capability_value("cap_net_raw=ep", 1000)
    assert capability_text(os.getxattr(path, "security.capability")) == "cap_net_raw=ep"


CONTEXTS = r"""
# a comment
/.*                          system_u:object_r:default_t:s0
/                     -d     system_u:object_r:root_t:s0
/usr(/.*)?                   system_u:object_r:usr_t:s0
/usr/bin(/.*)?               system_u:object_r:bin_t:s0
/usr/bin/ping         --     system_u:object_r:ping_exec_t:s0
/usr/bin/p.*          --     system_u:object_r:late_t:s0
/usr/lib(64)?/x       -l     system_u:object_r:link_t:s0
/usr/lib/x\.so        --     system_u:object_r:dot_t:s0
/usr/lib/y\+z                system_u:object_r:plus_t:s0
/dev/tty[0-9]+        -c     system_u:object_r:tty_t:s0
/dev/[^/]+            -b     system_u:object_r:disk_t:s0
/proc(/.*)?                  <<none>>
/proc/keep                   system_u:object_r:keep_t:s0
/opt/(a|b)/c                 system_u:object_r:group_t:s0
/srv/alt|/srv/other          system_u:object_r:alt_t:s0
/run/.*\.pid          --     system_u:object_r:pid_t:s0
/run/x?y                     system_u:object_r:opt_t:s0
/run/z{2,3}                  system_u:object_r:brace_t:s0
/var/log/[[:digit:]]+        system_u:object_r:posix_t:s0
/var/log/[^[:alpha:]_]x      system_u:object_r:posixnot_t:s0
/var/(?!no)n.*               system_u:object_r:ahead_t:s0
/var/dup              --     system_u:object_r:dup1_t:s0
/var/dup              -d     system_u:object_r:dup2_t:s0
/home/[^/]+/\.ssh(/.*)?      unconfined_u:object_r:ssh_t:s0:c0.c3
/etc/a\sb                    system_u:object_r:blank_t:s0
"""
SUBS_DIST = "/bin /usr/bin\n/aliased /usr/lib\n/top /\n"
SUBS = "# local\n/mine /bin\n/aliased /usr/bin\n"
PATHS = [
    ("/", "dir"), ("/usr", "dir"), ("/usr/bin/ping", "file"), ("/usr/bin/ping", "symlink"), ("/usr/bin/pong", "file"),
    ("/usr/lib/x", "symlink"), ("/usr/lib64/x", "symlink"), ("/usr/lib/x", "file"), ("/usr/lib/x.so", "file"),
    ("/usr/lib/xaso", "file"), ("/usr/lib/y+z", "file"), ("/dev/tty1", "char"), ("/dev/tty", "char"), ("/dev/sda", "block"),
    ("/proc", "dir"), ("/proc/a", "file"), ("/proc/keep", "file"), ("/opt/a/c", "file"), ("/opt/c/c", "file"),
    ("/srv/alt", "file"), ("/srv/alternative", "file"), ("/x/srv/other", "file"), ("/srv/other", "file"),
    ("/run/a.pid", "file"),
    ("/run/a.pid", "dir"), ("/run/xy", "file"), ("/run/y", "file"), ("/run/zz", "file"), ("/run/zzzz", "file"),
    ("/var/log/123", "file"), ("/var/log/abc", "file"), ("/var/log/1x", "file"), ("/var/log/_x", "file"), ("/var/new", "file"),
    ("/var/none", "file"), ("/var/dup", "file"), ("/var/dup", "dir"), ("/var/dup", "fifo"), ("/home/u/.ssh/id", "file"),
    ("/bin/ping", "file"), ("/bin", "dir"), ("/binary", "dir"), ("/aliased/x.so", "file"), ("/aliased/ping", "file"),
    ("/mine/ping", "file"), ("/top/usr/bin/ping", "file"), ("/top", "dir"), ("/etc/a b", "file"), ("/nothing/here", "socket"),
]  # fmt: skip
_KINDS = {
    stat.S_IFREG: "file",
    stat.S_IFDIR: "dir",
    stat.S_IFLNK: "symlink",
    stat.S_IFCHR: "char",
    stat.S_IFBLK: "block",
    stat.S_IFIFO: "fifo",
    stat.S_IFSOCK: "socket",
}
_WORDS = {
    "file": "file",
    "dir": "dir",
    "symlink": "link",
    "char": "char",
    "block": "block",
    "fifo": "pipe",
    "socket": "socket",
}


def matchpathcon(contexts: Path, paths: list[tuple[str, str]]) -> dict[tuple[str, str], str]:
    """Return what libselinux says of (path, type)."""
    program = tool("matchpathcon")
    found: dict[tuple[str, str], str] = {}
    for kind in dict.fromkeys(kind for _, kind in paths):
        chosen = [path for path, its in paths if its == kind]
        for start in range(0, len(chosen), 500):
            some = chosen[start : start + 500]
            out = run(program, "-f", contexts, "-N", "-n", "-m", _WORDS[kind], *some, ok=False).stdout.splitlines()
            if len(out) != len(some):
                missing(f"matchpathcon answers {len(out)} of {len(some)} questions")
            found |= dict(zip([(path, kind) for path in some], out, strict=True))
    return found


def said(label: bytes | None) -> str:
    return "<<none>>" if label is None else label.rstrip(b"\0").decode()


def test_selinux_labels(tmp_path: Path) -> None:
    (tmp_path / "file_contexts").write_text(CONTEXTS)
    (tmp_path / "file_contexts.subs_dist").write_text(SUBS_DIST)
    (tmp_path / "file_contexts.subs").write_text(SUBS)
    (tmp_path / "file_contexts.local").write_text("/usr/lib/x.*  --  system_u:object_r:local_t:s0\n")
    ours = FileContexts.parse(CONTEXTS, (tmp_path / "file_contexts.local").read_text())
    ours.add_substitutions(SUBS_DIST)
    ours.add_substitutions(SUBS, local=True)
    theirs = matchpathcon(tmp_path / "file_contexts", PATHS)
    assert {case: said(ours.lookup(case[0].encode(), case[1])) for case in PATHS} == theirs


def test_the_labels_of_a_real_policy() -> None:
    place = Path("/etc/selinux/default/contexts/files")
    if not (place / "file_contexts").exists():
        missing("selinux-policy-default is not installed")
    ours = FileContexts.parse(*((place / name).read_text() for name in ("file_contexts", "file_contexts.homedirs")))
    ours.add_substitutions((place / "file_contexts.subs_dist").read_text())
    paths = [("/" + part, "dir") for part in ("", "etc", "root", "home", "home/me", "var/log", "dev", "lib", "bin")]
    # A scan insists on a tree that holds still; these directories belong to the machine, and other tests make
    # and remove files under /var/tmp meanwhile, so what vanishes is passed over here.
    for top in ("/etc", "/usr/sbin", "/usr/bin", "/usr/lib/systemd", "/var/lib", "/var/log", "/var/cache"):
        for directory, directories, files in os.walk(top):
            for text in (os.path.join(directory, name) for name in sorted(directories + files)):
                with contextlib.suppress(FileNotFoundError, NotADirectoryError):
                    if text.isascii() and text.isprintable():
                        paths.append((text, _KINDS[stat.S_IFMT(os.lstat(text).st_mode)]))
    paths = paths[:6000]
    theirs = matchpathcon(place / "file_contexts", paths)
    assert [(case, label) for case, label in theirs.items() if said(ours.lookup(case[0].encode(), case[1])) != label][:20] == []


IGNORE = b"""# comment
*.o
!keep.o
/build
/build2/
doc/*.txt
**/cache
deep/**/end
tail/**
\\#hash
\\!bang
trail\\\x20
blank \x20\x20
[ab].c
[!a-c].h
[[:digit:]]x
a?b
dir/
/only/*
!/only/this
x\\*y
[\\]]b
[a\\-z]q
[^[:alpha:]]z
"""
NAMES = [
    "a.o", "keep.o", "sub/b.o", "sub/keep.o", "build", "sub/build", "build2/x", "sub/build2", "build2file", "doc/a.txt",
    "doc/x/b.txt",
    "sub/doc/c.txt", "cache", "a/b/cache/x", "deep/end", "deep/1/2/end", "tail/1", "tail/2/3", "#hash", "!bang",
    "trail ", "trail",
    "blank", "a.c", "b.c", "c.c", "a.h", "d.h", "1x", "ax", "a_b", "a/b2", "dir/x", "sub/dir/y", "only/this/z", "only/that",
    "x*y",
    "xzy", "]b", "ab", "-q", "zq", "bq", "5z", "az", "plain", "sub/plain",
]  # fmt: skip


def test_ignore_files_are_those_of_git(tmp_path: Path) -> None:
    git = tool("git")
    run(git, "init", "-q", tmp_path)
    (tmp_path / ".gitignore").write_bytes(IGNORE)
    for name in NAMES:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"")
    done = subprocess.run(
        [git, "-C", tmp_path, "check-ignore", "-z", "--stdin"], input="\0".join(NAMES), text=True, capture_output=True
    )
    ignored = {name for name in done.stdout.split("\0") if name}
    assert 15 < len(ignored) < len(NAMES)
    left = exclude(tree({f"/{name}": b"" for name in NAMES}), read_ignore_file(IGNORE))
    kept = {path.decode()[1:] for path, node in left.walk() if not isinstance(node, Dir)}
    assert set(NAMES) - kept == ignored


def test_where_we_keep_more_than_git(tmp_path: Path) -> None:
    """git does not look into a directory that is left out; we keep what a rule keeps there."""
    sample = tree({"/out/a": b"", "/out/in/b": b""})
    left = exclude(sample, read_ignore_file(b"/out\n!/out/in/b\n"))
    assert [path for path, _ in left.walk()] == [b"/", b"/out", b"/out/in", b"/out/in/b"]
