"""The one console: everything shown goes to standard error, so that standard output is free for results."""

from rich.console import Console

console = Console(stderr=True, highlight=False)


def percent(fraction: float) -> str:
    """A fraction as a percentage with one decimal, such as `97.1 %`."""
    return f"{100 * fraction:.1f} %"
