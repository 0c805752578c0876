"""What a test takes from the machine: root, or programs.

Where that is missing the test is skipped and the summary names it. With
JOBWORKER_REQUIRE_ALL=1 in the environment, as in CI, whatever is skipped fails.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Generator

import pytest


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "root: takes root, as for containment level full")
    config.addinivalue_line("markers", "needs(*programs): takes these programs on the PATH")


def pytest_runtest_setup(item: pytest.Item) -> None:
    if item.get_closest_marker("root") and os.geteuid() != 0:
        pytest.skip("takes root")
    for marker in item.iter_markers("needs"):
        missing = [name for name in marker.args if not shutil.which(name)]
        if missing:
            pytest.skip(f"takes {', '.join(missing)}, which is not installed")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Turn a skip into a failure where nothing may be skipped."""
    report = yield
    if report.skipped and not hasattr(report, "wasxfail") and everything_is_required():
        report.outcome = "failed"
        report.longrepr = f"skipped, but JOBWORKER_REQUIRE_ALL is set: {report.longrepr}"
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report() -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    """The same for a whole file that is skipped while it is collected."""
    report = yield
    if report.skipped and everything_is_required():
        report.outcome = "failed"
        report.longrepr = f"skipped, but JOBWORKER_REQUIRE_ALL is set: {report.longrepr}"
    return report


def everything_is_required() -> bool:
    return bool(os.environ.get("JOBWORKER_REQUIRE_ALL"))
