"""`python -m imgcore.cli.shims NAME ARGUMENTS…`: what the scripts that `imgcore shims` writes call."""

import importlib
import sys

from imgcore.cli.shims.install import PROGRAMS


def main() -> int:
    """Run the shim that the first word names."""
    if len(sys.argv) < 2 or sys.argv[1] not in PROGRAMS:
        print(f"usage: python -m imgcore.cli.shims {'|'.join(PROGRAMS)} ARGUMENTS...", file=sys.stderr)
        return 2
    name = sys.argv[1]
    if name in ("xorrisofs", "genisoimage"):
        from imgcore.cli.shims import mkisofs

        return mkisofs.main(sys.argv[2:], name)
    module = importlib.import_module(f"imgcore.cli.shims.{name}")
    code: int = module.main(sys.argv[2:])
    return code


if __name__ == "__main__":
    sys.exit(main())
