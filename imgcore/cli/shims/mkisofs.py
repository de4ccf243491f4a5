"""The command line of `xorriso -as mkisofs`, of xorrisofs, mkisofs and genisoimage: what builders of images pass.

    mkisofs [OPTIONS] [-o FILE] [PATH | TARGET=SOURCE]…

Options of El Torito hold for the boot image before them, until `-eltorito-alt-boot`. What is made is the same image in
meaning: the same tree, boot entries and partitions; its blocks are imgcore's. As with xorriso, Rock Ridge is always on. An
option that imgcore does not have is refused by name.
"""

from __future__ import annotations

import calendar
import os
import re
import sys
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final

import imgcore
from imgcore.blob import Blob, FileBlob, SliceBlob
from imgcore.cli.exits import code_of
from imgcore.cli.shims.arguments import ShimError, UsageFault
from imgcore.cli.shims.iso_request import Image, IsoRequest
from imgcore.errors import ImgcoreError
from imgcore.formats.iso9660.boot import Appended

__all__ = ["appended", "guid", "interval", "main", "number_of_partition", "parse", "partition_type"]

_TEXTS: Final = {
    "-V": "volume_id",
    "-volid": "volume_id",
    "-A": "application",
    "-appid": "application",
    "-P": "publisher",
    "-publisher": "publisher",
    "-p": "preparer",
    "-preparer": "preparer",
    "-sysid": "system_id",
    "-volset": "volume_set_id",
    "-copyright": "copyright_file",
    "-abstract": "abstract_file",
    "-biblio": "bibliographic_file",
}
_NOTHING: Final = frozenset(
    (
        *(
            "-l",
            "-d",
            "-D",
            "-N",
            "-R",
            "-rock",
            "-rockridge",
            "-no-pad",
            "-quiet",
            "-v",
            "-verbose",
            "-gui",
            "-full-iso9660-filenames",
        ),
        *("-allow-leading-dots", "-allow-multidot", "-disable-deep-relocation", "-no-emul-boot", "-no-iso-translate", "-T"),
        *("-protective-msdos-label", "-cache-inodes", "-no-cache-inodes", "-hide-rr-moved", "-omit-period"),
        *("-omit-version-number", "-allow-limited-size", "-use-fileversion", "-split-output", "-pad", "-untranslated_name_len"),
    )
)
_NOTHING_WITH_A_WORD: Final = frozenset(
    ("-partition_hd_cyl", "-partition_sec_hd", "-log-file", "-input-charset", "-output-charset")
)
_PLATFORMS: Final = {"x86": 0, "ppc": 1, "powerpc": 1, "mac": 2, "efi": 0xEF}
_APPENDED: Final = re.compile(r"--interval:appended_partition_([0-9]+)(?:_start_[0-9]+s?_size_[0-9]+d?)?:[^:]*:[^:]*:?.*")
_INTERVAL: Final = re.compile(r"--interval:local_fs:([0-9]+)([sdkm]?)-([0-9]+)([sdkm]?):([^:]*):'?(.*?)'?")
_UNITS: Final = {"": 1, "s": 2048, "d": 512, "k": 1024, "m": 1 << 20}


def parse(argv: Sequence[str], program: str = "mkisofs") -> IsoRequest:
    """Return what a command line asks for. Raises ShimError."""
    request = IsoRequest()
    words = iter(argv)
    for word in words:
        if not word.startswith("-") or word == "-":
            request.add_source(word)
            continue
        name, value = _named(word)
        if name in _NOTHING:
            continue
        taker = _TAKERS.get(name)
        if taker is None and name not in _TEXTS and name not in _NOTHING_WITH_A_WORD:
            raise UsageFault(f"{word}: imgcore's {program} has no such option")
        count = 1 if taker is None else taker[0]
        given = [value] if value is not None else [_next(words, word) for _ in range(count)]
        if name in _TEXTS:
            request.options[_TEXTS[name]] = given[0]
        elif taker is not None:
            taker[1](request, given)
    return request


def _named(word: str) -> tuple[str, str | None]:
    """Return an option's name with one dash, and the value that stands behind `=`."""
    name = word[1:] if word.startswith("--") else word
    head, equals, value = name.partition("=")
    return (head, value) if equals else (name, None)


def _next(words: Iterator[str], option: str) -> str:
    word = next(words, None)
    if word is None:
        raise UsageFault(f"{option}: a word is missing behind it")
    return word


def _image(request: IsoRequest, source: str, platform: int) -> None:
    number = number_of_partition(source)
    request.images.append(Image(number if number is not None else "/" + source.lstrip("/"), request.platform or platform))
    request.platform = None


def number_of_partition(text: str) -> int | None:
    """Return the number of the appended partition that a boot image is, None for a path."""
    match = _APPENDED.fullmatch(text)
    if match is None and text.startswith("--interval:"):
        raise ShimError(f"{text}: only an appended partition can be named so")
    return int(match[1]) if match else None


def _current(request: IsoRequest, option: str) -> Image:
    if not request.images:
        raise ShimError(f"{option}: there is no boot image before it")
    return request.images[-1]


def _platform(request: IsoRequest, words: Sequence[str]) -> None:
    text = words[0].lower()
    number = _PLATFORMS.get(text)
    if number is None and not re.fullmatch(r"0x[0-9a-f]{1,2}", text):
        raise ShimError(f"-eltorito-platform {text}: write x86, ppc, mac or efi")
    request.platform = number if number is not None else int(text, 16)


def partition_type(text: str) -> int | uuid.UUID:
    """Return a type of the MBR, or a GUID. Raises ShimError."""
    if re.fullmatch(r"0x[0-9a-fA-F]{1,2}|[0-9]{1,3}", text) and int(text, 0) < 256:
        return int(text, 0)
    return guid(text)


def guid(text: str) -> uuid.UUID:
    """Return a GUID, with dashes or as 32 digits in the order in which its bytes lie. Raises ShimError."""
    try:
        return uuid.UUID(text) if "-" in text else uuid.UUID(bytes_le=bytes.fromhex(text))
    except ValueError:
        raise ShimError(f"`{text}` is neither a type of a partition nor a GUID") from None


def interval(text: str) -> Blob:
    """Return the bytes of a file, or of a part of one: `--interval:local_fs:FROM-TO::FILE`. Raises ShimError."""
    if not text.startswith("--interval:"):
        return FileBlob(text)
    match = _INTERVAL.fullmatch(text)
    if match is None or match[5].strip(","):
        raise ShimError(f"{text}: only `--interval:local_fs:FROM-TO::FILE` can be read")
    first, last = int(match[1]) * _UNITS[match[2]], (int(match[3]) + 1) * _UNITS[match[4]]
    whole = FileBlob(match[6])
    if first >= last or last > whole.size:
        raise ShimError(f"{text}: not within the file")
    return SliceBlob(whole, first, last - first)


def appended(request: IsoRequest, words: Sequence[str]) -> None:
    """Take `-append_partition NUMBER TYPE FILE`."""
    if not words[0].isdigit():
        raise ShimError(f"-append_partition {words[0]}: not a number")
    kind = partition_type(words[1])
    values: dict[str, Any] = {"mbr_kind": kind} if isinstance(kind, int) else {"gpt_kind": kind}
    request.appended[int(words[0])] = Appended(interval(words[2]), **values)


def _isohybrid(request: IsoRequest, words: Sequence[str]) -> None:
    request.loader, request.loader_kind, request.is_isohybrid = _code(words[0]), "isolinux", True


def _grub_mbr(request: IsoRequest, words: Sequence[str]) -> None:
    request.loader, request.loader_kind = _code(words[0]), "grub2"


def _code(text: str) -> bytes:
    return interval(text).read_at(0, 512) if text.startswith("--interval:") else _read(text)[:512]


def _read(path: str) -> bytes:
    try:
        with open(path, "rb") as stream:
            return stream.read(1 << 20)
    except OSError as error:
        raise ShimError(f"cannot read {path}: {error.strerror}") from None


def _load_size(request: IsoRequest, words: Sequence[str]) -> None:
    if words[0] == "full":
        return
    if not words[0].isdigit() or int(words[0]) > 0xFFFF:
        raise ShimError(f"-boot-load-size {words[0]}: not a number of sectors")
    _current(request, "-boot-load-size").sectors = int(words[0])


def date(text: str) -> int:
    """Return the seconds of `YYYYMMDDhhmmss[cc]` or `=SECONDS`. Raises ShimError."""
    if re.fullmatch(r"=[0-9]{1,12}", text):
        return int(text[1:])
    if not re.fullmatch(r"[0-9]{14}([0-9]{2})?", text):
        raise ShimError(f"`{text}` is no date: write YYYYMMDDhhmmsscc, or = and seconds since 1970")
    try:
        return calendar.timegm(time.strptime(text[:14], "%Y%m%d%H%M%S"))
    except ValueError:
        raise ShimError(f"`{text}` is no date") from None


def _all_dates(request: IsoRequest, words: Sequence[str]) -> None:
    if words[0] != "set_to_mtime":
        request.all_dates = date(words[0])


def _partition_kind(request: IsoRequest, words: Sequence[str]) -> None:
    kind = partition_type(words[0])
    request.boot["mbr_kind" if isinstance(kind, int) else "gpt_kind"] = kind


def _offset(request: IsoRequest, words: Sequence[str]) -> None:
    number = {"16": 16, "0": 0, "16s": 16, "32k": 16}.get(words[0].rstrip())
    if number is None:
        raise ShimError(f"-partition_offset {words[0]}: imgcore has 0 and 16 blocks")
    request.boot["partition_offset"] = number


def _disk_guid(request: IsoRequest, words: Sequence[str]) -> None:
    if words[0] == "modification-date":
        return
    if words[0] == "random":
        raise ShimError("--gpt_disk_guid random: imgcore makes the same bytes every time")
    request.boot["disk_guid"] = guid(words[0])


def _level(request: IsoRequest, words: Sequence[str]) -> None:
    if words[0] not in ("1", "2", "3", "4"):
        raise ShimError(f"-iso-level {words[0]}: there are 1 to 4")
    request.options["level"] = int(words[0])


def _weight(request: IsoRequest, words: Sequence[str]) -> None:
    if not re.fullmatch(r"-?[0-9]+", words[0]):
        raise ShimError(f"-sort-weight {words[0]}: not a number")
    request.weights.append((int(words[0]), words[1]))


def _exclude_list(request: IsoRequest, words: Sequence[str]) -> None:
    request.excludes += [line for line in _read(words[0]).decode("utf-8", "surrogateescape").splitlines() if line]


def _set(key: str, value: object) -> tuple[int, Callable[[IsoRequest, Sequence[str]], None]]:
    def take(request: IsoRequest, words: Sequence[str]) -> None:
        request.options[key] = value

    return 0, take


def _put(name: str, value: object) -> tuple[int, Callable[[IsoRequest, Sequence[str]], None]]:
    def take(request: IsoRequest, words: Sequence[str]) -> None:
        setattr(request, name, value)

    return 0, take


def _word(name: str) -> tuple[int, Callable[[IsoRequest, Sequence[str]], None]]:
    def take(request: IsoRequest, words: Sequence[str]) -> None:
        setattr(request, name, words[0])

    return 1, take


def _mark(name: str, option: str) -> tuple[int, Callable[[IsoRequest, Sequence[str]], None]]:
    def take(request: IsoRequest, words: Sequence[str]) -> None:
        setattr(_current(request, option), name, True)

    return 0, take


def _of_boot(key: str, value: object) -> tuple[int, Callable[[IsoRequest, Sequence[str]], None]]:
    def take(request: IsoRequest, words: Sequence[str]) -> None:
        request.boot[key] = value

    return 0, take


def _cylinders(request: IsoRequest, words: Sequence[str]) -> None:
    if words[0] not in ("on", "off", "auto", "all"):
        raise ShimError(f"-partition_cyl_align {words[0]}: write on, off, auto or all")
    if words[0] in ("on", "all"):
        request.boot["align"] = 1 << 20


def _joliet_long(request: IsoRequest, words: Sequence[str]) -> None:
    request.options["joliet"] = "long"


def _joliet(request: IsoRequest, words: Sequence[str]) -> None:
    request.options.setdefault("joliet", "yes")


def _untranslated(request: IsoRequest, words: Sequence[str]) -> None:
    request.options["relaxed"] = True


_TAKERS: Final[dict[str, tuple[int, Callable[[IsoRequest, Sequence[str]], None]]]] = {
    **dict.fromkeys(("-o", "-output"), _word("out")),
    **dict.fromkeys(("-J", "-joliet"), (0, _joliet)),
    "-joliet-long": (0, _joliet_long),
    "-iso-level": (1, _level),
    **dict.fromkeys(("-r", "-rational-rock"), _put("rational", True)),
    **dict.fromkeys(("-U", "-untranslated-filenames", "-relaxed-filenames", "-allow-lowercase"), (0, _untranslated)),
    **dict.fromkeys(("-b", "-eltorito-boot"), (1, lambda request, words: _image(request, words[0], 0))),
    **dict.fromkeys(("-e", "-efi-boot"), (1, lambda request, words: _image(request, words[0], 0xEF))),
    **dict.fromkeys(("-c", "-eltorito-catalog"), _word("catalog")),
    "-boot-catalog-hide": _put("hides_catalog", True),
    "-boot-load-size": (1, _load_size),
    "-boot-info-table": _mark("info_table", "-boot-info-table"),
    "-grub2-boot-info": _mark("grub2_info", "--grub2-boot-info"),
    "-eltorito-alt-boot": (0, lambda request, words: None),
    "-eltorito-platform": (1, _platform),
    "-eltorito-id": (1, lambda request, words: setattr(_current(request, "-eltorito-id"), "name", os.fsencode(words[0]))),
    "-isohybrid-mbr": (1, _isohybrid),
    "-isohybrid-gpt-basdat": _put("isohybrid_gpt", True),
    "-grub2-mbr": (1, _grub_mbr),
    **dict.fromkeys(("-G", "-generic-boot"), (1, lambda request, words: setattr(request, "loader", _code(words[0])))),
    "-append_partition": (3, appended),
    "-appended_part_as_gpt": _put("as_gpt", True),
    "-partition_offset": (1, _offset),
    "-partition_cyl_align": (1, _cylinders),
    "-iso_mbr_part_type": (1, _partition_kind),
    "-mbr-force-bootable": _of_boot("active", True),
    "-gpt_disk_guid": (1, _disk_guid),
    "-modification-date": (1, lambda request, words: request.options.__setitem__("time", date(words[0]))),
    "-set_all_file_dates": (1, _all_dates),
    "-graft-points": _put("grafts", True),
    **dict.fromkeys(("-m", "-x", "-exclude"), (1, lambda request, words: request.excludes.append(words[0]))),
    "-exclude-list": (1, _exclude_list),
    "-sort-weight": (2, _weight),
    **dict.fromkeys(("-f", "-follow-links"), _put("follow", True)),
    "-uid": _word("uid"),
    "-gid": _word("gid"),
    "-file-mode": _word("file_mode"),
    "-dir-mode": _word("dir_mode"),
    "-hardlinks": _set("rock_ridge", "1.12"),
}


def main(argv: Sequence[str], program: str = "mkisofs", *, usage: int = 1) -> int:
    """Run one command line; return its exit code, which is `usage` where the words are wrong."""
    if any(word in ("-version", "--version") for word in argv):
        print(f"imgcore {imgcore.__version__}, in place of {program}")
        return 0
    try:
        request = parse(argv, program)
        request.write()
    except (ShimError, ValueError) as error:
        print(f"{program}: {error}", file=sys.stderr)
        return usage
    except (ImgcoreError, OSError) as error:
        print(f"{program}: {error}", file=sys.stderr)
        return code_of(error)
    return 0
