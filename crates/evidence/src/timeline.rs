//! The picture: one row per fact, in the lane of whoever acted. A self-contained SVG without scripts, links or fonts of
//! its own, so that it opens anywhere and fetches nothing.

use std::fmt::{Result, Write};

use lexicon::Timestamp;
use people::Actor;
use procedure::{Act, Migration, Part, Recorded, Side, Stage, Step};

use crate::markdown::stage;
use crate::round::Round;
use crate::rounds::kind;
use crate::story::{side, when, who};
use crate::verdict::Shown;
use crate::wording;

const WIDTH: f64 = 1160.0;
const ROW: f64 = 30.0;
/// Where the lanes stand: laboratory, server, vendor.
const LANES: [f64; 3] = [330.0, 410.0, 490.0];
const LABELS: f64 = 550.0;
/// Where a migration's stage is drawn, and where the consignments' bars begin.
const STAGE: f64 = 190.0;
const BARS: f64 = 222.0;

const LABORATORY: &str = "#1b5e9e";
const SERVER: &str = "#5b6470";
const VENDOR: &str = "#a8541c";
const ENDS: &str = "#a01c1c";
const FROZEN: &str = "#4fa3d8";
const INK: &str = "#20242a";
const FAINT: &str = "#6b7280";

/// What is drawn so far, and how far down.
struct Page {
    svg: String,
    y: f64,
}

/// How a text looks.
#[derive(Clone, Copy)]
struct Ink {
    size: u8,
    colour: &'static str,
    bold: bool,
    anchor: &'static str,
}

const PLAIN: Ink = Ink { size: 13, colour: INK, bold: false, anchor: "start" };
const SMALL: Ink = Ink { size: 12, colour: FAINT, ..PLAIN };
const STRONG: Ink = Ink { bold: true, ..PLAIN };

impl Page {
    fn text(&mut self, x: f64, y: f64, ink: Ink, text: &str) -> Result {
        let weight = if ink.bold { " font-weight=\"bold\"" } else { "" };
        let Ink { size, colour, anchor, .. } = ink;
        writeln!(
            self.svg,
            r#"<text x="{x}" y="{y}" font-size="{size}" fill="{colour}" text-anchor="{anchor}"{weight}>{}</text>"#,
            escaped(text)
        )
    }

    fn rect(&mut self, (x, y): (f64, f64), (width, height): (f64, f64), fill: &str, stroke: &str) -> Result {
        writeln!(
            self.svg,
            r#"<rect x="{x}" y="{y}" width="{width}" height="{height}" rx="4" fill="{fill}" stroke="{stroke}"/>"#
        )
    }

    fn line(&mut self, (x, y): (f64, f64), (to_x, to_y): (f64, f64), colour: &str, width: f64) -> Result {
        writeln!(
            self.svg,
            r#"<line x1="{x}" y1="{y}" x2="{to_x}" y2="{to_y}" stroke="{colour}" stroke-width="{width}"/>"#
        )
    }

    /// A circle is a person's signature, a square the server's word, a diamond a deadline.
    fn mark(&mut self, x: f64, y: f64, by: &Actor, colour: &str) -> Result {
        match by {
            Actor::Person(_) | Actor::Root(_) => {
                writeln!(
                    self.svg,
                    r#"<circle cx="{x}" cy="{y}" r="7" fill="{colour}" stroke="white" stroke-width="2"/>"#
                )
            }
            Actor::Strongroom => writeln!(
                self.svg,
                r#"<rect x="{}" y="{}" width="13" height="13" fill="{colour}" stroke="white" stroke-width="2"/>"#,
                x - 6.5,
                y - 6.5
            ),
            Actor::Deadline { .. } => writeln!(
                self.svg,
                r#"<path d="M {x} {} L {} {y} L {x} {} L {} {y} Z" fill="{colour}" stroke="white" stroke-width="2"/>"#,
                y - 9.0,
                x + 9.0,
                y + 9.0,
                x - 9.0
            ),
        }
    }
}

/// The whole picture.
pub(crate) fn draw(shown: &Shown<'_>) -> std::result::Result<String, std::fmt::Error> {
    let mut page = Page { svg: String::new(), y: 24.0 };
    head(&mut page, shown)?;
    let rows = rows(&mut page, shown)?;
    bars(&mut page, shown, &rows)?;
    notes(&mut page, shown)?;
    foot(&mut page, shown)?;
    let height = page.y;
    let id = shown.story.migration().id;
    let mark = if shown.story.pack.card.demonstration { " (demonstration)" } else { "" };
    Ok(format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" width=\"{WIDTH}\" \
         height=\"{height}\" role=\"img\" font-family=\"Helvetica, Arial, sans-serif\">\n<title>Migration \
         {id}{mark}: who did what, \
         when</title>\n<rect width=\"{WIDTH}\" height=\"{height}\" fill=\"white\"/>\n{}</svg>\n",
        page.svg
    ))
}

/// Title, demonstration mark, the four stages with their dates.
fn head(page: &mut Page, shown: &Shown<'_>) -> Result {
    let migration = shown.story.migration();
    if shown.story.pack.card.demonstration {
        page.rect((20.0, 14.0), (WIDTH - 40.0, 30.0), "#fff3c4", "#c9a227")?;
        page.text(WIDTH / 2.0, 34.0, Ink { anchor: "middle", ..STRONG }, wording::DEMONSTRATION)?;
        page.y = 68.0;
    }
    page.y += 12.0;
    page.text(20.0, page.y, Ink { size: 22, ..STRONG }, &format!("Migration {}", migration.id))?;
    page.y += 24.0;
    let parties: Vec<&str> = migration.parties.iter().map(|party| party.organisation.as_str()).collect();
    page.text(20.0, page.y, PLAIN, &cut(&parties.join("  →  "), 120))?;
    page.y += 20.0;
    stages(page, shown)?;
    for (x, lane) in LANES.into_iter().zip(["laboratory", "server", "vendor"]) {
        page.text(x, page.y, Ink { anchor: "middle", ..SMALL }, lane)?;
    }
    page.text(20.0, page.y, SMALL, "when (UTC)")?;
    page.text(STAGE - 6.0, page.y, SMALL, "stage")?;
    page.text(BARS + 10.0, page.y, SMALL, "rounds")?;
    page.text(LABELS, page.y, SMALL, "what, and by whom")?;
    page.y += 12.0;
    Ok(())
}

/// The colour of a stage's box and band.
fn shade(stage: Stage) -> &'static str {
    match stage {
        Stage::Drafted => "#efe6cf",
        Stage::Approved => "#cfe8d5",
        Stage::SignedOff => "#cadcf0",
        Stage::Destroyed => "#d5d7db",
    }
}

fn stages(page: &mut Page, shown: &Shown<'_>) -> Result {
    let ledger = &shown.story.ledger;
    let reached = reached(ledger.migration().id, ledger.recorded());
    let migration = ledger.migration();
    let mut x = 20.0;
    for (which, step) in [Stage::Drafted, Stage::Approved, Stage::SignedOff, Stage::Destroyed].into_iter().zip(1_u8..) {
        let since = reached.iter().find(|(_, after)| after.stage == which);
        let skipped = which == Stage::SignedOff && since.is_none() && migration.ending();
        let name = match (which, skipped, migration.overdue) {
            (_, false, _) => stage(which),
            (_, true, true) => "deadline passed",
            (_, true, false) => "cancelled",
        };
        let since = since.or_else(|| reached.iter().find(|(_, after)| skipped && after.ending()));
        let fill = if since.is_some() { shade(which) } else { "white" };
        page.rect((x, page.y), (265.0, 62.0), fill, "#9aa3af")?;
        page.text(x + 12.0, page.y + 22.0, Ink { size: 15, ..STRONG }, &format!("{step}  {name}"))?;
        match since {
            Some((recorded, _)) => {
                page.text(x + 12.0, page.y + 40.0, SMALL, &when(recorded.fact.at))?;
                page.text(x + 12.0, page.y + 55.0, SMALL, &cut(&who(ledger, &recorded.fact.by), 40))?;
            }
            None => page.text(x + 12.0, page.y + 40.0, SMALL, "not reached in this pack")?,
        }
        x += 285.0;
    }
    page.y += 92.0;
    let title = &shown.completeness.title;
    let ink = Ink { colour: if shown.completeness.complete { "#1c6b33" } else { ENDS }, ..STRONG };
    let missing = shown.completeness.missing.len();
    let tail = if missing == 0 { String::new() } else { format!(" ({missing} missing, listed below)") };
    page.text(20.0, page.y, ink, &format!("Certificate of destruction: {title}{tail}"))?;
    page.y += 34.0;
    Ok(())
}

/// Every fact with the migration as it was after it.
fn reached(id: lexicon::MigrationId, recorded: &[Recorded]) -> Vec<(&Recorded, Migration)> {
    let mut migration = Migration::new(id);
    let mut after = Vec::with_capacity(recorded.len());
    for recorded in recorded {
        migration = migration.apply(&recorded.fact);
        after.push((recorded, migration.clone()));
    }
    after
}

/// One row per fact; gives where each stands.
fn rows(page: &mut Page, shown: &Shown<'_>) -> std::result::Result<Vec<(u64, f64)>, std::fmt::Error> {
    let ledger = &shown.story.ledger;
    let mut places = Vec::new();
    let mut before: Option<(Timestamp, f64, f64)> = None;
    let mut lines = Vec::new();
    let mut now = (Stage::Drafted, false);
    for (recorded, after) in reached(ledger.migration().id, ledger.recorded()) {
        let fact = &recorded.fact;
        if let Some(days) = before.and_then(|(at, ..)| days(at, fact.at)) {
            let unit = if days == 1 { "day" } else { "days" };
            page.text(20.0, page.y + 17.0, SMALL, &format!("· · ·  {days} {unit}"))?;
            page.y += 24.0;
        }
        let (lane, colour) = match side(ledger.migration(), &fact.by) {
            Some(Side::Controller) => (LANES[0], LABORATORY),
            Some(Side::Processor) => (LANES[2], VENDOR),
            None => (LANES[1], SERVER),
        };
        let colour = if ends(&fact.act) { ENDS } else { colour };
        let y = page.y + ROW / 2.0;
        if let Some((_, _, from)) = before {
            band(page, now, from, y)?;
        }
        now = (after.stage, after.frozen.is_some() && !after.ending());
        if let Some((_, x, from)) = before {
            lines.push((x, from, lane, y));
        }
        page.text(20.0, y + 4.0, SMALL, &fact.at.strftime("%Y-%m-%d %H:%M:%S").to_string())?;
        page.line((lane + 12.0, y), (LABELS - 8.0, y), "#e5e7eb", 1.0)?;
        page.mark(lane, y, &fact.by, colour)?;
        let (what, who) = (format!("{}. {}", fact.number, phrase(&fact.act)), who(ledger, &fact.by));
        writeln!(
            page.svg,
            "<text x=\"{LABELS}\" y=\"{}\" font-size=\"13\" fill=\"{INK}\"><tspan font-weight=\"bold\">{}</tspan>\
             <tspan fill=\"{FAINT}\">  {}</tspan></text>",
            y + 4.0,
            escaped(&cut(&what, 60)),
            escaped(&cut(&who, 60))
        )?;
        places.push((fact.number, y));
        before = Some((fact.at, lane, y));
        page.y += ROW;
    }
    if let Some((_, _, from)) = before {
        band(page, now, from, from + ROW / 2.0)?;
    }
    for (x, y, to_x, to_y) in lines {
        page.line((x, y + 8.0), (to_x, to_y - 8.0), "#c3c8d0", 1.5)?;
    }
    Ok(places)
}

/// The migration's stage between two facts, with a narrow mark where it stood frozen.
fn band(page: &mut Page, (stage, frozen): (Stage, bool), from: f64, to: f64) -> Result {
    let mut strip = |x: f64, width: f64, fill: &str| {
        let height = to - from;
        writeln!(page.svg, r#"<rect x="{x}" y="{from}" width="{width}" height="{height}" fill="{fill}"/>"#)
    };
    strip(STAGE, 14.0, shade(stage))?;
    if frozen { strip(STAGE + 4.0, 6.0, FROZEN) } else { Ok(()) }
}

/// A bar for each consignment, from its opening to its destruction.
fn bars(page: &mut Page, shown: &Shown<'_>, rows: &[(u64, f64)]) -> Result {
    let last = rows.last().map_or(page.y, |(_, y)| *y);
    let place = |fact: u64| rows.iter().find(|(number, _)| *number == fact).map(|(_, y)| *y);
    let mut x = BARS;
    for round in Round::all(&shown.story.ledger) {
        let Some(top) = place(round.opened.fact.number) else { continue };
        let destroyed = round.destroyed.and_then(|(recorded, _)| place(recorded.fact.number));
        let bottom = destroyed.unwrap_or(last + ROW / 2.0);
        page.rect((x, top - 6.0), (9.0, bottom - top + 12.0), "#e3d7ee", "#7a5a9a")?;
        if destroyed.is_some() {
            page.line((x - 2.0, bottom + 8.0), (x + 11.0, bottom + 8.0), ENDS, 3.0)?;
        }
        let name = format!("{} {}", kind(round.consignment.kind), round.id().short());
        let (at, middle) = (x + 7.5, f64::midpoint(top, bottom));
        writeln!(
            page.svg,
            "<text transform=\"translate({at} {middle}) rotate(-90)\" font-size=\"9\" fill=\"#4b2f66\" \
             text-anchor=\"middle\">{name}</text>"
        )?;
        // Six bars fit; further ones stand where the first stood, and rounds that far apart do not overlap.
        x = if x > BARS + 55.0 { BARS } else { x + 13.0 };
    }
    Ok(())
}

/// The legend, what is missing, and what a picture cannot show.
/// What the journal notes after the facts, in the server's lane.
fn notes(page: &mut Page, shown: &Shown<'_>) -> Result {
    for noted in &shown.story.pack.notes {
        let Some((at, id, what)) = noted.tells_of(shown.story.migration()) else { continue };
        page.y += ROW;
        let [_, lane, _] = LANES;
        page.text(20.0, page.y, SMALL, &when(at))?;
        page.mark(lane, page.y - 4.0, &Actor::Strongroom, ENDS)?;
        page.text(LABELS, page.y, SMALL, &cut(&format!("consignment {}, noted later: {what}", id.short()), 95))?;
    }
    Ok(())
}

fn foot(page: &mut Page, shown: &Shown<'_>) -> Result {
    page.y += 24.0;
    let y = page.y;
    writeln!(page.svg, r#"<circle cx="28" cy="{}" r="7" fill="{LABORATORY}"/>"#, y - 4.0)?;
    page.text(42.0, y, SMALL, "signed by a person")?;
    page.mark(190.0, y - 4.0, &Actor::Strongroom, SERVER)?;
    page.text(204.0, y, SMALL, "the server's word")?;
    page.mark(345.0, y - 4.0, &Actor::Deadline { set_by: lexicon::Digest([0; 32]), fact: 0 }, SERVER)?;
    page.text(360.0, y, SMALL, "a deadline that passed")?;
    writeln!(page.svg, r#"<circle cx="528" cy="{}" r="7" fill="{ENDS}"/>"#, y - 4.0)?;
    page.text(542.0, y, SMALL, "destroys, or ends")?;
    page.rect((675.0, y - 12.0), (14.0, 14.0), FROZEN, "none")?;
    page.text(696.0, y, SMALL, "frozen")?;
    page.y += 30.0;
    for missing in &shown.completeness.missing {
        page.text(20.0, page.y, Ink { colour: ENDS, ..PLAIN }, &cut(&format!("Missing: {missing}"), 160))?;
        page.y += 20.0;
    }
    page.text(20.0, page.y, SMALL, wording::LIMITS)?;
    page.y += 24.0;
    Ok(())
}

/// Whole days between two facts, when there is at least one: rows stand at equal distances, time does not.
fn days(from: Timestamp, to: Timestamp) -> Option<i64> {
    let hours = to.duration_since(from).as_hours();
    (hours >= 24).then_some(hours / 24)
}

/// Whether an act destroys or ends something.
fn ends(act: &Act) -> bool {
    matches!(
        act,
        Act::Cancel { .. }
            | Act::Abandon { .. }
            | Act::Overdue { .. }
            | Act::Destroyed { .. }
            | Act::PartDestroyed { .. }
            | Act::Finish { .. }
            | Act::Revoke { .. }
    )
}

/// An act in a few words.
fn phrase(act: &Act) -> String {
    let fixed = match act {
        Act::Open { .. } => "opened the migration",
        Act::Propose { plan } => return format!("proposed plan {}", plan.serial),
        Act::Approve { .. } => "approved the plan",
        Act::Extend { .. } => "moved the deadline",
        Act::Freeze { .. } => "froze everything",
        Act::Thaw { .. } => "asked to thaw",
        Act::Cancel { .. } => "cancelled the migration",
        Act::SignOff { .. } => "signed the migration off",
        Act::OpenConsignment { kind: which, .. } => return format!("opened a {} consignment", kind(*which)),
        Act::Offer { clear_swap: true, .. } => "offered an opening key (swap in clear)",
        Act::Offer { .. } => "offered an opening key",
        Act::Begin { step, attempt, clear_swap, .. } => {
            let swap = if *clear_swap { ", swap in clear" } else { "" };
            return format!("began to {} (attempt {attempt}{swap})", verb(*step));
        }
        Act::Failed { step, attempt, .. } => return format!("failed to {} (attempt {attempt})", verb(*step)),
        Act::Close { .. } => "sealed and closed",
        Act::Release { .. } => "released the laboratory share",
        Act::HandOver { clear_swap: true, .. } => "handed the share over (swap in clear)",
        Act::HandOver { .. } => "handed the share over",
        Act::Done { outcome, .. } if outcome.equal() => "loaded: all tables equal",
        Act::Done { .. } => "loaded: tables differ",
        Act::AcceptDifference { .. } => "accepted the difference",
        Act::Abandon { .. } => "gave the consignment up",
        Act::Revoke { .. } => "took a certificate back",
        Act::Overdue { consignment: None } => "deadline: everything goes",
        Act::Overdue { .. } => "deadline: the consignment goes",
        Act::Destroyed { .. } => "destroyed its part",
        Act::PartDestroyed { part: Part::Laboratory, .. } => "destroyed the laboratory share",
        Act::PartDestroyed { part: Part::Recipient, .. } => "destroyed the opening keys",
        Act::Finish { .. } => "certified the destruction",
    };
    fixed.to_owned()
}

fn verb(step: Step) -> &'static str {
    match step {
        Step::Extract => "extract",
        Step::Load => "load",
        Step::Reconcile => "reconcile",
    }
}

/// So many characters and no more; the page's width is what it is.
fn cut(text: &str, chars: usize) -> String {
    let short: String = text.chars().take(chars).collect();
    if short.len() < text.len() { format!("{short}…") } else { short }
}

/// Text as XML shows it; what XML 1.0 cannot hold becomes a space.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&apos;"),
            '\u{fffe}' | '\u{ffff}' => out.push(' '),
            c if c.is_control() => out.push(' '),
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_cannot_become_markup() {
        assert_eq!(escaped("<script>'&\"\u{1b}"), "&lt;script&gt;&apos;&amp;&quot; ");
    }

    #[test]
    fn only_gaps_of_a_day_are_drawn() {
        let at: Timestamp = "2026-03-02T08:00:00Z".parse().unwrap();
        assert_eq!(days(at, lexicon::hours_after(at, 23)), None);
        assert_eq!(days(at, lexicon::hours_after(at, 49)), Some(2));
    }
}
