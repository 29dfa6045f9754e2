# SPDX-License-Identifier: Apache-2.0
"""Where a VIF sits, as a picture, from the same topology that is plugged.

``scene`` says what is drawn and what it is attached to, ``layout`` gives each part its place,
``text`` and ``svg`` draw.  All of it is pure.
"""
