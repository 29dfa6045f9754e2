# SPDX-License-Identifier: Apache-2.0
"""The core: it makes descriptions true, and knows no kind of thing by name.

Read ``family`` first: it is what the core is told of a kind of thing.
"""
