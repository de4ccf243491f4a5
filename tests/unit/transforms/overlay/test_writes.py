"""Writes: what each call leaves in the upper layer, and what it says; `tests/oracle` asks Linux the same at random."""

from __future__ import annotations

import errno
from collections.abc import Callable, Mapping

import pytest

from imgcore.blob import BytesBlob, read_all
from imgcore.errors import OverlayError
from imgcore.model import Device, Dir, File, Meta, Node, Tree, char_device, file, symlink
from imgcore.transforms.overlay import OverlayOptions, Writable, merge
from tests.kit.overlay_writes import ACL
from tests.unit.transforms.overlay.test_merge import Entries, nest

NOW = 7 * 10**9
REDIRECT = OverlayOptions(redirect_dir="on")
METACOPY = OverlayOptions(metacopy=True)
T = b"trusted.overlay."


def writable(entries: Entries, *, upper: Entries | None = None, options: OverlayOptions = OverlayOptions.KERNEL) -> Writable:
    return Writable([Tree(nest(entries))], upper=None if upper is None else Tree(nest(upper)), options=options, now_ns=NOW)


def code(call: Callable[[], object]) -> str:
    with pytest.raises(OverlayError) as caught:
        call()
    return errno.errorcode[caught.value.errno]


def own(node: Node) -> dict[bytes, bytes]:
    """Return the marks of a node, without their prefix."""
    return {name[len(T) :]: value for name, value in node.meta.xattrs.items() if name.startswith(T)}


def content(tree: Tree, path: str) -> bytes:
    node = tree[path]
    assert isinstance(node, File)
    return read_all(node.content)


def is_whiteout(node: Node) -> bool:
    return isinstance(node, Device) and (node.kind, node.major, node.minor, node.meta.mode) == ("char", 0, 0, 0)


def test_a_changed_file_comes_up_whole_with_the_directories_above_it() -> None:
    old = File(Meta(0o4711, 5, 6, 2000, {b"user.k": b"v", T + b"overlay.x": b"1", T + b"x": b"2"}), BytesBlob(b"data"))
    overlay = writable({"p": {"q": {"f": old, "other": b"o"}}})
    overlay.chmod("/p/q/f", 0o600)
    upper = overlay.upper_tree()
    assert own(upper["/p"]) == own(upper["/p/q"]) == {b"impure": b"y"} == own(upper.root)
    assert [path for path, _ in upper.walk()] == [b"/", b"/p", b"/p/q", b"/p/q/f"]
    assert upper["/p/q/f"].meta == Meta(0o600, 5, 6, 2000, {b"user.k": b"v", T + b"overlay.x": b"1"})
    assert upper["/p/q"].meta.mtime_ns == 0, "a copy leaves the time of its directory alone"
    assert content(upper, "/p/q/f") == b"data"


def test_removed_names_become_whiteouts_only_where_something_is_below() -> None:
    overlay = writable({"a": b"a", "empty": {}, "d": {"x": b"x"}})
    overlay.unlink("/a")
    overlay.rmdir("/empty")
    overlay.create("/new")
    overlay.unlink("/new")
    assert code(lambda: overlay.rmdir("/d")) == "ENOTEMPTY"
    overlay.unlink("/d/x")
    overlay.rmdir("/d")
    upper = overlay.upper_tree()
    assert sorted(upper.root.children) == [b"a", b"d", b"empty"]
    assert all(is_whiteout(node) for node in upper.root.children.values())
    assert len({id(node) for node in upper.root.children.values()}) == 1, "hard links of one inode"
    assert overlay.listdir("/") == []


def test_a_directory_over_a_whiteout_is_opaque_and_a_new_one_only_with_certain_options() -> None:
    overlay = writable({"d": {"x": b"x"}})
    overlay.unlink("/d/x")
    overlay.rmdir("/d")
    overlay.mkdir("/d")
    overlay.mkdir("/new")
    upper = overlay.upper_tree()
    assert own(upper["/d"]) == {b"opaque": b"y"} and own(upper["/new"]) == {}
    overlay = writable({}, options=REDIRECT)
    overlay.mkdir("/new")
    assert own(overlay.upper_tree()["/new"]) == {b"opaque": b"y"}


def test_a_directory_with_lower_parts_moves_by_a_redirect_or_not_at_all() -> None:
    assert code(lambda: writable({"d": {}}).rename("/d", "/e")) == "EXDEV"
    overlay = writable({"d": {"f": b"f"}, "e": {"s": {}}}, options=REDIRECT)
    overlay.rename("/d", "/d2")
    overlay.rename("/d2", "/d3")
    overlay.rename("/e/s", "/s3")
    upper = overlay.upper_tree()
    assert own(upper["/d3"]) == {b"redirect": b"d"} and own(upper["/s3"]) == {b"redirect": b"/e/s"}
    assert is_whiteout(upper["/d"]) and is_whiteout(upper["/e/s"]) and "/d2" not in upper
    assert overlay.listdir("/d3") == [b"f"]


def test_the_path_of_a_redirect_has_a_longest_length() -> None:
    deep: Entries = {"x" * 100: {"y" * 100: {"z" * 100: {}}}}
    overlay = writable(deep, options=REDIRECT)
    path = "/" + "/".join((100 * "x", 100 * "y", 100 * "z"))
    assert code(lambda: overlay.rename(path, "/up")) == "EXDEV"


def test_a_directory_of_the_upper_layer_that_comes_into_a_merged_one_is_made_opaque() -> None:
    overlay = writable({"d": {}})
    overlay.mkdir("/top")
    assert own(overlay.upper_tree()["/top"]) == {}
    overlay.rename("/top", "/top2")
    assert own(overlay.upper_tree()["/top2"]) == {b"opaque": b"y"}


def test_a_lower_hard_link_breaks() -> None:
    shared = file(b"old")
    overlay = writable({"a": shared, "b": shared})
    overlay.write("/a", b"NEW!", 1)
    assert content(overlay.upper_tree(), "/a") == b"oNEW!"
    assert content(overlay.merged().tree, "/b") == b"old"


def test_links_of_the_upper_layer_stay_one_file() -> None:
    overlay = writable({"a": b"old"})
    overlay.link("/a", "/b")
    overlay.write("/b", b"new")
    overlay.chmod("/a", 0o600)
    upper = overlay.upper_tree()
    assert upper["/a"] is upper["/b"] and content(upper, "/a") == b"new" and upper["/b"].meta.mode == 0o600


def test_metadata_comes_up_alone_with_metacopy_and_content_when_it_is_written() -> None:
    overlay = writable({"f": b"hello", "d": {}}, options=METACOPY)
    overlay.chmod("/f", 0o600)
    upper = overlay.upper_tree()
    assert own(upper["/f"]) == {b"metacopy": b""} and content(upper, "/f") == bytes(5)
    assert content(overlay.merged().tree, "/f") == b"hello"
    overlay.rename("/f", "/g")
    assert own(overlay.upper_tree()["/g"]) == {b"metacopy": b"", b"redirect": b"f"}
    overlay.rename("/g", "/d/g")
    assert own(overlay.upper_tree()["/d/g"])[b"redirect"] == b"/f"
    overlay.open("/d/g")
    upper = overlay.upper_tree()
    assert b"metacopy" not in own(upper["/d/g"]) and content(upper, "/d/g") == b"hello"
    assert upper["/d/g"].meta.mtime_ns == NOW


@pytest.mark.parametrize(("says", "has", "comes"), [(3, b"0123", b"012"), (6, b"0123", b"0123\0\0"), (0, b"0123", b"")])
def test_content_comes_up_in_the_size_that_the_metadata_says(says: int, has: bytes, comes: bytes) -> None:
    copy = File(Meta(xattrs={T + b"metacopy": b""}), BytesBlob(bytes(says)))
    overlay = Writable([Tree(nest({"f": copy})), Tree(nest({"f": has}))], options=METACOPY, now_ns=NOW)
    overlay.open("/f")
    assert content(overlay.upper_tree(), "/f") == comes and overlay.upper_tree()["/f"].meta.mtime_ns == 0


def test_two_names_change_places() -> None:
    overlay = writable({"a": b"a", "d": {"b": b"b"}})
    overlay.rename("/a", "/d/b", how="exchange")
    upper = overlay.upper_tree()
    assert content(upper, "/a") == b"b" and content(upper, "/d/b") == b"a"
    assert code(lambda: overlay.rename("/a", "/none", how="exchange")) == "ENOENT"
    assert code(lambda: overlay.rename("/a", "/d/b", how="no replace")) == "EEXIST"


def test_what_is_created_inherits_group_and_lists() -> None:
    parent = Dir(Meta(0o2755, 1, 9, 0, {b"system.posix_acl_default": ACL}), {})
    overlay = writable({"d": parent})
    overlay.uid = 3
    overlay.create("/d/f", 0o666)
    overlay.mkdir("/d/s", 0o777)
    overlay.symlink(b"t", "/d/l")
    upper = overlay.upper_tree()
    made = upper["/d/f"].meta
    assert (made.mode, made.uid, made.gid) == (0o664, 3, 9) and set(made.xattrs) == {b"system.posix_acl_access"}
    assert upper["/d/s"].meta.mode == 0o2775 and upper["/d/s"].meta.xattrs[b"system.posix_acl_default"] == ACL
    assert upper["/d/l"].meta.mode == 0o777 and not upper["/d/l"].meta.xattrs
    overlay.chmod("/d/f", 0o640)
    entries = overlay.upper_tree()["/d/f"].meta.xattrs[b"system.posix_acl_access"]
    assert entries[4 + 8 * 3 + 2] == 4, "the mask follows the group's bits"


def test_attributes_that_look_like_marks_are_escaped() -> None:
    overlay = writable({"f": b"f"})
    overlay.setxattr("/f", T + b"opaque", b"y")
    overlay.setxattr("/f", b"user.overlay.opaque", b"y")
    assert dict(overlay.upper_tree()["/f"].meta.xattrs) == {T + b"overlay.opaque": b"y", b"user.overlay.opaque": b"y"}
    assert overlay.merged().tree["/f"].meta.xattrs[T + b"opaque"] == b"y"
    overlay.removexattr("/f", T + b"opaque")
    assert b"overlay.opaque" not in own(overlay.upper_tree()["/f"])


def test_an_attribute_that_is_not_there_brings_nothing_up() -> None:
    overlay = writable({"f": b"f"})
    assert code(lambda: overlay.removexattr("/f", b"user.k")) == "ENODATA"
    assert not overlay.upper_tree().root.children and not own(overlay.upper_tree().root)


def test_chown_drops_privileges_and_a_write_the_capability() -> None:
    meta = Meta(0o6755, xattrs={b"security.capability": b"c"})
    overlay = writable({"a": File(meta, BytesBlob(b"a")), "b": File(meta, BytesBlob(b"b"))})
    overlay.chown("/a", 7)
    overlay.write("/b", b"x")
    upper = overlay.upper_tree()
    assert upper["/a"].meta == Meta(0o755, 7, 0, 0, {})
    assert upper["/b"].meta == Meta(0o6755, 0, 0, NOW, {})


ERRORS: Mapping[str, tuple[Callable[[Writable], None], str]] = {
    "a device that would be a whiteout": (lambda one: one.mknod("/n", "char"), "EPERM"),
    "a name that is there": (lambda one: one.mkdir("/f"), "EEXIST"),
    "no directory on the way": (lambda one: one.create("/f/x"), "ENOTDIR"),
    "nothing on the way": (lambda one: one.create("/none/x"), "ENOENT"),
    "unlink of a directory": (lambda one: one.unlink("/d"), "EISDIR"),
    "rmdir of a file": (lambda one: one.rmdir("/f"), "ENOTDIR"),
    "rmdir of the root": (lambda one: one.rmdir("/"), "EBUSY"),
    "a link to a directory": (lambda one: one.link("/d", "/e"), "EPERM"),
    "a directory into itself": (lambda one: one.rename("/d", "/d/y"), "EINVAL"),
    "a file over a directory": (lambda one: one.rename("/f", "/d"), "EISDIR"),
    "a directory over a file": (lambda one: one.rename("/d", "/f"), "ENOTDIR"),
    "a write to a directory": (lambda one: one.write("/d", b"x"), "EISDIR"),
    "a write to a link": (lambda one: one.write("/l", b"x"), "ELOOP"),
    "permissions of a link": (lambda one: one.chmod("/l", 0), "ENOTSUP"),
    "user attributes of a link": (lambda one: one.setxattr("/l", b"user.k", b""), "EPERM"),
    "a name that is too long": (lambda one: one.mkdir("/" + "x" * 256), "ENAMETOOLONG"),
}


@pytest.mark.parametrize(("call", "said"), ERRORS.values(), ids=list(ERRORS))
def test_errors_are_those_of_linux_and_change_nothing(call: Callable[[Writable], None], said: str) -> None:
    overlay = writable({"f": b"f", "d": {"x": b"x"}, "l": symlink(b"f")})
    assert code(lambda: call(overlay)) == said
    assert not overlay.upper_tree().root.children


def test_what_was_given_and_what_was_taken_stay_as_they_were() -> None:
    start = Tree(nest({"u": b"u", "wh": char_device(0, 0)}))
    overlay = Writable([Tree(nest({"f": b"f"}))], upper=start, now_ns=NOW)
    before, taken = overlay.merged(), overlay.upper_tree()
    overlay.unlink("/u")
    overlay.chmod("/f", 0)
    assert "/u" in start and sorted(taken.root.children) == [b"u", b"wh"] == sorted(start.root.children)
    assert sorted(before.tree.root.children) == [b"f", b"u"] and before.lookup("/f").node.meta.mode == 0o644


def test_the_upper_layer_merges_to_what_is_seen() -> None:
    lower = Tree(nest({"a": b"a", "d": {"x": b"x", "y": b"y"}}))
    overlay = Writable([lower], now_ns=NOW)
    overlay.unlink("/d/x")
    overlay.truncate("/a", 3)
    merged = merge([lower], upper=overlay.upper_tree())
    assert merged.listdir("/d") == [b"y"] and content(merged.tree, "/a") == b"a\0\0"


def test_index_and_options_that_exclude_each_other_are_refused() -> None:
    with pytest.raises(ValueError, match="index=on"):
        writable({}, options=OverlayOptions(index=True))
    with pytest.raises(OverlayError):
        writable({}, options=OverlayOptions(metacopy=True, redirect_dir="off"))
    with pytest.raises(OverlayError):
        Writable([])


IMPOSSIBLE: Mapping[str, tuple[Callable[[Writable], None], str]] = {
    "a zero byte in a path": (lambda one: one.create("/d/a\0b"), "a path with a zero byte"),
    "a zero byte in another": (lambda one: one.rename("/f", b"/d/a\0b"), "a path with a zero byte"),
    "a zero byte in a target": (lambda one: one.symlink(b"a\0b", "/n"), "target of a link with a zero byte"),
    "a zero byte in a name": (lambda one: one.setxattr("/f", b"user.a\0b", b""), "name of an attribute with a zero byte"),
    "no kind of node": (lambda one: one.mknod("/n", "c"), "kind='c' is none of 'char', 'block', 'fifo', 'socket'"),  # type: ignore[arg-type]
    "no device": (lambda one: one.mknod("/n", "block", 0o600, (4096, 0)), "device 4096:0"),
    "no way to rename": (lambda one: one.rename("/f", "/g", how="swap"), "how='swap' is none of 'replace'"),  # type: ignore[arg-type]
    "no user": (lambda one: one.chown("/f", 1 << 32), "owner 4294967296"),
    "no group": (lambda one: one.chown("/f", 0, -2), "owner -2"),
}


@pytest.mark.parametrize(("call", "said"), IMPOSSIBLE.values(), ids=list(IMPOSSIBLE))
def test_what_no_program_can_ask_for_is_a_mistake_of_the_caller(call: Callable[[Writable], None], said: str) -> None:
    overlay = writable({"f": b"f", "d": {"x": b"x"}})
    with pytest.raises(ValueError, match=said):
        call(overlay)
    assert not overlay.upper_tree().root.children


def test_each_error_says_the_path_that_it_is_about() -> None:
    overlay = writable({"f": b"f", "d": {"x": b"x"}, "e": {}})
    for call, path in (
        (lambda: overlay.unlink("/d/none"), b"/d/none"),
        (lambda: overlay.unlink(path="d"), b"d"),
        (lambda: overlay.rename("/d", "/d/y"), b"/d/y"),
        (lambda: overlay.rename("/none", "/y"), b"/none"),
        (lambda: overlay.rename("/f", "/e"), b"/e"),
        (lambda: overlay.rename("/", "/y"), b"/"),
        (lambda: overlay.rename("/e", "/y"), b"/e"),
        (lambda: overlay.rename("/f", "/e/", how="no replace"), b"/e/"),
        (lambda: overlay.link("/f", "/d"), b"/d"),
        (lambda: overlay.symlink(b"", "/n"), b"/n"),
        (lambda: overlay.setxattr("/f", b"", b""), b"/f"),
        (lambda: overlay.rmdir("/d"), b"/d"),
        (lambda: overlay.write("/d", b"x"), b"/d"),
        (lambda: overlay.listdir("/f"), b"/f"),
    ):
        with pytest.raises(OverlayError) as caught:
            call()  # type: ignore[no-untyped-call]
        assert caught.value.path == path and f"path `{path.decode()}`" in str(caught.value)


def test_dots_in_a_path_lead_where_linux_goes() -> None:
    overlay = writable({"d": {"x": b"x", "sub": {}}, "f": b"f"})
    overlay.create("/d/sub/../../n")
    overlay.chmod("/d/sub/..", 0o700)
    overlay.rename("d/./x", "/../y")
    assert overlay.listdir("/d/sub/../..") == [b"d", b"f", b"n", b"y"] and overlay.lookup("/d").meta.mode == 0o700


@pytest.mark.parametrize("how", ["replace", "no replace", "exchange"])
def test_what_is_not_there_is_said_before_the_other_name_is_looked_at(how: str) -> None:
    """The other name is one of a file whose lower data is missing, which by itself is an error."""
    lost = File(Meta(0o644, xattrs={b"trusted.overlay.metacopy": b""}), BytesBlob(b"x"))
    mount = Writable([Tree(Dir(children={b"b": lost}))], now_ns=0)
    with pytest.raises(OverlayError) as caught:
        mount.rename("/a", "/b", how=how)  # type: ignore[arg-type]
    assert caught.value.errno == errno.ENOENT
