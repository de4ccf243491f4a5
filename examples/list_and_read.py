"""Look inside an image: open, walk, read one file; nothing else is decompressed."""

import sys

import imgcore


def main(image: str, path: str) -> None:
    with imgcore.open(image) as source:
        for entry, node in source.tree.walk():
            print(imgcore.type_name(node), oct(node.meta.mode), imgcore.show(entry))
        found = source.tree.lookup(path, follow=True)
        if isinstance(found, imgcore.File):
            print(imgcore.read_all(found.content).decode())


if __name__ == "__main__":
    main(*sys.argv[1:])
