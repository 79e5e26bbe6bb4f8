"""Builds the compiled zygote with the package; where there is no compiler, goes on without."""

from __future__ import annotations

import runpy
import subprocess
import sysconfig
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class CustomBuildHook(BuildHookInterface[Any]):
    """Adds the compiled zygote, which makes a wheel one of this platform."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:  # noqa: ARG002
        """Build it, and put it where the package looks for it."""
        compiled = runpy.run_path(f"{self.root}/sandboxd/compiled.py")
        try:
            path = compiled["build"]()
        except (OSError, subprocess.CalledProcessError) as error:
            self.app.display_warning(f"no compiled zygote, jobs will start slower: {error}")
            return
        platform = sysconfig.get_platform().replace("-", "_").replace(".", "_")
        build_data.update(pure_python=False, tag=f"py3-none-{platform}")
        build_data["artifacts"].append(f"/sandboxd/native/{path.name}")
