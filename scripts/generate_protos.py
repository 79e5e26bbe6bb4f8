"""Generates `sandboxd/v1` from `protos/`; run it after every change there and commit the outcome.

    python scripts/generate_protos.py            writes
    python scripts/generate_protos.py --check    only compares; exits 1 when something differs

Needs grpcio-tools, of the `dev` extra. The same protos and grpcio-tools give the same bytes.
"""

from __future__ import annotations

import sys
import tempfile
from importlib import resources
from pathlib import Path

from grpc_tools import protoc

ROOT = Path(__file__).resolve().parent.parent
PROTOS = ROOT / "protos"
OUTPUTS = ("python_out", "pyi_out", "grpc_python_out")


def main() -> int:
    """Generate, or compare; give the exit code."""
    with tempfile.TemporaryDirectory() as made:
        code = generate(Path(made))
        if code:
            return code
        if "--check" in sys.argv[1:]:
            return compare(Path(made))
        for file in generated(Path(made)):
            (ROOT / file.relative_to(made)).write_bytes(file.read_bytes())
    return 0


def generate(into: Path) -> int:
    """Write the modules of every proto below `into`; give protoc's exit code."""
    well_known = str(resources.files("grpc_tools") / "_proto")
    protos = sorted(str(path.relative_to(PROTOS)) for path in PROTOS.rglob("*.proto"))
    outputs = [f"--{output}={into}" for output in OUTPUTS]
    return int(protoc.main(["protoc", f"-I{PROTOS}", f"-I{well_known}", *outputs, *protos]))


def compare(made: Path) -> int:
    """Name every committed module that is not what would be generated now."""
    stale = [
        file.relative_to(made)
        for file in generated(made)
        if not (ROOT / file.relative_to(made)).is_file()
        or (ROOT / file.relative_to(made)).read_bytes() != file.read_bytes()
    ]
    for path in stale:
        sys.stderr.write(f"{path} is stale: run python scripts/generate_protos.py\n")
    return 1 if stale else 0


def generated(made: Path) -> list[Path]:
    """List the generated files, in order."""
    return sorted(path for path in made.rglob("*") if path.is_file())


if __name__ == "__main__":
    sys.exit(main())
