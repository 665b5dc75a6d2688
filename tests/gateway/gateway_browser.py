"""A real Chromium, driven by Selenium."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from typing import Any

import pytest
from gateway_brokers import wait_for


def open_browser(*, width: int = 1280, height: int = 900, dark: bool = False, phone: bool = False) -> Any:
    """Skips where Debian's chromium and chromium-driver are not installed."""
    chromium, driver = shutil.which("chromium"), shutil.which("chromedriver")
    if not chromium or not driver:
        pytest.skip(
            "no Chromium here, so the dashboard is not looked at: sudo apt-get install chromium chromium-driver"
        )
    from selenium import webdriver
    from selenium.webdriver.chrome.service import Service

    options = webdriver.ChromeOptions()
    options.binary_location = chromium
    for argument in ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--hide-scrollbars"):
        options.add_argument(argument)
    options.add_argument(f"--window-size={width},{height}")
    if phone:
        options.add_experimental_option(
            "mobileEmulation", {"deviceMetrics": {"width": width, "height": height, "pixelRatio": 2, "touch": True}}
        )
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    browser = webdriver.Chrome(options=options, service=Service(driver))
    scheme = "dark" if dark else "light"
    browser.execute_cdp_cmd(
        "Emulation.setEmulatedMedia", {"features": [{"name": "prefers-color-scheme", "value": scheme}]}
    )
    return browser


def text_of(browser: Any, selector: str) -> str:
    return str(browser.execute_script("return document.querySelector(arguments[0])?.innerText ?? ''", selector))


def wait_until(browser: Any, script: str, seconds: float = 10) -> Any:
    """What a line of JavaScript returns once it is true."""
    look: Callable[[], Any] = lambda: browser.execute_script(f"return {script}")  # noqa: E731
    return wait_for(look, seconds, f"for {script}")


def complaints(browser: Any) -> list[str]:
    """What the browser's console says."""
    return [line["message"] for line in browser.get_log("browser") if line["level"] in {"SEVERE", "WARNING"}]
