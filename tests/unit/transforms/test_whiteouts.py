from __future__ import annotations

from pathlib import Path

import pytest

import imgcore
from imgcore.errors import PathError
from imgcore.model import Device, tree
from imgcore.transforms import oci_to_overlay
from tests.kit.oracles import mounted, run


def test_whiteouts() -> None:
    layer = tree({"/.wh.gone": b"", "/a/.wh..wh..opq": b"", "/a/new": b"1", "/b/.wh.x": b"", "/b/y": b"2"})
    made = oci_to_overlay(layer)
    assert sorted(path for path, _ in made.walk()) == [b"/", b"/a", b"/a/new", b"/b", b"/b/x", b"/b/y", b"/gone"]
    for path in ("/gone", "/b/x"):
        node = made[path]
        assert isinstance(node, Device)
        assert (node.kind, node.major, node.minor) == ("char", 0, 0)
    assert made["/a"].meta.xattrs == {b"trusted.overlay.opaque": b"y"}
    assert not made["/b"].meta.xattrs
    assert oci_to_overlay(layer, "user")["/a"].meta.xattrs == {b"user.overlay.opaque": b"y"}


def test_an_opaque_root() -> None:
    assert oci_to_overlay(tree({"/.wh..wh..opq": b"", "/x": b""})).root.meta.xattrs == {b"trusted.overlay.opaque": b"y"}


@pytest.mark.parametrize("names", [{"/.wh.": b""}, {"/.wh.a": b"", "/a": b""}, {"/.wh...": b""}])
def test_impossible_whiteouts(names: dict[str, bytes]) -> None:
    with pytest.raises(PathError, match="whiteout"):
        oci_to_overlay(tree(names))


@pytest.mark.oracle
def test_the_kernel_takes_them_for_whiteouts(tmp_path: Path) -> None:
    (tmp_path / "lower/a").mkdir(parents=True)
    for name in ("gone", "stays", "a/old"):
        (tmp_path / "lower" / name).write_text(name)
    layer = tree({"/.wh.gone": b"", "/a/.wh..wh..opq": b"", "/a/new": b"1"})
    imgcore.pack(oci_to_overlay(layer), tmp_path / "layer.sqfs", policy=imgcore.Policy(xattrs="all"))
    (tmp_path / "merged").mkdir()
    with mounted(tmp_path / "layer.sqfs", tmp_path / "layer") as took:
        assert took
        options = f"lowerdir={tmp_path}/layer:{tmp_path}/lower"
        run("mount", "-t", "overlay", "overlay", "-o", options, tmp_path / "merged")
        try:
            found = sorted(str(path.relative_to(tmp_path / "merged")) for path in (tmp_path / "merged").rglob("*"))
        finally:
            run("umount", tmp_path / "merged")
    assert found == ["a", "a/new", "stays"]
