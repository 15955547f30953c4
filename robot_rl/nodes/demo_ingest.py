"""demo_ingest: recordings in, what they hold for this contract out.

It reads rosbag2 folders made by data_recorder and says per bag what it took or why not. One bad
bag never stops the others.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
import sys
import threading

from rclpy.node import Node
from robot_rl.contract import load_contract
from robot_rl.data.bag import bag_transitions, find_bags, read_info
from robot_rl.errors import UserError
from robot_rl.ros.health import EventPublisher, Health, HealthReporter, OK, WARN
from robot_rl.ros.main import run
from robot_rl.ros.params import parameter, Parameters
from std_srvs.srv import Trigger


@dataclass(frozen=True)
class Settings:
    """Parameters of demo_ingest."""

    contract: str = parameter('', 'Contract file, or the name of a shipped contract')
    bags: tuple = parameter(('',), 'Bag folders, or folders that hold bags', live=True)


@dataclass
class Tally:
    """What a scan has found so far."""

    text: str = 'no scan yet'
    bags: int = 0
    refused: int = 0
    successes: int = 0
    transitions: int = 0
    last_reason: str = ''


class DemoIngest(Node):
    """Reads in a thread of its own; the executor stays free."""

    def __init__(self):
        super().__init__('demo_ingest')
        self._live = Parameters(self, Settings)
        self.contract = load_contract(self._live.settings.contract)
        self._tally = Tally()
        self._thread: threading.Thread | None = None
        self._closing = threading.Event()
        self._event = EventPublisher(self)
        self.create_service(Trigger, '~/scan', self._on_scan)
        self._health = HealthReporter(self, self._describe)

    def _on_scan(self, request, response):
        roots = [Path(text) for text in self._live.settings.bags if text]
        busy = self._thread is not None and self._thread.is_alive()
        response.success = bool(roots) and not busy
        if busy:
            response.message = f'busy: {self._tally.text}'
        elif not roots:
            response.message = 'the parameter bags names no folder'
        else:
            response.message = f'reading {len(roots)} folders, see ~/status'
            self._thread = threading.Thread(target=self._scan, args=(roots,), name='scan')
            self._thread.start()
        return response

    def _scan(self, roots: list[Path]) -> None:
        tally = self._tally = Tally('reading')
        for root in roots:
            try:
                bags = find_bags(root)
                if not bags:
                    raise UserError(f'{root}: no bag in it')
            except UserError as error:
                self._refuse(tally, str(error))
                continue
            for bag in bags:
                if self._closing.is_set():
                    return
                self._take(tally, bag)
        tally.text = 'done' if tally.bags else 'no readable bag'
        self._event('scanned', bags=tally.bags, transitions=tally.transitions,
                    refused=tally.refused)

    def _take(self, tally: Tally, bag: Path) -> None:
        try:
            transitions = bag_transitions(bag, self.contract)
            outcome = read_info(bag).custom_data.get('outcome', '')
        except UserError as error:
            self._refuse(tally, str(error))
            return
        tally.bags += 1
        tally.successes += outcome == 'success'
        tally.transitions += len(transitions)

    def _refuse(self, tally: Tally, reason: str) -> None:
        tally.refused += 1
        tally.last_reason = reason
        self._event('refused', WARN, reason=reason)

    def _describe(self) -> Health:
        tally = self._tally
        values = {key: value for key, value in vars(tally).items() if key != 'text'}
        return Health(tally.text, values, WARN if tally.refused else OK)

    def close(self) -> None:
        """End a scan after the bag at hand."""
        self._closing.set()
        if self._thread:
            self._thread.join()


def main() -> int:
    """Entry point."""
    return run(DemoIngest)


if __name__ == '__main__':
    sys.exit(main())
