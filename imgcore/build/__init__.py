"""Whole products from the parts below: `source` opens what a SRC names, `pack` and `unpack` write.

Nothing is imported here: who lists an image does not wait for what packs one.
"""
