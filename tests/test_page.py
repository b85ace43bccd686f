"""The pages in a real browser: loaded, dragged, restored; no other computer is asked, and no error logged."""

import os
import re
import subprocess
import sys
import time

import pytest

from sim import sweep
from sim.cli.places import write_file
from sim.explorer.offline import offline_page
from tests.random_scenarios import plain

pytest.importorskip("websocket", reason="needs websocket-client, which drives the browser")
from tests.browser import CHROMIUM, browser

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium here: 'make test-page' on Debian installs it")


@pytest.fixture(scope="module")
def tab():
    with browser() as page:
        yield page


@pytest.fixture(scope="module")
def served():
    """The address at which the command serves its page, on a free port."""
    pytest.importorskip("panel", reason="needs the extra 'explore'")
    command = [sys.executable, "-m", "sim.cli.main", "explore", "steady", "--port", "0", "--no-browser"]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, text=True, env={**os.environ, "PYTHONUNBUFFERED": "1"}
    ) as process:
        try:
            yield re.search(r"http://127\.0\.0\.1:\d+/", process.stdout.readline())[0]
        finally:
            process.kill()


def test_the_offline_page_is_moved_by_keyboard_and_restored_from_its_address(tab, tmp_path):
    table = sweep(plain(), {"pools.gpus.gpus": "1,2,10"}, store=False, processes=1)
    write_file(table, tmp_path / "g.parquet")
    (tmp_path / "p.html").write_text(offline_page(tmp_path / "g.parquet"), encoding="utf-8")
    address = f"file://{tmp_path}/p.html"
    tab.resized(375, 800, mobile=True)
    tab.open(f"{address}#pools.gpus.gpus=7&no=1")
    tab.until("document.getElementById('said').textContent.includes('ALIVE')")
    assert "'7' in the address was not simulated; there are 1, 2, 10" in tab.text()
    assert "'no' in the address is no setting" in tab.text()
    assert tab.says("document.documentElement.scrollWidth") <= 375
    before = tab.says("document.getElementById('table').textContent")
    tab.says("document.getElementById('key-0').focus()")
    tab.press("End")
    tab.until("document.getElementById('value-0').textContent.trim() === '10'")
    assert tab.says("document.getElementById('table').textContent") != before
    assert tab.says("location.hash") == "#pools.gpus.gpus=10&playbook=none"
    tab.says("document.getElementById('hold').click()")
    tab.press("Home")
    tab.until("document.getElementById('said').textContent.includes('Held')")
    tab.says("window.before = true")
    tab.call("Page.reload")
    tab.until("!window.before && document.getElementById('value-0').textContent.trim() === '1'")
    assert tab.says("document.querySelectorAll('input:not([id]), svg[role=img]:not([aria-labelledby])').length") == 0
    assert (tab.foreign, tab.errors) == ([], [])


DEEP = """(() => { const found = []; const look = (n) => { for (const one of n.querySelectorAll('*')) {
  if (one.matches('%s')) found.push(one); if (one.shadowRoot) look(one.shadowRoot); } };
  look(document); return found; })()"""


def test_the_live_page_answers_while_it_is_dragged_and_its_address_restores_it(tab, served):
    tab.resized(1280, 1000)
    tab.open(f"{served}?a.pools.gpus.gpus=oops&b.pools.gpus.gpus=3")
    tab.until(f"{DEEP % '.answer'}.length === 2", 60)
    assert "'a.pools.gpus.gpus=oops' in the address cannot be used" in tab.text()
    assert "B: 'none', GPUs of gpus 3" in tab.text()
    time.sleep(0.3)
    rows = f"{DEEP % 'tbody tr'}.map((row) => row.textContent).join()"
    before = tab.says(rows)
    handle = tab.says(
        f"(() => {{ const box = {DEEP % '.noUi-handle'}[0].getBoundingClientRect();"
        "return [box.x + box.width / 2, box.y + box.height / 2] })()"
    )
    tab.drag(handle, [handle[0] + 60, handle[1]])
    took = tab.until(f"{rows} !== {before!r}", 30)
    assert took < 10, "half a second on an idle machine"
    tab.until("/[?&]a.pools.gpus.gpus=\\d/.test(location.search)")
    shown = tab.says(f"{DEEP % 'h2'}.map((one) => one.textContent)[0]")
    assert shown.startswith("A: 'none', GPUs of gpus ")
    tab.says("window.before = true")
    tab.call("Page.reload")
    tab.until(f"!window.before && {DEEP % '.answer'}.length === 2 && {DEEP % 'h2'}[0].textContent === {shown!r}", 60)
    assert "cannot be used" not in tab.text()
    assert (tab.foreign, tab.errors) == ([], [])
