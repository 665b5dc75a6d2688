"""Makes the pictures of the dashboard in docs/: `.venv/bin/python tests/gateway/screenshots.py docs/images`."""

from __future__ import annotations

import base64
import contextlib
import sys
import tempfile
import time
from pathlib import Path

import gateway_plant
from gateway_brokers import free_port, wait_for
from gateway_browser import open_browser, wait_until
from gateway_world import World

NODES = "document.querySelectorAll('.node').length == 24"
EVENTS = "document.querySelectorAll('tbody tr').length > 20"
CHARTS = "document.querySelectorAll('.chart').length == 6"


class _Away:
    def __init__(self) -> None:
        self.url = f"mqtt://127.0.0.1:{free_port()}"


def main(target: Path) -> None:
    """A plant of 24 nodes, three of them in alarm, as its people see it."""
    with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as stack:
        world = World(Path(folder), _Away())  # type: ignore[arg-type]
        stack.callback(world.close)
        plant = gateway_plant.fill(world.database, 24, int(time.time() * 1000))
        port = free_port()
        world.dashboard = [f'listen = "127.0.0.1:{port}"']
        world.write_config()
        world.config.write_text(world.config.read_text().replace('"hall"', '"hall"\nlocation = "Plant 2"', 1))
        gateway = world.start_gateway()
        wait_for(lambda: "dashboard: http" in gateway.said())
        time.sleep(2)  # the first health document
        node = f"#/node/{plant[2]['eui']}"
        telephone = {"width": 390, "height": 844, "phone": True}
        for name, path, ready, options in (
            ("nodes", "#/", NODES, {}),
            ("node", node, CHARTS, {}),
            ("dark", node, CHARTS, {"dark": True}),
            ("events", "#/events", EVENTS, {"height": 900}),
            ("phone", "#/", NODES, telephone),
            ("phone-node", node, CHARTS, {**telephone, "dark": True}),
        ):
            browser = open_browser(**options)
            try:
                browser.get(f"http://127.0.0.1:{port}/{path}")
                wait_until(browser, ready)
                wait_until(browser, "document.getElementById('connection').textContent == 'live'")
                time.sleep(0.5)
                size = browser.execute_script("return [innerWidth, document.documentElement.scrollHeight]")
                whole = min(size[1], options.get("height", 1800 if ready is CHARTS else 640))
                clip = {"x": 0, "y": 0, "width": size[0], "height": whole, "scale": 1}
                shot = browser.execute_cdp_cmd("Page.captureScreenshot", {"clip": clip, "captureBeyondViewport": True})
                (target / f"dashboard-{name}.png").write_bytes(base64.b64decode(shot["data"]))
                print(f"dashboard-{name}.png")
            finally:
                browser.quit()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
