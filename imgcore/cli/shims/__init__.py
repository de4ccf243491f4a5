"""Command lines of squashfs-tools, for programs that call `mksquashfs` and `unsquashfs`.

`imgcore shims DIR` writes one small script for each; with DIR first in PATH, an embedder runs imgcore without knowing it.
An option that imgcore does not have is refused by name. What is accepted and has nothing to do here (recovery files,
numbers of readers) is listed in `docs/shims.md`.
"""
