"""What looks like a secret is refused wherever it stands, and what only sounds like one is not."""

from __future__ import annotations

import stat
from pathlib import Path
from typing import Any

import pytest

import raysweep
from raysweep.orchestrator.spec import SweepSpec
from raysweep.orchestrator.spec_program import program_code
from raysweep.orchestrator.sweep import Sweep
from raysweep.trials.errors import SpecError, TrainableError

A, H = "aB3dE5fG7hJ9kL1mN2pQ4rS6tU8vW0xY", "0123456789abcdef0123456789abcdef"
TOKENS = {
    "aws": "AKIA" + "ABCDEFGH12345678", "github": "ghp_" + A, "fine": "github_pat_" + A,
    "gitlab": "glpat-" + A[:20], "hf": "hf_" + A, "openai": "sk-" + A, "project": "sk-proj-" + A,
    "anthropic": "sk-ant-api03-" + A, "stripe": "sk_live_" + A, "slack": "xoxb-123456789012-" + A[:12],
    "hook": "https://hooks.slack.com/services/T0AA/B0BB/" + A, "google": "AIza" + A + "abc",
    "jwt": "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0." + A, "neptune": "eyJhcGlfYWRkcmVzcyI6Imh0dHBz" + A,
    "pem": "-----BEGIN RSA PRIVATE KEY-----\nMIIE", "openssh": "-----BEGIN OPENSSH PRIVATE KEY-----",
    "url": "postgres://user:hunter2@db/x", "redis": "redis://:hunter2@host:6379", "npm": "npm_" + A + "abcd",
    "sendgrid": f"SG.{A[:22]}.{A}", "databricks": "dapi" + H, "telegram": "123456789:AA" + A,
    "azure": f"DefaultEndpointsProtocol=https;AccountKey={A}==", "signed": f"https://x/y?sig={A}%3D",
    "assigned": "python x.py --password=hunter22", "header": "Authorization: Bearer " + A,
    "dsn": "host=db user=u password='hunter22'", "google oauth": "ya29." + A, "groq": "gsk_" + A,
}  # fmt: skip
NAMED = {
    "password": "hunter2", "db_password": "hunter2", "dbPassword": "hunter2", "DB_PASSWD": "x1",
    "pwd": "abc", "secret": "abc", "client_secret": "abc", "apiKey": "abc", "api_key": "abc",
    "WANDB_API_KEY": H, "aws_secret_access_key": "wJalr/xx+yy", "private_key": "abc", "passphrase": "a b",
    "password2": "hunter2", "access_token": "abc", "GITHUB_TOKEN": "abc", "token": H, "auth": A, "credentials": "abc",
    "pin_password": 123456,
}  # fmt: skip
INNOCENT: dict[str, Any] = {
    "max_tokens": 512, "token": "word", "pad_token": "<pad>", "eos_token": "<|endoftext|>",
    "mask_token": "[MASK]", "bos_token": "reserved_special_token_250", "tokenizer": "bert-base-uncased",
    "token_type": "bpe", "n_tokens": 4096, "password_dim": 8, "secret_size": 3, "key": "value",
    "key_dim": 64, "keys": ["a", "b"], "num_keys": 2, "revision": "0123456789abcdef0123456789abcdef01234567",
    "sha256": "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855", "auth": False,
    "uuid": "123e4567-e89b-12d3-a456-426614174000", "model": "sk-learn-gradient-boosting-classifier",
    "estimator": "sklearn.ensemble.RandomForestClassifier", "data": "s3://bucket/prefix/key=1/part.parquet",
    "url": "https://example.org:8080/a@b", "checkpoint": "google/vit-base-patch16-224-in21k",
    "attention": "key-query-value", "task": "task-switching", "hf_model": "hf_internal/testing",
    "password": "", "api_key": "${WANDB_API_KEY}", "secret": "<your secret>", "dataset": "imagenet_2012_train",
    "optimizer": "adamw_bnb_8bit", "prompt": "Say the password of the day: no", "scheduler": "basic",
    "activation": "swish", "monkey": "abc", "private": "yes", "risk": "sk-", "path": "/data/Set01/Run17/Fold3",
}  # fmt: skip


def spec(**changes: Any) -> SweepSpec:
    base: dict[str, Any] = {
        "trainable": "train:train", "space": {"x": {"uniform": [0, 1]}}, "metric": "loss", "mode": "min",
        "budget": {"trials": 1},
    }  # fmt: skip
    return SweepSpec.from_dict({**base, **changes})


def program(**changes: Any) -> dict[str, Any]:
    return {"program": {"command": ["python", "x.py"], **changes}, "trainable": "<program:x>"}


@pytest.mark.parametrize("name", TOKENS)
def test_a_token_is_refused_wherever_it_stands_and_not_repeated(name: str) -> None:
    token = TOKENS[name]
    places: list[dict[str, Any]] = [
        {"space": {"x": token}}, {"space": {"x": {"choice": ["a", token]}}},
        {"space": {"x": raysweep.choice(["a", token])}}, {"space": {"x": {"fixed": {"a": [token]}}}},
        {"metric": token}, {"storage": token}, {"cluster": {"address": token}},
        {"resources": {"custom": {token: 1}}}, program(command=["python", "x.py", token]),
        program(environment={"A": token}), program(environment={"A": f"x {token}"}),
        {"searcher": {"name": "random", "points_to_evaluate": [{"x": token}]}},
    ]  # fmt: skip
    for place in places:
        with pytest.raises(SpecError, match="looks like a secret") as caught:
            spec(**place)
        assert token not in str(caught.value)


@pytest.mark.parametrize("name", NAMED)
def test_what_a_name_calls_a_secret_is_refused(name: str) -> None:
    value = NAMED[name]
    places: list[dict[str, Any]] = [
        {"space": {name: value}}, {"space": {name: {"choice": [value]}}},
        {"space": {"net": {name: value}}}, {"space": {"x": {"fixed": {name: value}}}},
        program(environment={name: str(value)}), program(command=["x", f"--{name}", str(value)]),
    ]  # fmt: skip
    for place in places:
        with pytest.raises(SpecError, match="looks like a secret"):
            spec(**place)


def test_what_looks_random_is_refused_in_an_environment_only() -> None:
    with pytest.raises(SpecError, match=r"program\.environment\.COMET: .*null, which passes on"):
        spec(**program(environment={"COMET": A}))
    assert spec(space={"run": A}).space == {"run": A}
    for innocent in (
        "0",
        "mlx5_0",
        "/opt/Foo123/lib",
        H,
        "--xla_force_host_platform_device_count=8",
    ):
        spec(**program(environment={"SETTING": innocent}))


@pytest.mark.parametrize("name", INNOCENT)
def test_ordinary_names_and_values_are_no_secrets(name: str) -> None:
    value = INNOCENT[name]
    written = {"fixed": value} if isinstance(value, list) else value
    spec(space={name: written})
    spec(space={"x": {"fixed": {name: value}}})
    spec(space={name: {"choice": [value, 1]}})
    spec(**program(environment={name.upper(): str(value)}))


def test_a_variable_by_name_is_the_driver_s_and_is_not_stored(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = spec(**program(environment={"WANDB_API_KEY": None, "MODE": "fast"}))
    monkeypatch.setenv("WANDB_API_KEY", A)
    assert dict(program_code(found).environment)["WANDB_API_KEY"] == A
    assert A not in str(found.to_dict())
    assert found.to_dict()["program"]["environment"]["WANDB_API_KEY"] is None
    monkeypatch.delenv("WANDB_API_KEY")
    with pytest.raises(TrainableError, match=r"program\.environment\.WANDB_API_KEY is null"):
        program_code(found)


@pytest.mark.parametrize(("environment", "mode"), [({"MODE": "fast"}, 0o700), ({}, 0o755)])
def test_a_sweep_with_an_environment_is_closed_to_other_users(
    tmp_path: Path, environment: dict[str, str], mode: int
) -> None:
    (tmp_path / "x.py").touch()
    found = spec(storage=str(tmp_path), **program(environment=environment))
    sweep = Sweep.create(found)
    with sweep._opened():
        assert stat.S_IMODE(sweep.path.stat().st_mode) == mode
