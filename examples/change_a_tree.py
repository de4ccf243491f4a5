"""Change a tree before it is packed: labels, capabilities, entries of a pseudo file, modes; say what would be written."""

import sys

import imgcore
from imgcore import listings, transforms

PSEUDO = b"""
dev d 755 0 0
dev/console c 600 0 0 5 1
etc/motd m 444 0 0
"""
CONTEXTS = "/.* system_u:object_r:usr_t:s0\n/usr/bin(/.*)? system_u:object_r:bin_t:s0\n"


def main(source: str, dest: str) -> None:
    entries = listings.read_pseudo_file(imgcore.BytesBlob(PSEUDO))
    contexts = transforms.FileContexts.parse(CONTEXTS)
    changes = [
        lambda tree: transforms.exclude(tree, [transforms.Rule(transforms.Globs(["*.pyc"]))]),
        lambda tree: listings.apply_pseudo(tree, entries),
        lambda tree: transforms.change_modes(tree, files=transforms.ModeRule.parse("go-w")),
        lambda tree: transforms.label(tree, contexts),
        lambda tree: transforms.set_capabilities(tree, "cap_net_raw=ep", transforms.Globs(["ping"]).match),
    ]
    with imgcore.plan_pack(source, dest, transforms=changes) as plan:
        print(f"{plan.files} files, {plan.bytes} bytes as {plan.format}")
    imgcore.pack(source, dest, transforms=changes, policy=imgcore.Policy(imgcore.Owners.root()))


if __name__ == "__main__":
    main(*sys.argv[1:])
