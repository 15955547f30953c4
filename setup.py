"""Package metadata; read by colcon, by ROS build farms and by pip."""

from glob import glob

from setuptools import find_packages, setup

NAME = 'robot_rl'
NODES = ('policy_server', 'safety_stop', 'data_recorder', 'sac_learner', 'sim_bridge',
         'demo_ingest')

setup(
    name=NAME,
    version='0.1.0',
    description='Robot learning from a simulator and demonstrations, on ROS 2',
    maintainer='robot_rl maintainers',
    maintainer_email='maintainers@robot-rl.example',
    license='Apache-2.0',
    python_requires='>=3.11',
    packages=find_packages(include=[NAME, f'{NAME}.*']),
    package_data={f'{NAME}.tasks': ['*.xml']},
    data_files=[
        ('share/ament_index/resource_index/packages', [f'resource/{NAME}']),
        (f'share/{NAME}', ['package.xml']),
        (f'share/{NAME}/config', glob('config/*.yaml')),
        (f'share/{NAME}/config/robots', glob('config/robots/*.yaml')),
        (f'share/{NAME}/config/sros2', glob('config/sros2/*.xml')),
        (f'share/{NAME}/launch', glob('launch/*.launch.py')),
        (f'share/{NAME}/rviz', glob('rviz/*.rviz')),
    ],
    zip_safe=False,
    install_requires=[
        'matplotlib>=3.6',
        'mcap>=1.6',
        'mujoco>=3.2',
        'numpy>=1.26',
        'pillow>=9.0',
        'pyyaml>=6.0',
        'rosbags>=0.11',
        'safetensors>=0.4',
        'torch>=2.4',
        'transforms3d>=0.4.2',
    ],
    extras_require={
        # rclpy and messages as wheels, for machines without a ROS distribution.
        'ros': ['ros-kilted-common-interfaces', 'ros-kilted-rclpy[fastrtps]'],
        # Tab completion of `robot_rl`; ROS 2 has it for `ros2`.
        'completion': ['argcomplete>=3'],
        # `robot_rl export` and `robot_rl import robomimic`.
        'robomimic': ['h5py>=3.10'],
        'lerobot': ['pyarrow>=16'],
        # `make docs`; 2.0 reads another configuration and has no hooks.
        'docs': ['mkdocs>=1.6,<2'],
        # Peers of `make bench`, SBX brings JAX; worlds of sample_efficiency.
        'bench': ['gymnasium[mujoco]>=1.0', 'sbx-rl>=0.20', 'stable-baselines3>=2.4'],
        # Experiments on a cluster: robot_rl/engine.py.
        'ray': ['ray>=2.40'],
        'test': [
            'argcomplete>=3',
            'colcon-common-extensions',
            'flake8',
            'flake8-blind-except',
            'flake8-builtins',
            'flake8-class-newline',
            'flake8-comprehensions',
            'flake8-deprecated',
            'flake8-docstrings',
            'flake8-import-order',
            'flake8-quotes',
            'h5py>=3.10',
            'hypothesis',
            'pyarrow>=16',
            'pytest>=7,<9',         # launch_testing fails to load under 9
            'pytest-timeout',
            'pytest-xdist',         # make test runs files side by side
            'scipy',
            'setuptools>=70.1,<80',     # colcon test silently runs nothing under 80
            'tensorboard>=2.16',        # reads what curves.py writes
        ],
    },
    entry_points={
        'console_scripts': [f'{node} = {NAME}.ros.start:{node}' for node in NODES] + [
            f'{NAME} = {NAME}.cli:main'],
    },
)
