"""Digests of content."""

from imgcore.digest.content import sha256

__all__ = ["sha256"]
