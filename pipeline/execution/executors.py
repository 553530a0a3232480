"""Where works run: in this process, or on Ray. Placing and retrying only; storage is the state."""

from __future__ import annotations

import contextlib
import os
from collections import deque
from typing import Any, Protocol

from pipeline.errors import InputError, PipelineError, StageError
from pipeline.execution import interrupts, watch
from pipeline.execution.attempts import Attempts
from pipeline.execution.quarantine import NewlyQuarantinedError
from pipeline.execution.work import Work
from pipeline.execution.worker import execute
from pipeline.files.uris import open_storage
from pipeline.network.rates import OfActor, Slots, Spacing, use_slots
from pipeline.network.settings import Network, use
from pipeline.process import prepare
from pipeline.results.manifest import Manifest

Answer = tuple[Work, Manifest | NewlyQuarantinedError]


class Executor(Protocol):
    """Takes works and gives manifests back, in any order."""

    @property
    def window(self) -> int:
        """Works that may be submitted and not yet finished."""

    def submit(self, work: Work) -> None: ...

    def wait(self, seconds: float) -> list[Answer]:
        """Finished works, and those that have to be made anew; empty after `seconds` without one.
        Raises the error of a failed work."""

    def close(self) -> None: ...


class InProcess:
    """`--workers 0`: one work at a time in this very process. The same bytes; pdb works."""

    def __init__(self, root: str, network: Network) -> None:
        self.root = root
        self._queue: deque[Work] = deque()
        self._attempts = Attempts(network)

    @property
    def window(self) -> int:
        """One, besides those that wait for their next attempt."""
        return 1 + len(self._attempts)

    def submit(self, work: Work) -> None:
        self._queue.append(work)

    def wait(self, seconds: float) -> list[Answer]:
        self._queue.extendleft(self._attempts.due())
        done: list[Answer] = []
        if self._queue:
            work = self._queue.popleft()
            try:
                done.append((work, execute(self.root, work)))
            except PipelineError as error:
                self._attempts.failed(work, error)
        else:
            self._attempts.sleep(seconds)
        interrupts.check()
        return done

    def close(self) -> None:
        self._queue.clear()
        self._attempts.clear()


PROBE = ".nodes-probe"


def _sees(root: str) -> bool:
    """In a Ray worker: is the driver's probe there?"""
    return open_storage(root).info(PROBE) is not None


def _execute_remote(
    root: str, works: list[Work], network: Network, slots: Slots | None
) -> list[Manifest | PipelineError]:
    """In a Ray worker. Our own errors come back as values: Ray retries only dead workers."""
    prepare()
    use(network)
    watch.kill_when_late()
    if slots is not None:
        use_slots(slots)
    answers: list[Manifest | PipelineError] = []
    for work in works:
        try:
            answers.append(execute(root, work))
        except PipelineError as error:
            answers.append(error)
            break
    return answers


class OnRay:
    """Works on Ray: a submission window, retries when a worker or node dies.

    A call costs about 3 ms and a round trip through the driver, so small works travel in packs;
    a pack that is retried finds the manifests of what it had finished.
    """

    MAX_RETRIES = 5
    MAX_RECONNECTS = 3
    PACK_BYTES = 4 << 20
    PACK_WORKS = 16

    def __init__(
        self,
        root: str,
        workers: int,
        address: str | None,
        network: Network | None = None,
        asks_servers: bool = False,
    ) -> None:
        # Read by `import ray`, and by the workers that it starts.
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        for name in ("OMP_NUM_THREADS", "NUMBA_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
            os.environ.setdefault(name, "1")
        import ray

        self.ray: Any = ray
        self.root, self.workers = root, workers
        self.address = address or os.environ.get("RAY_ADDRESS") or "local"
        self.network = network or Network()
        self.asks_servers = asks_servers
        self.reconnects = 0
        self._attempts = Attempts(self.network)
        self._pending: list[Work] = []
        self._packs: dict[Any, list[Work]] = {}
        self._connect()

    def _connect(self) -> None:
        if self.address == "local":
            self.ray.init(
                address="local",
                num_cpus=self.workers,
                include_dashboard=False,
                log_to_driver=False,
                logging_level="ERROR",
                # Nothing large enters the object store: manifests of a few KB do.
                object_store_memory=150 << 20,
            )
        else:
            self.ray.init(address=self.address, log_to_driver=False, logging_level="ERROR")
            self._check_nodes()
        self.slots = max(1, int(self.ray.cluster_resources().get("CPU", 1)))
        self.window = 2 * self.slots * self.PACK_WORKS
        options = {"num_cpus": 1, "max_retries": self.MAX_RETRIES}
        self._remote = self.ray.remote(**options)(_execute_remote)
        # One for all workers, so that a limit by host is one for the whole run. It lives as long as
        # this driver, begins again on another node when its own dies, and costs no slot.
        actor = self.ray.remote(num_cpus=0, max_restarts=-1, max_task_retries=-1)(Spacing)
        limited = self.asks_servers and self.network.limits
        self._slots = OfActor(actor.remote()) if limited else None

    def _check_nodes(self) -> None:
        """Every node sees the workdir, or InputError: outputs on private disks would be lost."""
        affinity = self.ray.util.scheduling_strategies.NodeAffinitySchedulingStrategy
        nodes = [node for node in self.ray.nodes() if node["Alive"]]
        if len(nodes) < 2:
            return
        probe = self.ray.remote(num_cpus=0)(_sees)
        storage = open_storage(self.root)
        storage.put(PROBE, b"")
        for node in nodes:
            strategy = affinity(node["NodeID"], soft=False)
            if not self.ray.get(probe.options(scheduling_strategy=strategy).remote(self.root)):
                raise InputError(
                    f"the node {node['NodeManagerHostname']} does not see the workdir {self.root}. "
                    f"Give one that all nodes share (a network disk, s3://...)."
                )
        storage.delete(PROBE)

    def _reconnect(self) -> None:
        """The driver's own raylet died: join again and send everything in flight once more.

        Storage is the only state, so what was finished is found and the rest is done again.
        """
        self.reconnects += 1
        in_flight = [work for pack in self._packs.values() for work in pack]
        self._packs.clear()
        self._pending = in_flight + self._pending
        self.ray.shutdown()
        self._connect()

    def submit(self, work: Work) -> None:
        self._pending.append(work)

    def _flush(self) -> None:
        """Send what is pending, in at least as many packs as keep every slot busy twice."""
        free = max(1, 2 * self.slots - len(self._packs))
        most = min(self.PACK_WORKS, -(-len(self._pending) // free))
        while self._pending and len(self._packs) < 2 * self.slots:
            pack = [self._pending.pop(0)]
            size = pack[0].num_bytes
            while self._pending and len(pack) < most and size < self.PACK_BYTES:
                pack.append(self._pending.pop(0))
                size += pack[-1].num_bytes
            self._packs[self._remote.remote(self.root, pack, self.network, self._slots)] = pack

    def wait(self, seconds: float) -> list[Answer]:
        lost = (self.ray.exceptions.LocalRayletDiedError, self.ray.exceptions.RaySystemError)
        try:
            return self._wait(seconds)
        except lost as error:
            if self.reconnects == self.MAX_RECONNECTS:
                raise StageError(
                    f"the Ray node of this driver died {self.reconnects + 1} times: {error}. "
                    f"Run again: finished work is kept."
                ) from error
            self._reconnect()
            return []

    def _wait(self, seconds: float) -> list[Answer]:
        self._pending = self._attempts.due() + self._pending
        self._flush()
        if not self._packs:
            self._attempts.sleep(seconds)
            return []
        ready, _ = self.ray.wait(list(self._packs), num_returns=1, timeout=seconds)
        done: list[Answer] = []
        for reference in ready:
            pack = self._packs[reference]
            answers = self._answers(reference, pack)
            del self._packs[reference]
            for work, answer in zip(pack, answers, strict=False):
                if isinstance(answer, NewlyQuarantinedError):
                    done.append((work, answer))
                elif isinstance(answer, PipelineError):
                    self._attempts.failed(work, answer)
                else:
                    done.append((work, answer))
            self._pending += pack[len(answers) :]
        return done

    def _answers(self, reference: Any, pack: list[Work]) -> list[Manifest | PipelineError]:
        """What a pack's works gave, up to the first error."""
        where = ", ".join(f"{work.node} unit {work.unit[:12]}" for work in pack[:3])
        try:
            answers: list[Manifest | PipelineError] = self.ray.get(reference)
        except self.ray.exceptions.RayTaskError as error:
            raise PipelineError(f"{where}: {error}") from error
        except (self.ray.exceptions.LocalRayletDiedError, self.ray.exceptions.RaySystemError):
            raise
        except self.ray.exceptions.RayError as error:
            raise StageError(
                f"{where}: the worker died {self.MAX_RETRIES + 1} times: {type(error).__name__}. "
                f"A document that kills it can be named in quarantine/{pack[0].unit}.json; "
                f"finished work is kept."
            ) from error
        return answers

    def close(self) -> None:
        self._pending.clear()
        self._packs.clear()
        self._attempts.clear()
        with contextlib.suppress(KeyboardInterrupt):
            self.ray.shutdown()
