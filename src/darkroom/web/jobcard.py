"""A job under way, as a card."""

from darkroom.errors import DarkroomError
from darkroom.studio.serving.jobs import JobView
from darkroom.web.controls import Box, Press, said
from darkroom.web.session import Session, data_url


class JobCard:
    """A job under way: a preview, how far it is, the time left, and a way to cancel it."""

    def __init__(self, session: Session, view: JobView) -> None:
        self.session, self.view = session, view
        self.box = Box("job")
        with self.box:
            with Box("mini"):
                self.image = Box(tag="img")
                said(self.image, alt="", src="data:,")
            with Box("grow"):
                Box("title", words=view.requests[0].prompt)
                self.words = Box("small soft number", words="Waiting")
                with Box("bar"):
                    self.bar = Box(tag="i").style("width: 0")
            Press("Cancel", self.cancel, drawing="close")

    def cancel(self) -> None:
        """Stop the job at its next step."""
        self.session.service.cancel(self.view.id)
        self.words.says("Stopping")

    async def follow(self) -> None:
        """Show what happens until it has ended. Raises DarkroomError with the job's own sentence."""
        async for event in self.session.service.events(self.view.id):
            self.view = event.view
            if event.pixels is not None and event.picture == 0:
                said(self.image, src=data_url(event.pixels))
            self.words.says(progress_words(event.view))
            if event.view.steps:
                self.bar.style(f"width: {100 * event.view.step / event.view.steps:.0f}%")
        if self.view.error:
            raise DarkroomError(self.view.error)
        for notice in self.view.notices:
            self.session.say(notice)


def progress_words(view: JobView) -> str:
    """Where a job stands, in words."""
    if view.position is not None:
        return f"Waiting: {view.position} before this one" if view.position else "Next in line"
    count = sum(request.count for request in view.requests)
    of = f"{count} pictures, " if count > 1 else ""
    left = f", {time_words(view.seconds_left)} left" if view.seconds_left is not None else ""
    return f"{of}step {view.step} of {view.steps or '?'}{left}"


def time_words(seconds: float) -> str:
    """ "12 s", "3 min"."""
    return f"{max(1, round(seconds))} s" if seconds < 90 else f"{round(seconds / 60)} min"
