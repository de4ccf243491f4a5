"""The options of unsquashfs 4.7, in one table; `unsquashfs` says what they mean."""

from __future__ import annotations

from typing import Final

from imgcore.cli.shims.arguments import Option

__all__ = ["OPTIONS"]


def _flags(key: str, *names: str, value: object = True) -> dict[str, Option]:
    return {name: Option(key, value=value) for name in names}


def _words(key: str, *names: str) -> dict[str, Option]:
    return {name: Option(key, 1) for name in names}


OPTIONS: Final = {
    **_words("dest", "-d", "-dest"),
    **_words("max_depth", "-max", "-max-depth"),
    **_flags("excludes", "-excludes"),
    **_words("extract_file", "-extract-file", "-e", "-ef"),
    **_words("exclude_file", "-exclude-file", "-exc", "-excf"),
    **_flags("match", "-match"),
    **_flags("no_wildcards", "-no-wild", "-no-wildcards"),
    **_flags("regex", "-r", "-regex"),
    **_words("all_time", "-all", "-all-time"),
    **_flags("cat", "-cat"),
    **_flags("force", "-f", "-force"),
    **_words("pseudo_file", "-pf", "-pseudo-file"),
    **_flags("stat", "-s", "-stat"),
    **_flags("info", "-i", "-info"),
    **_flags("list", "-li", "-linfo", value="long-info"),
    **_flags("list", "-l", "-ls", value="names"),
    **_flags("list", "-ll", "-lls", value="long"),
    **_flags("list", "-lln", "-llnumeric", value="numeric"),
    **_flags("list", "-lc", value="concise"),
    **_flags("list", "-llc", value="long-concise"),
    **_flags("precise", "-full", "-full-precision"),
    **_flags("utc", "-UTC"),
    **_flags("mkfs_time", "-mkfs-time", "-fstime"),
    **_flags("xattrs", "-no", "-no-xattrs", value=False),
    **_flags("xattrs", "-x", "-xattrs", value=True),
    **_words("xattrs_exclude", "-xattrs-exclude"),
    **_words("xattrs_include", "-xattrs-include"),
    **_flags("version", "-v", "-version"),
    **_flags("help", "-h", "-help", "-help-all", "-ha"),
    **_words("processors", "-p", "-processors"),
    **_words("nothing", "-mem", "-mem-percent", "-data-queue", "-da", "-frag-queue", "-fr"),
    **_flags("nothing", "-n", "-no-progress", "-percentage", "-no-pager", "-st", "-strict-errors"),
    **_flags("nothing", "-ig", "-ignore-errors", "-no-exit", "-no-exit-code"),
    **_flags("quiet", "-q", "-quiet"),
    **_words("offset", "-o", "-offset"),
    **{
        name: Option("refused", refused="imgcore does not follow links in names to extract; name what they lead to")
        for name in ("-follow", "-follow-symlinks", "-L", "-missing", "-missing-symlinks")
    },
    **{
        name: Option("refused", refused="write the names into a file, and give it to -exclude-file")
        for name in ("-ex", "-exclude-list")
    },
}
