from __future__ import annotations
def check_blob(blob, limits, control):
    return iter(())
