"""Pictures of what RViz shows of a run, for docs/rviz.md: the graph runs, viewer.py looks.

    python benchmarks/screenshots.py --explorers runs/demo --demonstrator runs/demo-demonstrations

The policies are those of two finished demos, task puck_push; the twin plays the robot. Nothing is
staged but the person who takes over and, for a stop, a workspace that is too narrow.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
import contextlib
from copy import copy
import math
from pathlib import Path
import sys
import tempfile
import time

from robot_rl.bringup import command, graph, keep_apart
from robot_rl.contract import Contract, load_contract
from robot_rl.errors import EXIT_BAD_INPUT, UserError
from robot_rl.paths import contract_path
from robot_rl.processes import Supervisor
import yaml

ROOT = Path(__file__).parents[1]
RVIZ, IMAGES = ROOT / 'rviz' / 'robot_rl.rviz', ROOT / 'docs' / 'images'
TASK = 'puck_push'
NODES = ('sim_bridge', 'safety_stop', 'policy_server')
PATIENCE = 120.0        # s
VISITED = 4000          # places before the picture of explorers is taken
MOVING = 0.02           # m, of a plan that is worth a picture
DRAWN = 16.0            # s of a demonstrator, of which the least sure moment is shown
REACH, NARROW = 0.51, 0.25     # m, of the workspace to either side
WIDTH, HEIGHT = 840, 540
LARGEST = 150_000       # bytes of a picture
INSET = 250             # pixels, of a picture in the picture
CLOSE = {'Distance': 0.22, 'Pitch': 1.1}     # m, rad


class Studio:
    """The graph, and all that its topics for RViz have said."""

    def __init__(self, folder: Path, policies: dict[str, bytes], reach: float, **parameters):
        import rclpy
        from rclpy.signals import SignalHandlerOptions
        from robot_rl.ros.codecs import bytes_message
        from robot_rl.ros.operator import Operator
        from robot_rl.ros.qos import LATCHED, STREAM
        from sensor_msgs.msg import PointCloud2
        from std_msgs.msg import Float64MultiArray, UInt8MultiArray
        from viewer import View
        from visualization_msgs.msg import MarkerArray

        contract = write_contract(folder / 'contract.yaml', reach)
        specs = graph('sim', contract=str(contract.file), run_dir=str(folder), seed=2,
                      nodes=NODES, overrides={'policy_server': parameters,
                                              'sim_bridge': {'lockstep': parameters['lockstep']},
                                              'safety_stop': {'timeout': 10.0}})
        self.view = View()
        with contextlib.ExitStack() as stack:
            rclpy.init(signal_handler_options=SignalHandlerOptions.NO)
            stack.callback(rclpy.try_shutdown)
            self.operator = operator = Operator(lambda kind, values: None)
            stack.callback(operator.close)
            for kind, topic in ((MarkerArray, 'sim_bridge/markers'),
                                (MarkerArray, 'policy_server/markers'),
                                (PointCloud2, 'policy_server/visited')):
                operator.create_subscription(
                    kind, topic, lambda message, topic=topic: self.view.take(topic, message),
                    LATCHED)
            self.leader = operator.create_publisher(Float64MultiArray, 'leader', STREAM)
            stack.enter_context(Supervisor({spec.name: command(spec) for spec in specs},
                                           folder / 'logs'))
            publishers = [operator.create_publisher(UInt8MultiArray, topic, LATCHED)
                          for topic in policies]
            for publisher, data in zip(publishers, policies.values()):
                publisher.publish(bytes_message(data))
            self.until(lambda: {topic for topic, _, _ in self.view.markers} == {
                'sim_bridge/markers', 'policy_server/markers'} and all(
                    operator.number('policy_server', topic) > 0 for topic in policies))
            self._cleanup = stack.pop_all()

    def until(self, condition: Callable[[], object]) -> None:
        """Wait for what is to be seen."""
        if not self.operator.until(condition, PATIENCE):
            raise UserError(f'not seen in {PATIENCE:g} s; the nodes say {self.operator.status}')

    def marker(self, ns: str):
        """Return a marker of policy_server that is shown now, or None."""
        return self.view.markers.get(('policy_server/markers', ns, 0))

    def says(self, words: str) -> bool:
        """Whether the text has these words."""
        return self.marker('text') is not None and words in self.marker('text').text

    def shot(self):
        """Return what is shown now, to be drawn later."""
        kept = copy(self.view)
        kept.markers, kept.clouds = dict(kept.markers), dict(kept.clouds)
        return kept

    def close(self) -> None:
        """End the graph."""
        self._cleanup.close()


def write_contract(path: Path, reach: float) -> Contract:
    """Write contract TASK with people and a workspace that far, m, to either side."""
    document = yaml.safe_load(contract_path(TASK).read_text(encoding='utf-8'))
    document['safety'] = {
        'limits': {'tip.point.x': [-0.3, 0.51], 'tip.point.y': [-reach, reach]},
        'policy_late': 100,
        'intervention': {'topic': 'leader', 'type': 'std_msgs/msg/Float64MultiArray',
                         'timeout': 0.5}}
    path.write_text(yaml.safe_dump(document, sort_keys=False), encoding='utf-8')
    return load_contract(str(path))


def explore(studio: Studio):
    """Return explorers at work, after they have been to many places."""
    studio.operator.switch('policy_server/run', True)
    studio.until(lambda: any(cloud.width > VISITED for cloud in studio.view.clouds.values()))
    studio.until(lambda: studio.says('explorer') and not studio.says('after')
                 and studio.marker('action'))
    return studio.shot()


def demonstrate(studio: Studio):
    """Return the moment at which a demonstrator is least sure."""
    studio.operator.switch('policy_server/run', True)
    best, most = None, -1.0
    until = time.monotonic() + DRAWN

    def look() -> bool:
        nonlocal best, most
        plan = studio.marker('plan')
        unsure = 1.0 - min(color.g for color in plan.colors) if plan else -1.0
        if unsure > most and length(plan) > MOVING and studio.marker('action'):
            best, most = studio.shot(), unsure
        return time.monotonic() > until and best is not None

    studio.until(look)
    return best


def length(plan) -> float:
    """Return how far a plan leads, m."""
    first, last = plan.points[0], plan.points[-1]
    return math.dist((first.x, first.y, first.z), (last.x, last.y, last.z))


def intervene(studio: Studio):
    """Return a person who has taken over."""
    from std_msgs.msg import Float64MultiArray
    studio.operator.switch('policy_server/run', True)
    studio.until(lambda: studio.says('demonstrator'))

    def seen() -> bool:
        studio.leader.publish(Float64MultiArray(data=[-0.9, 0.7, 0.5]))
        return studio.says('a person acts') and studio.marker('action')

    studio.until(seen)
    return studio.shot()


def stop(studio: Studio):
    """Return the robot after it was about to leave the workspace."""
    studio.operator.switch('policy_server/run', True)
    studio.until(lambda: studio.says('stopped') and not studio.marker('action'))
    return studio.shot()


def only(folder: Path, pattern: str) -> bytes:
    """Return the newest file of that pattern; raise UserError where there is none."""
    found = sorted(folder.glob(pattern), key=lambda file: file.stat().st_mtime)
    if not found:
        raise UserError(f'{folder}: expected {pattern}, found none; it is the folder of a demo')
    return found[-1].read_bytes()


def main(arguments: list[str] | None = None) -> int:
    """Take the pictures; return 0, or 2 with the reason where a policy is missing."""
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--explorers', type=Path, default=Path('runs/demo'),
                        help='folder of a `robot_rl demo`')
    parser.add_argument('--demonstrator', type=Path, default=Path('runs/demo-demonstrations'),
                        help='folder of a `robot_rl demo-demonstrations`')
    parser.add_argument('--out', type=Path, default=IMAGES, help='folder of the pictures')
    parser.add_argument('--only', nargs='+', choices=('explore', 'demonstrate', 'intervention',
                                                      'stop'), help='these pictures')
    options = parser.parse_args(arguments)
    keep_apart()
    try:
        policies = {
            'explorers': only(options.explorers, 'explorers/*/explorers.safetensors'),
            'demonstrator': only(options.demonstrator,
                                 'demonstrators/*/*/demonstrator.safetensors')}
        options.out.mkdir(parents=True, exist_ok=True)
        for name, take, topic, parameters in (
                ('explore', explore, 'explorers',
                 {'mode': 'explore', 'lockstep': True, 'random_tail': False}),
                ('demonstrate', demonstrate, 'demonstrator',
                 {'mode': 'demonstrate', 'lockstep': False}),
                ('intervention', intervene, 'demonstrator',
                 {'mode': 'demonstrate', 'lockstep': False}),
                ('stop', stop, 'explorers',
                 {'mode': 'explore', 'lockstep': False, 'reach': NARROW})):
            if not options.only or name in options.only:
                shoot(options.out / f'rviz_{name}.png', take, {topic: policies[topic]},
                      parameters)
    except UserError as error:
        print(error, file=sys.stderr)
        return EXIT_BAD_INPUT
    return 0


def shoot(path: Path, take: Callable, policies: dict[str, bytes], parameters: dict) -> None:
    """Run the graph, take one picture and write it."""
    from PIL import Image, ImageOps
    from viewer import picture
    with tempfile.TemporaryDirectory(prefix='screenshots_') as folder:
        studio = Studio(Path(folder), policies, **{'reach': REACH, **parameters})
        try:
            shot = take(studio)
        finally:
            studio.close()
    image = picture(shot, RVIZ, WIDTH, HEIGHT)
    action = shot.markers.get(('policy_server/markers', 'action', 0))
    if parameters['mode'] == 'demonstrate':     # plans are short, and the robot is before them
        place = action.points[0]
        focus = {'X': place.x, 'Y': place.y, 'Z': place.z}
        shot.markers = {key: marker for key, marker in shot.markers.items()
                        if key[0] == 'policy_server/markers'}
        near = picture(shot, RVIZ, INSET, INSET, **CLOSE, **{'Focal Point': focus})
        image.paste(ImageOps.expand(near, 2, 'white'), (8, HEIGHT - INSET - 12))
    image.save(path, optimize=True)
    if path.stat().st_size > LARGEST:
        image.quantize(256, Image.Quantize.FASTOCTREE).save(path, optimize=True)
    print(f'{path}: {path.stat().st_size / 1000:.0f} kB')


if __name__ == '__main__':
    sys.exit(main())
