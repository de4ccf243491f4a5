"""What embedders can test their own code with: Hypothesis strategies of names, metadata and whole trees.

    from imgcore.testing import trees

    @given(trees(caps=imgcore.squashfs.FORMAT.capabilities))
    def test_round_trip(tree): ...

Hypothesis is needed only by `imgcore.testing.strategies`, which is imported when one of its names is first used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from imgcore.testing.strategies import blobs, metas, names, trees

__all__ = ["blobs", "metas", "names", "trees"]


def __getattr__(name: str) -> object:
    if name not in __all__:
        raise AttributeError(f"module `imgcore.testing` has no attribute `{name}`")
    from imgcore.testing import strategies

    return getattr(strategies, name)
