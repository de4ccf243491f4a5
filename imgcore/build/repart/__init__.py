"""systemd-repart for new disk images in files: definitions (repart.d(5)) to a disk with a GPT.

`conf` reads systemd's syntax, `definition` the keys, `values` their values; `populate` makes trees of CopyFiles= and the like,
`contents` file systems of trees, `plan` finds UUIDs, labels and places, `run` writes the disk.
"""
