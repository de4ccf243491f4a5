"""What a mkosi build leaves: the image in its format, compressed, its link and checksums, put in place together.

All is made in a staging directory beside the place where it goes, on the same file system; when nothing can fail any more, it
is moved there name by name.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import stat
import uuid
from collections.abc import Sequence
from pathlib import Path
from typing import Final, cast

from imgcore.build.ddi import DdiSettings, RepartVersion, build_ddi
from imgcore.build.ddi_tree import DdiKind
from imgcore.build.mkosi_tree import API_FILE_SYSTEMS
from imgcore.build.pack import EngineName, pack
from imgcore.build.scratch import discard, unpack_to_scratch
from imgcore.build.signing import load_signer
from imgcore.codec.stream_levels import stream_level
from imgcore.codec.stream_writer import StreamCompressor
from imgcore.disk.types import ARCHITECTURES
from imgcore.errors import OutputError, TargetExists, Unsupported
from imgcore.events import Control, Warned
from imgcore.formats.cpio import Options as CpioOptions
from imgcore.formats.squashfs import Options as SquashfsOptions
from imgcore.formats.tar import Options as TarOptions
from imgcore.mkosi import Image
from imgcore.model import File, Tree
from imgcore.transforms import Owners, Policy, exclude
from imgcore.values import value_class

__all__ = ["Writing", "put_in_place", "require_free", "write_image"]

_VERITY: Final = ("", "-verity", "-verity-sig")
_CHUNK: Final = 1 << 20
_STREAMS: Final = {"gz": "gzip", "bz2": "bzip2"}


@value_class(eq=False)
class Writing:
    """How images are written: squashfs options, systemd's layout of disks, threads, engine, and whether to force to disk."""

    squashfs: SquashfsOptions
    systemd: RepartVersion = 262
    jobs: int = 1
    engine: EngineName = "auto"
    sync: bool = True


def require_free(image: Image, directory: Path, *, force: bool) -> None:
    """Raise TargetExists where something of the image is there already, unless `force`."""
    for name in (image.output, image.text("Output"), *_companions(image)):
        if not force and os.path.lexists(directory / name):
            raise TargetExists("target exists", path=str(directory / name), hint="--force replaces it")


def _companions(image: Image) -> list[str]:
    """Return the names of all that may lie beside an image and counts as its own, whether this build makes it or not.

    systemd holds an image to a root hash beside it, so one of an older build must not stay.
    """
    stem = image.text("Output")
    hashes = [f".{kind}hash{more}" for kind in ("root", "usr") for more in ("", ".p7s")]
    partitions = [f".{kind}-{one}{more}.raw" for kind in ("root", "usr") for one in ARCHITECTURES for more in _VERITY]
    return [stem + suffix for suffix in (*hashes, ".verity", ".nspawn", ".SHA256SUMS", *partitions)]


def write_image(tree: Tree, image: Image, staging: Path, how: Writing, control: Control) -> None:
    """Write `tree` in the image's format into `staging`, with what goes with it: partitions, link, checksums.

    Raises as `build_ddi` and `pack` do, and OutputError.
    """
    form = image.text("Format")
    plain = staging / (image.output if form in ("tar", "cpio", "directory") else f"{image.text('Output')}.raw")
    if form == "directory":
        _warn_of_lost_modes(tree, control)
        unpack_to_scratch(tree, plain, control)
    elif form in ("tar", "cpio"):
        _write_archive(tree, image, plain, how, control)
    else:
        _write_disk(tree, image, plain, how, control)
    try:
        if image.text("NSpawnSettings"):
            shutil.copy2(image.text("NSpawnSettings"), staging / f"{image.text('Output')}.nspawn")
        if image.flag("Checksum"):
            _write_checksums(image, staging, control)
        link = staging / image.text("Output")
        if not os.path.lexists(link):
            link.symlink_to(image.output)
    except OSError as error:
        raise OutputError(f"cannot write: {error.strerror}", path=str(error.filename or staging)) from None


def _warn_of_lost_modes(tree: Tree, control: Control) -> None:
    """Warn of each file whose setuid or setgid bit a directory cannot keep: without root its owner is another one."""
    if os.geteuid() == 0:
        return
    for path, node in tree.walk():
        if isinstance(node, File) and node.meta.mode & (stat.S_ISUID | stat.S_ISGID):
            control.emit(Warned("setuid and setgid are not kept in a directory that is made without root", path))


def _write_archive(tree: Tree, image: Image, path: Path, how: Writing, control: Control) -> None:
    packed = image.text("CompressOutput")
    name = _STREAMS.get(packed, packed)
    level = None if name == "none" else _level(image, name)
    form = image.text("Format")
    if form == "tar":
        options: TarOptions | CpioOptions = TarOptions(compression=name, level=level, jobs=how.jobs, allow_loss=("device",))
        tree = exclude(tree, API_FILE_SYSTEMS)
    else:
        options = CpioOptions(compression=name, level=level, jobs=how.jobs, allow_loss=("xattr", "time", "device"))
    report = pack(tree, path, format=form, options=options, sync=how.sync, engine=how.engine, control=control)
    for loss in report.losses:
        control.emit(Warned(f"lost: {loss.message}", loss.path))


def _level(image: Image, name: str) -> int | None:
    """Return the level of a compression. Raises ConfigError for one that it does not have."""
    level = image.number("CompressLevel")
    try:
        return stream_level(name, level, single=image.text("Format") == "cpio")
    except ValueError as error:
        place = image.where("CompressLevel")
        assert place is not None
        raise place.fail(f"CompressLevel=: {error}") from None


def _write_disk(tree: Tree, image: Image, path: Path, how: Writing, control: Control) -> None:
    wanted, key, certificate = image.text("Verity"), image.text("VerityKey"), image.text("VerityCertificate")
    verity = wanted == "enabled" or (wanted == "auto" and bool(key and certificate))
    seed, split = image.text("Seed"), "partitions" in image.words("SplitArtifacts")
    try:
        settings = DdiSettings(
            kind=cast(DdiKind, image.text("Format")),
            architecture=image.text("Architecture"),
            seed=uuid.UUID(seed) if seed else None,
            verity=verity,
            signer=load_signer(key, certificate) if verity else None,
            systemd=how.systemd,
            sector=image.number("SectorSize") or 512,
            split=split,
            sidecars=False,
        )
    except ValueError as error:
        raise Unsupported(str(error)) from None
    build_ddi(
        tree,
        path,
        settings,
        options=how.squashfs,
        policy=Policy(owners=Owners.keep()),
        engine=how.engine,
        sync=how.sync,
        jobs=how.jobs,
        control=control,
    )
    packed = image.text("CompressOutput")
    if packed != "none":
        for file in sorted(path.parent.glob(f"{_escaped(image.text('Output'))}*.raw")):
            _compress(file, image, _STREAMS.get(packed, packed), how, control)


def _escaped(name: str) -> str:
    return "".join(f"[{char}]" if char in "*?[" else char for char in name)


def _compress(path: Path, image: Image, name: str, how: Writing, control: Control) -> None:
    """Put a compressed file in the place of one, under the name that has the compression's suffix."""
    suffix = ".zst" if name == "zstd" else f".{image.text('CompressOutput')}"
    with (
        open(path, "rb") as source,
        open(f"{path}{suffix}", "wb") as target,
        StreamCompressor(name, target.write, level=_level(image, name), jobs=how.jobs) as stream,
    ):
        while data := source.read(_CHUNK):
            control.check()
            stream.write(data)
    path.unlink()


def _write_checksums(image: Image, staging: Path, control: Control) -> None:
    lines = []
    for path in sorted(staging.iterdir()):
        if path.is_dir() and not path.is_symlink():
            control.emit(Warned(f"a directory has no checksum: {path.name}"))
            continue
        total = hashlib.sha256()
        with open(path, "rb") as source:
            while data := source.read(_CHUNK):
                control.check()
                total.update(data)
        lines.append(f"{total.hexdigest()} *{path.name}\n")
    (staging / f"{image.text('Output')}.SHA256SUMS").write_text("".join(lines))


def _older(image: Image, directory: Path) -> Path | None:
    """Return what the image's link leads to, which an older build may have made in another format."""
    stem = image.text("Output")
    link = directory / stem
    if not link.is_symlink():
        return None
    name = os.readlink(link)
    return directory / name if name.startswith(f"{stem}.") and "/" not in name else None


def put_in_place(image: Image, staging: Path, directory: Path) -> Sequence[Path]:
    """Move all that is in `staging` to `directory`, and remove what an older build of the image left; return the paths.

    Raises OutputError.
    """
    mode = image.number("OutputMode")
    done = []
    older = _older(image, directory)
    try:
        for path in sorted(staging.iterdir()):
            target = directory / path.name
            if mode is not None and path.is_file() and not path.is_symlink():
                path.chmod(mode)
            if target.is_dir() and not target.is_symlink():
                discard(target)
            elif path.is_dir() and not path.is_symlink() and os.path.lexists(target):
                target.unlink()
            os.replace(path, target)
            done.append(target)
        for name in _companions(image):
            if directory / name not in done:
                (directory / name).unlink(missing_ok=True)
        if older is not None and older not in done and os.path.lexists(older):
            if older.is_dir() and not older.is_symlink():
                discard(older)
            else:
                older.unlink()
    except OSError as error:
        raise OutputError(f"cannot write: {error.strerror}", path=str(error.filename or directory)) from None
    return done
