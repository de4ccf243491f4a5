"""How an RPM package lies on disk, in rpm's own names: lead, signature header, header, payload. Numbers are big-endian.

A header is `HeaderIntro`, `il` entries, and a store of `dl` bytes that the entries point into. The signature header is
filled up to 8 bytes; behind the main header the payload begins, a cpio that is compressed as a whole.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Annotated, Final

from imgcore.wire import Record, i32, raw, record, u8, u16, u32, within

__all__ = [
    "HEADER_MAGIC",
    "LEAD_MAGIC",
    "MOST_ENTRIES",
    "MOST_STORE",
    "RECORDS",
    "STRIPPED",
    "FileFlag",
    "HeaderIntro",
    "IndexEntry",
    "Kind",
    "Lead",
    "Sense",
    "SigTag",
    "Tag",
]

LEAD_MAGIC: Final = b"\xed\xab\xee\xdb"
HEADER_MAGIC: Final = b"\x8e\xad\xe8\x01"
STRIPPED: Final = b"07070X"
"""What a member of the payload begins with that says only which file of the header it is."""

MOST_ENTRIES: Final = 0xFFFF
MOST_STORE: Final = 0x0FFFFFFF


@record(">", spec="RPM package file, lead")
class Lead(Record):
    """The first 96 bytes; rpm looks at the magic only."""

    magic: Annotated[bytes, raw(4)]
    major: u8
    minor: u8
    type: u16
    archnum: u16
    name: Annotated[bytes, raw(66)]
    osnum: u16
    signature_type: u16
    reserved: Annotated[bytes, raw(16)]


@record(">", spec="RPM package file, header structure")
class HeaderIntro(Record):
    """What a header begins with: how many entries there are, and how many bytes their data has."""

    magic: Annotated[bytes, raw(4)]
    reserved: Annotated[bytes, raw(4)]
    il: Annotated[u32, within(1, MOST_ENTRIES)]
    dl: Annotated[u32, within(1, MOST_STORE)]


@record(">", spec="RPM package file, index entry")
class IndexEntry(Record):
    """A tag, the type of its values, where they begin in the store, and how many there are."""

    tag: u32
    type: Annotated[u32, within(0, 9)]
    offset: i32
    count: u32


RECORDS: Final = (Lead, HeaderIntro, IndexEntry)


class Kind(IntEnum):
    """The types of values."""

    NULL = 0
    CHAR = 1
    INT8 = 2
    INT16 = 3
    INT32 = 4
    INT64 = 5
    STRING = 6
    BIN = 7
    STRING_ARRAY = 8
    I18NSTRING = 9


class SigTag(IntEnum):
    """Tags of the signature header that are read."""

    HEADERSIGNATURES = 62
    SHA1 = 269
    LONGSIZE = 270
    LONGARCHIVESIZE = 271
    SHA256 = 273
    SHA3_256 = 279
    SIZE = 1000
    MD5 = 1004
    PAYLOADSIZE = 1007


class Tag(IntEnum):
    """Tags of the main header that are read."""

    HEADERIMAGE = 61
    HEADERIMMUTABLE = 63
    NAME = 1000
    VERSION = 1001
    RELEASE = 1002
    EPOCH = 1003
    SUMMARY = 1004
    BUILDTIME = 1006
    SIZE = 1009
    VENDOR = 1011
    LICENSE = 1014
    URL = 1020
    ARCH = 1022
    PREIN = 1023
    POSTIN = 1024
    PREUN = 1025
    POSTUN = 1026
    OLDFILENAMES = 1027
    FILESIZES = 1028
    FILEMODES = 1030
    FILERDEVS = 1033
    FILEMTIMES = 1034
    FILEDIGESTS = 1035
    FILELINKTOS = 1036
    FILEFLAGS = 1037
    FILEUSERNAME = 1039
    FILEGROUPNAME = 1040
    SOURCERPM = 1044
    PROVIDENAME = 1047
    REQUIREFLAGS = 1048
    REQUIRENAME = 1049
    REQUIREVERSION = 1050
    CONFLICTFLAGS = 1053
    CONFLICTNAME = 1054
    CONFLICTVERSION = 1055
    TRIGGERSCRIPTS = 1065
    TRIGGERNAME = 1066
    TRIGGERVERSION = 1067
    TRIGGERFLAGS = 1068
    TRIGGERINDEX = 1069
    VERIFYSCRIPT = 1079
    PREINPROG = 1085
    POSTINPROG = 1086
    PREUNPROG = 1087
    POSTUNPROG = 1088
    OBSOLETENAME = 1090
    VERIFYSCRIPTPROG = 1091
    TRIGGERSCRIPTPROG = 1092
    FILEDEVICES = 1095
    FILEINODES = 1096
    SOURCEPACKAGE = 1106
    PROVIDEFLAGS = 1112
    PROVIDEVERSION = 1113
    OBSOLETEFLAGS = 1114
    OBSOLETEVERSION = 1115
    DIRINDEXES = 1116
    BASENAMES = 1117
    DIRNAMES = 1118
    PAYLOADFORMAT = 1124
    PAYLOADCOMPRESSOR = 1125
    PRETRANS = 1151
    POSTTRANS = 1152
    PRETRANSPROG = 1153
    POSTTRANSPROG = 1154
    LONGFILESIZES = 5008
    LONGSIZE = 5009
    FILECAPS = 5010
    FILEDIGESTALGO = 5011
    RECOMMENDNAME = 5046
    RECOMMENDVERSION = 5047
    RECOMMENDFLAGS = 5048
    SUGGESTNAME = 5049
    SUGGESTVERSION = 5050
    SUGGESTFLAGS = 5051
    SUPPLEMENTNAME = 5052
    SUPPLEMENTVERSION = 5053
    SUPPLEMENTFLAGS = 5054
    ENHANCENAME = 5055
    ENHANCEVERSION = 5056
    ENHANCEFLAGS = 5057
    FILETRIGGERSCRIPTS = 5066
    FILETRIGGERSCRIPTPROG = 5067
    FILETRIGGERNAME = 5069
    FILETRIGGERINDEX = 5070
    FILETRIGGERVERSION = 5071
    FILETRIGGERFLAGS = 5072
    TRANSFILETRIGGERSCRIPTS = 5076
    TRANSFILETRIGGERSCRIPTPROG = 5077
    TRANSFILETRIGGERNAME = 5079
    TRANSFILETRIGGERINDEX = 5080
    TRANSFILETRIGGERVERSION = 5081
    TRANSFILETRIGGERFLAGS = 5082
    PAYLOADSHA256 = 5092
    PAYLOADSHA256ALGO = 5093
    PAYLOADSHA256ALT = 5097
    PREUNTRANS = 5103
    POSTUNTRANS = 5104
    PREUNTRANSPROG = 5105
    POSTUNTRANSPROG = 5106
    PAYLOADSIZE = 5112
    PAYLOADSIZEALT = 5113
    RPMFORMAT = 5114
    PAYLOADSHA512 = 5121
    PAYLOADSHA512ALT = 5122
    PAYLOADSHA3_256 = 5123
    PAYLOADSHA3_256ALT = 5124


class FileFlag(IntEnum):
    """Bits of FILEFLAGS."""

    CONFIG = 1
    DOC = 2
    MISSINGOK = 8
    NOREPLACE = 16
    GHOST = 64
    LICENSE = 128
    README = 256
    ARTIFACT = 4096


class Sense(IntEnum):
    """Bits of a dependency's flags."""

    LESS = 2
    GREATER = 4
    EQUAL = 8
    PREREQ = 1 << 6
    SCRIPT_PRE = 1 << 9
    SCRIPT_POST = 1 << 10
    SCRIPT_PREUN = 1 << 11
    SCRIPT_POSTUN = 1 << 12
    TRIGGERIN = 1 << 16
    TRIGGERUN = 1 << 17
    TRIGGERPOSTUN = 1 << 18
    MISSINGOK = 1 << 19
    RPMLIB = 1 << 24
    TRIGGERPREIN = 1 << 25
