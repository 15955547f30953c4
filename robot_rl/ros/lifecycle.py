"""A lifecycle node whose transitions log their own failures: rclpy swallows the traceback."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
import traceback

from rclpy.clock import Clock, ClockType
from rclpy.lifecycle import LifecycleNode, LifecycleState, TransitionCallbackReturn
from robot_rl.ros.mismatches import FewEvents


class ManagedNode(FewEvents, LifecycleNode):
    """Subclasses override `configure`, `activate` and `deactivate`.

    What `configure` creates with `make` ends with the cleanup, and where `configure` fails.
    """

    def __init__(self, name: str):
        super().__init__(name)
        self._made: list[Callable[[], None]] = []      # destroys one thing each
        self.wall_clock = Clock(clock_type=ClockType.STEADY_TIME)

    def configure(self) -> None:
        """Create topics, services and timers; warm up."""

    def activate(self) -> None:
        """Allow the node to act."""

    def deactivate(self, reason: str) -> None:
        """Stop acting, in the safe way."""

    def make(self, kind: str, *arguments, **options):
        """Create a publisher, subscription, service, client or timer for until the cleanup."""
        item = getattr(self, f'create_{kind}')(*arguments, **options)
        self._made.append(partial(getattr(self, f'destroy_{kind}'), item))
        return item

    def _destroy_made(self) -> None:
        while self._made:
            self._made.pop()()

    def autostart(self) -> None:
        """Configure and activate by itself as soon as the executor spins."""
        def start():
            self.destroy_timer(timer)
            if self.trigger_configure() is TransitionCallbackReturn.SUCCESS:
                self.trigger_activate()

        timer = self.create_timer(0.0, start, clock=self.wall_clock)

    def on_configure(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Enter inactive from unconfigured."""
        result = self._guarded(self.configure, super().on_configure, state)
        if result is not TransitionCallbackReturn.SUCCESS:
            self._destroy_made()
        return result

    def on_activate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Enter active from inactive."""
        return self._guarded(self.activate, super().on_activate, state)

    def on_deactivate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Enter inactive from active."""
        return self._guarded(lambda: self.deactivate('deactivated'), super().on_deactivate, state)

    def on_cleanup(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Enter unconfigured from inactive."""
        return self._guarded(self._destroy_made, super().on_cleanup, state)

    def on_shutdown(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Enter finalized from any state."""
        return self._guarded(lambda: self.deactivate('shutdown'), super().on_shutdown, state)

    def _guarded(self, work: Callable[[], None], parent, state) -> TransitionCallbackReturn:
        try:
            work()
        except Exception:  # noqa: B902, the transition must report any failure
            self.get_logger().error(traceback.format_exc())
            return TransitionCallbackReturn.FAILURE
        return parent(state)
