"""Unpack an image that nobody trusts: limits bound what it may cost, nothing outside of the directory is touched."""

import sys

import imgcore


def main(image: str, directory: str) -> None:
    limits = imgcore.Limits.parse("max_total_size=1G,max_entries=100000")
    try:
        report = imgcore.unpack(image, directory, only=["/usr"], owner="me", limits=limits)
    except imgcore.ImgcoreError as error:
        sys.exit(f"{type(error).__name__}: {error} ({error.hint})")
    print(report.files, "files,", report.bytes, "bytes")


if __name__ == "__main__":
    main(*sys.argv[1:])
