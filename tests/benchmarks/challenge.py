"""The Background Challenge: how many answers ours takes, beside the fewest that could do and the reference's order.

    .venv/bin/python tests/benchmarks/challenge.py CHECKPOINT...

Each CHECKPOINT was trained on a folder that `study data build` wrote. Ours knows what was answered on the test set's
variants, which `study evaluate` asks before; those answers prove nothing and are not counted. The reference walks the
backgrounds in the order of their files, 32 at a time, for each foreground, reads them anew each time, and stops after
the first batch with a hit (K. Xiao et al., 2020). It takes minutes for each checkpoint on two free cores;
`--no-reference` leaves it out.
"""

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import torch
import typer
from torch import Tensor
from torch.utils.data import DataLoader
from torchvision.datasets import ImageFolder
from torchvision.transforms import v2

from bgbias.data.dataset import ORIGINAL
from bgbias.data.datasets.imagenet9 import dataset_root
from bgbias.data.photographs import layout
from bgbias.evaluation.challenge import Verdict
from bgbias.evaluation.evaluator import Predictions
from bgbias.methods.method import logits_of
from study.cluster.process import set_up
from study.inspect.challenge import begun
from study.training.single import LoadedModel, evaluate_trained, load_trained

BATCH_SIZE, AIM = 32, 1.3


def main(
    checkpoints: Annotated[list[Path], typer.Argument(metavar="CHECKPOINT...")],
    walk: Annotated[bool, typer.Option("--reference/--no-reference", help="walk in the reference's order too")] = True,
    workers: Annotated[int, typer.Option(help="processes that read for the reference")] = 2,
    threads: Annotated[int, typer.Option(help="torch threads")] = 2,
) -> None:
    set_up(threads)
    ratios = [compare(checkpoint, workers if walk else None) for checkpoint in checkpoints]
    within = sum(ratio <= AIM for ratio in ratios)
    print(
        f"{within} of {len(ratios)} checkpoints within {AIM} times the fewest answers, the most {max(ratios):.2f} times"
    )


def compare(checkpoint: Path, workers: int | None) -> float:
    """Print what the challenge takes; ours, in units of the fewest answers."""
    trained = load_trained(checkpoint, None, None, "auto")
    predictions = evaluate_trained(trained).predictions
    started = time.perf_counter()
    verdict = ours(trained, predictions)
    seconds = time.perf_counter() - started
    n, m = len(verdict.label), len(trained.dataset.test[ORIGINAL].backgrounds)
    fewest = verdict.fewest_passes(m)
    print(f"{checkpoint}: {trained.config.method.name()}, seed {trained.config.seed}")
    print(
        f"  {n} foregrounds on {m} backgrounds, challenge accuracy {100 * verdict.accuracy:.1f} %, on {trained.device}"
    )
    print(f"  fewest answers that prove it {fewest:7d}")
    print(f"  ours                         {verdict.passes:7d}  {verdict.passes / fewest:.2f} times, {seconds:.1f} s")
    weighed = (verdict.passes + 2 * verdict.gradients) / fewest
    print(
        f"    with their gradient        {verdict.gradients:7d}  if each of these counts as three, {weighed:.2f} times"
    )
    if workers is not None:
        show_reference(trained, workers, verdict, seconds)
    return verdict.passes / fewest


def show_reference(trained: LoadedModel, workers: int, verdict: Verdict, our_seconds: float) -> None:
    started = time.perf_counter()
    robust, passes = reference(trained, workers)
    seconds = time.perf_counter() - started
    fewest = verdict.fewest_passes(len(trained.dataset.test[ORIGINAL].backgrounds))
    print(f"  reference order              {passes:7d}  {passes / fewest:.2f} times, {seconds:.1f} s")
    print(f"  {seconds / our_seconds:.1f} times ours; same verdict for all: {bool((robust == verdict.robust).all())}")


def ours(trained: LoadedModel, predictions: Mapping[str, Predictions]) -> Verdict:
    challenge = begun(trained, predictions)
    with trained.config.training.arithmetic(trained.device):
        while len(challenge.undecided):
            challenge.round()
    return challenge.verdict()


@torch.no_grad()
def reference(trained: LoadedModel, workers: int) -> tuple[Tensor, int]:
    """Check every pair: which foregrounds are robust ([N] bool), and the number of pictures that were predicted."""
    root = layout.split_folder(dataset_root(trained.config.data), layout.ONLY_BG_T, layout.TEST)
    variant, device = trained.dataset.test[ORIGINAL], trained.device
    side = variant.foregrounds.image.shape[-1]
    scale = v2.Resize(side, interpolation=v2.InterpolationMode.BICUBIC)
    transform = v2.Compose([scale, v2.CenterCrop(side), v2.ToImage(), v2.ToDtype(torch.float32, scale=True)])
    backgrounds = ImageFolder(str(root), transform)
    robust, passes = [], 0
    for i in range(len(variant)):
        front = variant.batch(torch.tensor([i], device=device))
        fooled = False
        for behind, _ in DataLoader(backgrounds, BATCH_SIZE, num_workers=workers):
            pasted = torch.where(front.mask, front.image, behind.to(device))
            passes += len(pasted)
            with trained.config.training.arithmetic(device):
                answer = logits_of(trained.config.method, trained.learner, pasted).argmax(dim=1)
            fooled = bool((answer != front.label).any())
            if fooled:
                break
        robust.append(not fooled)
    return torch.tensor(robust), passes


if __name__ == "__main__":
    typer.run(main)
