"""mkosi 25.3 itself, asked what configurations say: all that its summary shows is compared, but for a seed that is random."""

from __future__ import annotations

import random
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from imgcore.errors import ImgcoreError
from imgcore.mkosi import SETTINGS
from imgcore.mkosi.versions import compare
from tests.kit.mkosi import Driver, Values, flags, mkosi_source, ours, run_mkosi, unlike, write_files
from tests.kit.mkosi_cases import CASES, EXAMPLES, Case
from tests.kit.mkosi_random import arguments, configuration

pytestmark = pytest.mark.oracle

VARIANTS: list[tuple[tuple[str, str], ...]] = [
    (("Distribution", "fedora"), ("Format", "disk")),
    (("Distribution", "opensuse"), ("Format", "sysext")),
    (("Distribution", "centos"), ("Release", "9"), ("Repositories", "epel")),
    (("Distribution", "rhel-ubi"), ("Bootable", "yes")),
    (("Distribution", "ubuntu"), ("Architecture", "arm64"), ("Bootable", "no")),
    (("Distribution", "kali"), ("Profiles", "x,y")),
    (("Distribution", "arch"), ("Format", "tar"), ("ImageVersion", "3")),
    (("Distribution", "azure"), ("Environment", "A=b")),
]


@pytest.fixture(scope="module")
def mkosi() -> Iterator[Driver]:
    one = Driver()
    yield one
    one.close()


def own_configurations() -> list[Path]:
    """Return every directory of mkosi's source with a configuration: its own image, tools, initrds, drop-ins."""
    return sorted({path.parent for path in mkosi_source().rglob("mkosi.conf")})


def _settled(images: list[Values]) -> list[Values]:
    """Return what the program said, its copy of its own resources named as the original."""
    place = str(mkosi_source() / "mkosi/resources")
    for image in images:
        image["Files"] = [re.sub(r"^/tmp/tmp[^/]*/resources", place, name) for name in image["Files"]]
    return images


def test_the_program_agrees_on_its_own_configurations() -> None:
    found = own_configurations()
    assert len(found) >= 20
    builtin = mkosi_source() / "mkosi/resources"
    for directory in found:
        assert unlike(_settled(run_mkosi(directory)), ours(directory, (), builtin)) == [], directory


@pytest.mark.parametrize("variant", VARIANTS, ids=lambda variant: variant[0][1])
def test_own_configurations_for_others(mkosi: Driver, variant: tuple[tuple[str, str], ...]) -> None:
    builtin = mkosi_source() / "mkosi/resources"
    for directory in own_configurations():
        theirs = mkosi.ask(directory, flags(variant))
        assert theirs is not None, directory
        assert unlike(theirs, ours(directory, variant, builtin)) == [], directory


def test_every_drop_in_alone(mkosi: Driver) -> None:
    builtin = mkosi_source() / "mkosi/resources"
    files = [one for one in mkosi_source().rglob("*.conf") if "mkosi.conf.d" in str(one) and one.name != "mkosi.conf"]
    assert len(files) >= 40
    for file in files:
        wanted = (("Include", str(file)),)
        theirs = mkosi.ask(file.parent, flags(wanted))
        assert theirs is not None, file
        assert unlike(theirs, ours(file.parent, wanted, builtin)) == [], file


@pytest.mark.parametrize("case", EXAMPLES, ids=lambda case: case.name)
def test_the_program_agrees_on_examples(case: Case, tmp_path: Path) -> None:
    directory = write_files(tmp_path / "c", case.files)
    assert unlike(run_mkosi(directory, *flags(case.arguments)), ours(directory, case.arguments)) == []


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_case(mkosi: Driver, case: Case, tmp_path: Path) -> None:
    directory = write_files(tmp_path / "c", case.files)
    theirs = mkosi.ask(directory, flags(case.arguments))
    assert (theirs is None) == (case.expected is None)
    if theirs is not None:
        assert unlike(theirs, ours(directory, case.arguments)) == []


@pytest.mark.parametrize("seed", range(4))
def test_random_configurations(mkosi: Driver, seed: int, tmp_path: Path) -> None:
    rng = random.Random(seed)
    wrong, right = [], 0
    for number in range(75):
        directory = write_files(tmp_path / str(number), configuration(rng))
        given = arguments(rng)
        theirs = mkosi.ask(directory, flags(given))
        try:
            found = ours(directory, given)
        except ImgcoreError as error:
            if theirs is not None:
                wrong.append(f"{number}: only we say {error}")
            continue
        right += theirs is not None
        wrong += [f"{number}: only mkosi fails"] if theirs is None else [f"{number}: {one}" for one in unlike(theirs, found)]
    assert not wrong, "\n".join(wrong[:20])
    assert right > 20


def test_no_setting_is_left_out(mkosi: Driver, tmp_path: Path) -> None:
    theirs = mkosi.ask(tmp_path)
    assert theirs is not None
    assert set(theirs[0]) - {"Image", "Files"} == {one.name for one in SETTINGS} - {"Include"}


def test_versions(mkosi: Driver) -> None:
    rng = random.Random(5)
    pairs = []
    for _ in range(5000):
        one, two = ("".join(rng.choices("0019aZb~-^._+ü", k=rng.randint(0, 6))) for _ in range(2))
        pairs.append((one, one[: rng.randint(0, 6)] + two[:2] if rng.random() < 0.3 else two))
    assert mkosi.compare(pairs) == [compare(*pair) for pair in pairs]
