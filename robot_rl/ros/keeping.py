"""What an evaluation of policy_server kept: on ~/kept, and in a folder for after a restart."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from robot_rl.casting import Casting
from robot_rl.errors import refusal, UserError
from robot_rl.evaluation import Kept
from robot_rl.kept import load_kept, save_kept
from robot_rl.ros.codecs import bytes_message
from robot_rl.ros.qos import LATCHED
from std_msgs.msg import UInt8MultiArray


class Keeping:
    """Publishes, writes and restores it; `server` is a policy_server."""

    def __init__(self, server, casting: Casting):
        self._server, self._casting = server, casting
        self._publisher = server.create_publisher(UInt8MultiArray, '~/kept', LATCHED)
        # The heartbeat does not wait for a disk; the process does, at its end.
        self._disk = ThreadPoolExecutor(1)
        self._file = ''         # where it is, or why it is nowhere

    def restore(self) -> None:
        """Take what an earlier process kept; refuse what is damaged or of another contract."""
        folder = self._server.settings.kept_dir
        if not folder or self._casting.kept:
            return
        try:
            kept = load_kept(Path(folder), self._server.contract)
        except (UserError, OSError) as error:
            self._server.event('policy_refused', reason=error)
            return
        if kept:
            self._casting.kept, self._file = kept, folder
            self._publish(kept)

    def keep(self, kept: Kept | None) -> None:
        """Take the outcome of an evaluation, if there is one."""
        if not kept:
            return
        self._publish(kept)
        if self._server.settings.kept_dir:
            stamp = self._server.get_clock().now().nanoseconds
            self._disk.submit(self._write, kept, stamp)

    def figures(self) -> dict:
        """Return what a status shows."""
        return {'kept_file': self._file} if self._file else {}

    def _publish(self, kept: Kept) -> None:
        self._publisher.publish(bytes_message(kept.artifact.data))

    def _write(self, kept: Kept, stamp: int) -> None:
        try:
            self._file = str(save_kept(Path(self._server.settings.kept_dir), kept, stamp))
        except OSError as error:
            self._file = refusal(error)
            self._server.get_logger().warning(f'kept_dir: {self._file}')
