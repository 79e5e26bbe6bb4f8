"""Builds the compiled zygote when the package is built or installed; without a compiler, goes on."""

from __future__ import annotations

import runpy
import subprocess
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
        build_data["pure_python"] = False
        build_data["tag"] = f"py3-none-{self._platform()}"
        build_data["artifacts"].append(f"/sandboxd/native/{path.name}")

    def _platform(self) -> str:
        import sysconfig  # noqa: PLC0415 - only a build needs it

        return sysconfig.get_platform().replace("-", "_").replace(".", "_")
