"""What mksquashfs's options leave out: excludes of all kinds, and what is too deep."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Sequence
from typing import TypeAlias

from imgcore.cli.shims.arguments import Arguments, ShimError
from imgcore.cli.shims.excludes import PathSet, Patterns, read_exclude_file
from imgcore.cli.shims.sources import Known
from imgcore.cli.shims.values import number
from imgcore.model import Tree
from imgcore.transforms import Rule, exclude, max_depth

__all__ = ["Change", "filters", "tree_paths"]

Change: TypeAlias = Callable[[Tree], Tree]


def filters(arguments: Arguments, sources: list[str], known: Known) -> list[Change]:
    """Return the changes that leave entries out. Raises ShimError."""
    texts = arguments.texts("exclude")
    for path in arguments.texts("exclude_file"):
        try:
            with open(path, encoding="utf-8", errors="surrogateescape") as stream:
                texts += read_exclude_file(stream.read())
        except OSError as error:
            raise ShimError(f"-ef: cannot open `{path}`: {error.strerror}") from None
    made: list[Change] = []
    if texts and (arguments.has("wildcards") or arguments.has("regex")):
        patterns = Patterns(texts, regular=arguments.has("regex"))
        made.append(lambda tree: exclude(tree, [Rule(patterns)]))
    elif texts:
        paths = _plain_excludes(texts, sources, arguments, known)
        made.append(lambda tree: exclude(tree, [Rule(paths)]))
    depth = arguments.text("max_depth")
    if depth is not None:
        levels = number(depth, "-max-depth")
        made.append(lambda tree: max_depth(tree, levels))
    return made


def _plain_excludes(texts: Sequence[str], sources: Sequence[str], arguments: Arguments, known: Known) -> PathSet:
    """Return what plain excludes name: paths in the tree, and files by their inodes, as mksquashfs finds them."""
    found, nodes = [], []
    for text in texts:
        found += tree_paths(text, sources, arguments)
        is_host = text.startswith(("/", "./", "../"))
        for path in [text] if is_host else [os.path.join(source, text) for source in sources]:
            with contextlib.suppress(OSError):  # what is not there leaves nothing out
                there = os.lstat(path)
                nodes += [known[key] for key in ((there.st_dev, there.st_ino),) if key in known]
    return PathSet(found, nodes)


def tree_paths(text: str, sources: Sequence[str], arguments: Arguments) -> list[bytes]:
    """Return the paths in the tree of what a name stands for.

    One that begins with `/`, `./` or `../` is a path of the host, any other is in each of the sources.
    """
    single = len(sources) == 1 and not arguments.has("keep_as_directory")
    single = single and (arguments.has("tar") or os.path.isdir(sources[0]))
    places = {source: "" if single else "/" + os.path.basename(os.path.abspath(source)) for source in sources}
    if not text.startswith(("/", "./", "../")):
        return [os.fsencode(place + "/" + os.path.normpath(text)) for place in places.values()]
    found = []
    whole = os.path.realpath(os.path.dirname(os.path.abspath(text))) + "/" + os.path.basename(text.rstrip("/"))
    for source, place in places.items():
        top = os.path.realpath(source)
        if whole.startswith(top.rstrip("/") + "/"):
            found.append(os.fsencode(place + whole[len(top.rstrip("/")) :]))
        elif whole == top:
            found.append(os.fsencode(place or "/"))
    return found
