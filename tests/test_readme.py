"""The READMEs' examples run as pasted, and their links lead somewhere."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
READMES = sorted(file for file in ROOT.rglob("README.md") if not any(part.startswith(".") for part in file.parts[1:]))
LOAD_FROM = "import sys, bgbias.methods; bgbias.methods.__path__.append(sys.argv[1]); import bgbias; "


def blocks(language):
    return re.findall(rf"```{language}\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)


def python(*arguments):
    done = subprocess.run([sys.executable, *map(str, arguments)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def test_the_python_example_runs_as_pasted(tmp_path):
    (tmp_path / "example.py").write_text(blocks("python")[0])
    lines = python(tmp_path / "example.py")
    accuracy = {line.rpartition(": ")[0]: float(line.rpartition(": ")[2].removesuffix(" %")) for line in lines}
    assert accuracy["dynamic_replacement on shuffled"] > 80 > 40 > accuracy["erm on shuffled"]
    assert accuracy["erm correct on every background"] < accuracy["dynamic_replacement correct on every background"]


def test_the_method_example_runs_as_pasted(tmp_path):
    (tmp_path / "label_smoothing.py").write_text(blocks("python")[1])
    code = (
        LOAD_FROM + "data = bgbias.load('colored-digits'); "
        "found = bgbias.train('label_smoothing', data, smoothing=0.2, training__epochs=2); "
        "print(found.config.method, found.history[1]['train/loss/cross_entropy'] < "
        "found.history[0]['train/loss/cross_entropy'])"
    )
    assert python("-c", code, tmp_path) == ["LabelSmoothing(smoothing=0.2) True"]


def anchors(file):
    """The anchors of a file's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.+)$", file.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("file", READMES, ids=[str(file.relative_to(ROOT)) for file in READMES])
def test_links_lead_somewhere(file):
    for target in re.findall(r"""(?:\]\(|src=")([^)"]+)[)"]""", file.read_text()):
        if target.startswith("https://"):
            continue
        name, _, anchor = target.partition("#")
        linked = file.parent / name if name else file
        assert linked.exists(), target
        assert not anchor or anchor in anchors(linked), target


def test_anchors_are_those_of_github(tmp_path):
    (tmp_path / "README.md").write_text("# One\n\n## Add a method, by `hook`\n")
    assert anchors(tmp_path / "README.md") == {"one", "add-a-method-by-hook"}


def test_the_readme_is_short_enough_to_read_to_the_end():
    assert len((ROOT / "README.md").read_text().splitlines()) <= 150
