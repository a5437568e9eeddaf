"""``python -m pytest_ftbench`` is the command ``ftbench``. PYTEST_DONT_REWRITE."""

import sys

from pytest_ftbench.cli import main

sys.exit(main())
