from __future__ import annotations

import contextlib
import dataclasses
import io
import os
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from imgcore import formats
from imgcore.blob import BytesBlob, HostFile, Identity, MemorySink, Sink
from imgcore.build.pack import pack, plan_pack
from imgcore.build.source import open_source
from imgcore.build.unpack import unpack
from imgcore.engine import Engine
from imgcore.errors import (
    Cancelled,
    NotRepresentable,
    OutputError,
    PathError,
    SourceChanged,
    SourceUnreadable,
    TargetExists,
    VerificationFailed,
)
from imgcore.events import Advanced, Control, Event, Finished, Planned, Warned
from imgcore.formats import Options, Report, squashfs
from imgcore.hosts import scan
from imgcore.model import Tree, diff, directory, file, tree
from imgcore.transforms import Owners, Policy
from imgcore.transforms.overlay import OverlayOptions, Writable, layer_between, merge

Dropped = Callable[[], contextlib.AbstractContextManager[None]]


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "source"
    path.mkdir()
    (path / "f").write_bytes(b"hello" * 1000)
    (path / "skip.pyc").write_bytes(b"")
    (path / "l").symlink_to("f")
    return path


def left_in(path: Path) -> list[str]:
    return sorted(child.name for child in path.iterdir())


def test_round_trip_with_options_and_policy(source: Path, tmp_path: Path) -> None:
    events: list[Event] = []
    report = pack(
        source,
        tmp_path / "o.raw",
        options=squashfs.Options(compression="gzip"),
        policy=Policy(Owners.fixed(1, 2)),
        exclude=["*.pyc", "nothing"],
        verify=True,
        control=Control(events.append),
    )
    assert report.size == (tmp_path / "o.raw").stat().st_size
    assert events[0] == Warned("exclude `nothing` matches nothing")
    assert events[1] == Planned("pack", 1, 5000)
    assert any(isinstance(event, Advanced) for event in events)
    assert isinstance(events[-1], Finished) and events[-1].summary["files"] == 1
    with open_source(tmp_path / "o.raw") as opened:
        changes = {(change.path, change.kind) for change in diff(scan(source), opened.tree)}
    assert changes == {(b"/skip.pyc", "removed"), (b"/", "owner"), (b"/f", "owner"), (b"/l", "owner")} or os.geteuid() == 1


@pytest.mark.parametrize("engine", ["pure", "auto"])
def test_destinations(source: Path, engine: str) -> None:
    sink, stream = MemorySink(), io.BytesIO()
    pack(source, sink, format="squashfs", engine=engine)  # type: ignore[arg-type]
    pack(os.fsencode(source), stream, format="squashfs", engine=engine)  # type: ignore[arg-type]
    assert sink.value() == stream.getvalue()


def test_formats() -> None:
    with pytest.raises(ValueError, match="suffix"):
        pack(tree({}), "/nowhere/x.unknown")
    with pytest.raises(ValueError, match="no format"):
        pack(tree({}), "/nowhere/x.raw", format="unknown")
    with pytest.raises(ValueError, match="named"):
        pack(tree({}), MemorySink())


def test_the_target_is_looked_at_first(tmp_path: Path) -> None:
    (tmp_path / "old.raw").write_bytes(b"old")
    with pytest.raises(TargetExists):
        pack(tmp_path / "no source", tmp_path / "old.raw")
    with pytest.raises(OutputError, match="no such directory"):
        pack(tmp_path / "no source", tmp_path / "none" / "new.raw")
    with pytest.raises(OutputError, match="directory"):
        pack(tmp_path / "no source", tmp_path, format="squashfs", force=True)
    with pytest.raises(SourceUnreadable):
        pack(tmp_path / "no source", tmp_path / "old.raw", force=True)
    assert (tmp_path / "old.raw").read_bytes() == b"old"


def test_an_image_inside_of_its_source(source: Path) -> None:
    pack(source, source / "o.raw")
    first = (source / "o.raw").read_bytes()
    with open_source(source / "o.raw") as opened:
        assert b"/o.raw" not in opened.tree
    pack(source, source / "o.raw", force=True)
    with open_source(source / "o.raw") as opened:
        assert b"/o.raw" not in opened.tree
    assert len((source / "o.raw").read_bytes()) == len(first)
    assert left_in(source) == ["f", "l", "o.raw", "skip.pyc"]


def test_a_link_as_target_is_followed(source: Path, tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "o.raw").symlink_to("real/o.raw")
    pack(source, tmp_path / "o.raw")
    assert (tmp_path / "o.raw").is_symlink()
    assert left_in(tmp_path / "real") == ["o.raw"]


def test_what_cannot_be_represented(tmp_path: Path) -> None:
    with pytest.raises(NotRepresentable):
        pack(tree({"/f": file(b"", xattrs={b"foreign.x": b"1"})}), tmp_path / "o.raw")
    assert left_in(tmp_path) == []


@pytest.mark.parametrize("what", ["changed", "vanished", "shrunk"])
def test_a_source_that_changes_leaves_nothing(source: Path, tmp_path: Path, what: str) -> None:
    scanned = scan(source)
    if what == "vanished":
        (source / "f").unlink()
    else:
        (source / "f").write_bytes(b"" if what == "shrunk" else b"other" * 1000)
    (tmp_path / "o.raw").write_bytes(b"old")
    with pytest.raises(SourceChanged) as caught:
        pack(scanned, tmp_path / "o.raw", force=True)
    assert caught.value.path is not None and caught.value.path.endswith(b"/f")  # type: ignore[arg-type]
    assert (tmp_path / "o.raw").read_bytes() == b"old"
    assert left_in(tmp_path) == ["o.raw", "source"]


def test_an_unreadable_file_names_its_path(source: Path, tmp_path: Path) -> None:
    found = (source / "f").stat()
    hidden = file(HostFile(b"/proc/self/nothing/f", Identity.of(found)))
    with pytest.raises(SourceChanged):
        pack(tree({"/f": hidden}), tmp_path / "o.raw")
    assert left_in(tmp_path) == ["source"]


@pytest.mark.parametrize("when", [Planned, Advanced])
def test_cancelling_leaves_nothing(source: Path, tmp_path: Path, when: type) -> None:
    control = Control(lambda event: control.cancel() if isinstance(event, when) else None)
    before = set(threading.enumerate())  # fsspec's loop, say, from another test
    with pytest.raises(Cancelled):
        pack(source, tmp_path / "o.raw", control=control)
    assert left_in(tmp_path) == ["source"]
    assert set(threading.enumerate()) <= before


def test_a_cache_inside_of_its_source_is_left_out(source: Path, tmp_path: Path) -> None:
    pack(source, tmp_path / "plain.raw")
    for _ in range(2):
        pack(source, tmp_path / "o.raw", cache=source / "cache", force=True)
        with open_source(tmp_path / "o.raw") as opened, open_source(tmp_path / "plain.raw") as plain:
            # The directory that it is in shows another time.
            assert [change for change in diff(plain.tree, opened.tree) if change.kind != "mtime"] == []
    assert (source / "cache" / "imgcore-cache").exists()


def test_verification(source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def wrong(written: Tree, sink: Sink, options: Options, control: Control, engine: Engine) -> Report:
        return squashfs.write_image(tree({"/other": b"1"}), sink, options, control, engine)  # type: ignore[arg-type]

    broken = dataclasses.replace(squashfs.FORMAT, write=wrong)
    monkeypatch.setattr(formats, "FORMATS", (broken,))
    with pytest.raises(VerificationFailed):
        pack(source, tmp_path / "o.raw", verify=True)
    assert left_in(tmp_path) == ["source"]


def test_image_to_image_and_several_sources(source: Path, tmp_path: Path) -> None:
    pack(source, tmp_path / "one.raw")
    pack(tmp_path / "one.raw", tmp_path / "two.raw", options=squashfs.Options(compression="lz4"))
    with open_source(tmp_path / "one.raw") as one, open_source(tmp_path / "two.raw") as two:
        assert list(diff(one.tree, two.tree)) == []
        pack(one, tmp_path / "three.raw")
    (tmp_path / "more").mkdir()
    (tmp_path / "more" / "g").write_bytes(b"g")
    pack([tmp_path / "one.raw", tmp_path / "more"], tmp_path / "four.raw")
    with open_source(tmp_path / "four.raw") as four:
        assert b"/g" in four.tree and b"/f" in four.tree


def test_unpack_takes_paths_sources_and_trees(source: Path, tmp_path: Path) -> None:
    pack(source, tmp_path / "o.raw")
    unpack(tmp_path / "o.raw", tmp_path / "a")
    with open_source(tmp_path / "o.raw") as opened:
        unpack(opened, tmp_path / "b", only=["f"])
    unpack(scan(source), tmp_path / "c", jobs=2)
    assert (left_in(tmp_path / "a"), left_in(tmp_path / "b")) == (["f", "l", "skip.pyc"], ["f"])
    assert list(diff(scan(source), scan(tmp_path / "c"))) == []
    with pytest.raises(PathError):
        unpack(tmp_path / "o.raw", tmp_path / "d", only=["nothing"])
    assert not (tmp_path / "d").exists()


def test_a_blob_is_read_once_it_is_needed(tmp_path: Path) -> None:
    pack(tree({"/f": file(BytesBlob(b"x"))}), tmp_path / "o.raw", sync=False)
    assert left_in(tmp_path) == ["o.raw"]


@pytest.mark.parametrize("engine", ["pure", "auto"])
def test_a_file_that_only_its_owner_may_read(shared_dir: Path, unprivileged: Dropped, engine: str) -> None:
    (shared_dir / "s").mkdir()
    (shared_dir / "s" / "open").write_bytes(b"1" * 10_000)
    (shared_dir / "s" / "secret").write_bytes(b"2" * 10_000)
    (shared_dir / "s" / "secret").chmod(0)
    (shared_dir / "out").mkdir()
    (shared_dir / "out").chmod(0o777)
    pack(tree({"/warm": b"up"}), MemorySink(), format="squashfs", engine=engine)  # type: ignore[arg-type]
    with unprivileged(), pytest.raises(SourceUnreadable) as caught:
        pack(shared_dir / "s", shared_dir / "out" / "o.raw", engine=engine)  # type: ignore[arg-type]
    assert caught.value.path is not None and caught.value.path.endswith(b"/secret")  # type: ignore[arg-type]
    assert left_in(shared_dir / "out") == []


@pytest.mark.parametrize("suffix", ["raw", "tar"])
def test_a_layer_that_is_packed_still_is_one(suffix: str, tmp_path: Path) -> None:
    base = tree({"/d/a": b"a", "/d/b": b"b", "/keep": b"k"})
    wanted = tree({"/d/new": b"n", "/keep": b"k", "/x": b""})
    layer = layer_between(base, wanted)
    for number, policy in enumerate((None, Policy(owners=Owners.root()))):
        target = tmp_path / f"{number}.{suffix}"
        report = pack(layer, target, exclude=["/x"], policy=policy)
        assert not report.losses
        with open_source(target) as opened:
            shown = merge([opened.tree, base]).tree
            assert [change.path for change in diff(shown, wanted)] == [b"/x"]
    mount = Writable([base], options=OverlayOptions(redirect_dir="on"))
    mount.rename("/d", "/moved")
    pack(mount.upper_tree(), tmp_path / f"upper.{suffix}")
    with open_source(tmp_path / f"upper.{suffix}") as opened:
        assert "/moved/a" in merge([opened.tree, base]).tree


def test_marks_that_are_left_out_are_warned_of_and_reported(tmp_path: Path) -> None:
    marked = tree({"/d": directory(xattrs={b"trusted.overlay.opaque": b"y", b"trusted.overlay.origin": b""})})
    events: list[Event] = []
    report = pack(marked, tmp_path / "o.tar", control=Control(events.append))
    assert [(loss.kind, loss.path) for loss in report.losses] == [("mark", b"/d")]
    warned = [(event.message, event.path) for event in events if isinstance(event, Warned)]
    assert warned == [("lost: mark of overlayfs trusted.overlay.opaque (kept with xattrs=all)", b"/d")]
    with plan_pack(marked, "o.tar") as plan:
        assert plan.losses == report.losses
    assert not pack(marked, tmp_path / "all.tar", policy=Policy(xattrs="all")).losses
