"""What all tests share; each part says what it gives.

``jobd``, ``make_jobd``, ``make_client``, ``managed``, ``shared_dir``, ``trusted_dir`` and
``reach_program`` are fixtures; every test is checked for leaks; ``@pytest.mark.root``,
``@pytest.mark.needs("gcc")`` and ``@pytest.mark.kernel`` say what a test takes.
"""

import signal

# What a shell without job control starts in the background ignores SIGINT, and would hand
# that down to every jobctl that a test interrupts.
signal.signal(signal.SIGINT, signal.default_int_handler)

pytest_plugins = (
    "support.workers",
    "support.kernel",
    "support.adoption",
    "support.both_clients",
    "support.leaks",
    "support.needs",
    "support.jobd",
    "support.managed",
    "support.trusted",
    "support.cgroups",
    "support.reach",
    "support.other_kernels",
    "support.disks",
)
