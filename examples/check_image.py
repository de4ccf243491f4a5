"""Print everything in an image that breaks the rules of Linux; returns whether it can be trusted to mount."""

import sys

import imgcore


def main(path: str) -> bool:
    with imgcore.FileBlob(path) as blob:
        kind = imgcore.formats.detect(blob) or sys.exit("not a known format")
        findings = list(kind.check_blob(blob, imgcore.Limits.default(), imgcore.Control()))
    for finding in findings:
        print(finding.severity, finding.rule, finding.offset, finding.message)
    return not any(finding.fatal for finding in findings)


if __name__ == "__main__":
    sys.exit(0 if main(*sys.argv[1:]) else 1)
