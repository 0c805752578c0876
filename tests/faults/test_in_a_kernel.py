"""What takes another kernel than this machine's (``support.kernel``).

The tests of limits once more, where there is one cgroup v2 hierarchy; and what sets the clock.
"""

from __future__ import annotations

import pytest

from support.kernel import ALICE, ROOT, is_inside, run_tests_in_kernel

pytestmark = [
    pytest.mark.needs("linux.uml"),
    pytest.mark.skipif(is_inside(), reason="this is the kernel in which the tests are to be run"),
]


@pytest.mark.parametrize("user", [ROOT, ALICE], ids=["root", "delegated"])
def test_limits_on_cgroup_v2(user: int) -> None:
    """Root has the root cgroup; the other one a subtree that is delegated to it."""
    run_tests_in_kernel("tests/limits", user=user)


def test_a_clock_that_is_set() -> None:
    run_tests_in_kernel("tests/faults/clock_in_kernel.py", user=ROOT)
