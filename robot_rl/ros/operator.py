"""An operator's view of a running graph: what the nodes say, and calls of their services."""

from __future__ import annotations

from collections.abc import Callable
import time

from diagnostic_msgs.msg import DiagnosticArray
from rcl_interfaces.srv import SetParameters
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.parameter import Parameter
from robot_rl.errors import UserError
from robot_rl.ros.codecs import status_values
from robot_rl.ros.qos import EVENTS, LATCHED
from std_msgs.msg import UInt8MultiArray
from std_srvs.srv import SetBool, Trigger

NODES = ('sim_bridge', 'safety_stop', 'policy_server', 'data_recorder', 'sac_learner',
         'demo_ingest')
SERVICES = {
    'policy_server/set_parameters': SetParameters, 'policy_server/run': SetBool,
    'policy_server/stop': Trigger, 'policy_server/clear_stop': Trigger,
    'policy_server/evaluate_and_keep': Trigger, 'safety_stop/clear_stop': Trigger,
    'sac_learner/train': SetBool, 'sac_learner/save_checkpoint': Trigger,
    'sim_bridge/train_explorers': Trigger, 'demo_ingest/fit': Trigger}
CALL_TIMEOUT = 30.0     # s


class Operator(Node):
    """Collects status, events and the newest policies; `until` spins while it waits."""

    def __init__(self, on_event: Callable[[str, dict[str, str]], None]):
        super().__init__('operator')
        self.status: dict[str, dict[str, str]] = {}     # node -> its figures, and `text`
        self.actor, self.kept = b'', b''                # newest artifacts
        self._on_event = on_event
        self._executor = SingleThreadedExecutor()
        self._executor.add_node(self)
        # Before the subscriptions: endpoints are made known in order, so a node whose status comes
        # knows these clients too. rmw_fastrtps drops the answer to one it has not found in 0.1 s.
        self._by_service = {name: self.create_client(kind, name)
                            for name, kind in SERVICES.items()}
        for name in NODES:
            self.create_subscription(
                DiagnosticArray, f'{name}/status',
                lambda message, name=name: self._on_status(name, message), LATCHED)
        self.create_subscription(DiagnosticArray, 'policy_server/events', self._on_events, EVENTS)
        for topic, name in (('actor', 'actor'), ('policy_server/kept', 'kept')):
            self.create_subscription(
                UInt8MultiArray, topic,
                lambda message, name=name: setattr(self, name, bytes(message.data)), LATCHED)

    def _on_status(self, name: str, message: DiagnosticArray) -> None:
        for _, text, values in status_values(message)[:1]:     # not its parts
            self.status[name] = {**values, 'text': text}

    def _on_events(self, message: DiagnosticArray) -> None:
        for _, kind, values in status_values(message):
            self._on_event(kind, values)

    def number(self, node: str, key: str) -> int:
        """Return a whole figure of a node's last status, 0 before there is one."""
        text = self.status.get(node, {}).get(key, '0')
        return int(text) if text.lstrip('-').isdecimal() else 0

    def until(self, condition: Callable[[], bool], timeout: float = float('inf'),
              meanwhile: Callable[[], None] = lambda: None) -> bool:
        """Spin until the condition holds; return False when `timeout` s were not enough."""
        deadline = time.monotonic() + timeout
        while not condition():
            if time.monotonic() > deadline:
                return False
            self._executor.spin_once(timeout_sec=0.1)
            meanwhile()
        return True

    def switch(self, service: str, on: bool) -> None:
        """Call a SetBool service; raise UserError with the reason of a refusal."""
        self._call(service, SetBool.Request(data=on))

    def trigger(self, service: str) -> None:
        """Call a Trigger service; raise UserError with the reason of a refusal."""
        self._call(service, Trigger.Request())

    def configure(self, node: str, **values) -> None:
        """Set parameters of a node; raise UserError with the reason of a refusal."""
        self._call(f'{node}/set_parameters', SetParameters.Request(parameters=[
            Parameter(name, value=value).to_parameter_msg() for name, value in values.items()]))

    def _call(self, service: str, request) -> None:
        client = self._by_service[service]
        if not self.until(client.service_is_ready, CALL_TIMEOUT):
            raise UserError(f'{service}: not there after {CALL_TIMEOUT:g} s; is its node up?')
        future = client.call_async(request)
        if not self.until(future.done, CALL_TIMEOUT):
            # With its client the request is gone too: it must not be done later.
            self.destroy_client(client)
            self._by_service[service] = self.create_client(SERVICES[service], service)
            raise UserError(f'{service}: no answer in {CALL_TIMEOUT:g} s')
        response = future.result()
        if isinstance(request, SetParameters.Request):
            refusals = [result.reason for result in response.results if not result.successful]
        else:
            refusals = [] if response.success else [response.message]
        if refusals:
            raise UserError(f'{service}: {"; ".join(refusals)}')

    def close(self) -> None:
        """Leave the graph."""
        self._executor.shutdown()
        self.destroy_node()
