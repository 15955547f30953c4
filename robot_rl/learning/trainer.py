"""The training thread: it alone touches the learner; queues connect it to the node."""

from __future__ import annotations

import bisect
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
import hashlib
from pathlib import Path
import threading
import time
import traceback

from robot_rl.data.episode import EpisodeRecord, SOURCES
from robot_rl.data.episode_message import decode_episode, episode_key
from robot_rl.errors import UserError
from robot_rl.learning.base_success import BaseSuccess
from robot_rl.learning.config import DEMONSTRATOR, SIM_OPTIMAL
from robot_rl.learning.learner import Learner
from robot_rl.learning.methods import Steer
from robot_rl.learning.policy import decode_explorers
from robot_rl.learning.robot_coverage import RobotCoverage
from robot_rl.learning.seen import Seen
from robot_rl.learning.training_curves import TrainingCurves
from robot_rl.priority import lower_priority

CHUNK = 20                  # updates between looks at the queue


@dataclass(frozen=True)
class TrainerSettings:
    """How often what is learned leaves the thread."""

    checkpoint_folder: Path
    publish_period: int = 500       # updates between actors while updates are owed
    checkpoint_period: int = 2000   # updates between checkpoints
    keep_checkpoints: int = 3
    deterministic: bool = False     # the next episode waits for all that came before it
    curves: Path | None = None      # folder of event files


@dataclass(frozen=True)
class Progress:
    """What the thread last said of itself."""

    text: str = 'starting'
    error: str = ''
    updates: int = 0
    updates_per_second: float = 0.0
    episodes_received: int = 0
    transitions_received: int = 0
    transitions_trained_on: int = 0     # of the robot: online and explorers
    transitions_explorers: int = 0
    transitions_demos: int = 0
    owed: int = 0
    missing: int = 0                # episodes that the recorder has sent and that are not here
    refused: int = 0                # episodes that could not be decoded
    warning: str = ''               # what a person should look at, with advice
    started_from: str = ''
    base: tuple[tuple[str, float], ...] = ()        # how often what is steered succeeds by itself
    metrics: tuple[tuple[str, float], ...] = ()
    coverage: tuple[tuple[str, float], ...] = ()    # of the robot, beside the simulator's


class Trainer:
    """Runs a learner in a thread.

    `receive` takes an episode's bytes, `expect` how many there are, `receive_explorers` what the
    simulator trained, `receive_sim_optimal` and `receive_demonstrator` what to start from, `train`
    switches training, `save` asks for a checkpoint. `on_actor(bytes)`, `on_note(text)` and
    `on_event(kind, values)` are called from the thread.

    Where `deterministic`, an episode is learned from in the recorder's order, once every one
    before it is here and has had its updates: what an update draws from then depends on its number
    alone, and a killed learner goes on as if it had never stopped.
    """

    def __init__(self, learner: Learner, settings: TrainerSettings,
                 on_actor: Callable[[bytes], None], on_note: Callable[[str], None],
                 on_event: Callable[[str, dict], None] = lambda kind, values: None):
        self._learner = learner
        self._settings = settings
        self._on_actor, self._on_note, self._on_event = on_actor, on_note, on_event
        self._inbox: deque[tuple[Callable[[bytes], None], bytes]] = deque()
        self._wake = threading.Event()
        self._closing = False
        self._save_asked = False
        self.training = False
        self.progress = Progress()
        self._received, self._transitions = Seen(), 0       # episodes of any mode; what is in them
        self._held: dict[str, list[EpisodeRecord]] = {}     # by session, while deterministic
        self._session, self._total = '', 0      # the newest, and how many the recorder has sent
        self._here: Counter[str] = Counter()    # session -> its episodes among the received
        self._refused: set[bytes] = set()       # digests: sent again, it is still one message
        self._unusable: set[str] = set()        # the episodes among them, session/name
        self._published, self._published_stamp = -1, 0      # updates, and ns of experience
        self._saved, self._started_from = learner.updates, learner.started_from
        self._rate, self._metrics, self._error = 0.0, {}, ''
        self._coverage = RobotCoverage(learner.contract)
        self._figures, self._warning = (), ''               # of the coverage
        self._base = BaseSuccess()
        self._refusals: dict[str, str] = {}                 # artifact -> why it was refused
        self._curves = settings.curves and TrainingCurves(settings.curves, self._on_curves)
        self._thread = threading.Thread(target=self._run, name='trainer')

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def receive(self, data: bytes) -> None:
        """Queue an episode; called from any thread."""
        self._put(self._take_episode, data)

    def expect(self, session: str, total: int) -> None:
        """Queue how many episodes of a session the recorder has sent; called from any thread.

        It tells of those that were lost where none comes after them.
        """
        self._put(lambda _: self._note(session, total), b'')

    def receive_explorers(self, data: bytes) -> None:
        """Queue the explorers, for what they cover in the simulator; called from any thread."""
        self._put(self._take_explorers, data)

    def receive_sim_optimal(self, data: bytes) -> None:
        """Queue the simulator's policy to start from; called from any thread."""
        self._put(partial(self._take_start, SIM_OPTIMAL), data)

    def receive_demonstrator(self, data: bytes) -> None:
        """Queue what is to be steered, or to start from; called from any thread."""
        self._put(partial(self._take_start, DEMONSTRATOR), data)

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

    def _put(self, take: Callable[[bytes], None], data: bytes) -> None:
        if self.alive:
            self._inbox.append((take, data))
            self._wake.set()

    def _run(self) -> None:
        try:
            lower_priority()        # the control loop goes first
            while not self._closing:
                self._take_inbox()
                self._release()
                self._tell_start()
                owed = self._learner.owed if self.training else 0
                if owed:
                    self._train(min(owed, CHUNK))
                    self._release()
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
        self._report(last=True)
        if self._curves:
            self._curves.close()

    def _take_inbox(self) -> None:
        if not self._inbox:
            return
        while self._inbox:
            take, data = self._inbox.popleft()
            take(data)
        comparison = self._coverage.comparison
        if comparison:
            self._figures = tuple(comparison.figures().items())
            before, self._warning = self._warning, comparison.warning
            if self._warning and not before:
                self._on_note(self._warning)

    def _tell_start(self) -> None:
        started_from = self._learner.started_from
        if started_from != self._started_from:
            self._started_from = started_from
            self._save_asked = True     # a killed learner takes up this one, whatever comes next
            self._on_note(f'starting from the {started_from} policy')

    def _take_episode(self, data: bytes) -> None:
        try:
            episode = decode_episode(data, self._learner.contract, 'topic transitions')
        except UserError as error:
            self._refused.add(hashlib.sha256(data).digest())
            self._unusable.add(episode_key(data))
            self._on_note(f'episode refused: {error}')
            return
        self._note(episode.session, episode.total)
        if not self._received.add(episode.key):
            return
        self._transitions += len(episode.transitions)
        self._here[episode.session] += 1
        self._coverage.add(episode.transitions.next_observation, episode.mode == 'explore')
        if episode.mode == 'learn' and episode.policy_version == 0:
            self._base.add(episode.outcome)
        if self._curves:
            self._curves.episode(episode, self._learner)
        if episode.mode not in SOURCES:     # it measures a policy and is held out
            return
        if self._settings.deterministic:
            bisect.insort(self._held.setdefault(episode.session, []), episode,
                          key=lambda held: held.sequence)
        else:
            self._add(episode)

    def _note(self, session: str, total: int) -> None:
        self._total = max(total, self._total if session == self._session else 0)
        self._session = session

    def _add(self, episode: EpisodeRecord) -> None:
        self._learner.add(episode.key, episode.transitions, episode.stamp, SOURCES[episode.mode])

    def _release(self) -> None:
        """Learn from the next held episodes, up to the first that owes updates."""
        learner = self._learner
        while self._held and not self._missing and not learner.owed and not (
                learner.waiting and learner.waits_for == learner.config.start_topic):
            session, held = next(iter(self._held.items()))
            self._add(held.pop(0))
            if not held:
                del self._held[session]

    @property
    def _missing(self) -> int:
        """Episodes of the session that the recorder has sent and that are not here."""
        unusable = sum(key.startswith(f'{self._session}/') for key in self._unusable)
        return max(0, self._total - self._here[self._session] - unusable)

    def _take_explorers(self, data: bytes) -> None:
        try:
            _, simulator = decode_explorers(data, self._learner.contract, 'topic explorers')
        except UserError as error:
            self._refuse('explorers', error)
            return
        self._refusals.pop('explorers', None)
        self._coverage.certify(simulator)

    def _take_start(self, topic: str, data: bytes) -> None:
        if topic != self._learner.config.start_topic:
            return      # nobody asked for it
        try:
            self._learner.start_from(data, f'topic {topic}')
        except UserError as error:
            self._refuse(topic, error)
            return
        self._refusals.pop(topic, None)

    def _refuse(self, artifact: str, error: UserError) -> None:
        self._refusals[artifact] = f'refused: {error}'
        self._on_note(self._refusals[artifact])

    def _train(self, count: int) -> None:
        started = time.perf_counter()
        self._metrics = self._learner.train(count)
        rate = count / (time.perf_counter() - started)
        self._rate = rate if not self._rate else 0.9 * self._rate + 0.1 * rate

    def _publish_if_due(self, owed: int) -> None:
        """Publish every so often while behind, and always when all that came is learned from."""
        learner = self._learner
        if learner.waiting:
            return      # what would be published has nothing of the policy that was asked for
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
        except UserError as error:      # there is none yet
            self._on_note(str(error))
        except OSError as error:
            self._error = f'checkpoint not saved, the last good one stays: {error}'
            self._on_event('checkpoint_failed', {'updates': self._learner.updates,
                                                 'reason': str(error)})
        self._saved, self._save_asked = self._learner.updates, False

    def _on_curves(self, reason: str) -> None:
        self._on_note(reason)
        self._on_event('curves_failed', {'reason': reason})

    def _report(self, last: bool = False) -> None:
        learner = self._learner
        text = 'paused' if not self.training else 'training' if learner.owed else 'waiting'
        if learner.waiting:
            text = f'waiting for {learner.waits_for}'
        elif learner.updates == 0 and self.training and not learner.owed:
            text = f'collecting {learner.config.start_transitions} transitions'
        if self._held and self._missing:
            text = f'waiting for {self._missing} missing episodes, to keep their order'
        steers = isinstance(learner.method, Steer)
        measured = steers and learner.collected >= learner.config.start_transitions
        warnings = [*self._refusals.values(), self._warning, self._base.warning * measured,
                    learner.not_compiled]
        self.progress = Progress(
            text=self._error or text, error=self._error, updates=learner.updates,
            updates_per_second=self._rate, episodes_received=len(self._received),
            transitions_received=self._transitions,
            transitions_trained_on=learner.collected,
            transitions_explorers=learner.counts['explorers'],
            transitions_demos=learner.counts['demos'], owed=learner.owed,
            missing=self._missing, refused=len(self._refused),
            warning='; '.join(filter(None, warnings)), started_from=learner.started_from,
            base=tuple(self._base.figures.items()) * steers, metrics=tuple(self._metrics.items()),
            coverage=self._figures)
        if self._curves:
            self._curves.progress(self.progress, self._published, last)
