"""One run of `extract.unpack`: names, contents, links, and the metadata of directories at the end."""

from __future__ import annotations

import contextlib
import functools
import os
import stat
from collections import deque
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, TypeVar

from imgcore.blob.faked import is_faked, plain
from imgcore.blob.streamed import Contents, ContentStream, StreamedBlob
from imgcore.errors import ImgcoreError, OutputError, TargetExists, context
from imgcore.events import Advanced, Control, Warned
from imgcore.hosts.attributes import Attributes
from imgcore.hosts.beneath import Chain, Place, output_error
from imgcore.hosts.content import Content, discard_all, write_all
from imgcore.model import Device, Dir, File, Meta, Node, Pipe, Socket, Symlink, Tree, type_name
from imgcore.values import value_class

if TYPE_CHECKING:  # it takes long to import, and what comes in a stream needs none
    from concurrent.futures import Future, ThreadPoolExecutor

__all__ = ["UnpackReport", "Unpacking", "open_files"]

Made = TypeVar("Made")

_IN_FLIGHT = 256  # open files that wait for a thread, at most
_BATCH = 32  # files, or
_BATCH_BYTES = 1 << 20  # bytes, that a thread is given at once: handing over a small file costs more than writing it
_CREATE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_CLOEXEC", 0)


@value_class
class UnpackReport:
    """What was unpacked.

    Attributes:
        files, dirs, symlinks, others: nodes of each kind, the root among `dirs`; hard_links: further names.
        bytes: bytes of the files, holes included.
        skipped: nodes that were left out because they are devices; each was an event.
        unset_xattrs: extended attributes that could not be set; each was an event.
    """

    files: int
    dirs: int
    symlinks: int
    others: int
    hard_links: int
    bytes: int
    skipped: int
    unset_xattrs: int


def open_files() -> int:
    """Return how many files may wait for a thread: a part of what the system lets this process open."""
    with contextlib.suppress(ImportError):  # not a POSIX system
        import resource

        limit, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
        if limit != resource.RLIM_INFINITY:
            return min(_IN_FLIGHT, limit // 4)
    return _IN_FLIGHT


class Unpacking:
    """One run: where it is, what was made, what still has to be done."""

    def __init__(
        self,
        chain: Chain,
        control: Control,
        *,
        keep_owner: bool,
        devices: bool,
        insist: bool,
        xattrs: bool,
        force: bool,
        jobs: int,
    ) -> None:
        self.chain = chain
        self.control = control
        self.devices = devices
        self.insist = insist
        self.force = force
        self.jobs = jobs
        self.attributes = Attributes(keep_owner, xattrs, lambda message, path: self.unset.append((message, path)))
        self.first: dict[int, tuple[Place, bytes]] = {}
        self.links: list[tuple[Place, bytes, tuple[Place, bytes]]] = []
        self.directories: list[tuple[Place, Meta]] = []
        self.streamed: dict[ContentStream, dict[int, tuple[Place, bytes, bytes, File]]] = {}
        self.batch: list[Content] = []
        files = open_files()
        self.batch_most = max(1, min(_BATCH, files // (2 * jobs + 1)))
        self.pending_most = min(2 * jobs, max(1, files // self.batch_most - 1))
        self.batch_bytes = 0
        self.pool: ThreadPoolExecutor | None = None  # made for the first batch
        self.pending: deque[tuple[Future[None], list[Content]]] = deque()
        self.unset: deque[tuple[str, bytes]] = deque()
        self.stored = 0
        self.left_something = False
        self.counts = dict.fromkeys(UnpackReport.__dataclass_fields__, 0)

    def run(self, tree: Tree, is_ours: bool) -> UnpackReport:
        """Make everything."""
        try:
            self._make_names(tree, self.jobs > 1)
            self._hand_over()
            self._write_streams()
            self._collect(0)
        finally:
            for _, contents in self.pending:
                for content in contents:
                    content.stop()
            if self.pool is not None:
                self.pool.shutdown(wait=True, cancel_futures=True)
            discard_all(content for future, contents in self.pending if future.cancelled() for content in contents)
            discard_all(self.batch)
        self.make_links()
        self._finish_directories(is_ours)
        return self.report()

    def report(self) -> UnpackReport:
        """Return what was done."""
        return UnpackReport(**self.counts)

    def _make_names(self, tree: Tree, threads: bool) -> None:
        """Make every name in the tree's order; contents are written meanwhile, with `threads` in others."""
        self.directories.append((self.chain.current, tree.root.meta))
        self.counts["dirs"] += 1
        stack = [(b"/", tree.root, sorted(tree.root.children, reverse=True))]
        while stack:
            parent, directory, names = stack[-1]
            if not names:
                stack.pop()
                if stack:
                    self.chain.leave()
                continue
            self.control.check()
            name = names.pop()
            node = directory.children[name]
            path = parent + name
            if isinstance(node, Dir):
                self.make_directory(name, node.meta)
                stack.append((path + b"/", node, sorted(node.children, reverse=True)))
            else:
                self.make_leaf(path, name, node, threads)

    def make_directory(self, name: bytes, meta: Meta) -> Place:
        """Make the directory `name` in the current one and go there; one that exists is used."""
        place = self.chain.current
        is_ours = True
        try:
            os.mkdir(plain(name), 0o700, dir_fd=place.fd)
        except FileExistsError:
            is_ours = self.force  # used if it is a directory, and no link to one
        except OSError as error:
            raise output_error(error, place.path + b"/" + name, "make directory") from None
        entered = self.chain.enter(name)
        if is_ours:
            self.directories.append((entered, meta))
        self.counts["dirs"] += 1
        return entered

    def make_leaf(self, path: bytes, name: bytes, node: Node, threads: bool) -> None:
        """Make what is no directory in the current one; with `threads` its content is for one of these."""
        place = self.chain.current
        shown = place.path + b"/" + name
        first = self.first.get(id(node))
        if first is not None:
            # Made when all contents are whole: a file that fails is removed, and must not live on under a second name.
            self.links.append((place, name, first))
            return
        if isinstance(node, Device) and not self.devices:
            self._skip(path, "only root makes devices")
            return
        if isinstance(node, File):
            if isinstance(node.content, StreamedBlob) and self._is_streamed(node.content, place, name, path, node):
                self.first[id(node)] = (place, name)
                return
            fd = self._create(shown, lambda: os.open(plain(name), _CREATE, 0o600, dir_fd=place.fd), name)
            self.first[id(node)] = (place, name)
            self._write(Content(self.chain, self.control, self.attributes, place, name, path, fd, node), threads)
            return
        if isinstance(node, Symlink):
            target = plain(node.target)
            self._create(shown, lambda: os.symlink(target, plain(name), dir_fd=place.fd), name)
            self.counts["symlinks"] += 1
        elif not self._make_special(shown, path, name, node):
            return
        self.first[id(node)] = (place, name)
        self.attributes.apply_at(node.meta, shown, name, place.fd, mode=not isinstance(node, Symlink))
        self.tell_unset()

    def _make_special(self, shown: bytes, path: bytes, name: bytes, node: Node) -> bool:
        """Make a device, fifo or socket; return False where it was left out."""
        fd = self.chain.current.fd
        if is_faked():
            self._skip(path, "a file system that is made up has none", what=type_name(node))
            return False
        if isinstance(node, Pipe):
            self._create(shown, lambda: os.mkfifo(name, 0o600, dir_fd=fd), name)
        elif isinstance(node, Socket):
            self._create(shown, lambda: os.mknod(name, stat.S_IFSOCK | 0o600, dir_fd=fd), name)
        else:
            assert isinstance(node, Device)
            kind = stat.S_IFCHR if node.kind == "char" else stat.S_IFBLK
            number = os.makedev(node.major, node.minor)
            try:
                self._create(shown, lambda: os.mknod(name, kind | 0o600, number, dir_fd=fd), name)
            except OutputError as error:
                if self.insist or not isinstance(error.__context__, PermissionError):
                    raise
                self._skip(path, "the system does not allow it")  # root of a container
                return False
        self.counts["others"] += 1
        return True

    def _create(self, shown: bytes, make: Callable[[], Made], name: bytes) -> Made:
        """Return what `make` returns; an existing name is an error, or removed first."""
        place = self.chain.current
        try:
            try:
                return make()
            except FileExistsError:
                if not self.force:
                    raise TargetExists("exists already", path=shown, hint="--force replaces files that exist") from None
            os.unlink(plain(name), dir_fd=place.fd)
            return make()
        except OSError as error:
            raise output_error(error, shown, "make") from error

    def _write(self, content: Content, threads: bool) -> None:
        """Write a file's content now, or give it to a thread."""
        if not threads or not content.node.content.size:
            content.write()
            self._count(content)
            return
        self.batch.append(content)
        self.batch_bytes += content.node.content.size
        if self.batch_bytes >= _BATCH_BYTES or len(self.batch) >= self.batch_most:
            self._hand_over()

    def _is_streamed(self, content: StreamedBlob, place: Place, name: bytes, path: bytes, node: File) -> bool:
        """Return whether a content is put aside, to be written when its stream comes to it."""
        stream = content.stream
        wanted = self.streamed.get(stream)
        if wanted is None:
            if not stream.in_order:
                return False
            wanted = self.streamed[stream] = {}
        return wanted.setdefault(content.index, (place, name, path, node))[3] is node

    def _write_streams(self) -> None:
        """Make the files whose contents come in streams, in the order in which they come."""
        for stream, wanted in self.streamed.items():
            with contextlib.closing(stream.take(wanted, ahead=self.jobs > 1)) as contents:
                while (found := self._next_of(contents, wanted)) is not None:
                    place, name, path, node = wanted.pop(found[0])
                    self.chain.go_to(place)
                    fd = self._create(
                        place.path + b"/" + name,
                        functools.partial(os.open, plain(name), _CREATE, 0o600, dir_fd=place.fd),
                        name,
                    )
                    content = Content(self.chain, self.control, self.attributes, place, name, path, fd, node)
                    content.write(found[1])
                    self._count(content)
            if wanted:
                raise AssertionError(f"{type(stream).__name__} ended without {len(wanted)} of its contents")

    def _next_of(
        self, contents: Contents, wanted: dict[int, tuple[Place, bytes, bytes, File]]
    ) -> tuple[int, Iterator[memoryview]] | None:
        """Return the next content; what is wrong with the stream before it is told with the path of the first one left."""
        self.control.check()
        try:
            return next(contents, None)
        except ImgcoreError:
            with context(path=wanted[min(wanted)][2]):
                raise

    def _hand_over(self) -> None:
        """Give the contents that were put aside to a thread."""
        if not self.batch:
            return
        if self.pool is None:
            from concurrent.futures import ThreadPoolExecutor

            self.pool = ThreadPoolExecutor(self.jobs, "imgcore-unpack")
        batch, self.batch, self.batch_bytes = self.batch, [], 0
        self.pending.append((self.pool.submit(write_all, batch), batch))
        self._collect(self.pending_most)

    def _collect(self, leave: int) -> None:
        """Wait until at most `leave` batches are still being written; raise what the first of them raised."""
        while len(self.pending) > leave:
            future, contents = self.pending[0]
            future.result()
            self.pending.popleft()
            for content in contents:
                self._count(content)

    def _count(self, content: Content) -> None:
        self.counts["files"] += 1
        self.counts["bytes"] += content.node.content.size
        self.stored += content.written
        self.tell_unset()
        self.control.emit(Advanced(self.counts["files"], self.counts["bytes"], self.stored, content.path))

    def make_links(self) -> None:
        """Make the further names of the nodes that have several."""
        for place, name, (first_place, first_name) in self.links:
            self.control.check()
            self.chain.go_to(place)
            source = place.fd if first_place is place else self.chain.reopen(first_place)
            try:
                self._create(
                    place.path + b"/" + name,
                    functools.partial(
                        os.link,
                        plain(first_name),
                        plain(name),
                        src_dir_fd=source,
                        dst_dir_fd=place.fd,
                        follow_symlinks=False,
                    ),
                    name,
                )
            finally:
                if source != place.fd:
                    os.close(source)
            self.counts["hard_links"] += 1

    def _finish_directories(self, is_ours: bool) -> None:
        """Set the metadata of the directories, what is below first."""
        for place, meta in reversed(self.directories):
            if place.parent is None and not is_ours:
                continue  # `unpack image /tmp` must not give /tmp another owner and mode
            self.chain.go_to(place)
            self.attributes.apply(meta, place.path, place.fd)
        self.tell_unset()

    def _skip(self, path: bytes, why: str, what: str = "device") -> None:
        self.counts["skipped"] += 1
        self.control.emit(Warned(f"{what} left out: {why}", path))

    def tell_unset(self) -> None:
        """Give the caller what the threads could not set: events come from the calling thread only."""
        while self.unset:
            message, path = self.unset.popleft()
            self.counts["unset_xattrs"] += 1
            self.control.emit(Warned(message, path))

    @property
    def made(self) -> bool:
        """Whether anything but the target exists now that did not before."""
        return len(self.directories) > 1 or bool(self.first) or self.left_something
