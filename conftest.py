"""Shared by all tests: pytester, to run the plugin in a pytest of its own."""

pytest_plugins = ["pytester"]
