"""Make an image of a tree that is in no directory, in memory, and read it back."""

import imgcore


def main() -> bytes:
    tool = imgcore.file(b"#!/bin/sh\necho hi\n", mode=0o755)
    tree = imgcore.tree({"/usr/bin/hi": tool, "/usr/bin/hello": tool, "/bin": imgcore.symlink("usr/bin")})
    sink = imgcore.MemorySink()
    imgcore.pack(tree, sink, format="squashfs", options=imgcore.squashfs.Options(compression="xz"))
    with imgcore.open(imgcore.BytesBlob(sink.value())) as source:
        print(*imgcore.manifest_lines(source.tree), sep="\n")
    return sink.value()


if __name__ == "__main__":
    main()
