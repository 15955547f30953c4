"""RViz with the shipped view of one graph; closing RViz ends the launch."""

from __future__ import annotations

from launch import LaunchDescription
from launch.actions import DeclareLaunchArgument, Shutdown
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import Node
from launch_ros.parameter_descriptions import ParameterValue

from robot_rl.paths import shared_file

# The view names absolute topics, as RViz saves them; relative ones follow the graph's namespace.
REMAPPINGS = [(f'/{topic}', topic) for topic in (
    'tf', 'tf_static', 'robot_description', 'sim_bridge/markers', 'policy_server/markers',
    'policy_server/visited')]


def generate_launch_description():
    sim_time = ParameterValue(LaunchConfiguration('use_sim_time'), value_type=bool)
    return LaunchDescription([
        DeclareLaunchArgument(
            'rviz_config', default_value=str(shared_file('rviz/robot_rl.rviz') or ''),
            description='view to open'),
        DeclareLaunchArgument(
            'namespace', default_value='', description='namespace of the graph to watch'),
        DeclareLaunchArgument(
            'fixed_frame', default_value='world',
            description="frame to look from: the contract's display.frame"),
        DeclareLaunchArgument(
            'use_sim_time', default_value='true', choices=['true', 'false', 'True', 'False'],
            description='follow /clock; false on the robot'),
        Node(
            package='rviz2', executable='rviz2', namespace=LaunchConfiguration('namespace'),
            arguments=['-d', LaunchConfiguration('rviz_config'),
                       '-f', LaunchConfiguration('fixed_frame')],
            parameters=[{'use_sim_time': sim_time}], remappings=REMAPPINGS,
            output='screen', on_exit=Shutdown(reason='RViz was closed')),
    ])
