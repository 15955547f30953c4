"""demo_ingest: recordings in, what they hold for this contract out, and who could have made them.

It reads rosbag2 recordings of anybody and says per episode what it took or why not. One bad
recording never stops the others. From what it takes it has the posterior demonstrator fitted, by
a process beside it.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
import sys
import threading

from rclpy.node import Node
from robot_rl.data.ingest import Ingest
from robot_rl.data.ingest_report import IngestReport
from robot_rl.ros.demonstrator_fit import DemonstratorFit
from robot_rl.ros.health import EventPublisher, Health, HealthReporter, OK, WARN
from robot_rl.ros.main import run
from robot_rl.ros.params import node_contract, Parameters
from robot_rl.ros.settings.demo_ingest import Settings
from robot_rl.ros.training import TrainingService
from robot_rl.vitals.limits import at_most, Part
from std_srvs.srv import Trigger


@dataclass
class Tally:
    """What a scan has found so far."""

    text: str = 'no scan yet'
    bags: int = 0
    refused: int = 0
    damaged: int = 0
    episodes: int = 0
    dropped: int = 0
    successes: int = 0
    transitions: int = 0
    last_reason: str = ''

    @property
    def summary(self) -> str:
        """What a scan has found, once it is over."""
        refused = f', {self.refused} refused' if self.refused else ''
        return (f'scanned: {self.bags} bags, {self.episodes} episodes, {self.transitions} '
                f'transitions, {self.dropped} dropped{refused}')


class DemoIngest(Node):
    """Reads in a thread of its own; the executor stays free."""

    def __init__(self):
        super().__init__('demo_ingest')
        self._live = Parameters(self, Settings)
        self.contract = node_contract(self, self._live.settings.contract)
        self._tally = Tally()
        self._thread: threading.Thread | None = None
        self._closing = threading.Event()
        self._event = EventPublisher(self)
        self.create_service(Trigger, '~/scan', self._on_scan)
        self._health = HealthReporter(self, self._describe, self.contract.task, self._parts)
        self._fit = TrainingService(
            self, DemonstratorFit(self.contract, lambda: self._live.settings.order()),
            self._event, self._health.publish)
        if self._live.settings.roots():
            self._fit.take_up()

    def _on_scan(self, request, response):
        roots = self._live.settings.roots()
        busy = self._thread is not None and self._thread.is_alive()
        response.success = bool(roots) and not busy
        if busy:
            response.message = f'busy: {self._tally.text}'
        elif not roots:
            response.message = 'the parameter bags names no folder'
        else:
            response.message = f'reading {len(roots)} folders, see ~/status'
            self._thread = threading.Thread(target=self._scan, args=(roots, self._live.settings),
                                            name='scan')
            self._thread.start()
        return response

    def _scan(self, roots: tuple[Path, ...], settings: Settings) -> None:
        tally = self._tally = Tally('reading')
        ingest = Ingest(roots, self.contract, settings.ingest(), self._closing.is_set)
        report = IngestReport(self.contract)
        for found in ingest:
            report.add(found)
            tally.episodes, tally.transitions = report.episodes, report.transitions
            tally.successes = report.successes
        for reading in ingest.readings:
            tally.bags += not reading.refused
            tally.damaged += bool(reading.damage)
            if reading.refused:
                tally.refused += 1
                self._tell('refused', reading.refused)
            for episode in reading.episodes:
                if not episode['taken']:
                    tally.dropped += 1
                    self._tell('dropped', f"{reading.recording}, episode {episode['episode']}: "
                                          f"{episode['reason']}")
            for damage in reading.damage:
                self._tell('damaged', f'{reading.recording}: {damage}')
        if settings.report_dir and not self._closing.is_set():
            try:
                report.write(Path(settings.report_dir), ingest.readings)
            except OSError as error:
                self._tell('no_report', str(error))
        tally.text = tally.summary
        self._event('scanned', bags=tally.bags, episodes=tally.episodes, dropped=tally.dropped,
                    transitions=tally.transitions, refused=tally.refused)

    def _tell(self, kind: str, reason: str) -> None:
        self._tally.last_reason = reason
        self._event(kind, WARN, reason=reason)

    def _describe(self) -> Health:
        tally = self._tally
        values = {key: value for key, value in vars(tally).items() if key != 'text'}
        absent = [f'{root}: no such folder' for root in self._live.settings.roots()
                  if not root.exists()]
        odd = tally.refused or absent
        level = WARN if odd and self._fit.level == OK else self._fit.level
        return Health('; '.join(filter(None, (*absent, tally.text, self._fit.text))),
                      {**values, **self._fit.values()}, level)

    def _parts(self) -> list[Part]:
        limits, tally = self._live.settings, self._tally
        episodes = tally.episodes + tally.dropped
        share = tally.dropped / episodes if episodes else None
        return [Part('recordings', {**vars(tally), 'dropped_share': share}, [
            at_most('share of the episodes that were not taken', share, limits.warn_dropped)]),
            self._fit.part(limits.warn_stalled)]

    def close(self) -> None:
        """End a scan after the bag at hand; a fit goes on at the next start."""
        self._fit.close()
        self._closing.set()
        if self._thread:
            self._thread.join()


def main() -> int:
    """Entry point."""
    return run(DemoIngest, Settings)


if __name__ == '__main__':
    sys.exit(main())
