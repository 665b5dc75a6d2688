"""Brokers, modems, nodes and gateways for the tests here."""

import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))  # gateway_*.py: shared by the tests here

from gateway_bench import Bench  # noqa: E402
from gateway_brokers import Mosquitto  # noqa: E402
from gateway_world import World  # noqa: E402


@pytest.fixture
def make_bench(tmp_path):
    """A function that makes benches with settings of their own."""
    benches = []

    def make(**settings):
        bench = Bench(tmp_path, **settings)
        benches.append(bench)
        return bench

    yield make
    for bench in benches:
        bench.close()


@pytest.fixture
def bench(make_bench):
    """A core on the bench."""
    return make_bench()


@pytest.fixture
def make_mosquitto(tmp_path):
    """A function that makes brokers; they are not yet started."""
    brokers = []

    def make(*lines):
        brokers.append(Mosquitto(tmp_path, *lines))
        return brokers[-1]

    yield make
    for broker in brokers:
        broker.stop()


@pytest.fixture
def world(tmp_path, make_mosquitto):
    """A broker, a modem on a serial line, a gateway process that is not yet started, and a node."""
    world = World(tmp_path, make_mosquitto("persistence true"))
    yield world
    world.close()
