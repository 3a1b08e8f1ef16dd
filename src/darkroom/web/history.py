"""The history below Create: all prints, each to be opened, and any two to be compared."""

from collections.abc import Callable

from darkroom.errors import DarkroomError
from darkroom.studio.request import Request
from darkroom.web.controls import Box, Press
from darkroom.web.detail import Acts, compare, show_print
from darkroom.web.prints import Print, Prints, any_print
from darkroom.web.session import Session

EMPTY = "Nothing yet. Press Develop, and what you make is kept here."


class History:
    """``reuse`` is told whose settings to take, ``go`` which place to open with a print."""

    def __init__(
        self,
        session: Session,
        reuse: Callable[[Request], None],
        go: Callable[[str, Request | None, str], None],
    ) -> None:
        self.session, self.reuse, self.go = session, reuse, go
        self.picked, self.comparing = list[Print](), False
        with Box("prints-head"):
            Box(tag="h2", words="Prints")
            self.hint = Box("small soft")
            with Box().style("margin-left: auto"):
                self.press = Press("Compare two", self.turn, "bare", "compare")
        self.prints = Prints(session, self._open, EMPTY, any_print)

    def _open(self, one: Print) -> None:
        if not self.comparing:
            acts = Acts(self.reuse, self.go, self.pick, self.forget)
            show_print(self.session, one, acts)
            return
        chosen = one not in self.picked
        self.picked.append(one) if chosen else self.picked.remove(one)
        self.prints.mark(one, chosen)
        if len(self.picked) == 2:
            compare(self.session, *self.picked)
            self.turn()

    def turn(self) -> None:
        """Begin or leave a comparison."""
        for one in self.picked:
            self.prints.mark(one, False)
        self.picked, self.comparing = [], not self.comparing
        self.press.pressed(self.comparing)
        self.hint.says("Choose two prints." if self.comparing else "")

    def pick(self, one: Print) -> None:
        """Begin a comparison with this print."""
        if not self.comparing:
            self.turn()
        self._open(one)
        self.hint.says("Choose the other print.")

    def forget(self, one: Print) -> None:
        """Delete the print's job and all of its pictures."""
        try:
            self.session.service.forget(one.job)
        except DarkroomError as error:
            self.session.say(str(error), bad=True)
        self.prints.fill()
