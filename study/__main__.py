"""`python -m study` is the `study` command."""

from study.cli.main import main
from study.cluster.process import leave


def command() -> None:
    """The whole life of a `study` process."""
    try:
        main()
    except SystemExit as stopped:
        leave(int(stopped.code or 0))


if __name__ == "__main__":
    command()
