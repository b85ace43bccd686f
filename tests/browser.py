"""A real headless Chromium, driven over its own protocol: requests that leave this computer are aborted and kept."""

import base64
import itertools
import json
import os
import shutil
import subprocess
import tempfile
import time
import urllib.request
from contextlib import contextmanager
from pathlib import Path

import websocket

CHROMIUM = next(
    (found for name in ("chromium", "chromium-browser", "google-chrome") if (found := shutil.which(name))), None
)
HOME = ("http://127.0.0.1:", "ws://127.0.0.1:", "file:", "data:", "blob:", "about:")


class Page:
    """One tab. foreign: requests that were aborted; errors: what its console said was wrong."""

    def __init__(self, address):
        self.socket = websocket.create_connection(address, timeout=20, suppress_origin=True)
        self.numbers, self.foreign, self.errors = itertools.count(1), [], []
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")
        self.call("Fetch.enable", patterns=[{"urlPattern": "*"}])

    def call(self, method, **params):
        number = next(self.numbers)
        self.socket.send(json.dumps({"id": number, "method": method, "params": params}))
        while True:
            said = json.loads(self.socket.recv())
            if said.get("id") == number:
                assert "error" not in said, said
                return said["result"]
            self.heard(said)

    def heard(self, said):
        """Take in an event."""
        about, params = said.get("method"), said.get("params", {})
        if about == "Fetch.requestPaused":
            url, fine = params["request"]["url"], params["request"]["url"].startswith(HOME)
            if not fine:
                self.foreign.append(url)
            how = ("Fetch.continueRequest", {}) if fine else ("Fetch.failRequest", {"errorReason": "Aborted"})
            request = {"requestId": params["requestId"], **how[1]}
            self.socket.send(json.dumps({"id": next(self.numbers), "method": how[0], "params": request}))
        elif about == "Runtime.exceptionThrown":
            self.errors.append(params["exceptionDetails"].get("exception", {}).get("description", "exception"))
        elif about == "Runtime.consoleAPICalled" and params["type"] in ("error", "assert"):
            self.errors.append(str([one.get("value", one.get("description")) for one in params["args"]]))
        elif about == "Log.entryAdded" and params["entry"]["level"] == "error":
            self.errors.append(f"{params['entry']['text']} {params['entry'].get('url', '')}")
        elif about == "Network.webSocketCreated" and not params["url"].startswith(HOME):
            self.foreign.append(params["url"])

    def open(self, url):
        self.call("Page.navigate", url=url)

    def says(self, script):
        """The value of an expression in the page."""
        found = self.call("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in found, found
        return found["result"].get("value")

    def until(self, script, seconds=20.0):
        """Wait until an expression is true; returns the seconds that it took."""
        began = time.monotonic()
        while not self.says(f"(() => {{ try {{ return Boolean({script}) }} catch {{ return false }} }})()"):
            assert time.monotonic() - began < seconds, f"never true: {script}; {self.errors}; {self.text()[:2000]}"
            time.sleep(0.02)
        return time.monotonic() - began

    def text(self):
        """All text of the page, shadow trees included."""
        return self.says(
            "(() => { const all = (n) => n.nodeType === 3 ? n.data : ['STYLE', 'SCRIPT'].includes(n.nodeName) ? '' : "
            "[...(n.shadowRoot ? n.shadowRoot.childNodes : []), ...n.childNodes].map(all).join(' ');"
            "return all(document.body) })()"
        )

    def resized(self, width, height, mobile=False):
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=mobile)

    def press(self, key):
        """One key, as a keyboard sends it."""
        for kind in ("keyDown", "keyUp"):
            code = {"ArrowRight": 39, "ArrowLeft": 37, "Home": 36, "End": 35}[key]
            self.call("Input.dispatchKeyEvent", type=kind, key=key, code=key, windowsVirtualKeyCode=code)

    def drag(self, start, end, steps=8):
        """The mouse, pressed at one point and let go at another."""
        at = lambda n: {a: start[i] + (end[i] - start[i]) * n / steps for i, a in enumerate("xy")}  # noqa: E731
        self.call("Input.dispatchMouseEvent", type="mousePressed", button="left", buttons=1, clickCount=1, **at(0))
        for n in range(1, steps + 1):
            self.call("Input.dispatchMouseEvent", type="mouseMoved", button="left", buttons=1, **at(n))
        self.call("Input.dispatchMouseEvent", type="mouseReleased", button="left", clickCount=1, **at(steps))

    def picture(self, path):
        Path(path).write_bytes(
            base64.b64decode(self.call("Page.captureScreenshot", captureBeyondViewport=True)["data"])
        )


@contextmanager
def browser():
    """A tab of a fresh browser without any profile; ended afterwards."""
    folder = tempfile.mkdtemp(prefix="meltpoint-browser-")
    given = [
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--disable-dev-shm-usage",
        "--no-first-run",
        "--hide-scrollbars",
    ]
    given += ["--disable-background-networking", "--disable-component-update", "--disable-sync", "--mute-audio"]
    given += ["--remote-debugging-port=0", f"--user-data-dir={folder}", "about:blank"]
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    process = subprocess.Popen([CHROMIUM, *given], **quiet, env={**os.environ, "HOME": folder})
    try:
        port = first_line(Path(folder) / "DevToolsActivePort")
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/json/list", timeout=20) as answer:
            tabs = json.load(answer)
        page = Page(next(tab["webSocketDebuggerUrl"] for tab in tabs if tab["type"] == "page"))
        yield page
        page.socket.close()
    finally:
        process.terminate()
        process.wait(20)
        shutil.rmtree(folder, ignore_errors=True)


def first_line(path):
    """The first line of a file that is still to be written."""
    for _ in range(600):
        if path.is_file() and (lines := path.read_text().splitlines()):
            return lines[0]
        time.sleep(0.05)
    raise AssertionError("the browser did not start within half a minute")
