"""The training thread: it alone touches the learner; queues connect it to the node."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
import hashlib
from pathlib import Path
import threading
import time
import traceback

from robot_rl.data.episode_message import decode_episode
from robot_rl.errors import UserError
from robot_rl.learning.learner import Learner

CHUNK = 20                  # updates between looks at the queue
HELD_OUT = 'evaluate'       # episodes of this mode measure the policy and are not learned from


@dataclass(frozen=True)
class TrainerSettings:
    """How often what is learned leaves the thread."""

    checkpoint_folder: Path
    publish_period: int = 500       # updates between actors while updates are owed
    checkpoint_period: int = 2000   # updates between checkpoints
    keep_checkpoints: int = 3


@dataclass(frozen=True)
class Progress:
    """What the thread last said of itself."""

    text: str = 'starting'
    error: str = ''
    updates: int = 0
    updates_per_second: float = 0.0
    episodes_received: int = 0
    transitions_received: int = 0
    transitions_trained_on: int = 0
    transitions_prior: int = 0
    owed: int = 0
    missing: int = 0                # episodes that the recorder has sent and that are not here
    refused: int = 0                # episodes that could not be decoded
    metrics: tuple[tuple[str, float], ...] = ()


class Trainer:
    """Runs a learner in a thread.

    `receive` takes an episode's bytes, `train` switches training, `save` asks for a checkpoint.
    `on_actor(bytes)` and `on_note(text)` are called from the thread.
    """

    def __init__(self, learner: Learner, settings: TrainerSettings,
                 on_actor: Callable[[bytes], None], on_note: Callable[[str], None]):
        self._learner = learner
        self._settings = settings
        self._on_actor, self._on_note = on_actor, on_note
        self._inbox: deque[bytes] = deque()
        self._wake = threading.Event()
        self._closing = False
        self._save_asked = False
        self.training = False
        self.progress = Progress()
        self._received: dict[str, int] = {}     # episode -> its transitions, whatever its mode
        self._session, self._total = '', 0
        self._refused: set[bytes] = set()       # digests: sent again, it is still one episode
        self._published, self._published_stamp = -1, 0      # updates, and ns of experience
        self._saved = learner.updates
        self._rate, self._metrics, self._error = 0.0, {}, ''
        self._thread = threading.Thread(target=self._run, name='trainer')

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def receive(self, data: bytes) -> None:
        """Queue an episode; called from any thread."""
        if self.alive:
            self._inbox.append(data)
            self._wake.set()

    def train(self, on: bool) -> None:
        """Switch training on or off; takes effect within a chunk of updates."""
        self.training = on
        self._wake.set()

    def save(self) -> None:
        """Ask for a checkpoint."""
        self._save_asked = True
        self._wake.set()

    def close(self) -> None:
        """Write a last checkpoint and end the thread."""
        self._closing = True
        self._wake.set()
        if self.alive:
            self._thread.join()

    @property
    def alive(self) -> bool:
        """Whether the thread runs."""
        return self._thread.is_alive()

    def _run(self) -> None:
        try:
            while not self._closing:
                self._take_inbox()
                owed = self._learner.owed if self.training else 0
                if owed:
                    self._train(min(owed, CHUNK))
                    owed = self._learner.owed
                self._publish_if_due(owed)
                if self._save_asked or self._due_checkpoint():
                    self._save()
                self._report()
                if not owed and not self._inbox:
                    self._wake.wait(0.5)
                    self._wake.clear()
            if self._learner.updates > self._saved:
                self._save()
        except Exception as error:  # noqa: B902, the node must say why training ended
            self._error = f'{type(error).__name__}: {error}'
            self._on_note(traceback.format_exc())
        self._report()

    def _take_inbox(self) -> None:
        while self._inbox:
            data = self._inbox.popleft()
            try:
                episode = decode_episode(data, self._learner.contract, 'topic transitions')
            except UserError as error:
                self._refused.add(hashlib.sha256(data).digest())
                self._on_note(f'episode refused: {error}')
                continue
            if episode.session != self._session:
                self._session, self._total = episode.session, 0
            key = f'{episode.session}/{episode.name}'
            self._total = max(self._total, episode.total)
            self._received[key] = len(episode.transitions)
            if episode.mode != HELD_OUT:
                self._learner.add(key, episode.transitions, episode.stamp)

    def _train(self, count: int) -> None:
        started = time.perf_counter()
        self._metrics = self._learner.train(count)
        rate = count / (time.perf_counter() - started)
        self._rate = rate if not self._rate else 0.9 * self._rate + 0.1 * rate

    def _publish_if_due(self, owed: int) -> None:
        """Publish every so often while behind, and always when all that came is learned from."""
        learner = self._learner
        if not owed:
            learner.learned_stamp = learner.newest_stamp
        periodic = learner.updates - self._published >= self._settings.publish_period
        newer = (learner.updates, learner.learned_stamp) > (
            self._published, self._published_stamp)
        if periodic or newer and (not owed or self._published < 0):
            self._on_actor(learner.actor())
            self._published = learner.updates
            self._published_stamp = learner.learned_stamp

    def _due_checkpoint(self) -> bool:
        return self._learner.updates - self._saved >= self._settings.checkpoint_period

    def _save(self) -> None:
        try:
            path = self._learner.save(self._settings.checkpoint_folder,
                                      self._settings.keep_checkpoints)
            self._on_note(f'saved {path}')
            self._error = ''
        except OSError as error:
            self._error = f'checkpoint not saved: {error}'
            self._on_note(self._error)
        self._saved, self._save_asked = self._learner.updates, False

    def _report(self) -> None:
        learner = self._learner
        here = sum(key.startswith(f'{self._session}/') for key in self._received)
        text = 'paused' if not self.training else 'training' if learner.owed else 'waiting'
        if learner.updates == 0 and self.training and not learner.owed:
            text = f'collecting {learner.config.start_transitions} transitions'
        self.progress = Progress(
            text=self._error or text, error=self._error, updates=learner.updates,
            updates_per_second=self._rate, episodes_received=len(self._received),
            transitions_received=sum(self._received.values()),
            transitions_trained_on=len(learner.sources['online']),
            transitions_prior=len(learner.sources['prior']), owed=learner.owed,
            missing=max(0, self._total - here - len(self._refused)), refused=len(self._refused),
            metrics=tuple(self._metrics.items()))
