"""The scripts of a mkosi image, with what mkosi has around them: variables, /work, /buildroot."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from imgcore.build.scripts import Bind, Surroundings, run_script
from imgcore.errors import SourceError, Unsupported
from imgcore.events import Control
from imgcore.mkosi import Image, as_values
from imgcore.mkosi.names import package_architecture
from imgcore.model import Tree
from imgcore.values import value_class

__all__ = ["ScriptRunner"]

_GIT: Final = {"GIT_CONFIG_COUNT": "1", "GIT_CONFIG_KEY_0": "safe.directory", "GIT_CONFIG_VALUE_0": "*"}


@value_class(eq=False)
class ScriptRunner:
    """Runs the scripts of one image.

    Attributes:
        image: whose they are.
        staging: the directory that they know as $OUTPUTDIR.
        scratch: for what is made on the way; it stays as long as the tree is used.
        output: the descriptor that they print to.
        control: says when to stop.
    """

    image: Image
    staging: Path
    scratch: Path
    output: int
    control: Control

    def on_tree(self, setting: str, role: str, tree: Tree, arguments: Sequence[str] = ()) -> Tree:
        """Return what the scripts of a setting make of `tree`, one after the other. Raises as `run_script` does."""
        # The paths are those that mkosi gives its scripts, inside of their sandbox.
        inside = {"BUILDROOT": "/buildroot", "CHROOT_OUTPUTDIR": "/work/out", "CHROOT_SRCDIR": "/work/src"}
        inside |= {"PACKAGEDIR": "/work/packages", "ARTIFACTDIR": "/work/artifacts", **_GIT}
        inside |= {"SCRIPT": f"/work/{role}", "CHROOT_SCRIPT": f"/work/{role}"}
        inside["WITH_NETWORK"] = "1" if self.image.flag("WithNetwork") else "0"
        binds = [Bind(self._directory(name), f"/work/{name}", "rw") for name in ("packages", "artifacts")]
        if self.image.values["BuildDirectory"]:
            inside["BUILDDIR"] = "/work/build"
            binds.append(Bind(Path(self.image.text("BuildDirectory")), "/work/build"))
        for script in self._scripts(setting):
            made = run_script(tree, script, self.scratch, self._around(inside, binds, role), arguments, self.control)
            assert made is not None
            tree = made
        return tree

    def on_output(self, setting: str, role: str) -> None:
        """Run the scripts of a setting on nothing but $OUTPUTDIR. Raises as `run_script` does."""
        for script in self._scripts(setting):
            run_script(None, script, self.scratch, self._around({}, [], role), (), self.control)

    def _scripts(self, setting: str) -> list[Path]:
        found = [Path(word) for word in self.image.words(setting)]
        for path in found:
            if not os.access(path, os.X_OK):
                raise SourceError("the script is not executable", path=str(path), hint="chmod +x")
        return found

    def _directory(self, name: str) -> Path:
        path = self.scratch / name
        path.mkdir(exist_ok=True)
        return path

    def _around(self, more: dict[str, str], binds: Sequence[Bind], role: str) -> Surroundings:
        image = self.image
        names = {name: image.text(name.capitalize()) for name in ("DISTRIBUTION", "RELEASE", "ARCHITECTURE")}
        packages = package_architecture(names["DISTRIBUTION"], names["ARCHITECTURE"])
        if packages is None:
            raise Unsupported(f"{names['DISTRIBUTION']} has no packages for {names['ARCHITECTURE']}")
        profiles = image.words("Profiles")
        environment = {
            **names,
            "DISTRIBUTION_ARCHITECTURE": packages,
            "OUTPUTDIR": "/work/out",
            "SRCDIR": "/work/src",
            "MKOSI_UID": str(os.getuid()),
            "MKOSI_GID": str(os.getgid()),
            "MKOSI_CONFIG": "/work/config.json",
            "SYSTEMD_OFFLINE": "0",
            **({"PROFILES": " ".join(profiles)} if profiles else {}),
            **more,
            **image.mapping("Environment"),
        }
        config = self.scratch / "config.json"
        config.write_text(json.dumps(as_values(image), indent=4, sort_keys=True))
        around = [Bind(config, "/work/config.json"), Bind(self.staging, "/work/out", "rw"), *binds, *self._sources()]
        search = tuple(Path(path) for path in image.words("ExtraSearchPaths"))
        network = image.flag("WithNetwork")
        epoch = image.number("SourceDateEpoch")
        time = None if epoch is None else epoch * 10**9
        hidden = (self.staging, self.scratch)  # either may lie in $SRCDIR, which a script may copy into them
        return Surroundings(environment, around, network, self.output, search, hidden, role=role, time_ns=time)

    def _sources(self) -> list[Bind]:
        """Return what lies in $SRCDIR, that above others first; of ephemeral sources what is changed is lost."""
        mode = self.image.text("BuildSourcesEphemeral")
        found = []
        for source, target in self.image.trees("BuildSources"):
            place = "/work/src" if target is None else f"/work/src/{target.lstrip('/')}"
            found.append(Bind(source, os.path.normpath(place), "rw" if mode == "no" else "overlay"))
        return sorted(found, key=lambda one: one.target)
