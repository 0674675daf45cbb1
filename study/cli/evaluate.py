"""`study evaluate`: a checkpoint on every variant."""

from pathlib import Path
from typing import Annotated

import typer

from bgbias.errors import SettingError
from study import stopping
from study.cli.options import SAME_COMMAND, AsJson, Data, Device, Threads, png_file
from study.cli.printing import print_json, print_metrics
from study.display import results, show_table
from study.record.analyses import CHALLENGE, leave


def evaluate(
    checkpoint: Annotated[Path, typer.Argument(help="a checkpoint's folder")],
    dataset: Annotated[str | None, typer.Option(help="a dataset; if left out, the checkpoint's own")] = None,
    data: Data = None,
    challenge: Annotated[bool, typer.Option("--challenge", help="also run the Background Challenge")] = False,
    out: Annotated[
        Path | None,
        typer.Option(
            metavar="PNG", callback=png_file, help="file for a picture of the challenge's most adversarial backgrounds"
        ),
    ] = None,
    device: Device = "auto",
    threads: Threads = 1,
    as_json: AsJson = False,
) -> None:
    """Evaluate a checkpoint on every variant, and on the worst backgrounds."""
    from study.cluster import process
    from study.training import single

    if out is not None and not challenge:
        raise SettingError("--out draws the Background Challenge: give --challenge too, or leave --out out")
    process.set_up(threads)
    trained = single.load_trained(checkpoint, dataset, data, device)
    found: dict[str, object] = {"checkpoint": str(checkpoint.absolute()), "dataset": trained.dataset.name}
    result = single.evaluate_trained(trained)
    metrics = result.metrics
    if challenge:
        from study.inspect import challenge as background_challenge

        stopping.on_stop(SAME_COMMAND)
        verdict = background_challenge.run_challenge(checkpoint, trained, result.predictions)
        metrics |= background_challenge.metrics(verdict)
        described = background_challenge.to_json(verdict, trained)
        found["challenge"] = described
        if dataset is None:
            leave(checkpoint, CHALLENGE, {name: value for name, value in described.items() if name != "fooled"})
        if out is not None:
            out.parent.mkdir(parents=True, exist_ok=True)
            background_challenge.challenge_picture(verdict, trained).save(out)
    if as_json:
        print_json({**found, "metrics": metrics})
        return
    print_metrics(metrics, f"{checkpoint} on {trained.dataset.name}")
    if challenge:
        show_table(background_challenge.table(verdict, trained))
        results.print(background_challenge.counts(verdict, trained))
