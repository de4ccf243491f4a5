"""mksquashfs's options of the format, as `formats.squashfs.Options`."""

from __future__ import annotations

import dataclasses
import os
import re
from collections.abc import Sequence
from typing import Any

from imgcore.cli.shims.arguments import Arguments, ShimError
from imgcore.cli.shims.mksquashfs_filters import tree_paths
from imgcore.cli.shims.values import number
from imgcore.cli.system import allowed_cpus, source_date_epoch
from imgcore.engine.protocol import minimum_memory
from imgcore.errors import context
from imgcore.formats.squashfs import COMPRESSIONS, Options
from imgcore.limits import parse_size
from imgcore.listings.text import time_ns
from imgcore.transforms.order import Order, read_sort_file

__all__ = ["read_settings"]

_DEFAULT = "gzip"
_HC_LEVEL = 12


def read_settings(arguments: Arguments, sources: Sequence[str]) -> Options:
    """Return the options; raises ShimError, and ValueError for values that the format refuses."""
    values: dict[str, Any] = {"fragments": arguments.last("tails", "small"), "export": arguments.last("export", True)}
    name = arguments.text("compression") or _DEFAULT
    if name not in COMPRESSIONS or name == "none":
        raise ShimError(f"-comp {name}: imgcore has {', '.join(one for one in COMPRESSIONS if one != 'none')}")
    values["compression"] = name
    values["level"] = _level(arguments, name)
    if arguments.has("block_size"):
        values["block_size"] = _block_size(str(arguments.text("block_size")))
    if arguments.has("no_duplicates"):
        values["dedup"] = False
    processors = arguments.text("processors")
    values["jobs"] = allowed_cpus() if processors is None else max(1, number(processors, "-processors"))
    block_size = values.get("block_size", Options().block_size)
    values["memory"] = max(_memory(arguments), minimum_memory(block_size, values["jobs"]))
    time = arguments.text("mkfs_time") or arguments.text("repro_time")
    if time is not None and time != "inode":
        values["time"] = time_ns(time.encode()) // 10**9
    elif time is None:
        values["time"] = source_date_epoch()
    values |= _codec_settings(arguments, name)
    values |= _layout_settings(arguments)
    if (path := arguments.text("sort")) is not None:
        values["hints"] = _sort_file(path, sources, arguments)
    return dataclasses.replace(Options(), **values)


def _level(arguments: Arguments, name: str) -> int | None:
    if name == "lz4":
        return _HC_LEVEL if arguments.has("hc") else None
    text = arguments.text("level")
    if text is None:
        return 9 if name == "gzip" else None
    if name == "lzo":
        raise ShimError("-Xcompression-level: imgcore's lzo has one level")
    if not re.fullmatch(r"-?[0-9]{1,6}", text):
        raise ShimError(f"-Xcompression-level: `{text}` is not a number")
    return int(text)


def _codec_settings(arguments: Arguments, name: str) -> dict[str, Any]:
    allowed = {"window": "gzip", "strategy": "gzip", "filters": "xz", "dict_size": "xz", "acceleration": "lz4", "hc": "lz4"}
    for key, codec in allowed.items():
        if arguments.has(key) and name != codec:
            raise ShimError(f"an option of {codec}, but the compressor is {name}")
    if arguments.has("algorithm") and (name != "lzo" or arguments.text("algorithm") != "lzo1x_999"):
        raise ShimError(f"-Xalgorithm {arguments.text('algorithm')}: imgcore's lzo has one algorithm, lzo1x_999's")
    settings = {
        key: str(arguments.text(key))
        for key in ("window", "strategy", "filters", "dict_size", "acceleration")
        if arguments.has(key)
    }
    if "strategy" in settings:
        short = {"huffman_only": "huffman", "run_length_encoded": "rle"}
        settings["strategy"] = ",".join(short.get(one, one) for one in settings["strategy"].split(","))
    stated = {"compression": name, **settings}
    if arguments.has("block_size"):
        stated["block_size"] = str(_block_size(str(arguments.text("block_size"))))  # percentages are of it
    made = Options().with_settings(stated)
    return {key: getattr(made, key) for key in settings}


def _layout_settings(arguments: Arguments) -> dict[str, Any]:
    parts = [str(part) for part in arguments.values.get("uncompressed", ())]
    if "all" in parts:
        parts = ["inodes", "ids", "data", "fragments", "xattrs"]
    elif "inodes" in parts:
        parts.append("ids")  # -noI implies -noId
    values: dict[str, Any] = {}
    if parts:
        values["uncompressed"] = tuple(dict.fromkeys(parts))
    if arguments.has("no_sparse"):
        values["holes"] = False
    if arguments.has("no_pad"):
        values["pad"] = 1
    if arguments.has("no_hardlinks"):
        values["hardlinks"] = False
    return values


def _block_size(text: str) -> int:
    """Return a block size: K, KB, Kbytes, M, MB and Mbytes may follow the number."""
    return parse_size(re.sub(r"(?i)(?<=[km])(bytes|b)$", "", text))


def _memory(arguments: Arguments) -> int:
    """Return the memory for content: of -mem, in Mbytes where no unit is named."""
    text = arguments.text("memory")
    if text is None:
        return Options().memory
    if not re.fullmatch(r"[0-9]{1,9}[KMGkmg]?", text):
        raise ShimError(f"-mem: `{text}` is not a size")
    return parse_size(text if text[-1].isalpha() else text + "M")


def _sort_file(path: str, sources: Sequence[str], arguments: Arguments) -> Order:
    """Return the order of a sort file whose paths are found as those of excludes are. Raises ShimError, Corrupt."""
    try:
        with open(path, "rb") as stream:
            lines = stream.read().split(b"\n")
    except OSError as error:
        raise ShimError(f"-sort: cannot open `{path}`: {error.strerror}") from None
    out = []
    for line in lines:
        words = line.strip().rsplit(None, 1)
        if len(words) != 2 or words[0].startswith(b"#"):
            out.append(line)  # nothing, a comment, or a mistake, which is told of below
            continue
        places = tree_paths(os.fsdecode(re.sub(rb"\\(.)", rb"\1", words[0])), sources, arguments)
        out += [re.sub(rb"([\s\\])", rb"\\\1", place) + b" " + words[1] for place in places]
    with context(image=path):
        return read_sort_file(b"\n".join(out), path)
