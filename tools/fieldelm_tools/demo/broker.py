"""The embedded MQTT broker (amqtt): `python -m fieldelm_tools.demo.broker PORT`, on the loopback interface only.

It is there so that the demo needs nothing else. For work use Mosquitto or another real one.
"""

import asyncio
import contextlib
import logging
import signal
import sys


async def serve(port: int) -> None:
    """Serve until SIGTERM."""
    from amqtt.broker import Broker

    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    broker = Broker(
        {
            "listeners": {"default": {"type": "tcp", "bind": f"127.0.0.1:{port}"}},
            "plugins": {"amqtt.plugins.authentication.AnonymousAuthPlugin": {"allow_anonymous": True}},
        }
    )
    await broker.start()
    await stop.wait()
    with contextlib.suppress(asyncio.TimeoutError):
        await asyncio.wait_for(broker.shutdown(), 3)


if __name__ == "__main__":
    logging.basicConfig(level=logging.WARNING)
    asyncio.run(serve(int(sys.argv[1])))
