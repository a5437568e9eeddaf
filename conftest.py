"""Shared by all tests: pytester, to run the plugin in a pytest of its own; Hypothesis without its wall clock."""

from hypothesis import settings

pytest_plugins = ["pytester"]

# two cores that also train models make a deadline a matter of luck
settings.register_profile("ftbench", deadline=None)
settings.load_profile("ftbench")
