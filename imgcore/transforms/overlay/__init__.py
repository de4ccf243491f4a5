"""What Linux's overlayfs makes of a stack of layers, without mounting anything.

    merged = merge([extension, host])           # lower layers, the uppermost first, as in lowerdir=
    merged.tree                                 # a tree like any other
    merged.lookup("/usr/bin/tool").layer        # who has it
    merged.listdir("/usr/bin")                  # in the kernel's order, ghosts included
    explain(merged, "/usr/bin/tool")            # what each layer has there, and what hides it
    list(problems(merged))                      # ghosts, names that give errors, marks without effect

The rules are those of Linux 6.18; `OverlayOptions` has what a mount can choose. Where Linux answers with an error, an
OverlayError carries its errno.
"""

from __future__ import annotations

import errno
from collections.abc import Sequence

from imgcore.errors import OverlayError
from imgcore.limits import Limits
from imgcore.model import Tree
from imgcore.transforms.overlay.explain import Part, Story, explain
from imgcore.transforms.overlay.layer_diff import DIALECTS, Dialect, layer_between, overlay_to_oci
from imgcore.transforms.overlay.layers import Layer
from imgcore.transforms.overlay.merged import Merged, Seen
from imgcore.transforms.overlay.mounting import MAX_LAYERS, check_mount, mount_options
from imgcore.transforms.overlay.options import OverlayOptions, settle
from imgcore.transforms.overlay.problems import Problem, problems, unseen, without_unseen
from imgcore.transforms.overlay.writes import Writable
from imgcore.transforms.whiteouts import oci_to_overlay

__all__ = [
    "DIALECTS",
    "Dialect",
    "Layer",
    "Merged",
    "OverlayOptions",
    "Part",
    "Problem",
    "Seen",
    "Story",
    "Writable",
    "check_mount",
    "explain",
    "layer_between",
    "merge",
    "mount_options",
    "oci_to_overlay",
    "overlay_to_oci",
    "problems",
    "unseen",
    "without_unseen",
]


def merge(
    lowers: Sequence[Layer | Tree],
    *,
    upper: Layer | Tree | None = None,
    data: Sequence[Layer | Tree] = (),
    options: OverlayOptions = OverlayOptions.KERNEL,
    limits: Limits | None = None,
) -> Merged:
    """Return the view through an overlay of `lowers` (the uppermost first), an `upper` layer and data-only layers.

    A layer is a tree, or a `Layer` that gives it a name for reports. A single lower layer without anything else, which
    Linux refuses to mount, is fine here. Raises OverlayError (EINVAL) for options that exclude each other, without lower
    layers, and for more than 500 of them.
    """
    if not lowers:
        raise OverlayError("no lower layer", errno.EINVAL)
    if len(lowers) + len(data) > MAX_LAYERS:
        raise OverlayError(f"more than {MAX_LAYERS} lower layers", errno.EINVAL)
    how = settle(options, has_upper=upper is not None)
    named = [_named(one, f"lower {number}") for number, one in enumerate(lowers, 1)]
    top = None if upper is None else _named(upper, "upper")
    contents = [_named(one, f"data {number}") for number, one in enumerate(data, 1)]
    return Merged(top, named, contents, how, limits or Limits.trusted())


def _named(layer: Layer | Tree, name: str) -> Layer:
    return layer if isinstance(layer, Layer) else Layer(name, layer)
