"""Runs in a process of its own, with mkosi's source on PYTHONPATH: what mkosi makes of configurations, a JSON line each.

Given: {"directory", "arguments"}. Answered: {"images"}, or {"error"} where mkosi ends with one.
Given: {"versions": [[one, two], …]}. Answered: how each two of them compare.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path


def main() -> None:
    import mkosi
    from mkosi.config import JsonEncoder, parse_config
    from mkosi.versioncomp import GenericVersion

    resources = Path(mkosi.__file__).parent / "resources"
    for line in sys.stdin:
        job = json.loads(line)
        if "versions" in job:
            print(json.dumps([GenericVersion.compare_versions(*pair) for pair in job["versions"]]), flush=True)
            continue
        os.chdir(job["directory"])
        try:
            _, images = parse_config([*job["arguments"], "--json", "summary"], resources=resources)
            values = [image.to_dict() for image in images]
            answer = json.dumps({"images": values}, cls=JsonEncoder, sort_keys=True)
        except SystemExit as error:
            answer = json.dumps({"error": f"ended with {error.code}"})
        except Exception as error:
            answer = json.dumps({"error": repr(error)})
        print(answer, flush=True)


if __name__ == "__main__":
    main()
