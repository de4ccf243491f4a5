"""Names of FAT in two forms."""

from __future__ import annotations

import pytest

from imgcore.errors import MergeConflict, NotRepresentable
from imgcore.formats import fat
from imgcore.formats.fat.entries import Entry, entries_of, entry_bytes
from imgcore.formats.fat.names import checksum, folded, is_short, long_entries, named, problem, short_text
from imgcore.model import File, Loss, Tree
from tests.kit.archives import written
from tests.kit.fat_volumes import file, folder, hard_tree


def short(name: bytes, *others: bytes) -> str:
    return named([name, *others])[name].short.decode()


@pytest.mark.parametrize(
    ("name", "form", "case"),
    [
        (b"KERNEL.IMG", "KERNEL  IMG", 0),
        (b"kernel.img", "KERNEL  IMG", 0x18),
        (b"kernel.IMG", "KERNEL  IMG", 0x08),
        (b"KERNEL.img", "KERNEL  IMG", 0x10),
        (b"noext", "NOEXT      ", 0x08),
        (b"123", "123        ", 0),
        (b"~a~1.{}", "~A~1    {} ", 0x08),
    ],
)
def test_a_name_of_8_and_3_has_no_long_form(name: bytes, form: str, case: int) -> None:
    made = named([name])[name]
    assert (made.short.decode(), made.case, made.is_long) == (form, case, False)
    assert short_text(made.short, made.case) == name


@pytest.mark.parametrize(
    ("name", "form"),
    [
        (b"Mixed.txt", "MIXED~1 TXT"),
        (b"a long name.conf", "ALONGN~1CON"),
        (b".hidden", "HIDDEN~1   "),
        (b"two.dots.efi", "TWODOT~1EFI"),
        (b"123456789", "123456~1   "),
        (b"x.efi2", "X~1     EFI"),
        (b"a+b,c.t", "A_B_C~1 T  "),
        ("Ünï.txt".encode(), "_N_~1   TXT"),
        ("\U0001f4be".encode(), "_~1        "),
        (b" lead", "LEAD~1     "),
    ],
)
def test_the_short_form_of_others(name: bytes, form: str) -> None:
    made = named([name])[name]
    assert made.short.decode() == form and made.is_long and is_short(made.short)


def test_a_short_form_depends_on_names_with_the_same_one_only() -> None:
    one, two = b"long name one.txt", b"long name two.txt"
    alone = short(one, b"else.txt", b"another one.txt", b"LONGNB~1.TXT")
    assert alone == "LONGNA~1TXT" == short(one)
    both = named([one, two])
    assert both[one].short != both[two].short and {both[one].short[6:8], both[two].short[6:8]} == {b"~1"}
    assert short(one, two, b"third thing.txt") == short(one, two)
    third = b"long name three.txt"
    assert short(one, two, third) == short(one, third), "the third does not change what the first has"


def test_a_plain_name_keeps_what_would_be_the_short_form_of_another() -> None:
    made = named([b"LONGNA~1.TXT", b"long name.txt"])
    assert made[b"LONGNA~1.TXT"].short == b"LONGNA~1TXT" and not made[b"LONGNA~1.TXT"].is_long
    assert made[b"long name.txt"].short != b"LONGNA~1TXT"


def test_many_names_of_one_kind() -> None:
    names = [b"the same beginning %04d.txt" % number for number in range(3000)]
    made = named(names)
    assert len({form.short for form in made.values()}) == 3000 and all(is_short(form.short) for form in made.values())


def test_the_checksum_of_the_specification() -> None:
    assert checksum(b"A          ") == checksum(bytes((0x41,)) + b" " * 10)
    total = 0
    for byte in b"LONGNA~1TXT":
        total = ((total << 7 | total >> 1) & 0xFF) + byte & 0xFF  # rotate right, add
    assert checksum(b"LONGNA~1TXT") == total


@pytest.mark.parametrize("length", [1, 12, 13, 14, 26, 27, 255])
def test_long_entries_are_filled_as_windows_fills_them(length: int) -> None:
    name = (b"N" * length).replace(b"N", b"n", 1)
    data = long_entries(name, b"NNNNNN~1   ")
    assert len(data) == 32 * -(-length // 13) and data[0] == 0x40 | -(-length // 13)
    units = b"".join(
        data[at + 1 : at + 11] + data[at + 14 : at + 26] + data[at + 28 : at + 32] for at in range(0, len(data), 32)
    )
    last = units[:26]
    used = length - 13 * (len(data) // 32 - 1)
    assert last[2 * used : 2 * used + 2] == (b"\0\0" if used < 13 else b"") and set(last[2 * used + 2 :]) <= {0xFF}


@pytest.mark.parametrize(
    ("name", "why"),
    [
        (b"a:b", "':'"),
        (b'q"', "'\"'"),
        (b"back\\slash", "'\\\\\\\\'"),
        (b"tab\t", "'\\\\t'"),
        (b"dot.", "dot at its end"),
        (b"blank ", "blank"),
        (b"\xff\xfe", "not UTF-8"),
        (b"x" * 256, "255"),
        (("\U0001f4be" * 128).encode(), "255"),
    ],
)
def test_impossible_names(name: bytes, why: str) -> None:
    found = problem(name)
    assert found is not None and why.replace("\\\\", "\\") in found
    with pytest.raises(NotRepresentable) as caught:
        written(fat.FORMAT, Tree(folder({name: file(), b"good": file(), b"also:bad": file()})))
    assert {loss.path for loss in caught.value.losses if isinstance(loss, Loss)} == {b"/" + name, b"/also:bad"}


def test_names_that_differ_in_case_only_are_refused_with_both() -> None:
    with pytest.raises(MergeConflict, match=r"`Read Me.txt` and `read me.TXT`"):
        written(fat.FORMAT, Tree(folder({b"read me.TXT": file(), b"Read Me.txt": file()})))
    with pytest.raises(MergeConflict):
        written(fat.FORMAT, Tree(folder({"Ärger".encode(): file(), "ärger".encode(): file()})))
    assert folded("straße".encode()) != folded(b"STRASSE")
    assert written(fat.FORMAT, Tree(folder({"straße".encode(): file(), b"STRASSE": file()})))


def test_a_listing_is_read_as_it_was_written() -> None:
    children = hard_tree()["/names"].children  # type: ignore[union-attr]
    forms = named(children)
    data = b"".join(entry_bytes(name, forms[name], 7, 9, 1_700_000_000, is_dir=False) for name in sorted(forms))
    found = list(entries_of(data))
    assert [one.name for one in found] == sorted(forms)
    assert found[0].cluster == 7 and all(isinstance(node, File) for node in children.values())


def test_what_is_deleted_or_orphaned_is_passed_over() -> None:
    forms = named([b"a long name", b"the other"])
    one, two = (entry_bytes(name, forms[name], 2, 1, 0x40000000, is_dir=False) for name in sorted(forms))
    gone = bytearray(one)
    gone[0] = gone[32] = 0xE5
    orphan = one[:32]
    found: list[Entry] = list(entries_of(bytes(gone) + two))
    assert [entry.name for entry in found] == [b"the other"] and found[0].at == 64
    for data, places in (
        (orphan + two, [0]),
        (two + orphan, [64]),
        (two + orphan + bytes(32), [64]),
        (orphan + b"\xe5" + bytes(31) + two, [0]),
        (one[:32] + two[32:], [0]),
        (orphan + orphan + two, [0, 32]),
    ):
        orphans: list[int] = []
        assert [entry.name for entry in entries_of(data, orphans)][-1] in (
            b"the other",
            short_text(forms[b"the other"].short, 0),
        )
        assert orphans == places


def test_short_names_in_the_code_page() -> None:
    assert short_text(b"\x05\x84\x8e     \xe1  ", 0) == "σäÄ.ß".encode()
    assert short_text(b"\x90CRAN   TXT", 0x08) == "écran.TXT".encode()
