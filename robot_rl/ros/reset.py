"""The contract's reset service, called between episodes."""

from __future__ import annotations

from collections.abc import Callable

from robot_rl.contract import Episode
from robot_rl.ros.codecs import interface_class
from robot_rl.ros.lifecycle import ManagedNode


class Reset:
    """Puts the world back; `on_done(refusal)` tells that it has, or why it has not.

    Only the newest call counts: an answer to one that was given up is not heard.
    """

    def __init__(self, node: ManagedNode, episode: Episode, on_done: Callable[[str], None]):
        self._on_done, self._pending = on_done, None
        self.client = None      # of the service; None: somebody does it by hand
        self._name = ''
        if episode.reset_service:
            self.client = node.make('client', interface_class(episode.reset_type),
                                    episode.reset_service)
            self._name = node.resolve_service_name(episode.reset_service)

    @property
    def ready(self) -> bool:
        """Whether there is a service, and it can be called."""
        return self.client is not None and self.client.service_is_ready()

    @property
    def waits(self) -> str:
        """Return which service is waited for, '' where none is."""
        if self.client is None or self.ready:
            return ''
        return f'waiting for the reset service {self._name}: nobody serves it'

    def begin(self) -> None:
        """Call the service."""
        self._pending = self.client.call_async(self.client.srv_type.Request())
        self._pending.add_done_callback(self._on_answer)

    def give_up(self) -> None:
        """Hear no answer any more."""
        self._pending = None

    def _on_answer(self, future) -> None:
        if future is not self._pending:
            return
        response = future.result()
        refused = not getattr(response, 'success', True)        # Empty has no verdict
        self._on_done(f'reset_failed: {response.message}' if refused else '')
