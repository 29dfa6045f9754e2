# SPDX-License-Identifier: Apache-2.0
"""From root to a service's user, once the privileged daemon has been started.

oslo.privsep starts its daemon through a helper command, sudo as a rule.  A benchmark cannot ask
for a sudoers file, so it starts the daemon while it is root and then becomes nobody.
"""

from __future__ import annotations

import os

NOBODY = 65534


def drop_privileges() -> None:
    """Become nobody for good, able to read files and nothing else.

    CAP_DAC_READ_SEARCH stays because the checkout may sit in a home directory that nobody cannot
    read, and Python imports some modules late.
    """
    from oslo_privsep import capabilities

    keep = [capabilities.CAP_DAC_READ_SEARCH]
    capabilities.set_keepcaps(True)
    os.setgroups([])
    os.setresgid(NOBODY, NOBODY, NOBODY)
    os.setresuid(NOBODY, NOBODY, NOBODY)
    capabilities.set_keepcaps(False)
    capabilities.drop_all_caps_except(keep, keep, [])
