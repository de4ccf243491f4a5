"""mkosi's configuration language (version 25.3), read without mkosi: settings, drop-ins, profiles, subimages, conditions.

    configuration = load(Host(directory, environment, machine, os_release))
    for image in configuration.images: image.text("Output"), image.trees("ExtraTrees")
    print(summary(configuration))          # what `mkosi --json summary` prints

Nothing is built here, and nothing of the machine is asked but the files below the directory: `Host` carries the rest.
"""

from imgcore.mkosi.host import Host, Place, Value
from imgcore.mkosi.images import Configuration, Image, load
from imgcore.mkosi.setting import Setting
from imgcore.mkosi.summary import as_values, summary
from imgcore.mkosi.table import BY_NAME, SETTINGS, nearest

__all__ = [
    "BY_NAME",
    "SETTINGS",
    "Configuration",
    "Host",
    "Image",
    "Place",
    "Setting",
    "Value",
    "as_values",
    "load",
    "nearest",
    "summary",
]
