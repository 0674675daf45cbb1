"""Properties of the images and of compose, read from their files; the images are built and run by hand."""

import ast
import re
import sys
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[2]
DOCKER = ROOT / "docker"
COMPOSE = yaml.safe_load((DOCKER / "compose.yaml").read_text())
SERVICES = COMPOSE["services"]
PINNED = dict(line.split("==") for line in (DOCKER / "constraints.txt").read_text().split())


def test_every_dependency_is_pinned_to_a_version_that_the_project_allows():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    pinned = {canonicalize_name(name): version for name, version in PINNED.items()}
    for line in (*project["dependencies"], *project["optional-dependencies"]["server"]):
        wanted = Requirement(line)
        assert pinned[canonicalize_name(wanted.name)] in wanted.specifier


def test_the_librarys_image_has_what_the_library_imports_without_extras_and_no_more():
    imported = set()
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extra = {canonicalize_name(Requirement(line).name) for line in project["optional-dependencies"]["onnx"]}
    for file in (ROOT / "bgbias").rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Import):
                imported |= {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom):
                imported.add(node.module.partition(".")[0])
    of_module = packages_distributions()
    needed = {canonicalize_name(of_module[name][0]) for name in imported - {*sys.stdlib_module_names, "bgbias"}}
    assert needed - extra == {*(DOCKER / "library.txt").read_text().split(), "torch", "torchvision"}


@pytest.mark.parametrize("name", SERVICES)
def test_ports_are_published_on_loopback_alone(name):
    for port in SERVICES[name].get("ports", ()):
        assert port.startswith("127.0.0.1:")


@pytest.mark.parametrize("name", SERVICES)
def test_every_service_has_limits_and_a_restart_policy(name):
    limits = SERVICES[name]["deploy"]["resources"]["limits"]
    assert {"cpus", "memory"} <= limits.keys()
    assert SERVICES[name]["restart"] == ("no" if "job" in SERVICES[name].get("profiles", ()) else "unless-stopped")


@pytest.mark.parametrize("name", [name for name in SERVICES if "profiles" not in SERVICES[name]])
def test_every_lasting_service_is_checked_for_health(name):
    assert SERVICES[name]["healthcheck"]["test"]


def test_no_secret_is_written_down():
    secret = re.compile(r"PASSWORD|TOKEN|SECRET")
    for name, service in SERVICES.items():
        for key, value in service.get("environment", {}).items():
            if secret.search(key):
                assert re.fullmatch(r"\$\{\w+:\?run docker/make-env first\}", value), (name, key)
        assert not secret.search(str(service.get("command", "")))
    assert not secret.search((DOCKER / "Dockerfile").read_text())
    assert "docker/.env" in (ROOT / ".gitignore").read_text().split()
    assert "docker/.env" in (ROOT / ".dockerignore").read_text().split()


def test_images_end_as_an_ordinary_user():
    users = re.findall(r"^(FROM .* AS \w+|USER \w+)", (DOCKER / "Dockerfile").read_text(), flags=re.MULTILINE)
    stages = {stage.split(" AS ")[1].split()[0]: stage for stage in " ".join(users).split("FROM ")[1:]}
    assert list(stages) == ["dependencies", "library", "study"]
    assert [stages[name].split("USER ")[-1].strip() for name in ("library", "study")] == ["study", "study"]
