"""Blobs: immutable bytes with random access; and sinks, where images are written."""

from imgcore.blob.base import Blob, Segment, read_all, read_chunks
from imgcore.blob.file import FileBlob, HostFile, Identity, open_host
from imgcore.blob.held import held_file
from imgcore.blob.memory import EMPTY, BytesBlob, SliceBlob, ZeroBlob
from imgcore.blob.sink import AtomicFile, PlainFile, open_sink
from imgcore.blob.sink_base import Sink
from imgcore.blob.sink_held import MemorySink, ScratchSink, StreamSink
from imgcore.blob.spool import Spool

__all__ = [
    "EMPTY",
    "AtomicFile",
    "Blob",
    "BytesBlob",
    "FileBlob",
    "HostFile",
    "Identity",
    "MemorySink",
    "PlainFile",
    "ScratchSink",
    "Segment",
    "Sink",
    "SliceBlob",
    "Spool",
    "StreamSink",
    "ZeroBlob",
    "held_file",
    "open_host",
    "open_sink",
    "read_all",
    "read_chunks",
]
