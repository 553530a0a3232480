"""Run records: `runs/<run_id>.json`, what a run did. The only place with a clock in it."""

from __future__ import annotations

import dataclasses
import datetime
import json
import os
import posixpath
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.errors import InputError, IntegrityError
from pipeline.files.addresses import redacted_values
from pipeline.files.storage import Storage
from pipeline.files.uris import open_storage
from pipeline.network.settings import Network
from pipeline.planning.config import Config, parse_config
from pipeline.planning.plan import Plan


def new_run_id() -> str:
    """A sortable name: UTC time and a few random digits."""
    now = datetime.datetime.now(datetime.UTC)
    return f"{now:%Y%m%dT%H%M%S.%fZ}-{secrets.token_hex(3)}"


@dataclass
class RunRecord:
    """A run's record, put once when it has finished."""

    run_id: str
    started: str
    config: dict[str, Any]
    limit: int | None
    exclusions: str = ""
    """Digest of the list of excluded pages; empty if there was none."""

    @classmethod
    def start(cls, run_id: str, plan: Plan, limit: int | None, exclusions: str = "") -> RunRecord:
        now = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
        return cls(run_id, now, config_to_json(plan.config), limit, exclusions)

    def finish(
        self,
        storage: Storage,
        funnel: Mapping[str, Any],
        version: int | None,
        keys: Mapping[str, Mapping[str, str]],
        error: str | None = None,
    ) -> None:
        """Write the record; `error` says why a run ended early."""
        now = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
        body = {
            "run_id": self.run_id,
            "started": self.started,
            "finished": now,
            "limit": self.limit,
            "exclusions": self.exclusions,
            "version": version,
            "error": error,
            "config": self.config,
            "funnel": funnel,
            "keys": keys,
        }
        data = json.dumps(body, indent=1, ensure_ascii=False).encode()
        storage.put(f"runs/{self.run_id}.json", data, if_absent=True)


def config_to_json(config: Config) -> dict[str, Any]:
    """The configuration as a run saw it, overrides applied, so that it can be planned again.

    Without passwords and signatures: an address that needs them is to name them as `${NAME}`.
    """
    found: dict[str, Any] = {
        "path": config.path,
        "folder": os.getcwd(),  # relative input paths start here
        "name": config.name,
        "seed": config.seed,
        "workdir": config.workdir,
        "keep_dropped": config.keep_dropped,
        "max_drop_ratio": config.max_drop_ratio,
        "max_damage_ratio": config.max_damage_ratio,
        "exclude_urls": config.exclude_urls,
        "exclude_domains": config.exclude_domains,
        "steps": [
            {"id": s.id, s.stage: dict(s.knobs)}
            | ({"inputs": list(s.inputs)} if s.inputs is not None else {})
            for s in config.steps
        ],
    }
    if config.network != Network():
        found["network"] = dataclasses.asdict(config.network)
    redacted: dict[str, Any] = redacted_values(found)
    return redacted


def config_from_json(raw: Mapping[str, Any], overrides: Sequence[str] = ()) -> Config:
    """The inverse of `config_to_json`. JSON is YAML, so the same parser serves."""
    body = {key: value for key, value in raw.items() if key not in ("path", "folder")}
    return parse_config(json.dumps(body), str(raw["path"]), overrides)


def runs_of(storage: Storage) -> list[str]:
    """Paths of all run records, newest first."""
    found = [info.path for info in storage.list("runs") if info.path.endswith(".json")]
    return sorted((p for p in found if not posixpath.basename(p).startswith(".")), reverse=True)


def read_run(workdir: str, run_id: str | None = None) -> dict[str, Any]:
    """A run record of a workdir: the newest, or the one whose id begins so. Raises InputError."""
    storage = open_storage(workdir)
    runs = {posixpath.basename(path).removesuffix(".json"): path for path in runs_of(storage)}
    if not runs:
        raise InputError(
            f"{workdir} holds no finished run. Give the workdir of a run, or its configuration."
        )
    hits = [name for name in runs if name.startswith(run_id or "")]
    if run_id is None or run_id in runs:
        hits = [run_id or hits[0]]
    if len(hits) != 1:
        problem = f"{len(hits)} runs whose ids begin" if hits else "no run whose id begins"
        raise InputError(
            f"{workdir} has {problem} with '{run_id}', expected one. Newest first: "
            f"{', '.join((hits or list(runs))[:5])}."
        )
    path = runs[hits[0]]
    try:
        record: dict[str, Any] = json.loads(storage.get(path))
    except json.JSONDecodeError as error:
        raise IntegrityError(f"{workdir}/{path} is corrupt: {error}. Delete it.") from error
    return record


def workdir_of(run: str) -> str:
    """The workdir that a command's RUN names: a workdir itself, a YAML file, or a run record."""
    if run.endswith((".yaml", ".yml")) and Path(run).is_file():
        from pipeline.planning.config import load_config

        return load_config(run).workdir
    return posixpath.dirname(posixpath.dirname(run)) or "." if run_id_of(run) else run


def run_id_of(run: str) -> str | None:
    """The id of the run whose record RUN names by its path (`WORKDIR/runs/<id>.json`), if so."""
    folder, _, name = run.rpartition("/")
    is_record = name.endswith(".json") and posixpath.basename(folder) == "runs"
    return name.removesuffix(".json") if is_record else None
