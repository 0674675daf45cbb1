"""Rules, tests and the page of a large study, from a record on disk whose numbers are drawn at random.

    .venv/bin/python tests/benchmarks/report.py
    .venv/bin/python tests/benchmarks/report.py --studies 3 --page report.html

Writes studies of ImageNet-9's eight variants with the predictions that fresh seeds keep, without training anything,
applies every selection rule, every paired test and Holm's correction, draws one page of all studies, and opens it in a
headless Chromium where there is one.
"""

import resource
import shutil
import subprocess
import tempfile
import time
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from queue import Queue
from threading import Thread
from typing import Annotated, Any

import numpy as np
import torch
import typer
from safetensors.torch import save_file

from bgbias.checkpoint import LABEL, PREDICTIONS
from bgbias.config import RunConfig
from bgbias.data.photographs import layout
from bgbias.files import write_checksums
from bgbias.table import Table
from study.record.config import StudyConfig
from study.record.epoch import EpochReport, Metrics
from study.record.folder import CONFIRM, SEARCH, StudyFolder
from study.record.selection import each_ones_best
from study.report import finished_report, page

METHODS = ("erm", "dynamic_replacement", "gradient_penalty", "worst_of_k", "jtt", "group_dro", "clad", "afr")
VARIANTS = tuple(layout.VARIANTS)
QUANTITIES = ("accuracy", "balanced_accuracy", "worst_class_accuracy", "worst_group_accuracy", "loss")
CLASSES = 9
MEASURE = """
const now = () => Math.round(performance.now());
const drawn = () => document.querySelectorAll('.js-plotly-plot').length;
const seen = [...document.querySelectorAll('.drawing')]
  .filter(place => place.getBoundingClientRect().top < innerHeight);
const timer = setInterval(() => {
  if (drawn() < Math.max(1, seen.length)) return;
  clearInterval(timer);
  const paint = Math.round(performance.getEntriesByName('first-contentful-paint')[0]?.startTime ?? -1), first = now();
  dispatchEvent(new Event('beforeprint'));
  fetch(`/measured?first_paint=${paint}&figures_in_view=${first}&all_${drawn()}_figures=${now()}`);
}, 10);
"""


def main(
    studies: Annotated[int, typer.Option(help="on one page")] = 1,
    spaces: Annotated[int, typer.Option(min=1, max=len(METHODS), help="of each study")] = 4,
    trials: Annotated[int, typer.Option(help="of each space")] = 50,
    epochs: Annotated[int, typer.Option(help="of each trial")] = 20,
    seeds: Annotated[int, typer.Option(help="fresh ones of each space")] = 50,
    images: Annotated[int, typer.Option(help="of each variant")] = 10_000,
    keep: Annotated[Path | None, typer.Option("--page", help="where the page is kept")] = None,
) -> None:
    with tempfile.TemporaryDirectory() as root:
        folders = [StudyFolder(Path(root) / f"study-{number}") for number in range(studies)]
        for number, folder in enumerate(folders):
            write(folder, METHODS[:spaces], trials, epochs, seeds, images, number)
        started, before = time.perf_counter(), time.process_time()
        found = [finished_report(folder) for folder in folders]
        seconds, processor = time.perf_counter() - started, time.process_time() - before
        memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
        comparisons = sum(len(one.comparisons) for one in found)
        print(
            f"{studies} x {spaces * trials} trials x {len(VARIANTS)} variants, {spaces * seeds} fresh seeds with "
            f"{images:,} predictions a variant: {comparisons} comparisons, {len(found[0].rule_rows)} rules a study"
        )
        print(f"all rules and tests: {seconds:.1f} s ({processor:.1f} s of one core), {memory:.2f} GB at most")
        before = time.process_time()
        text = page.page(found)
        print(f"page: {len(text.encode()) / 1e6:.2f} MB, made in {time.process_time() - before:.1f} s of one core")
        file = keep or Path(root) / "page.html"
        file.write_text(text)
        opened(file)


def opened(file: Path) -> None:
    """Print how long a headless Chromium takes to open a page, as the page itself measures it."""
    browser = shutil.which("chromium") or shutil.which("google-chrome")
    if browser is None:
        print("no Chromium: not opened")
        return
    served, measured = file.read_text().replace("</body>", f"<script>{MEASURE}</script></body>").encode(), Queue[str]()

    class Answer(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "text/html; charset=utf-8")
            self.end_headers()
            self.wfile.write(served if self.path == "/" else b"")
            if self.path.startswith("/measured?"):
                measured.put(self.path.partition("?")[2])

        def log_message(self, *_: object) -> None: ...

    with ThreadingHTTPServer(("127.0.0.1", 0), Answer) as server, tempfile.TemporaryDirectory() as profile:
        Thread(target=server.serve_forever, daemon=True).start()
        options = ["--headless", "--no-sandbox", "--remote-debugging-port=0", f"--user-data-dir={profile}"]
        address = f"http://127.0.0.1:{server.server_port}/"
        with subprocess.Popen([browser, *options, "--window-size=1280,900", address], stderr=subprocess.DEVNULL) as run:
            try:
                for part in measured.get(timeout=120).split("&"):
                    print("opening: " + part.replace("=", " after ").replace("_", " ") + " ms")
            finally:
                run.terminate()
        server.shutdown()


def write(
    folder: StudyFolder, spaces: tuple[str, ...], trials: int, epochs: int, seeds: int, images: int, seed: int
) -> None:
    """A finished study's record: metrics and predictions at random, and the tables that a dataset has."""
    rng = np.random.default_rng(seed)
    folder.create(
        StudyConfig(spaces=spaces, dataset="imagenet9", trials=trials, epochs=epochs, confirm_seeds=seeds, seed=seed)
    )
    number = 0
    for at, space in enumerate(spaces):
        for _ in range(trials):
            number += 1
            record(folder, rng, space, SEARCH, number, settings(space, rng, epochs, seed), epochs, at / 20)
        fixed = settings(space, rng, epochs, seed)
        for fresh in range(1, seeds + 1):
            number += 1
            record(folder, rng, space, CONFIRM, number, fixed | {"seed": fresh}, epochs, at / 20)
    for row in each_ones_best(folder.finished(CONFIRM, tables=False)):
        predicted(folder.checkpoint(row, CONFIRM), rng, images)


def settings(method: str, rng: np.random.Generator, epochs: int, seed: int) -> dict[str, Any]:
    """A run's complete settings, five of them drawn."""
    drawn = {
        "training/learning_rate": float(10 ** rng.uniform(-4, -2)), "training/weight_decay": float(rng.random() / 100),
        "training/batch_size": int(rng.choice([16, 32, 64])), "training/schedule": str(rng.choice(["cosine", "steps"])),
        "training/epochs": epochs,
    }  # fmt: skip
    asked = {"dataset/name": "imagenet9", "method/name": method, "seed": seed, **drawn}
    return {**RunConfig.from_flat(asked).to_flat()}


def record(
    folder: StudyFolder,
    rng: np.random.Generator,
    space: str,
    stage: str,
    number: int,
    config: dict[str, Any],
    epochs: int,
    better: float,
) -> None:
    """One trial whose accuracies rise towards a random end."""
    name = f"{number:08x}"
    folder.start_trial(name, number, space, stage, config)
    end = {variant: rng.uniform(0.3, 0.7) + better for variant in VARIANTS}
    names = [f"class {n}" for n in range(CLASSES)]
    table = Table.of(rng.integers(1, 99, (CLASSES, CLASSES)).tolist(), names, names)
    for epoch in range(1, epochs + 1):
        metrics: Metrics = {"train/loss/cross_entropy": float(rng.random() / epoch), "train/images_per_second": 100.0}
        for split in ("val", "test"):
            for variant in VARIANTS:
                value = end[variant] * (1 - 0.8**epoch) + rng.normal(0, 0.01)
                metrics |= {f"{split}/{variant}/{one}": float(np.clip(value, 0, 1)) for one in QUANTITIES}
        tables = {f"test/{variant}/{what}": table for variant in VARIANTS for what in ("count", "correct")}
        folder.add_epoch(name, replace(EpochReport(epoch, metrics, tables), at=epoch))
    folder.finish_trial(name)


def predicted(checkpoint: Path, rng: np.random.Generator, images: int) -> None:
    """A kept checkpoint's predictions alone, right for half of the images."""
    if checkpoint.exists():
        return
    checkpoint.mkdir(parents=True)
    label = torch.from_numpy(np.arange(images) % CLASSES).to(torch.int16)
    kept: dict[str, torch.Tensor] = {}
    for variant in VARIANTS:
        wrong = torch.from_numpy(rng.random(images) < 0.5)
        kept |= {f"test/{variant}": torch.where(wrong, (label + 1) % CLASSES, label).contiguous()}
        kept |= {f"test/{variant}/{LABEL}": label.clone()}
    save_file(kept, checkpoint / PREDICTIONS)
    write_checksums(checkpoint)


if __name__ == "__main__":
    typer.run(main)
