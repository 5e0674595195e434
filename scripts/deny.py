#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Licences, bans and sources always; advisories when their database can be reached.

The first three need nothing but Cargo.lock and the crates. The advisory database is a git repository on
GitHub: a machine without a way there is told so, and is not failed for it. Set DENY_ADVISORIES=1, as a release
does, to insist.
"""

import os
import socket
import subprocess
import sys

import setup


def can_reach_advisories():
    """Whether GitHub answers at all, or is asked through a proxy."""
    if os.environ.get("HTTPS_PROXY") or os.environ.get("https_proxy"):
        return True
    try:
        socket.create_connection(("github.com", 443), timeout=3).close()
    except OSError:
        return False
    return True


def check(tool, what):
    """One run of cargo-deny."""
    return subprocess.run([str(tool), "--all-features", "check"] + what, cwd=str(setup.ROOT)).returncode


def fetch_works(tool):
    """Whether the advisory database can be cloned or updated; what cargo-deny says is shown only if it works."""
    done = subprocess.run(
        [str(tool), "fetch", "db"], cwd=str(setup.ROOT), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    return done.returncode == 0


def main():
    """Runs the checks."""
    try:
        tool = setup.ensure_deny()
    except setup.SetupError as error:
        setup.say(str(error))
        return 1
    failed = check(tool, ["bans", "licenses", "sources"])
    if os.environ.get("DENY_ADVISORIES") == "1" or (can_reach_advisories() and fetch_works(tool)):
        return failed or check(tool, ["advisories"])
    print("deny: the advisory database on github.com cannot be reached: advisories were NOT checked", file=sys.stderr)
    return failed


if __name__ == "__main__":
    sys.exit(main())
