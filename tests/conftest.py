"""What all tests share; each part says what it gives.

``jobd``, ``make_jobd``, ``shared_dir``, ``trusted_dir`` and ``reach_program`` are fixtures;
every test is checked for leaks; ``@pytest.mark.root`` and ``@pytest.mark.needs("gcc")`` say
what a test takes.
"""

pytest_plugins = (
    "support.adoption",
    "support.leaks",
    "support.needs",
    "support.jobd",
    "support.trusted",
    "support.cgroups",
    "support.reach",
)
