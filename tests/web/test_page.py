"""``iel serve``: the page, in process; and the server, under load and in a browser."""

from __future__ import annotations

import html
import re
import shutil
import signal
import subprocess
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace

import pytest
from commands import BIN, CPU
from conftest import known_pairs

from iel_fairseq import AttnEnhancedTranslator
from iel_fairseq.cli import main
from iel_fairseq.errors import IELError

pytest.importorskip("flask")  # which a plain install has not
from iel_fairseq.web import app as web_app
from iel_fairseq.web.app import MAX_BYTES, MAX_CHARACTERS, make_app

SENTENCES = [" ".join(pair.source) for pair in known_pairs()]
CLIENTS = 32


@pytest.fixture(scope="module")
def checkpoint(trained) -> Path:
    return trained("transformer", "positions")[0]


@pytest.fixture(scope="module")
def translator(checkpoint) -> AttnEnhancedTranslator:
    return AttnEnhancedTranslator.from_pretrained(str(checkpoint), cpu=True)


@pytest.fixture(scope="module")
def page(translator):
    return make_app(translator).test_client()


def texts(answer: str, kind: str) -> list[str]:
    """The texts of the page's paragraphs of a class."""
    return [html.unescape(text) for text in re.findall(rf'class="{kind}" dir="auto">(.*?)</p>', answer, re.DOTALL)]


def test_shows_both_passes_the_baseline_and_the_attention(page, translator):
    text = f"{SENTENCES[0]}\n\n  {SENTENCES[1]}\n"
    answer = page.post("/", data={"text": text}).text
    found = translator.translate(SENTENCES[:2], all_weights=True)
    assert texts(answer, "translation") == [one.translation for one in found]
    assert texts(answer, "first-pass") == [one.first_pass for one in found]
    assert texts(answer, "baseline") == translator.translate_plain(SENTENCES[:2])
    words = re.findall(r'<ruby class="word">(.*?)<rt>(\d+)</rt>', answer)
    assert words == [
        (word, str(at)) for one in found for word, at in zip(one.attention_words, one.positions, strict=True)
    ]
    cells = re.findall(r'<td( class="taken")? title="([\d.]+)"', answer)
    assert len(cells) == sum(one.reading.attention.size for one in found)
    assert [float(weight) for _, weight in cells] == pytest.approx(
        [weight for one in found for weight in one.reading.attention.ravel()], abs=0.006
    )
    assert sum(bool(taken) for taken, _ in cells) == len(words)
    assert html.unescape(re.search(r"<textarea[^>]*>\n(.*?)</textarea>", answer, re.DOTALL)[1]) == text


def test_text_is_never_markup(page):
    hostile = 'n1 </textarea><script>alert(1)</script> "onload=x {{ 7 * 7 }}'
    answer = page.post("/", data={"text": hostile}).text
    assert "<script" not in answer
    assert answer.count("</textarea>") == 1
    assert "&lt;script&gt;" in answer
    assert "49" not in answer


def test_no_script_runs_whatever_happens(page):
    for response in (page.get("/"), page.post("/", data={"text": "n1"}), page.get("/nowhere")):
        assert "default-src 'none'" in response.headers["Content-Security-Policy"]
        assert "script-src" not in response.headers["Content-Security-Policy"]
        assert response.headers["X-Content-Type-Options"] == "nosniff"


def test_nothing_asked_nothing_answered(page):
    for response in (page.get("/"), page.post("/", data={"text": " \n\t\n"}), page.post("/", data={})):
        assert response.status_code == 200
        assert "<section>" not in response.text


def test_too_much_is_refused(page, translator, monkeypatch):
    for text in ("é" * (MAX_CHARACTERS + 1), "n" * MAX_BYTES):
        response = page.post("/", data={"text": text})
        assert response.status_code == 413
        assert "at most 2,000 characters at once" in response.text
    assert page.post("/", data={"text": "€" * MAX_CHARACTERS}).status_code == 200
    assert page.post("/", data={"text": "\r\n".join("n" * (MAX_CHARACTERS // 2))}).status_code == 200  # a browser's
    monkeypatch.setattr(web_app, "MAX_CHARACTERS", 5000)  # more than the model can read
    response = page.post("/", data={"text": "n1 " * 1024})
    assert response.status_code == 400
    assert "1,024 tokens; the models read at most 1,023, split it" in response.text


@pytest.mark.parametrize(
    "path", ["/../setup.py", "/static/page.html", "/templates/page.html", "/%2e%2e/%2e%2e/etc/passwd"]
)
def test_there_is_one_page_and_no_file(page, path):
    assert page.get(path).status_code == 404


def test_an_address_that_cannot_be_had_is_refused(checkpoint):
    serve = ["serve", "--path", str(checkpoint), "--cpu"]
    with pytest.raises(IELError, match=r"^--port 99999: it is 0 to 65535"):
        main([*serve, "--port", "99999"])
    with pytest.raises(IELError, match=r"^--beam 0: it is at least 1"):
        main([*serve, "--beam", "0"])
    with pytest.raises(IELError, match=r"^--host 192\.0\.2\.1 --port 0: cannot be listened at"):
        main([*serve, "--host", "192.0.2.1", "--port", "0"])  # an address that no machine has


# --- as a server ---------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def server(checkpoint, tmp_path_factory) -> Iterator[tuple[str, subprocess.Popen]]:
    """A server as a user starts it, and ends it with Ctrl-C: its address, and the process."""
    command = [str(BIN / "iel"), "serve", "--path", str(checkpoint), "--cpu", "--port", "0"]
    log = tmp_path_factory.mktemp("server") / "log"
    with log.open("w") as file:
        process = subprocess.Popen(command, stderr=file, env=CPU, preexec_fn=_hear_ctrl_c)
    try:
        for _ in range(600):
            if shown := re.search(r"(http://127\.0\.0\.1:\d+) shows the page", log.read_text()):
                break
            time.sleep(0.2)
        yield shown[1], process
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=30) == 0
    finally:
        process.kill()
        process.wait()


def _hear_ctrl_c() -> None:
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # what runs in the background of a shell is started deaf to it


def ask(address: str, text: str) -> str:
    data = urllib.parse.urlencode({"text": text}).encode()
    with urllib.request.urlopen(address, data, timeout=120) as response:
        return response.read().decode()


def memory_of(process: subprocess.Popen) -> int:
    """Resident memory in KiB."""
    status = Path(f"/proc/{process.pid}/status").read_text()
    return int(re.search(r"VmRSS:\s+(\d+)", status)[1])


def test_many_clients_at_once_all_get_their_own_answer_in_flat_memory(server, translator):
    address, process = server
    expected = [one.translation for one in translator.translate(SENTENCES)]

    def client(number: int) -> bool:
        index = number % len(SENTENCES)
        return texts(ask(address, SENTENCES[index]), "translation") == [expected[index]]

    with ThreadPoolExecutor(CLIENTS) as clients:
        assert all(clients.map(client, range(2 * CLIENTS)))
        before = memory_of(process)
        assert all(clients.map(client, range(4 * CLIENTS)))
    assert memory_of(process) < 1.05 * before


def test_a_request_that_is_too_long_is_not_read(server):
    address, _ = server
    with pytest.raises(urllib.error.HTTPError) as refused:
        ask(address, "n" * 2 * MAX_BYTES)
    assert refused.value.code == 413
    assert "n1" in ask(address, "n1")  # and nothing else has happened


@pytest.fixture
def browser():
    chromium, driver = shutil.which("chromium"), shutil.which("chromedriver")
    if chromium is None or driver is None:
        pytest.skip("needs chromium and chromedriver")
    from selenium import webdriver

    options = webdriver.ChromeOptions()
    options.binary_location = chromium
    for argument in ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-background-networking"):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(driver))
    yield driver
    driver.quit()


def test_in_a_browser(server, browser, translator):
    from selenium.webdriver.common.by import By
    from selenium.webdriver.support.ui import WebDriverWait

    address, _ = server
    [found] = translator.translate([f"{SENTENCES[0]} <b>x</b>"])
    browser.get(address)
    browser.find_element(By.ID, "text").send_keys(f"{SENTENCES[0]} <b>x</b>")
    browser.find_element(By.TAG_NAME, "button").click()
    translation = WebDriverWait(browser, 60).until(lambda page: page.find_element(By.CLASS_NAME, "translation"))
    assert translation.text == found.translation
    assert browser.find_elements(By.TAG_NAME, "b") == []
    taken = browser.find_elements(By.CSS_SELECTOR, "td.taken")
    assert len(taken) == len(found.positions)
    assert all(cell.is_displayed() and cell.size["width"] > 10 for cell in taken)
    page = browser.find_element(By.TAG_NAME, "html")
    assert page.get_property("scrollWidth") <= page.get_property("clientWidth")  # nothing sticks out
    assert browser.get_log("browser") == [], "the page breaks its own policy, or asks for what is not there"


def test_serve_says_when_other_machines_can_use_the_page(monkeypatch, capfd):
    monkeypatch.setattr("iel_fairseq.cli.serve.AttnEnhancedTranslator.from_pretrained", lambda *_, **__: None)
    monkeypatch.setattr("iel_fairseq.web.app.make_app", lambda *_: None)
    server = SimpleNamespace(effective_port=8080, run=lambda: None, close=lambda: None)
    monkeypatch.setattr("waitress.create_server", lambda *_, **__: server)
    for host, warned in {"127.0.0.1": 0, "localhost": 0, "::1": 0, "0.0.0.0": 1, "192.168.0.7": 1, "box": 1}.items():
        main(["serve", "--path", "model.pt", "--host", host])
        assert ("other machines can use this page" in capfd.readouterr().err) == warned, host
