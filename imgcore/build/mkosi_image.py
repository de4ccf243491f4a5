"""The images of a mkosi configuration, built without mkosi: `imgcore mkosi`.

Of each image, in the order of its steps at mkosi: base trees, skeleton trees, packages, extra trees, post-installation scripts,
release files; then, where the image lies over its bases, what these have is taken away; metadata of package managers and
unwanted files go; finalize scripts, times, the image in its format, checksums, post-output scripts.

Images are built in the order of their dependencies. A base tree that is the output of an image that was just built is taken
as it was built, with its owners, whoever builds. What cannot be built is refused by its name before anything is done.
"""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final, Protocol

from imgcore.blob import BytesBlob
from imgcore.build.mkosi_output import Writing, put_in_place, require_free, write_image
from imgcore.build.mkosi_scripts import ScriptRunner
from imgcore.build.mkosi_tree import (
    API_FILE_SYSTEMS,
    as_copied,
    clean_metadata,
    configure_release,
    copy_in,
    empty_tree,
    newest,
    put,
    remove_files,
)
from imgcore.build.scratch import scratch_directory
from imgcore.build.source import open_source
from imgcore.build.spec import SourceSpec
from imgcore.errors import ImgcoreError, Unsupported, show
from imgcore.events import Control, Warned
from imgcore.formats.squashfs import Options as SquashfsOptions
from imgcore.hosts import node_at
from imgcore.limits import Limits
from imgcore.mkosi import Configuration, Image
from imgcore.mkosi.refusals import require_buildable
from imgcore.model import Dir, File, Meta, Tree
from imgcore.transforms import Clock, Policy, SubtractRule, exclude, prune_empty, subtract
from imgcore.transforms.overlay import merge
from imgcore.values import field, value_class

__all__ = ["BuiltImage", "InstallPackages", "MkosiSettings", "PackageRequest", "build_images"]

_STATE: Final = (
    "/var/lib/systemd/random-seed",
    "/var/lib/systemd/credential.secret",
    "/etc/machine-info",
    "/var/lib/dbus/machine-id",
)
_UNDONE: Final = ("sysusers.d", "tmpfiles.d", "systemd/system-preset", "udev/hwdb.d", "modules")
_FEW: Final = 5  # names in a warning
_HIERARCHIES: Final = {"sysext": (b"/usr", b"/opt"), "confext": (b"/etc",)}


@value_class
class PackageRequest:
    """Packages that an image asks for, by name, and the directories that have them."""

    names: tuple[str, ...]
    directories: tuple[Path, ...]
    distribution: str
    release: str
    architecture: str


class InstallPackages(Protocol):
    """Finds packages and what they need, and gives what they bring."""

    def refuses(self, request: PackageRequest) -> str | None:
        """Return why these packages cannot be installed, None where that is not known before they are looked for."""
        ...

    def __call__(self, base: Tree, request: PackageRequest, *, stack: contextlib.ExitStack, control: Control) -> Tree:
        """Return what the packages bring to `base`, as a tree of its own. Raises ImgcoreError.

        What its contents are read from stays open until `stack` is closed.
        """
        ...


@value_class(eq=False)
class MkosiSettings:
    """How images are built.

    Attributes:
        scripts: whether the configuration's scripts are run.
        force: whether older outputs are replaced.
        output: the descriptor that scripts print to.
        writing: how files are written.
        install: installs packages; None refuses images that ask for some.
        subtract: what is taken from an image with Overlay=yes: see `imgcore.transforms.subtract`.
        limits: for base and extra trees that are images.
    """

    scripts: bool = False
    force: bool = False
    output: int = 2
    writing: Writing = field(default_factory=lambda: Writing(SquashfsOptions()))
    install: InstallPackages | None = None
    subtract: SubtractRule = "mkosi"
    limits: Limits | None = None


@value_class(eq=False)
class BuiltImage:
    """An image that was built: its configuration, and the files that were put in place."""

    image: Image
    files: tuple[Path, ...]


def build_images(
    configuration: Configuration, directory: Path, settings: MkosiSettings, control: Control | None = None
) -> list[BuiltImage]:
    """Build the images of a configuration that was read in `directory`; return them in the order in which they were built.

    Images of Format=none are left out. Raises Unsupported, with file and line, for what is not built here, before anything is
    done; TargetExists without `force`; SourceError for a script that fails; and what reading, scanning and writing raise. An
    image is put in place when it is whole; those before it stay.
    """
    control = control or Control()
    wanted = [image for image in configuration.images if image.text("Format") != "none"]
    for image in configuration.images:
        require_buildable(image, scripts=settings.scripts)
    for image in wanted:
        _require_packages(image, settings)
        require_free(image, _place(image, directory), force=settings.force)
    done: list[BuiltImage] = []
    trees: dict[Path, Tree] = {}
    with contextlib.ExitStack() as stack:
        for image in wanted:
            control.check()
            build = _Build(image, _place(image, directory), settings, trees, stack, control)
            done.append(build.run())
    return done


def _workspace(image: Image) -> Path:
    """Return where trees are unpacked for scripts: WorkspaceDirectory=, else where temporary files go."""
    return Path(str(image.values.get("WorkspaceDirectory") or tempfile.gettempdir()))


def _place(image: Image, directory: Path) -> Path:
    return Path(image.text("OutputDirectory") or directory)


def _packages(image: Image) -> list[str]:
    return [*image.words("Packages"), *image.words("VolatilePackages")]


def _request(image: Image) -> PackageRequest:
    directories = [*image.words("PackageDirectories"), *image.words("VolatilePackageDirectories")]
    words = (image.text(name) for name in ("Distribution", "Release", "Architecture"))
    return PackageRequest(tuple(_packages(image)), tuple(map(Path, directories)), *words)


def _require_packages(image: Image, settings: MkosiSettings) -> None:
    """Raise Unsupported where packages are asked for that nothing installs, or for an extension without a base."""
    if not _packages(image):
        return
    setting = "Packages" if image.words("Packages") else "VolatilePackages"
    at = image.where(setting)
    path, line = (None, None) if at is None or at.file is None else (str(at.file), at.line or None)
    why = "nothing here installs them" if settings.install is None else settings.install.refuses(_request(image))
    if why is not None:
        raise Unsupported(f"{setting}= asks for packages, and {why}", path=path, line=line)
    if not image.words("BaseTrees") and (image.flag("Overlay") or image.text("Format") in _HIERARCHIES):
        message = f"{setting}=: packages cannot be installed in an extension without a base tree"
        raise Unsupported(message, path=path, line=line, hint="BaseTrees= names what it lies over")


class _Build:
    """The build of one image; `trees` are those of images that were built before, by the path of their output."""

    def __init__(
        self,
        image: Image,
        place: Path,
        settings: MkosiSettings,
        trees: dict[Path, Tree],
        stack: contextlib.ExitStack,
        control: Control,
    ) -> None:
        self._image, self._place, self._settings, self._trees, self._control = image, place, settings, trees, control
        self._stack = stack
        self._epoch = image.number("SourceDateEpoch")
        self._form = image.text("Format")

    def run(self) -> BuiltImage:
        """Build the image and put it in place."""
        image = self._image
        # What a later image takes from this one is read from the scratch directory until all are built.
        # Not in the output directory: that is often inside of what scripts see as their source, and may copy.
        scratch = self._stack.enter_context(scratch_directory(_workspace(image), ".imgcore-scratch-"))
        with scratch_directory(self._place, ".imgcore-staging-") as staging:
            scripts = ScriptRunner(image, staging, scratch, self._settings.output, self._control)
            with self._asked("BaseTrees"):
                bases = [self._open(Path(path)) for path in image.words("BaseTrees")]
            tree = self._start(bases)
            tree = self._filled(tree)
            tree = scripts.on_tree("PostInstallationScripts", "postinst", tree, ["final"])
            tree = configure_release(tree, image)
            if image.flag("Overlay"):
                tree = self._subtracted(tree, bases)
            tree = remove_files(clean_metadata(tree, image), image)
            if self._form in _HIERARCHIES and self._settings.subtract != "overlay":  # there an empty directory is a new one
                tree = prune_empty(tree)
            tree = scripts.on_tree("FinalizeScripts", "finalize", tree)
            clock = Clock() if self._epoch is None else Clock.clamp(self._epoch * 10**9)
            tree = Policy(clock=clock).apply(tree)
            self._warn(tree)
            write_image(tree, image, staging, self._settings.writing, self._control)
            scripts.on_output("PostOutputScripts", "postoutput")
            files = put_in_place(image, staging, self._place)
        self._trees[self._place / image.output] = tree
        return BuiltImage(image, tuple(files))

    def _subtracted(self, tree: Tree, bases: Sequence[Tree]) -> Tree:
        """Return what an image over its bases holds. Warns of what mkosi's rule leaves out and the bases do not have so."""
        places, rule = _HIERARCHIES.get(self._form), self._settings.subtract
        made = subtract(tree, bases, rule, hierarchies=places, prune=False, control=self._control)
        if rule == "mkosi":
            changed = subtract(tree, bases, "identical", control=self._control)
            lost = [path for path, node in changed.walk() if not isinstance(node, Dir) and path not in made]
            if lost:
                shown = ", ".join(f"`{show(path)}`" for path in lost[:_FEW]) + (", …" if len(lost) > _FEW else "")
                self._warned(
                    f"left out, since the bases have files of these names, though not the same ones: {shown}"
                    " (--subtract identical keeps them)"
                )
        return made

    def _start(self, bases: Sequence[Tree]) -> Tree:
        """Return the tree that the build begins with."""
        if not bases:
            return empty_tree(0 if self._epoch is None else self._epoch * 10**9)
        if self._image.flag("Overlay"):
            return bases[0] if len(bases) == 1 else merge(bases).tree
        tree = bases[0]
        for base in bases[1:]:
            tree = copy_in(tree, base, keep_directories=False)
        return tree

    def _filled(self, tree: Tree) -> Tree:
        """Return the tree with skeletons, packages and extra trees."""
        with self._asked("SkeletonTrees"):
            for source, target in self._image.trees("SkeletonTrees"):
                tree = self._install_tree(tree, source, target)
        if _packages(self._image):
            tree = self._install_packages(tree)
        with self._asked("ExtraTrees"):
            for source, target in self._image.trees("ExtraTrees"):
                tree = self._install_tree(tree, source, target)
        return tree

    @contextlib.contextmanager
    def _asked(self, setting: str) -> Iterator[None]:
        """Say in the hint of an error which line of the configuration asked for what failed."""
        try:
            yield
        except ImgcoreError as error:
            at = self._image.where(setting)
            if at is not None and at.file is not None and error.hint is None:
                error.hint = f"{setting}= of {at.file}{f':{at.line}' if at.line else ''} asks for it"
            raise

    def _install_packages(self, tree: Tree) -> Tree:
        image, install = self._image, self._settings.install
        assert install is not None
        with self._asked("Packages" if image.words("Packages") else "VolatilePackages"):
            brought = install(tree, _request(image), stack=self._stack, control=self._control)
        tree = exclude(copy_in(tree, brought), list(_STATE))
        return tree if image.words("BaseTrees") else _first_boot(tree)

    def _install_tree(self, tree: Tree, source: Path, target: str | None) -> Tree:
        """Return `tree` with one extra or skeleton tree: a directory, an archive, an image, or a file."""
        if source.is_dir() or not (source.is_file() and (target is not None or not _is_tree(source))):
            found = self._open(source)
            if not source.is_dir():  # what an archive says of owners and attributes stays
                return copy_in(tree, found, target)
            return copy_in(tree, as_copied(found, self._epoch), target)
        name = source.name.encode("utf-8", "surrogateescape")
        if target is not None and target.rstrip("/"):
            place = target.rstrip("/").encode("utf-8", "surrogateescape")
            if not (place in tree and isinstance(tree.lookup(place, follow=True), Dir)):
                cut = place.rfind(b"/")
                name, target = place[cut + 1 :], place[:cut].decode("utf-8", "surrogateescape") or None
        single = tree.with_root(Dir(Meta(0o755), {name: node_at(source)}))
        return copy_in(tree, as_copied(single, self._epoch), target)

    def _open(self, path: Path) -> Tree:
        """Return the tree at a path: one that was just built, a directory, an archive, an image."""
        if path in self._trees:
            return self._trees[path]
        source = open_source(SourceSpec(str(path), str(path)), limits=self._settings.limits, control=self._control)
        # Marks of the overlay that a directory was part of are none of the image.
        tree = Policy().apply(self._stack.enter_context(source).tree)
        return exclude(tree, API_FILE_SYSTEMS) if ".tar" in path.suffixes[-2:] else tree

    def _warn(self, tree: Tree) -> None:
        """Tell of what mkosi would have done and this does not."""
        image, warn = self._image, self._warned
        if image.text("SELinuxRelabel") == "enabled":
            warn("SELinuxRelabel=: labels are not set")
        if self._form in ("sysext", "confext", "portable"):
            names = image.mapping("Environment")
            if not any(name in names for name in ("SYSTEMD_REPART_OVERRIDE_FSTYPE_ROOT", "SYSTEMD_REPART_OVERRIDE_FSTYPE")):
                warn("the file system is squashfs, where mkosi would write erofs")
        if self._form not in _HIERARCHIES and not image.flag("Overlay"):
            there = [name for name in _UNDONE if f"/usr/lib/{name}" in tree]
            if there:
                shown = ", ".join(f"/usr/lib/{name}" for name in there)
                warn(f"no program of systemd is run, and not depmod, on what is in {shown}")

    def _warned(self, message: str) -> None:
        name = self._image.name
        self._control.emit(Warned(message if name is None else f"image `{name}`: {message}"))


def _is_tree(path: Path) -> bool:
    return ".tar" in path.suffixes[-2:] or path.suffix == ".raw"


def _first_boot(tree: Tree) -> Tree:
    """Return a new system with the marks that mkosi leaves of its being new, and places for what boots it."""
    time = newest(tree)
    if "/etc" in tree and "/etc/machine-id" not in tree:
        tree = put(tree, b"/etc/machine-id", File(Meta(0o444, mtime_ns=time), BytesBlob(b"uninitialized\n")))
    made: list[tuple[bytes, int]] = [(b"/efi", 0o500), (b"/boot", 0o500), (b"/boot/loader", 0o700)]
    for path, mode in made:
        if path not in tree:
            tree = put(tree, path, Dir(Meta(mode, mtime_ns=time)))
    return put(tree, b"/boot/loader/entries.srel", File(Meta(0o600, mtime_ns=time), BytesBlob(b"type1\n")))
