"""Texts that say what a tree holds: manifests, pseudo-file definitions, pack files, dumps of extended attributes.

Each reader takes the text as a Blob, so that a text may hold contents too, and gives a Tree or changes one. A mistake in
a text is an error that names its line. Files of the host are reached only through the `Files` that the caller hands in.
"""

from imgcore.listings.attributes import apply_xattr_dump, read_xattr_dump
from imgcore.listings.files import Files
from imgcore.listings.manifest import read_manifest
from imgcore.listings.packfile import read_pack_file
from imgcore.listings.pseudo import PseudoEntry, apply_pseudo, parse_pseudo, read_pseudo_file

__all__ = [
    "Files",
    "PseudoEntry",
    "apply_pseudo",
    "apply_xattr_dump",
    "parse_pseudo",
    "read_manifest",
    "read_pack_file",
    "read_pseudo_file",
    "read_xattr_dump",
]
