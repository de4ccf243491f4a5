"""Layers that were made here, packed as anybody packs a tree, and mounted over their base: Linux shows the other tree."""

from __future__ import annotations

import os
import random
from pathlib import Path

import imgcore
from imgcore.model import Dir, File, Meta, Node, Symlink, Tree, diff, file
from imgcore.transforms.overlay import OverlayOptions, Writable, layer_between, merge
from tests.kit import overlay_stacks
from tests.kit.oracles import mounted, needs_mount, tmpfs
from tests.kit.overlay_writes import held

PAIRS = 60
SECOND = 10**9


def _random_dir(chance: random.Random, depth: int = 0) -> Dir:
    children: dict[bytes, Node] = {}
    for name in (b"a", b"b", b"c", b"d"):
        kind = chance.random()
        meta = Meta(chance.choice([0o644, 0o755, 0o4711]), chance.randrange(2), 0, chance.randrange(2) * SECOND)
        if kind < 0.3 and depth < 3:
            children[name] = _random_dir(chance, depth + 1)
        elif kind < 0.55:
            children[name] = file(chance.choice([b"", b"x", b"y"]), mode=meta.mode, uid=meta.uid, mtime_ns=meta.mtime_ns)
        elif kind < 0.6:
            children[name] = Symlink(Meta(0o777, mtime_ns=meta.mtime_ns), b"a")
        elif kind < 0.65 and isinstance(children.get(b"a"), File):
            children[name] = children[b"a"]
    xattrs = {}
    if chance.random() < 0.2:
        xattrs[chance.choice([b"user.k", b"trusted.overlay.opaque", b"trusted.overlay.overlay.k", b"user.overlay.x"])] = b"y"
    return Dir(Meta(chance.choice([0o755, 0o750]), 0, 0, chance.randrange(2) * SECOND, xattrs), children)


def _changed(chance: random.Random, node: Dir) -> Dir:
    """Return a directory that lacks some of the names, and has some others."""
    children: dict[bytes, Node] = {}
    for name, child in node.children.items():
        if chance.random() < 0.75:
            children[name] = _changed(chance, child) if isinstance(child, Dir) else child
    if chance.random() < 0.2:
        children[b"n"] = file(b"new")
    return Dir(node.meta, children)


def _shown(layer: Tree, base: Tree, place: Path, suffix: str) -> Tree:
    """Return what Linux shows of a layer, packed by default, over a base that was unpacked."""
    base_dir, image = place / "base", place / f"layer.{suffix}"
    imgcore.unpack(base, base_dir)
    assert not imgcore.pack(layer, image, sync=False).losses
    (place / "m").mkdir()
    if suffix == "tar":
        with imgcore.open(image) as source:
            imgcore.unpack(source.tree, place / "layer")
        return _seen(place / "layer", base_dir, place / "m")
    with mounted(image, place / "layer") as taken:
        assert taken
        return _seen(place / "layer", base_dir, place / "m")


def _seen(layer: Path, base: Path, at: Path) -> Tree:
    overlay_stacks.mount(f"lowerdir={layer}:{base}", os.fspath(at))
    try:
        return held(imgcore.scan(at))
    finally:
        overlay_stacks.unmount(os.fspath(at))


def test_packed_layers_show_the_other_tree(tmp_path: Path) -> None:
    needs_mount()
    with tmpfs(tmp_path, "size=100m"):
        for seed in range(PAIRS):
            chance = random.Random(seed)
            base = Tree(_random_dir(chance))
            tree = Tree(_random_dir(chance) if chance.random() < 0.4 else _changed(chance, base.root))
            place = tmp_path / str(seed)
            place.mkdir()
            seen = _shown(layer_between(base, tree), base, place, "tar" if seed % 3 == 0 else "raw")
            assert not list(diff(seen, tree)), seed


def test_packed_upper_layers_show_what_was_seen(tmp_path: Path) -> None:
    needs_mount()
    base = Tree(Dir(Meta(0o755), {b"d": Dir(Meta(0o755), {b"f": file(b"f"), b"g": file(b"g")}), b"e": Dir(Meta(0o755), {})}))
    mount = Writable([base], options=OverlayOptions(redirect_dir="on"), now_ns=5 * SECOND)
    mount.rename("/d", "/moved")
    mount.rmdir("/e")
    mount.mkdir("/e")
    mount.unlink("/moved/g")
    with tmpfs(tmp_path, "size=50m"):
        seen = _shown(mount.upper_tree(), base, tmp_path, "raw")
    assert not list(diff(seen, mount.merged().tree)) and "/moved/f" in seen and "/d" not in seen
    assert not list(diff(seen, merge([mount.upper_tree(), base]).tree))
