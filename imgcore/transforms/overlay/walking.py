"""From the path of a call to the place that it names, as Linux walks: what is on the way are directories, `..` goes back up.

Looking a name up may mark the upper layer, as it does on a mount.
"""

from __future__ import annotations

import errno
from collections.abc import Sequence

from imgcore.errors import OverlayError
from imgcore.model import Dir
from imgcore.transforms.overlay.arguments import Path
from imgcore.transforms.overlay.copyup import Spot, Upper, fail
from imgcore.transforms.overlay.lookup import Found, MergedDir
from imgcore.transforms.overlay.merged import Merged

__all__ = ["Walk"]

Above = list[tuple[bytes, MergedDir]]


class Walk:
    """Finds the places of paths in `merged`, whose upper layer is `upper`. Its errors name the path."""

    def __init__(self, merged: Merged, upper: Upper) -> None:
        self._merged, self._upper = merged, upper
        self._marked: set[int] = set()  # directories of lower layers in which plain files may be whiteouts

    def directories(self, path: Path) -> tuple[Above, MergedDir]:
        """Return the directories on the way to the last name of a path, and the one that it is in.

        Raises OverlayError: ENOENT, ENOTDIR.
        """
        return self._down(path.above, path.text)

    def spot(self, path: Path) -> Spot:
        """Return the place that a path with a name at its end leads to. Raises OverlayError for what is on the way."""
        assert path.is_name
        above, here = self.directories(path)
        return Spot(above, here, path.last, self._found(here, path.last, path.text))

    def spot_of(self, parts: Sequence[bytes]) -> Spot:
        """Return the place of the names of a path, none of which is `..`."""
        text = b"/" + b"/".join(parts)
        return self.spot(Path(text, tuple(parts[:-1]), parts[-1], False))

    def existing(self, path: Path) -> Spot:
        """Return the place of what a path with a name at its end leads to. Raises OverlayError: ENOENT, ENOTDIR."""
        spot = self.spot(path)
        if spot.found is None:
            raise fail(errno.ENOENT, "no such path", path.text)
        if path.slash and spot.found.merged is None:
            raise fail(errno.ENOTDIR, "not a directory, as the slash says", path.text)
        return spot

    def anything(self, path: Path) -> Spot | None:
        """Return the place of what any path leads to, None for the root. Raises OverlayError: ENOENT, ENOTDIR."""
        if path.is_name:
            return self.existing(path)
        above, here = self._down((*path.above, path.last), path.text)
        if not above:
            return None
        parent = above[-2][1] if len(above) > 1 else self._merged.root
        name = above[-1][0]
        found = self._found(parent, name, path.text)
        assert found is not None
        assert found.merged is not None
        return Spot(above[:-1], parent, name, found._replace(merged=here))

    def free(self, path: Path, *, is_dir: bool = False) -> Spot:
        """Return the place of a name that is not there yet. Raises OverlayError: EEXIST, ENOENT, ENOTDIR."""
        if not path.is_name:
            self._down((*path.above, path.last), path.text)
            raise fail(errno.EEXIST, "a directory that is there", path.text)
        spot = self.spot(path)
        if spot.found is not None:
            raise fail(errno.EEXIST, "there is something of that name", path.text)
        if path.slash and not is_dir:
            raise fail(errno.ENOENT, "no such directory, and only one has a slash at its end", path.text)
        return spot

    def _down(self, names: Sequence[bytes], text: bytes) -> tuple[Above, MergedDir]:
        above: Above = []
        here = self._merged.root
        for name in names:
            if name in (b"", b"."):
                continue
            if name == b"..":
                above[-1:] = []
                here = above[-1][1] if above else self._merged.root
                continue
            found = self._found(here, name, text)
            if found is None:
                raise fail(errno.ENOENT, "no such path", text)
            if found.merged is None:
                raise fail(errno.ENOTDIR, "not a directory", text)
            here = found.merged
            above.append((name, here))
        return above, here

    def _found(self, parent: MergedDir, name: bytes, text: bytes) -> Found | None:
        """Look a name up, which may mark the upper layer."""
        try:
            found = self._merged.find(parent, name)
        except OverlayError as error:
            error.path = text
            upper = None if parent.upper is None else parent.upper.children.get(name)
            met = [(hit.layer, hit.node) for hit in self._merged.hits if isinstance(hit.node, Dir)]
            if isinstance(upper, Dir) and met:  # Linux marks it before it goes on to what fails
                self._upper.looked_up(parent, MergedDir(upper, met))
            raise
        if found is not None and found.merged is not None:
            self._upper.looked_up(parent, found.merged)
            if found.merged.lowers:  # Linux keeps what it saw of a directory before that was copied up
                key = id(found.merged.lowers[0][1])
                if found.merged.marked:
                    self._marked.add(key)
                found.merged.marked = key in self._marked
        return found
