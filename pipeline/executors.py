"""Where works run: in this process, or on Ray. Placing and retrying only; storage is the state."""

from __future__ import annotations

import contextlib
import os
from collections import deque
from typing import Any, Protocol

from pipeline.errors import PipelineError, StageError
from pipeline.manifest import Manifest
from pipeline.work import Work
from pipeline.worker import execute


class Executor(Protocol):
    """Takes works and gives manifests back, in any order."""

    window: int
    """Works that may be submitted and not yet finished."""

    def submit(self, work: Work) -> None: ...

    def wait(self, seconds: float) -> list[tuple[Work, Manifest]]:
        """Finished works; empty after `seconds` without one. Raises the error of a failed work."""

    def close(self) -> None: ...


class InProcess:
    """`--workers 0`: one work at a time in this very process. The same bytes; pdb works."""

    window = 1

    def __init__(self, root: str) -> None:
        self.root = root
        self._queue: deque[Work] = deque()

    def submit(self, work: Work) -> None:
        self._queue.append(work)

    def wait(self, seconds: float) -> list[tuple[Work, Manifest]]:
        work = self._queue.popleft()
        return [(work, execute(self.root, work))]

    def close(self) -> None:
        self._queue.clear()


def _execute_remote(root: str, work: Work) -> Manifest | PipelineError:
    """In a Ray worker. Our own errors come back as values: Ray retries only dead workers."""
    try:
        return execute(root, work)
    except PipelineError as error:
        return error


class OnRay:
    """Works as Ray tasks: a submission window, retries when a worker or node dies."""

    MAX_RETRIES = 5

    def __init__(self, root: str, workers: int, address: str | None) -> None:
        # Read by `import ray`: no telemetry, no wait for metrics at start.
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        os.environ.setdefault("RAY_DEDUP_LOGS", "0")
        os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
        for name in ("OMP_NUM_THREADS", "NUMBA_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
            os.environ.setdefault(name, "1")
        import ray

        self.ray: Any = ray
        self.root = root
        target = address or os.environ.get("RAY_ADDRESS") or "local"
        if target == "local":
            ray.init(
                address="local",
                num_cpus=workers,
                include_dashboard=False,
                log_to_driver=False,
                logging_level="ERROR",
                # Nothing large enters the object store: manifests of a few KB do.
                object_store_memory=150 << 20,
            )
        else:
            ray.init(address=target, log_to_driver=False, logging_level="ERROR")
        self.window = 2 * max(1, int(ray.cluster_resources().get("CPU", 1)))
        self._remote = ray.remote(num_cpus=1, max_retries=self.MAX_RETRIES)(_execute_remote)
        self._works: dict[Any, Work] = {}

    def submit(self, work: Work) -> None:
        self._works[self._remote.remote(self.root, work)] = work

    def wait(self, seconds: float) -> list[tuple[Work, Manifest]]:
        ready, _ = self.ray.wait(list(self._works), num_returns=1, timeout=seconds)
        done = []
        for reference in ready:
            work = self._works.pop(reference)
            done.append((work, self._result(reference, work)))
        return done

    def _result(self, reference: Any, work: Work) -> Manifest:
        try:
            answer = self.ray.get(reference)
        except self.ray.exceptions.RayTaskError as error:
            raise PipelineError(f"{work.node}, unit {work.unit[:12]}: {error}") from error
        except self.ray.exceptions.RayError as error:
            raise StageError(
                f"{work.node}, unit {work.unit[:12]}: the worker died {self.MAX_RETRIES + 1} "
                f"times: {type(error).__name__}. A document that kills it can be named in "
                f"quarantine/{work.unit}.json; finished work is kept."
            ) from error
        if isinstance(answer, PipelineError):
            raise answer
        assert isinstance(answer, Manifest)
        return answer

    def close(self) -> None:
        self._works.clear()
        with contextlib.suppress(KeyboardInterrupt):
            self.ray.shutdown()
