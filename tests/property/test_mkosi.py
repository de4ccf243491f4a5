"""Laws of the parser: what is written is read, and whatever the text is, only ImgcoreError comes out."""

from __future__ import annotations

import contextlib
import tempfile
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from imgcore.errors import ImgcoreError
from imgcore.mkosi import SETTINGS, Host, load, summary
from imgcore.mkosi.ini import Entry, read_ini
from imgcore.mkosi.versions import compare

NAMES = st.text(st.sampled_from("ABCabc019-_."), min_size=1, max_size=8)
LINES = st.text(
    st.characters(codec="ascii", min_codepoint=0x21, max_codepoint=0x7E, exclude_characters="#"), min_size=1, max_size=12
)
ENTRIES = st.lists(st.tuples(NAMES, st.lists(LINES, max_size=4)), max_size=5)
SECTIONS = st.lists(st.tuples(NAMES, ENTRIES), max_size=4)


@given(SECTIONS, st.sampled_from(["", "  ", "\t"]), st.booleans())
def test_what_is_written_is_read(sections: list[tuple[str, list[tuple[str, list[str]]]]], indent: str, noisy: bool) -> None:
    text, wanted = "", []
    for section, entries in sections:
        text += f"{indent}[{section}]{' # c' if noisy else ''}\n"
        for name, lines in entries:
            text += f"{indent}{name} = " + f"\n{indent}   ".join(["", *lines] if noisy else lines or [""]) + "\n"
            text += f"{indent}# a comment\n\n" if noisy else ""
            value = "\n".join(["", *lines] if noisy and lines else lines)
            wanted.append((section, name, value))
    found = [(one.section, one.name, one.value) for one in read_ini(text) if one.name]
    assert found == wanted


@given(st.text(max_size=80), st.sets(st.sampled_from(["Match", "Content"])))
def test_junk_of_lines(text: str, only: set[str]) -> None:
    try:
        entries = list(read_ini(text, only))
    except ImgcoreError as error:
        assert error.line is not None
        return
    assert all(isinstance(one, Entry) and 0 < one.line <= len(text.splitlines()) for one in entries)


ROWS = st.tuples(
    st.sampled_from([one for one in SETTINGS if one.name != "Include"]),
    st.text(max_size=12)
    | st.sampled_from(["%a%", "yes", "1", "a:b", "'", "~", "$X", "/", "..", "\0", "9" * 5000, "1e400G", "nan"]),
)


@given(st.lists(ROWS, max_size=4), st.sampled_from(["", "[Match]\n{}\n", "[TriggerMatch]\n{}\n"]))
def test_junk_of_values(rows: list[tuple[object, str]], conditions: str) -> None:
    lines = [f"[{one.section}]\n{one.name}={text}" for one, text in rows]  # type: ignore[attr-defined]
    asked = [f"{one.name}={text}" for one, text in rows if one.match is not None]  # type: ignore[attr-defined]
    with tempfile.TemporaryDirectory() as place:
        text = conditions.format("\n".join(asked)) + "\n".join(lines)
        (Path(place) / "mkosi.conf").write_bytes(text.encode("utf-8", "surrogatepass"))
        host = Host(Path(place).resolve(), home=lambda user: place if not user else None)
        with contextlib.suppress(ImgcoreError):
            assert summary(load(host))


@given(st.binary(max_size=60))
def test_junk_of_bytes(data: bytes) -> None:
    with tempfile.TemporaryDirectory() as place:
        (Path(place) / "mkosi.conf").write_bytes(data)
        with contextlib.suppress(ImgcoreError):
            assert load(Host(Path(place).resolve())).images


VERSIONS = st.text(st.sampled_from("019aZ~-^._+ü"), max_size=6)


@given(VERSIONS, VERSIONS, VERSIONS)
def test_versions_have_an_order(one: str, two: str, three: str) -> None:
    assert compare(one, one) == 0
    assert compare(one, two) == -compare(two, one)
    if compare(one, two) <= 0 and compare(two, three) <= 0 and "^" not in one + two + three:
        assert compare(one, three) <= 0
