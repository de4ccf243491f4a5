"""The tree model: nodes, trees, manifests, differences, capabilities. Everything else turns something into a Tree or back."""

from imgcore.model.accounts import Accounts
from imgcore.model.build import block_device, char_device, directory, file, symlink, tree
from imgcore.model.builder import TreeBuilder
from imgcore.model.capability import LOSS_KINDS, Capabilities, Loss, LossKind, checked, find_losses, project
from imgcore.model.diff import Change, ChangeKind, diff, same_content
from imgcore.model.glob import POSIX_CLASSES, glob_component
from imgcore.model.hints import FileHints, Hints
from imgcore.model.manifest import digest, entry_record, manifest_lines, manifest_records
from imgcore.model.node import (
    NO_XATTRS,
    Device,
    Dir,
    File,
    Meta,
    Node,
    Pipe,
    Socket,
    Symlink,
    TypeName,
    Whiteout,
    type_name,
)
from imgcore.model.path import PathLike, join, normalize, split
from imgcore.model.table import HostColumns, Shape, Table
from imgcore.model.tree import Entry, Tree

__all__ = [
    "LOSS_KINDS",
    "NO_XATTRS",
    "POSIX_CLASSES",
    "Accounts",
    "Capabilities",
    "Change",
    "ChangeKind",
    "Device",
    "Dir",
    "Entry",
    "File",
    "FileHints",
    "Hints",
    "HostColumns",
    "Loss",
    "LossKind",
    "Meta",
    "Node",
    "PathLike",
    "Pipe",
    "Shape",
    "Socket",
    "Symlink",
    "Table",
    "Tree",
    "TreeBuilder",
    "TypeName",
    "Whiteout",
    "block_device",
    "char_device",
    "checked",
    "diff",
    "digest",
    "directory",
    "entry_record",
    "file",
    "find_losses",
    "glob_component",
    "join",
    "manifest_lines",
    "manifest_records",
    "normalize",
    "project",
    "same_content",
    "split",
    "symlink",
    "tree",
    "type_name",
]
