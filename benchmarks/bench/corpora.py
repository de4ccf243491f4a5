"""Makes the corpora. Each is a directory; NAME.json beside it says what it holds and what it was made of.

    big     500 MB of large binaries: compilers, language runtimes, libraries
    small   52,000 files of a few KB, no two alike: headers, modules, documents
    mixed   450 MB of a real /usr: whole packages, with links, modes, owners and times
    dup     one tree of 120 MB three times, in the second and third 1 % of the files changed
    sparse  a file of 20 GB and smaller ones that are mostly holes
    tiny    one binary of 50 MB

Where a machine has too little, files made up from a seed fill it up; `made_up` in NAME.json counts them.
"""

from __future__ import annotations

import hashlib
import json
import os
import random
import shutil
import stat
from collections.abc import Callable
from pathlib import Path

from bench import found, synthetic
from bench.found import MIB

SEED = 20260301
BIG, MIXED, DUP, TINY = 500_000_000, 450_000_000, 120_000_000, 50_000_000
SMALL_FILES, SPARSE = 52_000, 20 << 30


class Corpus:
    """A directory that is being filled, with what goes into NAME.json."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.random = random.Random(f"{SEED} {root.name}")
        self.files = self.bytes = self.made_up = 0
        self.sources: list[str] = []

    def add(self, name: str, data: bytes, made_up: bool = False) -> None:
        """Write a file."""
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        self.count(len(data), made_up)

    def count(self, size: int, made_up: bool = False) -> None:
        """Count a file that was written otherwise."""
        self.files += 1
        self.bytes += size
        self.made_up += made_up


def make_big(corpus: Corpus) -> None:
    for path, size in found.programs():
        if corpus.bytes + size <= BIG + 30 * MIB:
            corpus.add(f"{len(corpus.sources):04}-{Path(path).name}", Path(path).read_bytes())
            corpus.sources.append(path)
        if corpus.bytes >= BIG:
            return
    while corpus.bytes < BIG:
        corpus.add(f"made-up-{corpus.made_up:04}", synthetic.binary(corpus.random, min(8 * MIB, BIG // 8)), made_up=True)


def make_small(corpus: Corpus) -> None:
    known: set[bytes] = set()
    kept: list[str] = []
    for path in found.texts():
        try:
            data = Path(path).read_bytes()
        except OSError:
            continue
        digest = hashlib.blake2b(data, digest_size=16).digest()
        if digest in known:
            continue
        known.add(digest)
        kept.append(path)
        corpus.add(path.lstrip("/"), data)
        if corpus.files == SMALL_FILES:
            break
    corpus.sources = sorted({"/".join(path.split("/")[:4]) for path in kept})
    vocabulary = synthetic.words(corpus.random, 5000)
    while corpus.files < SMALL_FILES:
        data = synthetic.text(corpus.random, vocabulary, corpus.random.randint(200, 9000))
        if kept:  # a real one, with lines of its own
            lines = (corpus.root / corpus.random.choice(kept).lstrip("/")).read_bytes().split(b"\n")
            lines[corpus.random.randrange(len(lines))] = data[: len(data) // 8]
            data = b"\n".join(lines)
        corpus.add(f"made-up/{corpus.made_up // 250}/{corpus.made_up}.txt", data, made_up=True)


def _copy(corpus: Corpus, path: str, target: Path, links: dict[tuple[int, int], Path]) -> None:
    """Copy one path with its metadata; directories get their own when all is there."""
    is_ = os.lstat(path)
    if stat.S_ISDIR(is_.st_mode):
        target.mkdir(parents=True, exist_ok=True)
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    if stat.S_ISREG(is_.st_mode) and (is_.st_dev, is_.st_ino) in links:
        os.link(links[is_.st_dev, is_.st_ino], target)
        corpus.count(0)
        return
    if not stat.S_ISREG(is_.st_mode) and not stat.S_ISLNK(is_.st_mode):
        return
    shutil.copy2(path, target, follow_symlinks=False)
    if os.geteuid() == 0:
        os.chown(target, is_.st_uid, is_.st_gid, follow_symlinks=False)
        if stat.S_ISREG(is_.st_mode):
            os.chmod(target, stat.S_IMODE(is_.st_mode))
    if is_.st_nlink > 1:
        links[is_.st_dev, is_.st_ino] = target
    corpus.count(is_.st_size if stat.S_ISREG(is_.st_mode) else 0)


def copy_usr(corpus: Corpus, limit: int) -> None:
    """Copy whole packages until there are `limit` bytes; one that is large on its own is left out."""
    links: dict[tuple[int, int], Path] = {}
    directories: dict[Path, str] = {}
    for name, paths in found.packages():
        if corpus.bytes + found.size_of(paths) > limit + 20 * MIB:
            continue
        corpus.sources.append(name)
        for path in paths:
            target = corpus.root / path.lstrip("/")
            # What is below a link to a directory is in that directory already, under its own name.
            if not os.path.lexists(path) or os.path.lexists(target) or os.path.realpath(target.parent) != str(target.parent):
                continue
            _copy(corpus, path, target, links)
            if target.is_dir() and not target.is_symlink():
                directories[target] = path
        if corpus.bytes >= limit:
            break
    vocabulary = synthetic.words(corpus.random, 5000)
    while corpus.bytes < limit:
        data = synthetic.text(corpus.random, vocabulary, 20_000)
        corpus.add(f"usr/made-up/{corpus.made_up // 100}/{corpus.made_up}", data, made_up=True)
    for target in sorted(directories, reverse=True):
        shutil.copystat(directories[target], target)


def make_mixed(corpus: Corpus) -> None:
    copy_usr(corpus, MIXED)


def make_dup(corpus: Corpus) -> None:
    first = Corpus(corpus.root / "first")
    first.random, first.root = corpus.random, corpus.root / "first"
    copy_usr(first, DUP)
    for number, name in enumerate(("second", "third")):
        shutil.copytree(first.root, corpus.root / name, symlinks=True)
        touch(corpus.root / name, 0.01, SEED + number)
    corpus.files, corpus.bytes, corpus.made_up, corpus.sources = 3 * first.files, 3 * first.bytes, first.made_up, first.sources


def make_sparse(corpus: Corpus) -> None:
    data = [synthetic.binary(corpus.random, 1 << 16) for _ in range(32)]

    def sparse(name: str, size: int, every: int) -> None:
        path = corpus.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("wb") as stream:
            for at in range(every // 2, size, every):
                stream.seek(at + corpus.random.randrange(16) * 4096)
                stream.write(corpus.random.choice(data) + corpus.random.randbytes(512))
            stream.truncate(size)
        corpus.count(size)

    sparse("disk-20g.img", SPARSE, 32 * MIB)
    sparse("disk-1g.img", 1 << 30, 4 * MIB)
    sparse("empty-4g.img", 4 << 30, 8 << 30)
    for number in range(200):
        sparse(f"small/{number:03}", corpus.random.randrange(1, 8 * MIB), 2 * MIB)


def make_tiny(corpus: Corpus) -> None:
    path, size = min(found.programs(), key=lambda item: (item[1] < TINY, item[1]), default=("", 0))
    if size >= TINY:
        corpus.add("tool", Path(path).read_bytes()[:TINY])
        corpus.sources.append(path)
    else:
        corpus.add("tool", synthetic.binary(corpus.random, TINY), made_up=True)


MAKERS: dict[str, Callable[[Corpus], None]] = {
    "big": make_big,
    "small": make_small,
    "mixed": make_mixed,
    "dup": make_dup,
    "sparse": make_sparse,
    "tiny": make_tiny,
}


def describe(name: str, place: Path) -> dict[str, object]:
    """Return what NAME.json says; an empty one for a directory that was not made here."""
    try:
        described: dict[str, object] = json.loads((place / f"{name}.json").read_text())
    except (OSError, ValueError):
        return {}
    return described


def make(name: str, place: Path) -> Path:
    """Return the directory of a corpus, which is made unless it is there already."""
    root = place.resolve() / name
    if describe(name, place):
        return root
    shutil.rmtree(root, ignore_errors=True)
    root.mkdir(parents=True)
    corpus = Corpus(root)
    MAKERS[name](corpus)
    told = {"files": corpus.files, "bytes": corpus.bytes, "made_up": corpus.made_up, "seed": SEED, "sources": corpus.sources}
    (place / f"{name}.json").write_text(json.dumps(told, indent=1) + "\n")
    return root


def touch(root: Path, share: float, seed: int, insert: bool = False) -> list[Path]:
    """Change a share of the files, at least one; return which.

    A changed file has 64 bytes in one place overwritten and a line more at its end; with `insert` the 64 bytes are put in, so
    that all behind them moves. Which files and places follows from the seed; what is written there from what was there
    before too, so a second call changes them again.
    """
    files = [Path(path) for path, is_ in found.walk(str(root)) if stat.S_ISREG(is_.st_mode)]
    choice = random.Random(seed)
    changed = sorted(choice.sample(files, min(len(files), max(1, round(len(files) * share)))))
    for path in changed:
        with path.open("r+b") as stream:
            size = os.fstat(stream.fileno()).st_size
            at = choice.randrange(size + 1)
            stream.seek(at)
            rest = stream.read() if insert else stream.read(64)
            new = hashlib.blake2b(rest[:64] + b"%d %d" % (seed, size)).digest()
            stream.seek(at)
            stream.write(new + rest if insert else new)
            stream.seek(0, os.SEEK_END)
            stream.write(b"changed %s\n" % new[:8].hex().encode())
    return changed
