"""Tree to Tree: policies of owner, time and extended attributes; filters by path; trees put into one."""

from imgcore.transforms.filter import Globs, exclude, only
from imgcore.transforms.join import join_trees, place_tree
from imgcore.transforms.policy import Clock, Owners, Policy

__all__ = ["Clock", "Globs", "Owners", "Policy", "exclude", "join_trees", "only", "place_tree"]
