"""What `mkosi --json summary` prints: every setting's value of every image."""

from __future__ import annotations

import json

from imgcore.mkosi.host import Value
from imgcore.mkosi.images import Configuration, Image

__all__ = ["as_values", "summary"]

_NOT_SHOWN = ("Include",)


def as_values(image: Image) -> dict[str, Value]:
    """Return an image's settings under mkosi's names, with the image's own name and its files."""
    shown = {name: value for name, value in image.values.items() if name not in _NOT_SHOWN}
    return {**shown, "Image": image.name, "Files": [*image.files]}


def summary(configuration: Configuration) -> str:
    """Return the JSON text, as mkosi writes it."""
    images = [as_values(image) for image in configuration.images]
    return json.dumps({"Images": images}, indent=4, sort_keys=True)
