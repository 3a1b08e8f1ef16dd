"""The table of skills, for terminals and for documents."""

from collections.abc import Iterator

from rich.table import Table

from .scores import Report, Score

COLUMNS = (
    "skill",
    "prompts (held out)",
    "pictures",
    "right (held out)",
    "95% interval",
    "examiner: true",
    "examiner: wrong",
)

MEAN = "mean of skills"


def _percent(share: float) -> str:
    return f"{100 * share:.1f}%"


def _cells(score: Score) -> tuple[str, ...]:
    low, high = score.interval
    prompts, right, trusted = str(score.prompts), _percent(score.share), ("", "")
    if score.held_out:
        prompts += f" ({score.held_out.prompts})"
        right += f" ({_percent(score.held_out.share)})"
    if score.trust:
        true, wrong = (n / score.trust.scenes for n in (score.trust.right, score.trust.caught))
        trusted = _percent(true), _percent(wrong)
    return (score.name, prompts, str(score.pictures), right, f"{100 * low:.1f} to {100 * high:.1f}", *trusted)


def rows(report: Report) -> Iterator[tuple[str, ...]]:
    """The cells of every row: skills, their mean, and the hard prompts."""
    yield from map(_cells, report.skills)
    if report.skills:
        yield (MEAN, "", "", _percent(report.overall), "", "", "")
    yield from map(_cells, report.hard)


def table(report: Report) -> Table:
    """For terminals. In brackets: what training never shows alone. The last columns: how often the examiner
    finds true pictures right, wrong ones wrong.
    """
    made = Table(
        title=f"What {report.model} can do", caption="Judged by an examiner whose own accuracy stands beside."
    )
    names = [one.name for one in report.skills]
    longest = max(map(len, (MEAN, *names)))  # a prompt may break, a skill's name may not
    made.add_column(COLUMNS[0], min_width=longest, overflow="fold")
    for name in COLUMNS[1:]:
        made.add_column(name, justify="right", overflow="fold")
    for row in rows(report):
        made.add_row(*row, end_section=row[0] in (MEAN, *names[-1:]))
    return made


def markdown(report: Report) -> str:
    """For documents."""
    lines = [COLUMNS, ("---", *["---:"] * (len(COLUMNS) - 1)), *rows(report)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n"
