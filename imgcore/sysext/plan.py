"""`plan`: everything that systemd would decide about the extensions of a host, as one value.

The root and all images are read, each extension is decided on, and the layers of each hierarchy are laid out. Nothing is
merged yet: `merging.merge_plan` does that.
"""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Self

from imgcore.limits import Limits
from imgcore.model import Tree
from imgcore.sysext.architecture import ARCHITECTURES, near_misses
from imgcore.sysext.decide import Decision, decide
from imgcore.sysext.discovery import Discovery, Listing, Skipped, discover, is_extension_name, nameless
from imgcore.sysext.extension import Extension, open_extension
from imgcore.sysext.host import Host, is_initrd, read_host
from imgcore.sysext.kinds import KINDS, Kind, KindName
from imgcore.sysext.layers import Block, Hierarchy, hierarchy_of
from imgcore.sysext.mutable import MutableMode, read_configuration
from imgcore.sysext.order import sorted_names, ties
from imgcore.sysext.policy import ImagePolicy
from imgcore.sysext.version import NEWEST, SystemdVersion

__all__ = ["Options", "Plan", "plan", "plan_extensions"]


@dataclass(frozen=True, slots=True)
class Options:
    """What is asked of systemd, and what-if.

    Attributes:
        systemd: whose version's decisions.
        architecture: of the machine, by systemd's name.
        force: match nothing.
        mutable: what takes writes; None for what the configuration in the root says, `no` without one.
        image_policy: None for the configuration's, or that of the class.
        hierarchies: what is merged; None for those of the class.
        booted: decide as on the running system, not as with `--root`.
        root_prefix: length of the path that the root is mounted at, which counts in mount options; 0 for the running system.
        os_release: of another host, in place of the root's own.
        leave_out: names of extensions that are not there.
        order: names of extensions, the lowest first, in place of the order of names; those not named keep theirs, below.
    """

    systemd: SystemdVersion = NEWEST
    architecture: str = "x86-64"
    force: bool = False
    mutable: MutableMode | None = None
    image_policy: ImagePolicy | None = None
    hierarchies: tuple[bytes, ...] | None = None
    booted: bool = False
    root_prefix: int = 0
    os_release: Mapping[str, str] | None = None
    leave_out: Collection[bytes] = ()
    order: Sequence[bytes] = ()


@dataclass(slots=True)
class Plan:
    """What systemd would do. `with` closes the images.

    Attributes:
        root: the host.
        kind: the class of extensions.
        options: what was asked.
        host: what extensions have to fit to.
        mode: what takes writes.
        found: all extensions, in the order of discovery.
        decisions: one for each, in systemd's order of layers, the lowest first.
        skipped: entries of search directories that are none.
        hierarchies: the layers of each, as if nothing blocked them.
        blocks: what stops the whole merge beyond fatal decisions.
        tied: names that systemd holds for equal, so that their order changes from run to run; here it is bytewise.
    """

    root: Tree
    kind: Kind
    options: Options
    host: Host
    mode: MutableMode
    found: tuple[Extension, ...]
    decisions: tuple[Decision, ...]
    skipped: tuple[Skipped, ...]
    hierarchies: tuple[Hierarchy, ...]
    blocks: tuple[Block, ...]
    tied: tuple[tuple[bytes, ...], ...] = ()
    _close: Callable[[], None] | None = field(default=None, repr=False)

    @property
    def accepted(self) -> tuple[Decision, ...]:
        """Those that are merged, the lowest first, unless something is fatal."""
        return tuple(one for one in self.decisions if one.outcome == "accepted")

    @property
    def ignored(self) -> tuple[Decision, ...]:
        """Those that are left out."""
        return tuple(one for one in self.decisions if one.outcome == "ignored")

    @property
    def unsupported(self) -> tuple[Decision, ...]:
        """Those that imgcore cannot read, and whose part is therefore unknown."""
        return tuple(one for one in self.decisions if one.outcome == "unsupported")

    @property
    def fatal(self) -> tuple[Decision, ...]:
        """Those that block all."""
        return tuple(one for one in self.decisions if one.outcome == "fatal")

    @property
    def undiscovered(self) -> Block | None:
        """What stops systemd from looking for extensions, and so `list` too; None where nothing does."""
        return next((one for one in self.blocks if one.rule == "search"), None)

    @property
    def blocked(self) -> bool:
        """Whether nothing is merged."""
        return bool(self.blocks or self.fatal)

    def close(self) -> None:
        """Close the images; twice is fine."""
        if self._close is not None:
            self._close()
            self._close = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()


def plan(
    root: Tree,
    *,
    kind: KindName = "sysext",
    options: Options | None = None,
    limits: Limits | None = None,
    listing: Listing | None = None,
) -> Plan:
    """Return what systemd would decide about the extensions in the search directories of `root`.

    `listing` returns the names in a directory of the root as its file system lists them, which says who of two of one name
    is first; without it, the first by name is. Raises LimitExceeded, SourceError; whatever else is wrong with an image is a
    decision. Raises ValueError for options that the version of systemd does not have, and for extensions that are not there.
    """
    options, limits, what = options or Options(), limits or Limits.default(), KINDS[kind]
    systemd = options.systemd
    initrd = is_initrd(root, systemd, options.booted)
    found = discover(
        root,
        what,
        systemd=systemd,
        architecture=options.architecture,
        initrd=initrd,
        booted=options.booted,
        listing=listing,
    )
    with contextlib.ExitStack() as stack:
        extensions = [open_extension(one, what, systemd, limits, stack) for one in found.candidates]
        made = plan_extensions(root, extensions, kind=kind, options=options, discovery=found)
        made._close = stack.pop_all().close
        return made


def plan_extensions(
    root: Tree,
    extensions: Sequence[Extension],
    *,
    kind: KindName = "sysext",
    options: Options | None = None,
    discovery: Discovery | None = None,
) -> Plan:
    """Return what systemd would decide about these extensions, wherever they are; `discovery` is how they were found.

    Raises ValueError as `plan` does.
    """
    options, what = options or Options(), KINDS[kind]
    systemd = options.systemd
    _require_known(what, options)
    mode, policy = _configured(root, what, options)
    host = read_host(
        root,
        what,
        systemd=systemd,
        architecture=options.architecture,
        booted=options.booted,
        os_release=options.os_release,
    )
    by_name = {one.name: one for one in extensions if is_extension_name(one.name)}
    skipped = [] if discovery is None else discovery.skipped
    skipped += [nameless(one.path) for one in extensions if one.name not in by_name]
    _require_present(by_name, options.leave_out, "left out")
    by_name = {name: one for name, one in by_name.items() if name not in options.leave_out}
    ordered = [by_name[name] for name in _ordered(by_name, options.order)]
    decisions = tuple(decide(one, host, what, systemd, force=options.force, policy=policy) for one in ordered)
    blocks = []
    if discovery is not None and discovery.stop is not None:
        stop = discovery.stop
        wanted = "what can be looked up, or nothing"
        blocks.append(Block("search", stop.path, stop.reason, wanted, "repair or remove it", early=True))
    if host.trouble:
        place = host.path or b"/usr/lib/os-release"
        fix = f"set ID= in {place.decode('utf-8', 'backslashreplace')} of the host"
        blocks.append(Block("host", place, host.trouble, "an os-release with ID=", fix))
    accepted = [one.extension for one in decisions if one.outcome == "accepted"]
    hierarchies = []
    if accepted or (mode != "no" and systemd.mutable_alone):
        for path in options.hierarchies or what.hierarchies:
            one, found = hierarchy_of(root, path, accepted, what, mode, options.root_prefix, systemd)
            hierarchies.append(one)
            blocks += [block for block in found if block not in blocks]
    return Plan(
        root,
        what,
        options,
        host,
        mode,
        tuple(by_name.values()),
        decisions,
        tuple(skipped),
        tuple(hierarchies),
        tuple(blocks),
        ties(one.name for one in accepted if one.name not in options.order),
    )


def _require_known(kind: Kind, options: Options) -> None:
    """Raise ValueError for what the version does not have."""
    systemd = options.systemd
    if kind.name == "confext" and not systemd.confext:
        raise ValueError(f"systemd {systemd.number} has no confext")
    if options.mutable not in (None, "no") and not systemd.mutable:
        raise ValueError(f"systemd {systemd.number} has no --mutable")
    if options.image_policy is not None and not systemd.confext:
        raise ValueError(f"systemd {systemd.number} has no --image-policy")
    if options.architecture not in ARCHITECTURES:
        near = near_misses(options.architecture)
        help_ = f"; did you mean {near}?" if near else f"; known: {', '.join(sorted(ARCHITECTURES))}"
        raise ValueError(f"systemd knows no architecture `{options.architecture}`{help_}")


def _require_present(names: Collection[bytes], asked: Collection[bytes], what: str) -> None:
    """Raise ValueError for the name of an extension that is not there."""
    for name in asked:
        if name not in names:
            raise ValueError(f"there is no extension `{name.decode('utf-8', 'backslashreplace')}` to be {what}")


def _configured(root: Tree, kind: Kind, options: Options) -> tuple[MutableMode, ImagePolicy | None]:
    """Return the mode and the policy: what was asked, else what the configuration says."""
    mode, policy = options.mutable, options.image_policy
    if options.systemd.configuration and (mode is None or policy is None):
        said = read_configuration(root, kind)
        mode = said.mutable if mode is None else mode
        if policy is None and said.image_policy is not None:
            with contextlib.suppress(ValueError):  # systemd warns, and goes on without
                policy = ImagePolicy.parse(said.image_policy, options.systemd)
    return mode or "no", policy


def _ordered(names: Collection[bytes], order: Sequence[bytes]) -> list[bytes]:
    """Return the names, the lowest first. Raises ValueError for one of `order` that is not there, or there twice."""
    _require_present(names, order, "ordered")
    for name, times in Counter(order).items():
        if times > 1:
            raise ValueError(f"the extension `{name.decode('utf-8', 'backslashreplace')}` is to be ordered twice")
    return [*sorted_names(name for name in names if name not in order), *order]
