"""Robot learning from two imperfect priors, on ROS 2."""

__version__ = '0.1.0'
