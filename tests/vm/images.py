"""Guest images: stock Debian from Debian's packages, kept between runs while their inputs stay.

An image is a disk, its kernel and its initrd. It holds what a newcomer's machine would fetch from a
network, which a guest does not have: Debian's packages and the project's Python dependencies.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path
from typing import NamedTuple

HERE = Path(__file__).parent
CHECKOUT = HERE.parent.parent
USER = "judge"
"""The ordinary user of every guest: uid 1000, lingering, with the ranges that useradd(8) gives."""
DISK_BYTES = 3 << 30
PACKAGES = (
    # a machine that people log in to
    *("linux-image-cloud-amd64", "systemd", "systemd-sysv", "dbus", "dbus-user-session"),
    *("libpam-systemd", "sudo", "ca-certificates", "procps", "kmod"),
    # what scripts/install.sh would fetch
    *("uidmap", "python3", "python3-venv", "python3-dev", "g++", "gcc", "libc6-dev"),
    *("libcap-dev", "libseccomp2", "make"),
)


class Image(NamedTuple):
    """A guest's disk, and what boots it."""

    disk: Path
    kernel: Path
    initrd: Path


def image_of(suite: str) -> Image:
    """Give the image of a Debian suite, building it if none with these inputs is kept."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "sandboxd-guests"
    directory = cache / f"{suite}-{_digest()}"
    if not directory.exists():
        cache.mkdir(parents=True, exist_ok=True)
        for old in cache.glob(f"{suite}-*"):
            shutil.rmtree(old)
        with tempfile.TemporaryDirectory(dir=cache) as scratch:
            _build(suite, Path(scratch))
            Path(scratch, "image").rename(directory)
    return Image(directory / "disk", directory / "kernel", directory / "initrd")


def _digest() -> str:
    """Name everything that an image depends on."""
    inputs = [Path(__file__).read_bytes(), *(p.encode() for p in _requirements())]
    inputs += [path.read_bytes() for path in sorted((HERE / "guest").iterdir())]
    return hashlib.sha256(b"\0".join(inputs)).hexdigest()[:12]


def _requirements() -> list[str]:
    project = tomllib.loads((CHECKOUT / "pyproject.toml").read_text())
    extras = project["project"]["optional-dependencies"]
    build = [*project["build-system"]["requires"], "editables", "setuptools"]
    return [*project["project"]["dependencies"], *extras["test"], *build]


def _build(suite: str, scratch: Path) -> None:
    if os.geteuid() != 0:
        raise SystemExit(f"cannot build the image of {suite}: run `sudo make test-vm` once")
    tree, image = scratch / "tree", scratch / "image"
    image.mkdir()
    hook = scratch / "finish"
    hook.write_text(_finish())
    hook.chmod(0o755)
    command = ["mmdebstrap", "--variant=minbase", "--format=directory"]
    command += [f"--include={','.join(PACKAGES)}", f'--customize-hook={hook} "$1"']
    done = subprocess.run(
        [*command, suite, str(tree), _mirror()],
        check=False,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    if done.returncode:
        print(done.stdout.decode(errors="replace")[-4000:])
        raise SystemExit(
            f"cannot build the image of {suite}: mmdebstrap exited with {done.returncode}"
        )
    for name, pattern in (("kernel", "vmlinuz-*"), ("initrd", "initrd.img-*")):
        shutil.copy(next((tree / "boot").glob(pattern)), image / name)
    with (image / "disk").open("wb") as disk:
        disk.truncate(DISK_BYTES)
    subprocess.run(["mkfs.ext4", "-q", "-d", tree, image / "disk"], check=True)


def _mirror() -> str:
    """Name the archive that this machine itself uses."""
    wanted = ("Created-By: Packages", "Origin: Debian", "Label: Debian")
    command = ["apt-get", "indextargets", "--format", "$(REPO_URI)", *wanted]
    found = subprocess.run(command, check=False, capture_output=True, text=True).stdout.split()
    return found[0] if found else "http://deb.debian.org/debian"


def _finish() -> str:
    """Write what is done in the finished tree: user, our unit, the Python packages."""
    # The packages are fetched as this machine fetches them: by the authorities that it trusts.
    packages = " ".join(f"'{name}'" for name in _requirements())
    return f"""#!/bin/sh
set -eu
root=$1
echo guest >"$root/etc/hostname"
echo '/dev/vdd none swap sw 0 0' >"$root/etc/fstab"
chroot "$root" useradd --create-home --shell /bin/bash {USER}
mkdir -p "$root/var/lib/systemd/linger"
touch "$root/var/lib/systemd/linger/{USER}"
cp '{HERE}/guest/acceptance.service' "$root/etc/systemd/system/"
cp '{HERE}/guest/acceptance' "$root/usr/local/sbin/"
chroot "$root" systemctl --quiet enable acceptance.service
chroot "$root" systemctl --quiet mask serial-getty@ttyS0.service
certificates=$root/etc/ssl/certs/ca-certificates.crt
mv "$certificates" "$root/tmp/certificates"
cp /etc/ssl/certs/ca-certificates.crt "$certificates"
chroot "$root" python3 -m venv /tmp/venv
chroot "$root" /tmp/venv/bin/pip --quiet --no-cache-dir --disable-pip-version-check \\
  wheel --use-pep517 --wheel-dir /srv/wheels {packages}
rm -r "$root/tmp/venv"
chroot "$root" python3 -m venv --copies /opt/sandboxd
chroot "$root" /opt/sandboxd/bin/pip --quiet --no-cache-dir --disable-pip-version-check \\
  install --no-index --find-links /srv/wheels {packages}
mv "$root/tmp/certificates" "$certificates"
printf '[global]\\nno-index = true\\nfind-links = /srv/wheels\\n' >"$root/etc/pip.conf"
rm -rf "$root"/var/cache/apt/* "$root"/var/lib/apt/lists/*
"""


if __name__ == "__main__":
    for name in sys.argv[1:]:
        print(image_of(name))
