"""Report: findings as text for a reader. No torch, no pytest."""

from pytest_ftbench.report.acceptance_text import render_acceptance
from pytest_ftbench.report.compare_text import render_breaches, render_comparison
from pytest_ftbench.report.contents import Contents
from pytest_ftbench.report.encoding import encodable
from pytest_ftbench.report.headline import headline
from pytest_ftbench.report.html import render_html
from pytest_ftbench.report.markdown import render_markdown
from pytest_ftbench.report.text import render

__all__ = [
    "Contents",
    "encodable",
    "headline",
    "render",
    "render_acceptance",
    "render_breaches",
    "render_comparison",
    "render_html",
    "render_markdown",
]
