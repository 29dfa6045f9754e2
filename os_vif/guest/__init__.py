# SPDX-License-Identifier: Apache-2.0
"""The guest's side: what a hypervisor must be told of a VIF that os-vif plugs.

What may live here: text and plain data made of a :class:`~os_vif.guest.card.Card`, which says what
plugging makes, and of :class:`~os_vif.guest.options.GuestOptions`, which say what the guest is to
have.  One page a hypervisor; all are pure and look nothing up.  A value goes through the standard
library's XML or JSON, and never into text by itself.  What a guest has that runs is compared by
``compared`` (libvirt's XML) and ``asked`` (a QEMU that the caller talks to).

:func:`os_vif.verbs.guest_card` makes the card of a VIF.
"""

from os_vif.guest.card import Card, card_of
from os_vif.guest.options import GuestOptions

__all__ = ["Card", "GuestOptions", "card_of"]
