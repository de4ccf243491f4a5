"""How versions compare: the facts that rpm's own tests hold, and ranges."""

from __future__ import annotations

import pytest

from imgcore.packages import Dependency, Evr, overlap, parse_dependency, rpmvercmp

EQUAL = [
    *("1.0", "2.0.1", "2.0.1a", "5.5p1", "5.5p10", "xyz10", "xyz.4", "1.0aa", "10.0001", "20101121", "2_0", "a", "a+"),
    *("1.0~rc1", "1.0~rc1~git123", "1.0^", "1.0^git1", "1.0^20160101", "1.0~rc1^git1", "1.0^git1~pre"),
]
SAME = ["10.0001 10.1", "2.0 2_0", "a+ a_", "+a _a", "+_ _+", "+ _", "1.0. 1.0", "001 1", "1.1.α 1.1.β"]
OLDER = [
    *("1.0 2.0", "2.0 2.0.1", "2.0.1 2.0.1a", "5.5p1 5.5p2", "5.5p1 5.5p10", "10xyz 10.1xyz", "xyz10 xyz10.1", "xyz.4 8"),
    *("xyz.4 2", "5.5p2 5.6p1", "5.6p1 6.5p1", "6.0 6.0.rc1", "10a2 10b2", "10a1 10b2", "1.0a 1.0aa", "10.0001 10.0039"),
    *("4.999.9 5.0", "20101121 20101122", "1.0~rc1 1.0", "1.0~rc1 1.0~rc2", "1.0~rc1~git123 1.0~rc1", "1.0 1.0^"),
    *("1.0 1.0^git1", "1.0^git1 1.0^git2", "1.0^git1 1.01", "1.0^20160101 1.0.1", "1.0^20160101^git1 1.0^20160102"),
    *("1.0~rc1 1.0~rc1^git1", "1.0^git1~pre 1.0^git1", "1b.fc17 1.fc17", "1.fc17 1g.fc17", "9 10", "09 10", "a 0", " 0"),
]


@pytest.mark.parametrize("text", EQUAL)
def test_itself(text: str) -> None:
    assert rpmvercmp(text, text) == 0


@pytest.mark.parametrize("text", SAME)
def test_no_difference(text: str) -> None:
    one, two = text.split()
    assert rpmvercmp(one, two) == rpmvercmp(two, one) == 0


@pytest.mark.parametrize("text", OLDER)
def test_older(text: str) -> None:
    one, _, two = text.partition(" ")
    assert (rpmvercmp(one, two), rpmvercmp(two, one)) == (-1, 1)


def test_epoch_version_release() -> None:
    assert Evr.parse("2:1.0-3.fc40") == Evr(2, "1.0", "3.fc40") and str(Evr.parse("2:1.0-3")) == "2:1.0-3"
    assert Evr.parse("1.0") == Evr(0, "1.0", "99") and Evr.parse("a:b") == Evr(0, "a:b") and Evr.parse(":1") == Evr(0, "1")
    assert Evr.parse("1-2-3") == Evr(0, "1-2", "3")
    assert Evr.parse("1:1") > Evr.parse("2") and Evr.parse("1-1") < Evr.parse("1-2")
    assert [one.version for one in sorted(Evr(0, text) for text in ("1.10", "1.9", "1.10~a"))] == ["1.9", "1.10~a", "1.10"]
    assert Evr(0, "1") != "1"


YES = [
    "= 1|= 1",
    "|= 1",
    "= 1|",
    ">= 1|= 2",
    "< 2|= 1",
    "< 2|< 1",
    "> 1|> 5",
    ">= 1|<= 1",
    "= 1-2|= 1",
    ">= 1|= 1:0.5",
    "= 2|> 1",
]
NO = ["= 1|= 2", "< 1|= 1", "> 1|= 1", "< 1|> 1", "<= 1|>= 2", "= 1-2|= 1-3", "= 1:1|= 1", "> 2|= 1", ">= 1:0|= 5"]


@pytest.mark.parametrize(("text", "wanted"), [*((one, True) for one in YES), *((one, False) for one in NO)])
def test_ranges(text: str, wanted: bool) -> None:
    one, two = (parse_dependency(f"a {part}") for part in text.split("|"))
    assert overlap(one, two) is overlap(two, one) is wanted
    assert not overlap(one, Dependency("b"))


def test_dependencies_as_text() -> None:
    assert parse_dependency("foo == 1") == Dependency("foo", "=", "1")
    assert parse_dependency("(a or b)") == Dependency("(a or b)") and str(parse_dependency("a > 2")) == "a > 2"
    for text in ("", "a b", "a ! 1", "a = 1 2"):
        with pytest.raises(ValueError, match="no dependency"):
            parse_dependency(text)
