"""Any trained classifier as a module from pictures [B, 3, H, W] in [0, 1] to scores [B, outputs].

timm:NAME, torchvision:NAME, NAME    an architecture, with a file of its weights
FILE.onnx                            one input, one output; through ONNX Runtime, the extra `onnx`
FILE.pt2                             what `torch.export.save` wrote
FILE.pt, .pth, .ts, .torchscript     what `torch.jit.save` wrote
package.module:function              a function of a batch of pictures, a float tensor
"""

import ast
import importlib
import sys
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from bgbias.errors import BgbiasError, DataError, SettingError, UnknownNameError, listed
from bgbias.files import sha256
from bgbias.models.backbone import Normalise
from bgbias.models.timm_classifier import Timm
from bgbias.models.torchvision_classifier import IMAGENET9_STATISTICS, IMAGENET_STATISTICS
from bgbias.models.weights import COUNTER, difference, read_weights

Statistics = tuple[tuple[float, ...], tuple[float, ...]]
"""Mean and standard deviation of each colour channel, of pictures in [0, 1]."""

NORMALISATIONS: dict[str, Statistics | None] = {
    "none": None,
    "imagenet": IMAGENET_STATISTICS,
    "imagenet9": IMAGENET9_STATISTICS,
    "half": ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5)),
}
"""Normalisations of pictures in [0, 1] that a model may expect: (picture - mean) / std, or none."""
OWN = "own"
"""The normalisation that timm and torchvision name for an architecture; none for a function; else ImageNet's."""
SCRIPTS = (".pt", ".pth", ".ts", ".torchscript")
NAMES = "names"
"""Keys under which exporters write the classes' names into an ONNX file's metadata."""
SIDE = 224


@dataclass(frozen=True)
class Opened:
    """A model that was opened.

    network: from pictures [B, 3, H, W] in [0, 1] to scores [B, outputs], in evaluation mode
    outputs: how many it gives for a picture
    kind: what it is, such as `timm tf_efficientnet_lite0`
    size: pixels, the side of the pictures it is made for
    sha256: of its file of weights; empty for a function
    normalisation: in words
    differentiable: whether its scores have gradients
    classes: what the model's file calls its outputs, in their order; empty where it does not say
    """

    network: nn.Module
    outputs: int
    kind: str
    size: int
    sha256: str
    normalisation: str
    differentiable: bool = True
    classes: tuple[str, ...] = ()


def open_model(model: str, weights: Path | None, normalise: str, size: int | None) -> Opened:
    """Open a model that is no checkpoint of ours.

    Args:
        weights: of an architecture.
        normalise: `own` or one of `NORMALISATIONS`.
        size: of the pictures in pixels; None takes what the model is made for.

    Raises:
        SettingError: the model's name, its weights' option or its normalisation fits no rule.
        DataError: a file is missing, damaged or of another architecture, or gives no scores [B, outputs].
    """
    if normalise not in (OWN, *NORMALISATIONS):
        raise SettingError(f"--normalise must be one of {', '.join((OWN, *NORMALISATIONS))}, but got '{normalise}'")
    path = Path(model)
    is_file = path.suffix.lower() in (".onnx", ".pt2", *SCRIPTS)
    if is_file and not path.is_file():
        raise DataError(f"no model at {path}: give a file that is there")
    if weights is not None and (is_file or _is_function(model)):
        raise SettingError(f"--weights are of an architecture's name, but the model is {model}: leave --weights out")
    if is_file:
        found = _open_file(path, size)
    elif _is_function(model):
        found = _open_function(model, size or SIDE)
    else:
        found = _open_architecture(model, weights, size)
    return _checked(_normalised(found, normalise), model)


def _is_function(model: str) -> bool:
    library, colon, _ = model.partition(":")
    return bool(colon) and library not in ("timm", "torchvision")


@dataclass(frozen=True)
class _Found:
    network: nn.Module
    kind: str
    size: int
    sha256: str
    own: Statistics | None
    batch: int | None = None
    classes: tuple[str, ...] = ()


def _normalised(found: _Found, normalise: str) -> Opened:
    statistics = found.own if normalise == OWN else NORMALISATIONS[normalise]
    network = found.network if found.batch is None else FixedBatch(found.network, found.batch)
    words = "none: pictures in [0, 1]"
    if statistics is not None:
        mean, std = (", ".join(f"{value:.4g}" for value in values) for values in statistics)
        words = f"mean {mean}, std {std}"
    first = nn.Identity() if statistics is None else Normalise(*statistics)
    network = nn.Sequential(first, network)
    return Opened(network.eval(), 0, found.kind, found.size, found.sha256, words, classes=found.classes)


def _checked(opened: Opened, model: str) -> Opened:
    """The model with its number of outputs, found by predicting one picture."""
    try:
        pictures = torch.full((2, 3, opened.size, opened.size), 0.5, requires_grad=True)
        scores = opened.network(pictures)
    except BgbiasError:
        raise
    except Exception as error:  # whatever a user's model raises
        reason = " ".join(str(error).split())[:200]
        raise DataError(
            f"{model} cannot predict pictures [2, 3, {opened.size}, {opened.size}] ({type(error).__name__}: {reason}): "
            "give --size, or a model of colour pictures"
        ) from None
    if not isinstance(scores, Tensor) or scores.ndim != 2 or len(scores) != 2 or scores.shape[1] < 2:
        shape = list(scores.shape) if isinstance(scores, Tensor) else type(scores).__name__
        raise DataError(f"a classifier gives scores [2, outputs] for two pictures, but {model} gives {shape}: wrap it")
    return replace(opened, outputs=scores.shape[1], differentiable=scores.requires_grad)


class FixedBatch(nn.Module):
    """A network that takes a fixed number of pictures, given any number; the last ones are filled up."""

    def __init__(self, network: nn.Module, batch: int) -> None:
        super().__init__()
        self.network, self.batch = network, batch

    def forward(self, image: Tensor) -> Tensor:
        """[B, 3, H, W] to [B, outputs]."""
        found = []
        for part in image.split(self.batch):
            missing = self.batch - len(part)
            whole = torch.cat([part, part[:1].expand(missing, *part.shape[1:])]) if missing else part
            found.append(self.network(whole)[: len(part)])
        return torch.cat(found)


class ChannelsLast(nn.Module):
    """A convolutional network whose channels lie beside each other in memory, which takes a CPU a quarter less time."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network.to(memory_format=torch.channels_last)

    def forward(self, image: Tensor) -> Tensor:
        """[B, 3, H, W] to [B, outputs]."""
        scores: Tensor = self.network(image.contiguous(memory_format=torch.channels_last))
        return scores


class Called(nn.Module):
    """A function of pictures as a module; its scores have no gradient where it leaves torch."""

    def __init__(self, function: Callable[[Tensor], Any]) -> None:
        super().__init__()
        self._function = function

    def forward(self, image: Tensor) -> Tensor:
        """[B, 3, H, W] to [B, outputs]."""
        scores = self._function(image)
        return scores if isinstance(scores, Tensor) else torch.as_tensor(np.asarray(scores), device=image.device)


def _open_architecture(model: str, weights: Path | None, size: int | None) -> _Found:
    from torchvision import models

    architectures = models.list_models(models)
    library, colon, name = model.partition(":")
    if not colon:
        name = model
        library = "torchvision" if name in architectures else "timm"
    if weights is None and Path(model).is_file():
        raise SettingError(
            f"an audit is of a model's file .onnx, .pt2 or .pt, or of an architecture's name, but got {model}: for a "
            f"file of weights alone give the architecture's name and --weights {model}"
        )
    if weights is None:
        raise SettingError(
            f"an audit is of a trained model, but {model} was given without weights: give --weights FILE "
            "(.safetensors or .pt)"
        )
    if not weights.is_file():
        raise DataError(f"no weights at {weights}: give --weights FILE that is there")
    if library == "torchvision":
        if name not in architectures:
            raise UnknownNameError("classifier of torchvision", name, architectures)
        return _open_torchvision(name, weights, size)
    return _open_timm(name, weights, size, architectures)


def _open_torchvision(name: str, weights: Path, size: int | None) -> _Found:
    from torchvision.models import get_model

    found = read_weights(weights)
    last = [key for key, module in get_model(name).named_modules() if isinstance(module, nn.Linear | nn.Conv2d)][-1]
    network = get_model(name, num_classes=_rows(found, last))
    _load(network, found, weights, name)
    return _Found(ChannelsLast(network), f"torchvision {name}", size or SIDE, sha256(weights), IMAGENET_STATISTICS)


def _open_timm(name: str, weights: Path, size: int | None, others: Sequence[str]) -> _Found:
    import timm

    if not timm.is_model(name):
        known = [*others, *timm.list_models()]
        raise UnknownNameError("model", name, _close(name, known))
    found = read_weights(weights)
    config: dict[str, Any] = vars(timm.create_model(name))["pretrained_cfg"]
    last = config.get("classifier") or ""
    network = timm.create_model(name, num_classes=_rows(found, last if isinstance(last, str) else last[0]))
    _load(network, Timm(architecture=name).adapted(found, network), weights, name)
    statistics = tuple(config["mean"]), tuple(config["std"])
    return _Found(
        ChannelsLast(network), f"timm {name}", size or int(config["input_size"][-1]), sha256(weights), statistics
    )


def _close(name: str, known: Sequence[str]) -> list[str]:
    """Some known names to choose from: the nearest."""
    import difflib

    return difflib.get_close_matches(name, known, n=5, cutoff=0.3) or ["resnet18", "resnet50"]


def _rows(weights: dict[str, Tensor], last: str) -> int:
    """Number of outputs of the last layer in a file of weights; ImageNet's 1000 if it has no layer of that name."""
    found = weights.get(f"{last}.weight")
    return 1000 if found is None else len(found)


def _load(network: nn.Module, weights: Mapping[str, Tensor], file: Path, name: str) -> None:
    """Load all weights; batch normalisation's counters may be missing.

    Raises:
        DataError: the names or shapes differ; the message names some.
    """
    own = network.state_dict()
    counters = {key: value for key, value in own.items() if key.endswith(COUNTER) and key not in weights}
    given = {**weights, **counters}
    if found := difference(own, given):
        raise DataError(
            f"{file} holds no weights of {name} ({found}): give the architecture that they were trained for"
        )
    network.load_state_dict(given)


def _open_file(path: Path, size: int | None) -> _Found:
    match path.suffix.lower():
        case ".onnx":
            return _open_onnx(path, size)
        case ".pt2":
            return _open_exported(path, size)
        case _:
            return _open_script(path, size)


def _open_script(path: Path, size: int | None) -> _Found:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            warnings.simplefilter("ignore", FutureWarning)
            network = torch.jit.load(str(path), map_location="cpu")
    except (RuntimeError, ValueError) as error:
        reason = " ".join(str(error).split())[:120]
        raise DataError(
            f"{path} is no TorchScript file ({reason}): save one with torch.jit.save; for weights alone give the "
            f"architecture's name and --weights {path}"
        ) from None
    return _Found(network, "TorchScript", size or SIDE, sha256(path), IMAGENET_STATISTICS)


def _open_exported(path: Path, size: int | None) -> _Found:
    try:
        program = torch.export.load(path)
    except Exception as error:
        reason = " ".join(str(error).split())[:120]
        raise DataError(f"{path} is no exported program ({reason}): save one with torch.export.save") from None
    names = set(program.graph_signature.user_inputs)
    shapes = [node.meta["val"].shape for node in program.graph.nodes if node.op == "placeholder" and node.name in names]
    batch, side = _fixed([str(name) for name in names], [list(shape) for shape in shapes], path)
    module = program.module()

    def run(image: Tensor) -> Any:  # no submodule: an exported one refuses `eval`
        return module(image.cpu()).to(image.device)

    return _Found(Called(run), "exported program", size or side or SIDE, sha256(path), IMAGENET_STATISTICS, batch)


def _open_onnx(path: Path, size: int | None) -> _Found:
    try:
        import onnxruntime
    except ImportError:
        raise SettingError("an ONNX file needs ONNX Runtime: pip install 'bgbias[onnx]'") from None
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    options.log_severity_level = 3
    try:
        session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except Exception as error:
        reason = " ".join(str(error).split())[:120]
        raise DataError(f"{path} cannot be read ({reason}): give a whole ONNX file") from None
    outputs = [found.name for found in session.get_outputs()]
    if len(outputs) != 1:
        raise DataError(
            f"a classifier has one output, but {path} has {len(outputs)} ({listed(outputs)}): export the scores alone"
        )
    inputs = session.get_inputs()
    batch, side = _fixed([found.name for found in inputs], [found.shape for found in inputs], path)
    kind = np.float16 if "float16" in inputs[0].type else np.float32

    def run(image: Tensor) -> Tensor:
        (scores,) = session.run(None, {inputs[0].name: image.detach().cpu().numpy().astype(kind)})
        return torch.from_numpy(np.asarray(scores, dtype=np.float32)).to(image.device)

    names = named_outputs(session.get_modelmeta().custom_metadata_map.get(NAMES, ""))
    return _Found(Called(run), "ONNX", size or side or SIDE, sha256(path), IMAGENET_STATISTICS, batch, names)


def named_outputs(written: str) -> tuple[str, ...]:
    """The names of outputs in an ONNX file's metadata: a list, or a dictionary from 0 on, as JSON or Python writes it.

    Empty where it is something else.
    """
    try:
        found = ast.literal_eval(written)
    except (SyntaxError, ValueError):
        return ()
    if isinstance(found, dict):
        found = [found.get(number, found.get(str(number))) for number in range(len(found))]
    named = isinstance(found, list | tuple) and all(isinstance(name, str) for name in found)
    return tuple(found) if named else ()


def _fixed(names: Sequence[str], shapes: Sequence[Sequence[Any]], path: Path) -> tuple[int | None, int | None]:
    """The batch and the side that a file's only input is made for; None where they are free.

    Raises:
        DataError: it has no input [B, 3, H, W], or several.
    """
    if len(shapes) != 1 or len(shapes[0]) != 4:
        told = "; ".join(f"{name} {list(shape)}" for name, shape in zip(names, shapes, strict=False))
        raise DataError(f"a classifier has one input [B, 3, H, W], but {path} has {told or 'none'}: export it so")
    numbers = [value if isinstance(value, int) else None for value in shapes[0]]
    return numbers[0], numbers[2]


def _open_function(model: str, size: int) -> _Found:
    module_name, _, name = model.partition(":")
    if "" not in sys.path:
        sys.path.insert(0, "")  # a module beside the caller, as with `python -m`
    try:
        function = getattr(importlib.import_module(module_name), name)
    except (ImportError, AttributeError, SyntaxError, ValueError) as error:
        raise SettingError(
            f"{model} cannot be imported ({error}): give package.module:function, as Python imports it from here"
        ) from None
    if not callable(function):
        raise SettingError(f"{model} must be a function of pictures [B, 3, H, W], but is {type(function).__name__}")
    network = function if isinstance(function, nn.Module) else Called(function)
    return _Found(network, "function", size, "", None)
