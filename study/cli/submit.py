"""`study submit`: a study as a Ray job, which runs on the cluster's head and needs this terminal no longer."""

import asyncio
import shlex
from typing import Annotated, Any

import typer
from rich.markup import escape

from bgbias.errors import SettingError
from study.cli.options import AsJson
from study.cli.printing import print_json
from study.display import results
from study.errors import TrialsFailedError

COMMANDS = ("run", "resume")

app = typer.Typer(add_completion=False)


@app.command(context_settings={"allow_extra_args": True, "ignore_unknown_options": True})
def submit(
    context: typer.Context,
    address: Annotated[str, typer.Option(help="address of the cluster's job server")] = "http://127.0.0.1:8265",
    follow: Annotated[bool, typer.Option("--follow", help="show the job's output until it ends")] = False,
    as_json: AsJson = False,
) -> None:
    """Run a study as a job on a Ray cluster.

    For instance `study submit run erm --output /shared/study`. The words after `submit` are a `study run` or `study
    resume` command that runs on the cluster's head, with paths on the head. It joins the cluster by itself.
    """
    command = entrypoint(context.args)
    client = job_client(address)
    job = client.submit_job(entrypoint=command)
    if as_json:
        print_json({"job": job, "address": address, "command": command})
    else:
        results.print(escape(f"job: {job}"), soft_wrap=True)
        for does in ("status", "logs --follow", "stop"):
            results.print(escape(f"  ray job {does} --address {address} {job}"), soft_wrap=True)
    if follow:
        asyncio.run(show(client, job))
        if client.get_job_status(job) != "SUCCEEDED":
            raise TrialsFailedError(f"the job {job} ended as {client.get_job_status(job)}: its log says why")


def entrypoint(arguments: list[str]) -> str:
    """The command that the head runs.

    Raises:
        SettingError: it is no study, or says where its cluster is.
    """
    if not arguments or arguments[0] not in COMMANDS:
        raise SettingError(f"give what to submit after the options: {' or '.join(COMMANDS)} with its own options")
    if any(argument.partition("=")[0] == "--address" for argument in arguments):
        raise SettingError("give --address once, before the command: on the head a study joins the head's cluster")
    return shlex.join(["python", "-m", "study", *arguments, "--address", "auto"])


def job_client(address: str) -> Any:
    """Ray's client of a cluster's job server.

    Raises:
        SettingError: nothing answers there, or it does not let us in.
    """
    from ray.job_submission import JobSubmissionClient  # takes a second to import

    try:
        return JobSubmissionClient(address)
    except (ConnectionError, RuntimeError, ValueError) as error:
        reason = str(error).strip().splitlines()[0]
        raise SettingError(f"no job server at {address} ({reason}): start Ray's head with its dashboard") from None


async def show(client: Any, job: str) -> None:
    """Print what a job prints until it ends."""
    async for lines in client.tail_job_logs(job):
        results.file.write(lines)
