"""Whole products from the parts below: sources opened, trees packed and unpacked."""

from imgcore.build.pack import PackPlan, pack, plan_pack
from imgcore.build.source import Source, open_source, open_sources
from imgcore.build.spec import SourceSpec, parse_source
from imgcore.build.unpack import unpack

__all__ = ["PackPlan", "Source", "SourceSpec", "open_source", "open_sources", "pack", "parse_source", "plan_pack", "unpack"]
