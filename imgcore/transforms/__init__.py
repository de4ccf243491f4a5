"""Tree to Tree: policies of owner, time and extended attributes; filters by path; metadata; trees put into one."""

from imgcore.transforms.dereference import dereference
from imgcore.transforms.filecaps import capability_text, capability_value, set_capabilities
from imgcore.transforms.filter import Globs, Matcher, Regexes, Rule, exclude, max_depth, only, prune_empty, read_ignore_file
from imgcore.transforms.join import join_trees, place_tree
from imgcore.transforms.metadata import Where, change_meta, change_modes, change_root, set_xattrs, strip_xattrs
from imgcore.transforms.modes import ModeRule
from imgcore.transforms.policy import Clock, IdRange, Owners, Policy
from imgcore.transforms.selinux import FileContexts, label
from imgcore.transforms.subtract import SubtractRule, subtract
from imgcore.transforms.whiteouts import oci_to_overlay

__all__ = [
    "Clock",
    "FileContexts",
    "Globs",
    "IdRange",
    "Matcher",
    "ModeRule",
    "Owners",
    "Policy",
    "Regexes",
    "Rule",
    "SubtractRule",
    "Where",
    "capability_text",
    "capability_value",
    "change_meta",
    "change_modes",
    "change_root",
    "dereference",
    "exclude",
    "join_trees",
    "label",
    "max_depth",
    "oci_to_overlay",
    "only",
    "place_tree",
    "prune_empty",
    "read_ignore_file",
    "set_capabilities",
    "set_xattrs",
    "strip_xattrs",
    "subtract",
]
