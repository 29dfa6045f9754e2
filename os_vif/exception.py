# SPDX-License-Identifier: Apache-2.0
"""The errors callers see. Each class's ``msg_fmt`` names the keyword arguments it takes."""

import copy
from collections.abc import Sequence
from typing import Any


class ExceptionBase(Exception):
    """An error of this library.

    :param message: the text; by default ``msg_fmt`` filled with the keyword arguments, or as it
        stands when one that it names is missing: an error report must not fail itself
    :param kwargs: what the error is about, kept in ``kwargs`` for the caller
    """

    msg_fmt = "An unknown exception occurred."

    def __init__(self, message: str | None = None, **kwargs: Any) -> None:
        self.kwargs = kwargs
        if message is None:
            try:
                message = self.msg_fmt % kwargs
            except (KeyError, TypeError, ValueError):
                message = self.msg_fmt
        self.message = message
        self._words = message
        super().__init__(message)

    def add_left(self, left: Sequence[str]) -> None:
        """Say what of the call's could not be taken back, beside what is said already.

        :param left: the steps, in words; ``kwargs['left']`` has them, '' where there is none
        """
        said = [self.kwargs.get("left"), *left]
        self.kwargs["left"] = "; ".join(filter(None, said))
        self.message = self._words
        if self.kwargs["left"]:
            self.message += f" (and could not take back: {self.kwargs['left']})"
        self.args = (self.message,)

    def format_message(self) -> str:
        """Return the text of the error."""
        return self.message


class LibraryNotInitialized(ExceptionBase):
    """A call that needs the plugins came before they were loaded."""

    msg_fmt = "Call os_vif.initialize() before using the os_vif library"


class NoMatchingPlugin(ExceptionBase):
    """No plugin of this name is loaded, or described by the host."""

    msg_fmt = "There is no VIF plugin named %(plugin_name)s"


class NoMatchingPortProfileClass(ExceptionBase):
    """The port profile's class is not known, or not described by the plugin."""

    msg_fmt = "Port profile class %(name)s is not supported"


class NoSupportedPortProfileVersion(ExceptionBase):
    """The port profile's class is known, but not in a version within the range."""

    msg_fmt = (
        "Port profile class %(name)s has version %(got_versions)s, "
        "which is not between %(min_version)s and %(max_version)s"
    )


class NoMatchingVIFClass(ExceptionBase):
    """The VIF's class is not known, or not described by the plugin."""

    msg_fmt = "VIF class %(name)s is not supported"


class NoSupportedVIFVersion(ExceptionBase):
    """The VIF's class is known, but not in a version within the range."""

    msg_fmt = (
        "VIF class %(name)s has version %(got_versions)s, "
        "which is not between %(min_version)s and %(max_version)s"
    )


class PlugException(ExceptionBase):
    """A plugin could not plug the VIF; ``__cause__`` is the plugin's own error."""

    msg_fmt = "Failed to plug VIF %(vif)s: %(err)s"


class UnplugException(ExceptionBase):
    """A plugin could not unplug the VIF; ``__cause__`` is the plugin's own error."""

    msg_fmt = "Failed to unplug VIF %(vif)s: %(err)s"


class NetworkMissingPhysicalNetwork(ExceptionBase):
    """The network needs a physical network and names none."""

    msg_fmt = "Physical network is missing for network %(network_uuid)s"


class NetworkInterfaceNotFound(ExceptionBase):
    """There is no network device of this name."""

    msg_fmt = "Network interface %(interface)s not found"


class NetworkInterfaceTypeNotDefined(ExceptionBase):
    """A network device was asked for with a type nobody knows."""

    msg_fmt = "Network interface type %(type)s not defined"


class ExternalImport(ExceptionBase):
    """A function internal to the library was called from outside."""

    msg_fmt = "Use of this function from outside the os_vif library is not allowed"


class NotImplementedForOS(ExceptionBase):
    """The function exists, but not on this operating system."""

    msg_fmt = "Function %(function)s is not implemented for operating system %(os)s"


class InvalidField(ExceptionBase):
    """A value of a VIF, of a specification or of the configuration cannot be used.

    Raised before anything on the host is touched.
    """

    msg_fmt = "%(field)s: %(value)r cannot be used: expected %(expected)s"


class NotPrivileged(ExceptionBase):
    """This process may not change network devices, and nobody could be found to do it for it.

    ``kwargs["configured"]`` tells whether the helper is one that the configuration names.
    """

    msg_fmt = (
        "this needs privilege (CAP_NET_ADMIN), and the helper that has it could not be started: "
        "%(reason)s (configuration section [%(section)s], helper_command: %(command)s)"
    )


class ResourceConflict(ExceptionBase):
    """Something on the host that is not this VIF's stands in the way; nothing was touched."""

    msg_fmt = "%(resource)s is in the way: %(reason)s"


class HeldByAnother(ResourceConflict):
    """Something is this VIF's, but another uses it, and it cannot be taken away; all is left."""

    msg_fmt = "%(resource)s is this VIF's, and cannot go: %(reason)s"


class UnusableDevice(ExceptionBase):
    """A device of the host that the VIF names cannot do what it is to do; nothing was touched."""

    msg_fmt = "%(device)s cannot be used: %(reason)s"


class StepFailed(ExceptionBase):
    """The system refused a step. What the call had done before it was taken back.

    ``kwargs['left']`` names what could not be taken back; '' when all was.

    :ivar errno: the system's number for the reason (:mod:`errno`); 0 where it gave none
    """

    msg_fmt = "could not %(step)s: %(reason)s"

    def __init__(self, message: str | None = None, **kwargs: Any) -> None:
        super().__init__(message, **kwargs)
        self.errno: int = kwargs.get("errno", 0)
        if message is None:
            self.add_left([])


class NotConverged(ExceptionBase):
    """Every step was taken, and yet the host is not as described: something keeps changing it."""

    msg_fmt = "the host did not stay as described; still to do: %(steps)s"


class NotAttempted(ExceptionBase):
    """Another VIF of an all-or-nothing call failed, so this one was not done or taken back."""

    msg_fmt = "not done, because another VIF of the same call failed"


class NotDescribed(ExceptionBase):
    """The plugin acts on its own instead of describing, so nothing can be said beforehand."""

    msg_fmt = "plugin %(plugin_name)s does not describe what it does, so this cannot be shown"


class NotForHypervisor(ExceptionBase):
    """A hypervisor cannot be given what the VIF is plugged as; ``kwargs['able']`` names who can."""

    msg_fmt = "%(hypervisor)s cannot be given this %(vif_class)s, %(what)s: %(reason)s; %(can)s"


class UnusableFamily(ExceptionBase):
    """A kind of thing that a host can hold is not known here, or its package is at fault."""

    msg_fmt = "family %(family)s cannot be used: %(reason)s"


def with_left(error: Exception, left: Sequence[str]) -> Exception:
    """Return an error that also says what could not be taken back: this one, where nothing was.

    :param left: the steps that should have taken it back, in words
    """
    if not left:
        return error
    if isinstance(error, ExceptionBase):
        told: ExceptionBase = copy.copy(error)  # others may have got the same
        told.kwargs = dict(error.kwargs)
        told.__cause__ = error.__cause__
    else:
        reason = (isinstance(error, OSError) and error.strerror) or str(error) or repr(error)
        code = (error.errno if isinstance(error, OSError) else 0) or 0
        told = StepFailed(step="see it through", reason=reason, errno=code, left="")
        told.__cause__ = error
    told.add_left(left)
    return told
