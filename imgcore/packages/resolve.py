"""Which packages have to be installed for some to work: the closure over what they require.

No search, and no guess: of the packages that provide something, one is taken that is called so, else the only one there is,
each in its highest version; where several would do, and none of them is needed anyway, that is an error that names them. What
is recommended is not installed. Conflicts and obsoletions among the chosen are errors too.
"""

from __future__ import annotations

import functools
from collections import deque
from collections.abc import Collection, Iterable, Sequence
from typing import Final

from imgcore.errors import DependencyError, PathError, show
from imgcore.events import Control
from imgcore.formats.rpm.package import Dependency
from imgcore.model import Accounts, Tree
from imgcore.packages.model import Candidate, PackageSource, compatible
from imgcore.packages.requested import is_pattern, meant
from imgcore.packages.versions import overlap
from imgcore.values import value_class

__all__ = ["RPMLIB", "Resolution", "parse_dependency", "resolve"]

_SHOWN: Final = 20  # problems in a message; an error has all of them

RPMLIB: Final = {
    "rpmlib(BuiltinLuaScripts)": "4.2.2-1",
    "rpmlib(CaretInVersions)": "4.15.0-1",
    "rpmlib(CompressedFileNames)": "3.0.4-1",
    "rpmlib(ConcurrentAccess)": "4.1-1",
    "rpmlib(ExplicitPackageProvide)": "4.0-1",
    "rpmlib(FileCaps)": "4.6.1-1",
    "rpmlib(FileDigests)": "4.6.0-1",
    "rpmlib(HeaderLoadSortsTags)": "4.0.1-1",
    "rpmlib(LargeFiles)": "4.12.0-1",
    "rpmlib(PartialHardlinkSets)": "4.0.4-1",
    "rpmlib(PayloadFilesHavePrefix)": "4.0-1",
    "rpmlib(PayloadIsBzip2)": "3.0.5-1",
    "rpmlib(PayloadIsLzma)": "4.4.2-1",
    "rpmlib(PayloadIsXz)": "5.2-1",
    "rpmlib(PayloadIsZstd)": "5.4.18-1",
    "rpmlib(RichDependencies)": "4.12.0-1",
    "rpmlib(ScriptletExpansion)": "4.9.0-1",
    "rpmlib(ScriptletInterpreterArgs)": "4.0.3-1",
    "rpmlib(TildeInVersions)": "4.10.0-1",
    "rpmlib(VersionedDependencies)": "3.0.3-1",
}
"""What a package may require of the program that installs it, and imgcore does."""

_MERGED: Final = (b"/bin/", b"/sbin/", b"/lib/", b"/lib64/")


@value_class
class Resolution:
    """What has to be installed, sorted by name.

    `needed_by` says of each which package (or `request`) asked for it first, and what for.
    """

    packages: tuple[Candidate, ...]
    needed_by: tuple[tuple[str, str], ...]


def parse_dependency(text: str) -> Dependency:
    """Return what `NAME` or `NAME OPERATOR VERSION` says. Raises ValueError."""
    parts = text.split()
    if len(parts) == 1 or text.startswith("("):
        return Dependency(text.strip())
    if len(parts) != 3 or parts[1] not in ("<", "<=", "=", ">=", ">", "=="):
        raise ValueError(f"`{text}` is no dependency; write NAME, or NAME = VERSION")
    return Dependency(parts[0], parts[1].replace("==", "="), parts[2])


def resolve(
    wanted: Sequence[str],
    sources: Sequence[PackageSource],
    *,
    arch: str,
    base: Tree | None = None,
    provided: Iterable[Dependency] = (),
    ignore: Collection[str] = (),
    control: Control | None = None,
) -> Resolution:
    """Return the packages that are wanted, and all that they require.

    `wanted` are names of packages, capabilities or paths of files, also with a version (`foo >= 2`); where nothing provides
    that, what else a request may mean (`requested`). Of equal versions that of the earlier source is taken. What is in `base`
    is there already: its files, its users and groups; `provided` are capabilities that are there too. `ignore` are
    requirements that are not looked at, as they are written; it is the only way around a rich dependency.
    Raises DependencyError that lists every problem, ValueError, and what the sources raise.
    """
    work = _Resolver(sources, arch, base, tuple(provided), frozenset(ignore), control or Control())
    return work.run([parse_dependency(text) for text in wanted])


class _Index:
    """All packages of an architecture, by what they provide."""

    def __init__(self, sources: Sequence[PackageSource], arch: str) -> None:
        self._sources = sources
        self._rank = {name: rank for rank, name in enumerate(compatible(arch))}
        self._provides: dict[str, list[tuple[Candidate, Dependency]]] = {}
        self._order: dict[int, int] = {}
        self._candidates: list[Candidate] = []
        for rank, source in enumerate(sources):
            for one in source.candidates():
                if one.package.arch in self._rank:
                    self._order[id(one)] = rank
                    self._candidates.append(one)
                    for provide in one.provides():
                        self._provides.setdefault(provide.name, []).append((one, provide))

    def fitting(self, wanted: Dependency) -> list[Candidate]:
        """Return the packages that provide something."""
        found = {id(one): one for one, provide in self._provides.get(wanted.name, ()) if overlap(provide, wanted)}
        if not found and wanted.name.startswith("/"):
            path = wanted.name.encode("utf-8", "surrogateescape")
            paths = [path, b"/usr" + path] if path.startswith(_MERGED) else [path]
            for one in (one for path in paths for source in self._sources for one in source.owners(path)):
                if id(one) in self._order:
                    found[id(one)] = one
        return list(found.values())

    def requested(self, wanted: Dependency) -> list[Candidate]:
        """Return the packages that a request means which nothing provides as it stands, each the best of its name."""
        found: dict[str, list[Candidate]] = {}
        if not wanted.operator:
            for one in meant(wanted.name, self._candidates):
                found.setdefault(one.name, []).append(one)
        return [self.best(found[name]) for name in sorted(found)]

    def best(self, candidates: Iterable[Candidate]) -> Candidate:
        """Return the highest version; of equal ones the better architecture, then the earlier source."""

        def order(one: Candidate, two: Candidate) -> int:
            found = one.evr.compare(two.evr)
            for place in (self._rank[one.package.arch], self._rank[two.package.arch]), self._places(one, two):
                found = found or (place[1] > place[0]) - (place[1] < place[0])
            return found

        return max(candidates, key=functools.cmp_to_key(order))

    def _places(self, one: Candidate, two: Candidate) -> tuple[int, int]:
        return self._order[id(one)], self._order[id(two)]


class _Resolver:
    def __init__(
        self,
        sources: Sequence[PackageSource],
        arch: str,
        base: Tree | None,
        provided: tuple[Dependency, ...],
        ignore: frozenset[str],
        control: Control,
    ) -> None:
        self._index = _Index(sources, arch)
        self._arch = arch
        self._base = base
        self._accounts = Accounts.of_tree(base) if base is not None else Accounts()
        self._provided = provided
        self._ignore = ignore
        self._control = control
        self._chosen: dict[str, Candidate] = {}
        self._reasons: dict[str, tuple[str, str]] = {}
        self._problems: list[str] = []
        self._done: set[tuple[str, str, str]] = set()

    def run(self, wanted: Sequence[Dependency]) -> Resolution:
        """Return what is needed."""
        queue = deque(("request", one) for one in wanted)
        waiting: list[tuple[str, Dependency]] = []
        while queue or waiting:
            if not queue:  # only what several packages could be: perhaps one of them was taken meanwhile
                open_still = [(by, one) for by, one in waiting if not self._is_met(one)]
                for by, one in open_still:
                    self._problems.append(self._ambiguous(by, one))
                break
            by, one = queue.popleft()
            self._control.check()
            key = (one.name, one.operator, one.version)
            if by != "request" and (key in self._done or str(one) in self._ignore):
                continue
            self._done.add(key)
            if self._is_met(one):
                continue
            meant = self._meant(one) if by == "request" else []
            found = meant or self._choice(by, one)
            if found is None:
                continue
            if len(found) > 1 and not meant:
                waiting.append((by, one))
                continue
            for each in found:
                if self._chosen.get(each.name) is not each:
                    queue += self._take(each, by, one)
        self._require_peace()
        if self._problems:
            more = len(self._problems) - _SHOWN
            shown = "; ".join(self._problems[:_SHOWN]) + (f"; and {more} more" if more > 0 else "")
            raise DependencyError(shown, problems=self._problems)
        names = sorted(self._chosen)
        return Resolution(tuple(self._chosen[name] for name in names), tuple(self._reasons[name] for name in names))

    def _take(self, found: Candidate, by: str, why: Dependency) -> list[tuple[str, Dependency]]:
        there = self._chosen.get(found.name)
        if there is not None:
            self._problems.append(f"{by} needs {show(str(why))}, which is {found}, but {there} was taken")
            return []
        self._chosen[found.name] = found
        self._reasons[found.name] = (by, str(why))
        return [(str(found), one) for one in found.package.requires]

    def _meant(self, wanted: Dependency) -> list[Candidate]:
        """Return what a request means that nothing provides as it stands: one package, or all that match a pattern."""
        found = [] if self._index.fitting(wanted) else self._index.requested(wanted)
        return found if len(found) == 1 or is_pattern(wanted.name) else []

    def _choice(self, by: str, wanted: Dependency) -> list[Candidate] | None:
        """Return the package to be taken, or several that would do, each the best of its name; None where it is a problem."""
        if wanted.name.startswith("("):
            self._problems.append(f"{by} needs the rich dependency {show(wanted.name)}, which is not understood")
            return None
        if wanted.name.startswith("rpmlib("):
            self._problems.append(f"{by} needs {show(str(wanted))}, which imgcore does not do")
            return None
        found = self._index.fitting(wanted)
        if not found:
            self._problems.append(f"nothing provides {show(str(wanted))}, needed by {by}")
            return None
        names = {one.name for one in found}
        if wanted.name in names:
            names = {wanted.name}
        return [self._index.best(one for one in found if one.name == name) for name in sorted(names)]

    def _ambiguous(self, by: str, wanted: Dependency) -> str:
        found = self._choice(by, wanted) or []
        listed = ", ".join(map(str, found))
        return f"{by} needs {show(str(wanted))}, which several packages provide: {listed}; name one of them"

    def _is_met(self, wanted: Dependency) -> bool:
        """Return whether something that is there, or was chosen, provides it."""
        if wanted.name.startswith("rpmlib("):
            known = RPMLIB.get(wanted.name)
            return known is not None and overlap(Dependency(wanted.name, "=", known), wanted)
        if any(overlap(one, wanted) for one in self._provided) or self._is_in_base(wanted):
            return True
        return any(self._chosen.get(one.name) is one for one in self._index.fitting(wanted))

    def _is_in_base(self, wanted: Dependency) -> bool:
        if self._base is None or wanted.operator:
            return False
        kind, bracket, name = wanted.name.partition("(")
        if bracket and kind in ("user", "group"):
            known = self._accounts.uid(name[:-1]) if kind == "user" else self._accounts.gid(name[:-1])
            return known is not None
        return wanted.name.startswith("/") and _exists(self._base, wanted.name)

    def _require_peace(self) -> None:
        """Note every conflict, and every package that another one replaces."""
        chosen = [self._chosen[name] for name in sorted(self._chosen)]
        provided: dict[str, list[tuple[Candidate, Dependency]]] = {}
        for one in chosen:
            for provide in one.provides():
                provided.setdefault(provide.name, []).append((one, provide))
        for one in chosen:
            for dependency in one.package.conflicts:
                rivals = {
                    id(other): other for other, provide in provided.get(dependency.name, ()) if overlap(provide, dependency)
                }
                for other in rivals.values():
                    if other is not one:
                        self._problems.append(f"{one} conflicts with {show(str(dependency))}, which {other} is")
            for dependency in one.package.obsoletes:
                named = self._chosen.get(dependency.name)
                if named is None or named is one:
                    continue
                if overlap(Dependency(named.name, "=", named.package.evr), dependency):
                    self._problems.append(f"{one} replaces {show(str(dependency))}, which {named} is")


def _exists(tree: Tree, path: str) -> bool:
    try:
        tree.lookup(path.encode("utf-8", "surrogateescape"), follow=True)
    except PathError:
        return False
    return True
