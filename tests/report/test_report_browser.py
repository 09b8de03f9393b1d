"""The report in headless Chromium: opens, filters, clicks through, prints, and runs nothing that a model wrote."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import pytest
from audit_records import make_hostile_record, make_record
from report_runs import (
    HOSTILE,
    make_audit,
    make_finding,
    make_rate,
    make_rollout,
    make_run,
    make_training,
    write_lines,
    write_rates,
)

from rlguard.report import write_report
from rlguard.report.serve import serve_report

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="needs chromium, chromium-browser or google-chrome on PATH")
sync_api = pytest.importorskip("playwright.sync_api", reason="needs playwright, of the extra `dev`")
WIDTHS = (1280, 390)


@pytest.fixture(scope="module")
def browser():
    """One browser for all tests; Debian's, so nothing is downloaded."""
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM)
        yield browser
        browser.close()


@pytest.fixture
def visit(browser):
    """Opens a page; when the test is over, its console must have been silent and its network still."""
    contexts, heard = [], []

    def open_page(path: Path, place: str = "", width: int = 1280, **options):
        context = browser.new_context(viewport={"width": width, "height": 900}, **options)
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(15_000)
        page.on("console", lambda message: heard.append(f"{message.type}: {message.text}"))
        page.on("pageerror", lambda error: heard.append(str(error)))
        page.on("dialog", lambda dialog: (heard.append(f"dialog: {dialog.message}"), dialog.dismiss()))
        page.on("request", lambda request: request.url.startswith("file:") or heard.append(f"request: {request.url}"))
        page.goto(path.as_uri() + place)
        page.wait_for_selector("html[data-ready]")
        return page

    open_page.heard = heard
    yield open_page
    for context in contexts:
        context.close()
    assert heard == []


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A page with every section: rates, filter, findings, arms, a training with completions and alarms, an audit."""
    folder = tmp_path_factory.mktemp("whole")
    run = make_run(folder / "run", "so 2 + 2 = 4; answer 4")
    make_training(run / "trl", steps=3)
    (run / "audit.json").write_text(json.dumps(make_record(["checkpoint-1", "checkpoint-2"])))
    write_report(run, folder / "r.html", title="Whole")
    return folder / "r.html"


@pytest.fixture(scope="module")
def many(tmp_path_factory):
    """A page with 3,000 rollouts of 300 prompts, in several chunks."""
    folder = tmp_path_factory.mktemp("many")
    rollouts = [
        make_rollout(f"p{i // 10}", i % 10, f"the text number {i} {'blah ' * 60}", outcome=float(i % 4 == 0))
        for i in range(3000)
    ]
    rollouts[1234]["completion"] = "x" * 50 + " the Needle " + "y" * 2000
    write_lines(folder / "run/rollouts.jsonl", rollouts)
    rates = [make_rate(f"p{i}", i % 5, ("impossible", "learnable")[i % 5 > 0], chance=0.05) for i in range(300)]
    write_rates(folder / "run/rates.parquet", rates)
    write_lines(folder / "run/findings.jsonl", [make_finding(f"p{i}", 3, 4, 8) for i in range(30)])
    write_report(folder / "run", folder / "r.html")
    return folder / "r.html"


def expect(actual):
    """Waits for what is said of a locator or a page. It polls from outside: the page's policy refuses what could."""
    return sync_api.expect(actual)


def expect_count(page, section: str, count: str) -> None:
    """Waits until a section's list counts as many rows."""
    expect(page.locator(f"#{section} .pager [role=status]")).to_have_text(re.compile(rf"of {count} \w+$"))


def counted(page, section: str) -> str:
    return page.locator(f"#{section} .pager [role=status]").inner_text()


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_opens_with_every_section(visit, whole, width, scheme):
    page = visit(whole, width=width, color_scheme=scheme)
    assert page.title() == "Whole"
    for section in ("verdict", "alarms", "training", "rates", "filter", "audit", "prompts", "rollouts", "provenance"):
        assert page.locator(f"#{section}").is_visible(), section
    assert page.locator("figure canvas").count() >= 4
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    ink = page.evaluate("color('--ink')")
    assert ink == {"light": "#1a1d21", "dark": "#e7e9ec"}[scheme]


def test_only_what_is_shown_is_in_the_document(visit, many):
    page = visit(many)
    assert page.locator("script[id^=rollouts-]").count() > 3
    assert page.locator("#rollouts article").count() == 10
    assert page.locator("#prompts tbody tr").count() == 25
    assert counted(page, "rollouts") == "10 of 3,000 rollouts"
    page.locator("#rollouts .pager button", has_text="Show more").click()
    page.locator("#rollouts article").nth(19).wait_for()
    assert counted(page, "rollouts") == "20 of 3,000 rollouts"


def test_filters_and_orders(visit, many):
    page = visit(many)
    form, cards = page.locator("#rollout-controls"), page.locator("#rollouts article")
    assert cards.first.locator("mark").inner_text() == "text"  # those with findings come first, the span is marked
    form.locator("[name=outcome]").select_option("1")
    expect_count(page, "rollouts", "750")
    form.locator("[name=outcome]").select_option("")
    form.locator("[name=kind]").select_option(label="skipped computation")
    expect_count(page, "rollouts", "30")
    form.locator("[name=kind]").select_option("")
    form.locator("[name=sort]").select_option("longest first")
    expect(page.locator("#rollouts .completion").first).to_contain_text("Needle")
    page.locator("#rollouts .bars button").click()  # a bar of findings filters too
    expect_count(page, "rollouts", "30")


def test_search_goes_through_all_chunks(visit, many):
    page = visit(many)
    page.locator("#rollout-controls [name=query]").fill("nEEdle")
    expect_count(page, "rollouts", "1")
    card = page.locator("#rollouts article")
    assert card.count() == 1
    assert card.locator(".completion").inner_text().endswith("y" * 2000)
    page.locator("#rollout-controls [name=query]").fill("nowhere")
    expect(page.locator("#rollouts [role=status]")).to_have_text("No rollout matches.")
    page.locator("#prompt-controls [name=query]").fill("prompt of p77")
    expect(page.locator("#prompts tbody tr")).to_have_count(1)


def test_the_table_of_prompts_sorts_and_filters(visit, many):
    page = visit(many)
    heads = page.locator("#prompts thead th")
    heads.filter(has_text="Pass rate").get_by_role("button").click()
    heads.filter(has_text="Pass rate").get_by_role("button").click()
    assert heads.filter(has_text="Pass rate").get_attribute("aria-sort") == "descending"
    assert page.locator("#prompts tbody tr").first.locator("td").first.inner_text() == "4 / 4"
    page.locator("#prompt-controls [name=query]").fill("Impossible")
    expect_count(page, "prompts", "60")


def test_a_group_opens_closes_and_goes_on(visit, many):
    page = visit(many)
    page.locator("#prompts tbody a").nth(1).click()
    dialog = page.locator("dialog#group")
    dialog.locator(".rollout").nth(9).wait_for()
    assert dialog.locator(".rollout").count() == 10
    assert dialog.locator("h2").inner_text() == "prompt of p1"
    assert "✓ correct" in dialog.locator(".rollout").nth(3).inner_text()
    assert dialog.locator(".rollout").first.locator("mark").count() == 1  # the one with a finding stands first
    dialog.get_by_role("button", name="Next prompt").click()
    expect(page.locator("#group-heading")).to_have_text("prompt of p2")
    page.keyboard.press("Escape")
    assert not dialog.is_visible()
    expect(page).to_have_url(re.compile("html$"))
    page.goto(page.url.partition("#")[0] + "#prompt=%zz")  # a broken address opens nothing
    assert not dialog.is_visible()


def test_from_a_bar_to_its_prompts_and_rollouts(visit, many):
    page = visit(many)
    page.locator("#histograms button", has_text="never solved").click()
    page.locator("#rollouts .chosen").wait_for()
    assert page.locator("#rollouts .chosen b").inner_text() == "never solved"
    expect_count(page, "rollouts", "600")
    assert counted(page, "prompts").endswith("of 60 prompts")
    page.locator("#rollouts .chosen button").click()
    expect_count(page, "rollouts", "3,000")
    page.locator("#histograms button", has_text="always solved").click()
    expect_count(page, "rollouts", "600")
    page.go_back()
    expect_count(page, "rollouts", "3,000")


def test_from_a_step_of_a_curve_to_its_rollouts(visit, whole):
    page = visit(whole)
    plot = page.locator("#charts .curve", has_text="Reward").locator(".surface")
    plot.scroll_into_view_if_needed()
    plot.focus()
    for _ in range(3):  # steps 0, 1, 2
        page.keyboard.press("ArrowRight")
    assert plot.get_attribute("aria-valuetext").startswith("step 2: unguarded –; trl 0.20; guarded –")
    page.keyboard.press("Enter")
    expect_count(page, "rollouts", "4")
    assert page.locator("#rollouts .chosen b").inner_text() == "step 2"
    expect(page).to_have_url(re.compile("#steps=1..2$"))
    assert page.evaluate("document.activeElement.id") == "rollouts-heading"
    page.locator("#rollouts article a").first.click()
    page.locator("dialog .rollout").first.wait_for()
    page.keyboard.press("Escape")
    expect(page).to_have_url(re.compile("#steps=1..2$"))  # the choice is kept
    plot.scroll_into_view_if_needed()
    page.wait_for_timeout(100)  # uPlot learns of the scrolling in the next frame
    box = plot.locator(".u-over").bounding_box()
    page.mouse.click(box["x"] + box["width"] * 0.97, box["y"] + 20)
    expect(page.locator("#rollouts .chosen b")).to_have_text("step 3")
    page.locator("#alarms a", has_text="Rollouts of step 2").click()
    expect(page.locator("#rollouts .chosen b")).to_have_text("step 2")


def test_two_runs_side_by_side(visit, tmp_path):
    for name in ("before", "after"):
        make_training(tmp_path / name, lucky=name == "after")
    write_report(tmp_path / "before", tmp_path / "r.html", against=tmp_path / "after")
    page = visit(tmp_path / "r.html")
    assert page.locator("h1").inner_text() == "before against after: training guard report"
    assert page.locator("#histograms figure").count() == 2
    page.locator("#prompts tbody a").first.click()
    page.locator("dialog .rollout").nth(11).wait_for()
    texts = page.locator("dialog .rollout").all_inner_texts()
    assert ["after" in text for text in texts] == [False] * 6 + [True] * 6
    page.keyboard.press("Escape")
    page.locator("#rollout-controls [name=source]").select_option(label="after")
    expect_count(page, "rollouts", "12")


def test_nothing_that_a_model_wrote_runs(visit, tmp_path):
    run = make_run(tmp_path / "run", HOSTILE)
    whole = HOSTILE.replace("\ud83d", "")  # no Parquet file holds half a character
    write_rates(run / "rates/rates.parquet", [make_rate("p1", 2, "learnable") | {"prompt": whole, "answer": whole}])
    long = make_rollout(HOSTILE, 0, "<b>x</b>" * 200_000, answer=HOSTILE)
    write_lines(run / "rates/rollouts.jsonl", [make_rollout("p1", 0, HOSTILE), long])
    finding = make_finding("p1", 0, 0, 30, kind=HOSTILE, reason=HOSTILE, completion=HOSTILE)
    write_lines(run / "findings.jsonl", [finding])
    make_training(run / "<img src=x onerror=document.title='pwned'>", completion=whole)
    record = make_audit()
    record["comparisons"][0]["rows"][0] |= {"domain": HOSTILE, "name": HOSTILE}
    (run / "audit.json").write_text(json.dumps(record | {"before": HOSTILE}))
    write_report(run, tmp_path / "r.html", title="Quiet")
    page = visit(tmp_path / "r.html", "#prompt=p1")
    dialog = page.locator("dialog")
    dialog.locator(".rollout").first.wait_for()
    shown = dialog.locator(".completion").first.text_content()
    assert "</script><script>document.title='pwned'</script><img src=x onerror=" in shown
    assert "[U+202E]" in shown  # what would turn the order around, and what would be unseen, is shown as what it is
    assert "␀" in shown
    page.evaluate("location.hash = 'prompt=' + encodeURIComponent(data.prompts.id.find((id) => id.startsWith('</')))")
    expect(page.locator("#group-heading")).to_contain_text("</script><script>")
    expect(page.locator("dialog .rollout")).to_have_count(1)
    assert "characters not embedded" in dialog.locator(".completion").text_content()
    page.keyboard.press("Escape")
    page.locator("#more-metrics summary").click()
    page.wait_for_timeout(200)
    assert page.title() == "Quiet"
    alien = "img, iframe, object, embed, base, [onerror], [onload], [onclick], [srcdoc], a[href^='javascript' i]"
    assert page.locator(alien).count() == 0
    assert page.locator("script:not([type])").count() == 2
    blocked = page.evaluate(
        "() => { try { document.body.innerHTML = '<p>'; return ''; } catch (error) { return error.name; } }"
    )
    assert blocked == "TypeError"  # trusted types: no script of the page could if it tried
    assert page.evaluate("() => fetch('file:///etc/hostname').then(() => 'fetched', () => 'refused')") == "refused"
    heard = [line for line in visit.heard if "TrustedHTML" not in line and "ontent Security Policy" not in line]
    visit.heard[:] = [line for line in heard if "/etc/hostname" not in line]  # what the two attempts above said


@pytest.mark.parametrize("width", WIDTHS)
def test_axe_finds_no_barrier(visit, whole, width):
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="needs axe-playwright-python").Axe()
    page = visit(whole, width=width, bypass_csp=True)
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme)
        page.evaluate("document.querySelectorAll('details').forEach((one) => { one.open = true; })")
        page.wait_for_timeout(100)
        found = axe.run(page).response["violations"]
        assert [(one["id"], one["nodes"][0]["html"][:120]) for one in found] == []
    page.locator("#prompts tbody a").first.click()
    page.locator("dialog .rollout").first.wait_for()
    found = axe.run(page, context="dialog").response["violations"]
    assert [(one["id"], one["nodes"][0]["html"][:120]) for one in found] == []


def test_the_keyboard_reaches_everything(visit, whole):
    page = visit(whole)
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "Skip to the verdict"
    reached = set()
    for _ in range(150):
        page.keyboard.press("Tab")
        state = page.evaluate(
            "(() => { const a = document.activeElement, s = getComputedStyle(a); const place = a.closest('section');"
            " return [place && place.id, a.matches(':focus-visible') && s.outlineStyle !== 'none']; })()"
        )
        if state[0]:
            assert state[1], page.evaluate("document.activeElement.outerHTML")[:200]
            reached.add(state[0])
    assert {"alarms", "training", "rates", "audit", "prompts", "rollouts"} <= reached


def test_prints_on_light_paper(visit, whole, tmp_path):
    page = visit(whole, color_scheme="dark")
    page.evaluate("addEventListener('beforeprint', () => { window.printed = color('--ink'); })")
    content = page.pdf(path=tmp_path / "r.pdf")
    assert content.startswith(b"%PDF")
    assert page.evaluate("window.printed") == "#1a1d21"
    assert page.evaluate("color('--ink')") == "#e7e9ec"  # and the screen is as it was


def test_a_page_that_cannot_be_opened_says_so(browser, whole, tmp_path):
    broken = tmp_path / "r.html"
    broken.write_text(whole.read_text().replace('id="data">H4s', 'id="data">H4t'))
    page = browser.new_page()
    page.goto(broken.as_uri())
    expect(page.locator("#failed")).to_contain_text("could not be opened")
    assert page.locator("#verdict li").count() > 3
    page.close()


@pytest.mark.parametrize("width", WIDTHS)
def test_an_audit_shows_plots_figures_and_questions(visit, tmp_path, width):
    (tmp_path / "audit.json").write_text(json.dumps(make_record(["checkpoint-100", "checkpoint-200"])))
    write_report(tmp_path, tmp_path / "r.html")
    page = visit(tmp_path / "r.html", width=width)
    assert page.locator("#audit-plots canvas").count() == 1  # pass@k
    assert page.locator("#audit-plots tbody tr").first.inner_text().startswith("arithmetic")  # nearest first
    assert page.locator("#audit-table .pager [role=status]").inner_text() == "25 of 62 figures"
    page.locator("#audit-controls [name=query]").fill("checkpoint-200 coverage")
    expect(page.locator("#audit-table .pager [role=status]")).to_have_text("5 of 5 figures")
    page.locator("#audit-controls [name=query]").fill("retention")
    expect(page.locator("#audit-table tbody")).to_contain_text("distance 0.55")
    page.locator("#audit-trends summary").first.click()
    expect(page.locator("#audit-trends canvas")).to_have_count(31)
    page.locator("#audit-turned summary").first.click()
    assert page.locator("#audit-turned tbody tr").count() == 10
    page.locator("#audit-turned tbody summary").first.click()
    assert "Answer with a number." in page.locator("#audit-turned .completion").first.inner_text()
    slider = page.locator("#audit-plots [role=slider]").first
    slider.focus()
    page.keyboard.press("ArrowRight")
    assert slider.get_attribute("aria-valuetext").startswith("k 1: before 0.52")
    assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_an_odd_audit_opens(visit, tmp_path):
    (tmp_path / "audit.json").write_text(json.dumps(make_hostile_record()))
    write_report(tmp_path, tmp_path / "r.html", title="Quiet")
    page = visit(tmp_path / "r.html")
    assert page.title() == "Quiet"
    assert page.locator("img, [onerror]").count() == 0
    assert page.evaluate("document.documentElement.scrollWidth") <= 1280


def test_nothing_but_a_training_opens(visit, tmp_path):
    write_lines(tmp_path / "run/metrics.jsonl", [{"step": 1, "reward": 0.5}])
    write_report(tmp_path / "run", tmp_path / "r.html")
    page = visit(tmp_path / "r.html", "#steps=1..2")
    assert page.locator("#training canvas").count() == 1
    for section in ("prompts", "rollouts", "rates", "audit", "alarms"):
        assert not page.locator(f"#{section}").is_visible()


def write_run(folder: Path, steps: int, fall: int = 1000) -> None:
    """A training whose reward collapses at a step."""
    rows = [{"step": i, "reward": (0.5 if i < fall else 0.02) + 0.01 * (i % 3)} for i in range(steps)]
    write_lines(folder / "metrics.jsonl", rows)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_headline_is_first_in_colour_and_words(visit, tmp_path, scheme):
    write_run(tmp_path / "run", 60, fall=40)
    write_report(tmp_path / "run", tmp_path / "r.html")
    page = visit(tmp_path / "r.html", color_scheme=scheme)
    card = page.locator(".headlines li").first
    assert card.locator("h3").inner_text().startswith("✕ Harmed")
    assert "Next: Read completions of these steps." in card.inner_text()
    assert card.bounding_box()["y"] < 300
    shade = {"light": "rgb(168, 58, 0)", "dark": "rgb(240, 140, 88)"}[scheme]
    assert card.locator("h3 b").evaluate("(node) => getComputedStyle(node).color") == shade
    alarm = page.locator("#alarms li").first.inner_text()
    assert "step 43" in alarm
    assert "Usual cause:" in alarm
    assert "Do: " in alarm


def test_three_runs_in_one_page(visit, tmp_path):
    for name, solved in (("a", 3), ("b", 2), ("c", 0)):
        rates = [make_rate(f"p{i}", solved if i % 2 else 1, "learnable") for i in range(12)]
        write_rates(tmp_path / name / "rates.parquet", rates)
    write_report(tmp_path / "a", tmp_path / "r.html", against=[tmp_path / "b", tmp_path / "c"])
    page = visit(tmp_path / "r.html")
    assert page.locator(".headlines li").count() == 3
    assert page.locator("#histograms figure").count() == 3
    page.locator("#histograms figure").nth(2).get_by_role("button", name="never solved").click()
    expect(page.locator("#prompts .chosen b")).to_have_text("never solved in c")
    expect_count(page, "prompts", "6")
    assert page.evaluate("document.documentElement.scrollWidth") <= 1280


def test_the_served_page_follows_the_run(browser, tmp_path):
    write_run(tmp_path / "run", 30)
    server = serve_report(tmp_path / "run")
    page = browser.new_page()
    try:
        page.goto(f"http://127.0.0.1:{server.server_port}/")
        expect(page.locator(".headlines h3").first).to_contain_text("✓ Healthy")
        write_run(tmp_path / "run", 40, fall=30)
        sync_api.expect(page.locator(".headlines h3").first).to_contain_text("✕ Harmed", timeout=30_000)
    finally:
        page.close()
        server.shutdown()
        server.server_close()
