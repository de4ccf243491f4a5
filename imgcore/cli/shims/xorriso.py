"""xorriso's own command line, as far as builders of images use it: make an image, or change one and keep what boots.

    xorriso -as mkisofs …                                       as mkisofs
    xorriso -volid LIVE -outdev new.iso -map DIR / -boot_image any … -append_partition …
    xorriso -indev old.iso -outdev new.iso -boot_image any replay -map FILE /PATH

With `-indev` the image is changed as by `imgcore iso modify`: what boots, and all else, stays as it is, whether `replay` is
said or not. A command that imgcore does not have is refused by name.
"""

from __future__ import annotations

import contextlib
import os
import re
import sys
from collections.abc import Iterator, Sequence

from imgcore.blob import FileBlob, open_sink
from imgcore.build.iso_modify import Add, Edit, Remove, VolumeId, modify
from imgcore.cli.exits import code_of
from imgcore.cli.shims import mkisofs
from imgcore.cli.shims.arguments import ShimError
from imgcore.cli.shims.iso_request import Image, IsoRequest
from imgcore.errors import ImgcoreError

__all__ = ["main"]

_MORE = frozenset(("-chmod", "-rm", "-rm_r", "-exec"))
_NOTHING = frozenset(
    (
        *("-padding", "-compliance", "-return_with", "-abort_on", "-report_about", "-charset"),
        *("-joliet_map", "-overwrite", "-volume_date"),
    )
)


def main(argv: Sequence[str], program: str = "xorriso") -> int:
    """Run one command line; return its exit code."""
    words = list(argv)
    at = words.index("-as") if "-as" in words[:3] else len(words)
    if words[at + 1 : at + 2] in (["mkisofs"], ["genisofs"], ["genisoimage"]):
        return mkisofs.main(words[at + 2 :], program)
    try:
        _run(words)
    except (ShimError, ValueError) as error:
        print(f"{program}: {error}", file=sys.stderr)
        return 1
    except (ImgcoreError, OSError) as error:
        print(f"{program}: {error}", file=sys.stderr)
        return code_of(error)
    return 0


class _Session:
    """What the commands said so far."""

    def __init__(self) -> None:
        self.request = IsoRequest()
        self.indev: str | None = None
        self.removed: list[str] = []
        self.volume_id: str | None = None


def _run(argv: Sequence[str]) -> None:
    session = _Session()
    words = iter(argv)
    for word in words:
        _command(session, "-" + word.lstrip("-"), words)
    request = session.request
    if request.out is None:
        raise ShimError("no target: -outdev FILE")
    if session.indev is None:
        if session.volume_id is not None:
            request.options["volume_id"] = session.volume_id
        request.write()
        return
    _change(session, session.indev, request.out.removeprefix("stdio:"))


def _command(session: _Session, name: str, words: Iterator[str]) -> None:
    request = session.request

    def take() -> str:
        word = next(words, None)
        if word is None:
            raise ShimError(f"{name}: a word is missing behind it")
        return word

    if name == "-volid":
        session.volume_id = take()
    elif name in ("-outdev", "-dev"):
        request.out = take()
        session.indev = request.out if name == "-dev" and os.path.exists(request.out) else session.indev
    elif name == "-indev":
        session.indev = take().removeprefix("stdio:")
    elif name in ("-map", "-add_plainly"):
        request.maps.append((take(), take()))
    elif name == "-boot_image":
        take()
        _boot_image(session, take())
    elif name == "-append_partition":
        mkisofs.appended(request, [take(), take(), take()])
    elif name == "-joliet":
        if take() == "on":
            request.options["joliet"] = "long"
    elif name in _MORE:
        _listed(session, name, words, take)
    elif name in _NOTHING:
        take()
    elif name not in ("-", "-end", "-commit", "-quiet"):
        raise ShimError(f"{name}: imgcore's xorriso has no such command")


def _listed(session: _Session, name: str, words: Iterator[str], take: object) -> None:
    """Take a command whose paths end with `--`."""
    assert callable(take)
    mode = take() if name == "-chmod" else ""
    if name == "-exec":
        raise ShimError("-exec: imgcore's xorriso has no such command")
    for path in words:
        if path == "--":
            break
        if name == "-chmod":
            if not re.fullmatch("0?[0-7]{3,4}", mode):
                raise ShimError(f"-chmod {mode}: write an octal number")
            session.request.modes.append((int(mode, 8), path))
        else:
            session.removed.append(path)


_NEEDLESS = frozenset(("replay", "keep", "patch", "next", "partition_table=on", "emul_type=no_emulation", "load_size=full"))
_SWITCHES: dict[str, tuple[str, str]] = {
    "boot_info_table=on": ("image", "info_table"),
    "grub2_boot_info=on": ("image", "grub2_info"),
    "cat_hidden=on": ("request", "hides_catalog"),
    "appended_part_as=gpt": ("request", "as_gpt"),
    "mbr_force_bootable=on": ("boot", "active"),
}


def _boot_image(session: _Session, text: str) -> None:
    """Take a setting of -boot_image."""
    request = session.request
    key, _, value = text.partition("=")
    if text in _NEEDLESS or key == "partition_cyl_align":
        return
    if text in _SWITCHES:
        where, name = _SWITCHES[text]
        if where == "boot":
            request.boot[name] = True
        else:
            setattr(request if where == "request" else _last(request, text), name, True)
    elif key in ("bin_path", "efi_path"):
        number = mkisofs.number_of_partition(value)
        platform = request.platform if request.platform is not None else 0xEF if key == "efi_path" else 0
        request.images.append(Image(number if number is not None else value, platform))
        request.platform = None
    elif key == "platform_id" and re.fullmatch("0x[0-9a-fA-F]{1,2}", value):
        if request.images:
            request.images[-1].platform = int(value, 16)
        else:
            request.platform = int(value, 16)
    elif key == "load_size" and value.isdigit():
        _last(request, text).sectors = int(value) // 512
    elif key in ("grub2_mbr", "system_area"):
        request.loader = mkisofs.interval(value).read_at(0, 512)
        request.loader_kind = "grub2" if key == "grub2_mbr" else "isolinux"
    elif key == "cat_path":
        request.catalog = value
    elif key == "partition_offset" and value in ("16", "0"):
        request.boot["partition_offset"] = int(value)
    else:
        raise ShimError(f"-boot_image any {text}: imgcore's xorriso has no such setting")


def _last(request: IsoRequest, option: str) -> Image:
    if not request.images:
        raise ShimError(f"-boot_image any {option}: there is no boot image before it")
    return request.images[-1]


def _change(session: _Session, source: str, dest: str) -> None:
    request = session.request
    if request.images or request.appended or request.loader:
        raise ShimError("boot images and partitions of an existing image stay as they are: say `-boot_image any replay`")
    with contextlib.ExitStack() as stack:
        blob = stack.enter_context(FileBlob(source))
        edits: list[Edit] = [Remove(os.fsencode(path)) for path in session.removed]
        if request.maps:
            tree = request.policy().apply(request.tree(stack))
            edits += [Add(b"/" + name, node) for name, node in sorted(tree.root.children.items())]
        if session.volume_id is not None:
            edits.append(VolumeId(session.volume_id))
        result = modify(blob, edits)
        with open_sink(dest, replace=True) as sink:
            result.write(sink)
