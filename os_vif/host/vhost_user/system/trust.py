# SPDX-License-Identifier: Apache-2.0
"""Whether a privileged daemon may run what its configuration names.

Who starts the daemon, a service without privilege, may name the files that it reads.  Only what
root alone could have written counts.
"""

from __future__ import annotations

import functools
import os
import stat

from oslo_config import cfg

from os_vif import exception
from os_vif.host.vhost_user import options as fast_path_options
from os_vif.system import ways


def need_trusted_options() -> None:
    """See that nobody but root has set the options of the fast path's programs.

    :raises InvalidField: somebody else could have set one.
    """
    options = fast_path_options.here()
    untrusted = functools.cache(untrusted_file)  # most are set in one file
    for opt in fast_path_options.OPTS:
        found = cfg.CONF.get_location(opt.name, fast_path_options.GROUP)
        why = ""
        if found is not None and found.location is cfg.Locations.environment:
            why = "environment variables are its starter's"
        elif found is not None and found.location is cfg.Locations.user:
            why = untrusted(found.detail)
        if why:
            raise exception.InvalidField(
                field=f"[{fast_path_options.GROUP}] {opt.name}",
                value=getattr(options, opt.dest),
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
