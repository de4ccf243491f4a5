"""The block pipeline: `get_engine` gives the native one where it was built, else the pure one; their results are equal."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from imgcore.engine.protocol import Engine, HostFiles, HostRun, Job, Kind, Piece, ScanFailed, Scanned, Spec, Tails
from imgcore.engine.pure import PureEngine
from imgcore.errors import Unsupported

if TYPE_CHECKING:
    from imgcore.engine.native_unpack import NativeUnpack

__all__ = [
    "Engine",
    "HostFiles",
    "HostRun",
    "Job",
    "Kind",
    "Piece",
    "ScanFailed",
    "Scanned",
    "Spec",
    "Tails",
    "get_engine",
    "native_available",
    "native_unpacker",
]


def native_available() -> tuple[bool, str]:
    """Return whether the native engine can be used here, and if not, why."""
    try:
        import imgcore.engine.native  # noqa: F401
    except ImportError as error:
        return False, f"the native core was not built or does not load ({error})"
    return True, ""


def get_engine(name: Literal["auto", "native", "pure"] = "auto") -> Engine:
    """Return an engine; `auto` is the native one where there is one.

    Raises Unsupported when `native` is asked for and was not built, ValueError for another name.
    """
    if name not in ("auto", "native", "pure"):
        raise ValueError(f"`{name}` is not an engine; known: auto, native, pure")
    if name == "pure":
        return PureEngine()
    available, reason = native_available()
    if available:
        from imgcore.engine.native import NativeEngine

        return NativeEngine()
    if name == "native":
        raise Unsupported(
            "the native engine is not available here",
            found=reason,
            hint="install a C compiler and Python's headers, then: pip install --force-reinstall --no-binary imgcore imgcore",
        )
    return PureEngine()


def native_unpacker(codec: str, name: Literal["auto", "native", "pure"] = "auto") -> type[NativeUnpack] | None:
    """Return what makes files of an image whose blocks `codec` decodes; None where only Python can do that.

    `name` is that of an engine, as for `get_engine`, which raises the same.
    """
    if get_engine(name).name == "pure":
        return None
    from imgcore.engine.native_unpack import NativeUnpack

    return NativeUnpack if NativeUnpack.can_decode(codec) else None
