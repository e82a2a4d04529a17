"""The configuration files in ``examples/deploy/``: programs know their options, and they agree."""

from __future__ import annotations

import configparser
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml
from jupyter_server.serverapp import ServerApp
from jupyterhub.app import JupyterHub
from jupyterhub.spawner import LocalProcessSpawner, Spawner
from traitlets.config import Config, Configurable
from traitlets.config.loader import PyFileConfigLoader

from gorilla_jupyter.model.backend import load_backend
from gorilla_jupyter.model.openai import key_variable
from gorilla_jupyter.server.extension import GorillaExtension

ROOT = Path(__file__).parents[1]
DEPLOY = ROOT / "examples" / "deploy"
KNOWN = yaml.safe_load((ROOT / "tests" / "fixtures" / "model_servers.yaml").read_text())
HOST = "vllm.example.org"


@pytest.fixture(autouse=True)
def key(monkeypatch: pytest.MonkeyPatch) -> None:
    """The environment of the hub."""
    monkeypatch.setenv(key_variable(HOST), "secret")


def read_python(name: str) -> Config:
    loaded: Config = PyFileConfigLoader(name, path=str(DEPLOY)).load_config()
    return loaded


def read_yaml(name: str) -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load((DEPLOY / name).read_text())
    return loaded


def read_unit() -> configparser.ConfigParser:
    unit = configparser.ConfigParser(interpolation=None)
    unit.optionxform = str  # type: ignore[assignment, method-assign]
    unit.read(DEPLOY / "vllm.service")
    return unit


def configured() -> GorillaExtension:
    """What a user's server makes of its file."""
    return GorillaExtension(config=read_python("jupyter_server_config.py"))


def check(options: Mapping[str, Any], known: list[str]) -> None:
    assert options.keys() - set(known) == set()


@pytest.mark.parametrize(
    ("file", "programs"),
    [
        ("jupyter_server_config.py", (GorillaExtension, ServerApp)),
        ("jupyterhub_config.py", (JupyterHub, Spawner)),
    ],
)
def test_jupyter_knows_every_option(file: str, programs: tuple[type[Configurable], ...]) -> None:
    config = read_python(file)
    classes = {program.__name__: program for program in programs}
    assert config.keys() <= classes.keys()
    for section, options in config.items():
        check(options, classes[section].class_trait_names(config=True))


def test_jupyterhub_takes_every_value() -> None:
    spawner = LocalProcessSpawner(config=read_python("jupyterhub_config.py"))
    assert spawner.environment == {key_variable(HOST): "secret"}
    assert spawner.disable_user_config


def test_the_servers_of_users_ask_vllm_or_the_embedded_model() -> None:
    assert configured().models() == [f"openai:https://{HOST}:8000/v1#gorilla", "embedded"]
    for name in configured().models():
        assert load_backend(name).name == name


def test_vllm_knows_every_option() -> None:
    check(read_yaml("vllm.yaml"), KNOWN["vllm"]["options"])


def test_ray_knows_every_option() -> None:
    known, file = KNOWN["ray"], read_yaml("ray-serve.yaml")
    check(file, known["schema"])
    check(file["http_options"], known["http_options"])
    (application,) = file["applications"]
    check(application, known["application"])
    check(application["args"], known["args"])
    (model,) = application["args"]["llm_configs"]
    check(model, known["llm_config"])
    check(model["model_loading_config"], known["model_loading_config"])
    check(model["deployment_config"], known["deployment_config"])
    check(model["deployment_config"]["autoscaling_config"], known["autoscaling_config"])
    engine = {name.replace("_", "-"): value for name, value in model["engine_kwargs"].items()}
    check(engine, KNOWN["vllm"]["options"])


def test_systemd_and_vllm_know_what_is_in_the_unit() -> None:
    unit = read_unit()
    for section in unit.sections():
        check(unit[section], KNOWN["systemd"][section])
    variables = dict(word.split("=") for word in shlex.split(unit["Service"]["Environment"]))
    check(variables, KNOWN["vllm"]["environment"])
    _, command, *arguments = shlex.split(unit["Service"]["ExecStart"])
    assert (command, arguments) == ("serve", ["--config", "/etc/vllm/vllm.yaml"])


def test_what_users_ask_for_is_what_either_server_offers() -> None:
    address, _, name = configured().model.partition("#")
    vllm, ray = read_yaml("vllm.yaml"), read_yaml("ray-serve.yaml")
    (model,) = ray["applications"][0]["args"]["llm_configs"]
    assert vllm["served-model-name"] == model["model_loading_config"]["model_id"] == name
    for port in (vllm["port"], ray["http_options"]["port"]):
        assert address == f"openai:https://{HOST}:{port}/v1"
