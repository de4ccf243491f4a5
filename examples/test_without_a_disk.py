"""Test a program that packs and unpacks without touching the disk: pyfakefs makes up the file system, `fs` is its fixture."""

import os

import imgcore


def build(source: str, image: str) -> None:
    """Do what the program under test does."""
    imgcore.pack(source, image, policy=imgcore.Policy(imgcore.Owners.root()))


def test_build(fs: object) -> None:
    os.makedirs("/tree/etc")
    with open("/tree/etc/hostname", "w") as stream:
        stream.write("box\n")
    build("/tree", "/image.raw")
    with imgcore.open("/image.raw") as image:
        imgcore.unpack(image.tree, "/out")
    with open("/out/etc/hostname") as stream:
        assert stream.read() == "box\n"
