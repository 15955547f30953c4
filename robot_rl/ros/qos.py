"""The quality-of-service profiles in use, each named once (REP 2003)."""

from rclpy.qos import DurabilityPolicy, HistoryPolicy, QoSProfile, ReliabilityPolicy


def _profile(depth: int, reliable: bool = True, latched: bool = False) -> QoSProfile:
    return QoSProfile(
        history=HistoryPolicy.KEEP_LAST, depth=depth,
        reliability=ReliabilityPolicy.RELIABLE if reliable else ReliabilityPolicy.BEST_EFFORT,
        durability=(DurabilityPolicy.TRANSIENT_LOCAL if latched
                    else DurabilityPolicy.VOLATILE))


SENSOR = _profile(10, reliable=False)       # consumers of drivers
DRIVER = _profile(10)                       # publishers that stand for drivers
COMMAND = _profile(1)                       # the newest action only
STREAM = _profile(1000)                     # transitions, everything that is recorded
STEPS = _profile(1000, latched=True)        # who joins late gets the last ones too
ANY = _profile(1000, reliable=False)        # what is recorded of a publisher that offers less
LATCHED = _profile(1, latched=True)         # policies and status: late joiners get the last one
EVENTS = _profile(100, latched=True)
