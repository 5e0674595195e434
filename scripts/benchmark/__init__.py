# SPDX-License-Identifier: Apache-2.0
"""The parts of `make bench`; scripts/bench.py puts them together."""
