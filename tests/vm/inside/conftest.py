"""What runs in a guest asks what the sandbox lane asks: through its `House`."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2] / "sandbox"))
