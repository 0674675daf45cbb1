"""`python -m study` is the `study` command."""

import os
import sys

# Nothing more may be imported here: the working folder is still on the import path, with whatever files it holds.


def command() -> None:
    """The whole life of a `study` process."""
    isolate()
    from study import stopping

    stopping.install()
    from study.cli.main import main
    from study.cluster.process import exit_process

    try:
        main()
    except SystemExit as ended:
        exit_process(int(ended.code or 0))


def isolate() -> None:
    """Import this project's packages, here and in every process started from here, from where this file lies.

    Python puts the working folder, or the command's, first on the import path, where any file may be taken for a
    module.
    """
    home = os.path.dirname(os.path.dirname(os.path.realpath(__file__)))  # noqa: PTH120
    paths = [os.path.abspath(path) for path in os.environ.get("PYTHONPATH", "").split(os.pathsep) if path]  # noqa: PTH100
    if not sys.flags.safe_path and os.path.realpath(sys.path.pop(0)) == home:  # a checkout that is not installed
        paths.insert(0, home)
    os.environ |= {"PYTHONPATH": os.pathsep.join(paths), "PYTHONSAFEPATH": "1"}
    sys.path[:0] = [path for path in paths if path not in sys.path]


if __name__ == "__main__":
    command()
