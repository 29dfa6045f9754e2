# SPDX-License-Identifier: Apache-2.0
"""What is wanted, as topologies of rows: one a network, and one a router."""

from __future__ import annotations

from os_vif import exception
from os_vif.engine.topology import Mark, Topology
from os_vif.logical import routers, switches
from os_vif.logical.examine import examine_survey
from os_vif.logical.objects import Wanted
from os_vif.logical.survey import Survey, survey_of

PLUGIN = "ovn"
"""What stands for the plugin in the marks of networks and routers."""


def topologies(wanted: Wanted) -> list[Topology]:
    """Return what is to be there: the networks first, for a router refers to them.

    :raises InvalidField: something of it cannot be used; :func:`~os_vif.logical.examine` tells all
    """
    survey = survey_of(wanted)
    for finding in examine_survey(survey):
        if not finding.is_warning:
            raise exception.InvalidField(
                field=finding.field, value=finding.value, expected=finding.expected
            )
    return mapped(survey)


def mapped(survey: Survey) -> list[Topology]:
    """Return what :func:`topologies` does, of what was read and examined already."""
    wanted = survey.wanted
    found = [
        Topology(
            Mark(network.id, PLUGIN, owner=wanted.owner),
            tuple(switches.rows_of(network, wanted.owner)),
            kind="network",
        )
        for network in survey.networks.values()
    ]
    found += [
        Topology(
            Mark(router.id, PLUGIN, owner=wanted.owner),
            tuple(routers.rows_of(survey, router)),
            kind="router",
        )
        for router in wanted.routers
    ]
    return found
