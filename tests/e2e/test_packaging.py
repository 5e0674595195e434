# SPDX-License-Identifier: Apache-2.0
"""What is written in two places says the same. Needs no gateway."""

import os
import re
import shutil
import subprocess

import setup
import yaml


def test_the_container_runs_the_pinned_envoy():
    pinned, supported = setup.envoy_versions()
    dockerfile = (setup.ROOT / "envoy" / "Dockerfile").read_text(encoding="utf-8")
    assert re.findall(r"FROM envoyproxy/envoy:v(\S+)", dockerfile) == [pinned]
    assert setup.is_supported(pinned, supported)


def test_compose_builds_only_stages_that_exist():
    compose = yaml.safe_load((setup.ROOT / "docker-compose.yml").read_text(encoding="utf-8"))
    stages = set(re.findall(r" AS (\w+)", (setup.ROOT / "envoy" / "Dockerfile").read_text(encoding="utf-8")))
    for service in compose["services"].values():
        assert service["build"]["target"] in stages


def test_compose_replaces_only_providers_that_exist():
    compose = yaml.safe_load((setup.ROOT / "docker-compose.yml").read_text(encoding="utf-8"))
    gateway = yaml.safe_load((setup.ROOT / "envoy" / "gateway.yaml").read_text(encoding="utf-8"))
    named = re.findall(r"providers\.([\w-]+)\.", " ".join(compose["services"]["render"]["command"]))
    assert set(named) == set(gateway["providers"])


def test_the_supported_range_is_a_range():
    assert setup.is_supported("1.40.7", ">=1.40.0,<1.41")
    assert not setup.is_supported("1.41.0", ">=1.40.0,<1.41")
    assert not setup.is_supported("1.39.9", ">=1.40.0,<1.41")


def test_the_container_is_built_from_all_that_the_build_needs(tmp_path):
    lines = (setup.ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    admitted = [line[1:] for line in lines if line.startswith("!")]
    # Cargo would build without it, for other instructions than those that are measured.
    assert ".cargo" in admitted
    for name in admitted:
        source = setup.ROOT / name
        (shutil.copytree if source.is_dir() else shutil.copy)(source, tmp_path / name)
    command = ["cargo", "check", "--locked", "--package", "tollgate", "--package", "standin"]
    # Dependencies are checked already if `make lint` ran.
    environment = dict(os.environ, CARGO_TARGET_DIR=str(setup.target_dir()))
    done = subprocess.run(command, cwd=tmp_path, env=environment, stderr=subprocess.PIPE, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
