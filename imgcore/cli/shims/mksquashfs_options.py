"""The options of mksquashfs 4.7, in one table; `mksquashfs` says what they mean."""

from __future__ import annotations

from typing import Final

from imgcore.cli.shims.arguments import Option

__all__ = ["NO_EFFECT", "OPTIONS"]


def _flags(key: str, *names: str, value: object = True) -> dict[str, Option]:
    return {name: Option(key, value=value) for name in names}


def _words(key: str, *names: str) -> dict[str, Option]:
    return {name: Option(key, 1) for name in names}


def _refused(why: str, *names: str) -> dict[str, Option]:
    return {name: Option("refused", refused=why) for name in names}


NO_EFFECT: Final = {
    **_flags("nothing", "-no-recovery", "-progress", "-percentage", "-no-progress", "-exit-on-error"),
    **_flags("nothing", "-single-reader", "-reproducible", "-repro", "-numeric-owner", "-nolzma", "-no-pager"),
    **_words("nothing", "-recovery-path", "-small-readers", "-block-readers", "-overcommit", "-mem-percent"),
    **_words("nothing", "-throttle", "-limit"),
}
"""Accepted, and nothing to do: no recovery file is needed, errors are always fatal, images are always reproducible."""

_ACTIONS: Final = "imgcore has no actions; its Python API takes a function in their place (imgcore.pack(transforms=[…]))"
_DEFAULTS: Final = "imgcore gives directories that an archive does not name to root, with mode 0755"
_APPEND: Final = "imgcore does not append to an image; it writes a new one"

OPTIONS: Final = {
    **NO_EFFECT,
    **_words("block_size", "-b"),
    **_words("compression", "-comp", "-compressor"),
    **_flags("uncompressed", "-noI", "-noInodeCompression", value="inodes"),
    **_flags("uncompressed", "-noId", "-noIdTableCompression", value="ids"),
    **_flags("uncompressed", "-noD", "-noDataCompression", value="data"),
    **_flags("uncompressed", "-noF", "-noFragmentCompression", value="fragments"),
    **_flags("uncompressed", "-noX", "-noXattrCompression", value="xattrs"),
    **_flags("uncompressed", "-no-compression", value="all"),
    **_words("level", "-Xcompression-level"),
    **_words("window", "-Xwindow-size"),
    **_words("strategy", "-Xstrategy"),
    **_words("algorithm", "-Xalgorithm"),
    **_words("filters", "-Xbcj"),
    **_words("dict_size", "-Xdict-size"),
    **_words("acceleration", "-Xacceleration"),
    **_flags("hc", "-Xhc"),
    **_flags("tar", "-tar"),
    **_flags("no_strip", "-no-strip", "-tarstyle"),
    **_flags("cpio", "-cpiostyle", value="\n"),
    **_flags("cpio", "-cpiostyle0", value="\0"),
    **_flags("export", "-exports", value=True),
    **_flags("export", "-no-exports", value=False),
    **_flags("no_sparse", "-no-sparse"),
    **_flags("tails", "-tailends", "-always-use-fragments", value="all"),
    **_flags("tails", "-no-tailends", value="small"),
    **_flags("tails", "-no-fragments", value="none"),
    **_flags("no_duplicates", "-no-duplicates", "-duplicate-checking"),
    **_flags("no_hardlinks", "-no-hardlinks"),
    **_flags("keep_as_directory", "-keep-as-directory"),
    **_words("mkfs_time", "-mkfs-time", "-fstime"),
    **_words("inode_time", "-inode-time", "-all-time"),
    **_words("root_time", "-root-time"),
    **_words("repro_time", "-repro-time"),
    **_flags("all_root", "-all-root", "-root-owned"),
    **_words("root_mode", "-root-mode"),
    **_words("root_uid", "-root-uid"),
    **_words("root_gid", "-root-gid"),
    **_words("file_mode", "-force-file-mode"),
    **_words("dir_mode", "-force-dir-mode"),
    **_words("force_uid", "-force-uid"),
    **_words("force_gid", "-force-gid"),
    **_words("id_offset", "-uid-gid-offset"),
    **_words("pseudo", "-p"),
    **_words("pseudo_dir", "-pd", "-pseudo-dir"),
    **_words("pseudo_file", "-pf"),
    **_flags("pseudo_override", "-pseudo-override"),
    **_words("sort", "-sort"),
    "-e": Option("exclude", -1),
    **_words("exclude_file", "-ef"),
    **_flags("wildcards", "-wildcards"),
    **_flags("regex", "-regex"),
    **_words("max_depth", "-max-depth"),
    **_flags("mounts", "-one-file-system", "-x", value="empty"),
    **_flags("mounts", "-one-file-system-x", value="skip"),
    **_flags("xattrs", "-xattrs", value=True),
    **_flags("xattrs", "-no-xattrs", value=False),
    **_words("xattrs_exclude", "-xattrs-exclude"),
    **_words("xattrs_include", "-xattrs-include"),
    **_words("xattrs_add", "-xattrs-add"),
    **_flags("version", "-version"),
    **_flags("help", "-help", "-h", "-help-all", "-ha"),
    **_flags("quiet", "-quiet"),
    **_flags("info", "-info"),
    **_words("info_file", "-info-file"),
    **_words("processors", "-processors"),
    **_words("memory", "-mem"),
    **_flags("noappend", "-noappend"),
    **_flags("stream", "-stream"),
    **_words("offset", "-o", "-offset"),
    **_refused(_APPEND, "-root-becomes", "-recover"),
    **_refused("imgcore streams whole images, there is nothing to fix", "-fix"),
    **_refused(_ACTIONS, "-action", "-log-action", "-true-action", "-false-action"),
    **_refused(_ACTIONS, "-action-file", "-log-action-file", "-true-action-file", "-false-action-file"),
    **_flags("no_pad", "-nopad"),
    **_refused("imgcore reads one archive; join several with `imgcore pack A.tar B.tar DEST`", "-ignore-zeros"),
    **_refused(_DEFAULTS, "-default-mode", "-default-uid", "-default-gid"),
    **_refused("imgcore does not read zip archives", "-zip"),
    **_refused("imgcore reads what a link leads to with `imgcore pack --dereference`", "-dereference", "-deref", "-deref-path"),
}
