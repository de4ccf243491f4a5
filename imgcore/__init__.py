"""imgcore: a file-system-image engine that other programs embed.

    import imgcore

    report = imgcore.pack("./tree", "out.raw")
    with imgcore.open("out.raw") as source:
        for path, node in source.tree.walk():
            print(imgcore.show(path), imgcore.type_name(node))

A tree comes from a directory (`scan`), an image (`open`), or a program (`tree`); it goes through transforms (`Policy`,
`exclude`) into an image (`pack`) or a directory (`unpack`); two of them are compared by `diff`. Everything raised on
purpose is an `ImgcoreError`; progress and cancellation go through a `Control`.

Names are looked up when they are first used (PEP 562), so that importing the package costs next to nothing. `__all__`
is the API; modules and names that are not in it may change without notice.
"""

from __future__ import annotations

import importlib
import os
import sys
from types import ModuleType
from typing import TYPE_CHECKING, Final

__version__: Final = "0.1.0"

if TYPE_CHECKING:
    from imgcore import errors, formats, listings, packages, transforms
    from imgcore.blob import (
        Blob,
        BytesBlob,
        FileBlob,
        HostFile,
        MemorySink,
        Segment,
        Sink,
        SliceBlob,
        ZeroBlob,
        read_all,
        read_chunks,
    )
    from imgcore.build.pack import PackPlan, pack, plan_pack
    from imgcore.build.source import Source
    from imgcore.build.source import open_source as open
    from imgcore.build.spec import SourceSpec, parse_source
    from imgcore.build.unpack import unpack
    from imgcore.errors import (
        Cancelled,
        Corrupt,
        DependencyError,
        FormatError,
        ImgcoreError,
        LimitExceeded,
        MergeConflict,
        NotRepresentable,
        NotThisFormat,
        OutputError,
        PathError,
        SourceChanged,
        SourceError,
        SourceUnreadable,
        TargetExists,
        TreeError,
        Unsupported,
        VerificationFailed,
        show,
    )
    from imgcore.events import Advanced, Control, Event, Finished, Planned, Warned
    from imgcore.formats import FileHints, Finding, Format, Hints, Image, Report, cpio, deb, fat, iso9660, rpm, squashfs, tar
    from imgcore.hosts import UnpackReport, scan
    from imgcore.limits import Limits
    from imgcore.listings import (
        Files,
        PseudoEntry,
        apply_pseudo,
        apply_xattr_dump,
        parse_pseudo,
        read_manifest,
        read_pack_file,
        read_pseudo_file,
    )
    from imgcore.model import (
        Accounts,
        Capabilities,
        Change,
        Device,
        Dir,
        Entry,
        File,
        Loss,
        Meta,
        Node,
        Pipe,
        Socket,
        Symlink,
        Tree,
        TreeBuilder,
        Whiteout,
        block_device,
        char_device,
        diff,
        directory,
        file,
        find_losses,
        manifest_lines,
        project,
        symlink,
        tree,
        type_name,
    )
    from imgcore.transforms import (
        Clock,
        FileContexts,
        Globs,
        IdRange,
        Matcher,
        ModeRule,
        Owners,
        Policy,
        Regexes,
        Rule,
        capability_text,
        capability_value,
        change_meta,
        change_modes,
        change_root,
        dereference,
        exclude,
        join_trees,
        label,
        max_depth,
        only,
        place_tree,
        prune_empty,
        read_ignore_file,
        set_capabilities,
        set_xattrs,
        strip_xattrs,
    )

_MODULES: Final = {
    "imgcore.blob": ("Blob BytesBlob FileBlob HostFile MemorySink Segment Sink SliceBlob ZeroBlob read_all read_chunks"),
    "imgcore.build.pack": "PackPlan pack plan_pack",
    "imgcore.build.source": "Source",
    "imgcore.build.spec": "SourceSpec parse_source",
    "imgcore.build.unpack": "unpack",
    "imgcore.errors": (
        "Cancelled Corrupt DependencyError FormatError ImgcoreError LimitExceeded MergeConflict NotRepresentable"
        " NotThisFormat OutputError PathError SourceChanged SourceError SourceUnreadable TargetExists TreeError"
        " Unsupported VerificationFailed show"
    ),
    "imgcore.events": "Advanced Control Event Finished Planned Warned",
    "imgcore.formats": "FileHints Finding Format Hints Image Report",
    "imgcore.hosts": "UnpackReport scan",
    "imgcore.limits": "Limits",
    "imgcore.listings": (
        "Files PseudoEntry apply_pseudo apply_xattr_dump parse_pseudo read_manifest read_pack_file read_pseudo_file"
    ),
    "imgcore.model": (
        "Accounts Capabilities Change Device Dir Entry File Loss Meta Node Pipe Socket Symlink Tree TreeBuilder"
        " Whiteout block_device char_device"
        " diff directory file find_losses manifest_lines project symlink tree type_name"
    ),
    "imgcore.transforms": (
        "Clock FileContexts Globs IdRange Matcher ModeRule Owners Policy Regexes Rule capability_text capability_value"
        " change_meta change_modes change_root dereference exclude join_trees label max_depth only place_tree prune_empty"
        " read_ignore_file set_capabilities set_xattrs strip_xattrs"
    ),
}
_PLACES: Final = {name: (module, name) for module, names in _MODULES.items() for name in names.split()} | {
    "open": ("imgcore.build.source", "open_source"),
    "errors": ("imgcore.errors", ""),
    "formats": ("imgcore.formats", ""),
    "listings": ("imgcore.listings", ""),
    "packages": ("imgcore.packages", ""),
    "transforms": ("imgcore.transforms", ""),
    "cpio": ("imgcore.formats.cpio", ""),
    "deb": ("imgcore.formats.deb", ""),
    "fat": ("imgcore.formats.fat", ""),
    "iso9660": ("imgcore.formats.iso9660", ""),
    "rpm": ("imgcore.formats.rpm", ""),
    "squashfs": ("imgcore.formats.squashfs", ""),
    "tar": ("imgcore.formats.tar", ""),
}

__all__ = [
    "Accounts",
    "Advanced",
    "Blob",
    "BytesBlob",
    "Cancelled",
    "Capabilities",
    "Change",
    "Clock",
    "Control",
    "Corrupt",
    "DependencyError",
    "Device",
    "Dir",
    "Entry",
    "Event",
    "File",
    "FileBlob",
    "FileContexts",
    "FileHints",
    "Files",
    "Finding",
    "Finished",
    "Format",
    "FormatError",
    "Globs",
    "Hints",
    "HostFile",
    "IdRange",
    "Image",
    "ImgcoreError",
    "LimitExceeded",
    "Limits",
    "Loss",
    "Matcher",
    "MemorySink",
    "MergeConflict",
    "Meta",
    "ModeRule",
    "Node",
    "NotRepresentable",
    "NotThisFormat",
    "OutputError",
    "Owners",
    "PackPlan",
    "PathError",
    "Pipe",
    "Planned",
    "Policy",
    "PseudoEntry",
    "Regexes",
    "Report",
    "Rule",
    "Segment",
    "Sink",
    "SliceBlob",
    "Socket",
    "Source",
    "SourceChanged",
    "SourceError",
    "SourceSpec",
    "SourceUnreadable",
    "Symlink",
    "TargetExists",
    "Tree",
    "TreeBuilder",
    "TreeError",
    "UnpackReport",
    "Unsupported",
    "VerificationFailed",
    "Warned",
    "Whiteout",
    "ZeroBlob",
    "__version__",
    "apply_pseudo",
    "apply_xattr_dump",
    "block_device",
    "capability_text",
    "capability_value",
    "change_meta",
    "change_modes",
    "change_root",
    "char_device",
    "cpio",
    "deb",
    "dereference",
    "diff",
    "directory",
    "errors",
    "exclude",
    "fat",
    "file",
    "find_losses",
    "formats",
    "iso9660",
    "join_trees",
    "label",
    "listings",
    "manifest_lines",
    "max_depth",
    "only",
    "open",
    "pack",
    "packages",
    "parse_pseudo",
    "parse_source",
    "place_tree",
    "plan_pack",
    "project",
    "prune_empty",
    "read_all",
    "read_chunks",
    "read_ignore_file",
    "read_manifest",
    "read_pack_file",
    "read_pseudo_file",
    "rpm",
    "scan",
    "set_capabilities",
    "set_xattrs",
    "show",
    "squashfs",
    "strip_xattrs",
    "symlink",
    "tar",
    "transforms",
    "tree",
    "type_name",
    "unpack",
]


_faked_by: object = None  # pyfakefs's `os`, while one of its file systems is or was there
_real: frozenset[str] = frozenset()  # modules that were imported before: they hold the real system


def __getattr__(name: str) -> object:
    if name not in _PLACES:
        raise AttributeError(f"module `imgcore` has no attribute `{name}`")
    module, attribute = _PLACES[name]
    faked = os if type(os).__module__.partition(".")[0] == "pyfakefs" else None
    if faked is not _faked_by:
        _change_to(faked)
    found: object = importlib.import_module(module)
    if attribute:
        found = getattr(found, attribute)
    if faked is None:
        globals()[name] = found
    return found


def _change_to(faked: object) -> None:
    """Have our modules imported anew that hold a file system which is no more; `faked` comes, or none."""
    global _faked_by, _real
    ours = {name for name in sys.modules if name.startswith("imgcore.")}
    if _faked_by is not None:
        for name in ours - _real:
            del sys.modules[name]
        ours &= _real
        # Packages that stay have the others as attributes; also those that pyfakefs itself has taken out already.
        for holder in (vars(sys.modules[name]) for name in ("imgcore", *ours)):
            for name, value in list(holder.items()):
                if isinstance(value, ModuleType) and value.__name__.startswith("imgcore.") and value.__name__ not in ours:
                    del holder[name]
    _faked_by, _real = faked, frozenset(ours)


def __dir__() -> list[str]:
    return sorted(__all__)


if "pyfakefs" in sys.modules:  # a test is about to make up a file system: what is imported before holds the real one
    for _name in _PLACES:
        __getattr__(_name)
