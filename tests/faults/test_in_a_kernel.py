"""The tests of limits once more, where there is one cgroup v2 hierarchy (``support.kernel``)."""

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
