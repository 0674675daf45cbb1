"""Two consoles: what happens is told on standard error, so that standard output holds results and nothing else."""

from rich.console import Console

console = Console(stderr=True, highlight=False)
results = Console(highlight=False)


def percent(fraction: float) -> str:
    """A fraction as a percentage with one decimal, such as `97.1 %`."""
    return f"{100 * fraction:.1f} %"
