"""Which packages are needed: closures, choices, and every way in which there is none."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from imgcore.errors import DependencyError
from imgcore.events import Control
from imgcore.formats.rpm import RpmImage
from imgcore.formats.rpm.package import Dependency, Package
from imgcore.model import directory, file, symlink, tree
from imgcore.packages import Candidate, PackageSource, resolve
from imgcore.packages.resolve import parse_dependency


class Made:
    """A source of packages that are made up: `NAME-VERSION[.ARCH]` to what is said of it."""

    def __init__(self, packages: dict[str, str], files: dict[bytes, str] | None = None, name: str = "made") -> None:
        self.name = name
        self._all = [self._candidate(nevra, text) for nevra, text in packages.items()]
        self._files = files or {}

    def _candidate(self, nevra: str, text: str) -> Candidate:
        name, _, version = nevra.partition("-")
        version, _, arch = version.partition("/")
        lists: dict[str, list[Dependency]] = {"requires": [], "provides": [], "conflicts": [], "obsoletes": []}
        for part in filter(None, text.split(";")):
            kind, _, what = part.strip().partition(" ")
            lists[kind].append(parse_dependency(what))
        epoch, colon, rest = version.partition(":")
        package = Package(
            name,
            rest if colon else version,
            "1",
            arch or "x86_64",
            epoch=int(epoch) if colon else None,
            **{kind: tuple(found) for kind, found in lists.items()},  # type: ignore[arg-type]
        )
        return Candidate(package, self, nevra)

    def candidates(self) -> Sequence[Candidate]:
        return self._all

    def owners(self, path: bytes) -> list[Candidate]:
        return [one for one in self._all if one.name == self._files.get(path)]

    def open(self, candidate: Candidate) -> RpmImage:
        raise AssertionError("nothing is opened")


def names(wanted: str, *sources: Made, arch: str = "x86_64", **more: object) -> list[str]:
    found = resolve(wanted.split(","), sources, arch=arch, **more)  # type: ignore[arg-type]
    assert len(found.packages) == len(found.needed_by)
    return [f"{one.name}-{one.package.version}" for one in found.packages]


def problems(wanted: str, *sources: Made, **more: object) -> tuple[str, ...]:
    with pytest.raises(DependencyError) as caught:
        names(wanted, *sources, **more)  # type: ignore[arg-type]
    assert caught.value.problems[0] in str(caught.value)
    return caught.value.problems


def test_closure() -> None:
    source = Made(
        {"a-1": "requires b;requires cap(x)", "b-1": "requires c >= 1", "c-1": "requires a", "d-1": "provides cap(x)"}
    )
    assert isinstance(source, PackageSource)
    assert names("a", source) == ["a-1", "b-1", "c-1", "d-1"]
    found = resolve(["a"], [source], arch="x86_64")
    assert dict(zip(map(str, found.packages), found.needed_by, strict=True))["d-1-1.x86_64"] == ("a-1-1.x86_64", "cap(x)")
    assert names("b,c >= 1", source) == ["a-1", "b-1", "c-1", "d-1"]
    assert names("cap(x)", source) == ["d-1"]


def test_the_highest_version_of_the_best_architecture_of_the_first_source() -> None:
    source = Made({"a-1.9": "", "a-1.10": "", "a-1.10~rc1": "", "a-1.2/noarch": "", "a-9/aarch64": "", "a-1.10/noarch": ""})
    assert names("a", source) == ["a-1.10"]
    assert resolve(["a"], [source], arch="x86_64").packages[0].package.arch == "x86_64"
    assert names("a", source, arch="aarch64") == ["a-9"] and names("a", source, arch="odd") == ["a-1.10"]
    assert names("a < 1.10", source) == ["a-1.10~rc1"] and names("a = 1.9", source) == ["a-1.9"]
    assert names("a", Made({"a-1:0.1": "", "a-5": ""})) == ["a-0.1"]
    two = Made({"a-1.10": ""}, name="second")
    assert resolve(["a"], [two, source], arch="x86_64").packages[0].source is two
    assert resolve(["a"], [source, two], arch="x86_64").packages[0].source is source


def test_a_package_that_is_called_so_comes_first() -> None:
    source = Made({"sh-1": "", "bash-1": "provides sh", "a-1": "requires sh"})
    assert names("a", source) == ["a-1", "sh-1"]


def test_several_that_would_do() -> None:
    source = Made({"a-1": "requires mta", "postfix-1": "provides mta", "exim-1": "provides mta", "exim-2": "provides mta"})
    assert problems("a", source) == (
        "a-1-1.x86_64 needs mta, which several packages provide: exim-2-1.x86_64, postfix-1-1.x86_64; name one of them",
    )
    assert names("a,postfix", source) == ["a-1", "postfix-1"]
    later = Made({"a-1": "requires mta;requires z", "p-1": "provides mta", "q-1": "provides mta", "z-1": "requires q"})
    assert names("a", later) == ["a-1", "q-1", "z-1"]
    assert names("a", source, provided=[Dependency("mta")]) == ["a-1"]


def test_requests_as_of_package_managers() -> None:
    source = Made({"z-1": "", "[-3": "", "tool-1": ""})
    source._all += [Candidate(Package("lib-x", version, "1", "x86_64"), source, version) for version in ("1.2", "1.3")]
    source._all.append(Candidate(Package("lib-y", "5", "1", "noarch", epoch=2), source, "y"))
    for said in ("lib-x", "lib-x.x86_64", "lib-x-1.3", "lib-x-1.3-1", "lib-x-0:1.3-1", "lib-x-1.3-1.x86_64"):
        assert names(said, source) == ["lib-x-1.3"], said
    assert names("lib-x-1.2,lib-x", source) == names("lib-x-1.2-*", source) == ["lib-x-1.2"]  # what was taken will do
    assert names("lib-*", source) == names("lib-?,lib-x", source) == ["lib-x-1.3", "lib-y-5"]
    assert names("lib-y-2:5", source) == names("lib-y-5-1.noarch", source) == ["lib-y-5"]
    assert names("[", source) == ["[-3"] and names("[yz]", source) == ["z-1"]
    for said in ("lib", "lib-x-1.4", "lib-x.aarch64", "lib-x-1:1.3-1", "q*", "LIB-*"):
        assert problems(said, source) == (f"nothing provides {said}, needed by request",)
    requiring = Made({"a-1": "requires tool-1;requires too*", "tool-1": ""})  # packages say capabilities, not patterns
    assert problems("a", requiring) == (
        "nothing provides tool-1, needed by a-1-1.x86_64",
        "nothing provides too*, needed by a-1-1.x86_64",
    )


def test_what_is_missing_is_listed_whole() -> None:
    source = Made({"a-1": "requires nothing;requires b > 1;requires (x or y);requires rpmlib(New) <= 9", "b-1": ""})
    assert problems("a,none", source) == (
        "nothing provides none, needed by request",
        "nothing provides nothing, needed by a-1-1.x86_64",
        "nothing provides b > 1, needed by a-1-1.x86_64",
        "a-1-1.x86_64 needs the rich dependency (x or y), which is not understood",
        "a-1-1.x86_64 needs rpmlib(New) <= 9, which imgcore does not do",
    )
    ignored = ["nothing", "b > 1", "(x or y)", "rpmlib(New) <= 9"]
    assert names("a", source, ignore=ignored) == ["a-1"]
    assert problems("a-1", source) and problems("nothing", source, ignore=["nothing"])


def test_rpmlib() -> None:
    assert names("a", Made({"a-1": "requires rpmlib(FileCaps) <= 4.6.1-1"})) == ["a-1"]
    assert problems("a", Made({"a-1": "requires rpmlib(FileCaps) > 4.6.1-1"}))


def test_two_versions() -> None:
    source = Made({"a-1": "requires b = 1;requires c", "b-1": "", "b-2": "", "c-1": "requires b = 2"})
    assert problems("a", source) == ("c-1-1.x86_64 needs b = 2, which is b-2-1.x86_64, but b-1-1.x86_64 was taken",)


def test_conflicts_and_obsoletions() -> None:
    source = Made(
        {
            "a-1": "conflicts b < 2;conflicts self",
            "b-1": "",
            "c-1": "obsoletes b",
            "d-1": "provides self;conflicts d",
            "e-1": "obsoletes x",
            "f-1": "provides x",
        }
    )
    assert problems("a,b", source) == ("a-1-1.x86_64 conflicts with b < 2, which b-1-1.x86_64 is",)
    assert problems("b,c", source) == ("c-1-1.x86_64 replaces b, which b-1-1.x86_64 is",)
    assert problems("a,d", source) == ("a-1-1.x86_64 conflicts with self, which d-1-1.x86_64 is",)
    assert names("d", source) == ["d-1"]  # a package does not conflict with itself
    assert names("e,f", source) == ["e-1", "f-1"]  # names are replaced, not what is provided


def test_files() -> None:
    source = Made(
        {
            "a-1": "requires /usr/bin/tool",
            "b-1": "requires /bin/tool",
            "t-1": "",
            "e-1": "provides /opt/x",
            "c-1": "requires /opt/x",
        },
        {b"/usr/bin/tool": "t"},
    )
    assert (
        names("a", source) == ["a-1", "t-1"] and names("b", source) == ["b-1", "t-1"] and names("c", source) == ["c-1", "e-1"]
    )
    assert names("/usr/bin/tool", source) == ["t-1"]
    assert problems("/usr/bin/none", source)


def test_what_the_base_has() -> None:
    base = tree(
        {
            "/bin": symlink("usr/bin"),
            "/usr/bin/sh": file(b""),
            "/etc/passwd": file(b"web:x:33:33::/:\n"),
            "/etc/group": file(b"web:x:33:\n"),
            "/d": directory(),
        }
    )
    source = Made({"a-1": "requires /bin/sh;requires user(web);requires group(web);requires /d"})
    assert names("a", source, base=base) == ["a-1"]
    assert len(problems("a", source)) == 4
    assert problems("a", Made({"a-1": "requires user(nobody);requires /none"}), base=base)


def test_the_order_of_what_is_wanted_does_not_matter() -> None:
    source = Made({"a-1": "requires x", "b-1": "requires p", "p-1": "provides x", "q-1": "provides x"})
    assert names("a,b", source) == names("b,a", source) == ["a-1", "b-1", "p-1"]


def test_cancelling() -> None:
    control = Control()
    control.cancel()
    with pytest.raises(Exception, match="cancelled"):
        names("a", Made({"a-1": ""}), control=control)
