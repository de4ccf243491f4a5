"""What squashfs-tools and squashfs-tools-ng can do, and imgcore's answer to each: the table of `docs/squashfs-tools.md`.

Every row is proved. A `Pair` runs mksquashfs and imgcore with the options that the row names, on the same directory, and
wants the same tree in both images; `ng` adds gensquashfs, tar2sqfs or the like. A row whose proof is no such pair names
tests, which have to exist. `tests/oracle/test_peer_features.py` runs the pairs, `tools/gen_docs.py` writes the page.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Need = Literal["must", "expected", "rare"]


@dataclass(frozen=True)
class Pair:
    """Options with which two programs make the same tree; `ignore` are kinds of change that may differ.

    `{dir}` in an option is the directory that is packed, `{files}` one with files that options name.
    """

    theirs: tuple[str, ...]
    ours: tuple[str, ...]
    ignore: tuple[str, ...] = ()


@dataclass(frozen=True)
class Feature:
    """One row."""

    what: str
    squashfs_tools: str
    ng: str
    imgcore: str
    need: Need
    pairs: tuple[Pair, ...] = ()
    tests: tuple[str, ...] = ()


def _pair(theirs: str, ours: str, *ignore: str) -> Pair:
    """Return a pair whose words are parted by blanks; `␣` in a word stands for a blank."""
    return Pair(*(tuple(word.replace("␣", " ") for word in text.split()) for text in (theirs, ours)), ignore)


WRITING = (
    Feature(
        "block size, compressor, level",
        "`-b -comp -Xcompression-level`",
        "`-b -c -X level=`",
        "`-b`, `-c NAME:LEVEL`",
        "must",
        (
            _pair("-b 64K -comp zstd -Xcompression-level 3", "-b 64K -c zstd:3"),
            _pair("-b 1M -comp xz", "-b 1M -c xz"),
            _pair("-comp gzip -Xcompression-level 4", "-c gzip:4"),
            _pair("-comp lz4 -Xhc", "-c lz4:12"),
        ),
    ),
    Feature(
        "gzip window and strategies",
        "`-Xwindow-size -Xstrategy`",
        "`-X window=,huffman,…`",
        "`-O window=`, `-O strategy=` (by zlib)",
        "expected",
        (_pair("-comp gzip -Xwindow-size 12 -Xstrategy filtered,fixed", "-c gzip:9 -O window=12 -O strategy=filtered,fixed"),),
    ),
    Feature(
        "lzo algorithms",
        "`-Xalgorithm`",
        "`-X algorithm=`",
        "one, as good as `lzo1x_999`; others are refused by name",
        "expected",
        (_pair("-comp lzo", "-c lzo"),),
    ),
    Feature(
        "xz filters (BCJ), the best kept for each block",
        "`-Xbcj x86,arm64,…`",
        "`-X x86,…`",
        "`-O filters=x86,arm64,…`",
        "must",
        (_pair("-comp xz -Xbcj x86,arm", "-c xz -O filters=x86,arm"),),
    ),
    Feature(
        "xz dictionary",
        "`-Xdict-size`",
        "`-X dictsize=`",
        "`-O dict-size=`",
        "expected",
        (_pair("-comp xz -Xdict-size 50%", "-c xz -O dict-size=50%"),),
    ),
    Feature(
        "lz4 acceleration",
        "`-Xacceleration` (4.7.6)",
        "no",
        "`-O acceleration=`",
        "expected",
        tests=("tests/oracle/test_squashfs_layout.py::test_settings_of_codecs",),
    ),
    Feature(
        "parts stored as they are",
        "`-noI -noId -noD -noF -noX -no-compression`",
        "per file",
        "`-O uncompressed=inodes,ids,data,fragments,xattrs`, `-c none`, `--layout GLOB=store`",
        "expected",
        (
            _pair("-noI", "-O uncompressed=inodes,ids"),
            _pair("-noD -noF", "-O uncompressed=data,fragments"),
            _pair("-noId -noX", "-O uncompressed=ids,xattrs"),
            _pair("-no-compression", "-c none"),
        ),
    ),
    Feature(
        "owners",
        "`-all-root -force-uid -force-gid -uid-gid-offset -root-uid -root-gid`",
        "`--all-root -u -g`",
        "`--owner root`, `--owner UID:GID`, `--map-uid`, `--map-gid`, `--id-offset`, `--root owner=`",
        "must",
        (
            _pair("-all-root", "--owner root"),
            _pair("-force-uid 5 -force-gid 6", "--owner 5:6"),
            _pair("-uid-gid-offset 100000", "--id-offset 100000"),
            _pair("-root-uid 3 -root-gid 4", "--root owner=3:4"),
        ),
    ),
    Feature(
        "permissions, octal and symbolic",
        "`-root-mode -force-file-mode -force-dir-mode`",
        "`--defaults mode=`",
        "`--root mode=`, `--file-mode`, `--dir-mode` (links keep theirs)",
        "must",
        (
            _pair("-root-mode 0700", "--root mode=0700"),
            _pair("-force-dir-mode go-rx", "--dir-mode go-rx"),
            _pair("-force-file-mode u=rwX,g=u,o=", "--file-mode u=rwX,g=u,o=", "link-mode"),
        ),
    ),
    Feature(
        "times",
        "`-mkfs-time -inode-time -root-time -repro -repro-time`, SOURCE_DATE_EPOCH",
        "`--defaults mtime=`, `-k`",
        "`--clock EPOCH`, `--clock clamp:EPOCH`, `--root time=`, `-O time=`, SOURCE_DATE_EPOCH",
        "must",
        (
            _pair("-inode-time 7 -mkfs-time 5", "--clock 7 -O time=5"),
            _pair("-root-time 9", "--root time=9"),
        ),
        ("tests/oracle/test_peer_features.py::test_source_date_epoch_clamps_both",),
    ),
    Feature(
        "reproducible output",
        "since 4.7, where times are fixed",
        "yes",
        "always, whatever jobs, order of directories, engine",
        "must",
        tests=("tests/property/test_squashfs.py::test_order_and_jobs_change_nothing",),
    ),
    Feature(
        "pseudo files",
        "`-p -pf -pd -pseudo-override`",
        "—",
        "`--pseudo`, `--pseudo-file`, `pseudo:FILE` as a source; no commands (`f`)",
        "must",
        (
            _pair("-p new␣d␣0755␣1␣2", "--pseudo new␣d␣0755␣1␣2", "mtime"),
            _pair("-p dev␣c␣600␣0␣0␣5␣1", "--pseudo dev␣c␣600␣0␣0␣5␣1", "mtime"),
            _pair("-p lnk␣S␣5␣777␣0␣0␣a␣b", "--pseudo lnk␣S␣5␣777␣0␣0␣a␣b", "mtime"),
            _pair("-p bin/tool␣m␣4711␣0␣0", "--pseudo bin/tool␣m␣4711␣0␣0", "mtime"),
            _pair("-p text␣x␣user.more=0x4142", "--pseudo text␣x␣user.more=0x4142"),
            _pair("-pf {files}/definitions", "--pseudo-file {files}/definitions", "mtime"),
        ),
    ),
    Feature(
        "pack files (`file dir nod slink link pipe sock glob`)",
        "—",
        "`-F`, `-D`",
        "`packfile:FILE` as a source",
        "must",
        tests=("tests/oracle/test_listings.py::test_gensquashfs_pack_files",),
    ),
    Feature(
        "a manifest that can be edited",
        "`unsquashfs -pf` and `mksquashfs -pf`",
        "`rdsquashfs -d`",
        "`imgcore manifest`, `manifest:FILE`, `--contents SRC`; `pseudo:FILE` reads `unsquashfs -pf`",
        "must",
        tests=("tests/oracle/test_peer_features.py::test_pseudo_file_of_unsquashfs_is_a_source",),
    ),
    Feature(
        "extended attributes",
        "`-xattrs -no-xattrs -xattrs-include -xattrs-exclude -xattrs-add`",
        "`-A` (a dump of getfattr)",
        "`--xattrs`, `--strip-xattr`, `--set-xattr`, `--xattr-file`",
        "must",
        (
            _pair("-no-xattrs", "--xattrs none"),
            _pair("-xattrs-exclude ^user\\.", "--strip-xattr ^user\\."),
            _pair("-xattrs-include ^security\\.", "--xattrs security.*"),
            _pair("-xattrs-add user.a=0sQUI=", "--set-xattr *=user.a=0sQUI=", "root-xattrs"),
        ),
    ),
    Feature(
        "file capabilities by name",
        "—",
        "—",
        "`--cap GLOB=cap_net_raw=ep`",
        "must",
        tests=("tests/oracle/test_peer_features.py::test_getcap_sees_capabilities",),
    ),
    Feature(
        "SELinux labels from file_contexts",
        "no",
        "`-s`",
        "`--selinux FILE`",
        "must",
        tests=("tests/oracle/test_peer_features.py::test_kernel_shows_labels",),
    ),
    Feature(
        "leaving out",
        "`-e -ef -wildcards -regex`",
        "globs in pack files",
        "`--exclude`, `--exclude-from`, `--exclude-regex`, `--include`, `--only`",
        "must",
        (
            _pair("-wildcards -e ...␣*.log", "--exclude *.log"),
            _pair("-wildcards -e bin/*", "--exclude /bin/*"),
            _pair("-e bin/tool", "--exclude /bin/tool"),
            _pair("-regex -e ...␣o.l$", "--exclude-regex o.l$"),
        ),
    ),
    Feature(
        "depth and mounts",
        "`-max-depth -one-file-system`",
        "`-o`",
        "`--max-depth`, `--one-file-system`",
        "must",
        (_pair("-max-depth 1", "--max-depth 1"), _pair("-one-file-system", "--one-file-system")),
    ),
    Feature(
        "tar as a source",
        "`-tar`, sqfstar (uncompressed)",
        "tar2sqfs",
        "`x.tar`, `x.tar.zst`, `-`; gzip, bzip2, xz, zstd",
        "must",
        tests=("tests/oracle/test_peer_features.py::test_tar_like_sqfstar_and_tar2sqfs",),
    ),
    Feature(
        "names on standard input",
        "`-cpiostyle -cpiostyle0`",
        "—",
        "`imgcore shims`: mksquashfs's own options; or a manifest",
        "expected",
        tests=("tests/oracle/test_shims.py::test_sources",),
    ),
    Feature(
        "several sources, paths kept",
        "`-no-strip -keep-as-directory`; names become `dir_1`",
        "pack file",
        "`/PLACE=SRC`; a conflict is an error, `--overwrite`",
        "must",
        tests=("tests/oracle/test_peer_features.py::test_places_like_keep_as_directory",),
    ),
    Feature(
        "a function of every file",
        "actions (`-action EXPR`)",
        "—",
        "`imgcore.pack(transforms=[…])`, `Options(hints=…)`",
        "expected",
        tests=("tests/api/test_examples.py::test_change_a_tree", "tests/api/test_examples.py::test_lay_out"),
    ),
    Feature(
        "prune empty directories",
        "`-action empty@…`",
        "—",
        "`--prune-empty`",
        "expected",
        (_pair("-action empty@true", "--prune-empty"),),
    ),
    Feature(
        "order of files",
        "`-sort FILE`",
        "`-S FILE`",
        "`--sort FILE`, `--sort gensquashfs:FILE`, `--sort access:FILE`",
        "expected",
        (
            _pair("-sort {files}/order", "--sort {files}/order"),
            _pair("", "--sort gensquashfs:{files}/ng-order"),
            _pair("", "--sort access:{files}/access"),
        ),
    ),
    Feature(
        "alignment",
        "`-action align(N)@…`",
        "sort file `align`",
        "`-O align=SIZE`, `--layout GLOB=align:SIZE`",
        "expected",
        (_pair("", "-O align=4K"), _pair("-action align(64k)@name(tool)", "--layout tool=align:64K")),
    ),
    Feature(
        "tails",
        "`-no-fragments -tailends -no-tailends`",
        "`-T`",
        "`-O fragments=all,small,none`, `--layout GLOB=no-fragment`",
        "expected",
        (
            _pair("-no-fragments", "-O fragments=none"),
            _pair("-tailends", "-O fragments=all"),
            _pair("-no-tailends", "-O fragments=small"),
            _pair("-action no-fragments@name(text)", "--layout text=no-fragment"),
        ),
    ),
    Feature(
        "duplicates and hard links",
        "`-no-duplicates -no-hardlinks`",
        "sort flag, `-H`",
        "`-O dedup=no`, `-O hardlinks=no`, `--layout GLOB=no-dedup`",
        "expected",
        (_pair("-no-duplicates", "-O dedup=no"), _pair("-no-hardlinks", "-O hardlinks=no")),
    ),
    Feature(
        "holes",
        "`-no-sparse`",
        "sort flag `nosparse`",
        "`-O holes=no`, `--layout GLOB=no-holes`",
        "expected",
        (_pair("-no-sparse", "-O holes=no"),),
    ),
    Feature(
        "table for NFS",
        "`-exports -no-exports`",
        "`-e`",
        "`-O export=yes`, `-O export=no`",
        "expected",
        (_pair("-no-exports", "-O export=no"), _pair("-exports", "-O export=yes")),
    ),
    Feature(
        "an image at an offset",
        "`-o`",
        "—",
        "`--offset`",
        "expected",
        tests=("tests/oracle/test_peer_features.py::test_offset_is_mounted_at_an_offset",),
    ),
    Feature(
        "to standard output",
        "`-stream`, then `-fix`",
        "no",
        "`-` as DEST, a whole image",
        "expected",
        tests=("tests/oracle/test_peer_features.py::test_standard_output_is_a_whole_image",),
    ),
    Feature(
        "resources",
        "`-processors -mem`, a quarter of the host's memory",
        "`-j -Q`",
        "`-j`, `--memory`; 128 MiB of content, the CPUs allowed",
        "expected",
        (_pair("-processors 1 -mem 64M", "-j 1 --memory 64M"),),
    ),
    Feature(
        "what happens, for programs",
        "`-info -percentage -quiet`",
        "`-q`",
        "`--json`, `--progress json`, `-q`, `--dry-run`",
        "must",
        tests=("tests/cli/test_json_docs.py",),
    ),
    Feature(
        "whiteouts of OCI layers as those of overlayfs",
        "—",
        "—",
        "`imgcore.transforms.oci_to_overlay`",
        "expected",
        tests=("tests/unit/transforms/test_whiteouts.py::test_the_kernel_takes_them_for_whiteouts",),
    ),
    Feature(
        "what links lead to",
        "`-dereference` (4.7.6)",
        "—",
        "`--dereference`",
        "expected",
        tests=("tests/oracle/test_peer_features.py::test_dereference_like_cp",),
    ),
    Feature(
        "several settings tried for each block",
        "`-Xstrategy`, `-Xbcj`",
        "the same",
        "`-O optimize=yes`, for every codec",
        "expected",
        tests=("tests/oracle/test_squashfs_layout.py::test_settings_of_codecs",),
    ),
)

READING = (
    Feature(
        "unpack",
        "`unsquashfs -d -f -excludes -max-depth -no-xattrs`",
        "`rdsquashfs -u -p`",
        "`imgcore unpack`, `--only`, `--force`, `--no-xattrs`",
        "must",
        tests=("tests/oracle/test_shims.py::test_unsquashfs_extracts",),
    ),
    Feature(
        "list",
        "`-l -ll -lln`",
        "`-l -d`",
        "`imgcore ls -R`, `ls -lR`",
        "must",
        tests=("tests/oracle/test_shims.py::test_unsquashfs_lists",),
    ),
    Feature(
        "superblock",
        "`-s`, `-mkfs-time`",
        "`-s`",
        "`imgcore info`, `info --layout`",
        "must",
        tests=("tests/oracle/test_shims.py::test_unsquashfs_superblock",),
    ),
    Feature("cat", "sqfscat, `-cat`", "`-c`", "`imgcore cat`", "must", tests=("tests/oracle/test_shims.py::test_sqfscat",)),
    Feature(
        "to tar",
        "none",
        "sqfs2tar",
        "`imgcore pack x.raw x.tar.zst`",
        "must",
        tests=("tests/oracle/test_peer_features.py::test_to_tar_like_sqfs2tar",),
    ),
    Feature(
        "difference of two images",
        "none",
        "sqfsdiff",
        "`imgcore diff A B`, images, archives, directories",
        "expected",
        tests=("tests/oracle/test_peer_features.py::test_diff_says_what_sqfsdiff_says",),
    ),
    Feature(
        "verify",
        "none",
        "none",
        "`imgcore check`, by Linux's rules; `pack --verify`",
        "must",
        tests=("tests/oracle/test_squashfs_cases.py",),
    ),
    Feature(
        "an image at an offset",
        "`-o`",
        "`-O`",
        "`FILE#offset:BYTES`",
        "expected",
        tests=("tests/oracle/test_peer_features.py::test_offset_is_mounted_at_an_offset",),
    ),
    Feature(
        "versions before 4.0",
        "read",
        "no",
        "refused by name: Linux does not mount them",
        "rare",
        tests=("tests/oracle/test_squashfs_cases.py",),
    ),
)
