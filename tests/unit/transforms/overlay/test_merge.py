"""Merges: what a caller gets, errors of mounts, stories of paths, problems."""

from __future__ import annotations

import errno
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from imgcore.errors import OverlayError
from imgcore.model import Device, Dir, File, Meta, Node, Tree, char_device, file, manifest_lines, symlink
from imgcore.transforms.overlay import (
    Layer,
    OverlayOptions,
    check_mount,
    explain,
    layer_between,
    merge,
    mount_options,
    oci_to_overlay,
    overlay_to_oci,
    problems,
    unseen,
    without_unseen,
)
from imgcore.transforms.overlay.options import settle
from imgcore.transforms.subtract import subtract
from tests.kit.overlay_arguments import APART, OVERLAPPING, UPPERS

WHITEOUT = char_device(0, 0)
EMPTY = Tree(Dir())


Entries = Mapping[str, "Node | bytes | Entries"]


def nest(entries: Entries) -> Dir:
    """Return a directory: text is a file, a mapping a directory."""
    made: dict[bytes, Node] = {}
    for name, what in entries.items():
        made[name.encode()] = file(what) if isinstance(what, bytes) else nest(what) if isinstance(what, Mapping) else what
    return Dir(children=made)


def layer(name: str, entries: Entries) -> Layer:
    return Layer(name, Tree(nest(entries)))


def opaque(entries: Entries) -> Dir:
    return Dir(Meta(0o755, xattrs={b"trusted.overlay.opaque": b"y"}), nest(entries).children)


def test_a_tree_has_what_can_be_looked_up_and_content_of_the_uppermost() -> None:
    host = layer("host", {"usr": {"bin": {"tool": b"old", "other": b"o"}, "gone": b"g"}})
    above = layer("ext", {"usr": {"bin": {"tool": b"new"}, "gone": WHITEOUT, "only": {"wh": WHITEOUT}}})
    merged = merge([above, host])
    paths = [line.split('"')[3] for line in manifest_lines(merged.tree)]
    assert paths == ["/", "/usr", "/usr/bin", "/usr/bin/other", "/usr/bin/tool", "/usr/only"]
    assert merged.lookup("/usr/bin/tool").layer == "ext" and merged.lookup("/usr/bin/other").layer == "host"
    assert merged.listdir("/usr/only") == [b"wh"]
    for call, path, code in (
        (merged.lookup, "/usr/only/wh", errno.ENOENT),
        (merged.lookup, "/none", errno.ENOENT),
        (merged.lookup, "/usr/bin/tool/x", errno.ENOTDIR),
        (merged.listdir, "/usr/bin/tool", errno.ENOTDIR),
        (merged.listdir, "/none", errno.ENOENT),
    ):
        with pytest.raises(OverlayError) as caught:
            call(path)
        assert caught.value.errno == code and caught.value.path == path.encode()


def test_nothing_is_copied_that_is_in_one_layer() -> None:
    one = nest({"a": b"a"})
    plain = Tree(Dir(children={b"d": one}))
    merged = merge([Tree(Dir(children={b"e": file(b"e")})), plain])
    found = merged.tree.lookup("/d/a")
    assert found is one.children[b"a"]


def test_hard_links_stay_links_when_attributes_are_hidden() -> None:
    shared = File(Meta(xattrs={b"trusted.overlay.origin": b"", b"user.k": b"v"}))
    merged = merge([Tree(Dir(children={b"a": shared, b"b": shared})), Tree(Dir())])
    assert merged.tree.lookup("/a") is merged.tree.lookup("/b")
    assert merged.tree.lookup("/a").meta.xattrs == {b"user.k": b"v"}
    assert merged.lookup("/a").nlink == 2


@pytest.mark.parametrize(
    ("options", "has_upper"),
    [
        (OverlayOptions(metacopy=True, redirect_dir="off"), True),
        (OverlayOptions(metacopy=True, redirect_dir="follow"), True),
        (OverlayOptions(metacopy=True, redirect_dir="nofollow"), False),
        (OverlayOptions(userxattr=True, redirect_dir="on"), False),
        (OverlayOptions(userxattr=True, redirect_dir="follow"), False),
        (OverlayOptions(userxattr=True, metacopy=True), False),
    ],
)
def test_options_that_exclude_each_other_are_einval(options: OverlayOptions, has_upper: bool) -> None:
    with pytest.raises(OverlayError) as caught:
        settle(options, has_upper=has_upper)
    assert caught.value.errno == errno.EINVAL and caught.value.hint


def test_what_is_not_stated_follows_from_the_kernel() -> None:
    assert settle(OverlayOptions(), has_upper=False).follow
    assert not settle(OverlayOptions(always_follow=False), has_upper=False).follow
    assert not settle(OverlayOptions.USERXATTR, has_upper=True).follow
    assert settle(OverlayOptions(metacopy=True), has_upper=True).redirect
    assert settle(OverlayOptions(metacopy=True, redirect_dir="off"), has_upper=False).metacopy


def test_counts_of_layers() -> None:
    empty = Tree(Dir())
    assert merge([empty] * 500).listdir("/") == []
    for lowers in ([], [empty] * 501):
        with pytest.raises(OverlayError) as caught:
            merge(lowers)
        assert caught.value.errno == errno.EINVAL


def test_mount_time_errors() -> None:
    def code(*lowers: bytes, **more: object) -> int:
        try:
            check_mount(lowers, **more)  # type: ignore[arg-type]
        except OverlayError as error:
            return error.errno
        return 0

    assert code(b"/a", b"/b") == 0 and code(b"/a", upper=b"/u", work=b"/w") == 0 and code(b"/a", data=[b"/d"]) == 0
    assert code(b"/a") == code() == code(b"/a", b"/b", depth=2) == errno.EINVAL
    assert (
        code(b"/a", upper=b"/u")
        == code(b"/a", upper=b"/u", work=b"/u/w")
        == code(b"/a", upper=b"/u", work=b"/u")
        == errno.EINVAL
    )
    assert code(b"/a", b"/a") == code(b"/a", b"/a/b") == code(b"/a/b", b"/a/") == errno.ELOOP and code(b"/a", b"/ab") == 0
    names = [b"/%03d" % number + b"x" * 30 for number in range(120)]
    assert code(*names) == errno.ENOENT and code(*names, by_mount2=False) == 0
    assert mount_options([b"/a:b", b"/c\\d,e"], data=[b"/f"]) == rb"lowerdir=/a\:b:/c\\d\,e::/f"


def test_the_story_of_a_path() -> None:
    host = layer("host", {"usr": {"lib": {"a": b"1", "b": b"2"}, "lib64": {"k": b"k"}, "x": {"y": b"y"}, "gone": b""}})
    middle = layer("middle", {"usr": {"lib": {"a": b"3"}, "lib64": symlink("lib"), "x": opaque({}), "gone": WHITEOUT}})
    top = layer("top", {"usr": {"lib": {"c": b""}}})
    merged = merge([top, middle, host])
    story = explain(merged, "/usr/lib/a")
    assert [(part.layer, part.role, part.by) for part in story.parts] == [("middle", "wins", ""), ("host", "hidden", "middle")]
    assert story.layer == story.content_layer == "middle" and "file" in story.parts[1].why
    story = explain(merged, "/usr/lib")
    assert [(part.layer, part.role) for part in story.parts] == [("top", "wins"), ("middle", "merged"), ("host", "merged")]
    hidden = explain(merged, "/usr/lib64/k")
    assert not hidden.kind and hidden.parts[0].by == "middle" and "`/usr/lib64` is a symlink" in hidden.parts[0].why
    assert "opaque" in explain(merged, "/usr/x/y").parts[0].why
    gone = explain(merged, "/usr/gone")
    assert [part.kind for part in gone.parts] == ["whiteout", "file"] and "whiteout" in gone.parts[1].why
    assert ("middle", "gone", "whiteout") in gone.steps
    nothing = explain(merged, "/usr/never/was")
    assert (nothing.kind, nothing.parts, nothing.error) == ("", (), "")


def test_the_story_of_an_error_and_of_a_redirect() -> None:
    moved = Dir(Meta(0o755, xattrs={b"trusted.overlay.redirect": b"/old"}))
    lowers = [Layer("top", Tree(Dir(children={b"new": moved}))), layer("host", {"old": {"f": b"x"}})]
    story = explain(merge(lowers), "/new/f")
    assert story.layer == "host" and ("top", "new", "redirects to /old") in story.steps
    assert [(part.layer, part.role, part.why) for part in story.parts] == [("host", "wins", "by a redirect")]
    refused = explain(merge(lowers, options=OverlayOptions(redirect_dir="nofollow")), "/new")
    assert refused.error == "EPERM" and "redirect" in refused.message


def test_problems_are_named() -> None:
    ghost = Device(Meta(0), "char", 0, 0)
    top = Dir(
        Meta(0o755, xattrs={b"trusted.overlay.opaque": b"y"}),
        {
            b"only": nest({"wh": WHITEOUT}),
            b"solid": opaque({"wh": ghost}),
            b"bad": Dir(Meta(0o755, xattrs={b"trusted.overlay.redirect": b"a/b"})),
            b".wh.x": file(b""),
            b"useless": ghost,
        },
    )
    found = {(one.rule, one.path) for one in problems(merge([Tree(top), Tree(nest({"solid": {"q": b""}, "bad": {}}))]))}
    assert found == {
        ("root-opaque", b"/"),
        ("ghost", b"/only/wh"),
        ("ghost", b"/solid/wh"),
        ("useless-whiteout", b"/only/wh"),
        ("whiteout-in-opaque", b"/solid/wh"),
        ("error", b"/bad"),
        ("oci-whiteout", b"/.wh.x"),
        ("useless-whiteout", b"/useless"),
    }


def test_what_is_not_in_the_merged_tree_is_listed_as_losses() -> None:
    owed = File(Meta(xattrs={b"trusted.overlay.metacopy": b"", b"trusted.overlay.redirect": b"/none"}))
    wrong = Dir(Meta(0o755, xattrs={b"trusted.overlay.redirect": b"a/b"}))
    upper = layer("upper", {"d": wrong, "ghosts": {"wh": WHITEOUT}})
    merged = merge([layer("low", {"d": {}, "f": owed, "k": b"k"})], upper=upper, data=[layer("data", {})])
    losses = unseen(problems(merged), b"/usr")
    assert [(loss.kind, loss.path, loss.message.split(":")[0]) for loss in losses] == [
        ("lookup", b"/usr/d", "EINVAL"),
        ("lookup", b"/usr/f", "ENOENT"),
    ]
    left = without_unseen(merged.tree, unseen(problems(merged)))
    assert sorted(left.root.children) == [b"ghosts", b"k"]
    plain = merge([layer("one", {"a": b""})]).tree
    assert without_unseen(plain, []) is plain


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda: OverlayOptions(redirect_dir="bad"), "redirect_dir='bad' is none of None, 'on', 'follow', 'nofollow', 'off'"),
        (lambda: OverlayOptions(metacopy="off"), "metacopy='off' is none of None, True, False"),
        (lambda: OverlayOptions(userxattr=1), "userxattr=1 is none of True, False"),
        (lambda: OverlayOptions(xino="yes"), "xino='yes' is none of None, 'on', 'off', 'auto'"),
        (lambda: OverlayOptions(verity=True), "verity=True is none of None, 'off', 'on', 'require'"),
        (lambda: layer_between(EMPTY, EMPTY, dialect="foo"), "dialect='foo' is none of 'trusted', 'user', 'oci'"),
        (lambda: subtract(EMPTY, [EMPTY], "foo"), "rule='foo' is none of 'mkosi', 'overlay', 'identical'"),
        (lambda: overlay_to_oci(EMPTY, "foo"), "namespace='foo' is none of 'trusted', 'user'"),
        (lambda: oci_to_overlay(EMPTY, "foo"), "namespace='foo' is none of 'trusted', 'user'"),
    ],
)
def test_a_choice_that_there_is_not_is_named_with_those_that_there_are(call: Callable[[], object], said: str) -> None:
    with pytest.raises(ValueError) as caught:
        call()
    assert str(caught.value) == said


def test_paths_of_mounts_are_texts_bytes_or_paths() -> None:
    check_mount(["/a", b"/b", Path("/c")], upper=Path("/u"), work="/w", data=["/d"])
    with pytest.raises(OverlayError, match="overlap"):
        check_mount([Path("/a"), b"/a/b"])
    options = mount_options(["/a", Path("/b:c")], upper="/u", work=Path("/w"), data=["/d"])
    assert options == rb"lowerdir=/a:/b\:c::/d,upperdir=/u,workdir=/w"
    for wrong in ("/a", b"/a", Path("/a")):
        with pytest.raises(TypeError, match="a list of paths"):
            check_mount(wrong)  # type: ignore[arg-type]


@pytest.mark.parametrize("lowers", OVERLAPPING)
def test_layers_overlap_however_they_are_written(lowers: list[str]) -> None:
    with pytest.raises(OverlayError) as caught:
        check_mount(lowers)
    assert caught.value.errno == errno.ELOOP


@pytest.mark.parametrize("lowers", APART)
def test_layers_that_only_look_alike_do_not(lowers: list[str]) -> None:
    check_mount(lowers)


@pytest.mark.parametrize(("lowers", "upper", "fine"), UPPERS)
def test_an_upper_layer_may_be_inside_of_a_lower_one(lowers: list[str], upper: str, fine: bool) -> None:
    if fine:
        check_mount(lowers, upper=upper, work="w")
        return
    with pytest.raises(OverlayError) as caught:
        check_mount(lowers, upper=upper, work="w")
    assert caught.value.errno == errno.ELOOP


@pytest.mark.parametrize("lowers", [["", "a"], ["a", ""]])
def test_a_layer_needs_a_path(lowers: list[str]) -> None:
    with pytest.raises(OverlayError) as caught:
        check_mount(lowers)
    assert caught.value.errno == errno.EINVAL


def test_a_whiteout_says_whether_it_removes_anything() -> None:
    top = layer("top", {"d": {"a": WHITEOUT, "b": WHITEOUT, "c": b"top", "e": {}}})
    middle = layer("middle", {"d": {"a": WHITEOUT, "c": WHITEOUT, "f": WHITEOUT, "g": WHITEOUT}})
    low = layer("low", {"d": {"f": b"low", "b": b"low", "g": WHITEOUT}})
    merged = merge([top, middle, low])

    def told(path: str) -> list[tuple[str, str, str]]:
        return [(part.layer, part.why, part.by) for part in explain(merged, path).parts if part.role == "hidden"]

    removes, nothing = "it removes what layers below have there", "no layer below has anything there"
    assert told("/d/b") == [("top", removes, ""), ("low", "`/d/b` is a whiteout there", "top")]
    assert told("/d/f") == [("middle", removes, ""), ("low", "`/d/f` is a whiteout there", "middle")]
    assert told("/d/a")[0] == ("top", nothing, "") and told("/d/g")[0] == ("middle", nothing, "")
    assert told("/d/c") == [("middle", "`/d/c` is a file there", "top")]
