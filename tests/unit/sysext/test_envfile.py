"""Files of assignments, as systemd reads them."""

import pytest

from imgcore.errors import Corrupt
from imgcore.sysext.envfile import parse_env_file

CASES = {
    "ID=a\nID=b\n": {"ID": "b"},
    "ID = a\n": {"ID": "a"},
    "  ID=a  \n": {"ID": "a"},
    "ID=a # c\n": {"ID": "a # c"},
    "# ID=a\n; ID=b\n": {},
    "ID='a b '\n": {"ID": "a b "},
    'ID="a" b\n': {"ID": "ab"},
    'ID="a$\\$\\x\\\n"\n': {"ID": "a$$\\x"},
    "ID=a\\ b\\\nc\n": {"ID": "a bc"},
    'ID="a\nVERSION_ID=1\n': {"ID": "a\nVERSION_ID=1\n"},
    "ID='a": {"ID": "a"},
    "ID=a": {"ID": "a"},
    "ID=\n": {"ID": ""},
    "ID=": {"ID": ""},
    "ID": {},
    "ID\nX=1\n": {"X": "1"},
    "ID=a\\ \n": {"ID": "a "},
    "A=1\rB=2\r\n": {"A": "1", "B": "2"},
    "ID=a \\\n\n": {"ID": "a "},
    "ID=a'b'\n": {"ID": "a'b'"},
    "": {},
}


@pytest.mark.parametrize(("text", "found"), CASES.items())
def test_parses(text: str, found: dict[str, str]) -> None:
    assert parse_env_file(text.encode()) == found


def test_comment_that_goes_on() -> None:
    text = b"# a \\\nID=x\n"
    assert parse_env_file(text) == {"ID": "x"}
    assert parse_env_file(text, comments_continue=True) == {}


@pytest.mark.parametrize("data", [b"ID=\xff\n", b"I\xffD=1\n", b"ID=a\0\n"])
def test_what_systemd_gives_up_at(data: bytes) -> None:
    with pytest.raises(Corrupt):
        parse_env_file(data)
