"""What all lanes share: hypothesis without files of its own, and without a clock."""

from __future__ import annotations

import os
import tempfile

from hypothesis import configuration, settings

# The lane's user may not be able to write here, and a failure must not depend on an older run.
configuration.set_hypothesis_home_dir(
    f"{tempfile.gettempdir()}/hypothesis-of-sandboxd-{os.getuid()}"
)
settings.register_profile("sandboxd", database=None, deadline=None)
settings.load_profile("sandboxd")
