"""Records every topic of a contract, one bag per episode, and publishes what is safely on disk.

The executor's callbacks only append to a queue that is bounded in bytes; one writer thread owns
the files and all state of the episode. An episode's transitions are handed on after its bag is
complete on the disk, never before.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from functools import partial
import json
import logging
from pathlib import Path
import threading
import time

from robot_rl.contract import Contract
from robot_rl.data import cdr
from robot_rl.data.backlog import Backlog
from robot_rl.data.disk import Disk
from robot_rl.data.episode import episode_record, EpisodeRecord, OpenEpisode, Topic
from robot_rl.data.intake import Intake, MISSES
from robot_rl.data.known_steps import KnownSteps
from robot_rl.data.preroll import Preroll
from robot_rl.data.recorder_settings import RecorderSettings
from robot_rl.data.session import Session
from robot_rl.data.step_stream import StepStream
from robot_rl.data.steps import BadStep, Status
from robot_rl.data.transitions import Transitions
from robot_rl.errors import UserError
from robot_rl.fields import BadMessage

POLL = 0.05                         # s


class EpisodeRecorder:
    """Thread-safe; no method but `close` waits for the disk.

    `on_episode(EpisodeRecord)` and `on_event(kind, values)` run on the writer thread (events of
    the start-up on the constructing thread). Raises UserError where the folder is in use.
    """

    def __init__(self, root: Path, contract: Contract, topics: list[Topic],
                 settings: RecorderSettings, steps_topic: str,
                 on_episode: Callable[[EpisodeRecord], None],
                 on_event: Callable[[str, dict], None], extra: dict | None = None):
        names = [topic.name for topic in topics]
        if steps_topic not in names:
            raise UserError(f'{steps_topic}: expected among the recorded topics, found '
                            f'{", ".join(names)}')
        self._contract, self._topics, self._settings = contract, list(topics), settings
        for topic in topics:
            cdr.definition(topic.type)      # refuse an unknown type now, not at the first episode
        self._steps_id = names.index(steps_topic)
        self._on_episode, self._on_event = on_episode, on_event
        self._callback_errors = 0
        self._session = Session(Path(root), contract, self._emit)
        self._custom_data = {**{str(key): str(value) for key, value in (extra or {}).items()},
                             'contract': contract.text, 'contract_hash': contract.hash,
                             'interface': json.dumps(contract.interface),
                             'task': contract.task, 'session': self._session.id,
                             'steps_topic': steps_topic}
        self._intake = Intake(settings.queue_bytes)
        self._starting = False          # a start is queued
        # From here on owned by the writer thread; others only read.
        self._open: OpenEpisode | None = None
        self._preroll = Preroll([topic.type for topic in topics])
        self._stream = StepStream(contract, KnownSteps(
            self._session.root, steps_topic, self._session.began))
        self._written = self._flushed = 0
        self._episodes = self._transitions = 0
        self._reported: Counter[str] = Counter()        # missed messages that an event told of
        self._missed_before: Counter[str] = Counter()   # the open episode
        self._write_error = ''          # why the newest bag was not saved
        self._disk = Disk(self._session.root, settings.min_free_bytes)
        self._backlog = Backlog(self._session, self._disk, self._emit)
        self._watch()
        self._thread = threading.Thread(target=self._run, name='recorder', daemon=True)
        self._thread.start()

    # Called from any thread.

    def put(self, topic_id: int, data: bytes, log_time: int, publish_time: int) -> bool:
        """Queue a serialised message of the topic at that place of the list; False if dropped."""
        return self._intake.put(topic_id, data, max(log_time, 0), max(publish_time, 0))

    def miss(self, kind: str, topic_id: int, count: int) -> None:
        """Count messages of a topic that never came here; `kind` is one of MISSES."""
        self._intake.miss(kind, topic_id, count)

    def start_episode(self, note: str = '') -> tuple[bool, str]:
        """Open a bag; return whether it will be opened, and the reason why not."""
        episode = self._open
        if self._starting or (episode and not episode.finished):
            return False, 'an episode is open: end or discard it first'
        if self._disk.full:
            return False, str(self._disk)
        self._starting = True
        return self._post(partial(self._start, note), 'an episode begins')

    def end_episode(self, success: bool) -> tuple[bool, str]:
        """End the open episode with a human's verdict."""
        return self._finish('success' if success else 'failure')

    def discard_episode(self) -> tuple[bool, str]:
        """End the open episode and move its bag out of the way; it is never published."""
        return self._finish('discard')

    def republish(self) -> tuple[bool, str]:
        """Publish every episode of the session again, from its bag, while recording goes on."""
        return self._post(self._backlog.send_all, 'every episode will be published again')

    def stats(self) -> dict:
        """Return counters and gauges for diagnostics."""
        episode = self._open
        misses = {kind: {self._topics[index].name: count for index, count in counts.items()}
                  for kind, counts in self._intake.misses().items()}
        return {'queue_bytes': self._intake.bytes, **misses,
                'written': self._written, 'flushed': self._flushed,
                **self._stream.figures(),
                'last_flush_age': time.monotonic() - episode.flushed_at if episode else 0.0,
                'bag': episode.name if episode else '', 'episodes': self._episodes,
                'session': self._session.id, 'published': self._session.published,
                'transitions': self._transitions, 'disk_free': self._disk.free,
                'disk_full': self._disk.full, 'write_error': self._write_error,
                'cut': self._backlog.cut,
                'callback_errors': self._callback_errors, 'alive': self._thread.is_alive()}

    def close(self) -> None:
        """Write what is queued, complete the open bag, and let go of the folder."""
        self._intake.stop()
        self._thread.join()
        self._session.close()

    def _finish(self, verdict: str) -> tuple[bool, str]:
        episode = self._open
        if episode is None and not self._starting:
            return False, 'no episode is open'
        name = episode.name if episode else 'the episode'
        return self._post(partial(self._end, verdict), f'{name}: {verdict}')

    def _post(self, command: Callable[[], None], answer: str) -> tuple[bool, str]:
        if not self._intake.post(command):
            return False, 'the recorder is closed'
        return True, answer

    # The writer thread.

    def _run(self) -> None:
        while (batch := self._intake.take(0.0 if self._backlog else POLL)) is not None:
            for item in batch:
                self._attempt(item if callable(item) else partial(self._message, *item))
            self._attempt(partial(self._tick, time.monotonic()))
            if self._backlog and (record := self._backlog.send()):  # one: messages keep coming
                self._call(self._on_episode, record)
        self._attempt(partial(self._close, 'incomplete'))

    def _attempt(self, action: Callable[[], None]) -> None:
        """Run an action; where the disk refuses, give up the open bag: the thread lives on."""
        try:
            action()
        except Exception as error:  # noqa: B902, one failed write must not end all recording
            episode, self._open = self._open, None
            self._stream.drop_after(self._stream.newest)
            self._write_error = f'{type(error).__name__}: {error}'
            if episode:
                episode.writer.abandon()
                self._backlog.add_cut(episode.folder, self._write_error)
            self._emit('write_error', {'episode': episode.name if episode else '',
                                       'reason': self._write_error})

    def _message(self, topic_id: int, data: bytes, log_time: int, publish_time: int) -> None:
        if topic_id == self._steps_id:
            if not self._take_step(data, log_time, publish_time):
                return
        else:
            self._preroll.hold(topic_id, data, log_time, publish_time, self._open is not None)
        if self._open:
            self._open.write(topic_id, data, log_time, publish_time)
            self._written += 1

    def _take_step(self, data: bytes, log_time: int, publish_time: int) -> bool:
        """Follow the policy's episode; return whether the record is to be written."""
        stream = self._stream
        try:
            step = stream.take(data, publish_time)
        except (BadMessage, BadStep) as error:
            if stream.bad == 1:
                self._emit('bad_step', {'reason': str(error)})
            return False
        if stream.missing:
            self._intake.miss('missing_steps', self._steps_id, stream.missing)
        if step is None:
            return False
        if self._open and not self._open.takes(step):
            self._attempt(partial(self._close, 'abandoned'))
            stream.drop_after(None)     # whatever became of the one before
        if self._open is None:
            self._begin(log_time, step.episode)
        if self._open is None:
            return False
        if not self._open.steps and stream.before and stream.before.leads_to(step):
            self._open.precede(self._steps_id, stream.before, log_time)
            self._written += 1
        self._open.steps.append(step)
        self._open.stepped_at = time.monotonic()
        if step.status is not Status.RUNNING:   # what is queued by now still belongs to it
            self._intake.post(partial(self._settle, self._open))
        return True

    def _settle(self, episode: OpenEpisode) -> None:
        episode.close_at = time.monotonic() + self._settings.settle

    def _start(self, note: str) -> None:
        try:
            if self._open and self._open.finished:
                self._close('incomplete')
            if self._open is None:
                self._begin(self._preroll.newest, note=note)
        finally:
            self._starting = False

    def _begin(self, log_time: int, number: int | None = None, note: str = '') -> None:
        """Open a bag for that episode of the policy server; None: an operator wants one."""
        self._watch()
        if self._disk.full:
            return
        name = self._session.next_name()
        self._open = OpenEpisode(
            self._session.root / name, self._topics,
            {**self._custom_data, 'episode': name, 'note': note, 'outcome': 'incomplete',
             'started': str(time.time_ns())}, number is None, time.monotonic())
        self._missed_before = self._intake.missed()
        for message in self._preroll.messages(log_time):
            self._open.write(*message)
            self._written += 1
        self._emit('start', {'episode': name, **_found_at(self._open.folder, number)})

    def _end(self, verdict: str) -> None:
        episode = self._open
        if episode is None:
            return
        if verdict == 'discard':
            episode.mark(discarded=True)
        else:
            episode.mark(label=verdict)
        if episode.running:     # the policy server ends its episode and sends the last step
            self._emit(verdict, {'episode': episode.name})
            episode.close_at = time.monotonic() + self._settings.final_step_timeout
        else:
            self._settle(episode)

    def _tick(self, now: float) -> None:
        if self._disk.due(now):
            self._watch()
        episode, settings = self._open, self._settings
        if episode is None:
            if record := self._backlog.mend():
                self._transitions += len(record.transitions)
                self._call(self._on_episode, record)
            return
        if episode.close_at is not None and now >= episode.close_at:
            self._close('incomplete')
        elif self._disk.full:
            self._stream.drop_after(self._stream.newest)
            self._close('incomplete', cut=str(self._disk))
        elif (not episode.by_operator and episode.running
              and now - episode.stepped_at > settings.idle_timeout):
            self._close('abandoned')
        elif now - episode.synced_at >= settings.fsync_period:
            episode.writer.sync()
            episode.synced_at = episode.flushed_at = now
            self._flushed = self._written
        elif now - episode.flushed_at >= settings.flush_period:
            episode.writer.flush()
            episode.flushed_at = now
            self._flushed = self._written

    def _watch(self) -> None:
        """Tell of a disk that has become full, and of messages that have been missed."""
        if self._disk.look():
            self._emit('disk_full', {'free': str(self._disk.free)})
        missed = self._intake.missed()
        for kind, count in (missed - self._reported).items():
            self._emit(kind, {'messages': str(count)})
        self._reported = missed

    def _close(self, cut_short: str, **custom_data: str) -> None:
        """Complete the open bag, then publish its transitions or move it to discarded/."""
        episode = self._open
        if episode is None:
            return
        outcome = episode.outcome(cut_short)
        missed = self._intake.missed() - self._missed_before
        custom_data |= {'outcome': outcome, 'ended': str(time.time_ns()),
                        **{kind: str(missed[kind]) for kind in MISSES}}
        transitions = None if episode.discarded else self._derive(episode)
        if transitions is not None:
            custom_data['transitions'] = str(len(transitions))
        if transitions:
            custom_data['sequence'] = str(self._session.sequence + 1)
        custom_data = episode.close(**custom_data)
        self._open, folder = None, episode.folder
        self._flushed, self._write_error = self._written, ''
        if episode.discarded:
            self._stream.drop_after(episode.steps[-1] if episode.steps else None)
            folder = self._session.discard(folder)
        self._episodes += 1
        number = episode.steps[0].episode if episode.steps else None
        self._emit('saved', {'episode': episode.name, 'outcome': outcome,
                             'steps': str(len(episode.steps)),
                             'transitions': str(len(transitions or ())),
                             **_found_at(folder, number)})
        if transitions:
            self._session.sequence += 1
            self._session.published += 1
            self._transitions += len(transitions)
            self._call(self._on_episode, episode_record(
                episode.name, custom_data, episode.steps, transitions, self._session.published))

    def _derive(self, episode: OpenEpisode) -> Transitions | None:
        try:
            return episode.transitions(self._contract)
        except UserError as error:
            self._emit('unreadable', {'bag': episode.name, 'reason': str(error)})
            return None

    def _emit(self, kind: str, values: dict[str, str]) -> None:
        self._call(self._on_event, kind, values)

    def _call(self, callback: Callable, *arguments) -> None:
        try:
            callback(*arguments)
        except Exception:  # noqa: B902, a failing listener must not cost the recording
            self._callback_errors += 1
            logging.getLogger(__name__).exception('a callback of the recorder failed')


def _found_at(folder: Path, number: int | None) -> dict[str, str]:
    """Return which episode of the policy server a bag is, if any, and where it is."""
    server = {} if number is None else {'server_episode': str(number)}
    return {**server, 'bag': str(folder.absolute())}
