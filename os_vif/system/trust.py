# SPDX-License-Identifier: Apache-2.0
"""Whether a privileged daemon may run what its configuration names.

Who starts the daemon, a service without privilege, may name the files that it reads.  Only what
root alone could have written counts.
"""

from __future__ import annotations

import functools
import os
import stat
from collections.abc import Iterable

from oslo_config import cfg

from os_vif import exception
from os_vif.system import ways


def need_trusted_options(group: str, options: Iterable[cfg.Opt]) -> None:
    """See that nobody but root has set options that say what programs are run.

    :param group: that they are registered in
    :raises InvalidField: somebody else could have set one.
    """
    untrusted = functools.cache(untrusted_file)  # most are set in one file
    for opt in options:
        found = cfg.CONF.get_location(opt.name, group)
        why = ""
        if found is not None and found.location is cfg.Locations.environment:
            why = "environment variables are its starter's"
        elif found is not None and found.location is cfg.Locations.user:
            why = untrusted(found.detail)
        if why:
            raise exception.InvalidField(
                field=f"[{group}] {opt.name}",
                value=getattr(cfg.CONF[group], opt.dest),
                expected=f"to be set in a file that root alone may change, but {why}",
            )


def untrusted_file(path: str) -> str:
    """Return who but root could have changed a file, or put another in its place; '' for nobody."""
    try:
        for place, found in ways.walk(os.path.join(os.getcwd(), path), to_file=True):
            if found.st_uid != 0:
                return f"{place} belongs to user {found.st_uid}"
            # A sticky folder too: there another could have been the first to use the name.
            others = stat.S_IWOTH | (stat.S_IWGRP if found.st_gid else 0)
            if found.st_mode & others and not stat.S_ISLNK(found.st_mode):
                return f"others may change {place} ({stat.filemode(found.st_mode)})"
    except OSError as error:
        return f"of {error.strerror}"
    return ""
