"""Partition tables of disks: MBR and GPT, as records and as plans that formats and products use."""

from imgcore.disk.gpt import Gpt, GptPartition, gpt_bytes, read_gpt
from imgcore.disk.mbr import MbrPartition, mbr_bytes, read_mbr
from imgcore.disk.partitions import Partition, find_partition, partitions

__all__ = [
    "Gpt",
    "GptPartition",
    "MbrPartition",
    "Partition",
    "find_partition",
    "gpt_bytes",
    "mbr_bytes",
    "partitions",
    "read_gpt",
    "read_mbr",
]
