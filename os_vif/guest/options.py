# SPDX-License-Identifier: Apache-2.0
"""What a guest's network card is to be like, beside what plugging makes known of it."""

from __future__ import annotations

import dataclasses
import re
from typing import NoReturn

from os_vif import exception

MOST_QUEUES = 256
"""More than one tap or macvtap takes (drivers/net/tun.c, MAX_TAP_QUEUES)."""

MODELS = (
    "virtio",
    "virtio-transitional",
    "virtio-non-transitional",
    "e1000",
    "e1000e",
    "igb",
    "ne2k_pci",
    "pcnet",
    "rtl8139",
    "vmxnet3",
)
"""Cards by libvirt's names (formatdomain, "Setting the NIC model"), which QEMU has too."""

QUEUE_SIZES = (256, 512, 1024)
"""Descriptors of a virtio queue that QEMU takes (hw/net/virtio-net.c)."""

# QEMU's rule for ids (util/id.c, id_wellformed); its names may be longer.
_ID = re.compile(r"[A-Za-z][A-Za-z0-9._-]{0,63}\Z")
_VERSION = re.compile(r"([0-9]{1,4})\.([0-9]{1,4})(?:\.[0-9]{1,4})?\Z")


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class GuestOptions:
    """What the guest is to have.  InvalidField for a value that cannot be.

    :ivar queues: pairs of queues, 1 to 256; more than one for virtio only.
    :ivar model: one of :data:`MODELS`.
    :ivar vhost: ``on`` or ``off``: whether the kernel moves the packets of a tap or macvtap
        (/dev/vhost-net); ``auto`` leaves it to libvirt, and tells QEMU nothing.
    :ivar rx_queue_size: descriptors: one of :data:`QUEUE_SIZES`; None says nothing.
    :ivar tx_queue_size: the same; more than 256 for vhost-user only.
    :ivar memory: the guest's, in bytes, which a vhost-user back end shares; None says nothing.
    :ivar bus: id of the PCI bus or root port, for QEMU; '' leaves it to QEMU.
    :ivar id: of the card; '' for one of the VIF's id.
    :ivar by_name: open a tap by its name and not by descriptor; of QEMU, which makes a tap that is
        not there if it is root.
    :ivar boot_rom: let the card bring its boot ROM, for PXE.
    :ivar domain_type: ``kvm`` or ``qemu``, of libvirt's domain.
    :ivar libvirt_makes_it: of a VIFDirect, let libvirt make the macvtap, and do not plug.
    :ivar vcpus: processors of the guest, which Cloud Hypervisor allows as many queues; None does
        not look.
    :ivar qemu_version: as in 7.2; '' writes what 7.2 and later understand.
    :ivar firecracker_version: as in 1.15; '' is the newest that is known here.
    """

    queues: int = 1
    model: str = "virtio"
    vhost: str = "auto"
    rx_queue_size: int | None = None
    tx_queue_size: int | None = None
    memory: int | None = None
    bus: str = ""
    id: str = ""
    by_name: bool = False
    boot_rom: bool = False
    domain_type: str = "kvm"
    libvirt_makes_it: bool = False
    vcpus: int | None = None
    qemu_version: str = ""
    firecracker_version: str = ""

    def __post_init__(self) -> None:
        if not _is_number(self.queues, 1, MOST_QUEUES):
            refuse("queues", self.queues, f"a number from 1 to {MOST_QUEUES}")
        for field, words in (
            ("model", MODELS),
            ("vhost", ("auto", "on", "off")),
            ("domain_type", ("kvm", "qemu")),
        ):
            if getattr(self, field) not in words:
                refuse(field, getattr(self, field), ", ".join(words))
        for field in ("rx_queue_size", "tx_queue_size"):
            size = getattr(self, field)
            if size is not None and (isinstance(size, bool) or size not in QUEUE_SIZES):
                refuse(field, size, ", ".join(map(str, QUEUE_SIZES)))
        if self.memory is not None and not _is_number(self.memory, 1 << 20, 1 << 48):
            refuse("memory", self.memory, "a number of bytes, at least 1 MiB")
        if self.vcpus is not None and not _is_number(self.vcpus, 1, 1 << 16):
            refuse("vcpus", self.vcpus, "a number of processors")
        for field in ("bus", "id"):
            if getattr(self, field) and not _ID.match(getattr(self, field)):
                refuse(
                    field,
                    getattr(self, field),
                    "a letter, then letters, digits, '-', '.' and '_', 64 at most",
                )
        version_of("qemu_version", self.qemu_version, (7, 2))
        version_of("firecracker_version", self.firecracker_version, (1, 0))
        if not self.is_virtio:
            self._need_no_virtio()

    def _need_no_virtio(self) -> None:
        """See that nothing is asked of another card that only virtio has."""
        if self.queues > 1:
            refuse("queues", self.queues, f"1, or model virtio: {self.model} has one queue")
        for field in ("rx_queue_size", "tx_queue_size"):
            if getattr(self, field) is not None:
                refuse(field, getattr(self, field), "model virtio: no other has such queues")
        if self.vhost == "on":
            refuse("vhost", self.vhost, f"off, or model virtio: vhost serves no {self.model}")

    @property
    def is_virtio(self) -> bool:
        """Whether the card is one of virtio's."""
        return self.model.startswith("virtio")


def version_of(field: str, text: str, least: tuple[int, int]) -> tuple[int, int] | None:
    """Return major and minor number of a version; None of ''.

    :raises InvalidField: it is none, or less than ``least``
    """
    if not text:
        return None
    parts = _VERSION.match(text) if isinstance(text, str) else None
    found = (int(parts[1]), int(parts[2])) if parts else None
    if found is None or found < least:
        refuse(field, text, f"a version from {least[0]}.{least[1]} on, as in {least[0]}.{least[1]}")
    return found


def refuse(field: str, value: object, expected: str) -> NoReturn:
    """Raise InvalidField."""
    raise exception.InvalidField(field=field, value=value, expected=expected)


def _is_number(value: object, least: int, most: int) -> bool:
    return type(value) is int and least <= value <= most
