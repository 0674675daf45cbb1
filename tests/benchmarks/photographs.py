"""Cost of photographs: finished training batches and a trial's start, as ratios measured in one run.

    .venv/bin/python tests/benchmarks/photographs.py --data DIR

DIR is what `study data build --size 224` wrote. Takes about 3 minutes on two free cores.
"""

import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Annotated

import cv2
import numpy as np
import torch
import typer
from PIL import Image
from torch import Tensor, nn
from torch.utils.data import DataLoader
from torchvision.transforms import v2

from bgbias.data.dataset import Dataset
from bgbias.data.datasets.imagenet9 import Imagenet9
from bgbias.data.photographs import layout
from bgbias.data.photographs.bank import File, list_files
from bgbias.methods.dynamic_replacement import DynamicReplacement
from bgbias.methods.method import Learner
from bgbias.models.model import Classifier
from bgbias.randomness import stream
from study.cluster.process import set_up

SIZE, BATCH_SIZE, WORKERS, ROUNDS = 224, 64, 2, 5
P, JITTER = 0.8, 0.4


def main(data: Annotated[Path, typer.Option(help="a folder that `study data build` wrote")]) -> None:
    root = data.absolute()
    dataset = Imagenet9(size=SIZE, jitter=JITTER).load(root)
    compare_batches(root, dataset)
    show_start(root)


def compare_batches(root: Path, dataset: Dataset) -> None:
    """Epochs of finished batches, ours and the conventional ones in turns."""
    set_up(WORKERS)
    epoch(dataset)
    loops = {"bank": lambda: epoch(dataset), "conventional": conventional_epoch(root)}
    seconds: dict[str, list[float]] = {name: [] for name in loops}
    for _ in range(ROUNDS):
        for name, loop in loops.items():
            seconds[name].append(timed(loop))
    n = len(dataset.train)
    print(f"finished training batches of {BATCH_SIZE} at {SIZE} px on {WORKERS} cores, {ROUNDS} epochs of {n}, medians")
    for name, times in seconds.items():
        print(f"  {name:14s} {n / median(times):7.0f} images/s")
    ratio = median(slow / fast for slow, fast in zip(seconds["conventional"], seconds["bank"], strict=True))
    print(f"  ratio {ratio:.1f} (aim: at least 10)")


def epoch(dataset: Dataset) -> None:
    """Every training picture once, as the training loop has them with dynamic replacement."""
    method, draws = DynamicReplacement(p=P), stream(0, "draws")
    learner = Learner(Classifier(nn.Identity(), nn.Identity()), nn.Module())
    for index in torch.randperm(len(dataset.train)).split(BATCH_SIZE):
        examples = dataset.training_examples(index, draws)
        examples.on(method.assign(learner, examples, draws))


def conventional_epoch(root: Path) -> Callable[[], None]:
    """The way the reproduced study did it: files read, masked, pasted and transformed picture by picture."""
    loader = DataLoader(
        Conventional(root), BATCH_SIZE, shuffle=True, num_workers=WORKERS, persistent_workers=True, drop_last=False
    )

    def run() -> None:
        for _ in loader:
            pass

    run()
    return run


class Conventional(torch.utils.data.Dataset[tuple[Tensor, int]]):
    """Three JPEG files a picture: the original, only_fg for its mask, and a random only_bg_t."""

    def __init__(self, root: Path) -> None:
        self.originals, self.fronts, self.backs = (
            list_files(layout.split_folder(root, variant, layout.TRAIN), layout.PICTURE_ENDINGS)
            for variant in (layout.ORIGINAL, layout.ONLY_FG, layout.ONLY_BG_T)
        )
        self.transform = v2.Compose(
            [
                v2.RandomResizedCrop(SIZE),
                v2.RandomHorizontalFlip(),
                v2.ColorJitter(JITTER, JITTER, JITTER),
                v2.PILToTensor(),
                v2.ToDtype(torch.float32, scale=True),
            ]
        )

    def __len__(self) -> int:
        return len(self.originals)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        torch.set_num_threads(1)
        picture = read(self.originals[index])
        if torch.rand(()) < P:
            mask = contour_mask(read(self.fronts[index]))
            behind = read(self.backs[int(torch.randint(len(self.backs), ()))])
            picture = np.where(mask[..., None], picture, behind)
        return self.transform(Image.fromarray(picture)), 0


def read(file: File) -> np.ndarray:
    return np.asarray(Image.open(file.path).convert("RGB"))


def contour_mask(front: np.ndarray) -> np.ndarray:
    """Threshold, filled contours, erosion by 3 and dilation by 7, as the reproduced study has it."""
    bright = (cv2.cvtColor(front, cv2.COLOR_RGB2GRAY) > 5).astype(np.uint8)
    contours, _ = cv2.findContours(bright, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
    filled = cv2.drawContours(np.zeros_like(bright), contours, -1, 1, thickness=cv2.FILLED)
    return cv2.dilate(cv2.erode(filled, np.ones((3, 3))), np.ones((7, 7))).astype(bool)


START = """
import time, sys
started = time.perf_counter()
from pathlib import Path
import torch
from bgbias.data.datasets.imagenet9 import Imagenet9
from bgbias.methods.method import Learner
from bgbias.models.model import Classifier
from bgbias.randomness import stream
from study.cluster.process import set_up
imported = time.perf_counter()
dataset = Imagenet9(size={size}).load(Path({root!r}))
index = torch.arange(64)
examples = dataset.training_examples(index, stream(0, "draws"))
examples.on(examples.background)
ready = time.perf_counter()
dataset.train.batch(torch.arange(len(dataset.train))).image.sum()
print(imported - started, ready - imported)
for line in open("/proc/self/smaps"):
    if line.endswith("rows.u8\\n"):
        mapped = True
    elif line[0] in "0123456789abcdef" and " " in line and "-" in line.split()[0]:
        mapped = False
    elif mapped and line.split(":")[0] in ("Rss", "Private_Dirty"):
        print(*line.split()[:2])
sys.stdout.flush(); sys.stdin.read()
"""


def show_start(root: Path) -> None:
    """Processes that open the bank one after the other: how soon they have a batch, what memory they share."""
    command = [sys.executable, "-c", START.format(size=SIZE, root=str(root))]
    print("processes that open the bank after it was built")
    for number in (1, 2):
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdin
            assert process.stdout
            imported, ready = map(float, process.stdout.readline().split())
            process.stdin.close()
            kept = [line.split() for line in process.stdout]
        total = {
            key: sum(int(value) for name, value in kept if name == key) / 1024 for key in ("Rss:", "Private_Dirty:")
        }
        print(
            f"  process {number}: first batch {ready:.2f} s after imports of {imported:.2f} s (aim: 2 s); "
            f"{total['Rss:']:.0f} MiB of the bank mapped, {total['Private_Dirty:']:.1f} MiB of it its own"
        )


def timed(work: Callable[[], None]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


if __name__ == "__main__":
    typer.run(main)
