# SPDX-License-Identifier: Apache-2.0
"""How fast this library is, side by side with everything else that does the same job.

Run ``python -m benchmarks`` as root from the top of the checkout.  Every contender works in a
process of its own, in an environment of its own, inside private network namespaces; nothing here
touches the interfaces of the machine it runs on.
"""
