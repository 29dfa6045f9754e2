# SPDX-License-Identifier: Apache-2.0
"""What a plugin is."""

import abc
import functools
import logging
from typing import TYPE_CHECKING, Any, ClassVar, Self

from oslo_config import cfg

from os_vif import exception, negotiation

if TYPE_CHECKING:
    from os_vif.engine.converge import Request
    from os_vif.engine.place import Place
    from os_vif.engine.topology import Topology
    from os_vif.guest.card import End
    from os_vif.objects.base import VersionedObject
    from os_vif.objects.host_info import HostPluginInfo
    from os_vif.objects.instance_info import InstanceInfo
    from os_vif.objects.vif import VIFBase

CONF = cfg.CONF
LOG = logging.getLogger(__name__)


def optional(described: "VersionedObject", field: str, default: Any = None) -> Any:
    """Return a field of a versioned object, or ``default`` where it is unset or None."""
    try:
        value = getattr(described, field)
    except NotImplementedError:  # how oslo.versionedobjects says that a field is unset
        return default
    return default if value is None else value


def required(described: "VersionedObject", field: str) -> Any:
    """Return a field of a versioned object that the plugin cannot do without.

    :raises InvalidField: it is unset, None or empty
    """
    value = optional(described, field)
    if value is None or value == "":
        raise exception.InvalidField(
            field=f"{described.obj_name()}.{field}", value=value, expected="a value"
        )
    return value


def tap_name(vif: "VIFBase") -> str:
    """Return the name of a VIF's tap: its ``vif_name`` or, unset, ``tap`` and part of its id.

    :raises InvalidField: it has neither
    """
    name = optional(vif, "vif_name")
    return f"tap{required(vif, 'id')[:11]}" if name is None else str(name)


class PluginBase(abc.ABC):
    """Base class of every plugin, ours and third parties'.

    A plugin is a class registered in the entry-point group ``os_vif``; the entry point's name is
    what callers put into ``vif.plugin``. It is loaded once per process, by
    :func:`os_vif.initialize`.

    :param config: the plugin's option group, ``[os_vif_<name>]``
    """

    CONFIG_OPTS: ClassVar[list[Any]] = []
    """The plugin's options (:class:`oslo_config.cfg.Opt`); none by default."""

    def __init__(self, config: cfg.ConfigOpts.GroupAttr) -> None:
        self.config = config

    @abc.abstractmethod
    def describe(self) -> "HostPluginInfo":
        """Which VIF classes, port profiles and versions of them the plugin takes."""

    @abc.abstractmethod
    def plug(self, vif: "VIFBase", instance_info: "InstanceInfo") -> None:
        """Make the host ready for the VIF, which may already be plugged.

        Any exception is handed to the caller as the cause of a
        :exc:`~os_vif.exception.PlugException`.
        """

    @abc.abstractmethod
    def unplug(self, vif: "VIFBase", instance_info: "InstanceInfo") -> None:
        """Take away what :meth:`plug` made, of which nothing may be left.

        Any exception is handed to the caller as the cause of an
        :exc:`~os_vif.exception.UnplugException`.
        """

    def describe_guest_end(self, vif: "VIFBase", topology: "Topology | None") -> "End":
        """Return what the guest's card is connected to, for hypervisors to be told.

        It is pure, and need not be plugged.  A plugin that says nothing has the tap or macvtap of
        its topology, if there is one.

        :param topology: what :meth:`TopologyPlugin.describe_host` describes; None of a plugin that
            acts on its own
        :raises NotDescribed: the plugin does not say
        :raises InvalidField: a value of the VIF cannot be used
        """
        from os_vif.guest.card import end_of

        found = None if topology is None else end_of(topology)
        if found is None:
            raise exception.NotDescribed(
                f"plugin {vif.plugin} does not say what a hypervisor is to be told of this "
                f"{vif.obj_name()}",
                plugin_name=vif.plugin,
            )
        return found

    @classmethod
    def load(cls, plugin_name: str) -> Self:
        """Register the plugin's options and make an instance of it.

        :param plugin_name: the entry point's name
        """
        group = f"os_vif_{plugin_name}"
        registry = CONF
        if not cls.CONFIG_OPTS:
            # It has a group as all have, but the service's configuration gets none that is empty.
            registry = cfg.ConfigOpts()
            registry.register_group(cfg.OptGroup(group))
        registry.register_opts(cls.CONFIG_OPTS, group=group)
        return cls(getattr(registry, group))


class TopologyPlugin(PluginBase):
    """Base class of our own plugins, which describe and leave the doing to the engine.

    A description is pure: what only the host knows is asked by the engine when it looks.
    """

    PRIVILEGED_SECTION: ClassVar[str] = "os_vif_privileged"
    """The configuration section of the daemon that serves callers without privilege."""

    @abc.abstractmethod
    def describe_host(self, vif: "VIFBase", instance_info: "InstanceInfo | None") -> "Topology":
        """Return what the host looks like with the VIF plugged.

        :raises InvalidField: a value of the VIF or of the configuration cannot be used
        """

    @abc.abstractmethod
    def describe_remains(self, vif: "VIFBase", instance_info: "InstanceInfo | None") -> "Topology":
        """Return everything that plugging the VIF could have made, whatever the configuration was.

        :raises InvalidField: a value of the VIF cannot be used
        """

    @functools.cached_property
    def _taken(self) -> set[tuple[type, type]]:
        return set()

    def place(self) -> "Place":
        """Return where the plugin's steps run."""
        from os_vif.engine.place import Place

        return Place(self.PRIVILEGED_SECTION)

    def need_supported(self, vif: "VIFBase") -> None:
        """See that the plugin describes such a VIF, with its port profile, in its version.

        :raises ExceptionBase: it does not
        """
        negotiation.check_supported(self.describe(), vif)

    def request(
        self, vif: "VIFBase", instance_info: "InstanceInfo | None", *, unplugging: bool = False
    ) -> "Request":
        """Check the VIF against :meth:`describe` and return what the engine is to do with it.

        :raises ExceptionBase: the plugin does not describe the VIF, its profile or its version,
            or a value cannot be used
        """
        from os_vif import verbs
        from os_vif.engine.converge import Request

        # A class has one version in a process, so what was taken once is taken always.
        kinds = (type(vif), type(optional(vif, "port_profile")))
        if kinds not in self._taken:
            self.need_supported(vif)
            self._taken.add(kinds)
        described = self.describe_remains if unplugging else self.describe_host
        return Request(described(vif, instance_info), self.place(), elsewhere=verbs.place_of)

    def plug(self, vif: "VIFBase", instance_info: "InstanceInfo") -> None:
        """Make the host look as described, and return when it does."""
        from os_vif.engine import converge as engine

        request = self.request(vif, instance_info)
        engine.plug([request])
        if request.error is not None:
            raise request.error
        for caution in request.cautions:
            LOG.warning("VIF %s: %s: %s", vif.id, caution.device, caution.words)

    def unplug(self, vif: "VIFBase", instance_info: "InstanceInfo") -> None:
        """Take away what is the VIF's, and return when it is gone."""
        from os_vif.engine import converge as engine

        request = self.request(vif, instance_info, unplugging=True)
        engine.unplug([request])
        if request.error is not None:
            raise request.error
