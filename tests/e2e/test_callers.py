# SPDX-License-Identifier: Apache-2.0
"""Memory does not grow with the number of callers. `make soak-callers` does the same with a million."""

import million_callers
import pytest

CALLERS = 20_000


@pytest.mark.slow
def test_memory_stays_bounded_under_ever_new_callers():
    """The caches are full after the first half, so what the second half adds is its counters and little else."""
    curve = million_callers.run(CALLERS, name="callers-e2e")
    assert curve.points[-1][0] == CALLERS
    assert curve.most <= million_callers.BOUND
    # Tokens that were all kept would take half a kilobyte each, more than 5 MB for the second half.
    assert curve.late_growth() <= 3_000_000
