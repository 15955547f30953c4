"""What people ask of policy_server: services, buttons, and verdicts on an episode."""

from __future__ import annotations

from diagnostic_msgs.msg import DiagnosticArray
from robot_rl.agenda import Agenda, Answer, DISCARDED
from robot_rl.ros.codecs import status_values
from robot_rl.ros.qos import STREAM
from robot_rl.safety.gate import E_STOP
from std_srvs.srv import SetBool, Trigger


class Requests:
    """Serves them; what is asked goes to the agenda, and at once to the server where it acts."""

    def __init__(self, server, agenda: Agenda):
        self._server, self._agenda = server, agenda
        self.label = ''         # a person's success or failure for this episode
        # Not the latched past: a verdict is on the episode that runs now.
        server.make('subscription', DiagnosticArray, 'labels', self._on_verdict, STREAM)
        server.make('service', SetBool, '~/run', self._on_run)
        for name, answer in (('~/evaluate_and_keep', self._evaluate),
                             ('~/stop', lambda: server.stop('operator')),
                             ('~/clear_stop', self._clear_stop)):
            server.make('service', Trigger, name, lambda request, response, answer=answer: (
                _answered(response, answer())))

    def press(self, name: str) -> None:
        """Take a button that a person has pressed."""
        if name == 'start':
            answer = self._run()
            if not answer.success:
                self._server.event('start_refused', reason=answer.message)
        elif self._server.running and name != 'discard':
            self.label = name
        elif self._server.running and not self._server.guard.discard():
            self._server.abort(DISCARDED)       # else the recorder says when it is done

    def _on_verdict(self, message: DiagnosticArray) -> None:
        """Take what a person has told the recorder."""
        if not self._server.running:
            return
        for _, kind, _ in status_values(message):
            if kind in ('success', 'failure'):
                self.label = kind
            elif kind == 'discard':
                self._server.abort(DISCARDED)

    def _on_run(self, request, response):
        if request.data:
            return _answered(response, self._run())
        answer = self._agenda.run(False, self._server.settings, self._server.active)
        self._server.cancel_start()
        return _answered(response, answer)

    def _run(self) -> Answer:
        server = self._server
        return self._hindered() or self._agenda.run(
            True, server.settings, server.active, server.reset.waits)

    def _evaluate(self) -> Answer:
        server = self._server
        return self._hindered() or self._agenda.evaluate_and_keep(
            server.settings, server.active, server.starting or server.running)

    def _hindered(self) -> Answer | None:
        """Return why no episode may be asked for, None where the agenda decides."""
        reason = self._server.guard.reason(self._server.look(), E_STOP)
        return Answer(False, reason) if reason and not self._agenda.stopped else None

    def _clear_stop(self) -> Answer:
        lasts = self._server.guard.lasts(self._agenda.stopped, self._server.look())
        answer = self._agenda.clear_stop(lasts)
        self._server.health.publish()
        return answer


def _answered(response, answer: Answer):
    response.success, response.message = answer
    return response
