"""Results of analyses of a study's kept checkpoints: Background Challenge, saliency, flow.

They are read and laid out as tables; for a missing result, the report names the command that computes it.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from bgbias.data.dataset import ORIGINAL
from bgbias.evaluation.challenge import CHALLENGE as CHALLENGE_VARIANT
from bgbias.methods import methods
from bgbias.methods.combined import SEPARATOR
from bgbias.metrics import TEST, accuracy
from study.display import command_line, counted, in_percent, with_spread_of
from study.record.analyses import ChallengeResult, FlowResult, Results, SaliencyResult, SharesResult, left
from study.record.folder import CONFIRM, SEARCH, StudyFolder
from study.record.selection import Row, Trial, each_ones_best
from study.report.layout import Grid

FLOW = "flow"
MASKS = "dataset/masks"
MISSING = "-"


@dataclass(frozen=True)
class Inspected:
    """A kept checkpoint that is a space's best on the shifted variant, or of that space on a fresh seed.

    stage: `search` or `confirm`
    path: its folder
    challenge, saliency, flow: what the commands left; None where they did not run
    """

    space: str
    method: str
    stage: str
    trial: str
    epoch: int
    path: Path
    has_masks: bool
    challenge: ChallengeResult | None = None
    saliency: SaliencyResult | None = None
    flow: FlowResult | None = None


def inspected(folder: StudyFolder, rows: Sequence[Row], confirmed: Sequence[Trial], shifted: str) -> list[Inspected]:
    """The checkpoints to look into, with what was left beside each."""
    stages = ((SEARCH, rows), (CONFIRM, each_ones_best(confirmed)))
    trials = {trial.trial_id: trial for trial in confirmed}
    found = []
    for stage, mine in stages:
        for row in mine:
            path = folder.checkpoint(row, stage)
            if row.variant == shifted and path.is_dir():
                measured = trials[row.trial].history[row.epoch - 1] if row.trial in trials else {}
                found.append(_one(row, stage, path, left(path), measured))
    return found


def _one(row: Row, stage: str, path: Path, results: Results, measured: dict[str, float]) -> Inspected:
    robust = measured.get(accuracy(TEST, CHALLENGE_VARIANT))  # of `evaluation/also=challenge`
    return Inspected(
        space=row.space,
        method=row.method,
        stage=stage,
        trial=row.trial,
        epoch=row.epoch,
        path=path,
        has_masks=row.config.get(MASKS, "") is not None,
        challenge=results["challenge"] or (None if robust is None else {"accuracy": robust}),
        saliency=results["saliency"],
        flow=results["flow"],
    )


def _by_space(found: Iterable[Inspected], stage: str) -> dict[str, list[Inspected]]:
    spaces: dict[str, list[Inspected]] = {}
    for one in found:
        if one.stage == stage:
            spaces.setdefault(one.space, []).append(one)
    return spaces


def challenge_table(found: Sequence[Inspected]) -> Grid:
    """Spaces x the share of foregrounds that are right on every background, of the winner and of fresh seeds."""
    rows: dict[str, list[str]] = {}
    winners, seeds = _by_space(found, SEARCH), _by_space(found, CONFIRM)
    for space in {**winners, **seeds}:
        own = [one.challenge for one in winners.get(space, []) if one.challenge]
        fresh = [one.challenge["accuracy"] for one in seeds.get(space, []) if one.challenge]
        if own or fresh:
            pairs = next((f"{c['foregrounds']:,} x {c['backgrounds']:,}" for c in own if "foregrounds" in c), MISSING)
            rows[space] = [
                _with_interval(own[0]) if own else MISSING,
                f"{_mean(fresh)} ({counted(len(fresh), 'seed')})" if fresh else MISSING,
                pairs,
            ]
    columns = ["winner (95 %)", "fresh seeds", "foregrounds x backgrounds"]
    return Grid("Background Challenge: foregrounds that are right on every background [%]", columns, rows, across="")


def _with_interval(challenge: ChallengeResult) -> str:
    shown = in_percent(challenge["accuracy"])
    if "interval" not in challenge:
        return shown
    low, high = challenge["interval"]
    return f"{shown} ({in_percent(low)} to {in_percent(high)})"


def _mean(values: Sequence[float]) -> str:
    return with_spread_of(values)


def saliency_table(found: Sequence[Inspected], baseline: str, shifted: str) -> Grid:
    """Spaces x the share of a map on the object, the baseline first; the object's share of the area above them."""
    winners = [one for one in found if one.stage == SEARCH and one.saliency]
    winners.sort(key=lambda one: one.space != baseline)
    variants = [name for name in (ORIGINAL, shifted) if all(name in _shares(one) for one in winners)]
    kinds = list(_shares(winners[0])[variants[0]]["object_saliency"]) if winners and variants else []
    rows = {}
    if kinds:
        areas = [in_percent(_shares(winners[0])[variant]["mask_area"]) for variant in variants for _ in kinds]
        rows["the object's area"] = areas
        rows |= {
            one.space: [in_percent(_shares(one)[v]["object_saliency"][kind]) for v in variants for kind in kinds]
            for one in winners
        }
    columns = [f"{variant}: {kind.replace('_', ' ')}" for variant in variants for kind in kinds]
    return Grid("share of saliency on the object [%]", columns, rows, across="map")


def _shares(one: Inspected) -> dict[str, SharesResult]:
    return one.saliency["variants"] if one.saliency else {}


def saliency_pictures(found: Sequence[Inspected]) -> list[bytes]:
    """The pictures that `study saliency` drew of the winners, those that are still there, each once."""
    paths = dict.fromkeys(Path(one.saliency["picture"]) for one in found if one.saliency and "picture" in one.saliency)
    return [path.read_bytes() for path in paths if path.is_file()]


def flow_table(found: Sequence[Inspected]) -> Grid:
    """Spaces with a flow x the quality of its density of held-out moves."""
    flows = {one.space: one.flow for one in found if one.stage == SEARCH and one.flow}
    densities = list(next(iter(flows.values()))["bits_per_dimension"]) if flows else []
    rows = {
        space: [
            *(f"{flow['bits_per_dimension'][name]:.2f}" for name in densities),
            in_percent(flow["agreement"]), in_percent(flow["coverage"]), str(flow["samples"]),
        ]
        for space, flow in flows.items()
    }  # fmt: skip
    columns = [*(f"bits per dimension, {name.replace('_', ' ')}" for name in densities)]
    columns += ["same prediction [%]", "coverage [%]", "samples chosen"]
    return Grid("how well the flow knows held-out moves", columns, rows, across="measure")


def missing(found: Sequence[Inspected], baseline: str) -> dict[str, list[str]]:
    """By kind of analysis, the commands that make what was not left, one for each space's winner."""
    winners = [one for one in found if one.stage == SEARCH]
    before = next((one for one in winners if one.space == baseline), None)
    commands: dict[str, Callable[[Inspected], list[object]]] = {
        "challenge": lambda one: ["evaluate", one.path, "--challenge"],
        "saliency": lambda one: [
            "saliency", one.path, *(["--against", before.path] if before and one is not before else []),
            "--out", one.path / "saliency.png",
        ],
        "flow": lambda one: ["flow", one.path, "--out", one.path / "flow"],
    }  # fmt: skip
    fits = {"challenge": has_masks, "saliency": has_masks, "flow": has_flow}
    return {
        kind: [command_line(*make(one)) for one in winners if fits[kind](one) and getattr(one, kind) is None]
        for kind, make in commands.items()
    }


def has_masks(one: Inspected) -> bool:
    """Return True if the settings of its dataset say that it has masks of the objects."""
    return one.has_masks


def has_flow(one: Inspected) -> bool:
    """Return True if a part of its method declares the analysis of a flow; a method that is not here declares none."""
    known = [methods[part] for part in one.method.split(SEPARATOR) if part in methods]
    return any(FLOW in method.analyses for method in known)
