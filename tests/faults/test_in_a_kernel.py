"""What takes another kernel than this machine's (``support.other_kernels``).

The tests of limits once more, where there is one cgroup v2 hierarchy; what sets the clock;
and disks with project quotas.
"""

from __future__ import annotations

import pytest

from support.kernel import is_inside
from support.other_kernels import RUNS, Outcomes

pytestmark = [
    pytest.mark.kernel,
    pytest.mark.skipif(is_inside(), reason="this is the kernel in which the tests are to be run"),
]


@pytest.mark.parametrize(
    "run",
    [
        pytest.param(name, marks=pytest.mark.needs(run.tmp.make[0]) if run.tmp else ())
        for name, run in RUNS.items()
    ],
)
def test_in_a_kernel(run: str, kernels: Outcomes) -> None:
    if why := kernels.of(run):
        pytest.fail(why, pytrace=False)
