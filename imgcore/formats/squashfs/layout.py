"""squashfs 4.0 on disk: every fixed structure, with the names of the kernel's `squashfs_fs.h`.

All numbers are little-endian and packed. An image is, in this order:

    superblock | [compressor options] | data and fragment blocks | inode table | directory table |
    fragment table | [export table] | id table | [xattr table] | padding

Tables are chains of metadata blocks: a 16-bit header (bit 15: stored raw; the rest: length on disk) and a payload of
8192 bytes, the last one shorter, once decompressed. A *reference* is the position of a block's header relative to its
table, shifted left by 16, plus the offset in the decompressed payload.
"""

from __future__ import annotations

from typing import Annotated, Final

from imgcore.wire import Record, i16, one_of, power_of_two, record, u16, u32, u64, within

MAGIC: Final = 0x73717368
SUPERBLOCK_SIZE: Final = 96
METADATA_SIZE: Final = 8192
METADATA_RAW: Final = 0x8000
"""Bit of a metadata block's header: the payload is stored as it is."""

BLOCK_RAW: Final = 1 << 24
"""Bit of a size word: the block is stored as it is. The bits below are its length, those above have to be 0."""

NO_FRAGMENT: Final = 0xFFFFFFFF
NO_XATTR: Final = 0xFFFFFFFF
NO_TABLE: Final = 0xFFFFFFFFFFFFFFFF

MAX_IDS: Final = 65535
MAX_NAME: Final = 256
MAX_DIR_COUNT: Final = 256
"""Entries below one directory header."""

LISTING_EXTRA: Final = 3
"""A directory's file_size is that of its listing and this, since `.` and `..` take positions 0 to 2."""

COMPRESSIONS: Final = {1: "gzip", 2: "lzma", 3: "lzo", 4: "xz", 5: "lz4", 6: "zstd"}
COMPRESSION_IDS: Final = {name: number for number, name in COMPRESSIONS.items()}

FLAG_INODES_RAW: Final = 1 << 0
FLAG_DATA_RAW: Final = 1 << 1
FLAG_CHECK: Final = 1 << 2
FLAG_FRAGMENTS_RAW: Final = 1 << 3
FLAG_NO_FRAGMENTS: Final = 1 << 4
FLAG_ALWAYS_FRAGMENTS: Final = 1 << 5
FLAG_DUPLICATES: Final = 1 << 6
FLAG_EXPORT: Final = 1 << 7
FLAG_XATTRS_RAW: Final = 1 << 8
FLAG_NO_XATTRS: Final = 1 << 9
FLAG_COMPRESSOR_OPTIONS: Final = 1 << 10
FLAG_IDS_RAW: Final = 1 << 11

FLAG_NAMES: Final = {
    FLAG_INODES_RAW: "inodes-raw",
    FLAG_DATA_RAW: "data-raw",
    FLAG_CHECK: "check",
    FLAG_FRAGMENTS_RAW: "fragments-raw",
    FLAG_NO_FRAGMENTS: "no-fragments",
    FLAG_ALWAYS_FRAGMENTS: "tail-ends",
    FLAG_DUPLICATES: "duplicates-removed",
    FLAG_EXPORT: "export",
    FLAG_XATTRS_RAW: "xattrs-raw",
    FLAG_NO_XATTRS: "no-xattrs",
    FLAG_COMPRESSOR_OPTIONS: "compressor-options",
    FLAG_IDS_RAW: "ids-raw",
}

DIR: Final = 1
REG: Final = 2
SYMLINK: Final = 3
BLOCK_DEVICE: Final = 4
CHAR_DEVICE: Final = 5
FIFO: Final = 6
SOCKET: Final = 7
EXTENDED: Final = 7
"""Added to a basic type's number, it gives the extended type's."""

XATTR_PREFIXES: Final = {0: b"user.", 1: b"trusted.", 2: b"security."}
XATTR_OUT_OF_LINE: Final = 0x100


@record(spec="squashfs_super_block")
class Superblock(Record):
    """The first 96 bytes."""

    s_magic: Annotated[u32, one_of(MAGIC)]
    inodes: u32
    mkfs_time: u32
    block_size: Annotated[u32, power_of_two(4096, 1 << 20)]
    fragments: u32
    compression: Annotated[u16, within(1, 6)]
    block_log: Annotated[u16, within(12, 20)]
    flags: u16
    no_ids: Annotated[u16, within(1, MAX_IDS)]
    s_major: Annotated[u16, one_of(4)]
    s_minor: Annotated[u16, one_of(0)]
    root_inode: u64
    bytes_used: u64
    id_table_start: u64
    xattr_id_table_start: u64
    inode_table_start: u64
    directory_table_start: u64
    fragment_table_start: u64
    lookup_table_start: u64


@record(spec="squashfs_base_inode")
class InodeBase(Record):
    """What every inode begins with."""

    inode_type: Annotated[u16, within(1, 14)]
    mode: u16
    uid: u16
    guid: u16
    mtime: u32
    inode_number: u32


@record(spec="squashfs_dir_inode, after the base")
class DirInode(Record):
    """Type 1."""

    start_block: u32
    nlink: u32
    file_size: u16
    offset: u16
    parent_inode: u32


@record(spec="squashfs_ldir_inode, after the base")
class LDirInode(Record):
    """Type 8; `i_count` index entries follow."""

    nlink: u32
    file_size: u32
    start_block: u32
    parent_inode: u32
    i_count: u16
    offset: u16
    xattr: u32


@record(spec="squashfs_reg_inode, after the base")
class RegInode(Record):
    """Type 2; a size word for each block follows."""

    start_block: u32
    fragment: u32
    offset: u32
    file_size: u32


@record(spec="squashfs_lreg_inode, after the base")
class LRegInode(Record):
    """Type 9; a size word for each block follows."""

    start_block: u64
    file_size: u64
    sparse: u64
    nlink: u32
    fragment: u32
    offset: u32
    xattr: u32


@record(spec="squashfs_symlink_inode, after the base")
class SymlinkInode(Record):
    """Types 3 and 10; the target follows, and for type 10 a 32-bit xattr index after it."""

    nlink: u32
    symlink_size: u32


@record(spec="squashfs_dev_inode, after the base")
class DevInode(Record):
    """Types 4 and 5."""

    nlink: u32
    rdev: u32


@record(spec="squashfs_ldev_inode, after the base")
class LDevInode(Record):
    """Types 11 and 12."""

    nlink: u32
    rdev: u32
    xattr: u32


@record(spec="squashfs_ipc_inode, after the base")
class IpcInode(Record):
    """Types 6 and 7."""

    nlink: u32


@record(spec="squashfs_lipc_inode, after the base")
class LIpcInode(Record):
    """Types 13 and 14."""

    nlink: u32
    xattr: u32


@record(spec="squashfs_dir_header")
class DirHeader(Record):
    """Begins a run of at most 256 entries whose inodes lie in one metadata block; `count` is one less than their number."""

    count: Annotated[u32, within(0, MAX_DIR_COUNT - 1)]
    start_block: u32
    inode_number: u32


@record(spec="squashfs_dir_entry")
class DirEntry(Record):
    """One name; `size` is one less than its length, `inode_number` is relative to the header's."""

    offset: u16
    inode_number: i16
    type: u16
    size: u16


@record(spec="squashfs_dir_index")
class DirIndex(Record):
    """One entry of a large directory's index; `size` is one less than the length of the name that follows."""

    index: u32
    start_block: u32
    size: u32


@record(spec="squashfs_fragment_entry")
class FragmentEntry(Record):
    """Where a fragment block lies."""

    start_block: u64
    size: u32
    unused: u32


@record(spec="squashfs_xattr_entry")
class XattrEntry(Record):
    """Begins a name and a value; `size` is the length of the name without its prefix."""

    type: u16
    size: u16


@record(spec="squashfs_xattr_id")
class XattrId(Record):
    """One set of extended attributes: where it begins, how many there are, and their size as listxattr counts it."""

    xattr: u64
    count: u32
    size: u32


@record(spec="squashfs_xattr_id_table")
class XattrTable(Record):
    """Head of the xattr table; the positions of its metadata blocks follow."""

    xattr_table_start: u64
    xattr_ids: u32
    unused: u32


RECORDS: Final = (
    Superblock,
    InodeBase,
    DirInode,
    LDirInode,
    RegInode,
    LRegInode,
    SymlinkInode,
    DevInode,
    LDevInode,
    IpcInode,
    LIpcInode,
    DirHeader,
    DirEntry,
    DirIndex,
    FragmentEntry,
    XattrEntry,
    XattrId,
    XattrTable,
)


def block_length(word: int) -> int:
    """Return the stored length that a size word says; bits above 24 are the caller's to check."""
    return word & (BLOCK_RAW - 1)


def device_number(major: int, minor: int) -> int:
    """Return the 32-bit device number of the kernel's new_encode_dev."""
    return (minor & 0xFF) | (major << 8) | ((minor & ~0xFF) << 12)


def split_device(number: int) -> tuple[int, int]:
    """Return (major, minor) of a 32-bit device number."""
    return (number >> 8) & 0xFFF, (number & 0xFF) | ((number >> 12) & 0xFFF00)
