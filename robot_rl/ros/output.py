"""What policy_server sends in a control tick: the action, its step record, a scene, and events."""

from __future__ import annotations

from collections.abc import Callable

from robot_rl.contract import Contract
from robot_rl.rollout import Rollout, Tick
from robot_rl.ros.codecs import action_message, interface_class, step_message
from robot_rl.ros.health import Health
from robot_rl.ros.lifecycle import ManagedNode
from robot_rl.ros.qos import COMMAND, STEPS
from robot_rl.ros.scene import Scene
from std_msgs.msg import Float64MultiArray


class Output:
    """Publishes ticks; tells `event(kind, **values)` of ends and of changes of hands.

    `ask()` says how the node is.
    """

    def __init__(self, node: ManagedNode, contract: Contract, event: Callable[..., None],
                 ask: Callable[[], Health]):
        self._contract, self._event = contract, event
        action = contract.action
        self._action = node.make('publisher', interface_class(action.type), action.topic, COMMAND)
        self._steps = node.make('publisher', Float64MultiArray, '~/steps', STEPS)
        self.scene = Scene(node, contract, ask)
        self._intervening = False       # a person acted in the last tick
        self._last_end: dict = {}       # how the last episode ended

    def figures(self) -> dict:
        """Return how the last episode ended, for the status."""
        return {f'last_{key}': value for key, value in self._last_end.items()}

    def send(self, tick: Tick, rollout: Rollout, now: int) -> None:
        """Publish what a tick decided at `now` ns."""
        step = tick.step
        # The robot waits for the action, nobody for the record: a death between the two costs one
        # transition, as the other order would save one.
        self._action.publish(action_message(self._contract.action, step.executed, now,
                                            1.0 / self._contract.control_rate))
        self._steps.publish(step_message(step))
        if rollout.intervening != self._intervening:
            self._intervening = rollout.intervening
            self._event(f'intervention_{"began" if self._intervening else "ended"}',
                        episode=step.episode, index=step.index)
        self.scene.saw(tick, rollout.policy)
        if not tick.ended:
            return
        self._last_end = {'episode': step.episode, 'reason': tick.ended, 'steps': step.index,
                          'success': step.success, 'mode': step.mode.name.lower(),
                          'policy_version': step.policy_version}
        self._event('end', **self._last_end)
