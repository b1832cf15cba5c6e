"""The one-file report."""

import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from modelyard.console.report import DAY, WEEK, Answered, Headline, SlotLoss, Stage, Story, render_report
from modelyard.reactions import ActionKind
from modelyard.testing import examples

SPRING = datetime(2013, 4, 1, tzinfo=UTC)
JUDGEMENT = {"difference": 0.04, "half_width": 0.01, "tolerance": 0.02, "canary_rows": 500, "live_rows": 480}
GATE = {"results": [{"passed": False, "condition": {"kind": "better"}, "told": "log loss 0.52 beside 0.51"}]}


def story() -> Story:
    """Return a story of ten weeks."""
    weeks = [SPRING + n * WEEK for n in range(10)]
    rolled_back = replace(
        examples.decision(1, action=ActionKind.ROLL_BACK),
        told="rolled back v2 <b>by itself</b>",
        at=SPRING + 40 * DAY,
        version=2,
        evidence={"judgement": JUDGEMENT, "gate": GATE},
    )
    return Story(
        title="A year of <flights>",
        subtitle="One model.",
        headlines=(Headline("0.021", "log loss saved", "0.50 with the loop"),),
        stages=(Stage("Data", ("3 datasets",)),),
        since=SPRING,
        until=SPRING + 10 * WEEK,
        traffic=(*tuple(Answered(at, 1, False, 6000) for at in weeks), Answered(weeks[5], 2, True, 600)),
        losses=tuple(SlotLoss(at, 0.50, 0.52, 6000, 0.01) for at in weeks),
        loss_name="log loss",
        alerts=(replace(examples.alert(), at=SPRING + 30 * DAY),),
        decisions=(rolled_back,),
        notes=((SPRING + 28 * DAY, "fault planted", "the feed sends UTC"),),
        live=1,
        made_at=SPRING + timedelta(days=200),
    )


def test_it_is_one_file_without_script_or_address() -> None:
    html = render_report(story())
    assert "<script" not in html
    assert not re.findall(r"https?://|url\(|@import|<link|<img", html)
    assert "<style>" in html


def test_it_tells_what_the_loop_was_worth_and_each_decision_with_its_evidence() -> None:
    html = render_report(story())
    assert "<b>0.020 lower</b>" in html
    assert "log loss saved" in html
    assert "log loss 0.52 beside 0.51" in html
    assert "v2: +0.040 ± 0.010; tolerance 0.02" in html
    assert "fault planted" in html


def test_every_mark_of_the_picture_leads_to_its_place_in_the_list() -> None:
    html = render_report(story())
    leads = re.findall(r'<a href="#([^"]+)"', html)
    assert sorted(leads) == ["alert_0001", "decision_0001", "note-0"]
    assert all(f'id="{anchor}"' in html for anchor in leads)


def test_what_others_wrote_is_text() -> None:
    html = render_report(story())
    assert "A year of &lt;flights&gt;" in html
    assert "rolled back v2 &lt;b&gt;by itself&lt;/b&gt;" in html


def test_a_story_in_which_nothing_happened_is_a_page_too() -> None:
    quiet = replace(story(), traffic=(), losses=(), alerts=(), decisions=(), notes=(), stages=(), headlines=())
    html = render_report(quiet)
    assert "Nothing had to be done." in html
    assert "no answers in this range" in html
