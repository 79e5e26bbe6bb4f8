"""Run a command as an ordinary user with subordinate ids and delegated cgroups.

Started as root, does what an administrator would do once (user, ranges, cgroups), then becomes
that user for good and executes the command. Started as anybody else, just executes the command.
"""

from __future__ import annotations

import os
import pwd
import subprocess
import sys

USER = "sandboxd-test"


def ensure_user() -> pwd.struct_passwd:
    """Make the test user, with ranges in /etc/subuid and /etc/subgid, if it is not there."""
    try:
        return pwd.getpwnam(USER)
    except KeyError:
        # A plain user, not a system one: useradd(8) gives only those subordinate ids.
        subprocess.run(["useradd", "--create-home", "--shell", "/bin/sh", USER], check=True)
        return pwd.getpwnam(USER)


def main() -> None:
    """Prepare, become the user, execute."""
    command = sys.argv[1:]
    if os.geteuid() == 0:
        from sandboxd.kernel import delegation  # noqa: PLC0415 - only root needs it

        user = ensure_user()
        delegation.prepare(user.pw_uid, user.pw_gid)
        os.setgroups([])
        os.setresgid(user.pw_gid, user.pw_gid, user.pw_gid)
        os.setresuid(user.pw_uid, user.pw_uid, user.pw_uid)
        os.environ.update(HOME=user.pw_dir, USER=USER, LOGNAME=USER)
        os.environ.pop("XDG_RUNTIME_DIR", None)
    os.execvp(command[0], command)  # noqa: S606 - the command is the caller's


if __name__ == "__main__":
    main()
