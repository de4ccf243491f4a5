from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imgcore.errors import PathError
from imgcore.model import directory, file, symlink, tree
from imgcore.transforms import Globs, capability_text, capability_value, set_capabilities
from imgcore.transforms.filecaps import CAPABILITY_NAMES

NET_RAW_EP = bytes.fromhex("0100000200200000000000000000000000000000")


def test_known_values() -> None:
    assert capability_value("cap_net_raw=ep") == capability_value("CAP_NET_RAW+pe") == NET_RAW_EP
    assert capability_value("cap_net_raw=ep", 1000) == b"\1\0\0\3" + NET_RAW_EP[4:] + (1000).to_bytes(4, "little")
    assert capability_value("38=p")[12:16] == b"\x40\0\0\0"  # perfmon is in the second word
    assert len(CAPABILITY_NAMES) == 41


REFUSED = ["", " ", "cap_net_raw", "cap_nothing=p", "net_raw=p", "cap_net_raw=x", "cap_chown=p,", "64=p"]
REFUSED += ["cap_chown,,cap_kill=p", "cap_chown=ep cap_kill=p", "=z", "cap_chown = ep", "²=p"]


@pytest.mark.parametrize("text", REFUSED)
def test_refused(text: str) -> None:
    with pytest.raises(ValueError, match="capabilit"):
        capability_value(text)


@pytest.mark.parametrize("value", [b"", bytes(12), bytes(20), bytes(21), NET_RAW_EP + bytes(4), b"\1\0\0\3" + NET_RAW_EP[4:]])
def test_values_that_are_none(value: bytes) -> None:
    with pytest.raises(ValueError, match="capabilities"):
        capability_text(value)


_BITS = st.integers(0, (1 << 64) - 1)


@given(_BITS, _BITS, st.booleans(), st.none() | st.integers(1, (1 << 32) - 1))
def test_text_and_back(permitted: int, inheritable: int, effective: bool, root_id: int | None) -> None:
    effective = effective and bool(permitted | inheritable)
    head = (0x02000000 if root_id is None else 0x03000000) | effective
    numbers = [head, permitted & 0xFFFFFFFF, inheritable & 0xFFFFFFFF, permitted >> 32, inheritable >> 32]
    value = b"".join(number.to_bytes(4, "little") for number in [*numbers, *([] if root_id is None else [root_id])])
    assert capability_value(capability_text(value), root_id) == value


def test_on_a_tree() -> None:
    twice = file(b"", xattrs={b"user.a": b"1"})
    sample = tree({"/bin/ping": twice, "/ping6": twice, "/ping": directory({b"ping": symlink("x")})})
    changed = set_capabilities(sample, "cap_net_raw=ep", Globs(["ping"]).match)
    assert changed["/bin/ping"] is changed["/ping6"]
    assert changed["/ping6"].meta.xattrs == {b"user.a": b"1", b"security.capability": NET_RAW_EP}
    assert not changed["/ping"].meta.xattrs
    assert not changed["/ping/ping"].meta.xattrs
    with pytest.raises(PathError, match="nothing in the tree matches: found `x`"):
        set_capabilities(sample, "cap_net_raw=ep", Globs(["x"]).match, required="x")
