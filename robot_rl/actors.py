"""Who acted in a control tick: a name for people, and a colour that is the same everywhere."""

from __future__ import annotations

from colorsys import hsv_to_rgb
from dataclasses import dataclass

from robot_rl.data.steps import Mode, Source, Step

GOLDEN = 0.618034       # of a turn of hue: neighbours in number are far apart in colour

LEARNER = 0.93, 0.95, 0.97
DEMONSTRATOR = 1.0, 0.8, 0.2
SIM_OPTIMAL = 0.65, 0.45, 1.0
PERSON = 1.0, 0.25, 0.65
RANDOM = 0.5, 0.52, 0.56
STOPPED = 1.0, 0.2, 0.15


@dataclass(frozen=True)
class Actor:
    """Who acts."""

    name: str
    color: tuple[float, float, float]       # red, green, blue: 0 to 1


def explorer_color(number: int) -> tuple[float, float, float]:
    """Return the colour of an explorer, by its number in the set."""
    return hsv_to_rgb((0.55 + GOLDEN * number) % 1.0, 0.7, 0.95)


def actor_of(step: Step) -> Actor:
    """Return who chose the executed action."""
    if step.source is Source.SAFETY:
        return Actor('nobody', STOPPED)
    if step.source is Source.HUMAN:
        return Actor('a person', PERSON)
    version = step.policy_version
    if step.source is Source.RANDOM:
        after = f', after explorer {version}' if step.mode is Mode.EXPLORE else ''
        return Actor(f'chance{after}', RANDOM)
    if step.mode is Mode.EXPLORE:
        return Actor(f'explorer {version}', explorer_color(version))
    name, color = {Mode.DEMONSTRATE: ('demonstrator', DEMONSTRATOR),
                   Mode.TRANSFER: ('sim-optimal policy', SIM_OPTIMAL)}.get(
                       step.mode, ('learner', LEARNER))
    return Actor(f'{name}, version {version}', color)
