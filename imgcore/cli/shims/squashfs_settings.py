"""mksquashfs's options of the format, as `formats.squashfs.Options`."""

from __future__ import annotations

import dataclasses
import re
from typing import Any

from imgcore.cli.laying import read_order
from imgcore.cli.shims.arguments import Arguments, ShimError
from imgcore.cli.system import allowed_cpus, source_date_epoch
from imgcore.engine.protocol import minimum_memory
from imgcore.formats.squashfs import COMPRESSIONS, Options
from imgcore.limits import parse_size
from imgcore.listings.text import time_ns

__all__ = ["read_settings"]

_DEFAULT = "gzip"
_HC_LEVEL = 12


def read_settings(arguments: Arguments) -> Options:
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
    values["jobs"] = int(arguments.text("processors") or allowed_cpus())
    block_size = values.get("block_size", Options().block_size)
    values["memory"] = max(Options().memory, minimum_memory(block_size, values["jobs"]))
    time = arguments.text("mkfs_time") or arguments.text("repro_time")
    if time is not None and time != "inode":
        values["time"] = time_ns(time.encode()) // 10**9
    elif time is None:
        values["time"] = source_date_epoch()
    values |= _codec_settings(arguments, name)
    values |= _layout_settings(arguments)
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
    if (path := arguments.text("sort")) is not None:
        values["hints"] = read_order(path, arguments.words[0])
    return values


def _block_size(text: str) -> int:
    """Return a block size: K, KB, Kbytes, M, MB and Mbytes may follow the number."""
    return parse_size(re.sub(r"(?i)(?<=[km])(bytes|b)$", "", text))
